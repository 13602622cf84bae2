"""Faults on command: some calls of the app get an error, no answer in time, or a closed connection."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from aiohttp import web

from tests.servers.slack.state import Json

PAGE = "<html><body><h1>Service Unavailable</h1></body></html>"


class Faults:
    """Decides, call by call, which fault one gets.

    Set by `/_control/faults`: {"rate": 0.1, "seed": 1, "kinds": [...], "methods": [...] or null, "count": n or
    null, "seconds": 30, "retry_after": 1}. Methods are those of the Web API, and `upload`, `download` and
    `response_url` for the rest. Kinds:

    - "429": `ratelimited` with Retry-After; "500": internal_error; "503": a page of HTML;
    - "error:NAME": 200 with this error; none of these four does what was asked;
    - "timeout": does it, and answers after so many seconds;
    - "reset": closes the connection before doing it; "after": does it, then closes without an answer.
    """

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self.set({})

    def set(self, asked: Json) -> Json:
        """Take these from now on instead of those before; calls that hang are let go."""
        self._released.set()
        self._released = asyncio.Event()
        self.kinds = [str(kind) for kind in asked.get("kinds") or ()]
        self.rate = float(asked.get("rate", 1.0))
        self.methods = None if asked.get("methods") is None else frozenset(asked["methods"])
        self.count = asked.get("count")
        self.seconds = float(asked.get("seconds", 30.0))
        self.retry_after = int(asked.get("retry_after", 1))
        self.done: Counter[str] = Counter()
        self._random = random.Random(asked.get("seed", 1))
        return {"kinds": self.kinds, "rate": self.rate, "count": self.count}

    def draw(self, method: str) -> str:
        """The kind of fault that this call gets; empty for none."""
        if not self.kinds or (self.methods is not None and method not in self.methods):
            return ""
        if self.count is not None and self.done.total() >= self.count:
            return ""
        if self._random.random() >= self.rate:
            return ""
        kind = self._random.choice(self.kinds)
        self.done[kind] += 1
        return kind

    def instead(self, kind: str, request: web.Request) -> web.StreamResponse | None:
        """The answer of a call that is not done at all; None for one that is."""
        if kind == "429":
            return ratelimited(self.retry_after)
        if kind == "500":
            return web.json_response({"ok": False, "error": "internal_error"}, status=500)
        if kind == "503":
            return web.Response(status=503, text=PAGE, content_type="text/html")
        if kind.startswith("error:"):
            return web.json_response({"ok": False, "error": kind.removeprefix("error:")})
        return cut(request) if kind == "reset" else None

    async def afterwards(
        self, kind: str, request: web.Request, answer: web.StreamResponse
    ) -> web.StreamResponse:
        """What is left of the answer of a call that was done."""
        if kind == "after":
            return cut(request)
        if kind == "timeout":
            released = self._released
            try:
                async with asyncio.timeout(self.seconds):
                    await released.wait()
            except TimeoutError:
                return answer  # it comes after all, late
        return answer


def ratelimited(seconds: int) -> web.Response:
    """429 with Retry-After (api.slack.com/apis/web-api/rate-limits)."""
    body = {"ok": False, "error": "ratelimited"}
    return web.json_response(body, status=429, headers={"Retry-After": str(seconds)})


def cut(request: web.Request) -> web.Response:
    """Close the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
