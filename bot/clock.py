"""The clocks: the wall's, one that runs faster for the demo, and a virtual one for rehearsals and tests."""

from __future__ import annotations

import asyncio
import heapq
import time
from datetime import UTC, datetime, timedelta


class SystemClock:
    """Real time, UTC."""

    def now(self) -> datetime:
        """The present moment."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many real seconds."""
        await asyncio.sleep(max(0.0, seconds))


class SpeedClock:
    """Time that runs `speed` times as fast as the wall's; the speed may change while others sleep on it.

    It starts at the later of the real time and `start`, so that it never runs backwards between two
    starts of a demo that once ran fast. Used by one event loop.
    """

    def __init__(self, start: datetime | None = None, *, speed: float = 1) -> None:
        self._origin = max(datetime.now(UTC), start) if start else datetime.now(UTC)
        self._mark = time.monotonic()
        self._speed = _checked(speed)
        self._changed = asyncio.Event()

    def now(self) -> datetime:
        """The present moment of this clock, UTC."""
        return self._origin + timedelta(seconds=(time.monotonic() - self._mark) * self._speed)

    @property
    def speed(self) -> float:
        """How many of its seconds pass in a real one."""
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        value = _checked(value)
        self._origin, self._mark, self._speed = self.now(), time.monotonic(), value
        self._changed.set()  # sleepers reckon anew
        self._changed = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time."""
        until = self.now() + timedelta(seconds=seconds)
        while (left := (until - self.now()).total_seconds()) > 0:
            changed = self._changed
            try:
                async with asyncio.timeout(left / self._speed):
                    await changed.wait()
            except TimeoutError:
                continue
        await asyncio.sleep(0)


def _checked(speed: float) -> float:
    if not 0 < speed <= 1_000_000:
        raise ValueError(f"a clock cannot run at {speed} times the speed of time")
    return speed


class VirtualClock:
    """Time that stands still until it is moved; sleepers are parked, and released in order."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._parked: list[tuple[datetime, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        """The present moment of this clock, UTC."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Park until the clock has been moved `seconds` ahead; at most 0 only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._parked, (self._now + timedelta(seconds=seconds), self._count, future))
        await future

    @property
    def parked(self) -> int:
        """How many sleepers wait for the clock to be moved."""
        return sum(not future.done() for _, _, future in self._parked)

    def next(self) -> datetime | None:
        """When the earliest sleeper wants to be woken; None while nobody sleeps."""
        while self._parked and self._parked[0][2].done():  # cancelled meanwhile
            heapq.heappop(self._parked)
        return self._parked[0][0] if self._parked else None

    def move(self, now: datetime) -> None:
        """Move to `now` and leave the sleepers parked, so that others can act first at that time."""
        if now < self._now:
            raise ValueError(f"time does not run backwards, from {self._now} to {now}")
        self._now = now.astimezone(UTC)

    def wake(self, now: datetime) -> int:
        """Move to `now` and release the sleepers due by then, who run when the loop turns; how many."""
        self.move(now)
        released = 0
        while (due := self.next()) is not None and due <= self._now:
            heapq.heappop(self._parked)[2].set_result(None)
            released += 1
        return released

    async def advance(self, to: datetime) -> None:
        """Move to `to` from wake-up to wake-up, and let the loop turn after each."""
        await _turn()
        while (due := self.next()) is not None and due <= to:
            self.wake(due)
            await _turn()
        self.wake(to)


async def _turn() -> None:
    for _ in range(20):  # a sleeper's way back to its next sleep takes a few turns of the loop
        await asyncio.sleep(0)
