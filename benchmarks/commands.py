"""`!note TEXT` from Request to acknowledgement, durable, beside a floor measured in the same run."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest

from benchmarks.figures import Figure
from benchmarks.rig import bare_bot, open_incidents, request

SEQUENTIAL = 3_000
CONCURRENT = 40_000
AT_ONCE = 64
CHANNELS = 64
AIM_SEQUENTIAL, AIM_CONCURRENT = 2.5, 8_000


async def floor(count: int) -> list[float]:
    """Seconds of one bare Bolt dispatch and one fsynced SQLite commit, so many times."""

    async def authorize(**_: object) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-none")  # noqa: S106 - nobody's

    app = AsyncApp(
        authorize=authorize,
        signing_secret="none",  # noqa: S106 - signatures are not checked here
        process_before_response=True,
        request_verification_enabled=False,
        ssl_check_enabled=False,
        ignoring_self_events_enabled=False,
    )

    @app.command("/note")
    async def note(ack) -> None:  # type: ignore[no-untyped-def]
        await ack()

    body = "command=%2Fnote&text=failover+started&team_id=T1&user_id=U1&channel_id=C1&trigger_id=1"
    headers = {"content-type": ["application/x-www-form-urlencoded"]}
    taken = []
    with tempfile.TemporaryDirectory(prefix="watchbell-floor-") as folder:
        connection = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        for _ in range(count):
            began = time.perf_counter()
            response = await app.async_dispatch(AsyncBoltRequest(body=body, mode="http", headers=headers))
            connection.execute("INSERT INTO notes (text) VALUES ('failover started')")
            taken.append(time.perf_counter() - began)
            assert response.status == 200, response.body
        connection.close()
    return taken


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of all lie."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


async def measure() -> list[Figure]:
    """Sequential latency and throughput, and throughput with 64 in flight."""
    async with bare_bot() as (bot, _chat):
        await bot.start()
        channels = await open_incidents(bot, CHANNELS)
        delivery = bot.work.spawn(bot.deliverer.run(), "deliver")
        bare, ours = [], []
        for _ in range(6):  # in turn, so that both see the same machine
            bare += await floor(SEQUENTIAL // 6)
            ours += await _sequential(bot, channels[0], SEQUENTIAL // 6)
        rate, latencies = await _concurrent(bot, channels)
        delivery.cancel()
    ratio = statistics.median(ours) / statistics.median(bare)
    return [
        Figure(
            "note_sequential_p50", statistics.median(ours) * 1e3, "ms", statistics.median(bare) * 1e3, ratio
        ),
        Figure("note_sequential_p99", percentile(ours, 0.99) * 1e3, "ms", percentile(bare, 0.99) * 1e3),
        Figure("note_sequential_rate", 1 / statistics.fmean(ours), "commands/s", 1 / statistics.fmean(bare)),
        Figure("note_64_at_once_rate", rate, "commands/s", AIM_CONCURRENT),
        Figure("note_64_at_once_p50", percentile(latencies, 0.5) * 1e3, "ms"),
        Figure("note_64_at_once_p99", percentile(latencies, 0.99) * 1e3, "ms"),
    ]


async def _sequential(bot, channel: str, count: int) -> list[float]:  # type: ignore[no-untyped-def]
    taken = []
    for _ in range(count):
        asked = request("!note failover started", channel)
        began = time.perf_counter()
        await bot.inbox.receive(asked)
        taken.append(time.perf_counter() - began)
    return taken


async def _concurrent(bot, channels: list[str]) -> tuple[float, list[float]]:  # type: ignore[no-untyped-def]
    """Commands a second with 64 askers who each wait for their acknowledgement, and every latency."""
    taken: list[float] = []

    async def asker(channel: str) -> None:
        for _ in range(CONCURRENT // AT_ONCE):
            asked = request("!note failover started", channel)
            began = time.perf_counter()
            await bot.inbox.receive(asked)
            taken.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(asker(channels[n % len(channels)]) for n in range(AT_ONCE)))
    return len(taken) / (time.perf_counter() - began), taken
