"""The way to one MongoDB database: its connections, the commands that may be sent, and what failures mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, errors
from pymongo.read_preferences import ReadPreference

from bot.targets.guard import UnreachableError
from bot.targets.mongo_config import Address, address
from commands.actions import TargetError
from incidents.wording import span

APPLICATION = "watchbell"  # by which its connections are known in $currentOp
# All that is ever sent, beside what the driver needs to connect; `aggregate` only to ask what is running.
LOOKS = frozenset(
    ["hello", "serverStatus", "connectionStatus", "listIndexes", "explain", "find", "aggregate"]
)
CHANGES = frozenset(["killOp"])
_TOLD = 200  # characters of an error's text
_WRITING = frozenset(["$out", "$merge"])
# What the server says no with (https://github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml).
_SAYS = {
    13: "does not allow that to the user that I am there",
    18: "does not let me in: it refuses the user or the password",
    26: "has no such collection",
    50: "stopped it: it took too long",
    8000: "does not let me in: it refuses the user or the password",
}
_DOORS = (18, 8000)
Document = dict[str, Any]
_PLAIN: CodecOptions[Document] = CodecOptions(tz_aware=True, unicode_decode_error_handler="replace")
_RAW = CodecOptions(document_class=RawBSONDocument, tz_aware=True, unicode_decode_error_handler="replace")


class BrokenError(Exception):
    """No answer came to a change that was sent: it may have happened. Its text is a part of a sentence."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who the bot is there, whom it believes, and how long a request may take (seconds).

    `redact` takes secrets out of what the server and the driver say.
    """

    username: str | None = None
    password: str | None = None
    auth_source: str = "admin"
    tls: bool = True
    ca_file: str | None = None
    timeout: float = 5.0
    connections: int = 8
    redact: Callable[[str], str] = str


class Link:
    """One database of one server or replica set. Nothing is connected to before it is asked for something."""

    def __init__(self, name: str, place: Address, database: str, access: Access) -> None:
        self.name, self.place, self.database = name, place, database
        self.title = "MongoDB" if name in ("mongo", "mongodb") else f"MongoDB {name}"
        self.timeout, self.redact = access.timeout, access.redact
        self._access = access
        self._client: AsyncMongoClient[Document] | None = None

    @property
    def milliseconds(self) -> int:
        """What the server may take for one command; it gives up before the bot does."""
        return max(100, round(self.timeout * 900))

    async def look(self, command: Document, *, database: str | None = None) -> Document:
        """The answer to something that changes nothing; UnreachableError or TargetError."""
        found = await self._look(command, database or self.database, _PLAIN)
        return dict(found)

    async def documents(self, command: Document) -> list[RawBSONDocument]:
        """What a `find` found, not yet decoded; errors as for `look`."""
        found = await self._look(command, self.database, _RAW)
        try:
            return list(found["cursor"]["firstBatch"])
        except (KeyError, TypeError, BSONError) as error:
            raise self._nonsense() from error

    async def change(self, command: Document) -> None:
        """Send a change, once. TargetError: it said no; BrokenError: no answer came, so nobody knows."""
        _allow(CHANGES, command)
        try:
            await self._sent(command, "admin", _PLAIN)
        except (errors.OperationFailure, errors.ServerSelectionTimeoutError) as error:
            raise self._failure(error) from error
        except (TimeoutError, errors.NetworkTimeout) as error:
            raise BrokenError("no answer came after the request was sent") from error
        except (errors.ProtocolError, BSONError) as error:
            raise BrokenError("an answer came that nobody understands after the request was sent") from error
        except (errors.PyMongoError, OSError) as error:
            raise BrokenError("the connection broke after the request was sent") from error

    @asynccontextmanager
    async def pinned(self) -> AsyncIterator[Link]:
        """The very server that answers now: operations have their numbers on one server each.

        TargetError where it does not say which member of its replica set it is.
        """
        if self.place.direct:
            yield self
            return
        me = (await self.look({"hello": 1}, database="admin")).get("me")
        try:
            place = address(f"mongodb://{me}")
        except ValueError as error:
            raise TargetError(f"{self.title} does not say which server it is.") from error
        one = Link(self.name, place, self.database, replace(self._access, connections=2))
        try:
            yield one
        finally:
            await one.stop()

    async def stop(self) -> None:
        """Close every connection."""
        if self._client is not None:
            client, self._client = self._client, None
            with suppress(TimeoutError):
                async with asyncio.timeout(self.timeout):
                    await client.close()

    async def _look(self, command: Document, database: str, codec: CodecOptions[Any]) -> Mapping[str, Any]:
        _allow(LOOKS, command)
        try:
            return await self._sent(command, database, codec)
        except TimeoutError as error:
            raise self._met() from error
        except (errors.PyMongoError, BSONError, OSError) as error:
            raise self._failure(error) from error

    def _met(self) -> TargetError:
        """What stood in the way until the time was over, as the driver noted it; else that nobody answered."""
        known = self._client.topology_description.server_descriptions().values() if self._client else ()
        noted = [server.error for server in known]
        if noted and isinstance(noted[0], Exception) and None not in noted:
            return self._failure(noted[0])
        return self._silent()

    async def _sent(self, command: Document, database: str, codec: CodecOptions[Any]) -> Mapping[str, Any]:
        if self._client is None:
            self._client = self._made()
        client = self._client
        where = client.get_database(database)
        async with asyncio.timeout(self.timeout):
            if not self.place.direct:
                await self._found(client)
            found: Mapping[str, Any] = await where.command(
                command, read_preference=ReadPreference.PRIMARY_PREFERRED, codec_options=codec
            )
        return found

    async def _found(self, client: AsyncMongoClient[Document]) -> None:
        """Wait for the primary: a secondary is asked only where every member has answered and none is the primary."""
        await client.aconnect()
        end = asyncio.get_running_loop().time() + self.timeout / 2
        while not client.topology_description.has_writable_server():
            members = client.topology_description.server_descriptions().values()
            all_known = all(member.server_type_name != "Unknown" for member in members)
            if all_known or asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(0.02)

    def _made(self) -> AsyncMongoClient[Document]:
        """Bounded in everything, and nothing is sent a second time by the driver itself."""
        access, milliseconds = self._access, round(self._access.timeout * 1000)
        options: Document = {
            "appname": APPLICATION,
            "tls": access.tls,
            "maxPoolSize": access.connections,
            "serverSelectionTimeoutMS": milliseconds,
            "connectTimeoutMS": milliseconds,
            "socketTimeoutMS": milliseconds,
            "waitQueueTimeoutMS": milliseconds,
            "serverMonitoringMode": "poll",
            "retryReads": False,
            "retryWrites": False,
            "maxAdaptiveRetries": 0,
        }
        if self.place.direct:
            options["directConnection"] = True
        if access.tls and access.ca_file:
            options["tlsCAFile"] = access.ca_file
        username, password = access.username or self.place.username, access.password or self.place.password
        if username:
            options |= {"username": username, "password": password, "authSource": access.auth_source}
        return AsyncMongoClient(self.place.url, **options)

    def _failure(self, error: Exception) -> TargetError:
        """What a failure means, in a sentence."""
        title, text = self.title, str(error)
        if isinstance(error, errors.OperationFailure):
            return self._refusal(error)
        if isinstance(error, errors.ConfigurationError | errors.InvalidURI | FileNotFoundError):
            return TargetError(f"{title} cannot be reached as it is configured: {self._short(text)}.")
        if isinstance(error, BSONError | errors.ProtocolError):
            return self._nonsense()
        if isinstance(error, errors.NotPrimaryError):
            return UnreachableError(f"{title} is changing its role and takes nothing just now.")
        if "certificate" in text:
            return UnreachableError(f"{title} shows a certificate that I do not trust.")
        if "SSL" in text:
            return UnreachableError(f"{title} and I do not come to terms about TLS.")
        if "refused" in text or "Connect call failed" in text:
            return UnreachableError(f"{title} does not answer: connection refused.")
        if "name resolution" in text or "Name or service not known" in text:
            return UnreachableError(f"{title} is not found: nobody knows the name of its host.")
        if isinstance(error, errors.NetworkTimeout) or "timed out" in text:
            return self._silent()
        return UnreachableError(f"{title} does not answer: the connection broke.")

    def _refusal(self, error: errors.OperationFailure) -> TargetError:
        told = _SAYS.get(error.code or 0)
        if error.code in _DOORS:
            return UnreachableError(f"{self.title} {told}.")
        said = self._short(str((error.details or {}).get("errmsg", "")))
        why = told or f"says no: {said or 'an error without a text'}"
        return TargetError(f"{self.title} {why}.")

    def _short(self, text: str) -> str:
        """Words of others as the end of a sentence; redacted before they are cut: half of a secret passes for text."""
        return " ".join(self.redact(text).split())[:_TOLD].rstrip(".")

    def _silent(self) -> UnreachableError:
        return UnreachableError(f"{self.title} did not answer within {span(self.timeout)}.")

    def _nonsense(self) -> UnreachableError:
        return UnreachableError(f"{self.title} sent an answer that nobody understands.")


def _allow(allowed: frozenset[str], command: Document) -> None:
    """ValueError for a command that nobody here may send."""
    name = next(iter(command))
    if name not in allowed:
        raise ValueError(f"{name} is never sent")
    stages = [stage for each in command.get("pipeline", ()) for stage in each]
    if name == "aggregate" and (command[name] != 1 or stages[:1] != ["$currentOp"] or _WRITING & set(stages)):
        raise ValueError("aggregate only asks what is running")
    if name == "explain" and set(command[name]) - {"find", "filter"}:
        raise ValueError("explain takes a find")
