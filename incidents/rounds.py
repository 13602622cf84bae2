"""The rounds of one incident, from opening or reopening to resolve, and how its response clocks fared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from incidents import events as e
from incidents.entries import Entry
from incidents.policy import CLOCK_LABELS, STATUSES

_FIRST_RESPONSE = ("acknowledged", "investigating", "updated")


@dataclass(frozen=True, slots=True)
class ClockResult:
    """One response clock: `allowed` and `taken` in seconds from where it counted.

    `outcome` is met, missed (it may have been met later, then `taken` says when), running or stopped.
    """

    clock: str
    label: str
    started: datetime
    due: datetime
    allowed: float
    taken: float | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Round:
    """One time that the incident was open; durations in seconds, None for what has not happened.

    `impact_seconds` counts from the dated begin of the impact to the end, or to now while it lasts.
    """

    number: int
    started: datetime
    impact_from: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    identified_at: datetime | None
    resolved_at: datetime | None
    ended_at: datetime | None
    to_acknowledge: float | None
    to_resolve: float | None
    impact_seconds: float
    clocks: tuple[ClockResult, ...]


@dataclass(slots=True)
class _Timing:
    started: datetime
    due: datetime
    missed: bool = False
    met_at: datetime | None = None

    @property
    def settled(self) -> bool:
        return self.missed or self.met_at is not None


@dataclass(slots=True)
class _Open:
    """A round while it is read."""

    started: datetime
    impact_from: datetime
    clocks: dict[str, _Timing] = field(default_factory=dict)
    acknowledged: tuple[datetime, str | None] | None = None
    identified_at: datetime | None = None
    resolved_at: datetime | None = None
    ended_at: datetime | None = None


def rounds(entries: Iterable[Entry], now: datetime) -> tuple[Round, ...]:
    """The rounds as of `now`, from entries in order of the log."""
    found: list[_Open] = []
    for entry in entries:
        event = entry.event
        if isinstance(event, e.IncidentOpened | e.Reopened):
            found.append(_begun(event))
        elif found:
            rule = _RULES.get(type(event))
            if rule is not None:
                rule(found[-1], event)
    return tuple(_round(number, r, now) for number, r in enumerate(found, 1))


def _begun(ev: e.IncidentOpened | e.Reopened) -> _Open:
    since = ev.since if isinstance(ev, e.IncidentOpened) else None
    return _Open(ev.at, since or ev.at, {name: _Timing(ev.at, due) for name, due in ev.clocks.items()})


def _meet(r: _Open, at: datetime, *clocks: str) -> None:
    for name in clocks:
        timing = r.clocks.get(name)
        if timing is not None and timing.met_at is None:
            timing.met_at = at


def _acknowledged(r: _Open, ev: e.Event) -> None:
    r.acknowledged = r.acknowledged or (ev.at, ev.actor)
    _meet(r, ev.at, "acknowledged")


def _updated(r: _Open, ev: e.Updated) -> None:
    _acknowledged(r, ev)
    _meet(r, ev.at, "updated")


def _status(r: _Open, ev: e.StatusChanged) -> None:
    """A later status satisfies the clocks of the earlier ones."""
    reached = STATUSES.index(ev.status) if ev.status in STATUSES else 0
    _acknowledged(r, ev)
    _meet(r, ev.at, "updated", *STATUSES[: reached + 1])
    if reached >= STATUSES.index("identified"):
        r.identified_at = r.identified_at or ev.at


def _resolved(r: _Open, ev: e.Resolved) -> None:
    _acknowledged(r, ev)
    _meet(r, ev.at, *r.clocks)
    r.resolved_at = r.ended_at = r.ended_at or ev.at


def _ended(r: _Open, ev: e.Event) -> None:
    r.ended_at = r.ended_at or ev.at


def _late(r: _Open, ev: e.ResponseLate) -> None:
    timing = r.clocks.setdefault(ev.clock, _Timing(ev.due - timedelta(seconds=ev.allowed), ev.due))
    timing.due, timing.missed = ev.due, True


def _severity(r: _Open, ev: e.SeverityChanged) -> None:
    """The clocks not yet settled are those of the new severity; a raise starts those of the response anew."""
    _retimed(r, ev.clocks, lambda name, old: ev.at if ev.raised and name in _FIRST_RESPONSE else r.started)


def _merged_from(r: _Open, ev: e.MergedFrom) -> None:
    """The earliest opening and the earliest acknowledgement count; what the other missed stays missed."""
    r.started, r.impact_from = min(r.started, ev.opened_at), min(r.impact_from, ev.opened_at)
    _retimed(r, ev.clocks, lambda name, old: min(old.started, r.started) if old else r.started)
    if ev.acknowledged_at is not None:
        if r.acknowledged is None or ev.acknowledged_at < r.acknowledged[0]:
            r.acknowledged = ev.acknowledged_at, ev.acknowledged_by
        timing = r.clocks.get("acknowledged")
        if timing is not None:
            timing.met_at = min(timing.met_at or ev.acknowledged_at, ev.acknowledged_at)
    for name in ev.missed:
        timing = r.clocks.setdefault(name, _Timing(r.started, ev.clocks.get(name, ev.at)))
        timing.missed = True


def _retimed(
    r: _Open, clocks: Mapping[str, datetime], start: Callable[[str, _Timing | None], datetime]
) -> None:
    kept = {name: timing for name, timing in r.clocks.items() if timing.settled}
    for name, due in clocks.items():
        if name not in kept:
            old = r.clocks.get(name)
            unchanged = old is not None and old.due == due
            kept[name] = _Timing(old.started if old and unchanged else start(name, old), due)
    r.clocks = kept


_RULES: Mapping[type[e.Event], Callable[[_Open, Any], None]] = {
    e.Acknowledged: _acknowledged,
    e.Updated: _updated,
    e.StatusChanged: _status,
    e.Resolved: _resolved,
    e.Closed: _ended,
    e.MergedInto: _ended,
    e.ResponseLate: _late,
    e.SeverityChanged: _severity,
    e.MergedFrom: _merged_from,
}


def _round(number: int, r: _Open, now: datetime) -> Round:
    acknowledged_at, acknowledged_by = r.acknowledged or (None, None)
    end = r.ended_at or max(now, r.started)
    return Round(
        number=number,
        started=r.started.astimezone(UTC),
        impact_from=r.impact_from.astimezone(UTC),
        acknowledged_at=acknowledged_at,
        acknowledged_by=acknowledged_by,
        identified_at=r.identified_at,
        resolved_at=r.resolved_at,
        ended_at=r.ended_at,
        to_acknowledge=_seconds(r.started, acknowledged_at),
        to_resolve=_seconds(r.started, r.resolved_at),
        impact_seconds=_seconds(r.impact_from, end) or 0.0,
        clocks=tuple(_result(name, timing, r) for name, timing in r.clocks.items()),
    )


def _result(name: str, timing: _Timing, r: _Open) -> ClockResult:
    taken = _seconds(timing.started, timing.met_at)
    late = timing.met_at is not None and timing.met_at > timing.due
    if timing.missed or late:
        outcome = "missed"
    elif timing.met_at is not None:
        outcome = "met"
    else:
        outcome = "running" if r.ended_at is None else "stopped"
    allowed = _seconds(timing.started, timing.due) or 0.0
    label = CLOCK_LABELS.get(name, name)
    return ClockResult(name, label, timing.started, timing.due, allowed, taken, outcome)


def _seconds(start: datetime, end: datetime | None) -> float | None:
    """The duration, never negative: facts may arrive late and out of order."""
    return None if end is None else max((end - start).total_seconds(), 0.0)
