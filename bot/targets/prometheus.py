"""The target `prometheus`: figures of a real Prometheus by its HTTP API (prometheus.io: "HTTP API")."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from bot.chat_check import Line, right
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits
from bot.targets.http_link import HttpLink, Reply, access
from bot.targets.looking import LookedAt
from bot.targets.prometheus_figures import Series, instant, series, table
from commands.actions import Answer, Target, TargetError
from incidents.ports import Clock, RefusedError

_POINTS = 120  # values of a range
_LONGEST = 4000  # characters of an expression
_TITLE = 60


class PrometheusTarget(LookedAt):
    """One server, asked for values now and over a time."""

    name = "prometheus"
    title = "Prometheus"

    def __init__(self, link: HttpLink, clock: Clock, timeout: float) -> None:
        self._link, self._clock, self._timeout = link, clock, timeout

    async def read(self, verb: str, **args: Any) -> Answer:
        """`query`: an expression now, or over so many seconds until now."""
        if verb != "query":
            raise RefusedError(f"Prometheus knows no {verb}.")
        expression, over = str(args["expression"]), args.get("over")
        if len(expression) > _LONGEST:
            raise RefusedError(f"An expression has at most {_LONGEST} characters.")
        title = str(args.get("name") or _short(expression))
        if over is None:
            return instant(title, *series(await self._ask("query", expression)))
        return await self._range(title, expression, int(over))

    async def _range(self, title: str, expression: str, over: int) -> Answer:
        end = self._clock.now().timestamp()
        step = max(1, over // _POINTS)
        found = series(await self._ask("query_range", expression, start=end - over, end=end, step=step))[1]
        answer = table(title, found, over)
        return await _drawn(answer, title, found)

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
        """Which version answers `watchbell check`."""
        found = await self._link.data("GET", "/api/v1/status/buildinfo")
        data = found.get("data") if isinstance(found, dict) else None
        version = data.get("version", "") if isinstance(data, dict) else ""
        yield right(f"Prometheus {version} at {self._link.url}")


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


def build(site: Site) -> dict[str, Target]:
    """The target of one server."""
    given = access(site.section, site.redactor.redact)
    link = HttpLink("Prometheus", str(site.section["url"]), given)
    limits = Limits(at_once=int(site.section["at_once"]))
    target = PrometheusTarget(link, site.clock, given.timeout)
    return {"prometheus": Guarded(target, title=f"Prometheus ({site.name})", limits=limits, clock=site.clock)}
