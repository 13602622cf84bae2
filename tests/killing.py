"""A bot that is killed and started again and again: the child that lives shortly, and the zygote that makes it.

`python -m tests.killing DATA ROUNDS SEED` plays people against the bot in children of its own, kills each at
a random moment with SIGKILL, lets the last one finish, and prints what people did as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from bot import store
from bot.app import Bot, boot, database, living
from bot.config import load
from bot.platforms.console import Console
from bot.platforms.console_people import NotPossibleError
from bot.sandbox_pager import SandboxPager
from bot.targets import sandbox
from bot.targets.sandbox_world import World

SPEED = 40.0  # seconds of the bot's time in one of ours
START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
STARTING = 0.25  # so many of the children die while they start; the others while people act
LONGEST = 0.25  # seconds that people act, at most
AWAY = 25.0  # seconds of the bot's time between a kill and the next start: reminders come due on any machine
PATIENCE = 30  # seconds that a start may take on a busy machine


class SharedClock:
    """One time for all children, `began` being its first moment: it goes on while nobody lives."""

    def __init__(self, began: float) -> None:
        self._began = began

    def now(self) -> datetime:
        """The present moment."""
        return START + timedelta(seconds=(time.time() - self._began) * SPEED)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many of its seconds."""
        await asyncio.sleep(max(0.0, seconds) / SPEED)


async def child(data: Path, began: float, seed: int, ready: int, *, last: bool) -> None:
    """Start the bot on the data and play people until killed; the last one acts no more and waits for calm."""
    settings = load(None, {})
    clock = SharedClock(began)
    async with AsyncExitStack() as stack:
        console = Console(
            data / "chat.db",
            clock=clock,
            people={name: person.display for name, person in settings.people.items()},
            channels=list(settings.channels.all),
            zone=ZoneInfo(settings.zone),
        )
        world = World(data / "sandbox.json", clock)
        targets = sandbox.build({}, catalogue=settings.catalogue, clock=clock, world=world)
        bot = await stack.enter_async_context(
            boot(
                settings,
                data,
                platforms={"console": console},
                targets=targets,
                pager=SandboxPager(console, world),
                clock=clock,
            )
        )
        await stack.enter_async_context(living(bot))
        if last:
            await calm(bot)
            return
        os.write(ready, b"!")
        people = People(console, random.Random(seed), seed, data / "acts.jsonl")
        while True:
            await people.act()
            await asyncio.sleep(people.random.uniform(0.01, 0.05))


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


class People:
    """What people do at random; each act is noted before and after the chat took it."""

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


def main() -> None:
    """Make children and kill them."""
    data, rounds, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    data.mkdir(parents=True, exist_ok=True)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    store.upgrade(database(data))
    dice = random.Random(seed)
    began = time.time()
    for number in range(rounds):
        told, ready = os.pipe()
        process = os.fork()
        if process == 0:
            _live(data, began - number * AWAY / SPEED, seed * 100_000 + number, ready, last=False)
        if dice.random() >= STARTING:
            select.select([told], [], [], PATIENCE)
        time.sleep(dice.uniform(0, LONGEST))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(told)
        os.close(ready)
    process = os.fork()
    if process == 0:
        _live(data, began - rounds * AWAY / SPEED, seed, -1, last=True)
    _, status = os.waitpid(process, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def _live(data: Path, began: float, seed: int, ready: int, *, last: bool) -> None:
    """A child's whole life; it never returns to the zygote's code."""
    try:
        asyncio.run(child(data, began, seed, ready, last=last))
    except BaseException:  # noqa: BLE001 - the edge
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
