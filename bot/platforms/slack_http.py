"""POST /slack/events: requests that really come from Slack, each once (api.slack.com, "Verifying requests")."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.middleware.request_verification.async_request_verification import AsyncRequestVerification
from slack_bolt.response import BoltResponse
from slack_sdk.signature import Clock, SignatureVerifier

_log = structlog.get_logger()

PATH = "/slack/events"  # one address for events, commands and interactivity
BODY = 1_000_000  # bytes
BODY_SECONDS = 10.0
WINDOW = 300  # seconds that a signature is good for, as Slack recommends
REMEMBERED = 20_000  # signatures; only genuine ones are kept, so nobody else can fill the memory


class _Wall(Clock):
    """A clock as slack_sdk wants it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def now(self) -> float:
        return self._now()


class Verification(AsyncRequestVerification):
    """Bolt's own check, by the same clock: what reaches the app by another way is verified, too."""

    def __init__(self, secret: str, now: Callable[[], float], logger: logging.Logger) -> None:
        super().__init__(secret, base_logger=logger)
        self._verifier = SignatureVerifier(secret, _Wall(now))


class Door:
    """Lets each signed request in once; `now` is the real time (UTC, seconds), which Slack signs with."""

    def __init__(self, secret: str, now: Callable[[], float], remembered: int = REMEMBERED) -> None:
        self._now = now
        self._verifier = SignatureVerifier(secret, _Wall(now))
        self._seen: OrderedDict[str, float] = OrderedDict()  # signature → when it is too old anyway
        self._remembered = remembered

    def refusal(self, body: bytes, stamp: str, signature: str) -> str:
        """Why a request is not let in; empty for one that is, which is remembered.

        The signatures are compared in constant time, before anything of the body is read.
        """
        if not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16 and signature.isascii()):
            return "no signature"
        if abs(self._now() - int(stamp)) > WINDOW:
            return "an old time stamp"
        if not _is_text(body) or not self._verifier.is_valid(body, stamp, signature):
            return "a wrong signature"
        if signature in self._seen:
            return "a signature that was used before"
        self._remember(signature, int(stamp) + WINDOW)
        return ""

    def forget(self, signature: str) -> None:
        """Let a request in once more: it failed here, and Slack may send the very same again at once."""
        self._seen.pop(signature, None)

    def _remember(self, signature: str, until: float) -> None:
        now = self._now()
        while self._seen and (len(self._seen) >= self._remembered or next(iter(self._seen.values())) < now):
            self._seen.popitem(last=False)
        self._seen[signature] = until


class Endpoint:
    """The address. `dispatch` is Bolt's; `ready` tells whether anything can be taken in now."""

    def __init__(
        self,
        door: Door,
        dispatch: Callable[[AsyncBoltRequest], Awaitable[BoltResponse]],
        ready: Callable[[], bool],
    ) -> None:
        self._door = door
        self._dispatch = dispatch
        self._ready = ready

    def routes(self) -> list[web.RouteDef]:
        """For an aiohttp application."""
        return [web.post(PATH, self._take)]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        """Nothing is parsed before the signature was found to be Slack's and new."""
        request = request.clone(client_max_size=BODY)
        try:
            async with asyncio.timeout(None if request.content.is_eof() else BODY_SECONDS):
                body = await request.read()  # raises 413 where it is longer
        except web.RequestPayloadError:
            return web.Response(status=400, text="This is not encoded as its header says.\n")
        except TimeoutError:
            return web.Response(status=408, text="This did not come to an end in time; send it again.\n")
        signature = request.headers.get("X-Slack-Signature", "")
        stamp = request.headers.get("X-Slack-Request-Timestamp", "")
        if why := self._door.refusal(body, stamp, signature):
            _log.warning("a request to Slack's address was refused", why=why)
            return web.Response(status=401, text="This is not signed as Slack's requests are.\n")
        status = 500
        try:
            response = await self._answer(request)
            status = response.status
            return response
        finally:
            if status >= 500:
                self._door.forget(signature)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if not self._ready():
            return web.Response(status=503, text="Watchbell is starting or stopping; send it again.\n")
        try:
            asked = await to_bolt_request(request)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            _log.warning("a request of Slack's could not be read", error=type(error).__name__)
            return web.Response(status=400, text="This is no body that Slack sends.\n")
        return await to_aiohttp_response(await self._dispatch(asked))


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
