"""A bot without a face: everything real but the chat, which takes whatever it is given."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.words import title
from bot.app import Bot, boot
from bot.chat import Content, House, Marks, Receive, Request, Upload
from bot.clock import SystemClock
from bot.config import load
from bot.render import PlainMarks
from incidents.ports import Clock


class Blank:
    """A chat that accepts everything at once, so that only the bot is measured."""

    name = "console"
    keeps = True
    remembers = False

    def __init__(self) -> None:
        self.marks: Marks = PlainMarks()
        self.posted: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._ids = itertools.count(1)

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Nothing came in."""

    async def stop(self) -> None:
        """Nothing to let go of."""

    async def post(self, channel: str, content: Content, *, key: str, thread: str | None = None) -> str:
        """A new id."""
        self.posted.put_nowait((channel, content.plain))
        return f"m{next(self._ids)}"

    async def find(self, channel: str, key: str, *, thread: str | None = None) -> str | None:
        """Nothing is kept."""
        return None

    async def edit(self, channel: str, message_id: str, content: Content) -> None:
        """Taken."""

    async def react(self, channel: str, message_id: str, emoji: str) -> None:
        """Taken."""

    async def whisper(self, channel: str, user: str, content: Content, *, thread: str | None = None) -> None:
        """A refusal would make the measurement worthless."""
        raise AssertionError(content.plain)

    async def upload(
        self, channel: str, upload: Upload, content: Content, *, key: str, thread: str | None = None
    ) -> str:
        """A new id."""
        return f"m{next(self._ids)}"

    async def channel_id(self, name: str) -> str | None:
        """Every channel is there, under its name."""
        return name

    async def title(self, channel: str) -> str:
        """The same."""
        return channel

    async def direct(self, user: str) -> str:
        """A channel by the person's name."""
        return f"direct-{user}"

    async def open_channel(self, name: str, *, private: bool, key: str) -> tuple[str, str]:
        """A channel by its name."""
        return f"#{name}", f"#{name}"

    async def arrange(
        self,
        channel: str,
        *,
        topic: str | None = None,
        invite: tuple[str, ...] = (),
        pin: str | None = None,
        archive: bool | None = None,
        links: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Taken."""

    async def reactions(self, channel: str, message_id: str) -> Mapping[str, tuple[str, ...]]:
        """None."""
        return {}

    async def erase(self, channel: str, message_id: str, *, earlier: bool = False) -> bool:
        """Taken."""
        return True

    async def guards(self, channel: str) -> bool:
        """No."""
        return False

    async def members(self, channel: str) -> frozenset[str] | None:
        """Everybody."""
        return None

    async def active(self, user: str) -> bool:
        """Everybody is."""
        return True


class NoPager:
    """Takes every page."""

    async def send(self, person: str, kind: str, address: str, text: str) -> None:
        """Taken."""


@asynccontextmanager
async def bare_bot(data: Path | None = None, clock: Clock | None = None) -> AsyncIterator[tuple[Bot, Blank]]:
    """A bot on a data directory (a new one by default), built but not started."""
    chat = Blank()
    settings = load(None, {})
    with tempfile.TemporaryDirectory(prefix="watchbell-bench-") as fresh:
        made = boot(
            settings,
            data or Path(fresh),
            platforms={"console": chat},
            targets={},
            pager=NoPager(),
            clock=clock or SystemClock(),
        )
        async with made as bot:
            # Limits protect people from floods; here the flood is what is measured.
            bot.inbox.unlimited = True
            yield bot, chat


_events = itertools.count(1)


def request(text: str, channel: str, user: str = "alice") -> Request:
    """A message as a chat hands it over."""
    number = next(_events)
    return Request(
        platform="console",
        event_id=f"e{number}",
        channel=channel,
        user=user,
        text=text,
        message_id=f"h{number}",
    )


async def open_incidents(bot: Bot, count: int) -> list[str]:
    """Open so many incidents by command; the ids of their channels."""
    channels = []
    for number in range(count):
        await bot.inbox.receive(request(f'/incident open low "{title(number)}"', "#ops"))
        await bot.deliverer.drain()
        found = await bot.store.run(lambda unit, n=number: unit.state(f"incident-{n + 1}"))
        channels.append(found.channels[0].id)
    return channels
