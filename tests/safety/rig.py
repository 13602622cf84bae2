"""The whole bot on a virtual clock with people to speak for, and a chat that can be made to misbehave."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import event, text

from bot.app import Bot, boot
from bot.chat import House, Incoming, Receive
from bot.config import Settings, load
from bot.platforms.console import Console
from bot.platforms.console_store import Message
from bot.sandbox_pager import SandboxPager
from bot.stage import PlayStage, channels_of, targets_of, with_demo_token
from bot.targets.sandbox_kubernetes import SandboxKubernetes
from commands.actions import Outcome, Plan, Target
from incidents import events as e
from incidents.events import BOT
from incidents.ports import Clock, NotRecordedError
from tests.safety.looks import Looks

START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
PATIENCE = 200  # ticks in a row that may leave something due at the same instant

Change = Callable[[Settings], Settings]


class OddChat(Console):
    """The built-in chat with people whom nobody configured, several listeners, and look-ups that can fail."""

    def __init__(self, path: Path, settings: Settings, clock: Clock, *, name: str = "console") -> None:
        accounts = {p.ids[name]: p.display for p in settings.people.values() if name in p.ids}
        super().__init__(
            path,
            clock=clock,
            people={**accounts, "zoe": "Zoe, a stranger"},
            channels=channels_of(settings),
            zone=ZoneInfo(settings.zone),
        )
        self.name = name
        self.lookups_fail = False
        self.reactions_fail = False
        self._listeners: list[Receive] = []

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """As ever; who starts second listens, too."""
        self._listeners.append(receive)
        await super().start(self._everybody, house)

    async def stop(self) -> None:
        """Nobody listens any more."""
        self._listeners.clear()
        await super().stop()

    async def _everybody(self, act: Incoming) -> None:
        for listener in self._listeners:
            await listener(act)

    async def reactions(self, channel: str, message_id: str) -> Mapping[str, tuple[str, ...]]:
        """As ever, or no answer."""
        if self.reactions_fail:
            raise ConnectionError("the chat does not answer")
        return await super().reactions(channel, message_id)

    async def members(self, channel: str) -> frozenset[str] | None:
        """As ever, or no answer."""
        if self.lookups_fail:
            raise ConnectionError("the chat does not answer")
        return await super().members(channel)

    async def active(self, user: str) -> bool:
        """As ever, or no answer."""
        if self.lookups_fail:
            raise ConnectionError("the chat does not answer")
        return await super().active(user)


class StoppableKubernetes(SandboxKubernetes):
    """The sandbox's cluster, whose rollouts can be stopped: the count goes back to what it was."""

    def planned(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """A plan that can be stopped."""
        return replace(super().planned(verb, args), stoppable=True)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """Stop where it is."""
        self.world.set(plan.args["service"], replicas=plan.before["replicas"])
        return True


class Cable:
    """A target at the end of a long cable: changes take a while to get there, answers to come back."""

    def __init__(self, target: Target, stage: OddStage) -> None:
        self._target = target
        self._stage = stage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    async def run(self, plan: Plan, **more: Any) -> Outcome:
        """As the target does, when it hears of it."""
        if self._stage.before_run is not None:
            await self._stage.clock.sleep(self._stage.before_run)
        if self._stage.fails is not None:
            raise ConnectionError(self._stage.fails)
        outcome = await self._target.run(plan, **more)
        if self._stage.after_run is not None:
            await self._stage.clock.sleep(self._stage.after_run)
        return outcome


class OddStage(PlayStage):
    """A stage whose bots may be several on one log, one sandbox and one or two chats."""

    def __init__(
        self, settings: Settings, data: Path, *, second_chat: bool = False, stoppable: bool = False
    ) -> None:
        super().__init__(settings, data, START, lambda record: None)
        self.console.close()
        self.console = self.chat = OddChat(data / "chat.db", settings, self.clock)
        self.chats = {"console": self.chat}
        if second_chat:
            self.chats["second"] = OddChat(data / "second.db", settings, self.clock, name="second")
        self.data = data
        self._stoppable = stoppable
        self.before_run: float | None = None  # seconds that a change is under way before the target has it
        self.fails: str | None = None  # what a target that breaks says
        self.after_run: float | None = None  # seconds that its answer is under way
        self.happened: list[tuple[str, e.Event]] = []
        self.bots: list[Bot] = []
        self._lives = AsyncExitStack()

    @property
    def bot(self) -> Bot:
        """The bot that was started first."""
        return self.bots[0]

    async def start(self) -> None:
        """Start a bot; beside another one where one runs already."""
        targets = targets_of(self.settings, self.world, self.clock)
        if self._stoppable:
            targets["kubernetes"] = StoppableKubernetes(self.world)
        targets["kubernetes"] = Cable(targets["kubernetes"], self)
        made = boot(
            self.settings,
            self.data,
            platforms=dict(self.chats),
            targets=targets,
            pager=SandboxPager(self.console, self.world),
            clock=self.clock,
            observe=lambda stream, event, number: self.happened.append((stream, event)),
        )
        self.bots.append(await self._lives.enter_async_context(made))
        await self.bots[-1].start()

    async def kill(self) -> None:
        """End every bot where it stands."""
        self.bots.clear()
        await self._lives.aclose()
        self._lives = AsyncExitStack()

    async def close(self) -> None:
        """End everything."""
        await self.kill()
        for chat in self.chats.values():
            chat.close()

    async def settle(self) -> None:
        """Return when no bot has anything to do before the clock moves."""
        while True:
            await self.quiet()
            if not sum([await bot.deliverer.drain() for bot in self.bots]):
                return

    async def quiet(self) -> None:
        turns = 0
        while turns < 3:
            for bot in self.bots:
                with suppress(NotRecordedError):  # it is away: there is nothing to wait for
                    await bot.store.idle()
            await asyncio.sleep(0)
            active = sum(bot.work.active for bot in self.bots)
            if active > self.clock.parked or any(bot.store.pending for bot in self.bots):
                turns = 0
                await asyncio.sleep(0.0002)
            else:
                turns += 1

    async def turn(self) -> None:
        """Let everybody who can do so go on a little; for when the log is away, and nothing settles."""
        await asyncio.sleep(0.001)

    async def waits(self, seconds: float) -> None:
        """Time passes from due time to due time, the last instant included."""
        await self.settle()
        until, idle = self.clock.now() + timedelta(seconds=seconds), 0
        while (due := await self._next()) is not None and due <= until:
            now = self.clock.now()
            idle = 0 if due > now else idle + 1
            assert idle < PATIENCE, "the bot does not come to rest"
            await self._to(max(due, now))
        await self._to(until)

    async def _next(self) -> datetime | None:
        found = [self.clock.next()]
        for bot in self.bots:
            found += [await bot.watch.next(), await bot.deliverer.next_retry()]
        return min((at for at in found if at is not None), default=None)

    async def _to(self, now: datetime) -> None:
        self.clock.move(now)
        for bot in self.bots:
            await bot.watch.tick()
        await self.settle()
        self.clock.wake(now)
        await self.settle()


@dataclass
class Someone:
    """A person at the chat; what they do is done when the bot has settled."""

    name: str
    chat: Chat
    platform: str = "console"

    async def says(self, words: str, where: str | None = None, thread: str | None = None) -> str:
        """Write something: into the incident's channel, or another one by its name."""
        console = self.chat.stage.chats[self.platform]
        channel = self.chat.channel_on(self.platform) if where is None else console.channel_named(where)
        assert channel is not None, f"there is no {where}"
        message = await console.says(self.name, channel, words, thread)
        await self.chat.settle()
        return message

    async def reacts(self, to: Message | str, emoji: str, *, settle: bool = True) -> None:
        """React to a message, or to one by its id."""
        await self._react(to, emoji, added=True)
        if settle:
            await self.chat.settle()

    async def unreacts(self, to: Message | str, emoji: str) -> None:
        """Take a reaction back."""
        await self._react(to, emoji, added=False)
        await self.chat.settle()

    async def _react(self, to: Message | str, emoji: str, *, added: bool) -> None:
        ident = to if isinstance(to, str) else to.id
        await self.chat.stage.chats[self.platform].reacts(self.name, ident, emoji, added)

    async def presses(self, label: str, on: Message) -> None:
        """Press a button."""
        await self.chat.stage.chats[self.platform].presses(self.name, on.id, label)
        await self.chat.settle()

    async def edits(self, message: str, words: str) -> None:
        """Change an own message."""
        await self.chat.stage.chats[self.platform].edits(self.name, message, words)
        await self.chat.settle()

    async def deletes(self, message: str) -> None:
        """Delete an own message."""
        await self.chat.stage.chats[self.platform].deletes(self.name, message)
        await self.chat.settle()


class Chat(Looks):
    """The people of the example configuration in one chat with the bot, and what can be seen there."""

    def __init__(self, stage: OddStage) -> None:
        self.stage = stage
        self.console = stage.chat
        self.number: int | None = None
        for name in (*stage.settings.people, "zoe"):
            setattr(self, name, Someone(name, self))
        self._since = 0

    def __getattr__(self, name: str) -> Someone:
        raise AttributeError(f"nobody here is called {name}")

    # -- going on ---------------------------------------------------------------------------------

    async def opens(self, line: str = "/incident open critical Redis is down service=realtime") -> None:
        """alice opens an incident and acknowledges it; from now on people write in its channel."""
        await self.alice.says(line, "#ops")
        self.number = (self.number or 0) + 1
        await self.alice.says("/ack")

    async def settle(self) -> None:
        """Let the bot come to rest."""
        await self.stage.settle()

    async def waits(self, seconds: float) -> None:
        """Let time pass."""
        await self.stage.waits(seconds)

    async def restarts(self, change: Change | None = None) -> None:
        """Kill the bot and start it on the same data, with another configuration where that is wanted."""
        await self.stage.kill()
        if change is not None:
            self.stage.settings = change(self.stage.settings)
        await self.stage.start()
        await self.settle()

    # -- what is there ----------------------------------------------------------------------------

    def channel_on(self, platform: str) -> str:
        """The incident's channel, before there is one #ops."""
        console = self.stage.chats[platform]
        if self.number is None:
            found = console.channel_named("#ops")
        else:
            key = f"wb-open-{self.number}"
            found = next((c.id for c in console.store.channels.values() if c.key == key), None)
        assert found is not None
        return found

    @property
    def channel(self) -> str:
        """The incident's channel."""
        return self.channel_on("console")

    def messages(self, *, platform: str = "console") -> list[Message]:
        """Everything that the bot wrote, oldest first."""
        found = self.stage.chats[platform].store.messages.values()
        return [m for m in found if m.author == BOT and m.by_bot]

    def card(self, number: int | None = None, platform: str = "console") -> Message:
        """The newest approval card, or that of a request."""
        cards = [m for m in self.messages(platform=platform) if m.card == "approval"]
        if number is not None:
            cards = [m for m in cards if re.search(rf"#{number}\b", m.plain.splitlines()[0])]
        assert cards, "there is no such card"
        return cards[-1]

    def cards(self) -> int:
        """How many approval cards were posted."""
        return sum(m.card == "approval" for m in self.messages())

    def mark(self) -> None:
        """From here on `bot_said` looks."""
        self._since = self.console.store.rev

    def bot_said(self, reader: str | None = None) -> str:
        """What the bot wrote or changed since the mark, that everybody reads (or one person alone)."""
        found = [m for m in self.messages() if m.rev > self._since and m.reader == reader]
        return "\n".join(m.plain for m in found)

    def bot_said_to(self, person: str) -> str:
        """What the bot told one person alone since the mark."""
        return self.bot_said(person)

    # -- files ------------------------------------------------------------------------------------

    def chat_bytes(self) -> bytes:
        """Every byte of the chat's files."""
        return _bytes(self.stage.data, "chat.db")

    @asynccontextmanager
    async def full_disk(self) -> AsyncIterator[None]:
        """The log's file cannot grow any more."""
        pages = await self.stage.bot.store.run(lambda u: u.execute(text("PRAGMA page_count")).scalar_one())
        async with self._pragma("max_page_count", pages, 1_000_000):
            yield

    @asynccontextmanager
    async def log_held(self) -> AsyncIterator[None]:
        """Another process holds the log's lock for good; the bots do not wait long for it."""
        with closing(sqlite3.connect(self.stage.data / "watchbell.db", isolation_level=None)) as other:
            async with self._pragma("busy_timeout", 10, 5000):
                other.execute("BEGIN IMMEDIATE")
                yield
                other.execute("ROLLBACK")

    @asynccontextmanager
    async def _pragma(self, name: str, value: int, normal: int) -> AsyncIterator[None]:
        """A setting of the connection that writes, and of those that take its place."""

        def connected(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA {name} = {value}")

        async def run(setting: int) -> None:
            for bot in self.stage.bots:
                await bot.store.run(lambda u: u.execute(text(f"PRAGMA {name} = {setting}")).all())

        await run(value)
        engines = [bot.store._engines[0] for bot in self.stage.bots]
        for engine in engines:
            event.listen(engine, "connect", connected)
        try:
            yield
        finally:
            for engine in engines:
                event.remove(engine, "connect", connected)
            await run(normal)


def _bytes(folder: Path, name: str) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{name}*")))


# -- configurations ---------------------------------------------------------------------------------


@cache
def _example() -> Settings:
    return with_demo_token(load(None, {}, tokens=False))[0]


def example(*changes: Change) -> Settings:
    """The example configuration with a token for alerts, changed."""
    settings = _example()
    for change in changes:
        settings = change(settings)
    return settings


def with_roles(**roles: Sequence[str]) -> Change:
    """These people have exactly these roles."""

    def change(settings: Settings) -> Settings:
        given = {name: replace(settings.people[name], roles=frozenset(r)) for name, r in roles.items()}
        return replace(settings, people={**settings.people, **given})

    return change


def with_accounts(**ids: str) -> Change:
    """These people have an account on the second chat, too."""

    def change(settings: Settings) -> Settings:
        given = {
            name: replace(settings.people[name], ids={**settings.people[name].ids, "second": ident})
            for name, ident in ids.items()
        }
        return replace(settings, people={**settings.people, **given})

    return change


def with_limits(**limits: int) -> Change:
    """Other limits."""
    return lambda settings: replace(settings, limits=replace(settings.limits, **limits))


def with_approvals(**terms: Any) -> Change:
    """Other terms of approval."""
    return lambda settings: replace(settings, approvals=replace(settings.approvals, **terms))


@asynccontextmanager
async def chatting(
    folder: Path, *changes: Change, bots: int = 1, opened: bool = True, **options: bool
) -> AsyncIterator[Chat]:
    """A bot that runs, with its chat; with an incident that alice opened unless told otherwise."""
    stage = OddStage(example(*changes), folder, **options)
    try:
        for _ in range(bots):
            await stage.start()
        made = Chat(stage)
        await made.settle()
        if opened:
            await made.opens()
        yield made
    finally:
        await stage.close()
