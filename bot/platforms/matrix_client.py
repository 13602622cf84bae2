"""Every call of the Matrix client-server API: time limits, retries of what may be repeated, errors in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from nio import AsyncClient, AsyncClientConfig

from bot.chat import DeliveryError, RetryLaterError

V3 = "/_matrix/client/v3"
V1 = "/_matrix/client/v1"
MEDIA = "/_matrix/media/v3"
TIMEOUT = 10.0  # seconds for a call
FILE_TIMEOUT = 60.0  # seconds for a file
DELAYS = (0.05, 0.2, 0.4)  # seconds before a call that only reads is tried again
BRIEF = 2.0  # seconds that a call that only reads waits where the homeserver asks for it
_LEAST_WAIT = 0.1  # seconds: a server that asks to wait for nothing would be asked at once, over and over

_ADVICE = {
    "M_UNKNOWN_TOKEN": "the access token is not valid any more: get a new one by `watchbell login matrix`",
    "M_MISSING_TOKEN": "no access token was given: get one by `watchbell login matrix`",
    "M_USER_DEACTIVATED": "the account is deactivated",
    "M_FORBIDDEN": "the bot is not in the room, or its power level there is too low",
    "M_GUEST_ACCESS_FORBIDDEN": "the account is a guest: register an account for the bot",
    "M_NOT_FOUND": "there is no such room, message or account",
    "M_TOO_LARGE": "that is more than the homeserver takes",
    "M_EXCLUSIVE": "the name belongs to a bridge or another service of the homeserver",
    "M_ROOM_IN_USE": "the name is taken",
    "M_UNSUPPORTED_ROOM_VERSION": "the homeserver does not know that version of rooms",
}


class UnavailableError(Exception):
    """The homeserver did not answer, or failed by its own account; whether the call was done is not known."""


class RefusedCallError(DeliveryError):
    """The homeserver answered no; `code` is its errcode ("Client-Server API", standard error response)."""

    def __init__(self, what: str, status: int, code: str, detail: str = "") -> None:
        told = (f"Matrix refused {what} ({code or status})", _ADVICE.get(code, ""), detail[:300])
        super().__init__(": ".join(part for part in told if part))
        self.status = status
        self.code = code

    @property
    def missing(self) -> bool:
        """Whether what was asked for is not there."""
        return self.status == 404 or self.code == "M_NOT_FOUND"


class MatrixClient:
    """One access token's calls, over nio's connection. nio repeats calls without end by default: not here.

    `store` is the folder of nio's keys; None: no encryption. `sleep` waits between two tries of what only reads.
    """

    def __init__(
        self,
        homeserver: str,
        user: str,
        access_token: str,
        device_id: str,
        store: Path | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.user = user
        self.device_id = device_id
        self._token = access_token
        self._store = store
        self._sleep = sleep
        self._homeserver = homeserver.rstrip("/")
        self._sure = False
        self.nio = self._made()

    async def open(self) -> None:
        """Make sure of the token, once: whose is it, and of which device. DeliveryError where it is not the bot's."""
        if self._sure:
            return
        found = await self.call("GET", V3, "account", "whoami")
        if found.get("user_id") != self.user:
            raise DeliveryError(
                f"the access token is of {found.get('user_id')}, not of {self.user}: correct `user` or the token"
            )
        device = str(found.get("device_id") or "")
        if self.device_id and device and device != self.device_id:
            raise DeliveryError(
                f"the access token is of the device {device}, not of {self.device_id}: correct `device_id` or the token"
            )
        self.device_id = device or self.device_id
        self.nio.user_id, self.nio.device_id = self.user, self.device_id
        self._sure = True

    async def close(self) -> None:
        """Give the connections up; a call afterwards makes new ones."""
        await self.nio.close()
        self.nio.client_session = None
        self._sure = False

    async def call(
        self,
        method: str,
        *path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - the homeserver's patience is told by it, too
    ) -> dict[str, Any]:
        """Call a method; `path` begins with its root (V3), the rest is quoted. The JSON that was answered.

        Raises RefusedCallError, RetryLaterError, or UnavailableError after the retries of what only reads.
        """
        data = None if body is None and method == "GET" else json.dumps(body or {})
        where = place(*path, query=query)
        for delay in (*(DELAYS if method == "GET" else ()), None):
            try:
                answer = await self._once(method, where, data, "application/json", timeout)
                return await self._read(answer, f"{method} {'/'.join(path[1:2] + path[3:])}")
            except UnavailableError:
                if delay is None:
                    raise
                await self._sleep(delay)
            except RetryLaterError as wait:
                if delay is None or wait.seconds > BRIEF:
                    raise
                await self._sleep(wait.seconds)
        raise AssertionError("every call ends with an answer or an error")

    async def pages(
        self, *path: str, key: str = "chunk", most: int, query: Mapping[str, Any]
    ) -> AsyncGenerator[list[dict[str, Any]], None]:
        """At most so many pages of what is told in pages: `end` or `next_batch` say where the next one begins."""
        asked = dict(query)
        for _ in range(most):
            answer = await self.call("GET", *path, query=asked)
            yield list(answer.get(key) or ())
            following = answer.get("end") or answer.get("next_batch")
            if not following or following == asked.get("from"):
                return
            asked["from"] = following

    async def put_file(self, name: str, data: bytes, mime: str) -> str:
        """Upload a file and return its mxc:// address."""
        where = place(MEDIA, "upload", query={"filename": name})
        answer = await self._once("POST", where, data, mime or "application/octet-stream", FILE_TIMEOUT)
        return str((await self._read(answer, "POST upload"))["content_uri"])

    async def get_file(self, address: str, most: int) -> bytes:
        """The file at an mxc:// address (authenticated media); DeliveryError for one of more than `most` bytes."""
        server, _, media = address.removeprefix("mxc://").partition("/")
        if not address.startswith("mxc://") or not server or not media:
            raise DeliveryError(f"{address} is no address of a file")
        answer = await self._once(
            "GET", place(V1, "media", "download", server, media), None, "", FILE_TIMEOUT
        )
        if answer.status != 200:
            await self._read(answer, "GET media")
        try:
            data = await answer.content.read(most + 1)
            while len(data) <= most and (more := await answer.content.read(most + 1 - len(data))):
                data += more
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"a file did not come whole ({type(error).__name__})") from error
        finally:
            answer.close()
        if len(data) > most:
            raise DeliveryError(f"that file is larger than {most // 1_000_000} MB")
        return data

    # -- inside -----------------------------------------------------------------------------------

    def _made(self) -> AsyncClient:
        config = AsyncClientConfig(
            max_limit_exceeded=0,
            max_timeouts=1,
            request_timeout=TIMEOUT,
            encryption_enabled=self._store is not None,
            store_sync_tokens=False,
        )
        store = str(self._store) if self._store is not None else ""
        client = AsyncClient(self._homeserver, self.user, self.device_id, store_path=store, config=config)
        client.access_token, client.user_id = self._token, self.user
        return client

    async def _once(
        self, method: str, where: str, data: str | bytes | None, mime: str, limit: float
    ) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {self._token}"}
        if data is not None:
            headers["Content-Type"] = mime
        try:
            found: aiohttp.ClientResponse = await self.nio.send(method, where, data, headers, timeout=limit)
            return found
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnavailableError(f"Matrix did not answer ({type(error).__name__})") from error

    async def _read(self, answer: aiohttp.ClientResponse, what: str) -> dict[str, Any]:
        try:
            raw = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise UnavailableError(f"Matrix's answer did not come whole ({type(error).__name__})") from error
        try:
            told = json.loads(raw) if raw else {}
        except ValueError:
            told = None
        if answer.status == 200 and isinstance(told, dict):
            return told
        found = told if isinstance(told, dict) else {}
        code = str(found.get("errcode") or "")
        if answer.status == 429 or code == "M_LIMIT_EXCEEDED":
            raise RetryLaterError(_seconds(found, answer.headers))
        if answer.status >= 500 or not isinstance(told, dict):
            raise UnavailableError(f"Matrix failed at {what} ({code or answer.status})")
        raise RefusedCallError(what, answer.status, code, str(found.get("error") or ""))


def place(root: str, *parts: str, query: Mapping[str, Any] | None = None) -> str:
    """A path with its parts quoted, and the parameters that are not None; what is no text goes as JSON."""
    told = "/".join([root, *(quote(part, safe="") for part in parts)])
    given = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    return f"{told}?{urlencode(given)}" if given else told


def _seconds(told: Mapping[str, Any], headers: Mapping[str, str]) -> float:
    """How long to wait: `retry_after_ms` of older servers, the Retry-After header of newer ones; else 1 s."""
    try:
        waited = float(told["retry_after_ms"]) / 1000 if "retry_after_ms" in told else None
        if waited is None and "Retry-After" in headers:
            waited = float(headers["Retry-After"])
    except (TypeError, ValueError):
        waited = None
    return max(_LEAST_WAIT, 1.0 if waited is None else waited)
