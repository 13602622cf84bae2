"""How every sandbox target runs a change: checked, accepted once, marked with its key, and followed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.targets.sandbox_state import State
from bot.targets.sandbox_world import World
from commands.actions import Answer, Outcome, Plan, Progress, TargetError
from incidents.ports import RefusedError

_SLOW = 90.0  # seconds that a slow system takes to answer


class SandboxTarget:
    """What the targets share; a target says how to plan, look, apply and finish."""

    name = ""
    speaks = ""  # who answers, in a sentence

    def __init__(self, world: World) -> None:
        self.world = world

    # -- what each target says --------------------------------------------------------------------

    def planned(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan; RefusedError where it cannot be."""
        raise RefusedError(f"{self.speaks} knows no {verb}.")

    def observed(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Identity and state now, with the keys of `plan.before`."""
        raise NotImplementedError

    def apply(self, plan: Plan, state: State) -> None:
        """Change the state: the moment of acceptance."""
        raise NotImplementedError

    async def finish(self, plan: Plan, key: str, progress: Progress) -> Outcome:
        """Follow an accepted change to its end."""
        raise NotImplementedError

    def answered(self, verb: str, args: Mapping[str, Any]) -> Answer:
        """The answer to a read; RefusedError or TargetError."""
        raise RefusedError(f"{self.speaks} knows no {verb}.")

    def trouble(self, args: Mapping[str, Any]) -> str:
        """What ails the way to what these arguments name: nothing, or down, slow [seconds], error, drop."""
        raise NotImplementedError

    # -- the Target port --------------------------------------------------------------------------

    async def plan(self, verb: str, **args: Any) -> Plan:
        """Look, check the bounds, and say what would happen."""
        await self._reach(args)
        return self.planned(verb, args)

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Identity and state now, with the keys of `plan.before`."""
        await self._reach(plan.args)
        return self.observed(plan)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it: accepted at once where nothing moved, ended within 30 seconds."""
        trouble = self.trouble(plan.args)
        self._refuse(trouble)
        with self.world.change(key, plan.verb, plan.subject) as state:
            identity, now = self.observed(plan)
            if identity != plan.identity or dict(now) != dict(plan.before):
                raise TargetError(f"{plan.subject} is no longer as it was planned, so nothing was changed.")
            self.apply(plan, state)
        if trouble == "drop":
            return Outcome("unknown", f"the connection broke after the request was sent. {self.shows(plan)}")
        await self._wait(trouble)
        return await self.finish(plan, key, progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the mark of the key proves that the change was accepted."""
        mark = self.world.accepted(key)
        if mark is None or (mark.verb, mark.subject) != (plan.verb, plan.subject):
            return None
        return await self.finish(plan, key, progress)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """Nothing here can be stopped once it was accepted."""
        return False

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something."""
        await self._reach(args)
        return self.answered(verb, args)

    def shows(self, plan: Plan) -> str:
        """The state now, in a sentence, for an outcome that is unknown."""
        _, now = self.observed(plan)
        return f"{self.speaks} shows {', '.join(f'{key}={value}' for key, value in now.items())}."

    # -- the way there ----------------------------------------------------------------------------

    async def _reach(self, args: Mapping[str, Any]) -> None:
        trouble = self.trouble(args)
        await self._wait(trouble)
        self._refuse(self.trouble(args))

    async def _wait(self, trouble: str) -> None:
        slow, _, seconds = trouble.partition(" ")
        if slow == "slow":
            await self.world.clock.sleep(float(seconds or _SLOW))

    def _refuse(self, trouble: str) -> None:
        if trouble == "error":
            raise TargetError(f"{self.speaks} answered 500 Internal Server Error; nothing was changed.")


def done(plan: Plan, now: Mapping[str, Any]) -> Outcome:
    """The outcome of a change that ended as planned."""
    return Outcome("done", plan.done, dict(now))


def with_after(plan: Plan, **after: Any) -> Plan:
    """The plan with `after` made of `before` and what changes."""
    return replace(plan, after={**plan.before, **after})
