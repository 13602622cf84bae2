"""What announcements are made of: where they go, how an incident is named, who is paged by which means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from bot.answered_pages import page_ref
from bot.cards import sign
from bot.chat import Button, Say
from bot.facts import Facts
from incidents import events as e
from incidents.incident import Incident
from incidents.policy import Severity

ACKNOWLEDGE = Button("Acknowledge", "/ack", "primary")
LATE_BY = 60.0  # seconds; what fires later than this names its due time
_LONGEST_NAME = 80

E = TypeVar("E", bound=e.Event)


def room(i: Incident) -> str:
    """The incident's own channel."""
    return f"incident:{i.number}"


def team(i: Incident) -> str:
    """Where the team hears of it: nowhere but in its own channel where it is private."""
    if i.private:
        return room(i)
    return f"team:{i.service}" if i.service else "ops"


def edit(i: Incident) -> Say:
    """The incident's card, made anew."""
    return Say(f"incident:{i.number}", op="card", card="incident", ref=f"incident:{i.number}", lane=2)


def invite(i: Incident, people: Iterable[str], lane: int = 1) -> Say:
    """People into the incident's channel."""
    return Say(room(i), op="arrange", data={"invite": list(dict.fromkeys(people))}, lane=lane)


def channel_name(i: Incident) -> str:
    """inc-42-redis-is-down: small letters, digits and hyphens, at most 80."""
    folded = unicodedata.normalize("NFKD", i.title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")
    return f"inc-{i.number}-{words}"[:_LONGEST_NAME].rstrip("-")


def shown_channel(i: Incident) -> str:
    """The channel as people look for it."""
    return f"#{i.channels[0].name if i.channels and i.channels[0].name else channel_name(i)}"


def about(i: Incident) -> dict[str, Any]:
    """How messages name an incident: `about` is "INC-42 critical: Redis is down (realtime)"."""
    marks = "".join(f"{word} " for word, on in (("drill,", i.drill), ("major", i.major)) if on)
    where = f" ({i.service})" if i.service else ""
    return {
        "number": i.number,
        "about": f"INC-{i.number} {marks}{i.severity}: {i.title}{where}",
        "sign": sign(i.rank),
        "severity": i.severity,
        "channel": shown_channel(i),
    }


def say(i: Incident, template: str, buttons: tuple[Button, ...] = (), /, **data: Any) -> Say:
    """A new message in the incident's channel."""
    return Say(room(i), template=template, data={"number": i.number, **data}, buttons=buttons)


def severity_of(i: Incident, facts: Facts) -> Severity | None:
    """The incident's severity in its policy snapshot."""
    policy = facts.policy
    return policy.severity(i.severity) if policy is not None else None


def named(person: str, facts: Facts) -> bool:
    """Whether somebody is a person of the configuration, not a source of alerts or an unknown account."""
    return person in facts.people


def owner_or_on_call(i: Incident, facts: Facts) -> list[str]:
    """Who is asked how it goes: the owner, else whoever is on call first."""
    if i.owner:
        return [i.owner]
    policy, roster = facts.policy, facts.roster
    for rung in policy.ladder if policy is not None else ():
        if people := roster.people(rung, facts.now):
            return list(people)
    return [roster.fallback]


def first_of(kind: type[E], batch: Sequence[e.Event]) -> E | None:
    """The first event of a kind in a batch."""
    return next((event for event in batch if isinstance(event, kind)), None)


def all_of(kind: type[E], batch: Sequence[e.Event]) -> list[E]:
    """The events of a kind in a batch."""
    return [event for event in batch if isinstance(event, kind)]


def overdue(due: datetime, at: datetime) -> datetime | None:
    """The due time, where something happened noticeably later."""
    return due if (at - due).total_seconds() > LATE_BY else None


# -- pages ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A page of people: which step it belongs to, and what makes the message in the channel."""

    incident: Incident
    people: tuple[str, ...]
    key: str
    rung: str
    template: str
    data: dict[str, Any]
    buttons: tuple[Button, ...] = ()
    why: str = ""  # for direct messages and contact methods
    ref: str = ""  # the message in the channel is known by this, where no acknowledgement answers it


def page(found: Page, facts: Facts) -> list[Say]:
    """A new message in the channel that mentions them, a direct message, and every contact method of each."""
    i = found.incident
    says = [
        invite(i, found.people, lane=0),
        Say(
            room(i),
            template=found.template,
            data=found.data,
            lane=0,
            ref=found.ref or page_ref(i.number, found.key, found.rung, found.people),
            buttons=found.buttons,
        ),
    ]
    for person in found.people:
        data = {
            **about(i),
            "incident": i.number,
            "key": found.key,
            "rung": found.rung,
            "person": person,
            "why": found.why,
            "acknowledged": i.acknowledged_at is not None,
        }
        says.append(Say(f"person:{person}", op="direct", template="page_direct", data=data, lane=0))
        contacts = facts.people[person].contacts if person in facts.people else ()
        says += [
            Say(f"person:{person}:{kind}", op="contact", template="page_contact", data=data, lane=0)
            for kind in dict.fromkeys(kind for kind, _ in contacts)
        ]
    return says
