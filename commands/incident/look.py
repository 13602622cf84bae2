"""Looking at incidents: lists, one incident, its timeline, catching up, exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from commands.actions import Answer, Table
from commands.case import Ask, File, Row
from commands.incident.speaking import ago, next_deadline, when, wording
from commands.registry import Range, Text, command
from incidents import timeline as domain
from incidents.incident import Incident
from incidents.wording import span

_SHOWN = 50


@command("incident list", effect="read", who="reporter")
async def list_(*, all_: bool = False, ask: Ask) -> Answer:
    """List the open incidents, the newest first.

    /incident list           those that are open
    /incident list all       also those that are over
    """
    rows = await ask.reader.rows(open_only=not all_, limit=_SHOWN)
    if not rows:
        return Answer("No incident is recorded." if all_ else "No incident is open.")
    return _listed(ask, f"{_count(rows)} {'recorded' if all_ else 'open'}", rows, states=all_)


@command("incident search", effect="read", who="reporter")
async def search(words: Text, *, ask: Ask) -> Answer:
    """Search all incidents for words of their title or service.

    /incident search redis
    """
    rows = await ask.reader.rows(open_only=False, words=words, limit=_SHOWN)
    if not rows:
        return Answer("No incident has these words in its title or service; try fewer of them.")
    return _listed(ask, f"{_count(rows)} found", rows, states=True)


@command("incident mine", effect="read", who="reporter")
async def mine(*, ask: Ask) -> Answer:
    """List the open incidents that are yours.

    /incident mine
    """
    rows = await ask.reader.rows(owner=ask.by, limit=_SHOWN)
    return _listed(ask, f"{_count(rows)} yours", rows) if rows else Answer("No open incident is yours.")


def _count(rows: Sequence[Row]) -> str:
    if len(rows) >= _SHOWN:
        return f"The newest {_SHOWN} incidents"
    return "1 incident" if len(rows) == 1 else f"{len(rows)} incidents"


def _listed(ask: Ask, headline: str, rows: Sequence[Row], *, states: bool = False) -> Answer:
    """With the owners, or with the states where not all of them are open."""
    cells = tuple(
        (
            str(row.number),
            row.severity,
            f"🔒 {row.title}" if row.private else row.title,
            row.state if states else row.owner or "–",
            span((ask.now - row.opened_at).total_seconds()),
        )
        for row in rows
    )
    columns = ("INC", "SEVERITY", "TITLE", "STATE" if states else "OWNER", "AGE")
    return Answer(headline, Table(columns, cells, right=(0, 4)))


@command("incident show", effect="read", who="reporter")
async def show(incident: int | None = None, *, ask: Ask) -> Answer:
    """Show where an incident stands.

    /incident show           this one
    /incident show INC-42    another one
    """
    i = await ask.the(incident)
    policy, roster = await ask.reader.policy(i), await ask.reader.roster()
    service = f" ({', '.join(i.services)})" if i.services else ""
    lines = [
        f"{i.state.capitalize()} since {ago(ask, _state_since(i))}",
        f"Owner {i.owner or '–'} · " + " · ".join(f"{r} {i.roles.get(r, '–')}" for r in _ROLES),
    ]
    if i.update_text:
        lines.append(f"Last word: {i.update_text}")
    if i.open and (following := next_deadline(ask, i, policy, roster)):
        lines.append(f"Next: {following}")
    if i.eta is not None and i.open:
        lines.append(f"ETA {when(ask, i.eta)}")
    if i.alerts:
        lines.append(f"{i.firing} of {len(i.alerts)} alerts firing")
    if i.merged_into is not None:
        lines.append(f"It was merged into INC-{i.merged_into}; go on there.")
    return Answer(f"INC-{i.number} {i.severity}: {i.title}{service}", lines=tuple(lines))


_ROLES = ("commander", "scribe", "comms")


def _state_since(i: Incident) -> datetime:
    return i.closed_at or i.resolved_at or i.status_at or i.acknowledged_at or i.round_at


@command("timeline", effect="read", who="reporter")
async def timeline(
    count: Annotated[int, Range(1, 500)] = 12, *, incident: int | None = None, ask: Ask
) -> Answer:
    """Show the last lines of an incident's timeline.

    /incident timeline                     the last 12 lines
    /incident timeline 50 incident=42      more of another incident
    """
    i = await ask.the(incident)
    zone = ZoneInfo(ask.zone)
    rows = domain.rows(await ask.reader.entries(i.number), zone=zone)
    words = wording(ask)
    lines = tuple(f"{words.clock(row.at, ask.now)}  {row.text}" for row in rows[-count:])
    left = len(rows) - len(lines)
    head = f"INC-{i.number} {i.title}"
    return Answer(f"{head} · the last {len(lines)} of {len(rows)} lines" if left else head, lines=lines)


@command("export", effect="read", who="reporter")
async def export(
    form: Literal["md", "html", "json", "csv", "zip"] = "md", *, incident: int | None = None, ask: Ask
) -> File:
    """Get an incident as a file: the post-mortem draft, the timeline, or everything.

    /incident export             the post-mortem draft in Markdown
    /incident export html        to be read in a browser
    /incident export csv         the timeline for a spreadsheet
    /incident export zip         all of it, with the transcript
    """
    i = await ask.the(incident)
    name, data, mime = await ask.export(i.number, form)
    return File(name, data, mime, f"INC-{i.number} {i.title}")
