"""The whole bot on a homeserver that fails now and then, or is away: what stands between, the stage, the outcome."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from aiohttp import web

from bot.clock import VirtualClock
from bot.config import Settings, load
from bot.play import Recorder, Rehearsal
from bot.play_script import parse
from bot.play_stage import Observer, Record
from bot.stage import with_demo_token
from incidents import events as e
from tests.bot.slack_faulty import SCRIPT, START, Outcome, outbox, plain
from tests.bot.test_kill import every_event
from tests.scenarios.matrix_stage import HeardMatrix, MatrixStage
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import Post
from tests.servers.synapse import Synapse

SILENCE = 2.0  # seconds that the bot waits for an answer here, but for calls that may take long
PAUSE = 0.2  # seconds at most between two tries of the adapter's own
SLOW = ("sync", "createRoom", "join", "keys")
_HOPS = ("Host", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Connection")


@dataclass(frozen=True, slots=True)
class Faults:
    """`rate` of all calls fail, each in one of the ways `kinds`, by dice that begin with `seed`.

    500: the call is not done. reset: nor here, and the connection ends. after: it is done, and the connection ends.
    silent: it is done, and nothing is answered. limited: it is not done, and the bot is asked to wait for a second.
    """

    rate: float = 0.0
    seed: int = 0
    kinds: Sequence[str] = ("500", "reset", "after", "limited") * 3 + ("silent",)  # which costs the test time


class Between:
    """A server between the bot and the homeserver, which passes calls on, but for those that fail."""

    def __init__(self, homeserver: str, faults: Faults) -> None:
        self._homeserver = homeserver
        self._faults = faults
        self._dice = random.Random(faults.seed)
        self._onward: aiohttp.ClientSession
        self.url = ""
        self.cut = False  # whether nothing is passed on
        self.done: Counter[str] = Counter()  # faults, by their kind
        self.calls: Counter[str] = Counter()  # what was asked, by method and name
        self.limited: Counter[str] = Counter()  # what the homeserver itself has put off

    @property
    def faulty(self) -> bool:
        """Whether any calls fail."""
        return self._faults.rate > 0

    def calm(self) -> None:
        """No call fails any more."""
        self._faults = replace(self._faults, rate=0.0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Between]:
        """The server, listening at `url`."""
        app = web.Application(client_max_size=50_000_000)
        app.router.add_route("*", "/{path:.*}", self._passed)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession(auto_decompress=False) as self._onward:
                yield self
        finally:
            await runner.cleanup()

    def _fault(self, name: str) -> str:
        if self.cut:
            return "reset"
        kind = self._dice.choice(self._faults.kinds) if self._dice.random() < self._faults.rate else ""
        if kind == "silent" and name == "sync":  # which is long silent by its nature
            kind = "after"
        if kind:
            self.done[kind] += 1
        return kind

    async def _passed(self, asked: web.Request) -> web.StreamResponse:
        name = name_of(asked.path)
        kind = self._fault(name)
        self.calls[f"{asked.method} {name}"] += 1
        if kind == "500":
            return web.json_response({"errcode": "M_UNKNOWN", "error": "Internal server error"}, status=500)
        if kind == "limited":
            told = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": 1000}
            return web.json_response(told, status=429)
        answer = None if kind == "reset" else await self._answer(asked)
        if answer is not None and answer.status == 429:
            self.limited[name] += 1
        if kind == "silent":
            await asyncio.Event().wait()
        if answer is None or kind or self.cut:
            if asked.transport is not None:  # else the bot has gone
                asked.transport.abort()
            raise web.HTTPBadGateway
        return answer

    async def _answer(self, asked: web.Request) -> web.Response | None:
        """What the homeserver says; None where it does not answer."""
        headers = {name: value for name, value in asked.headers.items() if name not in _HOPS}
        body, where = await asked.read(), f"{self._homeserver}{asked.raw_path}"
        send = partial(self._onward.request, asked.method, data=body or None, headers=headers)
        try:
            async with send(aiohttp.client.URL(where, encoded=True)) as said:
                kept = {name: value for name, value in said.headers.items() if name not in _HOPS}
                return web.Response(status=said.status, body=await said.read(), headers=kept)
        except aiohttp.ClientError:
            return None


def name_of(path: str) -> str:
    """What a call is: the words of its path that are the same for every room and event."""
    known = (
        "sync",
        "createRoom",
        "join",
        "invite",
        "send",
        "state",
        "relations",
        "messages",
        "event",
        "redact",
    )
    return next((part for part in path.split("/") if part in known), path.rpartition("/")[2])


async def _not(_seconds: float) -> None:
    await asyncio.sleep(0)


async def _briefly(seconds: float) -> None:
    """The pauses between two tries are of real time, which the stage does not wait for."""
    await asyncio.sleep(min(seconds, PAUSE))


class TroubledStage(MatrixStage):
    """A stage whose bot reaches the homeserver by way of `between`; the homeserver may be stopped, too."""

    def __init__(
        self, settings: Settings, people: MatrixPeople, data: Path, observe: Observer, between: Between
    ) -> None:
        self.between = between
        super().__init__(settings, people, VirtualClock(START), data, observe, encrypted=False)

    def _platform(self) -> HeardMatrix:
        bot = self.people.bot
        made = HeardMatrix(
            homeserver=self.between.url,
            user=bot.user,
            access_token=bot.token,
            device_id=bot.device,
            people=self._names,
            zone=ZoneInfo(self.settings.zone),
            wall=lambda: self.clock.now().timestamp(),
        )
        made.heard = self._heard
        real = made.api._once

        async def impatient(method: str, where: str, data: Any, mime: str, limit: float) -> Any:
            slow = name_of(where.partition("?")[0]) in SLOW or "keys" in where
            return await real(method, where, data, mime, limit if slow else min(limit, SILENCE))

        if self.between.faulty:
            made.api._once = impatient  # type: ignore[method-assign]
        made.api._sleep = _not  # type: ignore[method-assign]
        made.inbound._sleep = _briefly  # type: ignore[method-assign]
        made.seeds._sleep = self._passes  # type: ignore[method-assign]
        made.events._monotonic = self._monotonic
        return made

    def _monotonic(self) -> float:
        return (self.clock.now() - START).total_seconds()

    async def _passes(self, seconds: float) -> None:
        """Return when so much of the stage's time has passed; it is no task that the stage would wait for."""
        until = self._monotonic() + seconds
        while self._monotonic() < until:  # noqa: ASYNC110 - the clock is moved, and tells nobody
            await asyncio.sleep(0.01)

    @property
    def up(self) -> bool:
        """Whether the homeserver runs."""
        return self._server.answers()

    async def stop_server(self) -> None:
        """The homeserver stops."""
        await asyncio.to_thread(self._server.stop)

    async def start_server(self) -> None:
        """It starts again, at the stage's time."""
        await asyncio.to_thread(self._server.start)
        self._server.set_clock(self.clock.now().timestamp())

    async def tick(self, now: datetime) -> None:
        """Move the clocks of those who are there."""
        if self.up:
            await super().tick(now)
        else:
            await super(MatrixStage, self).tick(now)

    def _record(self) -> int:
        return super()._record() if self.up else 0

    async def start(self) -> None:
        """Start the bot, whether the homeserver is there or not."""
        if self.up:
            await super().start()
        else:
            await self._begin()


class Night:
    """A stage and its rehearsal: plays lines, and looks into the rooms."""

    def __init__(self, stage: TroubledStage, recorder: Recorder) -> None:
        self.stage, self.people, self.between = stage, stage.people, stage.between
        self.recorder = recorder
        self.rehearsal = Rehearsal(stage, recorder)

    async def play(self, text: str) -> None:
        """Play lines; each can be done, and every expectation holds."""
        await self.rehearsal.play(parse(text, SCRIPT))
        assert not self.rehearsal.failures, "\n".join(map(str, self.rehearsal.failures))

    async def room(self, number: int) -> str:
        """The room of an incident."""
        found = self.people.channel_named(await self.stage.channel_of(number) or "")
        assert found is not None
        return found

    @asynccontextmanager
    async def unheard(self) -> AsyncIterator[None]:
        """What people do meanwhile is not waited for."""
        taken, self.people.taken = self.people.taken, None
        try:
            yield
        finally:
            self.people.taken = taken

    def records(self, channel: str, *did: str) -> list[Record]:
        """What the bot did in a channel, given by the beginning of its name."""
        found = [record for _, record in self.recorder.records if (record.channel or "").startswith(channel)]
        return [record for record in found if record.do in did]

    def posts(self) -> list[Post]:
        """The bot's messages, by the homeserver's time."""
        self.people.beside.refresh()
        return [post for post in self.people.beside.posts() if post.sender == self.people.bot.user]


class Exempt(MatrixPeople):
    """People whom the homeserver never makes wait; the bot it does."""

    def joins(self, people: Iterable[tuple[str, str]]) -> None:
        """Accounts, and no limit on what they do."""
        known = list(people)
        super().joins(known)
        for user in (self.server.steward.user, *(self.user(name) for name, _ in known)):
            self.server.unlimited(user)


@asynccontextmanager
async def night(
    folder: Path, server: Synapse, faults: Faults = Faults(), people_of: type[MatrixPeople] = MatrixPeople
) -> AsyncIterator[Night]:
    """The whole bot, started; the homeserver goes on afterwards."""
    settings, _token = with_demo_token(load(None, {}, tokens=False))
    recorder = Recorder()
    async with Between(server.url, faults).running() as between:
        server.set_clock(START.timestamp())
        people = people_of(server, lambda: START)
        stage = TroubledStage(settings, people, folder, recorder, between)
        try:
            await stage.start()
            yield Night(stage, recorder)
        finally:
            await stage.kill()
            if stage.up:
                server.run_clock()


async def played(folder: Path, server: Synapse, text: str, faults: Faults = Faults()) -> Outcome:
    """Play a story on a homeserver with those faults."""
    async with night(folder, server, faults) as found:
        await found.play(text)
        found.between.calm()  # what failed at the very end is tried again, too
        await found.play("wait 2m")
        posts, rooms = found.posts(), found.people.beside.rooms
        done = found.between.done
    names = {f"{begun}{room.id}": room.name for room in rooms.values() for begun in ("", "matrix:")}
    rows, left = await outbox(folder)
    said: dict[str, Counter[str]] = {}
    for post in keyed(posts):
        name = rooms[post.room].name if not rooms[post.room].direct else "direct"
        said.setdefault(name, Counter())[post.text] += 1
    log: dict[str, list[Any]] = {}
    for stream, event in await every_event(folder):
        kind, _at, actor, body = e.encode(event)
        log.setdefault(stream, []).append((kind, actor, plain(body, names)))
    return Outcome(log, said, Counter(str(p.mark["key"]) for p in keyed(posts)), rows, left, done)


def keyed(posts: Iterable[Post]) -> list[Post]:
    """Those that the outbox knows."""
    return [post for post in posts if post.mark.get("key")]
