"""Each chat with people in it, for the platform contract: the same acts, whatever the chat."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from bot.chat import Incoming, Platform
from bot.platforms.console import Console

PEOPLE = {"alice": "Alice", "bob": "Bob", "carol": "Carol", "mallory": "Mallory"}


@dataclass
class HandClock:
    """A clock that is moved by hand."""

    time: datetime = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def forward(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True)
class Shown:
    """A message as `reader` sees it: `text` is "" for a deleted one."""

    text: str
    buttons: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    thread: str | None = None
    edited: bool = False


def fenced(text: str) -> int:
    """How many blocks are between ```, one that is not closed included."""
    return text.count("```") // 2 + text.count("```") % 2


class Rig(Protocol):
    """What a chat offers to the contract; users are given as ids, see `user`."""

    platform: Platform
    took: list[Incoming]  # what the bot was given, redeliveries included
    keeps_presses: bool  # whether a button pressed while the bot is away is handed over later
    longest: int  # characters of a message
    empty: bool  # whether a message may have no character

    def user(self, name: str) -> str: ...
    @property
    def me(self) -> str: ...  # the bot's own user id
    @property
    def ops(self) -> str: ...  # the id of a public channel
    def private_channel(self, *names: str) -> str: ...

    async def ready(self) -> None: ...  # so that something can be said, before the bot listens
    async def kill(self) -> None: ...  # the process dies; people go on, and the next one is ready
    async def close(self) -> None: ...  # the end of the test
    async def start(self, *, fail: Callable[[Incoming], bool] | None = None) -> None: ...
    def forward(self, seconds: float) -> None: ...

    async def says(self, name: str, channel: str, text: str, thread: str | None = None) -> str: ...
    async def reacts(self, name: str, message: str, emoji: str, added: bool = True) -> None: ...
    async def presses(self, name: str, message: str, label: str) -> None: ...
    async def edits(self, name: str, message: str, text: str) -> None: ...
    async def deletes(self, name: str, message: str) -> None: ...
    def deactivate(self, name: str) -> None: ...
    def renames(self, channel: str, name: str) -> None: ...

    def shown(self, channel: str, reader: str) -> list[Shown]: ...
    def blocks(self, text: str) -> int: ...  # of fixed width, in what `marks` made
    def title(self, channel: str) -> str: ...  # the channel's name as people read it
    def topic(self, channel: str) -> str: ...
    def pinned(self, channel: str) -> list[str]: ...


class ConsoleRig:
    """The built-in chat on a file; `kill` leaves everything as a killed process leaves it."""

    keeps_presses = True
    longest, empty = 100_000, True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = HandClock()
        self.took: list[Incoming] = []
        self.platform = self._open()

    def _open(self) -> Console:
        return Console(
            self.folder / "console.db",
            clock=self.clock,
            people=PEOPLE,
            channels=["#ops"],
            zone=ZoneInfo("Europe/Berlin"),
        )

    def user(self, name: str) -> str:
        return name

    @property
    def me(self) -> str:
        return "watchbell"

    @property
    def ops(self) -> str:
        found = self.platform.channel_named("ops")
        assert found is not None
        return found

    def private_channel(self, *names: str) -> str:
        return self.platform.creates("secret", members=list(names))

    async def ready(self) -> None:
        """Nothing has to be loaded."""

    async def kill(self) -> None:
        self.platform = self._open()

    async def close(self) -> None:
        self.platform.close()

    async def start(self, *, fail: Callable[[Incoming], bool] | None = None) -> None:
        async def receive(act: Incoming) -> None:
            self.took.append(act)
            await asyncio.sleep(0)
            if fail is not None and fail(act):
                raise OSError("the log is away")

        await self.platform.start(receive)

    def forward(self, seconds: float) -> None:
        self.clock.forward(seconds)

    async def says(self, name: str, channel: str, text: str, thread: str | None = None) -> str:
        return await self.platform.says(name, channel, text, thread)

    async def reacts(self, name: str, message: str, emoji: str, added: bool = True) -> None:
        await self.platform.reacts(name, message, emoji, added)

    async def presses(self, name: str, message: str, label: str) -> None:
        await self.platform.presses(name, message, label)

    async def edits(self, name: str, message: str, text: str) -> None:
        await self.platform.edits(name, message, text)

    async def deletes(self, name: str, message: str) -> None:
        await self.platform.deletes(name, message)

    def deactivate(self, name: str) -> None:
        self.platform.deactivate(name)

    def renames(self, channel: str, name: str) -> None:
        self.platform.renames(channel, name)

    def shown(self, channel: str, reader: str) -> list[Shown]:
        return [
            Shown(
                m.plain,
                tuple(b.label for b in m.buttons),
                {f.name: self.platform.store.file(f.id) for f in m.files},
                m.thread,
                m.edited_at is not None,
            )
            for m in self.platform.messages(channel, seen_by=reader)
        ]

    def blocks(self, text: str) -> int:
        return fenced(text)

    def title(self, channel: str) -> str:
        return self.platform.store.channels[channel].title

    def topic(self, channel: str) -> str:
        return self.platform.store.channels[channel].topic

    def pinned(self, channel: str) -> list[str]:
        return [m.plain for m in self.platform.messages(channel) if m.pinned]


def _slack(folder: Path) -> Rig:
    from tests.contracts.slack_rig import SlackRig

    return SlackRig(folder)


def _slack_socket(folder: Path) -> Rig:
    from tests.contracts.slack_rig import SlackRig

    return SlackRig(folder, sockets=True)


def _matrix(folder: Path) -> Rig:
    from tests.contracts.matrix_rig import MatrixRig

    return MatrixRig(folder)


def _matrix_encrypted(folder: Path) -> Rig:
    from tests.contracts.matrix_rig import MatrixRig

    return MatrixRig(folder, encrypted=True)


RIGS: Mapping[str, Callable[[Path], Rig]] = {
    "console": ConsoleRig,
    "slack": _slack,
    "slack_socket": _slack_socket,
    "matrix": _matrix,
    "matrix_encrypted": _matrix_encrypted,
}
