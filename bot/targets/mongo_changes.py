"""What is changed in a real MongoDB: operations are ended; and documents are shown to whom that was approved."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.targets.mongo_documents import Rules, collection, documents
from bot.targets.mongo_filter import parsed, written
from bot.targets.mongo_link import APPLICATION, BrokenError, Link
from bot.targets.mongo_operations import ROUTER, Operation, hello, operation, process, role
from commands.actions import Outcome, Plan, TargetError
from commands.values import shown
from incidents.ports import RefusedError

_OPID = re.compile(r"[0-9]{1,10}", re.ASCII)
_BUILDS = ("createIndexes", "collMod", "compact")
_GIVEN_UP = 10.0  # seconds until an operation that was told to end should have ended
# When an operation began is computed from how long it runs, so it is a little different each time (seconds).
_ALIKE = 2.0


class Changes:
    """Plans and runs for one database."""

    def __init__(self, link: Link, rules: Rules, configured: Mapping[str, Any], *, several: bool) -> None:
        self._link, self._rules = link, rules
        self._configured, self._several = configured, several

    async def plan(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of `killop` or `find`; RefusedError where it cannot be, TargetError where there is no answer."""
        if verb == "killop":
            async with self._link.pinned() as link:
                return await self._killop(link, str(args["op"]))
        if verb == "find":
            return await self._find(str(args["collection"]), str(args["filter"]))
        raise RefusedError(f"MongoDB knows no {verb}.")

    # -- operations -------------------------------------------------------------------------------

    async def _killop(self, link: Link, op: str) -> Plan:
        said = await hello(link)
        if role(said) == ROUTER:
            raise RefusedError(
                f"{link.title} is a router of a sharded cluster; operations are ended on the shard that runs them."
            )
        chosen = await self._chosen(link, op)
        state = self._state(chosen, None)
        since = f"since {state['since']}"
        built = (
            ("what it has built until then is thrown away",)
            if chosen.command in _BUILDS or "index" in chosen.command.lower()
            else ()
        )
        return self._plan(
            "killop",
            words=op,
            summary=f"{link.title} end operation {op} ({self._rules.redactor.redact(chosen.spoken)})",
            args={"op": op},
            subject=f"mongo:{link.name} {op}",
            identity=process(said, link),
            before=state,
            after=dict.fromkeys(state),
            notes=(
                f"from {self._who(chosen)}, {since}",
                "it ends where it looks up next; what it has written stays, unless it is in a transaction",
                *built,
            ),
            done=f"operation {op} has ended",
        )

    async def _chosen(self, link: Link, op: str) -> Operation:
        if not _OPID.fullmatch(op) or int(op) >= 2**32:
            raise RefusedError(
                f"An operation is a whole number, as `/mongo ops` lists them; {shown(op)} is none."
            )
        chosen = await operation(link, str(int(op)))
        if chosen is None:
            raise RefusedError(f"{link.name} has no operation {op} that runs; `/mongo ops` lists them.")
        if chosen.mine:
            raise RefusedError(f"Operation {op} is one of mine.")
        if chosen.internal:
            raise RefusedError(f"Operation {op} is MongoDB's own; I leave it alone.")
        if chosen.started is None:
            raise TargetError(f"{link.title} does not say since when operation {op} runs.")
        return chosen

    def _who(self, chosen: Operation) -> str:
        named = " ".join(self._rules.redactor.redact(chosen.application).split())[:40]
        return f"{named} at {chosen.client}" if named else chosen.client

    async def observed(self, plan: Plan, link: Link | None = None) -> tuple[str, Mapping[str, Any]]:
        """Identity and state now, with the keys of `plan.before`."""
        if plan.verb != "killop":
            return self._shop(await hello(self._link)), {}
        if link is None:
            async with self._link.pinned() as one:
                return await self.observed(plan, one)
        said = await hello(link)
        found = await operation(link, str(int(plan.args["op"])))
        return process(said, link), self._state(found, plan) if found is not None else dict.fromkeys(
            plan.before
        )

    async def run(self, plan: Plan, key: str) -> Outcome:
        """Do it, once. TargetError: nothing was changed."""
        if plan.verb == "find":
            return await self._shown(plan)
        async with self._link.pinned() as link:
            identity, now = await self.observed(plan, link)
            self._same(plan, identity, now)
            op = int(plan.args["op"])
            number = op - 2**32 if op >= 2**31 else op
            try:
                await link.change({"killOp": 1, "op": number, "comment": f"{APPLICATION} {key}"})
            except BrokenError as error:
                return await self._unknown(plan, link, str(error))
            return await self._gone(plan, link)

    async def follow(self, plan: Plan) -> Outcome | None:
        """After a crash: an operation that is gone has ended, and one that was told to is waited for.

        Its number is not given again while it runs, and afterwards the server tells another beginning.
        """
        if plan.verb != "killop":
            return None
        async with self._link.pinned() as link:
            identity, now = await self.observed(plan, link)
            if identity != plan.identity:
                return None
            if dict(now) == dict(plan.after):
                return Outcome("done", plan.done, dict(now))
            found = await operation(link, str(int(plan.args["op"])))
            if found is None or not found.dying:
                return None
            return await self._gone(plan, link)

    async def _gone(self, plan: Plan, link: Link) -> Outcome:
        """The server says yes whether there is such an operation or not; what is running tells what came of it."""
        told = f"operation {plan.args['op']} was told to end"
        end, wait = asyncio.get_running_loop().time() + _GIVEN_UP, 0.02
        while asyncio.get_running_loop().time() < end:
            try:
                identity, now = await self.observed(plan, link)
            except TargetError as error:
                return Outcome("unknown", f"{told}. {error}")
            if identity != plan.identity:
                return Outcome("unknown", f"{told}. {self._link.title} was started again, or is another one.")
            if now["operation"] != plan.before["operation"]:  # gone, or another one has its number
                return Outcome("done", plan.done, dict(plan.after))
            await asyncio.sleep(wait)
            wait = min(1.0, wait * 2)
        return Outcome("unknown", f"{told}, and still runs after {_GIVEN_UP:.0f} s")

    async def _unknown(self, plan: Plan, link: Link, why: str) -> Outcome:
        """What can be seen after a connection broke that a change was sent on."""
        try:
            _, now = await self.observed(plan, link)
        except TargetError as error:
            return Outcome("unknown", f"{why}. {error}")
        runs = "still shows it" if dict(now) == dict(plan.before) else "shows no such operation any more"
        return Outcome("unknown", f"{why}. {self._link.title} {runs}.")

    def _state(self, found: Operation, plan: Plan | None) -> dict[str, str]:
        """What is running under that number and since when, as the plan has it where it is the same moment."""
        since = f"{found.started:%Y-%m-%d %H:%M:%S} UTC" if found.started is not None else ""
        was = str(plan.before["since"]) if plan is not None else since
        if found.started is not None and plan is not None:
            began = datetime.strptime(was, "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
            since = was if abs((found.started - began).total_seconds()) <= _ALIKE else since
        return {"operation": self._rules.redactor.redact(found.described), "since": since}

    # -- documents --------------------------------------------------------------------------------

    async def _find(self, called: str, typed: str) -> Plan:
        name, asked = collection(called), written(typed)
        if self._rules.redactor.redact(asked) != asked:
            raise RefusedError("That filter holds something like a password, and a request is written down.")
        return self._plan(
            "find",
            words=f"{name} {asked}",
            summary=f"{self._link.title} find {name} {asked if len(asked) <= 100 else f'{asked[:100]}…'}",
            args={"collection": name, "filter": asked},
            subject=f"mongo:{self._link.name}",
            identity=self._shop(await hello(self._link)),
            before={},
            after={},
            notes=("the documents are shown to the requester alone",),
            private=True,
            done=f"documents of {name} were shown to the requester",
        )

    async def _shown(self, plan: Plan) -> Outcome:
        identity, now = await self.observed(plan)
        self._same(plan, identity, now)
        asked, name = parsed(str(plan.args["filter"])), str(plan.args["collection"])
        return Outcome("done", plan.done, {}, await documents(self._link, self._rules, name, asked))

    def _shop(self, said: Mapping[str, Any]) -> str:
        """Which data: those of a replica set, whichever of its members answers."""
        known = said.get("setName")
        return f"{self._link.database} of {f'replica set {known}' if known else process(said, self._link)}"

    # -- what both have ---------------------------------------------------------------------------

    def _same(self, plan: Plan, identity: str, now: Mapping[str, Any]) -> None:
        if identity != plan.identity or dict(now) != dict(plan.before):
            raise TargetError(f"{self._link.title} is no longer as it was planned, so nothing was changed.")

    def _plan(self, verb: str, *, words: str, args: Mapping[str, Any], **more: Any) -> Plan:
        name = f"name={self._link.name}" if self._several else ""
        return Plan(
            command=f"mongo {verb}",
            line=" ".join(word for word in ("mongo", verb, words, name) if word),
            target="mongo",
            verb=verb,
            args={"name": self._link.name, **args},
            environment=str(self._configured.get("environment", "production")),
            service=self._configured.get("service"),
            **more,
        )
