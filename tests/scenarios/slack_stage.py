"""The whole bot on Slack's stand-in and a virtual clock: over HTTP, and in Socket Mode."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from bot.app import boot
from bot.clock import VirtualClock
from bot.config import Settings, load
from bot.platforms.slack import Slack
from bot.platforms.slack_text import emoji_in
from bot.play_stage import Observer, Record, StageFactory
from bot.sandbox_pager import SandboxPager
from bot.stage import PlayStage, channels_of, targets_of, with_demo_token
from bot.targets.sandbox_world import World
from tests.servers.slack.people import SlackPeople, slack_id
from tests.servers.slack_server import SlackServer, shared

BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-test", "xapp-test", "shh"
DONE = {"say": "say", "edit": "edit", "react": "react", "upload": "upload", "ephemeral": "say"}


class Door:
    """The bot's HTTP server: on one port, whichever boot of the bot is behind it, if any."""

    def __init__(self) -> None:
        self._port = 0
        self._runner: web.AppRunner | None = None

    async def open(self, routes: list[web.RouteDef]) -> str:
        """Serve the routes; the address that Slack is given."""
        app = web.Application()
        app.add_routes(routes)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self._port}/slack/events"

    async def close(self) -> None:
        """Nobody answers any more."""
        if self._runner is not None:
            # asyncio loses a connection, unclosed, that it has accepted but not yet set up when its server is
            # closed (Server._attach). So first nobody new is let in, and those at the door come in.
            for site in self._runner.sites:
                for socket in site._server.sockets:
                    asyncio.get_running_loop().remove_reader(socket.fileno())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await self._runner.cleanup()
            self._runner = None


class SlackStage(PlayStage):
    """People, workspace, sandbox and clock outlast the bot, which can be killed and started again."""

    def __init__(  # not the console's: the chat is another
        self,
        settings: Settings,
        data: Path,
        start: datetime,
        observe: Observer,
        *,
        server: SlackServer,
        sockets: bool,
        kept: Collection[str],
        twice: bool,
    ) -> None:
        self.settings = settings
        self.clock = VirtualClock(start)
        self._data = data
        self._observe = observe
        data.mkdir(parents=True, exist_ok=True)
        self.world = World(data / "sandbox.json", self.clock)
        self._bot = None
        self._running = AsyncExitStack()
        self._server, self._sockets, self._door = server, sockets, Door()
        self._names = {ident: name for name, p in settings.people.items() if (ident := p.ids.get("slack"))}
        self._journal = 0  # the last entry that was recorded
        self._echo = _echo(settings)
        self.people = SlackPeople(server, self.clock.now, kept)
        self.console = self.people  # type: ignore[assignment]
        self.people.observe(self._said)
        self._furnish()
        server.call("deliver", duplicate=twice)

    def _furnish(self) -> None:
        """A fresh workspace with the people and the channels of the configuration."""
        self._server.reset(self.clock.now().timestamp())
        self.people.joins((name, p.display) for name, p in self.settings.people.items())
        for channel in channels_of(self.settings):
            members = list(self._names)
            self._server.call("add_channel", name=channel.removeprefix("#"), members=members)

    def _platform(self) -> Slack:
        mode: dict[str, Any] = (
            {"app_token": APP_TOKEN} if self._sockets else {"signing_secret": SIGNING_SECRET}
        )
        return Slack(
            bot_token=BOT_TOKEN,
            people=self._names,
            zone=ZoneInfo(self.settings.zone),
            base_url=self._server.api,
            wall=lambda: self.clock.now().timestamp(),
            pace=0,
            **mode,
        )

    async def start(self) -> None:
        """Start the bot on the data that is there."""
        await self._server.set_clock(self.clock.now().timestamp())
        slack = self._platform()
        self._bot = await self._running.enter_async_context(
            boot(
                self.settings,
                self._data,
                platforms={"slack": slack},
                targets=targets_of(self.settings, self.world, self.clock),
                pager=SandboxPager(self.people, self.world),  # type: ignore[arg-type]
                clock=self.clock,
                observe=self._happened,
            )
        )
        if not self._sockets:
            address = await self._door.open(slack.routes())
            await self._server.act("app", events_url=address)
        await self._bot.start()

    async def kill(self) -> None:
        """End the bot where it stands: nothing is finished or said."""
        await self._door.close()
        await super().kill()

    async def close(self) -> None:
        """End everything, and see that Slack was asked for nothing that its reference forbids."""
        await self.kill()
        found = self._server.call("violations")["violations"]
        assert not found, found

    async def settle(self) -> None:
        """Return when nothing is left to do, with everything recorded that the bot did in the chat."""
        while True:
            await super().settle()
            if not await self._record():
                return

    async def tick(self, now: datetime) -> None:
        """Move both clocks; deadlines come before anything else at that time."""
        await self._server.set_clock(now.timestamp())
        await super().tick(now)

    async def channel_of(self, number: int) -> str | None:
        """The name of an incident's channel: the one whose purpose says that it was opened for it."""
        mark = re.compile(rf"\bwb-open-{number}\b")
        channels = self._server.call("channels")["channels"]
        return next((c["name"] for c in channels if mark.search(c.get("purpose") or "")), None)

    # -- records --------------------------------------------------------------------------------------

    async def _record(self) -> int:
        """Tell the observer what the journal has anew; returns how much that was."""
        found = (await self._server.act("journal", since=self._journal))["journal"]
        for entry in found:
            self._journal = entry["n"]
            if entry["do"] in DONE and not (entry["do"] == "say" and self._echo.match(entry["text"])):
                self._observe(self._record_of(entry))
        return len(found)

    def _record_of(self, entry: Mapping[str, Any]) -> Record:
        name, reacted = entry["channel_name"], entry["do"] == "react"
        channel = name if name.startswith("@") else f"#{name}"
        return Record(
            at=self.clock.now(),
            do=DONE[entry["do"]],  # type: ignore[arg-type]
            channel=channel,
            thread=entry.get("thread_ts"),
            card=entry.get("card") or None,
            to=tuple(self._names[user] for user in entry.get("to", ())),
            text=emoji_in(entry["text"]) if reacted else entry["text"],
            buttons=tuple(entry.get("buttons", ())),
            incident=self._number(channel),
        )


def _echo(settings: Settings) -> re.Pattern[str]:
    """What says who ran a slash command: it stands for the message that the command is elsewhere."""
    names = "|".join(map(re.escape, settings.people))
    return re.compile(rf"(?:{names}) ran /")


def on_slack(settings: Settings) -> Settings:
    """The settings with an account in the workspace for everybody."""
    people = {
        name: replace(person, ids={"slack": slack_id(name)}) for name, person in settings.people.items()
    }
    return replace(settings, people=people)


def factory(*, sockets: bool, kept: Collection[str] = (), twice: bool = False) -> StageFactory:
    """Makes stages; lines that hold one of `kept` stay messages (see SlackPeople).

    `twice`: Slack delivers every event a second time.
    """

    @asynccontextmanager
    async def stage(
        *, config: Path | None, data: Path, start: datetime, observe: Observer
    ) -> AsyncIterator[SlackStage]:
        settings, _token = with_demo_token(load(config, {}, tokens=False))
        made = SlackStage(
            on_slack(settings),
            data,
            start,
            observe,
            server=shared(),
            sockets=sockets,
            kept=kept,
            twice=twice,
        )
        try:
            await made.start()
            yield made
        finally:
            await made.close()

    return stage
