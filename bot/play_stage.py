"""What a rehearsal plays on: the whole bot on a virtual clock, the people of its chat, and what it did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from bot.chat import Button

Do = Literal["say", "edit", "react", "upload", "page", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One thing that the bot did. `channel` is its name with #, `to` and `buttons` are names and labels."""

    at: datetime
    do: Do
    channel: str | None = None
    thread: str | None = None
    card: str | None = None
    to: tuple[str, ...] = ()
    text: str | None = None
    buttons: tuple[str, ...] = ()
    event: str | None = None
    incident: int | None = None


class Seen(Protocol):
    """A message as a person sees it."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def buttons(self) -> Sequence[Button]: ...


class People(Protocol):
    """The people of a chat: `Console` for the built-in one, a stand-in for the others.

    What the chat does not let them do raises NotPossibleError with a sentence.
    """

    async def says(self, user: str, channel: str, text: str, thread: str | None = None) -> str: ...
    async def reacts(self, user: str, message_id: str, emoji: str, added: bool = True) -> None: ...
    async def presses(self, user: str, message_id: str, label: str) -> None: ...
    async def edits(self, user: str, message_id: str, text: str) -> None: ...
    async def deletes(self, user: str, message_id: str) -> None: ...

    def channel_named(self, name: str) -> str | None:
        """The id of the channel called so, with or without `#`."""
        ...

    def newest(
        self,
        *,
        card: str | None = None,
        containing: str | None = None,
        channel: str | None = None,
        button: str | None = None,
        author: str | None = None,
        seen_by: str | None = None,
    ) -> Seen | None:
        """The newest message that fits everything asked; whispers only with `seen_by` their reader."""
        ...


class Time(Protocol):
    def now(self) -> datetime: ...


class Stage(Protocol):
    """The whole bot on a virtual clock; everything it does is told to the observer it was made with."""

    @property
    def clock(self) -> Time: ...
    @property
    def console(self) -> People: ...

    async def settle(self) -> None:
        """Return when no task is runnable, and the writer's queue and the outbox are empty."""
        ...

    async def next_due(self) -> datetime | None:
        """When something happens next by itself: a deadline, an outbox retry, a sleeping task."""
        ...

    async def tick(self, now: datetime) -> None:
        """Move the clock to `now`, let the deadlines due by then fall due, then wake who slept until then."""
        ...

    async def kill(self) -> None:
        """The bot's process dies without warning; people, sandbox and clock go on."""
        ...

    async def start(self) -> None:
        """Start the bot again on the same data."""
        ...

    async def alert(self, source: str, body: bytes) -> None:
        """Receive a webhook's body; what is wrong with it is the sender's to hear."""
        ...

    async def sandbox(self, words: Sequence[str]) -> None:
        """Change the simulated services; ValueError with a sentence where the words say nothing to them."""
        ...

    async def export(self, number: int, form: str) -> bytes:
        """An incident's export; LookupError or RefusedError with a sentence where there is none."""
        ...

    def replicas(self, service: str) -> int:
        """The sandbox's desired count; LookupError where it has no such service."""
        ...

    async def channel_of(self, number: int) -> str | None:
        """The name of an incident's channel, or None."""
        ...


Observer = Callable[[Record], None]


class StageFactory(Protocol):
    """Makes the whole bot; without `config` on the example configuration."""

    def __call__(
        self, *, config: Path | None, data: Path, start: datetime, observe: Observer
    ) -> AbstractAsyncContextManager[Stage]: ...
