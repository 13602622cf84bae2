"""Which chat a row of the outbox is for: where there are several, each has rows of its own and goes its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, or_

from bot import store
from bot.chat import Say
from bot.config import Settings
from incidents.incident import Incident

# What a channel in the outbox can be called by without naming a place in a chat.
SYMBOLS = frozenset({"incident", "ops", "team", "person"})
CHATS: Mapping[str, str] = {"slack": "Slack", "matrix": "Matrix", "console": "browser chat"}


def chat_name(chat: str) -> str:
    """What people call a chat: Slack, Matrix, browser chat."""
    return CHATS.get(chat, chat.capitalize())


def scoped(channel: str, chat: str) -> str:
    """A symbolic channel on one chat alone: incident:42@slack. An address is of one chat already."""
    return f"{channel}@{chat}" if _symbolic(channel) and scope(channel)[1] is None else channel


def scope(channel: str) -> tuple[str, str | None]:
    """The channel without its chat, and the chat; None for one of no chat's own, and for addresses."""
    if not _symbolic(channel):
        return channel, None
    base, at, chat = channel.rpartition("@")
    return (base, chat) if at else (channel, None)


def incident_of(channel: str) -> int | None:
    """The number in incident:42 or incident:42@slack; None for other channels."""
    kind, _, number = scope(channel)[0].partition(":")
    return int(number) if kind == "incident" else None


def chat_of(channel: str) -> str | None:
    """The chat that a row goes to; None where it goes to all of them, or to none."""
    if _symbolic(channel):
        return scope(channel)[1]
    return channel.partition(":")[0]


def _symbolic(channel: str) -> bool:
    return channel.partition(":")[0].partition("@")[0] in SYMBOLS


@dataclass(frozen=True, slots=True)
class Spot:
    """A real place in a chat."""

    platform: str
    channel: str
    thread: str | None = None
    borrowed: bool = False  # people had it before the incident


@dataclass(slots=True)
class Way:
    """One chat's share of the outbox, delivered by itself; `chat` is None for what is of no chat of `chats`.

    With one chat there is one way, for everything: then `chats` is empty.
    """

    chat: str | None = None
    chats: Sequence[str] = ()
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stale: dict[str, None] = field(default_factory=dict)  # cards whose progress is to be shown
    busy: frozenset[str] = (
        frozenset()
    )  # channels whose rows are being delivered; read by the writer's thread, too
    unmarked: list[Any] = field(default_factory=list)  # what went out and is not marked yet
    unmarked_since: float = 0.0
    marking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def has(self, channel: str) -> bool:
        """Whether rows of this channel go this way, and may go now."""
        if channel in self.busy:
            return False
        if not self.chats:
            return True
        chat = chat_of(channel)
        return chat == self.chat if self.chat is not None else chat not in self.chats

    @property
    def rows(self) -> ColumnElement[bool] | None:
        """The same as a condition on rows of the outbox; None for all."""
        busy = self.busy
        free = store.outbox.c.channel.not_in(busy) if busy else None
        if not self.chats:
            return free
        return self._mine() if free is None else and_(self._mine(), free)

    def _mine(self) -> ColumnElement[bool]:
        column = store.outbox.c.channel
        of = {
            chat: or_(
                column.startswith(f"{chat}:", autoescape=True), column.endswith(f"@{chat}", autoescape=True)
            )
            for chat in self.chats
        }
        return of[self.chat] if self.chat is not None else ~or_(*of.values())


@dataclass(frozen=True, slots=True)
class Ways:
    """All ways of a bot; each can be at work while another waits for its chat."""

    all: tuple[Way, ...]

    @classmethod
    def of(cls, chats: Sequence[str]) -> Ways:
        """One way for one chat; for several one each, and one for what belongs to none of them."""
        if len(chats) < 2:
            return cls((Way(),))
        return cls((*(Way(chat, tuple(chats)) for chat in chats), Way(None, tuple(chats))))

    def set(self) -> None:
        """Wake them all, as an event does."""
        for way in self.all:
            way.wake.set()

    def touch(self, ref: str) -> None:
        """Have a card edited soon in every chat."""
        for way in self.all:
            if way.chat is not None or not way.chats:
                way.stale[ref] = None
        self.set()


def spread(say: Say, settings: Settings, chats: Sequence[str], incident: Incident | None) -> list[Say]:
    """What is said in each of several chats: what is for one person only where they have an account.

    `incident` is the one whose channel it is; where incidents are not bridged, it is said where it has one.
    """
    if say.op == "contact" or chat_of(say.channel) is not None:
        return [say]
    home = say.home.partition(":")[0]
    wanted = [chat for chat in chats if not (say.others and chat == home)]
    if not settings.channels.bridge and incident is not None and incident.channels:
        lives = {channel.platform for channel in incident.channels}
        wanted = [chat for chat in wanted if chat in lives]
    if say.op == "whisper" and home in wanted:
        wanted = [home]
    person = _reader(say)
    if person is not None:
        found = settings.people.get(person)
        wanted = [chat for chat in wanted if found is not None and chat in found.ids]
        if not wanted:  # nobody anywhere: one row, so that it is on record
            return [say]
    return [
        replace(say, channel=scoped(say.channel, chat), home="" if chat == home else say.home)
        for chat in wanted
    ]


def _reader(say: Say) -> str | None:
    """The one person that something is for."""
    kind, _, rest = say.channel.partition(":")
    if kind == "person":
        return rest
    return str(say.data["person"]) if say.op == "whisper" else None
