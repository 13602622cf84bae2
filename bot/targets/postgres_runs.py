"""How a change of a real PostgreSQL runs: sent once on a connection that is called by it, and proved after."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from psycopg import sql

from bot.targets.postgres_catalog import relation
from bot.targets.postgres_link import APPLICATION, BrokenError, Line, Link, SaidNoError
from bot.targets.postgres_plans import LONGEST, observed
from bot.targets.postgres_server import server
from commands.actions import Outcome, Plan, Progress, TargetError
from incidents.ports import RefusedError

_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s"
    " AND to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') = %s"
)
_CANCEL = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
    " AND to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') = %s"
    " AND to_char(query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') = %s"
)
_MINE = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND usename = current_user"
    " AND state = 'active' AND query ~ '^(ANALYZE|REINDEX)'"
)
_STOP = (
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
    " AND usename = current_user AND state = 'active' AND query ~ '^(ANALYZE|REINDEX)'"
)
_SAMPLED = "SELECT sample_blks_scanned, sample_blks_total FROM pg_stat_progress_analyze WHERE pid = %s"
_BUILT = "SELECT blocks_done, blocks_total FROM pg_stat_progress_create_index WHERE pid = %s"
_LEFT = (
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
    " WHERE i.indrelid = %s AND NOT i.indisvalid ORDER BY 1 LIMIT 5"
)
_GIVEN_UP = 10.0  # seconds until a process that was told to stop should have stopped
_STEP = 0.5  # seconds between two looks at how far it is


class Runner:
    """Runs the plans of one database."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def run(self, plan: Plan, key: str, progress: Progress) -> Outcome:
        """Do it, once. TargetError: nothing was changed."""
        async with self._link.line(_called(plan, key)) as line:
            identity, now = await observed(line, self._link, plan)
            if identity != plan.identity or dict(now) != dict(plan.before):
                raise TargetError(
                    f"{self._link.title} is no longer as it was planned, so nothing was changed."
                )
            try:
                if plan.verb in ("cancel", "terminate"):
                    return await self._signal(line, plan)
                return await self._maintain(line, plan, progress)
            except BrokenError as error:
                return await self._unknown(plan, str(error))

    async def follow(self, plan: Plan, key: str, progress: Progress) -> Outcome | None:
        """After a crash: a statement that still runs is called as this change is, and is followed to its end.

        A process that is gone, a table that was analysed once more and indexes in new files speak for themselves.
        A query that has ended may have ended by itself, so nothing is claimed of it.
        """
        application = _called(plan, key)
        while plan.verb in ("analyze", "reindex") and (found := await self._link.look(_MINE, application)):
            with suppress(TargetError):
                await self._tell(plan, found[0][0], 0, progress)
            await asyncio.sleep(_STEP)
        identity, now = await observed(self._link, self._link, plan)
        if plan.verb == "reindex":
            return await self._reindexed(plan, identity)
        proves = plan.verb == "terminate" or (plan.verb == "analyze" and bool(plan.before))
        if not proves or identity != plan.identity or dict(now) != dict(plan.after):
            return None
        return Outcome("done", plan.done, dict(now))

    async def cancel(self, plan: Plan, key: str) -> bool:
        """Stop the statement of this change; False where it does not run."""
        rows = await self._link.look(_STOP, _called(plan, key))
        return any(row[0] for row in rows)

    # -- processes --------------------------------------------------------------------------------

    async def _signal(self, line: Line, plan: Plan) -> Outcome:
        """The process is matched with its start, the query with its own, in the statement that stops it."""
        pid, told = int(plan.args["pid"]), str(next(iter(plan.before.values())))
        started = told.rpartition(", since ")[2].split(" UTC")[0]
        if plan.verb == "terminate":
            rows = await line.change(_TERMINATE, pid, started)
        else:
            asked = told.rpartition(", at it since ")[2].split(" UTC")[0]
            started = told.rpartition(", at it since ")[0].rpartition(", since ")[2].split(" UTC")[0]
            rows = await line.change(_CANCEL, pid, started, asked)
        if not rows or not rows[0][0]:
            raise TargetError(f"Process {pid} has ended that by itself; nothing was changed.")
        end = asyncio.get_running_loop().time() + _GIVEN_UP
        wait = 0.02
        while asyncio.get_running_loop().time() < end:
            try:
                _, now = await observed(self._link, self._link, plan)
            except TargetError as error:
                return Outcome("unknown", f"process {pid} was told to stop. {error}")
            if dict(now) == dict(plan.after):
                return Outcome("done", plan.done, dict(now))
            await asyncio.sleep(wait)
            wait = min(1.0, wait * 2)
        return Outcome(
            "unknown", f"process {pid} was told to stop, and is still there after {_GIVEN_UP:.0f} s"
        )

    # -- maintenance ------------------------------------------------------------------------------

    async def _maintain(self, line: Line, plan: Plan, progress: Progress) -> Outcome:
        statement = await self._statement(line, plan)
        watching = asyncio.ensure_future(self._watch(plan, line.pid, progress))
        try:
            await line.change(statement, within=LONGEST)
        except SaidNoError as error:
            return await self._failed(plan, error)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        await progress(100, 100, "%")
        return Outcome("done", plan.done, dict(plan.after))

    async def _statement(self, line: Line, plan: Plan) -> sql.Composed:
        """Names come from the catalogue, never from what was typed."""
        called = plan.args.get("what") or plan.args.get("table")
        if called is None:
            return sql.SQL("ANALYZE").format()
        try:
            chosen = await relation(line, str(called))
        except RefusedError as error:
            raise TargetError(f"{error} Nothing was changed.") from error
        name = sql.Identifier(chosen.schema, chosen.name)
        if plan.verb == "analyze":
            return sql.SQL("ANALYZE {}").format(name)
        kind = sql.SQL("INDEX" if chosen.index else "TABLE")
        return sql.SQL("REINDEX {} CONCURRENTLY {}").format(kind, name)

    async def _watch(self, plan: Plan, pid: int, progress: Progress) -> None:
        """Tell how far it is; where that cannot be seen, nothing is told."""
        told = 0
        while True:
            await asyncio.sleep(_STEP)
            with suppress(TargetError):
                told = await self._tell(plan, pid, told, progress)

    async def _tell(self, plan: Plan, pid: int, told: int, progress: Progress) -> int:
        """Percent, which never go back: several indexes are built one after another."""
        rows = await self._link.look(_SAMPLED if plan.verb == "analyze" else _BUILT, pid)
        parts, total = rows[0] if rows else (0, 0)
        percent = min(99, max(told, round(100 * parts / total))) if total else told
        await progress(percent, 100, "%")
        return percent

    async def _failed(self, plan: Plan, error: SaidNoError) -> Outcome:
        """What a statement that was stopped left behind: a concurrent build leaves an invalid index."""
        if plan.verb != "reindex":
            return Outcome("failed", f"{error} Nothing was changed.")
        try:
            chosen = await relation(self._link, str(plan.args["what"]))
            left = [row[0] for row in await self._link.look(_LEFT, chosen.table)]
        except (TargetError, RefusedError) as second:
            return Outcome("failed", f"{error} What it left cannot be seen: {second}")
        if not left:
            return Outcome("failed", f"{error} The old indexes are in use as before.")
        return Outcome(
            "failed",
            f"{error} The old indexes are in use as before; to be dropped by hand: {', '.join(left)}.",
        )

    async def _reindexed(self, plan: Plan, identity: str) -> Outcome | None:
        before, now = plan.identity.rpartition(" "), identity.rpartition(" ")
        if before[0] != now[0] or before[2] == now[2]:
            return None
        chosen = await relation(self._link, str(plan.args["what"]))
        return None if chosen.invalid else Outcome("done", plan.done, dict(plan.after))

    async def _unknown(self, plan: Plan, why: str) -> Outcome:
        """What can be seen after a connection broke that a change was sent on."""
        try:
            _, now = await observed(self._link, self._link, plan)
            found = await server(self._link, self._link)
        except TargetError as error:
            return Outcome("unknown", f"{why}. {error}")
        shows: dict[str, Any] = dict(now) or {"role": found.role}
        told = ", ".join(f"{name}={value}" for name, value in shows.items())
        return Outcome("unknown", f"{why}. {self._link.title} shows {told}.")


def _called(plan: Plan, key: str) -> str:
    """The name of a change's connection: its number, and its plan, for another bot of that user counts as well."""
    return f"{APPLICATION} {key}|{plan.hash[:10]}"
