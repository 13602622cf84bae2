"""What every real target stands behind: so many looks at once, a limit on each, and a rest for one that is silent.

Each target has its own, so that one that is slow or away delays no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from commands.actions import Answer, NoAnswerError, Outcome, Plan, Progress, Target, TargetError
from incidents.ports import Clock
from incidents.wording import span

T = TypeVar("T")


class UnreachableError(TargetError):
    """The system did not answer at all, or let nobody in; nothing was changed. Its text is a sentence."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`look` is what a look may take (seconds), with `waiting` further looks waiting beside those at work.

    After `silent` calls in a row without an answer the target has `rest` seconds in which it is not asked.
    """

    look: float = 60.0
    at_once: int = 8
    waiting: int = 32
    silent: int = 5
    rest: float = 15.0


class Breaker:
    """Counts calls without an answer; says no while the target rests.

    A rest that is looked at never lasts longer than a whole one from then on: the clock may have been put back.
    """

    def __init__(self, title: str, limits: Limits, clock: Clock) -> None:
        self._title, self._limits, self._clock = title, limits, clock
        self._rest = timedelta(seconds=limits.rest)
        self._failures = 0
        self._until: datetime | None = None

    def admit(self) -> None:
        """UnreachableError while the target rests; afterwards a call may try again."""
        if self._until is None:
            return
        now = self._clock.now()
        self._until = min(self._until, now + self._rest)
        if (left := (self._until - now).total_seconds()) > 0:
            raise UnreachableError(
                f"{self._title} did not answer {self._failures} times in a row, so it is left alone for now; "
                f"try again in {span(max(1.0, round(left)))}."
            )

    def count(self, answered: bool) -> None:
        """A call has ended; one answer makes up for all before."""
        self._failures = 0 if answered else self._failures + 1
        resting = self._failures >= self._limits.silent
        self._until = self._clock.now() + self._rest if resting else None


class Guarded:
    """A target with limits; it says the same as the target that it guards."""

    def __init__(self, target: Target, *, title: str, limits: Limits, clock: Clock) -> None:
        self.name = target.name
        self.guarded = target
        self._title, self._limits = title, limits
        self._breaker = Breaker(title, limits, clock)
        self._places = asyncio.Semaphore(limits.at_once)
        self._asked = 0
        for limit in ("answers_within", "ends_within"):
            if (seconds := getattr(target, limit, None)) is not None:
                setattr(self, limit, seconds)

    async def plan(self, verb: str, **args: Any) -> Plan:
        """As the target does; UnreachableError where it does not answer in time."""
        return await self._look(self.guarded.plan(verb, **args))

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """As `plan`."""
        return await self._look(self.guarded.observe(plan))

    async def read(self, verb: str, **args: Any) -> Answer:
        """As `plan`."""
        return await self._look(self.guarded.read(verb, **args))

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """As the target does, and at once: no look stands in a change's way. UnreachableError: nothing was sent."""
        self._breaker.admit()
        async with self._counted():
            return await self.guarded.run(plan, key=key, progress=progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """As the target does, resting or not: it is asked once only what became of a change."""
        async with self._counted():
            return await self.guarded.follow(plan, key=key, progress=progress)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """As the target does."""
        return await self.guarded.cancel(plan, key=key)

    async def stop(self) -> None:
        """Let go of connections."""
        if (stop := getattr(self.guarded, "stop", None)) is not None:
            await stop()

    async def _look(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            self._breaker.admit()
            if self._asked >= self._limits.at_once + self._limits.waiting:
                raise TargetError(f"{self._title} is being asked too much at once; try again in a while.")
        except TargetError:
            call.close()
            raise
        self._asked += 1
        try:
            return await self._timed(call)
        finally:
            self._asked -= 1

    async def _timed(self, call: Coroutine[Any, Any, T]) -> T:
        """The limit covers the wait for a place, too: nobody waits twice."""
        begun = False
        try:
            async with asyncio.timeout(self._limits.look), self._places:
                begun = True
                async with self._counted():
                    return await call
        except TimeoutError as error:
            raise UnreachableError(
                f"{self._title} did not answer within {span(self._limits.look)}. Nothing was changed."
            ) from error
        finally:
            if not begun:
                call.close()

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        try:
            yield
        except (UnreachableError, NoAnswerError, TimeoutError):
            self._breaker.count(answered=False)
            raise
        except asyncio.CancelledError:  # of the limit, or of the bot that stops; the limit counts
            self._breaker.count(answered=False)
            raise
        except Exception:
            self._breaker.count(answered=True)  # it said no, which is an answer
            raise
        self._breaker.count(answered=True)
