"""The way to one HTTP server: bounded requests, no redirects, and what failures mean."""

from __future__ import annotations

import asyncio
import hmac
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from bot.targets.guard import UnreachableError
from commands.actions import TargetError
from incidents.ports import RefusedError
from incidents.wording import span

MOST_BYTES = 2 * 1024**2  # of one answer
_TOLD, _READ = 200, 8192  # characters of an error's text that are told, and that are looked at


class BrokenError(Exception):
    """No answer came to a change that was sent: it may have happened. Its text is a part of a sentence."""


class _TooLongError(Exception):
    """A server sends more than is taken."""


_BROKEN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, TimeoutError, _TooLongError)


@dataclass(frozen=True, slots=True)
class Access:
    """Who the bot is there, whom it believes, and how long a request may take from end to end (seconds).

    `redact` takes secrets out of what the server says.
    """

    token: str | None = None
    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    timeout: float = 5.0
    redact: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its body, the server's own clock where it tells it, and how long it took (ms)."""

    status: int
    body: bytes
    at: datetime | None
    took: int

    @property
    def well(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def phrase(self) -> str:
        """`404 Not Found`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


def access(section: Mapping[str, Any], redact: Callable[[str], str]) -> Access:
    """What a target's section says of the way there; `redact` takes secrets out of what the server says."""
    return Access(
        token=_secret(section.get("token")),
        username=section.get("username"),
        password=_secret(section.get("password")),
        ca_file=section.get("ca_file"),
        timeout=float(section["timeout"]),
        redact=redact,
    )


class HttpLink:
    """One server. Every request has a connection of its own, so that none goes out on one that is dead already."""

    def __init__(
        self, title: str, url: str, given: Access, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.title, self.url, self.redact = title, url.rstrip("/"), given.redact
        self._timeout = given.timeout
        self._proof = (given.token or given.password or "").encode()
        self._client = httpx.AsyncClient(
            auth=httpx.BasicAuth(given.username, given.password or "") if given.username else None,
            headers=_headers(given),
            verify=trust(given.ca_file),
            timeout=given.timeout,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            follow_redirects=False,
            transport=transport,  # where there is one, it says whose certificates count
            trust_env=False,  # no proxy comes between by accident, and no password from a .netrc
        )

    async def ask(self, method: str, path: str, **content: Any) -> Reply:
        """The answer to something that changes nothing, whatever its status; UnreachableError where none comes."""
        try:
            return await self._exchange(method, path, _Sent(), content)
        except _BROKEN as error:
            raise UnreachableError(f"{self.title} {self.broken(error)}.") from error

    async def look(self, method: str, path: str, **content: Any) -> Reply:
        """As `ask`; TargetError where the answer is none of success."""
        reply = await self.ask(method, path, **content)
        if not reply.well:
            raise self.refusal(reply)
        return reply

    async def data(self, method: str, path: str, **content: Any) -> Any:
        """The JSON of `look`'s answer; TargetError where it is none."""
        return self.json(await self.look(method, path, **content))

    async def change(self, method: str, path: str, **content: Any) -> Reply:
        """Send a change, once.

        UnreachableError: nothing was sent. TargetError: the server refused it (4xx). BrokenError: whether it was done
        nobody knows: no answer came, a redirect came, or an error of the server's own (RFC 9110, 15.4 and 15.6).
        """
        reply = await self.send(method, path, **content)
        if 400 <= reply.status < 500:
            raise self.refusal(reply)
        if not reply.well:
            raise BrokenError(f"it answered {reply.phrase} after the request was sent")
        return reply

    async def send(self, method: str, path: str, **content: Any) -> Reply:
        """The answer to a change that is sent once, whatever its status; `within` (s) in place of the usual limit.

        UnreachableError: nothing was sent. BrokenError: no answer came.
        """
        sent = _Sent()
        try:
            return await self._exchange(method, path, sent, content)
        except _BROKEN as error:
            if not sent.begun:
                raise UnreachableError(f"{self.title} {self.broken(error)}. Nothing was sent.") from error
            if sent.status is None:
                raise BrokenError(_after(error)) from error
            return Reply(sent.status, b"", None, 0)  # the status says what became of it

    def json(self, reply: Reply) -> Any:
        """The data of an answer; TargetError where it is no JSON."""
        try:
            return orjson.loads(reply.body)
        except orjson.JSONDecodeError as error:
            raise TargetError(f"{self.title} sent something else than JSON.") from error

    def fingerprint(self, value: Any) -> str:
        """A value that is told nowhere, in a few letters; nobody tries guesses on it who could not ask the server.

        It is keyed with the token or the password, so it is the same after a restart, and in another replica.
        """
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        return hmac.digest(self._proof, text, "sha256").hex()[:8]

    def refusal(self, reply: Reply) -> TargetError:
        """What an answer other than success means, in a sentence."""
        if reply.status in (401, 403):
            return TargetError(f"{self.title} does not let me in: it answers {reply.phrase}.")
        if 300 <= reply.status < 400:
            return TargetError(f"{self.title} answers {reply.phrase}, and I follow no redirects.")
        told = self.redact(_beginning(reply.text))[:_TOLD]
        return TargetError(f"{self.title} answers {reply.phrase}{': ' if told else ''}{told.rstrip('.')}.")

    async def stop(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def _exchange(self, method: str, path: str, sent: _Sent, content: Mapping[str, Any]) -> Reply:
        within = float({"within": self._timeout, **content}["within"])
        given = {name: value for name, value in content.items() if name != "within"}
        request = self._client.build_request(
            method, f"{self.url}{path}", extensions={"trace": sent.trace}, timeout=within, **given
        )
        began = time.perf_counter()
        async with asyncio.timeout(within):
            response = await self._client.send(request, stream=True)
            try:
                sent.status = response.status_code
                body = await _body(response)
            finally:
                await response.aclose()
        took = max(1, round((time.perf_counter() - began) * 1000))
        return Reply(response.status_code, body, _date(response.headers.get("date")), took)

    def broken(self, error: BaseException) -> str:
        """What is wrong with the way there, as the rest of a sentence."""
        causes = list(_causes(error))
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return f"did not answer within {span(self._timeout)}"
        if isinstance(error, _TooLongError):
            return f"sent an answer of more than {MOST_BYTES // 1024**2} MB, which I do not take"
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return "shows a certificate that I do not trust"
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return "and I do not come to terms about TLS"
        if isinstance(error, httpx.ConnectError):
            return f"does not answer: there is no connection{f' to {self.url}' if self.url else ''}"
        if isinstance(error, httpx.RemoteProtocolError | httpx.DecodingError):
            return "sent an answer that is no HTTP, or half of one"
        return "does not answer: the connection broke"


class _Sent:
    """How far a request came; `trace` is httpcore's extension (encode.io/httpcore, "trace")."""

    def __init__(self) -> None:
        self.begun = False
        self.status: int | None = None

    async def trace(self, name: str, _info: Mapping[str, Any]) -> None:
        self.begun = self.begun or name.endswith("send_request_headers.started")


def trust(ca_file: str | None) -> ssl.SSLContext:
    """Whose certificates count; RefusedError where the file cannot be read."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise RefusedError(f"The certificates in {ca_file} cannot be read: {error}.") from error


def _headers(given: Access) -> dict[str, str]:
    """Compressed answers are not asked for: a small one could become a huge one."""
    plain = {"User-Agent": "watchbell", "Accept-Encoding": "identity"}
    return plain | ({"Authorization": f"Bearer {given.token}"} if given.token else {})


def _beginning(text: str) -> str:
    """So much of a text on one line as is looked at; half a word at its end would be half of a secret."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[:_READ]).split())
    return plain if len(text) <= _READ else plain.rpartition(" ")[0]


async def _body(response: httpx.Response) -> bytes:
    found = bytearray()
    async for part in response.aiter_raw():
        found += part
        if len(found) > MOST_BYTES:
            raise _TooLongError
    return bytes(found)


def _after(error: BaseException) -> str:
    late = isinstance(error, httpx.TimeoutException | TimeoutError)
    strange = isinstance(error, httpx.RemoteProtocolError) and "disconnected" not in str(error)
    what = (
        "no answer came" if late else "an answer came that is no HTTP" if strange else "the connection broke"
    )
    return f"{what} after the request was sent"


def _date(text: str | None) -> datetime | None:
    """The field Date (RFC 9110, 6.6.1); None where there is none, or nobody understands it."""
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _secret(value: object) -> str | None:
    return value.get_secret_value() if isinstance(value, SecretStr) else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
