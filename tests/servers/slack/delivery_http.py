"""HTTP mode: one signed request to the app's request URL, and what its answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from urllib.parse import urlencode

import aiohttp

from tests.servers.slack.state import Ack, Json, Workspace

AGENT = "Slackbot 1.0 (+https://api.slack.com/robots)"
FORM = "application/x-www-form-urlencoded"


class Post:
    """Sends requests to the app (api.slack.com/authentication/verifying-requests-from-slack)."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._session: aiohttp.ClientSession | None = None

    async def event(self, body: Json, limit: float, retry: int = 0, reason: str = "") -> Ack:
        """Send an Events API body; `error` of a failure is the reason that its retry will name."""
        headers = {"X-Slack-Retry-Num": str(retry), "X-Slack-Retry-Reason": reason} if retry else {}
        return await self._send(json.dumps(body).encode(), "application/json", limit, headers)

    async def interactive(self, payload: Json, limit: float) -> Ack:
        """Send an interaction: a form with the one field `payload`."""
        form = urlencode({"payload": json.dumps(payload)}).encode()
        return await self._send(form, FORM, limit)

    async def command(self, fields: Json, limit: float) -> Ack:
        """Send a slash command: a form."""
        form = urlencode({name: str(value) for name, value in fields.items()}).encode()
        return await self._send(form, FORM, limit)

    async def close(self) -> None:
        """Close what is open; a later request opens it anew."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, body: bytes, kind: str, limit: float, extra: Json | None = None) -> Ack:
        url = self._workspace.app.events_url
        if url is None:
            return Ack(False, error="connection_failed")
        if self._session is None:  # no connection is kept: the app may die at any moment
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        headers = {"Content-Type": kind, "User-Agent": AGENT, "Accept": "*/*"}
        headers |= signature(self._workspace.app.signing_secret, body) | (extra or {})
        timeout = aiohttp.ClientTimeout(total=limit)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, max_redirects=2
            ) as answer:
                return _read(answer, await answer.text())
        except TimeoutError:
            return Ack(False, error="http_timeout")
        except aiohttp.TooManyRedirects:
            return Ack(False, error="too_many_redirects")
        except (aiohttp.ClientError, OSError):
            return Ack(False, error="connection_failed")


def signature(secret: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """The two headers that prove where a request comes from; `at` is the wall clock's present moment."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


def _read(answer: aiohttp.ClientResponse, text: str) -> Ack:
    """A 2xx answer acknowledges; X-Slack-No-Retry: 1 on any other one asks for no retry."""
    if not 200 <= answer.status < 300:
        final = answer.headers.get("X-Slack-No-Retry") == "1"
        return Ack(False, answer.status, error="no_retry" if final else "http_error")
    if not text:
        return Ack(True, answer.status)
    if answer.content_type == "application/json":
        found = json.loads(text)
        return Ack(True, answer.status, found if isinstance(found, dict) else {"text": text})
    return Ack(True, answer.status, {"text": text})
