"""`/redis info` from the request to its answer, beside a bare call of redis.asyncio, in one run on a real Redis."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from redis.asyncio import Redis

from benchmarks.figures import Figure
from benchmarks.rig import Blank, NoPager, request
from bot.app import Bot, boot
from bot.clock import SystemClock
from bot.config import Settings, load
from bot.targets.build import targets_of
from bot.targets.config import section
from bot.targets.sandbox_world import World
from tests.servers.redis_server import RedisServer

ROUNDS, EACH = 20, 50  # in turn, so that both see the same machine
AIM = 5.0  # milliseconds that the bot may add at the median


async def measure() -> list[Figure]:
    """How much longer an answer takes in chat than the call that it is made of."""
    with tempfile.TemporaryDirectory(prefix="watchbell-bench-") as folder, RedisServer() as server:
        bare = Redis(host="127.0.0.1", port=server.port)
        async with _living(Path(folder), server) as (bot, chat):
            took: dict[str, list[float]] = {"bot": [], "bare": []}
            ways: dict[str, Callable[[], Awaitable[object]]] = {
                "bot": lambda: _asked(bot, chat),
                "bare": bare.info,
            }
            for way in ways.values():  # connections, caches
                await way()
            for _ in range(ROUNDS):
                for name, way in ways.items():
                    took[name] += [await _timed(way) for _ in range(EACH)]
        await bare.aclose()
    return _figures(took)


def _figures(took: dict[str, list[float]]) -> list[Figure]:
    at = {(name, share): _quantile(times, share) for name, times in took.items() for share in (0.5, 0.99)}
    return [
        Figure("redis_info_p50", at["bot", 0.5], "ms", at["bare", 0.5]),
        Figure("redis_info_p99", at["bot", 0.99], "ms", at["bare", 0.99]),
        Figure("redis_info_overhead_p50", at["bot", 0.5] - at["bare", 0.5], "ms", AIM),
    ]


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await call()
    return (time.perf_counter() - began) * 1000


async def _asked(bot: Bot, chat: Blank) -> None:
    """From the request to the answer's arrival in the chat."""
    await bot.inbox.receive(request("/redis info", "#ops"))
    _channel, said = await chat.posted.get()
    assert "redis_version" in said, said


def _quantile(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


def _settings(server: RedisServer) -> Settings:
    settings = load(None, {})
    main = section({"driver": "redis", "url": server.url()})
    catalogue = replace(settings.catalogue, redis={"redis": {"target": "main"}})
    return replace(settings, targets={"main": main}, catalogue=catalogue)


@asynccontextmanager
async def _living(folder: Path, server: RedisServer) -> AsyncIterator[tuple[Bot, Blank]]:
    chat, clock, settings = Blank(), SystemClock(), _settings(server)
    made = boot(
        settings,
        folder,
        platforms={"console": chat},
        targets=targets_of(settings, World(folder / "sandbox.json", clock), clock),
        pager=NoPager(),
        clock=clock,
    )
    async with made as bot:
        bot.inbox.unlimited = True
        await bot.start()
        yield bot, chat
