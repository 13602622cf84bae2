"""What can be looked at in a real PostgreSQL: read-only, bounded, and without the values in statements."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from psycopg import sql

from bot.redact import Redactor
from bot.targets.postgres_link import Link, Row, SaidNoError
from bot.targets.postgres_server import masked, server
from commands.actions import Answer, Table
from incidents.ports import RefusedError
from incidents.wording import span

_ROWS = 30
_STATES = (
    "SELECT coalesce(state, 'unknown'), count(*), max(extract(epoch FROM clock_timestamp() - state_change))::bigint"
    " FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC, 1"
)
_ROOM = (
    "SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int,"
    " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
)
_ACTIVITY = (
    "SELECT pid, extract(epoch FROM clock_timestamp() - CASE state WHEN 'active' THEN query_start"
    " ELSE coalesce(xact_start, state_change) END)::bigint, coalesce(state, 'hidden'),"
    " coalesce(usename, ''), coalesce(wait_event_type, ''), left(query, 1000)"
    " FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    " AND pid <> pg_backend_pid() AND state IS DISTINCT FROM 'idle' ORDER BY 2 DESC NULLS LAST LIMIT 31"
)
_WAITING = (
    "SELECT a.pid, extract(epoch FROM clock_timestamp() - a.query_start)::bigint, pg_blocking_pids(a.pid),"
    " l.mode, coalesce(c.relname, l.locktype), left(a.query, 1000)"
    " FROM pg_locks l JOIN pg_stat_activity a USING (pid) LEFT JOIN pg_class c ON c.oid = l.relation AND"
    " l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " WHERE NOT l.granted ORDER BY 2 DESC NULLS LAST LIMIT 31"
)
_BLOCKING = (
    "SELECT pid, coalesce(usename, ''), coalesce(state, 'hidden'),"
    " extract(epoch FROM clock_timestamp() - coalesce(state_change, backend_start))::bigint, left(query, 1000)"
    " FROM pg_stat_activity WHERE pid = ANY(%s) LIMIT 10"
)
_STATEMENTS = (
    "SELECT n.nspname, EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'mean_exec_time')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_depend d ON d.objid = c.oid"
    " AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid"
    " WHERE e.extname = 'pg_stat_statements' AND c.relname = 'pg_stat_statements'"
)
_SLOW = (
    "SELECT calls, {mean}::float8, {total}::float8, left(query, 1000) FROM {view}"
    " WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND userid <> (SELECT oid FROM pg_roles WHERE rolname = current_user) ORDER BY 2 DESC LIMIT 10"
)
_SIZE = "SELECT pg_size_pretty(pg_database_size(current_database()))"
_TABLES = (
    "SELECT n.nspname, c.relname, pg_size_pretty(pg_total_relation_size(c.oid)),"
    " pg_size_pretty(pg_indexes_size(c.oid)) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
    " ORDER BY pg_total_relation_size(c.oid) DESC LIMIT 10"
)
_STATS = (
    "SELECT schemaname, relname, n_live_tup, n_dead_tup, coalesce(seq_scan, 0), coalesce(idx_scan, 0),"
    " extract(epoch FROM clock_timestamp() - greatest(last_analyze, last_autoanalyze))::bigint"
    " FROM pg_stat_user_tables ORDER BY n_dead_tup DESC, n_live_tup DESC, relname LIMIT 31"
)
_SENDERS = (
    "SELECT coalesce(application_name, ''), coalesce(client_addr::text, 'local'), coalesce(state, 'hidden'),"
    " coalesce(sync_state, ''), pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)),"
    " extract(epoch FROM replay_lag)::bigint FROM pg_stat_replication ORDER BY 1 LIMIT 31"
)
_BEHIND = (
    "SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 ELSE"
    " extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::bigint END,"
    " (SELECT status FROM pg_stat_wal_receiver LIMIT 1)"
)
_SWITCH_ON = (
    "pg_stat_statements is not there. To switch it on: add it to shared_preload_libraries in postgresql.conf,",
    "restart PostgreSQL, and run CREATE EXTENSION pg_stat_statements in this database.",
)


async def answer(link: Link, redactor: Redactor, verb: str) -> Answer:
    """The answer to a read; RefusedError where there is none of that name, TargetError where there is no answer."""
    readers: Mapping[str, Callable[[Link, Redactor], Awaitable[Answer]]] = {
        "ready": _ready,
        "connections": _connections,
        "activity": _activity,
        "locks": _locks,
        "slow": _slow,
        "size": _size,
        "stats": _stats,
        "replication": _replication,
    }
    if verb not in readers:
        raise RefusedError(f"PostgreSQL knows no {verb}.")
    return await readers[verb](link, redactor)


async def _ready(link: Link, _redactor: Redactor) -> Answer:
    began = time.perf_counter()
    await link.look("SELECT 1")
    took = max(1, round((time.perf_counter() - began) * 1000))
    found = await server(link, link)
    recovery = "in recovery, takes reads only" if found.standby else "takes reads and changes"
    return Answer(
        f"{link.title} · ready in {took} ms, {found.role}",
        lines=(f"PostgreSQL {found.version}, up for {span(max(1, found.up))}, {recovery}",),
    )


async def _connections(link: Link, _redactor: Redactor) -> Answer:
    rows = await link.look(_STATES)
    most, reserved, count = (await link.look(_ROOM))[0]
    table = Table(("STATE", "COUNT", "OLDEST"), tuple((s, str(n), _for(age)) for s, n, age in rows), (1, 2))
    share = round(100 * count / most) if most else 0
    return Answer(
        f"{link.title} · {count} of {most} connections, {share} %",
        table=table,
        lines=(f"{reserved} of the {most} {'is' if reserved == 1 else 'are'} kept for superusers",),
    )


async def _activity(link: Link, redactor: Redactor) -> Answer:
    rows = await link.look(_ACTIVITY)
    cells = tuple(
        (
            str(pid),
            _for(age),
            _state(state, wait),
            user,
            masked(query or "", redactor),
        )
        for pid, age, state, user, wait, query in rows[:_ROWS]
    )
    heading = f"{link.title} · {_count(rows)} at work"
    return _tabled(heading, ("PID", "FOR", "STATE", "USER", "QUERY"), cells, (0, 1))


def _state(state: str, wait: str) -> str:
    short = state.replace("idle in transaction", "idle in tx")
    return f"{short}, waits: {wait}" if state == "active" and wait in ("Lock", "LWLock", "IO") else short


async def _locks(link: Link, redactor: Redactor) -> Answer:
    rows = await link.look(_WAITING)
    waiting = {row[0] for row in rows}
    roots = sorted({pid for row in rows for pid in row[2]} - waiting)
    cells = tuple(
        (
            str(pid),
            _for(age),
            ", ".join(map(str, blockers)) or "–",
            f"{mode} on {what}",
            masked(query, redactor),
        )
        for pid, age, blockers, mode, what, query in rows[:_ROWS]
    )
    held = await link.look(_BLOCKING, roots) if roots else []
    lines = tuple(
        f"{pid} ({user}) blocks: {state} for {_for(age)}, {masked(query, redactor, 120)}"
        for pid, user, state, age, query in held
    )
    heading = f"{link.title} · {_count(rows)} {'waits' if len(rows) == 1 else 'wait'} for a lock"
    made = _tabled(heading, ("PID", "FOR", "BLOCKED BY", "WANTS", "QUERY"), cells, (0, 1))
    return Answer(made.headline, table=made.table, lines=lines)


async def _slow(link: Link, redactor: Redactor) -> Answer:
    """`mean_exec_time` since pg_stat_statements 1.8, which came with PostgreSQL 13; `mean_time` before."""
    found = await link.look(_STATEMENTS)
    off = Answer(f"{link.title} · slow statements are not counted", lines=_SWITCH_ON)
    if not found:
        return off
    schema, modern = found[0]
    suffix = "_exec_time" if modern else "_time"
    query = sql.SQL(_SLOW).format(
        mean=sql.Identifier(f"mean{suffix}"),
        total=sql.Identifier(f"total{suffix}"),
        view=sql.Identifier(schema, "pg_stat_statements"),
    )
    try:
        rows = await link.look(query)
    except SaidNoError as error:
        if error.state == "55000":  # the library was not loaded when the server started
            return off
        raise
    cells = tuple(
        (f"{mean:,.1f} ms", f"{calls:,}", _lasted(total), masked(query, redactor))
        for calls, mean, total, query in rows
    )
    heading = f"{link.title} · the {len(rows)} slowest statements, by their mean"
    return _tabled(heading, ("MEAN", "CALLS", "TOTAL", "STATEMENT"), cells, (0, 1, 2))


def _lasted(milliseconds: float) -> str:
    return span(round(milliseconds / 1000)) if milliseconds >= 1000 else f"{milliseconds:,.1f} ms"


async def _size(link: Link, _redactor: Redactor) -> Answer:
    whole = (await link.look(_SIZE))[0][0]
    rows = await link.look(_TABLES)
    cells = tuple((_named(schema, table), size, indexes) for schema, table, size, indexes in rows)
    return _tabled(f"{link.title} · {whole}", ("TABLE", "SIZE", "INDEXES"), cells, (1, 2))


async def _stats(link: Link, _redactor: Redactor) -> Answer:
    rows = await link.look(_STATS)
    cells = tuple(
        (
            _named(schema, table),
            f"{live:,}",
            f"{dead:,}",
            f"{scans:,}",
            f"{indexed:,}",
            "never" if age is None else f"{_for(age)} ago",
        )
        for schema, table, live, dead, scans, indexed, age in rows[:_ROWS]
    )
    columns = ("TABLE", "ROWS", "DEAD", "SEQ", "INDEX", "ANALYZED")
    what = "table" if len(rows) == 1 else "tables, most dead rows first"
    return _tabled(f"{link.title} · {_count(rows)} {what}", columns, cells, (1, 2, 3, 4))


async def _replication(link: Link, _redactor: Redactor) -> Answer:
    found = await server(link, link)
    if found.standby:
        behind, status = (await link.look(_BEHIND))[0]
        told = "it has received nothing yet" if behind is None else f"{_for(behind)} behind its primary"
        return Answer(
            f"{link.title} · standby, {told}",
            lines=(f"receiver: {status or 'not connected, or hidden from me'}",),
        )
    rows = await link.look(_SENDERS)
    cells = tuple(
        (name or "–", place, state if not sync else f"{state}, {sync}", size or "?", _for(lag or 0))
        for name, place, state, sync, size, lag in rows[:_ROWS]
    )
    heading = f"{link.title} · primary, {_count(rows)} {'standby' if len(rows) == 1 else 'standbys'}"
    return _tabled(heading, ("STANDBY", "ADDRESS", "STATE", "BEHIND", "LAG"), cells, (3, 4))


def _tabled(
    heading: str, columns: tuple[str, ...], cells: tuple[tuple[str, ...], ...], right: tuple[int, ...]
) -> Answer:
    return Answer(heading, table=Table(columns, cells, right) if cells else None)


def _count(rows: list[Row]) -> str:
    return f"more than {_ROWS}" if len(rows) > _ROWS else str(len(rows))


def _named(schema: str, table: str) -> str:
    return table if schema == "public" else f"{schema}.{table}"


def _for(seconds: int | None) -> str:
    if seconds is None:
        return "–"
    return span(seconds) if seconds >= 1 else "0 s"
