"""The target `health`: the services' own endpoints, and the on-call checklist, for which it asks the other targets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bot.beside import beside, redacted
from bot.chat_check import Line, doubtful, right
from bot.redact import Redactor
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits
from bot.targets.health_checklist import Check, Checklist, heading
from bot.targets.http_link import Access, HttpLink, Reply
from bot.targets.looking import LookedAt
from commands.actions import Answer, Target, TargetError
from commands.catalogue import Catalogue, Service
from commands.values import find_service
from incidents.ports import RefusedError

_TOO_SLOW = 1000  # milliseconds; the runbooks' threshold of a P95
_AT_ONCE = 16  # endpoints asked at the same time


class HealthTarget(LookedAt):
    """Asks addresses of the configuration, and none else."""

    name = "health"
    title = "A health endpoint"

    def __init__(self, catalogue: Catalogue, given: Access, redactor: Redactor) -> None:
        self._catalogue, self._redactor = catalogue, redactor
        self._link = HttpLink("The endpoint", "", given)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._others: Mapping[str, Target] = {}

    def know(self, others: Mapping[str, Target]) -> None:
        """The targets beside this one, by port name; the checklist asks them."""
        self._others = others

    async def read(self, verb: str, **args: Any) -> Answer:
        """`health` of a service, or of all without one; `checklist` and `metrics` of a service."""
        name = args.get("service")
        if verb == "health" and name is None:
            return await self._everything()
        if verb not in ("health", "checklist", "metrics") or name is None:
            raise RefusedError(f"There is no check {verb}.")
        service = find_service(str(name), self._catalogue)
        if verb == "metrics":
            return await self._metrics(service, args.get("grep"))
        if verb == "health":
            if not service.health:
                raise RefusedError(f"No health endpoint is configured for {service.name}.")
            return heading(service, "health", await self._endpoints(service))
        checks = await Checklist(self._catalogue, self._others, self._endpoints).of(service)
        return heading(service, "checklist", checks)

    async def _everything(self) -> Answer:
        asked = [s for s in self._catalogue.services.values() if s.health]
        found = await asyncio.gather(*map(self._endpoints, asked))
        lines, ill = [], 0
        for service, checks in zip(asked, found, strict=True):
            failing = [check for check in checks if not check.well]
            ill += bool(failing)
            told = "; ".join(f"{c.what} {c.text}" for c in failing) or f"{len(checks)} of {len(checks)} well"
            lines.append(str(Check(service.name, not failing, told)))
        without = len(self._catalogue.services) - len(asked)
        more = f" · {without} without an endpoint" if without else ""
        return Answer(f"{len(lines) - ill} of {len(lines)} services well{more}", lines=tuple(lines))

    async def _endpoints(self, service: Service) -> list[Check]:
        """Every endpoint of a service, all at once."""
        return list(
            await asyncio.gather(*(self._endpoint(name, url) for name, url in service.health.items()))
        )

    async def _endpoint(self, name: str, url: str) -> Check:
        try:
            async with self._places:
                reply = await self._link.ask("GET", url)
        except TargetError as error:
            return Check(name, False, str(error).removeprefix("The endpoint ").rstrip("."))
        if not reply.well:
            return Check(name, False, reply.phrase)
        slow = reply.took > _TOO_SLOW
        return Check(
            name, not slow, f"{reply.status} in {reply.took} ms{f', over {_TOO_SLOW} ms' if slow else ''}"
        )

    async def _metrics(self, service: Service, grep: str | None) -> Answer:
        if not service.metrics:
            raise RefusedError(f"No metrics endpoint is configured for {service.name}.")
        reply = await self._link.look("GET", service.metrics)
        lines = await beside(_samples, reply, grep)
        told = f" with {grep}" if grep else ""
        text = await redacted(self._redactor.redact, "\n".join(lines))
        return Answer(
            f"{service.name} · {len(lines)} metrics{told}", text=text, file_name=f"{service.name}-metrics.txt"
        )

    async def stop(self) -> None:
        """Close every connection."""
        await self._link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """What every endpoint says to `watchbell check`.

        That a service is ill is no fault of the configuration; that its address is wrong looks the same.
        """
        for service in self._catalogue.services.values():
            for check in await self._endpoints(service):
                told = f"{service.name}, {check.what}: {check.text}"
                yield right(told) if check.well else doubtful(told)


def _samples(reply: Reply, grep: str | None) -> list[str]:
    """The samples of a metrics endpoint without its comments (prometheus.io: "Exposition formats")."""
    lines = [line for line in reply.text.splitlines() if line.strip() and not line.startswith("#")]
    return [line for line in lines if grep is None or grep.casefold() in line.casefold()]


def build(site: Site) -> dict[str, Target]:
    """The target of the catalogue's endpoints."""
    given = Access(
        ca_file=site.section["ca_file"], timeout=float(site.section["timeout"]), redact=site.redactor.redact
    )
    target = HealthTarget(site.settings.catalogue, given, site.redactor)
    limits = Limits(at_once=int(site.section["at_once"]))
    return {"health": Guarded(target, title="The health check", limits=limits, clock=site.clock)}
