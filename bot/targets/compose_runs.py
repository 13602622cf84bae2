"""How a change of a compose service runs: container by container, each request sent once, the outcome proved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bot.targets import compose_clone as clone
from bot.targets.compose_link import FailedError, MissingError
from bot.targets.compose_plans import removed, state
from bot.targets.compose_stack import Container, Stack, count_of, identity, moment, part, whole
from bot.targets.http_link import BrokenError
from commands.actions import Outcome, Plan, Progress, TargetError
from incidents.ports import RefusedError
from incidents.wording import listed, span

HEALTHY = (60.0, 300.0)  # seconds that a health check has to come true: at least, at most
_STAYS = 1.0  # seconds that a container without a health check has to stay up
_SILENT = 5  # looks in a row without an answer, after which nobody knows
_NANO = 1_000_000_000


class _HalfError(Exception):
    """A step did not come to its end, but changed something, or may have. Its text is a part of a sentence."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What is done with one container; `said` is how progress calls it."""

    container: str
    said: str
    do: Callable[[], Awaitable[None]]


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
        steps = await self._steps(plan, found, mark_of(plan, key))
        self._at_work[key] = False
        try:
            return await self._through(plan, key, steps, progress)
        finally:
            del self._at_work[key]

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

    async def _through(self, plan: Plan, key: str, steps: list[_Step], progress: Progress) -> Outcome:
        total = len(steps)
        await progress(0, total, steps[0].said)
        for number, step in enumerate(steps):
            if number and self._at_work[key]:
                return await self._ended("failed", plan, f"stopped after {number} of {total}, as asked")
            try:
                await step.do()
            except BrokenError as error:
                return await self._ended(
                    "unknown", plan, f"{step.container}: {error}{_before(number, total)}"
                )
            except (FailedError, _HalfError) as error:
                return await self._ended("failed", plan, f"{step.container}: {error}{_before(number, total)}")
            except TargetError as error:
                if not number:
                    raise
                told = str(error).rstrip(".")
                return await self._ended("failed", plan, f"{step.container}: {told}{_before(number, total)}")
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
            return Outcome("failed", f"it was done, but does not stay so. {_shows(plan, found)}", now)
        return Outcome("done", plan.done, now)

    async def _ended(self, kind: Any, plan: Plan, why: str) -> Outcome:
        try:
            found = await self._look(plan)
        except (TargetError, RefusedError) as error:
            return Outcome(kind, f"{why}. {error}")
        return Outcome(kind, f"{why}. {_shows(plan, found)}", state(found, plan.before))

    async def _look(self, plan: Plan) -> list[Container]:
        return await self._stack.containers(self._stack.service(str(plan.args["service"])))

    async def _steps(self, plan: Plan, found: list[Container], mark: str) -> list[_Step]:
        match plan.verb:
            case "restart":
                return [_Step(c.short, "restarted", self._bound(self._restart, c)) for c in found]
            case "memory":
                limit = _bytes(str(plan.args["size"]))
                return [_Step(c.short, "changed", self._bound(self._limit, c, limit)) for c in found]
            case "scale":
                more = int(plan.args["replicas"]) - count_of(found)
                return await self._growing(found, more, mark) if more > 0 else self._shrinking(found, -more)
        raise RefusedError(f"Docker compose knows no {plan.verb}.")

    def _bound(self, step: Callable[..., Awaitable[None]], *args: Any) -> Callable[[], Awaitable[None]]:
        return lambda: step(*args)

    # -- one container ----------------------------------------------------------------------------

    async def _restart(self, container: Container) -> None:
        """As `docker compose restart`: it has its own time to stop, and its health check has to come true again."""
        engine = self._stack.engine
        await engine.do("POST", f"/containers/{container.id}/restart", within=container.grace)
        await self._up(container.id)

    async def _limit(self, container: Container, limit: int) -> None:
        """Memory and swap at once, since the former is never more than both; what it may swap stays as much."""
        extra = container.swap - container.memory if container.memory and container.swap > 0 else limit
        body = {"Memory": limit, "MemorySwap": -1 if container.swap < 0 else limit + extra}
        try:
            await self._stack.engine.do("POST", f"/containers/{container.id}/update", body=body)
        except MissingError as error:
            if "no such container" in str(error).lower():
                raise
            raise TargetError(
                f"{self._stack.engine.title} cannot change the limit of a container that is there already."
            ) from error

    async def _growing(self, found: list[Container], more: int, mark: str) -> list[_Step]:
        """Those that do not run first, then copies of the newest."""
        idle = [each for each in found if not each.running][:more]
        steps = [_Step(each.short, "running", self._bound(self._start, each)) for each in idle]
        new, template = more - len(idle), found[-1]
        if new:
            clone.refuse(self._stack, template)
            picture, _ = await clone.image(self._stack.engine, template)
        for number in range(template.number + 1, template.number + 1 + new):
            copy = clone.copied(self._stack, template, number, mark, picture)
            name = f"{template.label('service')}-{number}"
            steps.append(_Step(name, "running", self._bound(self._copy, copy)))
        return steps

    async def _start(self, container: Container) -> None:
        await self._stack.engine.do("POST", f"/containers/{container.id}/start")
        await self._up(container.id)

    async def _copy(self, copy: clone.Copy) -> None:
        engine = self._stack.engine
        made = await engine.do("POST", "/containers/create", body=copy.body, name=copy.name)
        ident = str(part(made, "Id") or copy.name)
        try:
            for network, body in copy.joins.items():
                joined = {"Container": ident, "EndpointConfig": body}
                await engine.do("POST", f"/networks/{network}/connect", body=joined)
            await engine.do("POST", f"/containers/{ident}/start")
        except (TargetError, FailedError) as error:
            raise _HalfError(f"it was made, but does not start: {str(error).rstrip('.')}") from error
        await self._up(ident)

    def _shrinking(self, found: list[Container], less: int) -> list[_Step]:
        gone, stays = removed(found, less)
        steps = [_Step(each.short, "stopped", self._bound(self._remove, each)) for each in gone]
        if stays is not None:
            steps.append(_Step(stays.short, "stopped", self._bound(self._stop, stays)))
        return steps

    async def _stop(self, container: Container) -> None:
        await self._stack.engine.do("POST", f"/containers/{container.id}/stop", within=container.grace)

    async def _remove(self, container: Container) -> None:
        await self._stop(container)
        try:
            await self._stack.engine.do("DELETE", f"/containers/{container.id}")
        except MissingError:
            return  # it removed itself (AutoRemove), or somebody else did
        except (TargetError, FailedError) as error:
            raise _HalfError(f"it was stopped, but not removed: {str(error).rstrip('.')}") from error

    async def _up(self, ident: str) -> None:
        """Return when a container that was started is well.

        _HalfError where it is not, BrokenError where nobody knows.
        """
        clock, silent, began = self._stack.clock, 0, self._stack.clock.now()
        first = ""
        while True:
            try:
                now = await self._stack.container(ident)
            except MissingError as error:
                raise _HalfError("it was started, and is gone") from error
            except TargetError as error:
                silent += 1
                if silent >= _SILENT:
                    raise BrokenError(
                        f"it was started, but what became of it does not show. {error}"
                    ) from error
                await clock.sleep(_STAYS)
                continue
            silent, passed = 0, (clock.now() - began).total_seconds()
            if _judged(now, first or now.started, passed):
                return
            first = first or now.started
            await clock.sleep(_STAYS)

    # -- what the engine proves -------------------------------------------------------------------

    def _restarted(self, plan: Plan, found: list[Container]) -> Outcome | None:
        """Which of the containers of the plan have been started since."""
        there = {f"{each.number}@{each.id[:12]}": each for each in found}
        later = []
        for word in plan.identity.split(" "):
            number, ident, _, started = (*word.split("@"), "", "", "")[:4]
            each = there.get(f"{number}@{ident}")
            if each is None:
                return None
            was, now = moment(started), moment(each.started)
            later.append(each.running and now is not None and (was is None or now > was))
        if not any(later):
            return None
        now_is = state(found, plan.before)
        if all(later) and now_is == dict(plan.after):
            return Outcome("done", plan.done, now_is)
        text = f"I was restarted in the middle of it: {sum(later)} of {len(later)} containers have been started since"
        return Outcome("unknown", f"{text}. {_shows(plan, found)}", now_is)


def mark_of(plan: Plan, key: str) -> str:
    """The label of containers that a change makes: its number, and its plan, for numbers begin anew with a new log."""
    return f"{key}-{plan.hash[:10]}"


def _judged(now: Container, first: str, passed: float) -> bool:
    """Whether a started container is well; False: not yet. _HalfError where it never will be."""
    if not now.running or now.state in ("restarting", "exited", "dead"):
        raise _HalfError(f"it was started, and ended with exit code {whole(now.raw, 'State', 'ExitCode')}")
    if now.started != first:
        raise _HalfError("it was started, and restarts again and again")
    if now.health == "unhealthy":
        raise _HalfError("it was started, and is unhealthy")
    if now.health == "starting":
        limit = _patience(now)
        if passed >= limit:
            raise _HalfError(f"it was started, and is not healthy after {span(limit)}")
        return False
    return now.health == "healthy" or passed >= _STAYS


def _patience(now: Container) -> float:
    """Seconds that the health check may take: its start period and all of its tries."""
    check = part(now.raw, "Config", "Healthcheck")
    tries = (whole(check, "Interval") or 30 * _NANO) * (whole(check, "Retries") or 3)
    return min(HEALTHY[1], max(HEALTHY[0], (whole(check, "StartPeriod") + tries) / _NANO))


def _moved(plan: Plan, found: list[Container]) -> bool:
    started = plan.verb == "restart"
    return identity(found, plan.identity, started=started) != plan.identity or state(
        found, plan.before
    ) != dict(plan.before)


def _shows(plan: Plan, found: list[Container]) -> str:
    """What the engine says now, for an outcome that is no success."""
    if not found:
        return "Docker shows no container of it."
    words = [f"{each.short} {each.health or each.state}" for each in found[:10]]
    limits = f", memory {state(found, {'memory': ''})['memory']}" if plan.verb == "memory" else ""
    return f"Docker shows {listed(words)}{limits}."


def _before(number: int, total: int) -> str:
    return f"; {number} of {total} were done before" if total > 1 else ""


def _of(plan: Plan) -> str:
    return str(plan.args["service"])


def _bytes(size: str) -> int:
    """Of a limit as a plan writes it."""
    return int(size[:-1]) * {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}[size[-1]]
