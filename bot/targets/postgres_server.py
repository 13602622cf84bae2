"""What a PostgreSQL server says of itself, and its statements without the values in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from psycopg.abc import QueryNoTemplate

from bot.redact import Redactor
from bot.targets.postgres_link import Link, Row
from commands.actions import TargetError

# What a statement is made of, as far as texts and comments are to be told from the rest
# (https://www.postgresql.org/docs/current/sql-syntax-lexical.html). Letters beyond ASCII belong to names, and a name
# may hold a dollar, so that no text begins in the middle of one.
_LETTER = r"A-Za-z_\x80-\U0010ffff"
_TOKEN = re.compile(
    rf"(?P<rest>(?>(?:(?![eE]')[{_LETTER}][{_LETTER}0-9$]*+|\$[0-9]++|\"(?>(?:[^\"]++|\"\")*)\""
    rf"|[^{_LETTER}$'\"/-]|-(?!-)|/(?!\*))+))"
    # A backslash before a quote is an escape in E'…', and elsewhere where standard_conforming_strings is off, which
    # does not show: then the text has no end that could be relied on.
    r"|(?P<text>[eE]'(?>(?:[^'\\]++|\\.|'')*)'|'(?>(?:[^'\\]++|\\[^']|'')*)')"
    rf"|(?P<line>--[^\n]*+)|(?P<block>/\*)|(?P<dollar>\$(?:[{_LETTER}][{_LETTER}0-9]*+)?\$)",
    re.DOTALL,
)
_NESTED = re.compile(r"/\*|\*/")
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
    """A statement on one line, without its texts and comments: those may be anybody's data, or passwords.

    What has no end goes up to the end of the statement, which the server cuts off.
    """
    plain = " ".join("".join(_without_texts(statement)).split())
    safe = redactor.redact(plain)
    return safe if len(safe) <= most else f"{safe[:most]}…"


def _without_texts(statement: str) -> Iterator[str]:
    at = 0
    while (found := _TOKEN.match(statement, at)) is not None:
        match found.lastgroup:
            case "rest":
                yield found[0]
            case "line" | "block":
                yield " /*…*/ "
            case _:
                yield "'…'"
        at = _end(statement, found)
    if at < len(statement):
        yield "'…'"


def _end(statement: str, found: re.Match[str]) -> int:
    """Where a token ends; the end of the statement where it has none of its own."""
    at = found.end()
    if found.lastgroup == "dollar":
        end = statement.find(found[0], at)
        return len(statement) if end < 0 else end + len(found[0])
    if found.lastgroup == "block":
        depth = 1  # comments stand in one another
        for sign in _NESTED.finditer(statement, at):
            depth += 1 if sign[0] == "/*" else -1
            if not depth:
                return sign.end()
        return len(statement)
    return at
