"""Faults on command: some requests get an error, no answer, half of one, or far too much of one."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import Any

from aiohttp import web

from tests.servers.kubernetes.status import ApiError, bad_request, internal

Json = dict[str, Any]
HUGE = 10 * 1024 * 1024  # bytes
PAGE = "<html><body><h1>502 Bad Gateway</h1></body></html>"
BUSY = "Too many requests, please try again later.\n"
DEEP = b'{"message":' * 100_000 + b"1" + b"}" * 100_000
GARBAGE = b'{"kind":"Deployment","metadata":{"name":"\xff\xfe'


class Faults:
    """Decides, request by request, which fault one gets.

    Set by `/_control/faults`: {"kinds": [...], "rate": 1.0, "seed": 1, "count": n or null, "verbs": [...] or
    null, "resources": ["deployments/scale", …] or null, "seconds": 30, "retry_after": 1, "message": "…"}.

    Not done at all: "429" (priority and fairness: text and Retry-After), "500" (a Status), "502" (a proxy's
    HTML), "503", "504" (a Status each), "denied" (an admission webhook refuses, with `message`),
    "refuse_dry_run" (a webhook refuses dryRun; other requests are done), "reset" (the connection closes),
    "silence" (nothing is ever answered, until other faults are set).

    Done: "delay" (after so many seconds, and answered), "timeout" (at once, and answered after so many
    seconds), "after" (then the connection closes without an answer), "half" (half of the answer, then the
    connection closes), "huge" (10 MB of it), "garbage" (no JSON, no UTF-8), "deep" (JSON that nobody can read),
    "html" (200 with a page).
    """

    def __init__(self) -> None:
        self._released = asyncio.Event()
        self.set({})

    def set(self, asked: Json) -> Json:
        """Take these from now on instead of those before; requests that hang are let go."""
        self._released.set()
        self._released = asyncio.Event()
        self.kinds = [str(kind) for kind in asked.get("kinds") or ()]
        self.rate = float(asked.get("rate", 1.0))
        self.verbs = None if asked.get("verbs") is None else frozenset(asked["verbs"])
        self.resources = None if asked.get("resources") is None else frozenset(asked["resources"])
        self.count = asked.get("count")
        self.seconds = float(asked.get("seconds", 30.0))
        self.retry_after = int(asked.get("retry_after", 1))
        self.message = str(asked.get("message", "replicas have to be at most 10"))
        self.done: Counter[str] = Counter()
        self._random = random.Random(asked.get("seed", 1))
        return {"kinds": self.kinds, "rate": self.rate, "count": self.count}

    def draw(self, verb: str, resource: str, *, dry: bool) -> str:
        """The kind of fault that this request gets; empty for none."""
        if not self.kinds or (self.verbs is not None and verb not in self.verbs):
            return ""
        if self.resources is not None and resource not in self.resources:
            return ""
        if self.count is not None and self.done.total() >= self.count:
            return ""
        if self._random.random() >= self.rate:
            return ""
        kind = self._random.choice(self.kinds)
        if kind == "refuse_dry_run" and not dry:
            return ""
        self.done[kind] += 1
        return kind

    async def before(self, kind: str, request: web.Request) -> web.StreamResponse | None:
        """The answer of a request that is not done; None for one that is, after its delay. Raises ApiError."""
        if kind == "429":
            headers = {"Retry-After": str(self.retry_after)}
            return web.Response(status=429, text=BUSY, headers=headers)
        if kind == "502":
            return web.Response(status=502, text=PAGE, content_type="text/html")
        if kind in REFUSALS:
            raise REFUSALS[kind]()
        if kind == "denied":
            told = f'admission webhook "policy.example.com" denied the request: {self.message}'
            raise ApiError(403, "Forbidden", told)
        if kind == "refuse_dry_run":
            raise bad_request('admission webhook "policy.example.com" does not support dry run')
        if kind == "silence":
            await self._released.wait()
        if kind == "delay":
            await self._wait()
        return cut(request) if kind in ("reset", "silence") else None

    async def after(self, kind: str, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        """What is left of the answer of a request that was done."""
        if kind == "after":
            return cut(request)
        if kind == "timeout":
            await self._wait()
        if kind == "html":
            return web.Response(text=PAGE, content_type="text/html")
        if kind in ("garbage", "deep"):
            return web.Response(body=GARBAGE if kind == "garbage" else DEEP, content_type="application/json")
        if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
            return answer
        if kind == "half":
            return await _half(request, answer.body, answer.status)
        if kind == "huge":
            return web.Response(
                body=swollen(answer.body), status=answer.status, content_type=answer.content_type
            )
        return answer

    async def _wait(self) -> None:
        """So many seconds, or until other faults are set."""
        released = self._released
        try:
            async with asyncio.timeout(self.seconds):
                await released.wait()
        except TimeoutError:
            return


def _unavailable() -> ApiError:
    told = "the server is currently unable to handle the request"
    return ApiError(503, "ServiceUnavailable", told, {"retryAfterSeconds": 1}, retry_after=1)


def _slow() -> ApiError:
    told = "Timeout: request did not complete within the allotted timeout"
    return ApiError(504, "Timeout", told, {})


REFUSALS = {
    "500": lambda: internal("etcdserver: leader changed"),
    "503": _unavailable,
    "504": _slow,
}


def swollen(body: bytes) -> bytes:
    """The same answer of at least 10 MB: a list with its items again and again, or one long annotation."""
    try:
        found = json.loads(body)
    except ValueError:
        return body * (HUGE // max(1, len(body)) + 1)
    if found.get("items"):
        found["items"] = found["items"] * (HUGE // len(body) + 1)
    else:
        notes = found.setdefault("metadata", {}).setdefault("annotations", {})
        notes["example.com/long"] = "x" * HUGE
    return json.dumps(found).encode()


async def _half(request: web.Request, body: bytes, status: int) -> web.StreamResponse:
    answer = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    answer.content_length = len(body)
    await answer.prepare(request)
    await answer.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()  # unlike abort, this sends what is written
    return answer


def cut(request: web.Request) -> web.StreamResponse:
    """Close the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
