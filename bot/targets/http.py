"""The target `http`: named calls of the admin endpoints of services, as the configuration declares them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from bot.beside import beside
from bot.chat_check import Line, right, wrong
from bot.redact import Redactor
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits
from bot.targets.http_calls import at, digest, example, line, request, sound, typed, words
from bot.targets.http_config import Call
from bot.targets.http_link import BrokenError, HttpLink, Reply, access
from commands.actions import Answer, Outcome, Plan, Progress, Target, TargetError
from commands.values import nearest, shown
from incidents.ports import RefusedError
from incidents.wording import counted

_LONGEST = 60_000  # characters of an answer; what is more than a screen becomes a file


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
            found = self._redactor.redact_data(orjson.loads(reply.body))
            options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS
            text = found if isinstance(found, str) else orjson.dumps(found, option=options).decode()
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            text = self._plain(reply.text)
        return Answer(
            f"{name} · {reply.phrase} in {reply.took} ms", text=text[:_LONGEST], file_name=f"{name}.txt"
        )

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
        before = await self._before(call, given)
        after = {key: given[key] for key in before}
        if before and before == after:
            raise RefusedError(f"{_pairs(after)} is so already.")
        typed_again = line(name, given)
        return Plan(
            command="http",
            line=typed_again,
            summary=f"{typed_again}{_moves(before, after)}",
            target="http",
            verb="call",
            args={"call": name, "arguments": typed_again.partition(name)[2].strip()},
            subject=f"http:{self._name}:{path}",
            identity=f"{self._link.url} {digest(call)}",
            before=before,
            after=after,
            effect="danger" if kind == "danger" else "change",
            environment=call.environment,
            service=call.service,
            notes=(f"{call.method} {self._link.url}{path}", *((call.about,) if call.about else ())),
            undo=self._back(call, given, before),
            done=f"{name} was done{_moves(before, after)}",
        )

    async def _before(self, call: Call, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the call would change, by the name of the argument that it becomes; empty where nothing tells it."""
        if call.before is None or call.before.becomes not in given:
            return {}
        look = self._calls[call.before.call]
        handed = {name: value for name, value in given.items() if name in look.args}
        path, content = request(look, handed)
        found = await self._link.data(look.method, path, **content)
        safe = await beside(self._redactor.redact_data, found)
        return {call.before.becomes: at(safe, call.before.at, given)}

    def _back(self, call: Call, given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any] | None:
        """The declared inverse with the same arguments, and the former value; None where the value fits no schema."""
        if call.undo is None or (call.before is not None and not before):
            return None
        inverse = self._calls[call.undo]
        handed = {name: value for name, value in {**given, **before}.items() if name in inverse.args}
        text = line(call.undo, handed)
        arguments = text.partition(call.undo)[2].strip()
        try:
            self._typed(call.undo, inverse, {"arguments": arguments})
        except RefusedError:
            return None
        args = {"call": call.undo, "arguments": arguments}
        label = str(next(iter(before.values()))) if before else call.undo
        return {"line": text, "verb": "call", "args": args, "label": label}

    # -- runs -------------------------------------------------------------------------------------

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """Address and declaration of the call; and what stands there now, where a read tells it."""
        name = str(plan.args["call"])
        call = self._call(name)
        state = await self._before(call, self._typed(name, call, plan.args)) if plan.before else {}
        return f"{self._link.url} {digest(call)}", state

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Send it, once, with `key` as Idempotency-Key, which servers that know such a field keep."""
        identity, now = await self.observe(plan)
        if identity != plan.identity or dict(now) != dict(plan.before):
            raise TargetError(f"{self._link.title} is no longer as it was planned, so nothing was changed.")
        name = str(plan.args["call"])
        call = self._call(name)
        path, content = request(call, self._typed(name, call, plan.args))
        try:
            await self._link.change(call.method, path, headers={"Idempotency-Key": key}, **content)
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
