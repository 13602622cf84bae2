"""The target `alertmanager`: what fires and what is silent, and silences made and ended (its API, version 2)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from bot.chat_check import Line, right
from bot.targets.alertmanager_matchers import Matcher, broad, everything, matchers, written
from bot.targets.alertmanager_silences import (
    BY,
    Silence,
    alerts_answer,
    firing,
    silences,
    silences_answer,
)
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits
from bot.targets.http_link import BrokenError, HttpLink, access
from commands.actions import Answer, Outcome, Plan, Progress, Target, TargetError
from commands.values import shown, spoken
from incidents.ports import Clock, RefusedError
from incidents.wording import span

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LONG = 86_400  # seconds; a silence beyond a day is likely to be forgotten
_MANY = 10  # alerts that a silence may hush before it counts as broad


class AlertmanagerTarget:
    """One server, or one address of a cluster."""

    name = "alertmanager"

    def __init__(self, link: HttpLink, clock: Clock, environment: str) -> None:
        self._link, self._clock, self._environment = link, clock, environment

    async def read(self, verb: str, **args: Any) -> Answer:
        """`alerts`, those that fit; `silences`."""
        if verb == "alerts":
            wanted = args.get("matchers")
            found = await firing(self._link, matchers(str(wanted)) if wanted else ())
            return alerts_answer(found, self._clock.now())
        if verb == "silences":
            return silences_answer(*await silences(self._link, self._clock), self._link.redact)
        raise RefusedError(f"Alertmanager knows no {verb}.")

    # -- plans ------------------------------------------------------------------------------------

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would be silent, or heard again; RefusedError where it is so already."""
        if verb == "silence":
            return await self._silence(str(args["matchers"]), int(args["seconds"]), args.get("why"))
        if verb == "unsilence":
            return await self._unsilence(str(args["what"]))
        raise RefusedError(f"Alertmanager knows no {verb}.")

    async def _silence(self, text: str, seconds: int, why: str | None) -> Plan:
        wanted = matchers(text)
        what = written(wanted)
        if everything(wanted):
            raise RefusedError(
                f"{shown(what)} fits alerts without such labels, too, that is, nearly all; name those to be silent."
            )
        there = _same((await silences(self._link, self._clock))[0], wanted)
        if there is not None:
            raise RefusedError(f"{what} is silent already, until {there.ends:%Y-%m-%d %H:%M} UTC.")
        hushed = await firing(self._link, wanted)
        reasons = _broad(wanted, len(hushed), seconds)
        words = f"{what} {spoken(seconds)}{f' why={chr(34)}{why}{chr(34)}' if why else ''}"
        return Plan(
            command="silence",
            line=f"silence {words}",
            summary=f"silence {what} for {span(seconds)}",
            target="alertmanager",
            verb="silence",
            args={"matchers": what, "seconds": seconds, "why": why},
            subject=f"alertmanager:{what}",
            identity=self._link.url,
            before={"silenced": False},
            after={"silenced": True},
            effect="danger" if reasons else "change",
            environment=self._environment,
            notes=(_hushes(len(hushed)), *reasons),
            undo={
                "line": f"unsilence {what}",
                "verb": "unsilence",
                "args": {"what": what},
                "label": "heard again",
            },
            done=f"{what} is silent for {span(seconds)}",
        )

    async def _unsilence(self, what: str) -> Plan:
        there = self._named((await silences(self._link, self._clock))[0], what)
        if there is None:
            raise RefusedError(f"There is no silence {shown(what)}; `/silences` lists those that there are.")
        name = what if _ID.fullmatch(what) else written(there.matchers)
        return Plan(
            command="unsilence",
            line=f"unsilence {name}",
            summary=f"end the silence of {written(there.matchers)}",
            target="alertmanager",
            verb="unsilence",
            args={"what": name},
            subject=f"alertmanager:{written(there.matchers)}",
            identity=self._link.url,
            before={"silence": there.id},
            after={"silence": None},
            environment=self._environment,
            notes=(
                f"it would end by itself at {there.ends:%Y-%m-%d %H:%M} UTC",
                f"made by {there.by or 'nobody'}",
            ),
            done=f"{written(there.matchers)} is heard again",
        )

    def _named(self, found: list[Silence], what: str) -> Silence | None:
        if _ID.fullmatch(what):
            return next((s for s in found if s.id == what and s.alive), None)
        return _same(found, matchers(what))

    # -- runs -------------------------------------------------------------------------------------

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """The address, and whether it is silent, or which silence it is."""
        return self._link.url, self._state(plan, (await silences(self._link, self._clock))[0])

    def _state(self, plan: Plan, found: list[Silence]) -> dict[str, Any]:
        if plan.verb == "silence":
            return {"silenced": _same(found, matchers(str(plan.args["matchers"]))) is not None}
        there = self._named(found, str(plan.args["what"]))
        return {"silence": there.id if there is not None else None}

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it, once; the comment of a silence holds `key`, as a mark."""
        found, now = await silences(self._link, self._clock)
        if plan.identity != self._link.url or self._state(plan, found) != dict(plan.before):
            raise TargetError("Alertmanager is no longer as it was planned, so nothing was changed.")
        try:
            if plan.verb == "silence":
                begin, end = now, now + timedelta(seconds=int(plan.args["seconds"]))
                body = {
                    "matchers": [m.to_data() for m in matchers(str(plan.args["matchers"]))],
                    "startsAt": begin.isoformat(),
                    "endsAt": end.isoformat(),
                    "createdBy": BY,
                    "comment": _comment(plan, key),
                }
                await self._link.change("POST", "/api/v2/silences", json=body)
            else:
                await self._link.change("DELETE", f"/api/v2/silence/{plan.before['silence']}")
        except BrokenError as error:
            return await self._unknown(plan, str(error))
        return Outcome("done", plan.done, dict(plan.after))

    async def _unknown(self, plan: Plan, why: str) -> Outcome:
        try:
            _, now = await self.observe(plan)
        except TargetError as error:
            return Outcome("unknown", f"{why}. {error}")
        shows = ", ".join(f"{name}={value}" for name, value in now.items())
        return Outcome("unknown", f"{why}. Alertmanager shows {shows}.")

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the mark proves a silence that lasts; one that has ended stays ended: its end is proved."""
        if plan.identity != self._link.url:
            return None
        found, _ = await silences(self._link, self._clock)
        if plan.verb == "silence":
            wanted = matchers(str(plan.args["matchers"]))
            # One that has ended may be that of an earlier log, whose numbers were the same.
            same = (s for s in found if s.alive and s.by == BY and s.matchers == wanted)
            marked = (s for s in same if s.comment.endswith(_mark(key)))
            return Outcome("done", plan.done, self._state(plan, found)) if any(marked) else None
        if any(s.id == plan.before["silence"] and s.alive for s in found):
            return None
        return Outcome("done", plan.done, dict(plan.after))

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """It is done at once."""
        return False

    async def stop(self) -> None:
        """Close every connection."""
        await self._link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """Which version answers `watchbell check`."""
        found = await self._link.data("GET", "/api/v2/status")
        about = found.get("versionInfo") if isinstance(found, dict) else None
        version = about.get("version", "") if isinstance(about, dict) else ""
        yield right(f"Alertmanager {version} at {self._link.url}")


def _same(found: list[Silence], wanted: tuple[Matcher, ...]) -> Silence | None:
    """The living silence of exactly these matchers that lasts longest."""
    same = (s for s in found if s.alive and s.matchers == wanted)
    return max(same, key=lambda s: s.ends, default=None)


def _broad(wanted: tuple[Matcher, ...], hushed: int, seconds: int) -> tuple[str, ...]:
    """Why this takes two approvals; empty where one will do."""
    reasons = []
    if broad(wanted):
        reasons.append("broad: it names no alert, instance or pod by its whole name")
    if hushed >= _MANY:
        reasons.append(f"broad: {hushed} alerts at once")
    if seconds > _LONG:
        reasons.append("longer than a day")
    return tuple(reasons)


def _hushes(count: int) -> str:
    if not count:
        return "nothing that fires now fits"
    return f"{count} alert{'s that fire' if count != 1 else ' that fires'} now {'are' if count != 1 else 'is'} silenced"


def _comment(plan: Plan, key: str) -> str:
    return f"{plan.args.get('why') or 'Asked for and approved in chat'} {_mark(key)}"


def _mark(key: str) -> str:
    return f"[watchbell {key}]"


def build(site: Site) -> dict[str, Target]:
    """The target of one server."""
    link = HttpLink("Alertmanager", str(site.section["url"]), access(site.section, site.redactor.redact))
    target = AlertmanagerTarget(link, site.clock, str(site.section["environment"]))
    limits = Limits(at_once=int(site.section["at_once"]))
    guarded = Guarded(target, title=f"Alertmanager ({site.name})", limits=limits, clock=site.clock)
    return {"alertmanager": guarded}
