"""The stage for the cases over Slack: bots that may be several on one log, and a workspace that outlives them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.app import Bot, boot
from bot.clock import VirtualClock
from bot.config import Settings
from bot.platforms.slack import Slack
from bot.platforms.slack_manifest import SCOPES
from bot.sandbox_pager import SandboxPager
from bot.stage import PlayStage, channels_of, targets_of
from bot.targets.sandbox_world import World
from incidents.ports import NotRecordedError
from tests.safety.rig import PATIENCE, START
from tests.scenarios.slack_stage import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Door
from tests.servers.slack.people import SlackPeople, slack_id
from tests.servers.slack_server import shared


class Workspace(PlayStage):
    """A stage whose bots may be several on one log and one workspace, each with a door or a socket of its own."""

    def __init__(  # not the console's: the chat is another
        self, settings: Settings, data: Path, *, sockets: bool, guests: Collection[str]
    ) -> None:
        self.settings, self.data, self.clock = settings, data, VirtualClock(START)
        self.server, self._sockets, self._guests = shared(), sockets, frozenset(map(slack_id, guests))
        self.world = World(data / "sandbox.json", self.clock)
        self.people = SlackPeople(self.server, self.clock.now)
        self.bots: list[Bot] = []
        self.doors: list[tuple[Door, str]] = []
        self._lives = AsyncExitStack()
        self._furnish()

    @property
    def bot(self) -> Bot:
        """The bot that was started first."""
        return self.bots[0]

    def _furnish(self) -> None:
        """A fresh workspace in which the app has the scopes of its manifest and no other."""
        self.server.reset(self.clock.now().timestamp(), scopes=sorted(SCOPES))
        self.people.joins((name, p.display) for name, p in self.settings.people.items())
        members = [slack_id(name) for name in self.settings.people]
        for channel in channels_of(self.settings):
            self.server.call("add_channel", name=channel.removeprefix("#"), members=members)

    def _platform(self) -> Slack:
        mode: dict[str, Any] = (
            {"app_token": APP_TOKEN} if self._sockets else {"signing_secret": SIGNING_SECRET}
        )
        return Slack(
            bot_token=BOT_TOKEN,
            people={p.ids["slack"]: name for name, p in self.settings.people.items() if "slack" in p.ids},
            zone=ZoneInfo(self.settings.zone),
            guests=self._guests,
            base_url=self.server.api,
            wall=lambda: self.clock.now().timestamp(),
            pace=0,
            **mode,
        )

    async def start(self) -> None:
        """Start a bot; beside another one where one runs already."""
        await self.server.set_clock(self.clock.now().timestamp())
        slack = self._platform()
        made = boot(
            self.settings,
            self.data,
            platforms={"slack": slack},
            targets=targets_of(self.settings, self.world, self.clock),
            pager=SandboxPager(self.people, self.world),  # type: ignore[arg-type]
            clock=self.clock,
        )
        self.bots.append(await self._lives.enter_async_context(made))
        if not self._sockets:
            door = Door()
            self.doors.append((door, await door.open(slack.routes())))
            await self.server.act("app", events_url=self.doors[0][1])
        await self.bots[-1].start()
        await self.server.act("sockets")  # what waited for a connection has come over it

    async def kill(self) -> None:
        """End every bot where it stands; Slack goes on delivering to the address that it knows."""
        for door, _ in self.doors:
            await door.close()
        self.doors.clear()
        self.bots.clear()
        await self._lives.aclose()
        self._lives = AsyncExitStack()

    async def close(self) -> None:
        """End everything, and see that Slack was asked for nothing that its reference forbids."""
        found = self.server.call("violations")["violations"]
        await self.server.act("reset")  # nothing is on its way to a bot that is just ending
        await self.kill()
        assert not found, found

    async def settle(self) -> None:
        """Return when no bot has anything to do before the clock moves."""
        while True:
            await self._quiet()
            if not sum([await bot.deliverer.drain() for bot in self.bots]):
                return

    async def _quiet(self) -> None:
        turns = 0
        while turns < 3:
            for bot in self.bots:
                with suppress(NotRecordedError):  # it is away: there is nothing to wait for
                    await bot.store.idle()
            await asyncio.sleep(0)
            active = sum(bot.work.active for bot in self.bots)
            turns = 0 if active > self.clock.parked or any(b.store.pending for b in self.bots) else turns + 1
            if not turns:
                await asyncio.sleep(0.0002)

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

    async def next_due(self) -> datetime | None:
        """When something happens next by itself."""
        found = [self.clock.next()]
        for bot in self.bots:
            found += [await bot.watch.next(), await bot.deliverer.next_retry()]
        return min((at for at in found if at is not None), default=None)

    async def _to(self, now: datetime) -> None:
        self.clock.move(now)
        await self.server.set_clock(now.timestamp())  # delivers what has become due by that
        for bot in self.bots:
            await bot.watch.tick()
        await self.settle()
        self.clock.wake(now)
        await self.settle()
