"""A bot that is killed and started again and again: the child that lives shortly, and the zygote that makes it.

`python -m tests.killing DATA ROUNDS:MOST SEED [slack URL | matrix FILE]` starts the bot in a child of its own, kills
each child at a random moment with SIGKILL, and lets the last one finish. After so many rounds it goes on, at most to
the other number, until enough has happened: how much that is in a short life hangs on the machine. People act in the
browser chat, from within the child; with the address of Slack's stand-in they act beside it, see killing_slack.py, and
with a file that tells of a homeserver there, see killing_matrix.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import structlog

from bot import store
from bot.app import Bot, boot, database, living, registry
from bot.chat import Platform
from bot.config import Settings, load
from bot.platforms.console import Console
from bot.platforms.console_people import NotPossibleError
from bot.render import Renderer
from bot.sandbox_pager import SandboxPager
from bot.targets import sandbox
from bot.targets.sandbox_world import World
from incidents.ports import Clock

SPEED = 40.0  # seconds of the bot's time in one of ours, where a chat takes what is said at once
START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
STARTING = 0.25  # so many of the children die while they start; the others while people act
LONGEST = 0.25  # seconds
LIVES = 0.5
AWAY = 25.0  # seconds of the bot's time between a kill and the next start
PATIENCE = 30  # seconds that a start may take on a busy machine
ENOUGH = {  # of each event
    "IncidentOpened": 4,
    "NoteAdded": 4,
    "ActionStarted": 4,
    "VoteCast": 4,
    "ReminderDue": 1,
    "EscalationDue": 1,
}
LAST = "last"  # the file that is there once nobody is killed any more


class SharedClock:
    """One time for all children, `began` being its first moment: it goes on while nobody lives.

    It runs `speed` times as fast as ours.
    """

    def __init__(self, began: float, speed: float) -> None:
        self._began = began
        self._speed = speed

    def now(self) -> datetime:
        """The present moment."""
        return START + timedelta(seconds=(time.time() - self._began) * self._speed)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many of its seconds."""
        await asyncio.sleep(max(0.0, seconds) / self._speed)


class Chat(Protocol):
    """Where it happens: made before the first child, used by each."""

    settings: Settings
    speed: float  # seconds of the bot's time in one of ours
    away: float  # seconds of the bot's time between a kill and the next start: reminders come due on any machine
    longest: float  # seconds that a child lives after its start, at most
    lives: float  # or, on a busy machine, as a multiple of how long the start took

    def open(self, clock: Clock) -> Platform:
        """The bot's side of the chat, in a child."""
        ...

    def telephones(self, platform: Any) -> Any:
        """Where the sandbox's pages ring."""
        ...

    def ready(self, bot: Bot) -> None:
        """Called in a child once the bot has started."""
        ...

    async def live(self, platform: Any, seed: int) -> None:
        """What happens from within the child until it is killed."""
        ...

    def pass_away(self) -> None:
        """Called after each kill: the chat's own time goes on, too."""
        ...

    def conclude(self) -> None:
        """Called before the last child starts; returns when people have done all that they do."""
        ...


async def child(chat: Chat, data: Path, began: float, seed: int, ready: int, *, last: bool) -> None:
    """Start the bot on the data and let people act until killed; the last one only waits for calm."""
    clock = SharedClock(began, chat.speed)
    async with AsyncExitStack() as stack:
        platform = chat.open(clock)
        world = World(data / "sandbox.json", clock)
        targets = sandbox.build({}, catalogue=chat.settings.catalogue, clock=clock, world=world)
        bot = await stack.enter_async_context(
            boot(
                chat.settings,
                data,
                platforms={platform.name: platform},
                targets=targets,
                pager=SandboxPager(chat.telephones(platform), world),
                clock=clock,
            )
        )
        chat.ready(bot)
        await stack.enter_async_context(living(bot))
        if last:
            await calm(bot)
            return
        os.write(ready, b"!")
        await chat.live(platform, seed)


async def calm(bot: Bot) -> None:
    """Return when nothing is due, under way or waiting to be delivered."""
    quiet = 0
    while quiet < 5:
        await asyncio.sleep(0.3)
        await bot.watch.tick()
        await bot.executor.recover()
        delivered = await bot.deliverer.drain()
        # Only the delivery loop itself is left among the tasks.
        quiet = quiet + 1 if bot.work.active <= 1 and not delivered else 0


# -- the browser chat --------------------------------------------------------------------------------


class ConsoleChat:
    """The browser chat, whose file outlives the children; people act through it from within."""

    speed, away, longest, lives = SPEED, AWAY, LONGEST, LIVES

    def __init__(self, data: Path) -> None:
        self.settings = load(None, {})
        self._data = data

    def open(self, clock: Clock) -> Console:
        """The chat on its file."""
        return Console(
            self._data / "chat.db",
            clock=clock,
            people={name: person.display for name, person in self.settings.people.items()},
            channels=list(self.settings.channels.all),
            zone=ZoneInfo(self.settings.zone),
        )

    def telephones(self, platform: Console) -> Console:
        """Pages appear in the chat."""
        return platform

    def ready(self, bot: Bot) -> None:
        """Nothing is to be done."""

    async def live(self, platform: Console, seed: int) -> None:
        """People act for ever."""
        people = People(platform, random.Random(seed), seed, self._data / "acts.jsonl")
        while True:
            await people.act()
            await asyncio.sleep(people.random.uniform(0.01, 0.05))

    def pass_away(self) -> None:
        """It has the bot's own clock."""

    def conclude(self) -> None:
        """People act within the children only."""


class People:
    """What people do at random; each act is noted after the chat took it."""

    def __init__(self, console: Console, dice: random.Random, seed: int, acts: Path) -> None:
        self._console = console
        self.random = dice
        self._seed = seed
        self._acts = acts
        self._count = 0

    async def act(self) -> None:
        """One thing."""
        self._count += 1
        name = f"{self._seed}-{self._count}"
        # People come once they are asked in: a channel has its topic from then on, and is the incident's.
        every = self._console.store.channels.values()
        channels = [c for c in every if c.name.startswith("inc-") and c.topic and not c.archived]
        choice = self.random.random()
        try:
            if not channels or (choice < 0.03 and len(channels) < 6):
                await self._say(
                    "grace", self._ops(), f'/incident open critical "case {name}" service=realtime', name
                )
                return
            channel = self.random.choice(channels).id
            if choice < 0.55:
                await self._say(self._anybody(), channel, f"/note remark {name}", name)
            elif choice < 0.65:
                await self._say(self._anybody(), channel, f"chatting about {name}", name)
            elif choice < 0.655:
                await self._say(self._anybody(), channel, f"/update progress {name}", name)
            elif choice < 0.67:
                await self._say("alice", channel, "/ack", name)
            elif choice < 0.83:
                await self._say("alice", channel, f"/scale realtime {self.random.randint(1, 20)}", name)
            else:
                await self._vote(channel)
        except NotPossibleError:
            return

    async def _say(self, user: str, channel: str, text: str, name: str) -> None:
        message_id = await self._console.says(user, channel, text)
        with self._acts.open("a") as file:
            file.write(json.dumps({"text": text, "id": message_id, "name": name}) + "\n")
            file.flush()

    def _ops(self) -> str:
        found = self._console.channel_named("#ops")
        assert found is not None
        return found

    def _anybody(self) -> str:
        return self.random.choice(("alice", "bob", "carol"))

    async def _vote(self, channel: str) -> None:
        card = self._console.newest(card="approval", channel=channel)
        if card is not None:
            emoji = "✅" if self.random.random() < 0.9 else "❌"
            await self._console.reacts(self.random.choice(("bob", "carol", "dave")), card.id, emoji)


# -- the zygote --------------------------------------------------------------------------------------


def main() -> None:
    """Make children and kill them."""
    data, seed = Path(sys.argv[1]), int(sys.argv[3])
    rounds, most = map(int, sys.argv[2].split(":"))
    data.mkdir(parents=True, exist_ok=True)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    store.upgrade(database(data))
    chat = _chat(data, sys.argv[4:])
    _prepare()
    dice = random.Random(seed)
    began = time.time()
    number = 0
    while number < rounds or (number < most and not enough(data)):
        told, ready = os.pipe()
        life = _life(chat, data, began - number * chat.away / chat.speed, seed * 100_000 + number, ready)
        process, born = _forked(life), time.monotonic()
        longest = chat.longest
        if dice.random() >= STARTING:
            select.select([told], [], [], PATIENCE)
            longest = max(longest, (time.monotonic() - born) * chat.lives)  # a busy machine needs longer
        time.sleep(dice.uniform(0, longest))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(told)
        os.close(ready)
        chat.pass_away()
        number += 1
    (data / LAST).touch()
    chat.conclude()
    process = _forked(_life(chat, data, began - number * chat.away / chat.speed, seed, -1, last=True))
    _, status = os.waitpid(process, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def enough(data: Path) -> bool:
    """Whether the log holds what the tests look at."""
    with closing(sqlite3.connect(data / "watchbell.db")) as log:
        kinds = dict(log.execute("SELECT kind, count(*) FROM events GROUP BY kind").fetchall())
    return all(kinds.get(kind, 0) >= count for kind, count in ENOUGH.items())


def _prepare() -> None:
    """Work out here what each child would at its start, so that it is with people soon."""
    registry()
    renderer = Renderer()
    for name in renderer.names:
        renderer.template(name)


def _chat(data: Path, asked: list[str]) -> Chat:
    """The browser chat, or what is asked for: its name, and where it is."""
    if not asked:
        return ConsoleChat(data)
    name, where = asked
    if name == "slack":
        from tests.killing_slack import SlackChat

        return SlackChat(where)
    from tests.killing_matrix import MatrixChat

    return MatrixChat(Path(where), data)


def _life(
    chat: Chat, data: Path, began: float, seed: int, ready: int, *, last: bool = False
) -> Callable[[], None]:
    return lambda: asyncio.run(child(chat, data, began, seed, ready, last=last))


def _forked(life: Callable[[], None]) -> int:
    """A child's process id; in the child its whole life, which never returns to the zygote's code."""
    if (process := os.fork()) != 0:
        return process
    try:
        life()
    except BaseException:  # noqa: BLE001 - the edge
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
