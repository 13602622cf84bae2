"""What a change of a real PostgreSQL would do: looked at, bounded, and said in full; nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from bot.redact import Redactor
from bot.targets.postgres_catalog import Process, Relation, process, relation
from bot.targets.postgres_link import APPLICATION, Link
from bot.targets.postgres_server import Asks, Server, masked, server
from commands.actions import Plan
from commands.values import shown
from incidents.ports import RefusedError
from incidents.wording import counted

LONGEST = 840.0  # seconds that ANALYZE and REINDEX may take
_PID = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)  # a name that SQL takes without quotation marks
_MINE = (
    "SELECT count(*), count(*) FILTER (WHERE pg_has_role(c.relowner, 'USAGE')),"
    " pg_size_pretty(pg_database_size(current_database())) FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 'p')"
    " AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
)


class Planner:
    """Makes the plans for one database."""

    def __init__(
        self, link: Link, redactor: Redactor, configured: Mapping[str, Any], *, several: bool
    ) -> None:
        self._link, self._redactor = link, redactor
        self._configured, self._several = configured, several

    async def plan(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of one of the changes; RefusedError where it cannot be, TargetError where there is no answer."""
        makers: Mapping[str, Callable[..., Awaitable[Plan]]] = {
            "cancel": self._cancel,
            "terminate": self._terminate,
            "analyze": self._analyze,
            "reindex": self._reindex,
        }
        if verb not in makers:
            raise RefusedError(f"PostgreSQL knows no {verb}.")
        return await makers[verb](await server(self._link, self._link), **args)

    # -- processes --------------------------------------------------------------------------------

    async def _cancel(self, found: Server, *, pid: str) -> Plan:
        chosen = await self._process(pid, ("client backend", "autovacuum worker"))
        if chosen.running is None:
            raise RefusedError(
                f"Process {pid} runs nothing that could be cancelled, it is {chosen.state or chosen.kind}; "
                f"`/pg terminate {pid}` ends its connection."
            )
        return self._plan(
            found,
            "cancel",
            words=pid,
            summary=f"{self._link.title} cancel the query of {pid} ({self._who(chosen)})",
            args={"pid": pid},
            subject=f"{pid}",
            before={"query": chosen.running},
            after={"query": None},
            notes=self._statement(chosen),
            done=f"the query of {pid} was cancelled",
        )

    async def _terminate(self, found: Server, *, pid: str) -> Plan:
        chosen = await self._process(pid, ("client backend",))
        return self._plan(
            found,
            "terminate",
            words=pid,
            summary=f"{self._link.title} terminate {pid} ({self._who(chosen)})",
            args={"pid": pid},
            subject=f"{pid}",
            before={"process": chosen.described},
            after={"process": None},
            effect="danger",
            notes=("its transaction is rolled back", *self._statement(chosen)),
            done=f"process {pid} was terminated",
        )

    async def _process(self, pid: str, kinds: tuple[str, ...]) -> Process:
        if _PID.fullmatch(pid) is None or int(pid) >= 2**31:
            raise RefusedError(f"A process is a whole number, as `/pg activity` lists; {shown(pid)} is none.")
        chosen = await process(self._link, pid)
        if chosen is None:
            raise RefusedError(f"{self._link.name} has no process {pid}; `/pg activity` lists them.")
        if chosen.application.split(" ")[0] == APPLICATION:
            raise RefusedError(f"Process {pid} is a connection of mine; `/cancel N` stops a change of mine.")
        if chosen.kind not in kinds:
            raise RefusedError(
                f"Process {pid} is PostgreSQL's own ({chosen.kind or 'hidden from me'}); I leave it alone."
            )
        if not chosen.may or not chosen.started:
            raise RefusedError(
                f"I may not stop process {pid} of {shown(chosen.user)}: that takes the roles pg_monitor and "
                "pg_signal_backend, and for a superuser's process a superuser."
            )
        return chosen

    def _who(self, chosen: Process) -> str:
        named = " ".join(self._redactor.redact(chosen.application).split())[:40]
        return " ".join(word for word in (chosen.user, named, chosen.address) if word)

    def _statement(self, chosen: Process) -> tuple[str, ...]:
        return (f"{chosen.state or chosen.kind}: {masked(chosen.query, self._redactor, 120)}",)

    # -- maintenance ------------------------------------------------------------------------------

    async def _analyze(self, found: Server, *, table: str | None = None) -> Plan:
        self._writable(found)
        if table is None:
            return await self._analyze_all(found)
        chosen = await relation(self._link, table)
        if chosen.index:
            raise RefusedError(f"{shown(table)} is an index; ANALYZE takes its table, {chosen.table_name}.")
        self._own(chosen)
        return self._plan(
            found,
            "analyze",
            words=table,
            summary=f"{self._link.title} analyze {chosen.called} ({chosen.size})",
            args={"table": table},
            identity=f"{found.identity} table {chosen.table}",
            before={"analyses": chosen.analyses},
            after={"analyses": chosen.analyses + 1},
            notes=("reads a sample of the rows; nobody has to wait for it",),
            stoppable=True,
            done=f"{chosen.called} is analysed",
        )

    async def _analyze_all(self, found: Server) -> Plan:
        every, mine, size = (await self._link.look(_MINE))[0]
        if not mine:
            none = f"None of the {every} tables" if every != 1 else "The one table"
            if not every:
                raise RefusedError(f"{self._link.name} has no table to analyse.")
            raise RefusedError(
                f"{none} of {self._link.name} is mine to analyse: I have to be a member of the role that owns one."
            )
        left = (
            ()
            if mine == every
            else (
                f"only {mine} of {counted(every, 'table')}: I am no member of the roles that own the others",
            )
        )
        return self._plan(
            found,
            "analyze",
            words="",
            summary=f"{self._link.title} analyze {counted(mine, 'table')} ({size})",
            args={},
            before={},
            after={},
            notes=("reads a sample of the rows; nobody has to wait for it", *left),
            stoppable=True,
            done=f"{counted(mine, 'table')} of {self._link.name} {'is' if mine == 1 else 'are'} analysed",
        )

    async def _reindex(self, found: Server, *, what: str) -> Plan:
        self._writable(found)
        if found.number < 120_000:
            raise RefusedError(
                f"PostgreSQL {found.version} cannot reindex while others work (CONCURRENTLY); 12 and later can."
            )
        chosen = await relation(self._link, what)
        if chosen.kind in ("p", "I"):
            raise RefusedError(f"{shown(what)} is partitioned; reindex its partitions one by one.")
        if chosen.system:
            raise RefusedError(
                f"{shown(what)} is PostgreSQL's own, which cannot be reindexed while others work."
            )
        if not chosen.indexes:
            raise RefusedError(f"{shown(what)} has no index.")
        self._own(chosen)
        broken = (
            (f"{chosen.invalid} of the table's indexes {'is' if chosen.invalid == 1 else 'are'} invalid now",)
            if chosen.invalid
            else ()
        )
        count = "one index" if chosen.indexes == 1 else f"{chosen.indexes} indexes"
        return self._plan(
            found,
            "reindex",
            words=what,
            summary=f"{self._link.title} reindex {chosen.called}: {count} ({chosen.size})",
            args={"what": what},
            identity=f"{found.identity} table {chosen.table} indexes {chosen.digest}",
            before={},
            after={},
            effect="danger",
            notes=(
                "built anew beside the old ones (CONCURRENTLY): takes their space a second time while it runs",
                "it waits for transactions that are older; /pg activity shows them",
                *broken,
            ),
            stoppable=True,
            done=f"{chosen.called} is reindexed",
        )

    def _own(self, chosen: Relation) -> None:
        if not chosen.may:
            raise RefusedError(
                f"{chosen.called} belongs to the role {shown(chosen.owner)}; I am {shown(chosen.me)} there. "
                f"Ask its owner, or make me a member: GRANT {_role(chosen.owner)} TO {_role(chosen.me)}."
            )

    def _writable(self, found: Server) -> None:
        if found.standby:
            raise RefusedError(f"{self._link.title} is a standby, which takes no changes; its primary does.")

    # -- what all have ----------------------------------------------------------------------------

    def _plan(
        self,
        found: Server,
        verb: str,
        *,
        words: str,
        args: Mapping[str, Any],
        subject: str = "",
        identity: str = "",
        effect: Literal["change", "danger"] = "change",
        **more: Any,
    ) -> Plan:
        name = f"name={self._link.name}" if self._several else ""
        return Plan(
            command=f"pg {verb}",
            line=" ".join(word for word in ("pg", verb, words, name) if word),
            target="postgres",
            verb=verb,
            args={"name": self._link.name, **args},
            subject=" ".join(word for word in (f"postgres:{self._link.name}", subject) if word),
            identity=identity or found.identity,
            environment=str(self._configured.get("environment", "production")),
            service=self._configured.get("service"),
            effect=effect,
            **more,
        )


def _role(name: str) -> str:
    """The name as an SQL identifier: https://www.postgresql.org/docs/current/sql-syntax-lexical.html."""
    return name if _PLAIN.fullmatch(name) else f'"{name.replace(chr(34), chr(34) * 2)}"'


async def observed(asks: Asks, link: Link, plan: Plan) -> tuple[str, Mapping[str, Any]]:
    """Identity and state now, with the keys of `plan.before`."""
    found = await server(asks, link)
    if plan.verb in ("cancel", "terminate"):
        there = await process(asks, str(plan.args["pid"]))
        if plan.verb == "terminate":
            return found.identity, {"process": there.described if there and there.kind else None}
        running = there.running if there is not None else None
        return found.identity, {"query": running if running == plan.before["query"] else None}
    called = plan.args.get("what") or plan.args.get("table")
    if called is None:
        return found.identity, {}
    try:
        chosen = await relation(asks, str(called))
    except RefusedError:
        return f"{found.identity} without it", dict.fromkeys(plan.before)
    if plan.verb == "reindex":
        return f"{found.identity} table {chosen.table} indexes {chosen.digest}", {}
    return f"{found.identity} table {chosen.table}", {"analyses": chosen.analyses}
