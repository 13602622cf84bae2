"""Who does what in an incident, and who is paged for it."""

from __future__ import annotations

from typing import Literal

from commands.case import Case, Choice, Reply, sentence
from commands.incident.configured import plain
from commands.incident.confirm import confirmation
from commands.registry import Person, Text, command
from commands.values import STOPS
from commands.words import protected
from incidents import life
from incidents.policy import Policy
from incidents.ports import RefusedError

_LONGEST_LABEL = 4  # words
_AND = ("and", "&", "+", ",")


@command("role", effect="incident")
def role(role: Literal["commander", "scribe", "comms"], person: Person | None = None, *, case: Case) -> None:
    """Take a role, or give it to somebody.

    /incident role commander
    /incident role scribe @bob
    """
    case.record(*life.take_role(case.incident, by=case.by, now=case.now, role=role, person=person or case.by))


@command("join", effect="incident")
def join(*, case: Case) -> Reply:
    """Take part in this incident.

    /incident join
    """
    i = case.incident
    case.record(*life.join(i, by=case.by, now=case.now))
    text = f"You take part in INC-{i.number}. `/incident catchup` shows where it stands."
    return sentence(text, Choice("Catch up", "/incident catchup"))


@command("leave", effect="incident")
def leave(*, case: Case) -> None:
    """Take part in this incident no more.

    /incident leave
    """
    case.record(*life.leave(case.incident, by=case.by, now=case.now))


@command("handover", effect="incident")
def handover(person: Person, *, case: Case) -> None:
    """Make somebody else the owner of this incident.

    /incident handover @bob
    """
    if not case.people.can(person, "responder"):
        raise RefusedError(f"{person} is no responder and could not answer for it; name somebody who is.")
    case.record(*life.hand_over(case.incident, by=case.by, now=case.now, person=person))


@command("escalate", effect="incident")
def escalate(
    person: Person | None = None, text: Text | None = None, *, confirm: bool = False, case: Case
) -> Reply | None:
    """Page the next level, a level by its name, or a person.

    /escalate                               the next level that was not paged yet
    /escalate does not recover              the same, with the reason
    /escalate team lead the disk is full    that level
    /escalate @heidi knows this part        that person
    """
    if person is not None:
        return _page(case, person, text or "", confirm, f"/escalate @{person}")
    policy = case.policy
    rung, why = level_and_why(policy, text or "")
    found = life.escalate(
        case.incident,
        by=case.by,
        now=case.now,
        policy=policy,
        roster=case.log.roster,
        rung=rung,
        why=why,
    )
    ask = confirmation(case, found, f"/escalate {protected(text)}" if text else "/escalate")
    if ask is not None and not confirm:
        return ask
    case.record(*found)
    return None


@command("page", effect="incident")
def page(person: Person, why: Text | None = None, *, confirm: bool = False, case: Case) -> Reply | None:
    """Page a person: in the channel, by direct message, and by every contact method of theirs.

    /page @heidi we need a second pair of eyes
    """
    return _page(case, person, why or "", confirm, f"/page @{person}")


def _page(case: Case, person: str, why: str, confirm: bool, line: str) -> Reply | None:
    first, _, rest = why.partition(" ")
    another = rest.split(None, 1)[0].lstrip("@").rstrip(STOPS).lower() if rest.split() else ""
    if why.startswith("@") or (first.lower() in _AND and case.people.can(another, "reporter")):
        raise RefusedError(f"One person at a time: `/page @{person}`, then the next one.")
    found = life.page(case.incident, by=case.by, now=case.now, people=(person,), why=why)
    ask = confirmation(case, found, f"{line} {protected(why)}" if why else line)
    if ask is not None and not confirm:
        return ask
    case.record(*found)
    return None


@command("cannot", effect="incident")
def cannot(*, case: Case) -> None:
    """Say that you cannot take the page; the next level is paged at once.

    /cannot
    """
    found = life.cannot(case.incident, by=case.by, now=case.now, policy=case.policy, roster=case.log.roster)
    case.record(*found)


def level_and_why(policy: Policy, text: str) -> tuple[str, str]:
    """The rung that the text begins with, by name or as people read it, and the rest of the text."""
    words = text.split()
    if words and words[0].casefold() == "to":
        rung, why = level_and_why(policy, " ".join(words[1:]))
        return (rung, why) if rung else ("", text)
    known = {plain(name): rung for rung in policy.ladder for name in (rung, policy.label(rung))}
    for count in range(min(_LONGEST_LABEL, len(words)), 0, -1):
        rung = known.get(plain("".join(words[:count])), "")
        if rung:
            return rung, " ".join(words[count:])
    return "", text
