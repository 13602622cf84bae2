"""The whole bot on Slack's stand-in and a real Synapse at once, on one virtual clock that both follow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.app import boot
from bot.config import Settings
from bot.sandbox_pager import SandboxPager
from bot.stage import channels_of, targets_of
from tests.safety.rig import START, Change, example
from tests.scenarios.matrix_stage import Heard, HeardMatrix
from tests.scenarios.slack_stage import SlackStage
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import Post
from tests.servers.slack.people import slack_id
from tests.servers.slack_server import shared as shared_slack
from tests.servers.synapse import Synapse
from tests.servers.synapse import shared as shared_synapse

INCIDENT = "inc"  # in the place of a channel's name: the incident's


class BridgeStage(SlackStage):
    """Slack as in its own stage; Matrix beside it, with an account there for everybody."""

    def __init__(self, settings: Settings, data: Path, start: datetime, matrix: MatrixPeople) -> None:
        self.matrix = matrix
        self._heard = Heard()
        people = {
            name: replace(person, ids={"slack": slack_id(name), "matrix": matrix.user(name)})
            for name, person in settings.people.items()
        }
        super().__init__(
            replace(settings, people=people),
            data,
            start,
            lambda record: None,
            server=shared_slack(),
            sockets=False,
            kept=(),
            twice=False,
        )
        matrix.taken = self._taken
        matrix._now = self.clock.now

    def _furnish(self) -> None:
        super()._furnish()
        self.matrix.joins((name, p.display) for name, p in self.settings.people.items())
        for channel in channels_of(self.settings):
            self.matrix.creates(channel.removeprefix("#"), members=self.settings.people)

    async def _taken(self, _room: str, event: str) -> None:
        if self._bot is not None:
            await self._heard.wait(event)

    def _on_matrix(self) -> HeardMatrix:
        bot = self.matrix.bot
        made = HeardMatrix(
            homeserver=self.matrix.server.url,
            user=bot.user,
            access_token=bot.token,
            device_id=bot.device,
            people={self.matrix.user(name): name for name in self.settings.people},
            zone=ZoneInfo(self.settings.zone),
            wall=lambda: self.clock.now().timestamp(),
        )
        made.heard = self._heard
        return made

    async def start(self) -> None:
        """Start the bot on the data that is there, on both chats."""
        await self._server.set_clock(self.clock.now().timestamp())
        slack = self._platform()
        self._bot = await self._running.enter_async_context(
            boot(
                self.settings,
                self._data,
                platforms={"slack": slack, "matrix": self._on_matrix()},
                targets=targets_of(self.settings, self.world, self.clock),
                pager=SandboxPager(self.people, self.world),  # type: ignore[arg-type]
                clock=self.clock,
                observe=self._happened,
            )
        )
        await self._server.act("app", events_url=await self._door.open(slack.routes()))
        await self._bot.start()

    async def tick(self, now: datetime) -> None:
        """Move all clocks, that of a homeserver that is away when it comes back."""
        if up(self.matrix.server):
            self.matrix.server.set_clock(now.timestamp())
        await super().tick(now)

    async def waits(self, seconds: float) -> None:
        """Time passes from due time to due time."""
        await self.settle()
        until = self.clock.now() + timedelta(seconds=seconds)
        while (due := await self.next_due()) is not None and due <= until:
            await self.tick(max(due, self.clock.now()))
            await self.settle()
        await self.tick(until)
        await self.settle()


class Both:
    """The people of the example configuration on both chats, and what can be read there."""

    def __init__(self, stage: BridgeStage) -> None:
        self.stage, self.slack, self.matrix = stage, stage.people, stage.matrix

    # -- acts -----------------------------------------------------------------------------------------

    async def on_slack(self, name: str, text: str, where: str = INCIDENT, **more: Any) -> str:
        """Somebody types a line in a channel of Slack's; the id of its message."""
        return await self._then(self.slack.says(name, await self.slack_channel(where), text, **more))

    async def on_matrix(self, name: str, text: str, where: str = INCIDENT, **more: Any) -> str:
        """The same in a room of Matrix's."""
        return await self._then(self.matrix.says(name, await self.room(where), text, **more))

    async def _then(self, act: Any) -> Any:
        said = await act
        await self.stage.settle()
        return said

    async def opens(self) -> None:
        """alice opens an incident on Slack."""
        await self.on_slack("alice", "/incident open critical Redis is down service=realtime", "#ops")

    async def restarts(self) -> None:
        """Kill the bot and start it again."""
        await self.stage.kill()
        await self.stage.start()
        await self.stage.settle()

    # -- what is there ----------------------------------------------------------------------------------

    async def slack_channel(self, where: str = INCIDENT) -> str:
        """The id of a channel of Slack's."""
        name = await self.stage.channel_of(1) if where == INCIDENT else where
        found = self.slack.channel_named(str(name))
        assert found is not None, f"Slack has no {where}"
        return found

    async def room(self, where: str = INCIDENT) -> str:
        """The id of a room."""
        found = self.matrix.channel_named(where)  # which has read everything anew
        if where == INCIDENT:
            rooms = self.matrix.beside.rooms.values()
            found = next(r.id for r in rooms if r.of("org.watchbell.room").get("key") == "wb-open-1")
        assert found is not None, f"Matrix has no {where}"
        return found

    async def slack_texts(self, where: str = INCIDENT) -> list[str]:
        """What the bot's messages in a channel of Slack's read now, oldest first."""
        asked = {"channel": await self.slack_channel(where), "reader": "U0WATCHBELL"}
        messages = self.stage._server.call("history", **asked)["messages"]
        return [m["text"] for m in messages if m.get("user") == "U0WATCHBELL"]

    async def matrix_posts(self, where: str = INCIDENT) -> list[Post]:
        """The bot's messages in a room, oldest first."""
        room = await self.room(where)
        posts = self.matrix.beside.rooms[room].posts.values()
        return [post for post in posts if post.sender == self.matrix.bot.user and not post.deleted]

    async def matrix_texts(self, where: str = INCIDENT) -> list[str]:
        """What they read now."""
        return [post.text for post in await self.matrix_posts(where)]

    async def matrix_card(self, kind: str) -> Post:
        """The newest card of a kind in the incident's room."""
        return [post for post in await self.matrix_posts() if post.mark.get("card") == kind][-1]

    def slack_card(self, kind: str) -> Any:
        """The newest card of a kind on Slack, as a person sees it."""
        found = self.slack.newest(card=kind)
        assert found is not None, f"Slack has no {kind}"
        return found


def up(server: Synapse) -> bool:
    """Whether the homeserver runs."""
    return server._process is not None


@asynccontextmanager
async def bridging(
    folder: Path,
    *changes: Change,
    server: Synapse | None = None,
    prepare: Callable[[BridgeStage], object] = lambda stage: None,
) -> AsyncIterator[Both]:
    """A bot that runs on both chats; `prepare` furnishes them further before it comes."""
    matrix = MatrixPeople(server or shared_synapse("12"), lambda: START)
    matrix.server.set_clock(START.timestamp())
    stage = BridgeStage(example(*changes), folder, START, matrix)
    prepare(stage)
    try:
        await stage.start()
        await stage.settle()
        yield Both(stage)
    finally:
        await stage.close()
        if up(matrix.server):
            matrix.server.run_clock()
