"""A bot on the real Synapse with alice, bob and eve, for the tests of the Matrix adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zoneinfo import ZoneInfo

import nio

from bot.chat import Button, Content, Incoming
from bot.platforms.matrix import Matrix
from tests.servers.synapse import Account, Synapse

PATIENCE = 10.0  # seconds
ZONE = ZoneInfo("Europe/Berlin")


class Shelf:
    """What outlives a process."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    async def recall(self, name: str) -> str | None:
        return self.kept.get(name)

    async def keep(self, name: str, value: str) -> None:
        self.kept[name] = value


class World:
    """A bot, alice and bob of the configuration, and eve, each with an account of their own."""

    def __init__(self, server: Synapse, folder: Path) -> None:
        self.server, self.folder, self.tag = server, folder, uuid4().hex[:8]
        self.bot = self.register("watchbell", "Watchbell")
        self.alice, self.bob, self.eve = (self.register(name) for name in ("alice", "bob", "eve"))
        self.shelf = Shelf()
        self.took: list[Incoming] = []
        self._clients: list[nio.AsyncClient] = []
        self._adapters: list[Matrix] = []
        self.news = asyncio.Condition()
        self.matrix = self.made()

    def register(self, name: str, display: str | None = None) -> Account:
        return self.server.register(f"{name}-{self.tag}", display)

    def made(self, **changes: Any) -> Matrix:
        """The adapter of a new process."""
        told: dict[str, Any] = {
            "homeserver": self.server.url,
            "user": self.bot.user,
            "access_token": self.bot.token,
            "device_id": self.bot.device,
            "people": {self.alice.user: "alice", self.bob.user: "bob"},
            "zone": ZONE,
        }
        self.matrix = Matrix(**{**told, **changes})
        self._adapters.append(self.matrix)
        return self.matrix

    async def receive(self, act: Incoming) -> None:
        async with self.news:
            self.took.append(act)
            self.news.notify_all()

    async def start(self, **changes: Any) -> Matrix:
        """A new process, listening; what the one before had taken is forgotten."""
        self.took.clear()
        await self.made(**changes).start(self.receive, self.shelf)
        return self.matrix

    async def next(self, kind: type[Incoming], count: int = 1) -> list[Any]:
        """The first acts of a kind, as soon as there are so many."""
        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(lambda: len([a for a in self.took if isinstance(a, kind)]) >= count)
        return [act for act in self.took if isinstance(act, kind)]

    async def call(self, who: Account, method: str, path: str, body: Any = None) -> Any:
        return await self.server.act(method, path, who, body)

    async def send(self, who: Account, room: str, kind: str, content: Any) -> str:
        path = f"/rooms/{quote(room)}/send/{kind}/{uuid4().hex}"
        return str((await self.call(who, "PUT", path, content))["event_id"])

    async def says(self, who: Account, room: str, body: str, **more: Any) -> str:
        return await self.send(who, room, "m.room.message", {"msgtype": "m.text", "body": body, **more})

    async def reacts(self, who: Account, room: str, target: str, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": target, "key": key}
        return await self.send(who, room, "m.reaction", {"m.relates_to": relation})

    async def redacts(self, who: Account, room: str, target: str) -> None:
        await self.call(who, "PUT", f"/rooms/{quote(room)}/redact/{quote(target)}/{uuid4().hex}")

    async def room(self, *people: Account, name: str = "inc", private: bool = False) -> str:
        """A room of the bot's with people in it."""
        room, _ = await self.matrix.open_channel(
            f"{name}-{self.tag}", private=private, key=f"{name}{self.tag}"
        )
        await self.matrix.arrange(room, invite=tuple(who.user for who in people))
        for who in people:
            await self.joins(who, room)
        return room

    async def joins(self, who: Account, room: str) -> None:
        await self.call(who, "POST", f"/join/{quote(room)}")

    async def state(self, room: str, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.call(self.bot, "GET", f"/rooms/{quote(room)}/state/{kind}/")
        return found

    async def person(self, who: Account) -> nio.AsyncClient:
        """Somebody's own client, which encrypts."""
        folder = self.folder / who.device
        folder.mkdir()
        config = nio.AsyncClientConfig(max_limit_exceeded=0, max_timeouts=1, encryption_enabled=True)
        client = nio.AsyncClient(self.server.url, who.user, who.device, store_path=str(folder), config=config)
        client.restore_login(who.user, who.device, who.token)
        self._clients.append(client)
        await client.sync(full_state=True)
        await client.keys_upload()
        return client

    async def close(self) -> None:
        for adapter in self._adapters:
            await adapter.stop()
        for client in self._clients:
            await client.close()


def said(text: str, *buttons: Button, mentions: tuple[str, ...] = ()) -> Content:
    return Content(text, text, buttons, mentions)


async def until(there: Callable[[], bool]) -> None:
    """Return as soon as it is so."""
    async with asyncio.timeout(PATIENCE):
        while not there():  # noqa: ASYNC110 - what is waited for is in another task, which tells nobody
            await asyncio.sleep(0.01)


async def looked(client: nio.AsyncClient, room: str) -> list[Any]:
    """What somebody's client can read that is new."""
    answer = await client.sync(timeout=200)
    assert isinstance(answer, nio.SyncResponse)
    if client.should_query_keys:
        await client.keys_query()
    await client.send_to_device_messages()
    joined = answer.rooms.join.get(room)
    return list(joined.timeline.events) if joined is not None else []


async def encrypted(client: nio.AsyncClient, room: str, body: str) -> None:
    content = {"msgtype": "m.text", "body": body}
    answer = await client.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
    assert isinstance(answer, nio.RoomSendResponse)
