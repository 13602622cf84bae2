"""The target `alertmanager`: what fires and what is silent, and silences made and ended (its API, version 2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

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
from incidents.wording import Wording, span

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_LONG = 86_400  # seconds; a silence beyond a day is likely to be forgotten
_TOLD = 3  # other silences that are named
_MANY = 10  # alerts that a silence may hush before it counts as broad


class AlertmanagerTarget:
    """One server, or one address of a cluster."""

    name = "alertmanager"

    def __init__(self, link: HttpLink, clock: Clock, environment: str, words: Wording) -> None:
        self._link, self._clock, self._environment, self._words = link, clock, environment, words

    async def read(self, verb: str, **args: Any) -> Answer:
        """`alerts`, those that fit; `silences`."""
        if verb == "alerts":
            wanted = args.get("matchers")
            found = await firing(self._link, matchers(str(wanted)) if wanted else ())
            return alerts_answer(found, self._clock.now())
        if verb == "silences":
            return silences_answer(*await silences(self._link, self._clock, self._words), self._link.redact)
        raise RefusedError(f"Alertmanager knows no {verb}.")

    # -- plans ------------------------------------------------------------------------------------

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would be silent, or heard again; RefusedError where it is so already."""
        if verb == "silence":
            return await self._silence(str(args["matchers"]), int(args["seconds"]), args.get("why"))
        if verb == "unsilence":
            return await self._unsilence(str(args["what"]), args.get("mark"))
        raise RefusedError(f"Alertmanager knows no {verb}.")

    async def _silence(self, text: str, seconds: int, why: str | None) -> Plan:
        wanted = matchers(text)
        what = written(wanted)
        if everything(wanted):
            raise RefusedError(
                f"{shown(what)} fits alerts without such labels, too, that is, nearly all; name those to be silent."
            )
        found, _ = await silences(self._link, self._clock, self._words)
        there = _same(found, wanted)
        if there is not None:
            raise RefusedError(f"{what} is silent already, until {there.until}.")
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
                "args": {"what": what, "mark": self._digest(found, wanted, seconds, why)},
                "label": "no silence",
            },
            done=f"{what} is silent for {span(seconds)}",
        )

    async def _unsilence(self, what: str, mark: str | None) -> Plan:
        """End the silence that is named; with `mark` the one that bears it, and no other of these matchers."""
        found, _ = await silences(self._link, self._clock, self._words)
        there = self._named(found, what, mark)
        if there is None:
            if mark is not None:
                raise RefusedError(_over(what, _same(found, matchers(what))))
            raise RefusedError(f"There is no silence {shown(what)}; `/silences` lists those that there are.")
        others = await self._others(found, there)
        name = what if _ID.fullmatch(what) else written(there.matchers)
        return Plan(
            command="unsilence",
            line=f"unsilence {name}",
            summary=f"end the silence of {written(there.matchers)}",
            target="alertmanager",
            verb="unsilence",
            args={"what": name, **({"mark": mark} if mark is not None else {})},
            subject=f"alertmanager:{written(there.matchers)}",
            identity=self._link.url,
            before={"silence": there.id},
            after={"silence": None},
            environment=self._environment,
            notes=(
                f"it would end by itself at {there.until}",
                f"made by {there.by or 'nobody'}",
            ),
            done=_done(there, others),
        )

    def _named(self, found: list[Silence], what: str, mark: str | None) -> Silence | None:
        if mark is not None:
            ours = (s for s in found if s.alive and s.by == BY and s.matchers == matchers(what))
            return next((s for s in ours if s.comment.endswith(f" {mark}]")), None)
        if _ID.fullmatch(what):
            return next((s for s in found if s.id == what and s.alive), None)
        return _same(found, matchers(what))

    def _digest(
        self, found: list[Silence], wanted: tuple[Matcher, ...], seconds: int, why: str | None
    ) -> str:
        """What a silence bears by which its way back finds it, and a later one of the same words does not bear.

        Numbers begin anew with a new log, and another bot has such numbers, too.
        """
        before = sorted(s.id for s in found if s.matchers == wanted)
        words = "\n".join([self._link.url, written(wanted), str(seconds), why or "", *before])
        return hashlib.sha256(words.encode()).hexdigest()[:10]

    # -- runs -------------------------------------------------------------------------------------

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """The address, and whether it is silent, or which silence it is."""
        return self._link.url, self._state(plan, (await silences(self._link, self._clock, self._words))[0])

    def _state(self, plan: Plan, found: list[Silence]) -> dict[str, Any]:
        if plan.verb == "silence":
            return {"silenced": _same(found, matchers(str(plan.args["matchers"]))) is not None}
        there = self._named(found, str(plan.args["what"]), plan.args.get("mark"))
        return {"silence": there.id if there is not None else None}

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it, once; the comment of a silence holds `key` and what its way back finds it by."""
        found, now = await silences(self._link, self._clock, self._words)
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
                return Outcome("done", plan.done, dict(plan.after))
            await self._link.change("DELETE", f"/api/v2/silence/{plan.before['silence']}")
        except BrokenError as error:
            return await self._unknown(plan, str(error))
        return await self._ended(plan)

    async def _ended(self, plan: Plan) -> Outcome:
        """After the server has said yes: whether the silence is over, and who holds such alerts still."""
        try:
            found, _ = await silences(self._link, self._clock, self._words)
            ended = next((s for s in found if s.id == plan.before["silence"]), None)
            if ended is not None and ended.alive:
                return Outcome("unknown", "Alertmanager said yes, and shows the silence as it was.")
            return Outcome("done", await self._heard(plan, found, ended), dict(plan.after))
        except TargetError as error:
            text = f"the silence was ended; whether others hold such alerts does not show: {error}"
            return Outcome("done", text.rstrip("."), dict(plan.after))

    async def _heard(self, plan: Plan, found: list[Silence], ended: Silence | None) -> str:
        return _done(ended, await self._others(found, ended)) if ended is not None else plan.done

    async def _others(self, found: list[Silence], one: Silence) -> list[Silence]:
        """Which silences hold the same alerts, by the same matchers or by wider ones."""
        firm = {ident for alert in await firing(self._link, one.matchers) for ident in alert.silences}
        others = (s for s in found if s.state == "active" and s.id != one.id)
        held = (s for s in others if s.matchers == one.matchers or s.id in firm)
        return sorted(held, key=lambda s: (s.ends, s.id))

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
        found, _ = await silences(self._link, self._clock, self._words)
        if plan.verb == "silence":
            wanted = matchers(str(plan.args["matchers"]))
            # One that has ended may be that of an earlier log, whose numbers were the same.
            same = (s for s in found if s.alive and s.by == BY and s.matchers == wanted)
            marked = (s for s in same if s.comment.endswith(_mark(plan, key)))
            return Outcome("done", plan.done, self._state(plan, found)) if any(marked) else None
        ended = next((s for s in found if s.id == plan.before["silence"]), None)
        if ended is not None and ended.alive:
            return None
        return Outcome("done", await self._heard(plan, found, ended), dict(plan.after))

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
    return f"{plan.args.get('why') or 'Asked for and approved in chat'} {_mark(plan, key)}"


def _mark(plan: Plan, key: str) -> str:
    assert plan.undo is not None
    return f"[watchbell {key} {plan.undo['args']['mark']}]"


def _done(ended: Silence, others: list[Silence]) -> str:
    """That a silence is over is all that is claimed where others hold such alerts, or may do so later."""
    told = "; ".join(each.told for each in others[:_TOLD])
    more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
    held = f"; such alerts stay silent by {told}{more}" if others else ""
    return f"the silence of {written(ended.matchers)} has ended{held}"


def _over(what: str, other: Silence | None) -> str:
    """Why a way back is none: what it would end has ended, and what another silence holds is left to that."""
    rest = f" It is silent still by {other.told}, which is another one." if other is not None else ""
    return f"The silence of {what} that was made then has ended already.{rest}"


def build(site: Site) -> dict[str, Target]:
    """The target of one server."""
    link = HttpLink("Alertmanager", str(site.section["url"]), access(site.section, site.redactor.redact))
    words = Wording(zone=ZoneInfo(site.settings.zone))
    target = AlertmanagerTarget(link, site.clock, str(site.section["environment"]), words)
    limits = Limits(at_once=int(site.section["at_once"]))
    guarded = Guarded(target, title=f"Alertmanager ({site.name})", limits=limits, clock=site.clock)
    return {"alertmanager": guarded}
