"""100,000 open incidents: start-up, lateness of 1,000 deadlines due within two seconds, memory."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.rig import bare_bot
from bot import store
from bot.app import database, living, open_store
from bot.config import load
from bot.desk import Desk
from bot.logbook import Logbook
from bot.redact import Redactor
from incidents import events as e
from incidents.life import open_incident

INCIDENTS = 100_000
DUE = 1_000
BATCH = 500


async def fill(data: Path, opened: datetime) -> None:
    """Open the incidents straight in the log, with all that follows; nothing is left to be delivered."""
    store.upgrade(database(data))
    settings = load(None, {})
    desk = Desk(settings, Redactor((), ()))
    policy = settings.policies[settings.default_policy]
    severity = policy.severity("high")
    assert severity is not None

    def unit(u: store.Unit, first: int) -> None:
        book = Logbook(u, desk, opened)
        book.adopt(policy)
        for number in range(first, first + BATCH):
            events = open_incident(
                number=number,
                title=f"case {number}",
                severity=severity,
                policy=policy,
                by="grace",
                now=opened,
                service=None,
            )
            acknowledged = e.Acknowledged(at=opened, actor="alice")
            bound = e.ChannelBound(
                at=opened, actor=e.BOT, platform="console", channel=f"C{number}", name=f"inc-{number}"
            )
            book.record(f"incident-{number}", *events, bound, acknowledged)
        book.finish()
        u.execute(store.outbox.delete())

    async with open_store(database(data)) as log:
        for first in range(1, INCIDENTS + 1, BATCH):
            await log.run(lambda u, n=first: unit(u, n))


async def measure() -> list[Figure]:
    """Start-up, lateness and memory with that many open."""
    with tempfile.TemporaryDirectory(prefix="watchbell-crowd-") as folder:
        data = Path(folder)
        await fill(data, datetime.now(UTC) - timedelta(minutes=1))
        began = time.perf_counter()
        async with bare_bot(data) as (bot, _chat):
            await bot.start()
            started = time.perf_counter() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            late = await lateness(bot)
    late.sort()
    return [
        Figure("open_100000_start", started, "s", 2.0),
        Figure("open_100000_memory", memory, "MiB"),
        Figure("deadlines_1000_in_2s_late_p50", late[len(late) // 2] * 1e3, "ms"),
        Figure("deadlines_1000_in_2s_late_p99", late[int(len(late) * 0.99)] * 1e3, "ms", 250.0),
    ]


async def lateness(bot) -> list[float]:  # type: ignore[no-untyped-def]
    """Seconds by which reminders came late: 1,000 of them, spread over two seconds."""
    seen: dict[str, datetime] = {}
    due: dict[str, datetime] = {}
    begins = datetime.now(UTC) + timedelta(seconds=2)

    def observed(stream: str, event: e.Event, number: int | None) -> None:
        if isinstance(event, e.EtaPassed):
            seen[stream] = datetime.now(UTC)
            if len(seen) == DUE:
                everything.set()

    bot.desk.observed = observed
    everything = asyncio.Event()

    def unit(u: store.Unit) -> None:
        book = Logbook(u, bot.desk, datetime.now(UTC))
        for n in range(DUE):
            stream = f"incident-{n * (INCIDENTS // DUE) + 1}"
            eta = begins + timedelta(seconds=2 * n / DUE)
            due[stream] = eta
            book.record(stream, e.EtaSet(at=book.now, actor="alice", eta=eta))
        book.finish()

    await bot.store.run(unit)
    async with living(bot):
        await everything.wait()
    return [(seen[stream] - due[stream]).total_seconds() for stream in due]
