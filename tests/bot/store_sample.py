"""A store of small events to test with; `python -m tests.bot.store_sample MODE URL` writes until something stops it."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import make_url

from bot import store
from incidents.ports import NotRecordedError

NOW = datetime(2026, 3, 1, 2, 30, 0, 250_000, tzinfo=UTC)
FULL = 65_536  # bytes that the disk still has when it is nearly full


@dataclass(frozen=True)
class Said:
    """Somebody said something; scrubs name positions."""

    text: str
    at: datetime = NOW
    actor: str = "ann"
    positions: tuple[int, ...] = ()


def encode(event: Said) -> tuple[str, datetime, str, dict[str, Any]]:
    if event.positions:
        return "MessageScrubbed", event.at, event.actor, {"text": event.text, "positions": event.positions}
    return "Said", event.at, event.actor, {"text": event.text}


def decode(_kind: str, at: datetime, actor: str, body: dict[str, Any]) -> Said:
    return Said(body["text"], at, actor, tuple(body.get("positions", ())))


def fold(state: tuple[str, ...] | None, event: Said) -> tuple[str, ...]:
    if event.text == "unfoldable":
        raise ValueError("this event cannot be folded")
    return (*(state or ()), event.text)


def opened(url: str, **options: Any) -> store.Store:
    return store.Store(url, encode=encode, decode=decode, folds={"talk": fold}, **options)


def command(number: int | str, stream: str = "talk-1") -> Callable[[store.Unit], list[int]]:
    """Four rows: inbox, two events, outbox."""

    def work(unit: store.Unit) -> list[int]:
        unit.once(f"event-{number}", at=NOW)
        positions = unit.append(stream, Said(f"ask {number}"), Said(f"answer {number}"))
        unit.insert(store.outbox, at=NOW, channel="C1", op="post", payload=f'{{"of": "{number}"}}')
        return positions

    return work


async def write_for_ever(url: str) -> None:
    """Print each command's number when it is acknowledged, until killed."""
    numbers = itertools.count()

    async def worker(log: store.Store) -> None:
        for number in numbers:
            await log.run(command(f"{os.getpid()}-{number}", f"talk-{number % 7}"))
            os.write(1, f"{os.getpid()}-{number}\n".encode())

    async with opened(url) as log:
        await asyncio.gather(*(worker(log) for _ in range(32)))


async def fill_the_disk(url: str) -> None:
    """Write until files may not grow any more, make room again, and print what happened."""
    file = Path(make_url(url).database or "")
    told: dict[str, Any] = {"before": 0, "after": 0, "refused": 0}
    async with opened(url) as log:
        await log.run(command("first"))
        limit = max(file.stat().st_size, Path(f"{file}-wal").stat().st_size) + FULL
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        while not told["refused"]:
            try:
                await log.run(command(f"before-{told['before']}"))
                told["before"] += 1
            except NotRecordedError as error:
                told["refused"] += 1
                told["why"] = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # closing gave the journal's room back
        outcomes = await asyncio.gather(
            *(log.run(command(f"full-{n}")) for n in range(5)), return_exceptions=True
        )
        told["refused"] += sum(isinstance(outcome, NotRecordedError) for outcome in outcomes)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for number in range(5):
            await log.run(command(f"full-{number}"))
            told["after"] += 1
        report = await log.verify()
        told["events"], told["faults"] = report.events, report.faults
        told["remembered"] = len(await log.run(lambda unit: unit.state("talk-1")))
    os.write(1, orjson.dumps(told))


if __name__ == "__main__":
    modes = {"kill": write_for_ever, "full": fill_the_disk}
    asyncio.run(modes[sys.argv[1]](sys.argv[2]))
