"""What the configuration says beyond commands.case.Rules, with a default where it says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from incidents.oncall import Roster
from incidents.policy import Policy

_DELAYS = {"change": timedelta(seconds=60), "danger": timedelta(minutes=5)}
_BREAKERS = ("on_call", "commander")
_TEAM_LEAD = "teamlead"


class Contact(Protocol):
    """Somebody outside of the rotas whom a responder may have to call."""

    @property
    def title(self) -> str: ...

    @property
    def phone(self) -> str: ...

    @property
    def mail(self) -> str: ...


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """Who may break the glass, and how long an approver can stop it, by effect."""

    who: Sequence[str]
    delay: Mapping[str, timedelta]


def contacts(rules: object) -> Sequence[Contact]:
    """Whom to call beyond chat: providers, the database team, security."""
    found: Sequence[Contact] = getattr(rules, "contacts", ())
    return found


def reachable(people: object, person: str) -> bool | None:
    """Whether a person can be reached beyond chat; None where that is not known."""
    found = getattr(people, "people", {}).get(person)
    return None if found is None else bool(found.contacts)


def zone(rules: object) -> ZoneInfo:
    """The team's zone."""
    return ZoneInfo(getattr(rules, "zone", "UTC"))


def break_glass(rules: object) -> BreakGlass:
    """The terms of breaking the glass."""
    found = getattr(rules, "approvals", None)
    if found is None:
        return BreakGlass(_BREAKERS, _DELAYS)
    return BreakGlass(found.break_glass, found.break_glass_delay)


def plain(word: str) -> str:
    """A rung as people type it, without what they leave out or add: `Team-Lead` is `team_lead`."""
    return "".join(c for c in word.casefold() if c.isalnum())


def team_lead_rungs(roster: Roster, policy: Policy | None = None) -> tuple[str, ...]:
    """The rungs that are the team lead's, by name or as the policy calls them."""
    return tuple(
        rung
        for rung in roster.rungs
        if _TEAM_LEAD in (plain(rung), plain(policy.label(rung) if policy else rung))
    )
