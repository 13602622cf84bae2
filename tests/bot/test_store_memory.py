"""What the writer remembers of streams is always what the log says, whatever failed before."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import store
from bot.store import DuplicateError, Store, Unit
from incidents.ports import ConflictError, RefusedError
from tests import examples
from tests.bot.store_sample import NOW, Said, fold, opened

STREAMS = ("talk-1", "talk-2", "talk-3", "chat-1")
ENDINGS = {
    "done": type(None),
    "refused": RefusedError,
    "refused after a write": RefusedError,
    "read, then refused": RefusedError,
    "duplicate": DuplicateError,
    "conflict": ConflictError,
    "wrong value": OverflowError,
}


@dataclass(frozen=True)
class Step:
    """A unit that appends to streams and ends in one way; `other` goes through another process's store."""

    streams: tuple[str, ...]
    ending: str
    scrub: bool = False


steps = st.builds(
    Step,
    st.lists(st.sampled_from(STREAMS), max_size=3).map(tuple),
    st.sampled_from(["done", "done", *ENDINGS]),
    st.integers(0, 5).map(lambda n: n == 0),
)
batches = st.lists(st.tuples(st.booleans(), st.lists(steps, min_size=1, max_size=5)), max_size=8)


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A store with one row that others will collide with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        store.upgrade(f"sqlite:///{path}")

        async def prepare() -> None:
            async with opened(f"sqlite:///{path}") as log:
                await log.run(lambda u: (taken(u), u.once("taken", at=NOW)))

        asyncio.run(prepare())
        yield path


def taken(unit: Unit) -> None:
    unit.insert(store.messages, platform="p", channel="c", message_id="taken", author="ann")


def work(step: Step, number: int) -> Callable[[Unit], None]:
    """The unit of a step; its events are told apart by the number."""

    def unit_of(unit: Unit) -> None:
        for place, stream in enumerate(step.streams):
            [position] = unit.append(stream, Said(f"{number}.{place}"))
            if step.scrub:
                unit.scrub(position, {"text": f"scrubbed {number}.{place}"})
                unit.append(stream, Said(f"scrub {number}.{place}", positions=(position,)))
        end(unit, step.ending, number)

    return unit_of


def end(unit: Unit, ending: str, number: int) -> None:
    if ending == "duplicate":
        unit.once("taken", at=NOW)
    elif ending == "conflict":
        taken(unit)
    elif ending == "wrong value":
        unit.insert(store.inbox, event_id=f"{number}", at=2**70)
    elif ending == "refused after a write":
        unit.upsert(store.bindings, {"name": "n"}, {"value": str(number)})
    elif ending == "read, then refused":
        unit.rows(store.inbox.select())
    if "refused" in ending:
        raise RefusedError("no")


def expected(step: Step, number: int) -> Iterator[tuple[str, str]]:
    if step.ending == "done":
        for place, stream in enumerate(step.streams):
            yield stream, f"scrubbed {number}.{place}" if step.scrub else f"{number}.{place}"
            if step.scrub:
                yield stream, f"scrub {number}.{place}"


async def agrees(log: Store, model: dict[str, list[str]]) -> None:
    """Memory, log and model say the same of every stream."""
    for stream in STREAMS:
        recorded = [r.event for r in await log.events(stream)]
        assert [event.text for event in recorded] == model[stream]
        state: Any = None
        for event in recorded:
            state = fold(state, event)
        seen = await log.run(lambda u, s=stream: (u.version(s), u.state(s)))
        assert seen == (len(recorded), state if stream.startswith("talk") else None)
    assert (await log.verify()).faults == []


@settings(max_examples=examples(60), deadline=None)
@given(plan=batches)
def test_memory_and_log_agree_after_any_failures(template: Path, plan: list[tuple[bool, list[Step]]]) -> None:
    """Units of two processes end in every way, in every mixture; nothing but what was done is seen or kept."""

    async def play(url: str) -> None:
        model: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        number = 0
        async with opened(url, remembered=2) as log, opened(url) as other:
            for elsewhere, batch in plan:
                numbered = list(enumerate(batch, number))
                number += len(batch)
                outcomes = await asyncio.gather(
                    *((other if elsewhere else log).run(work(step, n)) for n, step in numbered),
                    return_exceptions=True,
                )
                assert [type(o) for o in outcomes] == [ENDINGS[step.ending] for step in batch]
                for n, step in numbered:
                    for stream, text in expected(step, n):
                        model[stream].append(text)
                await agrees(log, model)
            await agrees(other, model)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "watchbell.db"
        shutil.copy(template, path)
        asyncio.run(play(f"sqlite:///{path}"))
