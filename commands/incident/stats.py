"""Figures over many incidents: how fast they were answered and resolved, what was late, what is noisy."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from commands.actions import Answer, Table
from commands.case import Ask
from commands.registry import Duration, command
from commands.values import spoken
from incidents import events as e
from incidents.metrics import Metrics, metrics
from incidents.wording import span

_PERIOD = 30 * 86_400  # seconds
_MOST = 500  # incidents
_NOISIEST = 5


@dataclass(frozen=True, slots=True)
class _Counted:
    group: str
    figures: Metrics


@command("stats", effect="read", who="reporter")
async def stats(
    period: Duration | None = None, *, by: Literal["service", "severity"] | None = None, ask: Ask
) -> Answer:
    """Show how fast incidents were answered and resolved, the clocks that were missed, the noisy alerts.

    /stats                     the last 30 days
    /stats 7d by=service       a week, by service
    /stats 90d by=severity     a quarter, by severity
    """
    lasts = period or _PERIOD
    rows = await ask.reader.rows(open_only=False, since=ask.now - timedelta(seconds=lasts), limit=_MOST)
    counted: list[_Counted] = []
    alerts: Counter[str] = Counter()
    for row in rows:
        state = await ask.reader.incident(row.number)
        if state is None or state.drill or state.merged_into is not None:
            continue
        entries = await ask.reader.entries(row.number)
        alerts.update(_episodes(entry.event for entry in entries))
        group = {"service": row.service or "–", "severity": row.severity, None: "all"}[by]
        counted.append(_Counted(group, metrics(entries, ask.now)))
    if not counted:
        return Answer(f"No incident was opened in the last {spoken(lasts)}.")
    return Answer(
        f"The last {spoken(lasts)}: {_incidents(len(counted))}", _table(counted, by), _noisy(alerts)
    )


def _incidents(count: int) -> str:
    return "1 incident" if count == 1 else f"{count} incidents"


def _episodes(events: Iterable[e.Event]) -> Counter[str]:
    """How often each alert fired; a status that is told twice counts once."""
    seen = {
        (ev.source, ev.fingerprint, ev.starts_at): ev.name for ev in events if isinstance(ev, e.AlertAttached)
    }
    return Counter(seen.values())


def _table(counted: list[_Counted], by: str | None) -> Table:
    groups: dict[str, list[Metrics]] = defaultdict(list)
    for each in counted:
        groups[each.group].append(each.figures)
    rows = [_row(name, figures) for name, figures in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))]
    if by is not None and len(groups) > 1:
        rows.append(_row("all", [each.figures for each in counted]))
    columns = (str(by).upper(), "COUNT", "MTTA", "MTTR", "CLOCKS MISSED")
    if by is None:
        return Table(columns[1:], tuple(row[1:] for row in rows), right=(0, 1, 2, 3))
    return Table(columns, tuple(rows), right=(1, 2, 3, 4))


def _row(name: str, figures: list[Metrics]) -> tuple[str, ...]:
    rounds = [r for figure in figures for r in figure.rounds]
    missed = sum(figure.clocks_missed for figure in figures)
    known = missed + sum(figure.clocks_met for figure in figures)
    return (
        name,
        str(len(figures)),
        _mean([r.to_acknowledge for r in rounds]),
        _mean([r.to_resolve for r in rounds]),
        f"{missed} of {known}",
    )


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return span(sum(known) / len(known)) if known else "–"


def _noisy(alerts: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{name} fired {_times(count)}" for name, count in alerts.most_common(_NOISIEST))


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
