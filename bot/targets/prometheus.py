"""The target `prometheus`: figures of a real Prometheus by its HTTP API (prometheus.io: "HTTP API")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bot.beside import beside
from bot.chat_check import Line, doubtful, right, wrong
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits, UnreachableError
from bot.targets.http_link import HttpLink, Reply, access
from bot.targets.looking import LookedAt
from bot.targets.prometheus_figures import Series, instant, series, table
from commands.actions import Answer, Target, TargetError
from incidents.ports import Clock, RefusedError

_POINTS = 120  # values of a range
_LONGEST = 4000  # characters of an expression
_TITLE = 60
_SLI = "SLI of "


class PrometheusTarget(LookedAt):
    """One server, asked for values now and over a time."""

    name = "prometheus"
    title = "Prometheus"

    def __init__(
        self, link: HttpLink, clock: Clock, timeout: float, named: Mapping[str, str] | None = None
    ) -> None:
        """`named` are the expressions of the configuration that are asked here, by what they are for."""
        self._link, self._clock, self._timeout = link, clock, timeout
        self._named = named or {}

    async def read(self, verb: str, **args: Any) -> Answer:
        """`query`: an expression now, or over so many seconds until now."""
        if verb != "query":
            raise RefusedError(f"Prometheus knows no {verb}.")
        expression, over = str(args["expression"]), args.get("over")
        if len(expression) > _LONGEST:
            raise RefusedError(f"An expression has at most {_LONGEST} characters.")
        title = str(args.get("name") or _short(expression))
        if over is None:
            return instant(title, *await self._series("query", expression))
        return await self._range(title, expression, int(over))

    async def _range(self, title: str, expression: str, over: int) -> Answer:
        end = self._clock.now().timestamp()
        step = max(1, over // _POINTS)
        found = (await self._series("query_range", expression, start=end - over, end=end, step=step))[1]
        answer = table(title, found, over)
        return await _drawn(answer, title, found)

    async def _series(self, what: str, expression: str, **more: float) -> tuple[str, list[Series]]:
        return await beside(series, await self._ask(what, expression, **more), self._link.redact)

    async def _ask(self, what: str, expression: str, **more: float) -> Mapping[str, Any]:
        """The `data` of an answer; RefusedError where Prometheus does not understand the expression."""
        form = {
            "query": expression,
            "timeout": f"{round(self._timeout * 1000)}ms",
            **{k: f"{v:.3f}" for k, v in more.items()},
        }
        reply = await self._link.ask("POST", f"/api/v1/{what}", data=form)
        if reply.status in (400, 422):
            raise RefusedError(f"Prometheus does not understand that: {self._why(reply)}.")
        if not reply.well:
            raise self._link.refusal(reply)
        found = self._link.json(reply)
        if (
            not isinstance(found, dict)
            or found.get("status") != "success"
            or not isinstance(found.get("data"), dict)
        ):
            raise TargetError("Prometheus sent an answer without data.")
        data: dict[str, Any] = found["data"]
        return data

    def _why(self, reply: Reply) -> str:
        found = self._link.json(reply)
        told = found.get("error") if isinstance(found, dict) else None
        return self._link.redact(" ".join(str(told or reply.phrase).split()))[:200].rstrip(".")

    async def stop(self) -> None:
        """Close every connection."""
        await self._link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """Which version answers `watchbell check`, and whether it understands what the configuration asks."""
        found = await self._link.data("GET", "/api/v1/status/buildinfo")
        data = found.get("data") if isinstance(found, dict) else None
        version = data.get("version", "") if isinstance(data, dict) else ""
        yield right(f"Prometheus {version} at {self._link.url}")
        well = 0
        for what, expression in self._named.items():
            if (line := await self._tried(what, expression)) is not None:
                yield line
            else:
                well += 1
        if well:
            yield right(f"{well} of {len(self._named)} queries and SLIs have a value")

    async def _tried(self, what: str, expression: str) -> Line | None:
        """What is wrong or doubtful with an expression; None where it has a value."""
        try:
            found = (await self._series("query", expression))[1]
        except RefusedError as error:
            return wrong(f"{what}: {error}")
        except UnreachableError:
            raise
        except TargetError as error:
            return doubtful(f"{what}: {error}")
        if not found:
            return doubtful(f"{what}: there are no series for it now")
        if what.startswith(_SLI) and len(found) > 1:
            return doubtful(f"{what}: it has {len(found)} series, and an SLI is one")
        return None


async def _drawn(answer: Answer, title: str, found: list[Series]) -> Answer:
    """The answer with its chart, where matplotlib is installed (watchbell[charts])."""
    try:
        from bot.targets.prometheus_chart import drawn
    except ModuleNotFoundError:
        return answer
    return await asyncio.to_thread(drawn, answer, title, found)


def _short(expression: str) -> str:
    text = " ".join(expression.split())
    return text if len(text) <= _TITLE else f"{text[: _TITLE - 1]}…"


def _named(site: Site) -> dict[str, str]:
    """What the configuration asks of this server: queries and SLIs that name none are asked of the first."""
    first = next(n for n, each in site.settings.targets.items() if each["driver"] == "prometheus")
    catalogue = site.settings.catalogue
    queries = catalogue.queries if site.name == first else {}
    return {f"query {name}": expression for name, expression in queries.items()} | {
        f"{_SLI}{service.name}": service.sli.query
        for service in catalogue.services.values()
        if service.sli is not None and (service.sli.target or first) == site.name
    }


def build(site: Site) -> dict[str, Target]:
    """The target of one server."""
    given = access(site.section, site.redactor.redact)
    link = HttpLink("Prometheus", str(site.section["url"]), given)
    limits = Limits(at_once=int(site.section["at_once"]))
    target = PrometheusTarget(link, site.clock, given.timeout, _named(site))
    return {"prometheus": Guarded(target, title=f"Prometheus ({site.name})", limits=limits, clock=site.clock)}
