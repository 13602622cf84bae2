"""What is done with one container of a compose service: each request sent once, and what the engine proves of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bot.targets import compose_clone as clone
from bot.targets.compose_link import FailedError, MissingError
from bot.targets.compose_plans import removed, too_tight
from bot.targets.compose_stack import Container, Stack, count_of, later, part, whole
from bot.targets.http_link import BrokenError
from commands.actions import Plan, TargetError
from incidents.ports import RefusedError
from incidents.wording import span

HEALTHY = (60.0, 300.0)  # seconds that a health check has to come true: at least, at most
_STAYS = 1.0  # seconds that a container without a health check has to stay up
_SILENT = 5  # looks in a row without an answer, after which nobody knows
_NANO = 1_000_000_000

# True: it was done; False: nothing of it was; None: neither shows.
Proof = Callable[[], Awaitable[bool | None]]


class HalfError(Exception):
    """A step did not come to its end, but changed something, or may have. Its text is a part of a sentence."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done with one container; `said` is how progress calls it."""

    container: str
    said: str
    do: Callable[[], Awaitable[None]]


class Work:
    """The steps of one run; `remarks` are what the engine answered amiss although it did what it was asked."""

    def __init__(self, stack: Stack, plan: Plan, mark: str) -> None:
        self._stack, self._plan, self._mark = stack, plan, mark
        self.remarks: list[str] = []

    async def steps(self, found: list[Container]) -> list[Step]:
        """One a container; RefusedError, or TargetError, where there can be none. `found` are those of the plan."""
        match self._plan.verb:
            case "restart":
                return [Step(c.short, "restarted", self._bound(self._restart, c)) for c in found]
            case "memory":
                limit = _bytes(str(self._plan.args["size"]))
                await self._fits(found, limit)
                return [Step(c.short, "changed", self._bound(self._limit, c, limit)) for c in found]
            case "scale":
                more = int(self._plan.args["replicas"]) - count_of(found)
                return await self._growing(found, more) if more > 0 else self._shrinking(found, -more)
        raise RefusedError(f"Docker compose knows no {self._plan.verb}.")

    def _bound(self, step: Callable[..., Awaitable[None]], *args: Any) -> Callable[[], Awaitable[None]]:
        return lambda: step(*args)

    async def _sent(self, proof: Proof, method: str, path: str, **content: Any) -> Any:
        """The engine's answer, or None where it is an error but `proof` shows that it was done.

        FailedError: it was not done. BrokenError: nobody knows. A gateway's error (RFC 9110, 15.6.3 to 15.6.5) does
        not end the engine's work, so that nothing was changed yet proves nothing.
        """
        try:
            return await self._stack.engine.do(method, path, **content)
        except FailedError as error:
            try:
                done = await proof()
            except TargetError as blind:
                raise BrokenError(f"{error}, and what came of it does not show. {blind}") from error
            if done:
                self.remarks.append(f"{error}, but it was done")
            elif done is None or not error.own:
                raise BrokenError(f"{error}, and nothing proves whether it is done") from error
            else:
                raise
        return None

    # -- restart, memory --------------------------------------------------------------------------

    async def _restart(self, container: Container) -> None:
        """As `docker compose restart`: it has its own time to stop, and its health check has to come true again."""
        path = f"/containers/{container.id}/restart"
        await self._sent(lambda: self._begun(container), "POST", path, within=container.grace)
        await self._up(container.id)

    async def _begun(self, container: Container) -> bool:
        """Whether it was started since."""
        return later(container.started, (await self._stack.container(container.id)).started)

    async def _fits(self, found: list[Container], limit: int) -> None:
        """TargetError where the limit is a danger by now that nobody approved."""
        if self._plan.effect != "danger" and (why := await too_tight(self._stack, found, limit)):
            raise TargetError(
                f"Nothing was changed: {why} now, so {self._plan.args['size']} would be a danger, and was not approved "
                "as one; ask again."
            )

    async def _limit(self, container: Container, limit: int) -> None:
        """Memory and swap at once, since the former is never more than both; what it may swap stays as much."""
        await self._fits([container], limit)
        extra = container.swap - container.memory if container.memory and container.swap > 0 else limit
        body = {"Memory": limit, "MemorySwap": -1 if container.swap < 0 else limit + extra}

        async def limited() -> bool | None:
            now = (await self._stack.container(container.id)).memory
            return True if now == limit else False if now == container.memory else None

        try:
            await self._sent(limited, "POST", f"/containers/{container.id}/update", body=body)
        except MissingError as error:
            if "no such container" in str(error).lower():
                raise
            raise TargetError(
                f"{self._stack.engine.title} cannot change the limit of a container that is there already."
            ) from error

    # -- more -------------------------------------------------------------------------------------

    async def _growing(self, found: list[Container], more: int) -> list[Step]:
        """Those that do not run first, then copies of the newest."""
        idle = [each for each in found if not each.running][:more]
        steps = [Step(each.short, "running", self._bound(self._start, each)) for each in idle]
        new, template = more - len(idle), found[-1]
        if new:
            clone.refuse(self._stack, template)
            picture, _ = await clone.image(self._stack.engine, template)
        for number in range(template.number + 1, template.number + 1 + new):
            copy = clone.copied(self._stack, template, number, self._mark, picture)
            name = f"{template.label('service')}-{number}"
            steps.append(Step(name, "running", self._bound(self._copy, copy)))
        return steps

    async def _start(self, container: Container) -> None:
        await self._sent(lambda: self._begun(container), "POST", f"/containers/{container.id}/start")
        await self._up(container.id)

    async def _copy(self, copy: clone.Copy) -> None:
        made = await self._sent(
            lambda: self._made(copy), "POST", "/containers/create", body=copy.body, name=copy.name
        )
        ident = str(part(made, "Id") or copy.name)
        try:
            for network, body in copy.joins.items():
                await self._join(ident, network, body)
            await self._start(await self._stack.container(ident))
        except (TargetError, FailedError) as error:
            raise HalfError(f"it was made, but does not start: {str(error).rstrip('.')}") from error

    async def _made(self, copy: clone.Copy) -> bool:
        """Whether there is a container of that name that this change has made."""
        try:
            return (await self._stack.container(copy.name)).mark == self._mark
        except MissingError:
            return False

    async def _join(self, ident: str, network: str, endpoint: Any) -> None:
        async def joined() -> bool:
            now = await self._stack.container(ident)
            return network in (part(now.raw, "NetworkSettings", "Networks") or {})

        body = {"Container": ident, "EndpointConfig": endpoint}
        await self._sent(joined, "POST", f"/networks/{network}/connect", body=body)

    # -- fewer ------------------------------------------------------------------------------------

    def _shrinking(self, found: list[Container], less: int) -> list[Step]:
        gone, stays = removed(found, less)
        steps = [Step(each.short, "stopped", self._bound(self._remove, each)) for each in gone]
        if stays is not None:
            steps.append(Step(stays.short, "stopped", self._bound(self._stop, stays)))
        return steps

    async def _stop(self, container: Container) -> None:
        async def down() -> bool:
            try:
                return not (await self._stack.container(container.id)).running
            except MissingError:
                return True  # it removes itself when it stops (AutoRemove)

        await self._sent(down, "POST", f"/containers/{container.id}/stop", within=container.grace)

    async def _remove(self, container: Container) -> None:
        async def gone() -> bool:
            try:
                await self._stack.container(container.id)
            except MissingError:
                return True
            return False

        await self._stop(container)
        try:
            await self._sent(gone, "DELETE", f"/containers/{container.id}")
        except MissingError:
            return  # it removed itself (AutoRemove), or somebody else did
        except (TargetError, FailedError) as error:
            raise HalfError(f"it was stopped, but not removed: {str(error).rstrip('.')}") from error

    # -- whether it is well -----------------------------------------------------------------------

    async def _up(self, ident: str) -> None:
        """Return when a container that was started is well.

        HalfError where it is not, BrokenError where nobody knows.
        """
        clock, silent, began = self._stack.clock, 0, self._stack.clock.now()
        first = ""
        while True:
            try:
                now = await self._stack.container(ident)
            except MissingError as error:
                raise HalfError("it was started, and is gone") from error
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


def _judged(now: Container, first: str, passed: float) -> bool:
    """Whether a started container is well; False: not yet. HalfError where it never will be."""
    if not now.running or now.state in ("restarting", "exited", "dead"):
        raise HalfError(f"it was started, and ended with exit code {whole(now.raw, 'State', 'ExitCode')}")
    if now.started != first:
        raise HalfError("it was started, and restarts again and again")
    if now.health == "unhealthy":
        raise HalfError("it was started, and is unhealthy")
    if now.health == "starting":
        limit = _patience(now)
        if passed >= limit:
            raise HalfError(f"it was started, and is not healthy after {span(limit)}")
        return False
    return now.health == "healthy" or passed >= _STAYS


def _patience(now: Container) -> float:
    """Seconds that the health check may take: its start period and all of its tries."""
    check = part(now.raw, "Config", "Healthcheck")
    tries = (whole(check, "Interval") or 30 * _NANO) * (whole(check, "Retries") or 3)
    return min(HEALTHY[1], max(HEALTHY[0], (whole(check, "StartPeriod") + tries) / _NANO))


def _bytes(size: str) -> int:
    """Of a limit as a plan writes it."""
    return int(size[:-1]) * {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}[size[-1]]
