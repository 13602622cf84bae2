"""The target `http`: named calls of the admin endpoints of services, as the configuration declares them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bot.beside import beside
from bot.chat_check import Line, right, wrong
from bot.redact import REDACTED, Redactor
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits
from bot.targets.http_calls import (
    at,
    deep,
    digest,
    example,
    flat,
    line,
    request,
    sound,
    typed,
    words,
    written,
)
from bot.targets.http_config import Before, Call
from bot.targets.http_link import BrokenError, HttpLink, Reply, access
from commands.actions import Answer, Outcome, Plan, Progress, Target, TargetError
from commands.values import nearest, shown
from incidents.ports import RefusedError
from incidents.wording import counted

_LONGEST = 60_000  # characters of an answer; what is more than a screen becomes a file


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a call would change: the argument that it becomes, the value, and what of it may be told."""

    name: str
    value: Any
    told: Any

    @property
    def secret(self) -> bool:
        return bool(self.told != self.value)


class HttpTarget:
    """One server. A call reaches the host of its target and no other: its arguments are parts of path and body."""

    name = "http"

    def __init__(self, name: str, link: HttpLink, calls: Mapping[str, Call], redactor: Redactor) -> None:
        self._name, self._link, self._calls, self._redactor = name, link, dict(calls), redactor

    async def read(self, verb: str, **args: Any) -> Answer:
        """`calls`, what there is; `effect` of a call; `call`, the answer of one that is a read."""
        if verb == "calls":
            return self._listed()
        name = str(args.get("call"))
        if verb == "effect":
            return Answer(effect(self._call(name)))
        if verb != "call":
            raise RefusedError(f"There is no {verb} by HTTP.")
        call = self._call(name)
        if effect(call) != "read":
            raise RefusedError(f"{name} changes something, so it takes an approval.")
        path, content = request(call, self._typed(name, call, args))
        return await beside(self._shown, name, await self._link.look(call.method, path, **content))

    def _listed(self) -> Answer:
        lines = tuple(
            f"{effect(call)}: {example(name, call)}{' · ' if call.about else ''}{call.about}"
            for name, call in sorted(self._calls.items())
        )
        return Answer(f"{self._name} · {counted(len(lines), 'call')}", lines=lines, file_name="calls.txt")

    def _call(self, name: str) -> Call:
        if name not in self._calls:
            hint = nearest(name, self._calls) or f" There are: {', '.join(sorted(self._calls))}."
            raise RefusedError(f"There is no call {shown(name)}.{hint}")
        return self._calls[name]

    def _typed(self, name: str, call: Call, args: Mapping[str, Any]) -> dict[str, Any]:
        return typed(name, call, words(name, str(args.get("arguments") or ""), call))

    def _shown(self, name: str, reply: Reply) -> Answer:
        """The answer, laid out where it is JSON, and without what is secret in it."""
        try:
            data = orjson.loads(reply.body)
            self._check_depth(data)
            found = self._redactor.redact_data(data)
            options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
            text = found if isinstance(found, str) else orjson.dumps(found, option=options).decode()
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            text = self._plain(reply.text)
        return Answer(
            f"{name} · {reply.phrase} in {reply.took} ms", text=text[:_LONGEST], file_name=f"{name}.txt"
        )

    def _check_depth(self, data: Any) -> None:
        if deep(data):
            raise TargetError(f"{self._link.title} sent JSON that is nested too deeply to be read.")

    def _plain(self, text: str) -> str:
        """More of a text than is shown is looked at, and no half word at its end."""
        if len(text) <= 2 * _LONGEST:
            return self._redactor.redact(text)
        return self._redactor.beginning(text[: 2 * _LONGEST])

    # -- plans ------------------------------------------------------------------------------------

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What a call would change; RefusedError where an argument does not fit."""
        if verb != "call":
            raise RefusedError(f"There is no {verb} by HTTP.")
        name = str(args.get("call"))
        call = self._call(name)
        kind = effect(call)
        if kind == "read":
            raise RefusedError(f"{name} only looks at something; nothing of it is changed.")
        given = self._typed(name, call, args)
        path, _content = request(call, given)
        seen = await self._seen(call, given)
        before = {seen.name: seen.told} if seen else {}
        after = {key: given[key] for key in before}
        if before and before == after:
            raise RefusedError(f"{_pairs(after)} is so already.")
        undo, blocked = self._back(call, given, seen)
        typed_again = line(name, given)
        return Plan(
            command="http",
            line=typed_again,
            summary=f"{typed_again}{_moves(before, after)}",
            target="http",
            verb="call",
            args={"call": name, "arguments": written(given)},
            subject=f"http:{self._name}:{path}",
            identity=self._identity(name),
            before=before,
            after=after,
            effect="danger" if kind == "danger" else "change",
            environment=call.environment,
            service=call.service,
            notes=tuple(n for n in (f"{call.method} {self._link.url}{path}", call.about, blocked) if n),
            undo=undo,
            done=f"{name} was done{_moves(before, after)}",
        )

    def _identity(self, name: str) -> str:
        return f"{self._link.url} {digest(name, self._calls)}"

    async def _seen(self, call: Call, given: Mapping[str, Any]) -> _Seen | None:
        """What the call would change; None where nothing tells it."""
        if call.before is None or call.before.becomes not in given:
            return None
        look = self._calls[call.before.call]
        handed = {name: value for name, value in given.items() if name in look.args}
        path, content = request(look, handed)
        found = await self._link.data(look.method, path, **content)
        return await beside(self._told, call.before, given, found)

    def _told(self, before: Before, given: Mapping[str, Any], found: Any) -> _Seen:
        """Where a value is secret, or a part of it, a fingerprint tells it from others; it stands in no plan."""
        self._check_depth(found)
        value = at(found, before.at, given)
        try:
            safe = at(self._redactor.redact_data(found), before.at, given)
        except TargetError:  # what it stands in is taken out as a whole
            safe = REDACTED
        safe = self._redactor.redact_data({before.becomes: safe})[before.becomes]
        told = value if safe == value else f"{flat(safe)} (fingerprint {self._link.fingerprint(value)})"
        return _Seen(before.becomes, value, told)

    def _back(
        self, call: Call, given: Mapping[str, Any], seen: _Seen | None
    ) -> tuple[dict[str, Any] | None, str]:
        """The declared inverse with the same arguments, and the former value; None and why where there is none."""
        if call.undo is None:
            return None, ""
        if call.before is not None and seen is None:
            return None, "No undo: nothing tells what is there now."
        if seen is not None and seen.secret:
            return None, "No undo: what is there now is secret, so it is not kept."
        inverse = self._calls[call.undo]
        former = {seen.name: seen.value} if seen else {}
        handed = {name: value for name, value in {**given, **former}.items() if name in inverse.args}
        text, arguments = line(call.undo, handed), written(handed)
        try:
            again = self._typed(call.undo, inverse, {"arguments": self._redactor.redact(arguments)})
        except RefusedError:
            again = None
        if again != handed:
            return None, f"No undo: {call.undo} does not take what is there now."
        args = {"call": call.undo, "arguments": arguments}
        label = str(seen.value) if seen else call.undo
        return {"line": text, "verb": "call", "args": args, "label": label}, ""

    # -- runs -------------------------------------------------------------------------------------

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Address and declaration of the call; and what stands there now, where a read tells it."""
        name = str(plan.args["call"])
        call = self._call(name)
        seen = await self._seen(call, self._typed(name, call, plan.args)) if plan.before else None
        if seen is None:
            return self._identity(name), {}
        wanted = plan.after.get(seen.name)  # somebody typed it, so it is no secret
        return self._identity(name), {seen.name: wanted if seen.value == wanted else seen.told}

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Send it, once, with an Idempotency-Key, which servers that know such a field keep."""
        identity, now = await self.observe(plan)
        if identity != plan.identity or dict(now) != dict(plan.before):
            raise TargetError(f"{self._link.title} is no longer as it was planned, so nothing was changed.")
        name = str(plan.args["call"])
        call = self._call(name)
        path, content = request(call, self._typed(name, call, plan.args))
        try:
            await self._link.change(
                call.method, path, headers={"Idempotency-Key": mark_of(plan, key)}, **content
            )
        except BrokenError as error:
            return await self._unknown(plan, str(error))
        return await self._ended(plan)

    async def _ended(self, plan: Plan) -> Outcome:
        """What it shows after the server has said yes."""
        try:
            _, now = await self.observe(plan)
        except TargetError:
            return Outcome("done", plan.done, dict(plan.after))
        if dict(now) == dict(plan.after):
            return Outcome("done", plan.done, dict(now))
        text = f"{plan.args['call']} was accepted; {self._link.title} shows {_pairs(now)} so far"
        return Outcome("done", text, dict(now))

    async def _unknown(self, plan: Plan, why: str) -> Outcome:
        if not plan.before:
            return Outcome("unknown", f"{why}. Nothing tells whether {plan.args['call']} was done.")
        try:
            _, now = await self.observe(plan)
        except TargetError as error:
            return Outcome("unknown", f"{why}. {error}")
        return Outcome("unknown", f"{why}. {self._link.title} shows {_pairs(now)}.")

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: a value that is as planned is what was asked for, whoever set it; else nothing proves it."""
        if not plan.before:
            return None
        identity, now = await self.observe(plan)
        if identity != plan.identity or dict(now) != dict(plan.after):
            return None
        return Outcome("done", plan.done, dict(now))

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """A request that was sent cannot be called back."""
        return False

    async def stop(self) -> None:
        """Close every connection."""
        await self._link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """Ask every read that needs no argument."""
        for name, call in self._calls.items():
            if effect(call) != "read" or set(call.args) - set(call.optional):
                continue
            path, content = request(call, {})
            reply = await self._link.ask(call.method, path, **content)
            said = f"{name}: {call.method} {self._link.url}{path} answers {reply.phrase}"
            yield right(said) if reply.well else wrong(said)


def effect(call: Call) -> str:
    """read, change or danger."""
    return call.effect or ("read" if call.method == "GET" else "change")


def mark_of(plan: Plan, key: str) -> str:
    """What a change is known by: its number, and its plan, for numbers begin anew with a new log."""
    return f"watchbell-{key}-{plan.hash[:10]}"


def _pairs(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in state.items())


def _moves(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return "".join(f": {name} {before[name]} → {after[name]}" for name in before)


def build(site: Site) -> dict[str, Target]:
    """The target of one server."""
    link = HttpLink(site.name, str(site.section["url"]), access(site.section, site.redactor.redact))
    calls = {name: Call.model_validate(call) for name, call in site.section["calls"].items()}
    for name, call in calls.items():
        sound(name, call)
    target = HttpTarget(site.name, link, calls, site.redactor)
    limits = Limits(at_once=int(site.section["at_once"]))
    return {"http": Guarded(target, title=site.name, limits=limits, clock=site.clock)}
