"""What commands are handed: a Case inside one transaction for decisions, an Ask for reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from commands.actions import Answer
from commands.catalogue import Catalogue
from incidents.action import Action
from incidents.entries import Entry
from incidents.events import Event
from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import Policy
from incidents.ports import RefusedError


@dataclass(frozen=True, slots=True)
class Choice:
    """A button under a reply: pressing it sends `line` as a command of the person who presses."""

    label: str
    line: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a template and its data. `private` is shown to the person asking only."""

    template: str
    data: Mapping[str, Any] = field(default_factory=dict)
    private: bool = True
    choices: tuple[Choice, ...] = ()
    card: str | None = None


def sentence(text: str, *choices: Choice, private: bool = True) -> Reply:
    """A reply of one sentence."""
    return Reply("sentence", {"text": text}, private, choices)


@dataclass(frozen=True, slots=True)
class File:
    """A file as the answer, with a line of text above it."""

    name: str
    data: bytes
    mime: str
    text: str


Result = Reply | Answer | File | None


class Log(Protocol):
    """One transaction of the log, as decisions see it (bot/logbook.py)."""

    def incident(self, number: int) -> Incident | None:
        """The incident now, what this transaction did included."""
        ...

    def action(self, number: int) -> Action | None: ...

    def record(self, stream: str, *events: Event) -> None:
        """Append events; deadlines, index rows and what is said about them follow by themselves."""
        ...

    def next_number(self, of: str) -> int:
        """The next free number of `incident` or `action`."""
        ...

    def adopt(self, policy: Policy) -> None:
        """Keep a snapshot of the policy, once."""
        ...

    def similar(self, title: str, service: str | None) -> list[Incident]:
        """Open incidents of the same service, or with nearly the same title."""
        ...

    def pending(self, incident: int | None, channel: str) -> list[Action]:
        """Requests that wait for votes or run: of an incident, or else of a channel; oldest first."""
        ...

    def actions(self, incident: int | None, channel: str) -> list[Action]:
        """All actions of an incident, or else of a channel; the newest first, at most 50."""
        ...

    def message(self, channel: str, message_id: str) -> tuple[int, str, str] | None:
        """Position, author and text of a person's message that was recorded, or None."""
        ...

    def find_messages(self, channel: str, words: str) -> list[str]:
        """Ids of the people's messages of an incident's channel that hold `words`, the newest first."""
        ...

    def scrub(self, channel: str, message_id: str, by: str) -> tuple[int, ...]:
        """Erase what a message said, everywhere; the positions that were erased. `by` hears what was left."""
        ...

    @property
    def roster(self) -> Roster:
        """Who is on which rung, overrides included."""
        ...

    def policy(self, incident: Incident) -> Policy:
        """The policy snapshot of an incident."""
        ...


class People(Protocol):
    """Who there is, and what they may do (the configuration)."""

    def can(self, person: str, role: str) -> bool: ...

    def with_role(self, role: str) -> tuple[str, ...]:
        """Everybody with a role, in the order of the configuration."""
        ...


class Rules(Protocol):
    """What the configuration says beyond people."""

    @property
    def catalogue(self) -> Catalogue: ...

    @property
    def policies(self) -> Mapping[str, Policy]: ...

    def policy_for(self, service: str | None, labels: Mapping[str, str]) -> Policy: ...


@dataclass(slots=True)
class Case:
    """One request that is decided inside one transaction; `incident` is that of the channel, if it is one's.

    Decision functions run in the writer: they are synchronous, may run twice, and touch nothing but `log`.
    """

    by: str
    now: datetime
    channel: str
    log: Log
    people: People
    rules: Rules
    number: int | None = None
    message_id: str | None = None
    means: str = "command"  # or "button": how a vote was cast
    place: str = "elsewhere"  # the kind of commands.dispatch.Place where it was asked
    assured: bool = True  # whether it is certain that `by` asked for it

    @property
    def incident(self) -> Incident:
        """The incident of this channel; RefusedError elsewhere."""
        if self.number is None:
            raise RefusedError(
                "This channel is no incident's: use the command in an incident's channel, "
                "or open one with `/incident open SEVERITY TITLE`."
            )
        found = self.log.incident(self.number)
        assert found is not None
        return found

    def other(self, number: int) -> Incident:
        """Another incident by number; RefusedError where there is none."""
        found = self.log.incident(number)
        if found is None:
            raise RefusedError(f"There is no INC-{number}; `/incident list` shows the open ones.")
        return found

    def action(self, number: int) -> Action:
        """An action by number; RefusedError where there is none."""
        found = self.log.action(number)
        if found is None:
            raise RefusedError(f"There is no request #{number}; `/pending` shows what waits.")
        return found

    @property
    def policy(self) -> Policy:
        """The policy snapshot of this channel's incident."""
        return self.log.policy(self.incident)

    def record(self, *events: Event, number: int | None = None) -> None:
        """Append to this channel's incident, or to that of `number`."""
        if events:
            self.log.record(f"incident-{number or self.number or self.incident.number}", *events)

    def record_action(self, number: int, *events: Event) -> None:
        """Append to an action."""
        if events:
            self.log.record(f"action-{number}", *events)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the incident index."""

    number: int
    title: str
    state: str
    severity: str
    service: str | None
    owner: str | None
    channel: str | None
    opened_at: datetime
    private: bool = False


class Reader(Protocol):
    """Reads beside the writer (bot/reader.py); whatever a person may not see is left out."""

    async def incident(self, number: int) -> Incident | None: ...

    async def action(self, number: int) -> Action | None: ...

    async def rows(
        self,
        *,
        open_only: bool = True,
        words: str = "",
        owner: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[Row]:
        """Index rows, the newest first."""
        ...

    async def entries(self, number: int) -> list[Entry]:
        """Everything recorded about an incident, in order: its stream, its actions, its transcript."""
        ...

    async def pending(self, incident: int | None) -> list[Action]:
        """Requests that wait or run; all of them where `incident` is None."""
        ...

    async def events(self, stream: str) -> list[Entry]: ...

    async def roster(self) -> Roster: ...

    async def policy(self, incident: Incident) -> Policy: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """A read: who asks, where, when, and what to look with."""

    by: str
    now: datetime
    channel: str
    number: int | None
    reader: Reader
    people: People
    rules: Rules
    registry: Any = None  # commands.registry.Registry; for `help`
    runbooks: Any = None  # a mapping of file name → text; for `runbook`
    zone: str = "UTC"
    export: Any = None  # async (number, form) -> (file name, bytes, mime); the same bytes by each way

    async def incident(self) -> Incident:
        """The incident of this channel; RefusedError elsewhere."""
        found = await self.reader.incident(self.number) if self.number is not None else None
        if found is None:
            raise RefusedError("This channel is no incident's: name one, or ask in an incident's channel.")
        return found

    async def the(self, number: int | None) -> Incident:
        """The incident `number`, or this channel's."""
        if number is None:
            return await self.incident()
        found = await self.reader.incident(number)
        if found is None or not found.visible_to(self.by, number == self.number):
            raise RefusedError(
                f"There is no INC-{number} that you may see; `/incident list` shows the open ones."
            )
        return found
