"""The whole bot on a real Synapse and a virtual clock, which the server's events follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.app import boot
from bot.chat import House, Incoming, Receive
from bot.clock import VirtualClock
from bot.config import Settings, load
from bot.platforms.matrix import Matrix
from bot.play_stage import Observer, Record, StageFactory
from bot.sandbox_pager import SandboxPager
from bot.stage import PlayStage, channels_of, targets_of, with_demo_token
from bot.targets.sandbox_world import World
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import Post, Room
from tests.servers.synapse import Synapse, shared

PATIENCE = 20.0  # seconds until the bot has taken an act in


class Heard:
    """Which events the bot has taken in, over all its lives."""

    def __init__(self) -> None:
        self._done: set[str] = set()
        self._news = asyncio.Condition()

    def wrap(self, receive: Receive) -> Receive:
        """The same, remembered."""

        async def remembered(act: Incoming) -> None:
            await receive(act)
            async with self._news:
                self._done.add(act.event_id)
                self._news.notify_all()

        return remembered

    async def wait(self, event: str) -> None:
        """Return when the bot has taken this one in; TimeoutError where it does not."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: event in self._done)


class HeardMatrix(Matrix):
    """The adapter, with an ear at its door."""

    heard: Heard

    async def start(self, receive: Receive, house: House | None = None) -> None:
        await super().start(self.heard.wrap(receive), house)


class MatrixStage(PlayStage):
    """People, rooms, sandbox and clock outlast the bot, which can be killed and started again."""

    def __init__(  # not the console's: the chat is another
        self,
        settings: Settings,
        people: MatrixPeople,
        clock: VirtualClock,
        data: Path,
        observe: Observer,
        *,
        encrypted: bool,
    ) -> None:
        self.settings = on_matrix(settings, people)
        self.clock = clock
        self._data = data
        self._observe = observe
        data.mkdir(parents=True, exist_ok=True)
        self.world = World(data / "sandbox.json", self.clock)
        self._bot = None
        self._running = AsyncExitStack()
        self._server, self._encrypted = people.server, encrypted
        self._names = {people.user(name): name for name in settings.people}
        self._recorded = 0  # so many of the events that the bot's account sees
        self._heard = Heard()
        self.people = people
        self.console = people  # type: ignore[assignment]
        people.observe(self._said)
        people.taken = self._taken
        self._furnish()

    def _furnish(self) -> None:
        """The people, and the rooms of the configuration: all are in the first one, whoever speaks in the others."""
        self.people.joins((name, p.display) for name, p in self.settings.people.items())
        for place, channel in enumerate(channels_of(self.settings)):
            members = list(self.settings.people) if place == 0 else []
            self.people.creates(channel.removeprefix("#"), members=members)

    async def _taken(self, _room: str, event: str) -> None:
        if self._bot is not None:
            await self._heard.wait(event)

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
            # Scenarios press buttons everywhere; what reactions may not approve by default has tests of its own.
            danger_by_reaction=True,
            wall=lambda: self.clock.now().timestamp(),
        )
        made.heard = self._heard
        return made

    async def start(self) -> None:
        """Start the bot on the data that is there."""
        self._server.set_clock(self.clock.now().timestamp())
        await self._begin()

    async def _begin(self) -> None:
        self._bot = await self._running.enter_async_context(
            boot(
                self.settings,
                self._data,
                platforms={"matrix": self._platform()},
                targets=targets_of(self.settings, self.world, self.clock),
                pager=SandboxPager(self.people, self.world),  # type: ignore[arg-type]
                clock=self.clock,
                observe=self._happened,
            )
        )
        await self._bot.start()

    async def close(self) -> None:
        """End everything, and see that nothing was said in the clear, or to nobody; the server goes on."""
        await self.kill()
        self._server.run_clock()
        beside = self.people.beside
        beside.refresh()
        assert not beside.bare, beside.bare
        assert not beside.unreadable, beside.unreadable

    async def settle(self) -> None:
        """Return when nothing is left to do, with everything recorded that the bot did in the chat."""
        while True:
            await super().settle()
            if not self._record():
                return

    async def tick(self, now: datetime) -> None:
        """Move both clocks; deadlines come before anything else at that time."""
        self._server.set_clock(now.timestamp())
        await super().tick(now)

    async def channel_of(self, number: int) -> str | None:
        """The name of an incident's room: the one that keeps the key it was opened with."""
        self.people.beside.refresh()
        key = f"wb-open-{number}"
        found = (r for r in self.people.beside.rooms.values() if r.of("org.watchbell.room").get("key") == key)
        return next((room.name for room in found), None)

    # -- records --------------------------------------------------------------------------------------

    def _record(self) -> int:
        """Tell the observer what the bot did anew; returns how much that was."""
        beside = self.people.beside
        beside.refresh()
        new = beside.events[self._recorded :]
        self._recorded += len(new)
        mine = [self._record_of(*pair) for pair in new if pair[1]["sender"] == self.people.bot.user]
        for record in filter(None, mine):
            self._observe(record)
        return len(new)

    def _record_of(self, room: Room, event: Mapping[str, Any]) -> Record | None:
        content = event["content"]
        relation = content.get("m.relates_to") or {}
        if event["type"] == "m.reaction":
            post = room.posts.get(relation.get("event_id", ""))
            key = str(relation.get("key", ""))
            return None if post is None or post.offers(key) else self._told("react", room, post, key)
        if event["type"] != "m.room.message":
            return None
        replaces = relation.get("rel_type") == "m.replace"
        shown = dict(content.get("m.new_content") or {}) if replaces else dict(content)
        root = room.posts.get(relation.get("event_id", event["event_id"]) if replaces else event["event_id"])
        thread = root.thread if root is not None else None
        post = Post(event["event_id"], room.id, event["sender"], event["origin_server_ts"], shown, thread)
        do = "edit" if replaces else "upload" if post.file else "say"
        return self._told(do, room, post, None)

    def _told(self, do: str, room: Room, post: Post, reacted: str | None) -> Record:
        channel = self._called(room, post)
        users = post.content.get("m.mentions", {}).get("user_ids", ()) if reacted is None else ()
        return Record(
            at=self.clock.now(),
            do=do,  # type: ignore[arg-type]
            channel=channel,
            thread=post.thread,
            card=post.mark.get("card") or None,
            to=tuple(self._names[user] for user in users),
            text=_text(room, post) if reacted is None else reacted,
            buttons=tuple(b.label for b in post.buttons) if reacted is None else (),
            incident=self._number(channel),
        )

    def _called(self, room: Room, post: Post) -> str:
        """The channel: of a direct message the one that it is about, else @ and whose it is."""
        if not room.direct:
            return f"#{room.name}"
        if (subject := self.people.beside.rooms.get(post.about or "")) is not None:
            return f"#{subject.name}"
        names = [self._names[user] for user in room.people if user in self._names]
        return f"@{names[0]}" if names else room.id


def _text(room: Room, post: Post) -> str:
    """What it says; the line that tells what a direct message is about is not the bot's words."""
    text = post.without_head if room.direct else post.text
    if post.file is None or post.file[0] in text:
        return text
    return f"{text}\n[{post.file[0]}]".strip()


def on_matrix(settings: Settings, people: MatrixPeople) -> Settings:
    """The settings with an account for everybody."""
    known = {name: replace(p, ids={"matrix": people.user(name)}) for name, p in settings.people.items()}
    return replace(settings, people=known)


def factory(
    *, room_version: str = "12", encrypted: bool = False, server: Synapse | None = None
) -> StageFactory:
    """Makes stages, on the server of this process or on another one."""

    @asynccontextmanager
    async def stage(
        *, config: Path | None, data: Path, start: datetime, observe: Observer
    ) -> AsyncIterator[MatrixStage]:
        settings, _token = with_demo_token(load(config, {}, tokens=False))
        clock = VirtualClock(start)
        people = MatrixPeople(server or shared(room_version), clock.now, encrypted=encrypted)
        people.stopped = True
        people.server.set_clock(start.timestamp())
        made = MatrixStage(settings, people, clock, data, observe, encrypted=encrypted)
        try:
            await made.start()
            yield made
        finally:
            await made.close()

    return stage
