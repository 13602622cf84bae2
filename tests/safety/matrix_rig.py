"""The whole bot on a real Synapse, for the cases of the list: people by name, and what each of them reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.clock import VirtualClock
from bot.config import Settings
from tests.safety.looks import Looks, Shown
from tests.safety.rig import PATIENCE, START, Change, example
from tests.scenarios.matrix_stage import HeardMatrix, MatrixStage
from tests.servers.matrix_device import Device
from tests.servers.matrix_keyring import Keyring
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import Post, Room, path
from tests.servers.synapse import shared

Json = dict[str, Any]
TICK, CROSS, PIN = "✅", "❌", "📌"
OPEN = "!incident open critical Redis is down service=realtime"


class Homeserver(MatrixStage):
    """The stage, with time that passes as in the other chats, and whatever the adapter is to be told."""

    options: dict[str, Any]

    @property
    def data(self) -> Path:
        """The folder of the log."""
        return self._data

    def _platform(self) -> HeardMatrix:
        bot = self.people.bot
        made = HeardMatrix(
            homeserver=self._server.url,
            user=bot.user,
            access_token=bot.token,
            device_id=bot.device,
            store=self._data / "matrix" if self._encrypted else None,
            people=self._names,
            zone=ZoneInfo(self.settings.zone),
            encrypted=self._encrypted,
            wall=lambda: self.clock.now().timestamp(),
            **{name: value(self) if callable(value) else value for name, value in self.options.items()},
        )
        made.heard = self._heard
        return made

    @property
    def matrix(self) -> HeardMatrix:
        """The adapter that runs now."""
        found = self.bot.platforms["matrix"]
        assert isinstance(found, HeardMatrix)
        return found

    async def waits(self, seconds: float) -> None:
        """Time passes from due time to due time, the last instant included."""
        await self.settle()
        until, idle = self.clock.now() + timedelta(seconds=seconds), 0
        while (due := await self.next_due()) is not None and due <= until:
            now = self.clock.now()
            idle = 0 if due > now else idle + 1
            assert idle < PATIENCE, "the bot does not come to rest"
            await self._to(max(due, now))
        await self._to(until)

    async def _to(self, now: datetime) -> None:
        await self.tick(now)
        await self.settle()


class Someone:
    """A person in Matrix; what they do is done when the bot has settled. Returns are event ids."""

    def __init__(self, name: str, chat: MatrixChat) -> None:
        self.name, self.chat = name, chat
        self.user = chat.people.user(name)

    async def says(self, text: str, where: str | None = None, thread: str | None = None) -> str:
        """Type a line."""
        event = await self.chat.people.says(self.name, self.chat.place(where), text, thread)
        await self.chat.settle()
        return event

    async def sends(self, content: Json, where: str | None = None, kind: str = "m.room.message") -> str:
        """Send an event as it is; the bot has read it, whatever it made of it, when this returns."""
        room = self.chat.place(where)
        account = self.chat.people._enter(self.name, room)
        send = f"/rooms{path(room)}/send/{kind}/raw-{self.chat.next_number()}"
        event = str((await self.chat.server.act("PUT", send, account, content))["event_id"])
        await self.chat.overtaken(room)
        return event

    async def seals(self, kind: str, content: Json, where: str | None = None) -> str:
        """Send an event of a kind of its own, encrypted as a message is."""
        found = self.chat.room(where)
        account = self.chat.people._enter(self.name, found.id)
        content = self.chat.keys.sealed(account, found, kind, content, bot=self.chat.people.bot)
        return await self.sends(content, where, "m.room.encrypted")

    @property
    def device(self) -> Device:
        """The keys of their device."""
        return self.chat.keys.of(self.chat.people.view(self.name).account)

    async def asks(self, line: str, where: str | None = None) -> str:
        """Give the bot a command in the way that this chat has for it."""
        return await self.says(f"{self.chat.sign}{line}", where)

    async def votes(self, on: Post) -> None:
        """Tick a card; nobody waits for what the bot does about it."""
        await self.chat.people.reacts(self.name, on.id, TICK)

    async def reacts(self, on: Post | str, emoji: str = TICK, added: bool = True) -> None:
        """Add a reaction, or take it back."""
        await self.chat.people.reacts(self.name, _id(on), emoji, added)
        await self.chat.settle()

    async def presses(self, label: str, on: Post) -> None:
        """Tap what stands for a button."""
        await self.chat.people.presses(self.name, on.id, label)
        await self.chat.settle()

    async def edits(self, message: str, text: str) -> None:
        """Change an own message."""
        await self.chat.people.edits(self.name, message, text)
        await self.chat.settle()

    async def calls(self, method: str, where: str, body: Any = None) -> Any:
        """Any call of the client-server API, as this person."""
        return await self.chat.server.act(method, where, self.chat.people.view(self.name).account, body)

    async def goes_into(self, room: str) -> None:
        """Join a room."""
        await self.calls("POST", f"/join{path(room)}")


class MatrixChat(Looks):
    """The people of the example configuration in Matrix, and what can be seen there."""

    sign, mention = "!", "Watchbell:"  # what a command begins with, and how else the bot is spoken to
    cross = CROSS

    def __init__(self, stage: Homeserver) -> None:
        self.stage, self.people, self.server = stage, stage.people, stage.people.server
        self.number = 0
        self._numbers = count(1)
        self._since = 0
        for name in stage.settings.people:
            setattr(self, name, Someone(name, self))

    def __getattr__(self, name: str) -> Someone:
        raise AttributeError(f"nobody here is called {name}")

    def account(self, name: str, display: str | None = None) -> Someone:
        """Somebody else on the homeserver."""
        self.people.joins([(name, display or name.title())])
        setattr(self, name, someone := Someone(name, self))
        return someone

    def next_number(self) -> int:
        """One that was not given yet."""
        return next(self._numbers)

    @property
    def keys(self) -> Keyring:
        """Everybody's devices, where rooms are encrypted."""
        found = self.people._keys
        assert found is not None
        return found

    # -- going on ---------------------------------------------------------------------------------

    async def opens(self, line: str = OPEN) -> None:
        """alice opens an incident and acknowledges it; from now on people write in its room."""
        await self.alice.says(line, "#ops")
        self.number += 1
        await self.alice.says("!ack")

    async def settle(self) -> None:
        """Return when the bot has nothing to do before the clock moves."""
        if self.stage._bot is not None:
            await self.stage.settle()

    async def overtaken(self, room: str) -> None:
        """The bot has read what was written there up to now: it has taken in something written after it."""
        if self.stage._bot is not None:
            await self.people.says("alice", room, f"nothing of note, {self.next_number()}")
            await self.settle()

    async def waits(self, seconds: float) -> None:
        """Let time pass."""
        await self.stage.waits(seconds)

    async def restarts(self, away: float = 0, change: Change | None = None) -> None:
        """Kill the bot, or leave it dead, and start it on the same data so many seconds later."""
        await self.stage.kill()
        now = self.stage.clock.now() + timedelta(seconds=away)
        self.stage.clock.move(now)
        self.server.set_clock(now.timestamp())
        if change is not None:
            self.stage.settings = change(self.stage.settings)
        await self.stage.start()
        await self.settle()

    # -- what is there ----------------------------------------------------------------------------

    @property
    def bot(self) -> str:
        """The bot's user id."""
        return self.people.bot.user

    def room(self, where: str | None = None) -> Room:
        """A room that the bot is in; without a name the incident's."""
        self.people.beside.refresh()
        return self.people.beside.rooms[self.place(where)]

    def place(self, where: str | None = None) -> str:
        """The id of a room; without a name the incident's, before there is one #ops; `@alice`: her messages."""
        if where is not None and where.startswith("!"):
            return where
        self.people.beside.refresh()
        if where is None and self.number:
            key = f"wb-open-{self.number}"
            rooms = self.people.beside.rooms.values()
            found = [r.id for r in rooms if r.of("org.watchbell.room").get("key") == key]
            assert len(found) == 1
            return found[0]
        found_by_name = self.people.channel_named(where or "#ops")
        assert found_by_name is not None, f"there is no {where}"
        return found_by_name

    def posts(self, where: str | None = None) -> list[Post]:
        """What stands in a room, oldest first; without a name in the incident's."""
        self.people.beside.refresh()
        return [post for post in self.people.beside.posts(self.place(where)) if not post.deleted]

    def every_post(self) -> list[Post]:
        """What stands in any room that the bot is in."""
        self.people.beside.refresh()
        return [post for post in self.people.beside.posts() if not post.deleted]

    def card(self, number: int | None = None) -> Post:
        """The newest approval card, or that of a request."""
        cards = [p for p in self.every_post() if p.sender == self.bot and p.mark.get("card") == "approval"]
        if number is not None:
            cards = [p for p in cards if f"#{number} " in p.text.splitlines()[0]]
        assert cards, "there is no such card"
        return cards[-1]

    def cards(self) -> list[Shown]:
        """The approval cards of the incident's room, oldest first."""
        return [self.shown(p) for p in self.posts() if p.mark.get("card") == "approval"]

    def offered(self, containing: str) -> tuple[Post, tuple[str, ...]]:
        """The newest message of the bot's with these words, and its buttons."""
        found = self.newest(containing)
        return found, self.shown(found).buttons

    def shown(self, post: Post) -> Shown:
        """A message as somebody reads it."""
        return Shown(post.id, post.text, tuple(b.label for b in post.buttons))

    def newest(self, containing: str) -> Post:
        """The newest message of the bot's with these words."""
        found = [p for p in self.every_post() if p.sender == self.bot and containing in p.text]
        assert found, f"the bot has not said {containing}"
        return found[-1]

    def mark(self) -> None:
        """From here on `bot_said` looks."""
        self.people.beside.refresh()
        self._since = len(self.people.beside.events)

    def bot_said(self, reader: str | None = None) -> str:
        """What the bot wrote or changed since the mark, in rooms (or to one person alone)."""
        self.people.beside.refresh()
        found = []
        for room, event in self.people.beside.events[self._since :]:
            if event["sender"] != self.bot or event["type"] != "m.room.message":
                continue
            if room.direct == (reader is not None) and (
                reader is None or self.people.user(reader) in room.people
            ):
                content = event["content"].get("m.new_content") or event["content"]
                found.append(str(content.get("body", "")))
        return "\n".join(found)

    def raw(self) -> list[tuple[Room, Mapping[str, Any]]]:
        """Every event in every room that the bot is in, as it was when it came."""
        self.people.beside.refresh()
        return self.people.beside.events


def _id(on: Post | str) -> str:
    return on if isinstance(on, str) else on.id


@asynccontextmanager
async def on_matrix(
    folder: Path,
    *changes: Change,
    opened: bool = True,
    room_version: str = "12",
    encrypted: bool = False,
    prepare: Callable[[MatrixChat], object] = lambda chat: None,
    **options: Any,
) -> AsyncIterator[MatrixChat]:
    """A bot that runs, on Matrix; with an incident that alice opened unless told otherwise.

    `options` are for the adapter, functions of the stage where they hang on it; `prepare` furnishes the homeserver
    further before the bot comes.
    """
    settings: Settings = example(*changes)
    clock = VirtualClock(START)
    people = MatrixPeople(shared(room_version), clock.now, encrypted=encrypted)
    people.server.set_clock(START.timestamp())
    stage = Homeserver(settings, people, clock, folder, lambda record: None, encrypted=encrypted)
    stage.options = dict(options)
    try:
        made = MatrixChat(stage)
        prepare(made)
        await stage.start()
        await stage.settle()
        if opened:
            await made.opens()
        yield made
    finally:
        stage.people.beside.refresh()
        stage.people.beside.bare.clear()  # what hostile people write in the clear is written on purpose
        await stage.close()
