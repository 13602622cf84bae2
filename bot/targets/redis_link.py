"""The way to one Redis database: its connections, the commands that may be sent, and what failures mean."""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis import exceptions as errors
from redis._parsers import _AsyncRESP2Parser
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from bot.targets.guard import UnreachableError
from bot.targets.redis_config import Address
from commands.actions import TargetError
from incidents.wording import span

MOST_BYTES = 8 * 1024**2  # of one answer, all its parts together; what is asked for is bounded far below
_PART = 64  # bytes that a part of an answer takes beside what is in it
_DEEPEST = 16  # lists within lists; Redis sends four at most
CLIENT_NAME = "watchbell"

# All that is ever sent, beside what opens a connection. No KEYS, MONITOR, EVAL, DEBUG, CONFIG GET or FLUSHALL.
_LOOKS = (
    "ACL PING INFO DBSIZE SCAN EXISTS TYPE STRLEN GETRANGE HLEN HSCAN LLEN LRANGE SCARD SSCAN ZCARD ZRANGE XLEN "
    "XREVRANGE SLOWLOG CLIENT MEMORY"
)
_CHANGES = "CONFIG CLIENT UNLINK FLUSHDB WATCH MULTI DUMP PTTL RESTORE EXEC"
LOOKS, CHANGES = frozenset(_LOOKS.split(" ")), frozenset(_CHANGES.split(" "))
_SUBCOMMANDS = {
    "ACL": {"WHOAMI", "DRYRUN"},
    "SLOWLOG": {"GET"},
    "CLIENT": {"LIST", "KILL"},
    "MEMORY": {"USAGE"},
    "CONFIG": {"SET"},
}
_SETTINGS = {"maxmemory", "maxmemory-policy"}

# Replies by which a server says no, although the library files them with broken connections.
SAID_NO = (
    errors.ResponseError,
    errors.AuthenticationError,
    errors.AuthorizationError,
    errors.BusyLoadingError,
)
_NO_TLS = "; it may speak no TLS (then write redis:// in its address)"
_BROKEN = (errors.RedisError, OSError, ValueError, IndexError, EOFError)


class BrokenError(Exception):
    """No answer came to a change that was sent: it may have happened. Its text is a part of a sentence."""


class _TooLongError(errors.InvalidResponse):
    """A server sends more than is taken."""


class _Bounded(_AsyncRESP2Parser):
    """Refuses an answer that is too long, or nested too deep, before it is read into memory."""

    _left = _depth = 0

    async def read_response(self, disable_decoding: bool = False) -> Any:
        self._left, self._depth = MOST_BYTES, 0
        return await super().read_response(disable_decoding)

    async def _read_response(self, disable_decoding: bool = False) -> Any:
        if self._depth > _DEEPEST:
            raise errors.InvalidResponse("lists within lists without an end")
        self._take(_PART)
        self._depth += 1
        found = await super()._read_response(disable_decoding)
        self._depth -= 1
        return found

    async def _read(self, length: int) -> Any:
        self._take(length)
        return await super()._read(length)

    def _take(self, length: int) -> None:
        if not 0 <= length <= self._left:
            raise _TooLongError(f"{length} bytes, and room for {self._left}")
        self._left -= length


@dataclass(frozen=True, slots=True)
class Access:
    """Who the bot is there, whom it believes, and how long a request may take (seconds).

    `redact` takes secrets out of what the server says.
    """

    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    timeout: float = 5.0
    connections: int = 16
    redact: Callable[[str], str] = str


class Link:
    """One database of one server."""

    def __init__(self, name: str, place: Address, access: Access) -> None:
        self.name, self.place = name, place
        self.title = "Redis" if name == "redis" else f"Redis {name}"
        self._timeout, self._redact = access.timeout, access.redact
        self._client = _raw(Redis.from_pool(_pool(place, access)))

    async def look(self, *words: str | bytes | int) -> Any:
        """The answer to something that changes nothing; UnreachableError or TargetError.

        A connection that has gone away since it was last used is no news: the question is asked once more.
        """
        _allow(LOOKS, words)
        try:
            try:
                return await self._client.execute_command(*words)
            except errors.ConnectionError as error:
                if isinstance(error, SAID_NO):
                    raise
                return await self._client.execute_command(*words)
        except _BROKEN as error:
            raise self.failure(error, str(words[0])) from error

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Line]:
        """One connection for a change, on which it is looked once more before anything is sent."""
        client = _raw(self._client.client())
        try:
            try:
                await client.initialize()
            except _BROKEN as error:
                raise self.failure(error, "PING") from error
            try:
                yield Line(self, client)
            except BaseException:
                await client.connection.disconnect(
                    nowait=True
                )  # it may be within a transaction, or watch keys
                raise
        finally:
            await client.aclose()

    async def stop(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def failure(self, error: Exception, command: str = "") -> TargetError:
        """What a failure means, in a sentence."""
        if isinstance(error, errors.NoPermissionError):
            return TargetError(f"{self.title} does not allow {command} to the user that I am there.")
        if isinstance(error, errors.AuthenticationError | errors.AuthenticationWrongNumberOfArgsError):
            return UnreachableError(f"{self.title} does not let me in: it refuses the user or the password.")
        if isinstance(error, errors.ReadOnlyError):
            return TargetError(f"{self.title} is a replica, which takes no changes; its primary does.")
        if isinstance(error, errors.AskError | errors.ClusterError | errors.TryAgainError):
            return cluster(self.title)
        if isinstance(error, errors.BusyLoadingError):
            return TargetError(f"{self.title} has been started and is still loading its data.")
        if isinstance(error, errors.ResponseError):
            text = self._redact(" ".join(str(error).split()))[:200]  # it may repeat what was sent
            return TargetError(f"{self.title} says no: {text.rstrip('.') or 'an error without a text'}.")
        return UnreachableError(f"{self.title} {self.broken(error)}.")

    def broken(self, error: BaseException) -> str:
        """What is wrong with the way there, as the rest of a sentence."""
        if isinstance(error, errors.TimeoutError | TimeoutError):
            # A server without TLS waits for the end of a line, which a handshake has not.
            doubt = self.place.tls and "connecting" in str(error)
            return f"did not answer within {span(self._timeout)}{_NO_TLS if doubt else ''}"
        if isinstance(error, _TooLongError):
            return f"sent an answer of more than {MOST_BYTES // 1024**2} MB, which I do not take"
        told = " ".join(str(cause) for cause in _causes(error))  # the library keeps causes in words alone
        if "CERTIFICATE_VERIFY_FAILED" in told:
            return "shows a certificate that I do not trust"
        if any(hint in told for hint in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")):
            return "speaks no TLS; write redis:// if that is meant to be"
        if "[SSL" in told:
            return "and I do not come to terms about TLS"
        if f"Error {errno.ECONNREFUSED} " in told:
            return f"does not answer: connection to {self.place} refused"
        if re.search(r"Error -\d+ connecting", told):  # of getaddrinfo
            return f"is not to be found: nothing is known of the host of {self.place}"
        if isinstance(error, errors.ConnectionError | OSError):
            return f"does not answer: the connection to {self.place} broke"
        return "sent an answer that is none of Redis's protocol"


class Line:
    """One connection of a change."""

    def __init__(self, link: Link, client: Any) -> None:
        self._link, self._client = link, client

    async def look(self, *words: str | bytes | int) -> Any:
        """As `Link.look`, on this connection and without a second try."""
        _allow(LOOKS, words)
        try:
            return await self._client.execute_command(*words)
        except _BROKEN as error:
            raise self._link.failure(error, str(words[0])) from error

    async def look_through(self, *commands: tuple[str | bytes | int, ...]) -> list[Any]:
        """The answers to what stands before a change: sent at once, so that little time passes in between."""
        for words in commands:
            _allow(CHANGES, words)
        connection = self._client.connection
        answers: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            while len(answers) < len(commands):
                answers.append(await connection.read_response())
        except _BROKEN as error:
            raise self._link.failure(error, str(commands[len(answers)][0])) from error
        return answers

    async def change(self, *words: str | bytes | int) -> Any:
        """Send a change, once. TargetError: it said no; BrokenError: no answer came, so nobody knows."""
        _allow(CHANGES, words)
        try:
            return await self._client.execute_command(*words)
        except SAID_NO as error:
            raise self._link.failure(error, str(words[0])) from error
        except _BROKEN as error:
            late = isinstance(error, errors.TimeoutError | TimeoutError)
            what = "no answer came" if late else "the connection broke"
            if isinstance(error, errors.InvalidResponse) or not isinstance(
                error, errors.RedisError | OSError
            ):
                what = "an answer came that nobody understands"
            raise BrokenError(f"{what} after the request was sent") from error


def cluster(title: str) -> TargetError:
    """The sentence about Redis Cluster, where keys and settings are spread over many servers."""
    return TargetError(f"{title} is part of a Redis Cluster, which this version does not operate.")


def _pool(place: Address, access: Access) -> ConnectionPool:
    """No retries but ours: a change is sent once (redis-py retries by default)."""
    options: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "db": place.db,
        "username": access.username or place.username,
        "password": access.password or place.password,
        "socket_timeout": access.timeout,
        "socket_connect_timeout": access.timeout,
        "retry": Retry(NoBackoff(), 0),
        "client_name": CLIENT_NAME,
        "protocol": 2,
        "parser_class": _Bounded,
        "max_connections": access.connections,
    }
    if place.tls:
        options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": access.ca_file}
    return ConnectionPool(connection_class=SSLConnection if place.tls else Connection, **options)


def _raw(client: Any) -> Any:
    """Replies as they are on the wire: what they mean is read here, the same for every version of the library."""
    client.response_callbacks.clear()
    return client


def _allow(allowed: frozenset[str], words: tuple[str | bytes | int, ...]) -> None:
    """ValueError for a command that nobody here may send."""
    name, second, third = ([str(word) for word in words if isinstance(word, str)] + ["", ""])[:3]
    if name not in allowed or (name in _SUBCOMMANDS and second not in _SUBCOMMANDS[name]):
        raise ValueError(f"{name} {second} is never sent")
    if name == "CONFIG" and third not in _SETTINGS:
        raise ValueError(f"{third} is never set")
    if name == "CLIENT" and (second == "KILL") != (allowed is CHANGES):
        raise ValueError(f"{name} {second} is never sent there")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
