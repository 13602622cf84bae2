"""What the post-mortem will need: notes, impact, cause, action items."""

from __future__ import annotations

from datetime import timedelta

from commands.actions import Answer
from commands.case import Ask, Case
from commands.incident.speaking import wording
from commands.registry import Duration, Person, Text, command
from incidents import events as e
from incidents import life
from incidents.incident import ActionItem, Incident
from incidents.ports import RefusedError
from incidents.wording import Wording


@command("note", effect="incident")
def note(text: Text, *, case: Case) -> None:
    """Put a note on the timeline; editing or deleting the message changes it there, visibly.

    /note failover started
    """
    case.record(*life.note(case.incident, by=case.by, now=case.now, text=text, message_id=case.message_id))


@command("impact", effect="incident")
def impact(text: Text, *, case: Case) -> None:
    """Record whom this hits and how badly, for the post-mortem.

    /incident impact 40 % of sockets drop, customers notice
    """
    case.record(e.ImpactRecorded(at=case.now, actor=case.by, text=_said(case.incident, text)))


@command("cause", effect="incident")
def cause(text: Text, *, case: Case) -> None:
    """Record the root cause, for the post-mortem.

    /incident cause the failover script had no permission
    """
    case.record(e.CauseRecorded(at=case.now, actor=case.by, text=_said(case.incident, text)))


def _said(incident: Incident, text: str) -> str:
    if incident.merged_into is not None:
        raise RefusedError(f"INC-{incident.number} was merged into INC-{incident.merged_into}; go on there.")
    if not text.strip():
        raise RefusedError("Say it in a few words after the command.")
    return text.strip()


@command("action", effect="incident")
def action(text: Text, *, owner: Person | None = None, due: Duration | None = None, case: Case) -> None:
    """Note what is to be done afterwards; it is chased from its due time until it is done.

    /incident action raise the memory limit @bob due=3d
    """
    found = life.add_item(
        case.incident,
        by=case.by,
        now=case.now,
        text=text,
        owner=owner,
        due=case.now + timedelta(seconds=due) if due is not None else None,
    )
    case.record(*found)


@command("done", effect="incident")
def done(number: int, *, case: Case) -> None:
    """Tick an action item of this incident off.

    /incident done 2
    """
    case.record(*life.finish_item(case.incident, by=case.by, now=case.now, number=number))


@command("actions", effect="read", who="reporter")
async def actions(*, ask: Ask) -> Answer:
    """Show the action items of this incident; elsewhere the open ones of all incidents.

    /incident actions
    """
    words = wording(ask)
    if ask.number is not None:
        i = await ask.incident()
        if not i.items:
            adds = "/incident action raise the memory limit due=3d"
            return Answer(f"INC-{i.number} has no action items; “{adds}” adds one.")
        return Answer(f"Action items of INC-{i.number}", lines=tuple(_line(ask, words, x) for x in i.items))
    lines = []
    for row in await ask.reader.rows(open_only=False, limit=200):
        found = await ask.reader.incident(row.number)
        items = [item for item in found.items if not item.done] if found else []
        lines += [f"INC-{row.number} · {_line(ask, words, item)}" for item in items]
    return Answer("Open action items" if lines else "No action items are open.", lines=tuple(lines))


def _line(ask: Ask, words: Wording, item: ActionItem) -> str:
    mark = "✅" if item.done else "▫️"
    parts = [f"{mark} {item.number}. {item.text}", item.owner or "nobody's yet"]
    if item.due is not None and not item.done:
        late = ", late" if item.due < ask.now else ""
        parts.append(f"due {words.clock(item.due, ask.now)}{late}")
    return " · ".join(parts)
