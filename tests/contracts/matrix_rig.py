"""Synapse with people in it, for the platform contract."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.chat import Incoming
from bot.platforms.matrix import Matrix
from tests.contracts.platform_rigs import PEOPLE, Shown, fenced
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import Post, Room, path
from tests.servers.synapse import Synapse, shared

SINCE = "since"
PATIENCE = 10.0  # seconds until the bot has taken an act in


class Shelf:
    """What the chat asked to be kept; it outlives the bot. Of the house, no more is asked for by Matrix."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.count = 0  # how often the position in what came in was kept
        self.news = asyncio.Condition()

    async def recall(self, name: str) -> str | None:
        return self.kept.get(name)

    async def keep(self, name: str, value: str) -> None:
        async with self.news:
            self.kept[name] = value
            self.count += name == SINCE
            self.news.notify_all()


class AnsweredMatrix(Matrix):
    """The adapter, among people who accept an invitation as soon as they have it."""

    answer: Callable[[], None]

    async def direct(self, user: str) -> str:
        found = await super().direct(user)
        self.answer()
        return found

    async def arrange(self, channel: str, **asked: Any) -> None:
        await super().arrange(channel, **asked)
        self.answer()


class MatrixRig:
    """The homeserver outlives the bot, and keeps what the bot missed."""

    keeps_presses = True
    longest, empty = 30_000, True  # characters of a message, and whether one may have none

    platform: AnsweredMatrix

    def __init__(self, folder: Path, *, server: Synapse | None = None, encrypted: bool = False) -> None:
        self._folder, self._encrypted = folder, encrypted
        self._server = server or shared()
        self._server.run_clock()
        self._offset = 0.0
        self._people = MatrixPeople(
            self._server, lambda: datetime.fromtimestamp(self._wall(), UTC), encrypted=encrypted
        )
        self._people.taken = self._handed_over
        self._people.joins(PEOPLE.items())
        self._names = {self.user(name): name for name in PEOPLE}
        self._ops = self._people.creates("ops", members=PEOPLE)
        self._shelf = Shelf()
        self._listening = False
        self._gone: set[str] = set()  # whose accounts were closed
        self._done: dict[str, int] = {}  # event id → the shelf's count when it was taken in
        self._failed: set[str] = set()
        self.took: list[Incoming] = []
        self.platform = self._open()

    def _open(self) -> AnsweredMatrix:
        bot = self._people.bot
        made = AnsweredMatrix(
            homeserver=self._server.url,
            user=bot.user,
            access_token=bot.token,
            device_id=bot.device,
            store=self._folder / "keys" if self._encrypted else None,
            people=self._names,
            zone=ZoneInfo("Europe/Berlin"),
            encrypted=self._encrypted,
            wall=self._wall,
        )
        made.answer = self._answer
        return made

    def _answer(self) -> None:
        for name in PEOPLE:
            if name not in self._gone:
                self._people.view(name).refresh()

    def _wall(self) -> float:
        return time.time() + self._offset

    def user(self, name: str) -> str:
        return self._people.user(name)

    @property
    def me(self) -> str:
        return self._people.bot.user

    @property
    def ops(self) -> str:
        return self._ops

    def private_channel(self, *names: str) -> str:
        return self._people.creates("secret", members=[self._names[user] for user in names], private=True)

    # -- the bot's life -------------------------------------------------------------------------------

    async def kill(self) -> None:
        self._listening = False
        await self.platform.stop()
        self.platform = self._open()
        await self.ready()

    async def ready(self) -> None:
        """The keys are loaded, which is the first thing that the bot does at its start."""
        if self._encrypted:
            await self.platform.api.open()
            await self.platform.crypto.start()

    async def start(self, *, fail: Callable[[Incoming], bool] | None = None) -> None:
        async def receive(act: Incoming) -> None:
            self.took.append(act)
            await asyncio.sleep(0)
            failed = fail is not None and fail(act)
            async with self._shelf.news:
                if failed:
                    self._failed.add(act.event_id)
                else:
                    self._done.setdefault(act.event_id, self._shelf.count)
                self._shelf.news.notify_all()
            if failed:
                raise OSError("the log is away")

        self._failed.clear()
        await self.platform.start(receive, self._shelf)  # type: ignore[arg-type]
        self._listening = True

    async def close(self) -> None:
        await self.kill()
        await self.platform.stop()
        self._server.run_clock()

    def forward(self, seconds: float) -> None:
        self._offset += seconds
        self._server.run_clock(self._offset)

    # -- acts -----------------------------------------------------------------------------------------

    async def _handed_over(self, _room: str, event: str) -> None:
        """Wait until the bot took an event in and keeps that it did; OSError where it could not."""
        if not self._listening:
            return
        async with asyncio.timeout(PATIENCE), self._shelf.news:
            await self._shelf.news.wait_for(lambda: event in self._failed or self._kept(event))
        if event in self._failed:
            raise OSError("the log is away")

    def _kept(self, event: str) -> bool:
        return event in self._done and self._shelf.count > self._done[event]

    async def says(self, name: str, channel: str, text: str, thread: str | None = None) -> str:
        return await self._people.says(name, channel, text, thread)

    async def reacts(self, name: str, message: str, emoji: str, added: bool = True) -> None:
        await self._people.reacts(name, message, emoji, added)

    async def presses(self, name: str, message: str, label: str) -> None:
        await self._people.presses(name, message, label)

    async def edits(self, name: str, message: str, text: str) -> None:
        await self._people.edits(name, message, text)

    async def deletes(self, name: str, message: str) -> None:
        await self._people.deletes(name, message)

    def deactivate(self, name: str) -> None:
        self._server.deactivate(self.user(name))
        self._gone.add(name)

    def renames(self, channel: str, name: str) -> None:
        """As somebody does it who may: the old address goes, and a new one comes."""
        bot = self._people.bot
        old = self._room(channel).of("m.room.canonical_alias").get("alias")
        alias = f"#{name}:{bot.user.partition(':')[2]}"
        self._server.call("PUT", f"/directory/room{path(alias)}", bot, {"room_id": channel})
        where = f"/rooms{path(channel)}/state"
        self._server.call("PUT", f"{where}/m.room.canonical_alias/", bot, {"alias": alias})
        self._server.call("PUT", f"{where}/m.room.name/", bot, {"name": name})
        if old:
            self._server.call("DELETE", f"/directory/room{path(old)}", bot)

    # -- looking --------------------------------------------------------------------------------------

    def shown(self, channel: str, reader: str) -> list[Shown]:
        view = self._people.view(self._names[reader])
        view.refresh()
        if channel not in view.rooms:
            view.join(channel)
        posts = [post for post in view.posts() if channel in (post.room, post.about)]
        return [self._shown(post, channel) for post in posts if not post.deleted]

    def _shown(self, post: Post, channel: str) -> Shown:
        text = post.text if post.room == channel else post.without_head
        files = {}
        if post.file is not None:
            name, address = post.file
            files[name] = post.opened(self._server.fetch(address, self._people.bot))
        return Shown(text, tuple(b.label for b in post.buttons), files, post.thread, post.edited)

    def blocks(self, text: str) -> int:
        return max(text.count("<pre>"), text.count("</pre>"), fenced(text))

    def title(self, channel: str) -> str:
        return f"#{self._room(channel).name}"

    def topic(self, channel: str) -> str:
        return str(self._room(channel).of("m.room.topic").get("topic", ""))

    def pinned(self, channel: str) -> list[str]:
        room = self._room(channel)
        found: list[Any] = room.of("m.room.pinned_events").get("pinned", [])
        return [room.posts[event].text for event in found]

    def _room(self, channel: str) -> Room:
        self._people.beside.refresh()
        return self._people.beside.rooms[channel]
