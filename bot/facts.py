"""What announcements and cards may look at besides the event itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import Policy


class Contacted(Protocol):
    """A person of the configuration, as far as pages need it."""

    @property
    def display(self) -> str: ...

    @property
    def contacts(self) -> tuple[tuple[str, str], ...]:
        """Contact methods beyond chat: kind (sms, phone, push, mail) and address."""
        ...


@dataclass(frozen=True, slots=True)
class Tally:
    """What happened in an incident: changes that were done, how many of them were taken back, who took part."""

    changes: int = 0
    undone: int = 0
    people: int = 0


class Facts(Protocol):
    """Facts at the time of an event; `incident` is the one it belongs to, `policy` its snapshot."""

    @property
    def now(self) -> datetime: ...

    @property
    def roster(self) -> Roster: ...

    @property
    def incident(self) -> Incident | None: ...

    @property
    def policy(self) -> Policy | None: ...

    @property
    def people(self) -> Mapping[str, Contacted]: ...

    @property
    def zone(self) -> str: ...

    @property
    def tally(self) -> Tally: ...


@dataclass(frozen=True, slots=True)
class PlainFacts:
    """Facts that are all known already."""

    now: datetime
    roster: Roster
    incident: Incident | None = None
    policy: Policy | None = None
    people: Mapping[str, Contacted] = field(default_factory=dict)
    zone: str = "UTC"
    tally: Tally = Tally()
