"""The life of an incident after its opening: acknowledge, status, severity, resolve, merge, reminders."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from commands.case import Case, Reply
from commands.incident.confirm import confirmation
from commands.incident.opening import severity_of
from commands.incident.seen import may_see
from commands.registry import Duration, Name, Text, command
from commands.values import duration
from commands.words import protected
from incidents import events as e
from incidents import life
from incidents.incident import Incident
from incidents.ports import RefusedError


@command("ack", effect="incident")
def ack(text: Text | None = None, *, eta: Duration | None = None, case: Case) -> None:
    """Acknowledge the incident and own it; the pages stop.

    /ack                          it is yours
    /ack looking at it eta=20m    with a word and an estimate
    """
    i = case.incident
    case.record(*life.acknowledge(i, by=case.by, now=case.now, text=text or "", eta=_at(case, eta)))


@command("status", effect="incident")
def status(
    status: Literal["investigating", "identified", "resolving", "resolved"],
    text: Text | None = None,
    *,
    eta: Duration | None = None,
    case: Case,
) -> None:
    """Say how far it is; this is an update, too.

    /incident status identified failover failed     what is known
    /incident status resolving eta=30m              with an estimate
    """
    i = case.incident
    found = life.set_status(i, by=case.by, now=case.now, status=status, text=text or "", eta=_at(case, eta))
    case.record(*found)


@command("update", effect="incident")
def update(text: Text, *, eta: Duration | None = None, case: Case) -> None:
    """Tell everybody what is new; the next reminder counts from here.

    /update failover is running            what is new
    /update reindexing eta=30m             with an estimate
    """
    case.record(*life.update(case.incident, by=case.by, now=case.now, text=text, eta=_at(case, eta)))


@command("severity", effect="incident")
def severity(level: Name, why: Text | None = None, *, case: Case) -> None:
    """Raise or lower the severity; the clocks and steps of the new one count.

    /incident severity critical customers cannot log in
    """
    policy = case.policy
    found = life.change_severity(
        case.incident,
        by=case.by,
        now=case.now,
        severity=severity_of(policy, level),
        policy=policy,
        why=why or "",
    )
    case.record(*found)


@command("resolve", effect="incident")
def resolve(text: Text | None = None, *, case: Case) -> None:
    """Say that it is over: reminders and escalations stop.

    /resolve failover repaired
    """
    case.record(*life.resolve(case.incident, by=case.by, now=case.now, text=text or ""))


@command("reopen", effect="incident")
def reopen(why: Text | None = None, *, incident: int | None = None, case: Case) -> None:
    """Open a resolved or closed incident again; its clocks start anew.

    /incident reopen it drops again
    /incident reopen it is back incident=42    from anywhere: a closed one's channel takes no messages
    """
    found = case.incident if incident is None else case.other(incident)
    if not found.visible_to(case.by, found.number == case.number):
        raise RefusedError(f"There is no INC-{incident}; `/incident list` shows the open ones.")
    policy = case.log.policy(found)
    case.record(
        *life.reopen(found, by=case.by, now=case.now, policy=policy, why=why or ""), number=found.number
    )


@command("close", effect="incident")
def close(text: Text | None = None, *, case: Case) -> None:
    """Close a resolved incident for good.

    /incident close reviewed on Monday
    """
    case.record(*life.close(case.incident, by=case.by, now=case.now, text=text or ""))


@command("merge", effect="incident")
def merge(incident: int, *, case: Case) -> None:
    """Make one incident of this one and another; the older one goes on, its channel is the one to use.

    /incident merge INC-41
    """
    here, there = case.incident, case.other(incident)
    if not may_see(there, case.by, case.number):
        raise RefusedError(f"There is no INC-{incident}; `/incident list` shows the open ones.")
    if here.private != there.private:
        hidden = here if here.private else there
        raise RefusedError(f"INC-{hidden.number} is private and the other is not, so they stay apart.")
    survivor, other = _survivor_first(here, there)
    policy = case.log.policy(survivor)
    kept, ended = life.merge(survivor, other, by=case.by, now=case.now, policy=policy)
    _void(case, survivor, other)
    case.record(*kept, number=survivor.number)
    case.record(*ended, number=other.number)


def _survivor_first(a: Incident, b: Incident) -> tuple[Incident, Incident]:
    """The older one survives, wherever the command is typed; one that is over does not."""
    older, newer = sorted((a, b), key=lambda i: i.number)
    return (newer, older) if newer.open and not older.open else (older, newer)


def _void(case: Case, survivor: Incident, other: Incident) -> None:
    """Votes were cast for the other incident; what runs already goes on."""
    why = f"INC-{other.number} was merged into INC-{survivor.number}; ask again there"
    for action in case.log.pending(other.number, case.channel):
        if action.state != "running":
            case.record_action(action.number, e.ActionVoided(at=case.now, actor=case.by, why=why))


@command("major", effect="incident")
def major(
    state: Literal["on", "off"], why: Text | None = None, *, confirm: bool = False, case: Case
) -> Reply | None:
    """Declare a major outage, which pages the executives after a confirmation, or take it back.

    /major on customers cannot log in
    /major off one region only
    """
    i, policy, roster = case.incident, case.policy, case.log.roster
    found = life.declare_major(
        i, by=case.by, now=case.now, on=state == "on", why=why or "", policy=policy, roster=roster
    )
    line = f"/major {state} {protected(why)}" if why else f"/major {state}"
    ask = confirmation(case, found, line, what="A major outage")
    if ask is not None and not confirm:
        return ask
    case.record(*found)
    return None


@command("snooze", effect="incident")
def snooze(duration: Duration, *, case: Case) -> None:
    """Hold the next reminder once; escalations come all the same.

    /snooze 30m
    """
    i, policy = case.incident, case.policy
    level = policy.severity(i.severity) or policy.default
    lasts = timedelta(seconds=duration)
    case.record(*life.snooze(i, by=case.by, now=case.now, lasts=lasts, severity=level))


@command("remind", effect="incident")
def remind(cadence: Text, *, case: Case) -> None:
    """Set how often this incident asks for an update.

    /incident remind every 15m
    /incident remind off
    """
    words = cadence.split()
    if words and words[0].casefold() == "every":
        words = words[1:]
    if len(words) != 1:
        raise RefusedError("Say how often: `/incident remind every 15m`, or `/incident remind off`.")
    lasts = None
    if words[0].casefold() != "off":
        lasts = timedelta(seconds=duration(words[0], "The time between reminders"))
    case.record(*life.remind_every(case.incident, by=case.by, now=case.now, lasts=lasts))


@command("answer", effect="incident")
def answer(answer: Literal["nochange", "mitigating", "help"], *, case: Case) -> None:
    """Answer a reminder with one tap; "help" pages the next level, too.

    /answer nochange
    """
    found = life.answer_reminder(
        case.incident,
        by=case.by,
        now=case.now,
        answer=answer,
        policy=case.policy,
        roster=case.log.roster,
    )
    case.record(*found)


def _at(case: Case, eta: Duration | None) -> datetime | None:
    return case.now + timedelta(seconds=eta) if eta is not None else None
