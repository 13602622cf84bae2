"""Targets that answer too late: each call is given up on after a while, by the bot's clock."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from bot.work import LateError, Work
from commands.actions import Answer, NoAnswerError, Outcome, Plan, Progress, Target, TargetError
from incidents.ports import Clock
from incidents.wording import span

T = TypeVar("T")

ANSWER, END = 120.0, 900.0  # seconds for a look, and for a change from its request to its end


class Patient:
    """A target with limits: its own `answers_within` and `ends_within` (seconds), or these."""

    def __init__(self, target: Target, clock: Clock, work: Work) -> None:
        self.name = target.name
        self._target = target
        self._clock = clock
        self._work = work
        self._answers: float = getattr(target, "answers_within", ANSWER)
        self._ends: float = getattr(target, "ends_within", END)

    async def plan(self, verb: str, **args: Any) -> Plan:
        """As the target does; TargetError where it takes too long, for nothing has been changed."""
        return await self._look(self._target.plan(verb, **args))

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """As `plan`."""
        return await self._look(self._target.observe(plan))

    async def read(self, verb: str, **args: Any) -> Answer:
        """As `plan`."""
        return await self._look(self._target.read(verb, **args))

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """As the target does; NoAnswerError where it takes too long: what became of it is not known."""
        return await self._within(self._ends, self._target.run(plan, key=key, progress=progress))

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """As `run`."""
        return await self._within(self._ends, self._target.follow(plan, key=key, progress=progress))

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """As `run`, but sooner."""
        return await self._within(self._answers, self._target.cancel(plan, key=key))

    async def _look(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            return await self._within(self._answers, call)
        except NoAnswerError as error:
            raise TargetError(f"{error} Nothing was changed.") from error

    async def _within(self, seconds: float, call: Coroutine[Any, Any, T]) -> T:
        try:
            return await self._work.within(self._clock, seconds, call)
        except LateError as error:
            raise NoAnswerError(f"{self.name.capitalize()} did not answer within {span(seconds)}.") from error
