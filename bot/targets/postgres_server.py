"""What a PostgreSQL server says of itself, and its statements without the values in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from psycopg.abc import QueryNoTemplate

from bot.redact import Redactor
from bot.targets.postgres_link import Link, Row
from commands.actions import TargetError

# Where a text in a statement ends, or the statement itself, which the server cuts off
# (https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS).
_TEXTS = re.compile(
    r"(?<![\w$])[eE]'(?>(?:[^'\\]|\\.|'')*)(?:'|\\?$)|'(?>(?:[^']|'')*)(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)",
    re.DOTALL,
)
SERVER = (
    "SELECT to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'),"
    " pg_is_in_recovery(), current_setting('server_version'), current_setting('server_version_num')::int,"
    " d.oid::bigint, d.datname, extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::bigint"
    " FROM pg_database d WHERE d.datname = current_database()"
)


class Asks(Protocol):
    """A link, or one connection of it."""

    async def look(self, statement: QueryNoTemplate, *values: object) -> list[Row]:
        """The rows; TargetError where there are none to be had."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server as it was started, and the database that is meant."""

    started: str
    standby: bool
    version: str
    number: int
    database: int
    name: str
    up: int  # seconds

    @property
    def identity(self) -> str:
        """Which start of the server, in which role, which database: after a failover it is another one."""
        return f"{self.started} {self.role} {self.database}"

    @property
    def role(self) -> str:
        """`primary` or `standby`."""
        return "standby" if self.standby else "primary"


async def server(asks: Asks, link: Link) -> Server:
    """What the server says of itself."""
    rows = await asks.look(SERVER)
    if len(rows) != 1:
        raise TargetError(f"{link.title} does not say who it is.")
    return Server(*rows[0])


def masked(statement: str, redactor: Redactor, most: int = 200) -> str:
    """A statement on one line, without its texts: those may be anybody's data, or passwords."""
    plain = " ".join(_TEXTS.sub("'…'", statement).split())
    safe = redactor.redact(plain)
    return safe if len(safe) <= most else f"{safe[:most]}…"
