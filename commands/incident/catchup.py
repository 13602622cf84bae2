"""Catching up: an incident in twenty seconds, for somebody who joins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from zoneinfo import ZoneInfo

from commands.actions import Answer
from commands.case import Ask
from commands.incident.speaking import next_deadline, shortened, wording
from commands.registry import command
from incidents import events as e
from incidents import timeline
from incidents.action import Action
from incidents.change_sentences import change_text
from incidents.entries import Entry, cleaned
from incidents.incident import Incident
from incidents.metrics import changes, taken_back
from incidents.wording import listed

_DECISIONS = ("life", "update", "action")
_LAST = 3


@command("catchup", effect="read", who="reporter")
async def catchup(incident: int | None = None, *, ask: Ask) -> Answer:
    """Read an incident in twenty seconds: state, owner, what comes next, what was decided, what waits.

    /incident catchup
    """
    i = await ask.the(incident)
    entries = cleaned(await ask.reader.entries(i.number))
    actions = changes(entries)
    policy, roster = await ask.reader.policy(i), await ask.reader.roster()
    following = next_deadline(ask, i, policy, roster) if i.open else ""
    lines = [
        " ".join((_leads(ask, i), *_running(actions.values()))),
        f"Tried: {_tried(actions)}. Next: {following or '–'}. Waiting for you: {_waiting(ask, actions)}.",
        *(f"Decided: {text}" for text in _decided(ask, entries)),
        *_pending(ask, actions.values()),
    ]
    return Answer(
        f"INC-{i.number} in 20 seconds: {_what(ask, i, entries)}.", lines=tuple(lines), private=True
    )


def _what(ask: Ask, i: Incident, entries: Iterable[Entry]) -> str:
    impact = [entry.event.text for entry in entries if isinstance(entry.event, e.ImpactRecorded)]
    since = wording(ask).clock(i.since or i.opened_at, ask.now)
    parts = [f"{i.title} since {since}", i.severity, ", ".join(i.services), impact[-1] if impact else ""]
    return ", ".join(shortened(part).rstrip(".") for part in parts if part)


def _leads(ask: Ask, i: Incident) -> str:
    lead = i.roles.get("commander") or i.owner
    who = f"{lead} leads" if lead else "nobody leads yet"
    state = i.state
    if i.status_at is not None:
        state += f" {wording(ask).clock(i.status_at, ask.now)}"
    said = f": {shortened(i.update_text).rstrip('.')}" if i.update_text else ""
    return f"{who}, {state}{said}."


def _running(actions: Iterable[Action]) -> list[str]:
    running = [f"#{a.number} {change_text(a.plan)}" for a in actions if a.state in ("approved", "running")]
    return [f"Running: {listed(running)}."] if running else []


def _tried(actions: Mapping[int, Action]) -> str:
    undone = taken_back(actions)
    ran = [a for a in actions.values() if a.state in ("done", "failed", "unknown") and a.undo_of is None]
    return (
        ", ".join(
            f"{change_text(a.plan)} ({'undone' if a.number in undone else _came(a)})" for a in ran[-_LAST:]
        )
        or "–"
    )


def _came(action: Action) -> str:
    return {"done": "done", "failed": "failed", "unknown": "outcome unknown"}[action.state]


def _waiting(ask: Ask, actions: Mapping[int, Action]) -> str:
    if not ask.people.can(ask.by, "approver"):
        return "–"
    mine = [
        f"#{a.number}"
        for a in actions.values()
        if a.waits and a.requester != ask.by and ask.by not in a.approvals
    ]
    return f"your vote on {listed(mine)}" if mine else "–"


def _pending(ask: Ask, actions: Iterable[Action]) -> list[str]:
    clock, known = wording(ask).clock, list(actions)
    return [
        *(
            f"Runs at {clock(a.break_glass_at, ask.now)} without approval: #{a.number} {change_text(a.plan)}, "
            f"break-glass by {a.break_glass_by}"
            for a in known
            if a.unvoted and a.break_glass_at is not None
        ),
        *(
            f"Waits for votes: #{a.number} {change_text(a.plan)}, asked by {a.requester}, "
            f"{len(a.approvals)} of {a.quorum} approvals, until {clock(a.expires_at, ask.now)}"
            for a in [a for a in known if a.waits][:_LAST]
        ),
    ]


def _decided(ask: Ask, entries: Sequence[Entry]) -> list[str]:
    """The last decisions, the newest last."""
    rows = [r for r in timeline.rows(entries, zone=ZoneInfo(ask.zone)) if r.category in _DECISIONS]
    return [f"{wording(ask).clock(r.at, ask.now)} {shortened(r.text)}" for r in rows[-_LAST:]]
