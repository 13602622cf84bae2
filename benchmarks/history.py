"""What a command costs when the log holds 1,000 events, and when it holds 1,000,000."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.rig import bare_bot, open_incidents, request
from bot import store
from bot.app import database, open_store
from incidents import events as e

SHORT, LONG = 1_000, 1_000_000
BATCH = 5_000
ROUNDS, PER_ROUND = 10, 200


async def grow(data: Path, count: int) -> None:
    """Put so many messages into the log, spread over 1,000 incidents' transcripts."""
    store.upgrade(database(data))
    now = datetime.now(UTC)

    def unit(u: store.Unit, first: int) -> None:
        for n in range(first, min(first + BATCH, count)):
            event = e.MessagePosted(
                at=now, actor="bob", channel="console:C1", message_id=f"old{n}", text="looking at the graphs"
            )
            u.append(f"chat-{100_000 + n % 1000}", event)

    async with open_store(database(data)) as log:
        for first in range(0, count, BATCH):
            await log.run(lambda u, n=first: unit(u, n))


async def measure() -> list[Figure]:
    """The median cost of a note with a short and with a long log, asked in turn."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        await grow(Path(one), SHORT)
        await grow(Path(two), LONG)
        async with bare_bot(Path(one)) as (short, _), bare_bot(Path(two)) as (long, _):
            costs: dict[str, list[float]] = {"short": [], "long": []}
            bots = {"short": short, "long": long}
            channels = {}
            for name, bot in bots.items():
                await bot.start()
                channels[name] = (await open_incidents(bot, 1))[0]
            for _ in range(ROUNDS):
                for name, bot in bots.items():
                    for _ in range(PER_ROUND):
                        asked = request("!note failover started", channels[name])
                        began = time.perf_counter()
                        await bot.inbox.receive(asked)
                        costs[name].append(time.perf_counter() - began)
                    await bot.deliverer.drain()
    few, many = statistics.median(costs["short"]) * 1e3, statistics.median(costs["long"]) * 1e3
    return [Figure("note_at_1000000_events", many, "ms", few, many / few)]
