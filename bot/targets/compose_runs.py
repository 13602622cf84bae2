"""How a change of a compose service runs: container by container, each request sent once, the outcome proved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bot.targets.compose_link import FailedError
from bot.targets.compose_plans import state
from bot.targets.compose_stack import Container, Stack, count_of, identity, later
from bot.targets.compose_steps import HalfError, Step, Work
from bot.targets.http_link import BrokenError
from commands.actions import Outcome, Plan, Progress, TargetError
from incidents.ports import RefusedError
from incidents.wording import listed

_NAMED = 10  # containers that are named one by one


class Runner:
    """Runs the plans of one project."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._at_work: dict[str, bool] = {}  # key of a change that runs → whether it is to stop

    async def run(self, plan: Plan, key: str, progress: Progress) -> Outcome:
        """Do it, once. TargetError: nothing was changed."""
        found = await self._look(plan)
        if _moved(plan, found):
            raise TargetError(f"{_of(plan)} is no longer as it was planned, so nothing was changed.")
        work = Work(self._stack, plan, mark_of(plan, key))
        steps = await work.steps(found)
        self._at_work[key] = False
        try:
            outcome = await self._through(plan, key, steps, progress)
        finally:
            del self._at_work[key]
        remarks = "".join(f"; {told}" for told in work.remarks)
        return replace(outcome, text=f"{outcome.text}{remarks}") if remarks else outcome

    async def follow(self, plan: Plan) -> Outcome | None:
        """After a crash: done where the engine shows all of it, unknown where it shows a part, else None.

        Starts later than those of the plan prove a restart; numbers, and limits, speak for themselves. Nothing is sent.
        """
        found = await self._look(plan)
        if plan.verb == "restart":
            return self._restarted(plan, found)
        if identity(found, plan.identity) != plan.identity:
            return None
        now = state(found, plan.before)
        if now == dict(plan.after):
            return Outcome("done", plan.done, now)
        if now == dict(plan.before) and not any(each.mark.endswith(plan.hash[:10]) for each in found):
            return None
        return Outcome("unknown", f"I was restarted in the middle of it. {_shows(plan, found)}", now)

    def cancel(self, key: str) -> bool:
        """Ask a change that runs to end before its next container; False where it does not run."""
        if key not in self._at_work:
            return False
        self._at_work[key] = True
        return True

    # -- the run ----------------------------------------------------------------------------------

    async def _through(self, plan: Plan, key: str, steps: list[Step], progress: Progress) -> Outcome:
        total = len(steps)
        await progress(0, total, steps[0].said)
        for number, step in enumerate(steps):
            if number and self._at_work[key]:
                return await self._ended(
                    "failed", plan, f"stopped after {number} of {total}, as asked", stands=True
                )
            try:
                await step.do()
            except BrokenError as error:
                return await self._ended(
                    "unknown", plan, f"{step.container}: {error}{_before(number, total)}"
                )
            except (FailedError, HalfError) as error:
                half = bool(number) or isinstance(error, HalfError)
                told = f"{step.container}: {error}{_before(number, total)}"
                return await self._ended("failed", plan, told, stands=half)
            except TargetError as error:
                if not number:
                    raise
                told = str(error).rstrip(".")
                told = f"{step.container}: {told}{_before(number, total)}"
                return await self._ended("failed", plan, told, stands=True)
            await progress(number + 1, total, step.said)
        return await self._proved(plan)

    async def _proved(self, plan: Plan) -> Outcome:
        """Every request was answered with yes; where nobody can be asked any more, it is as was planned."""
        try:
            found = await self._look(plan)
        except TargetError:
            return Outcome("done", plan.done, dict(plan.after))
        now = state(found, plan.before)
        if now != dict(plan.after):
            told = f"it was done, but does not stay so. {_shows(plan, found)}"
            return Outcome("failed", told, now, stands=True)
        return Outcome("done", plan.done, now)

    async def _ended(self, kind: Any, plan: Plan, why: str, *, stands: bool = False) -> Outcome:
        try:
            found = await self._look(plan)
        except (TargetError, RefusedError) as error:
            return Outcome(kind, f"{why}. {error}", stands=stands)
        return Outcome(kind, f"{why}. {_shows(plan, found)}", state(found, plan.before), stands=stands)

    async def _look(self, plan: Plan) -> list[Container]:
        return await self._stack.containers(self._stack.service(str(plan.args["service"])))

    # -- what the engine proves -------------------------------------------------------------------

    def _restarted(self, plan: Plan, found: list[Container]) -> Outcome | None:
        """Which of the containers of the plan have been started since."""
        there = {f"{each.number}@{each.id[:12]}": each for each in found}
        since = []
        for word in plan.identity.split(" "):
            number, ident, _, started = (*word.split("@"), "", "", "")[:4]
            each = there.get(f"{number}@{ident}")
            if each is None:
                return None
            since.append(each.running and later(started, each.started))
        if not any(since):
            return None
        now_is = state(found, plan.before)
        if all(since) and now_is == dict(plan.after):
            return Outcome("done", plan.done, now_is)
        text = f"I was restarted in the middle of it: {sum(since)} of {len(since)} containers have been started since"
        return Outcome("unknown", f"{text}. {_shows(plan, found)}", now_is)


def mark_of(plan: Plan, key: str) -> str:
    """The label of containers that a change makes: its number, and its plan, for numbers begin anew with a new log."""
    return f"{key}-{plan.hash[:10]}"


def _moved(plan: Plan, found: list[Container]) -> bool:
    """Whether there is any other container than those of the plan, or one less, or one is not as it was."""
    same = identity(found, started=plan.verb == "restart") == plan.identity
    return not same or state(found, plan.before) != dict(plan.before)


def _shows(plan: Plan, found: list[Container]) -> str:
    """What the engine says now, for an outcome that is no success."""
    if not found:
        return "Docker shows no container of it."
    words = [f"{each.short} {each.health or each.state}" for each in found[:_NAMED]]
    if len(found) > _NAMED:
        words.append(f"{len(found) - _NAMED} more, so that {count_of(found)} of {len(found)} run")
    limits = f", memory {state(found, {'memory': ''})['memory']}" if plan.verb == "memory" else ""
    return f"Docker shows {listed(words)}{limits}."


def _before(number: int, total: int) -> str:
    return f"; {number} of {total} were done before" if total > 1 else ""


def _of(plan: Plan) -> str:
    return str(plan.args["service"])
