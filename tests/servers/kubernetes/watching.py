"""Watches: events since a version, bookmarks, initial events, and 410 for what is compacted away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from tests.servers.kubernetes.call import Call
from tests.servers.kubernetes.listing import fits
from tests.servers.kubernetes.status import ApiError, expired, invalid, version_too_large
from tests.servers.kubernetes.store import Change

Json = dict[str, Any]
LONGEST = 1800.0  # seconds that a watch lasts where nobody asks for less
INITIAL_END = "k8s.io/initial-events-end"


class Watch:
    """One watch; it ends at its time, when the other side goes, or when what it needs is compacted."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._store = call.cluster.store
        self._fits: Callable[[Json], bool] = fits(call)
        self._bookmarks = call.flag("allowWatchBookmarks")
        _check(call)
        self._asked = call.number("resourceVersion") or 0
        if self._asked > self._store.version:
            raise version_too_large(self._asked, self._store.version)
        sent = call.query.get("sendInitialEvents")
        self._initial = not self._asked if sent is None else call.flag("sendInitialEvents")
        self._position = self._asked
        self._signals = call.cluster.signals
        self._seen = self._signals.counts()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Stream the events, one JSON object a line."""
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        try:
            await self._run(answer)
            await answer.write_eof()
        except ConnectionResetError:
            return answer  # the one who watched has gone
        return answer

    async def _run(self, answer: web.StreamResponse) -> None:
        """Stream until its time is over (with a last bookmark), or until it expires (with an ERROR)."""
        seconds = float(self._call.number("timeoutSeconds") or LONGEST)
        try:
            async with asyncio.timeout(seconds):
                await self._stream(answer)
        except TimeoutError:
            if self._bookmarks:
                await _send(answer, self._bookmark())
        except ApiError as error:
            await _send(answer, {"type": "ERROR", "object": error.body})

    async def _stream(self, answer: web.StreamResponse) -> None:
        self._position = self._asked
        if self._initial or not self._asked:
            self._position = self._store.version
        if self._initial:
            for found in self._store.all(self._call.resource, self._call.namespace):
                if self._fits(found):
                    await _send(answer, {"type": "ADDED", "object": found})
            if self._bookmarks:
                await _send(answer, self._bookmark(initial=True))
        while True:
            if self._position < self._store.compacted:
                raise expired(f"too old resource version: {self._position} ({self._store.compacted})")
            events, newest = list(self._events(self._position)), self._store.version
            for event in events:
                await _send(answer, event)
            self._position = newest  # only now: a bookmark never says more than was sent
            if await self._told(answer):
                return
            if self._position == self._store.version and self._seen == self._signals.counts():
                await self._store.news()

    async def _told(self, answer: web.StreamResponse) -> bool:
        """Do what was asked for by control: bookmark, expire, end; True where the watch ends."""
        seen, self._seen = self._seen, self._signals.counts()
        if self._signals.expired > seen[1]:
            raise expired(f"too old resource version: {self._asked} ({self._store.version})")
        if self._signals.bookmarked > seen[0] and self._bookmarks:
            await _send(answer, self._bookmark())
        return self._signals.ended > seen[2]

    def _events(self, position: int) -> Iterator[Json]:
        """What happened since, as the selectors show it: what fits no more is deleted for this watch."""
        for change in self._store.since(position):
            if change.key[0] == self._call.resource.id and self._call.namespace in ("", change.key[1]):
                kind = self._kind(change)
                if kind:
                    yield {"type": kind, "object": change.after}

    def _kind(self, change: Change) -> str:
        before = change.before is not None and self._fits(change.before)
        if change.kind == "DELETED":
            return "DELETED" if before else ""
        after = self._fits(change.after)
        if before and after:
            return "MODIFIED"
        return "ADDED" if after else "DELETED" if before else ""

    def _bookmark(self, *, initial: bool = False) -> Json:
        meta: Json = {"resourceVersion": str(self._position)}
        if initial:
            meta["annotations"] = {INITIAL_END: "true"}
        resource = self._call.resource
        found = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
        return {"type": "BOOKMARK", "object": found}


def _check(call: Call) -> None:
    """Raise ApiError (422) for options that do not go together."""
    match, sent = call.query.get("resourceVersionMatch", ""), "sendInitialEvents" in call.query
    told = ""
    if sent and match != "NotOlderThan":
        told = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    elif match and not sent:
        told = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    if told:
        cause = ("FieldValueForbidden", f"Forbidden: {told}", "resourceVersionMatch")
        raise invalid("meta.k8s.io", "ListOptions", "", [cause])


async def _send(answer: web.StreamResponse, event: Json) -> None:
    await answer.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
