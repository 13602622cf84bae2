"""Processes, tables and indexes of a PostgreSQL server, as its catalogue has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.targets.postgres_server import Asks
from commands.values import shown
from incidents.ports import RefusedError

_NAME = re.compile(r"(?:([A-Za-z0-9_-]{1,63})\.)?([A-Za-z0-9_-]{1,63})", re.ASCII)
_PROCESS = (
    "SELECT coalesce(usename, ''), coalesce(application_name, ''), coalesce(client_addr::text, 'local'),"
    " coalesce(state, ''), coalesce(to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), ''),"
    " coalesce(to_char(query_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), ''),"
    " coalesce(backend_type, ''), coalesce(left(query, 1000), ''),"
    " coalesce(pg_has_role(usesysid, 'MEMBER') OR pg_has_role('pg_signal_backend', 'MEMBER')"
    " AND NOT (SELECT rolsuper FROM pg_roles r WHERE r.oid = usesysid), false)"
    " FROM pg_stat_activity WHERE pid = %s"
)
# A table with its number, who may look after it, how often it was analysed, and the state of its indexes.
_RELATION = (
    "SELECT n.nspname, c.relname, c.relkind::text, t.oid::bigint, tn.nspname, t.relname,"
    " pg_has_role(t.relowner, 'USAGE'), coalesce(pg_stat_get_analyze_count(t.oid), 0),"
    " pg_size_pretty(pg_relation_size(c.oid)), n.nspname IN ('pg_catalog', 'pg_toast', 'information_schema'),"
    " (SELECT count(*) FROM pg_index x WHERE x.indrelid = t.oid AND (c.oid = t.oid OR x.indexrelid = c.oid)),"
    " (SELECT coalesce(md5(string_agg(x.indexrelid || ':' || pg_relation_filenode(x.indexrelid), ' '"
    " ORDER BY x.indexrelid)), '') FROM pg_index x"
    " WHERE x.indrelid = t.oid AND (c.oid = t.oid OR x.indexrelid = c.oid)),"
    " (SELECT count(*) FROM pg_index x WHERE x.indrelid = t.oid AND NOT x.indisvalid),"
    " pg_get_userbyid(t.relowner)::text, current_user::text"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_class t ON t.oid = coalesce((SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = c.oid), c.oid)"
    " JOIN pg_namespace tn ON tn.oid = t.relnamespace"
    " WHERE c.relname = %s AND n.nspname = coalesce(%s::text, n.nspname)"
    " AND c.relkind IN ('r', 'm', 'p', 'i', 'I') AND n.nspname !~ '^pg_temp'"
    " ORDER BY n.nspname = 'public' DESC, 1 LIMIT 3"
)


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the server, as pg_stat_activity shows it; times as UTC text to the microsecond."""

    user: str
    application: str
    address: str
    state: str
    started: str
    asked: str
    kind: str
    query: str
    may: bool

    @property
    def described(self) -> str:
        """`app 10.0.0.7, since 2026-01-03 02:30:00.000001 UTC`: nobody else is called so.

        What it calls itself is left out: that may be anything, and this stands in the log.
        """
        return f"{self.user} {self.address}, since {self.started} UTC"

    @property
    def running(self) -> str | None:
        """Which statement it is at, or None."""
        return f"{self.described}, at it since {self.asked} UTC" if self.state == "active" else None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or an index, and the table that it belongs to; `digest` is of the files of the indexes."""

    schema: str
    name: str
    kind: str
    table: int
    table_schema: str
    table_name: str
    may: bool
    analyses: int
    size: str
    system: bool
    indexes: int
    digest: str
    invalid: int
    owner: str = ""
    me: str = ""  # the role that asks

    @property
    def index(self) -> bool:
        """Whether it is an index."""
        return self.kind in ("i", "I")

    @property
    def called(self) -> str:
        """Its whole name."""
        return f"{self.schema}.{self.name}"


async def process(asks: Asks, pid: str) -> Process | None:
    """The process of that number; None where there is none."""
    rows = await asks.look(_PROCESS, int(pid))
    return Process(*rows[0]) if rows else None


async def relation(asks: Asks, called: str) -> Relation:
    """The table or index of that name; RefusedError where there is none, or several."""
    read = _NAME.fullmatch(called)
    if read is None:
        raise RefusedError(f"{shown(called)} is no name of a table or index, as in orders or public.orders.")
    found = [Relation(*row) for row in await asks.look(_RELATION, read[2], read[1])]
    if not found:
        raise RefusedError(f"There is no table or index {shown(called)}; `/pg stats` lists the tables.")
    if len(found) > 1 and found[0].schema != "public":
        raise RefusedError(f"There are several of that name: say {' or '.join(r.called for r in found)}.")
    return found[0]
