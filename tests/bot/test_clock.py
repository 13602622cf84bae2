"""The clocks: virtual time stands still until it is moved, the demo's runs as fast as it is told."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from bot.clock import SpeedClock, SystemClock, VirtualClock

START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)


async def test_sleepers_are_released_in_order() -> None:
    """Each wakes at its own time, those that sleep again included."""
    clock = VirtualClock(START)
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, (clock.now() - START).total_seconds()))

    tasks = [
        asyncio.ensure_future(t) for t in (sleeper("a", 30, 30), sleeper("b", 10, 10, 10), sleeper("c", 90))
    ]
    await clock.advance(START)
    assert (clock.parked, clock.next()) == (3, START + timedelta(seconds=10))
    await clock.advance(START + timedelta(seconds=60))
    assert woken == [("b", 10), ("b", 20), ("a", 30), ("b", 30), ("a", 60)]
    assert clock.now() == START + timedelta(seconds=60)
    assert clock.parked == 1
    await clock.advance(START + timedelta(seconds=90))
    await asyncio.gather(*tasks)
    assert clock.next() is None


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = VirtualClock(START)
    task = asyncio.ensure_future(clock.sleep(5))
    await clock.advance(START)
    task.cancel()
    await asyncio.wait([task])
    assert (clock.parked, clock.next()) == (0, None)
    assert clock.wake(START + timedelta(seconds=10)) == 0


async def test_no_time_passes_by_itself() -> None:
    """Sleeping for nothing only lets others run, and time never runs backwards."""
    clock = VirtualClock(START)
    await clock.sleep(0)
    await clock.sleep(-3)
    assert clock.now() == START
    with pytest.raises(ValueError, match="backwards"):
        clock.wake(START - timedelta(seconds=1))


async def test_a_sleeper_notices_that_the_speed_changed() -> None:
    """Ten minutes at normal speed become a second at 600×."""
    clock = SpeedClock()
    began = time.monotonic()
    sleeping = asyncio.ensure_future(clock.sleep(600))
    await asyncio.sleep(0)
    clock.speed = 60
    assert clock.speed == 60
    await asyncio.sleep(0)
    clock.speed = 6000
    await sleeping
    assert time.monotonic() - began < 5
    assert not sleeping.cancelled()


def test_the_demo_starts_where_it_stopped() -> None:
    """A clock that once ran fast is ahead of the wall; one that was off for long is not behind it."""
    ahead = datetime.now(UTC) + timedelta(days=3)
    assert timedelta(0) <= SpeedClock(ahead).now() - ahead < timedelta(seconds=5)
    assert abs(SpeedClock(START).now() - datetime.now(UTC)) < timedelta(seconds=5)
    with pytest.raises(ValueError, match="speed of time"):
        SpeedClock(speed=0)


async def test_the_walls_clock() -> None:
    clock = SystemClock()
    before = clock.now()
    await clock.sleep(0)
    assert clock.now() >= before
    assert before.tzinfo is UTC
