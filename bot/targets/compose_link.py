"""The way to a container engine: its API by a unix socket, or over TLS, in a version that both sides know."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from bot.redact import Redactor
from bot.targets.compose_config import SOCKET
from bot.targets.guard import UnreachableError
from bot.targets.http_link import Access, HttpLink, Reply, trust
from commands.actions import TargetError
from incidents.ports import RefusedError

Json = dict[str, Any]
# What this driver was written to (docs.docker.com/reference/api/engine/version/v1.43), and the least that has
# one-shot statistics. An engine that no longer knows the former is asked in its own oldest version.
WRITTEN_TO = (1, 43)
LEAST = (1, 41)
_OWN = (500, 501)  # what the engine answers itself, with a `message`
_TOLD = 300  # characters of the engine's own words


class MissingError(TargetError):
    """There is no such thing (404)."""


class FailedError(Exception):
    """The answer to a change is an error of the server's (5xx); it may have done it, or a part. A part of a sentence.

    `own`: it is the engine's, which has ended its work; a gateway's says nothing of the engine.
    """

    def __init__(self, text: str, *, own: bool) -> None:
        super().__init__(text)
        self.own = own


@dataclass(frozen=True, slots=True)
class Version:
    """What an engine says of itself, and the version of the API that it is asked in."""

    engine: str
    newest: tuple[int, int]
    spoken: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.engine}, API {_dotted(self.spoken)}"


class Engine(HttpLink):
    """One engine."""

    def __init__(self, name: str, section: Mapping[str, Any], redactor: Redactor) -> None:
        self.socket = None if section["url"] else str(section["socket"] or SOCKET)
        self._redactor = redactor
        self._version: Version | None = None
        given = Access(timeout=float(section["timeout"]))
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        if self.socket is not None:
            transport = httpx.AsyncHTTPTransport(uds=self.socket, limits=limits)
        else:
            transport = httpx.AsyncHTTPTransport(verify=_proof(section), limits=limits, trust_env=False)
        super().__init__(
            f"Docker ({name})", str(section["url"] or "http://docker"), given, transport=transport
        )

    async def version(self) -> Version:
        """What the engine is; TargetError where it is too old, or no engine."""
        if self._version is None:
            found = self.json(await self._well("/version"))
            self._version = self._agreed(found if isinstance(found, dict) else {})
        return self._version

    async def get(self, path: str, **query: Any) -> Any:
        """The JSON of an answer; MissingError, TargetError or UnreachableError where there is none."""
        reply = await self._asked(path, {"params": _query(query)})
        return self.json(reply)

    async def some(self, path: str, most: int, **query: Any) -> tuple[bytes, bool]:
        """So many bytes of an answer at most, and whether that is all of it."""
        where = await self._where(path)
        found = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("GET", f"{self.url}{where}", params=_query(query)) as response,
            ):
                async for part in response.aiter_raw():
                    found += part
                    if len(found) > most:
                        break
                status = response.status_code
        except (httpx.HTTPError, httpx.StreamError, OSError, TimeoutError) as error:
            self._version = None
            raise UnreachableError(f"{self.title} {self.broken(error)}.") from error
        if status != 200:
            raise self.refusal(Reply(status, bytes(found[:4096]), None, 0))
        return bytes(found[:most]), len(found) <= most

    async def do(self, method: str, path: str, *, body: Any = None, within: float = 0, **query: Any) -> Any:
        """Change something, once; the JSON of the answer, or None. `within` (s) is added to the usual limit.

        UnreachableError, TargetError: nothing was changed. FailedError: 5xx, it may have been. BrokenError: no
        answer came. That it is so already (304) is no error.
        """
        where = await self._where(path)
        content: Json = {"params": _query(query), "within": self._timeout + within}
        if body is not None:
            content["json"] = body
        reply = await self.send(method, where, **content)
        if reply.well or reply.status == 304:
            return _data(reply)
        if reply.status < 500:
            raise self.refusal(reply)
        found = _data(reply)
        own = reply.status in _OWN and isinstance(found, dict) and "message" in found
        raise FailedError(f"the engine answers {reply.phrase}: {self._message(reply)}".rstrip(": "), own=own)

    def refusal(self, reply: Reply) -> TargetError:
        """As ever, with the `message` that the engine's errors have."""
        if reply.status in (401, 403) or 300 <= reply.status < 400:
            return super().refusal(reply)
        kind = MissingError if reply.status == 404 else TargetError
        told = self._message(reply)
        return kind(f"{self.title} answers {reply.phrase}{': ' if told else ''}{told.rstrip('.')}.")

    def broken(self, error: BaseException) -> str:
        """As ever; a socket has failures of its own."""
        if self.socket is not None and isinstance(error, httpx.ConnectError):
            if any(isinstance(cause, PermissionError) for cause in _causes(error)):
                return f"does not let me in: the user that I run as may not use {self.socket}"
            return f"does not answer: nobody listens at {self.socket}"
        return super().broken(error)

    def _message(self, reply: Reply) -> str:
        found = _data(reply)
        text = str(found.get("message", "")) if isinstance(found, dict) else reply.text
        plain = "".join(c if c.isprintable() else " " for c in self._redactor.redact(text))
        return " ".join(plain.split())[:_TOLD]

    async def _where(self, path: str) -> str:
        return f"/v{_dotted((await self.version()).spoken)}{path}"

    async def _asked(self, path: str, content: Json) -> Reply:
        return await self._well(await self._where(path), **content)

    async def _well(self, path: str, **content: Any) -> Reply:
        try:
            return await self.look("GET", path, **content)
        except UnreachableError:
            self._version = None  # whoever answers next may be another one
            raise

    def _agreed(self, found: Json) -> Version:
        newest, oldest = _pair(found.get("ApiVersion")), _pair(found.get("MinAPIVersion"))
        if newest is None:
            raise TargetError(f"{self.title} does not say which version of the engine's API it speaks.")
        if newest < LEAST:
            needs = f"I need {_dotted(LEAST)} (Docker 20.10) or later"
            raise TargetError(f"{self.title} speaks version {_dotted(newest)} of its API; {needs}.")
        spoken = max(min(newest, WRITTEN_TO), oldest or LEAST)
        return Version(f"{_engine(found)} {str(found.get('Version', ''))[:40]}".strip(), newest, spoken)


def _engine(found: Json) -> str:
    """What it is called: `Docker`, or what its first component says (`Podman Engine`)."""
    parts = found.get("Components")
    name = parts[0].get("Name") if isinstance(parts, list) and parts and isinstance(parts[0], dict) else ""
    return "Podman" if str(name).startswith("Podman") else "Docker"


def _pair(text: object) -> tuple[int, int] | None:
    major, dot, minor = str(text or "").partition(".")
    known = dot and major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()
    return (int(major), int(minor)) if known else None


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _query(given: Mapping[str, Any]) -> dict[str, str]:
    """As the API takes them: booleans as 1 and 0, filters as JSON."""
    found = {}
    for name, value in given.items():
        plain = str(int(value)) if isinstance(value, bool) else value
        found[name] = orjson.dumps(value).decode() if isinstance(value, dict) else str(plain)
    return found


def _data(reply: Reply) -> Any:
    try:
        return orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return None


def _proof(section: Mapping[str, Any]) -> ssl.SSLContext:
    """Whom the bot believes, and how it says who it is; RefusedError where a file cannot be read."""
    context = trust(section["ca_file"])
    if section["certificate"]:
        try:
            context.load_cert_chain(section["certificate"], section["key"])
        except (OSError, ssl.SSLError) as error:
            raise RefusedError(f"The bot's certificate for Docker cannot be read: {error}.") from error
    return context


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
