"""The way to one PostgreSQL database: its connections, what is asked on them, and what failures mean."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import ceil
from typing import Any

import psycopg
from psycopg.abc import QueryNoTemplate
from psycopg.adapt import Buffer, Loader

from bot.targets.guard import UnreachableError
from bot.targets.postgres_config import Address
from commands.actions import TargetError
from incidents.wording import span

APPLICATION = "watchbell"  # by which its connections are known in pg_stat_activity
_LETTERS = ("text", "varchar", "name", "bpchar", '"char"', 705)  # 705 is "unknown"
# What the server says to a connection that it does not take; libpq gives no code for it, only the text.
_DOORS = (
    ("authentication failed", "does not let me in: it refuses the user or the password"),
    ("no password supplied", "does not let me in: it wants a password, and I have none"),
    ("pg_hba.conf", "does not let me in: its pg_hba.conf has no place for me"),
    ("certificate", "shows a certificate that I do not trust"),
    ("does not support SSL", "speaks no TLS; write `tls: false` if that is meant to be"),
    ("SSL error", "and I do not come to terms about TLS"),
    ("too many clients", "takes no more connections: all of max_connections are in use"),
    ("connection slots", "takes no more connections: all of max_connections are in use"),
    ("starting up", "has been started and is not ready yet"),
    ("shutting down", "is shutting down"),
    ("in recovery mode", "is recovering from a crash"),
    ("does not exist", "has no such database or user"),
)
_SPACES = {ord("\r"): "\n", ord("\f"): " ", ord("\v"): " "}
Row = tuple[Any, ...]


class BrokenError(Exception):
    """No answer came to what was sent. Its text is a part of a sentence."""


class SaidNoError(TargetError):
    """The server refused a statement; `state` is its SQLSTATE."""

    def __init__(self, text: str, state: str) -> None:
        super().__init__(text)
        self.state = state


@dataclass(frozen=True, slots=True)
class Access:
    """Who the bot is there, whom it believes, and how long a request may take (seconds).

    `redact` takes secrets out of what the server says.
    """

    username: str | None = None
    password: str | None = None
    tls: bool = True
    ca_file: str | None = None
    timeout: float = 5.0
    connections: int = 8
    redact: Callable[[str], str] = str


class _Lenient(Loader):
    """Text whose bytes are no UTF-8 (a database in SQL_ASCII holds anything) is shown with escapes.

    Other white space than the usual becomes that: in a statement it parts words, and a return ends a comment.
    """

    def load(self, data: Buffer) -> str:
        plain = bytes(data).decode("utf-8", "backslashreplace").translate(_SPACES)
        return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in plain)


class Link:
    """One database of one server, with a few connections of its own."""

    def __init__(self, name: str, place: Address, access: Access) -> None:
        self.name, self.place = name, place
        self.title = "PostgreSQL" if name in ("postgres", "postgresql") else f"PostgreSQL {name}"
        self.timeout = access.timeout
        self._access, self.redact = access, access.redact
        self._idle: list[Line] = []
        self._places = asyncio.Semaphore(access.connections)

    async def look(self, statement: QueryNoTemplate, *values: object) -> list[Row]:
        """The rows of a query in a read-only transaction; UnreachableError, or TargetError where it says no.

        A connection that has gone away since it was last used is no news: the question is asked once more.
        """
        async with self._places:
            while True:
                used = bool(self._idle)
                line = self._idle.pop() if used else await self._opened(APPLICATION)
                try:
                    rows = await line.look(statement, *values)
                except UnreachableError:
                    if used and not line.late:
                        continue
                    raise
                finally:
                    if line.whole:
                        self._idle.append(line)
                    else:
                        await line.close()
                return rows

    @asynccontextmanager
    async def line(self, application: str) -> AsyncIterator[Line]:
        """A connection for a change, which is called `application` for as long as it lives."""
        line = await self._opened(application)
        try:
            yield line
        finally:
            await line.close()

    async def stop(self) -> None:
        """Close every connection."""
        while self._idle:
            await self._idle.pop().close()

    async def _opened(self, application: str) -> Line:
        access, place = self._access, self.place
        options: dict[str, Any] = {
            "host": place.host,
            "port": place.port,
            "dbname": place.database or "postgres",
            "user": access.username or place.username or "watchbell",
            "password": access.password or place.password or "",
            "passfile": os.devnull,
            "sslmode": "verify-full" if access.tls else "disable",
            "gssencmode": "disable",
            "connect_timeout": max(2, ceil(access.timeout)),
            "client_encoding": "UTF8",
            "application_name": application,
        }
        if access.tls:
            options["sslrootcert"] = access.ca_file or "system"
        try:
            async with asyncio.timeout(access.timeout):
                connection = await psycopg.AsyncConnection.connect(
                    autocommit=True, prepare_threshold=None, **options
                )
                if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
                    # Such a database holds any bytes, which the server would refuse to send as UTF-8.
                    await connection.execute("SET client_encoding TO SQL_ASCII")
        except (psycopg.Error, OSError) as error:  # TimeoutError is one
            raise self._closed(error) from error
        return Line(self, connection)

    def _closed(self, error: Exception) -> UnreachableError:
        text = str(error)
        if isinstance(error, TimeoutError | psycopg.errors.ConnectionTimeout):
            return UnreachableError(f"{self.title} did not answer within {span(self.timeout)}.")
        if "refused" in text and "pg_hba" not in text:
            return UnreachableError(f"{self.title} does not answer: connection to {self.place} refused.")
        if "resolve host" in text or "host name" in text or isinstance(error, socket.gaierror):
            return UnreachableError(
                f"{self.title} is not to be found: nothing is known of the host of {self.place}."
            )
        told = next((what for hint, what in _DOORS if hint in text), None)
        return UnreachableError(
            f"{self.title} {told or f'does not answer: the connection to {self.place} broke'}."
        )


class Line:
    """One connection."""

    def __init__(self, link: Link, connection: psycopg.AsyncConnection[Row]) -> None:
        self._link, self._connection = link, connection
        self.late = False
        for kind in _LETTERS:
            connection.adapters.register_loader(kind, _Lenient)

    @property
    def pid(self) -> int:
        """The server's process for it."""
        return self._connection.info.backend_pid

    @property
    def whole(self) -> bool:
        """Whether it can be used again."""
        info = self._connection.info
        return not self._connection.closed and info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    async def look(self, statement: QueryNoTemplate, *values: object) -> list[Row]:
        """As `Link.look`, on this connection and without a second try."""
        patience = max(100, round(self._link.timeout * 900))  # milliseconds; the server gives up before we do
        begin = (
            f"BEGIN READ ONLY; SET LOCAL statement_timeout = {patience}; "
            f"SET LOCAL lock_timeout = {patience}; SET LOCAL search_path = pg_catalog"
        )
        try:
            async with asyncio.timeout(self._link.timeout):
                await self._bounded(begin, (), self._link.timeout)
                try:
                    return await self._bounded(statement, values, self._link.timeout)
                finally:
                    if not self._connection.closed:
                        await self._bounded("ROLLBACK", (), self._link.timeout)
        except (BrokenError, TimeoutError) as error:
            self.late = self.late or isinstance(error, TimeoutError)
            why = "the connection broke" if isinstance(error, TimeoutError) else str(error)
            told = (
                f"did not answer within {span(self._link.timeout)}"
                if self.late
                else f"does not answer: {why}"
            )
            raise UnreachableError(f"{self._link.title} {told}.") from error

    async def change(
        self, statement: QueryNoTemplate, *values: object, within: float | None = None
    ) -> list[Row]:
        """Send a change, once. TargetError: it said no; BrokenError: no answer came, so nobody knows.

        `within` is what it may take (seconds), else what a request may.
        """
        seconds = within or self._link.timeout
        patience = round(seconds * 950)
        setting = f"SET statement_timeout = {patience}; SET lock_timeout = {patience}"
        try:
            await self._bounded(setting, (), self._link.timeout)
        except BrokenError as error:
            raise TargetError(f"{self._link.title} went away before anything was changed.") from error
        try:
            return await self._bounded(statement, values, seconds)
        except BrokenError as error:
            raise BrokenError(f"{error} after the request was sent") from error

    async def close(self) -> None:
        """Let go of it, whatever state it is in."""
        self._sever()
        with suppress(psycopg.Error, OSError):
            await self._connection.close()

    async def _bounded(
        self, statement: QueryNoTemplate, values: tuple[object, ...], seconds: float
    ) -> list[Row]:
        """The rows. Whoever stops waiting cuts the connection: it could not be told apart what comes next on it."""
        asked = asyncio.ensure_future(self._asked(statement, values))
        try:
            await asyncio.wait({asked}, timeout=seconds)
        except asyncio.CancelledError:
            await self._cut(asked)
            raise
        if not asked.done():
            self.late = True
            await self._cut(asked)
            raise BrokenError("no answer came")
        try:
            return asked.result()
        except psycopg.Error as error:
            raise self._failure(error) from error

    async def _asked(self, statement: QueryNoTemplate, values: tuple[object, ...]) -> list[Row]:
        cursor = await self._connection.execute(statement, values or None)
        return await cursor.fetchall() if cursor.description else []

    async def _cut(self, asked: asyncio.Future[list[Row]]) -> None:
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())
        self._sever()
        await asyncio.wait({asked}, timeout=1)
        asked.cancel()

    def _sever(self) -> None:
        """End the connection below the library, which would otherwise wait for the server to agree."""
        if self._connection.closed:
            return
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _failure(self, error: psycopg.Error) -> Exception:
        """What a failure means: a TargetError with a sentence, or a BrokenError."""
        state, title = error.sqlstate or "", self._link.title
        if not state or state.startswith(("08", "57P")):
            return BrokenError("the connection broke")
        if state == "57014":
            return SaidNoError(f"{title} stopped it: it took too long, or somebody cancelled it.", state)
        if state == "42501":
            return SaidNoError(f"{title} does not allow that to the user that I am there.", state)
        if state == "55P03":
            return SaidNoError(f"{title} did not get the lock that it needs in time.", state)
        if state == "25006":
            return SaidNoError(f"{title} is a standby, which takes no changes; its primary does.", state)
        text = self._link.redact(" ".join((error.diag.message_primary or "").split()))[:200].rstrip(".")
        return SaidNoError(f"{title} says no: {text or 'an error without a text'}.", state)
