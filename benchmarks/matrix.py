"""From a command to its answer over a real Synapse: the whole bot beside a bare nio bot, in turn."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from urllib.parse import quote

import aiohttp

from benchmarks.figures import Figure
from benchmarks.matrix_bots import PING, Place, started
from benchmarks.words import title
from tests.servers.synapse import Account, Synapse

TURNS, WARM = 300, 20  # commands of each kind; those before them that are not counted
PAUSE = 0.1  # seconds between two, so that what a bot does after an answer burdens no other one
PATIENCE = 30.0  # seconds for an answer
KINDS = {"bare": PING, "update": "!update mode", "read": "!oncall"}


class Person:
    """Somebody's client: writes, and hears what is written by its own long poll."""

    def __init__(self, server: Synapse, account: Account, http: aiohttp.ClientSession) -> None:
        self._server, self._http = server, http
        self._headers = {"Authorization": f"Bearer {account.token}"}
        self._since = ""
        self._numbers = count()
        self._heard: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()

    async def call(self, method: str, path: str, body: object = None, **params: str) -> dict[str, object]:
        """Call the client-server API."""
        where = f"{self._server.url}/_matrix/client/v3{path}"
        asked = self._http.request(method, where, json=body, params=params, headers=self._headers)
        async with asked as said:
            said.raise_for_status()
            return dict(await said.json())

    async def listen(self) -> None:
        """Hear for ever: room, sender and text of every message that is no edit."""
        only = json.dumps({"room": {"timeline": {"types": ["m.room.message"]}, "state": {"types": []}}})
        while True:
            since = {"since": self._since} if self._since else {}
            said = await self.call("GET", "/sync", timeout="30000" if since else "0", filter=only, **since)
            self._since = str(said["next_batch"])
            for room, told in dict(said.get("rooms") or {}).get("join", {}).items():
                for event in told["timeline"]["events"]:
                    if "m.new_content" not in event["content"]:
                        self._heard.put_nowait((room, event["sender"], str(event["content"].get("body"))))

    async def asks(self, room: str, text: str, of: str) -> float:
        """Seconds from sending a message until an answer of somebody's is heard there."""
        while not self._heard.empty():
            self._heard.get_nowait()
        began = time.perf_counter()
        await self.says(room, text)
        async with asyncio.timeout(PATIENCE):
            while (await self._heard.get())[:2] != (room, of):
                continue
        return time.perf_counter() - began

    async def says(self, room: str, text: str) -> None:
        """Write a message."""
        where = f"/rooms/{quote(room)}/send/m.room.message/m{next(self._numbers)}"
        await self.call("PUT", where, {"msgtype": "m.text", "body": text})


async def measure() -> list[Figure]:
    """How long each kind of command takes to be answered, one after another, the kinds in turn."""
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    async with _rooms() as (person, rooms):
        for turn in range(WARM + TURNS):
            for kind, text in KINDS.items():
                room, bot = rooms[kind]
                seconds = await person.asks(room, f"{text} {turn}" if kind != "read" else text, bot)
                if turn >= WARM:
                    taken[kind].append(seconds)
                await asyncio.sleep(PAUSE)
    return _figures({kind: sorted(found) for kind, found in taken.items()})


def _figures(taken: dict[str, list[float]]) -> list[Figure]:
    figures = []
    for kind, found in taken.items():
        for share in (50, 99):
            place = TURNS * share // 100
            floor = taken["bare"][place] * 1e3 if kind != "bare" else None
            figures.append(Figure(f"matrix_{kind}_p{share}", found[place] * 1e3, "ms", floor))
    return figures


@asynccontextmanager
async def _rooms() -> AsyncIterator[tuple[Person, dict[str, tuple[str, str]]]]:
    """A person, and for each kind of command the room and the account that answers."""
    with Synapse() as server:
        alice = server.register("alice", "Alice")
        bots = {name: server.register(name) for name in ("watchbell", "echo")}
        places = {
            name: Place(server.url, bot.user, bot.token, bot.device, {"alice": alice.user})
            for name, bot in bots.items()
        }
        async with aiohttp.ClientSession() as http:
            person = Person(server, alice, http)
            ops, ping = [await _room(server, person, bots[name]) for name in ("watchbell", "echo")]
            processes = [await started(name, place) for name, place in places.items()]
            listening = asyncio.create_task(person.listen())
            try:
                incident = await _opened(server, person, ops, bots["watchbell"])
                ours = (incident, bots["watchbell"].user)
                yield person, {"bare": (ping, bots["echo"].user), "update": ours, "read": ours}
            finally:
                listening.cancel()
                for process in processes:
                    process.kill()
                    await process.wait()


async def _room(server: Synapse, person: Person, bot: Account) -> str:
    """A room of the person's with a bot in it; Watchbell's is that of operations."""
    alias = "ops" if bot.user.startswith("@watchbell") else "ping"
    body = {"preset": "public_chat", "room_alias_name": alias, "name": alias}
    room = str((await person.call("POST", "/createRoom", body))["room_id"])
    await server.act("POST", f"/join/{quote(room)}", bot)
    return room


async def _opened(server: Synapse, person: Person, ops: str, bot: Account) -> str:
    """The room of an incident that nobody is reminded of, with the person in it."""
    await person.asks(ops, f'!incident open low "{title(1)}"', bot.user)
    async with asyncio.timeout(PATIENCE):
        while (room := await _furnished(server, bot)) is None:  # noqa: ASYNC110 - the homeserver is asked
            await asyncio.sleep(PAUSE)
    await person.call("POST", f"/join/{quote(room)}", {})
    await person.asks(room, "!ack", bot.user)
    return room


async def _furnished(server: Synapse, bot: Account) -> str | None:
    """The bot's own room, once it has a topic."""
    for room in (await server.act("GET", "/joined_rooms", bot))["joined_rooms"]:
        kinds = {event["type"] for event in await server.act("GET", f"/rooms/{quote(room)}/state", bot)}
        if {"org.watchbell.room", "m.room.topic"} <= kinds:
            return str(room)
    return None
