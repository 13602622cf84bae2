"""GET /log of a pod: the lines that were asked for, at once or as they come (PodLogOptions)."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.call import Call
from tests.servers.kubernetes.logbook import Line
from tests.servers.kubernetes.objects import current
from tests.servers.kubernetes.status import bad_request, invalid
from tests.servers.kubernetes.validation import bad

Json = dict[str, Any]
PULLING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class PodLog:
    """One request for a log; raises ApiError where there is none."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._cluster = call.cluster
        self._pod = current(call)
        self._previous = call.flag("previous")
        self._stamps = call.flag("timestamps")
        self._tail, self._left = call.number("tailLines"), call.number("limitBytes")
        self._check()
        self._container = self._choose()
        self._status = self._find()
        self._since = self._from()

    def _check(self) -> None:
        query = self._call.query
        causes = []
        if self._tail is not None and self._tail < 0:
            causes.append(bad("tailLines", self._tail, "must be greater than or equal to 0"))
        if self._left is not None and self._left < 1:
            causes.append(bad("limitBytes", self._left, "must be greater than 0"))
        seconds = self._call.number("sinceSeconds")
        if seconds is not None and seconds < 1:
            causes.append(bad("sinceSeconds", seconds, "must be greater than 0"))
        if query.get("sinceSeconds") and query.get("sinceTime"):
            told = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
            causes.append(("FieldValueForbidden", told, ""))
        if causes:
            raise invalid("", "PodLogOptions", "", causes)

    def _choose(self) -> str:
        names = [container["name"] for container in self._pod["spec"]["containers"]]
        asked = self._call.query.get("container", "")
        if not asked and len(names) > 1:
            options = " ".join(names)
            told = f"a container name must be specified for pod {self._call.name}, choose one of: [{options}]"
            raise bad_request(told)
        if asked and asked not in names:
            raise bad_request(f"container {asked} is not valid for pod {self._call.name}")
        return asked or names[0]

    def _find(self) -> Json | None:
        """The container's status; None before the pod has a node, when its log is empty."""
        statuses = self._pod["status"].get("containerStatuses") or ()
        status: Json | None = next((each for each in statuses if each["name"] == self._container), None)
        if status is None:
            return None
        named = f'container "{self._container}" in pod "{self._call.name}"'
        waiting = status["state"].get("waiting")
        if self._previous and "terminated" not in status["lastState"]:
            raise bad_request(f"previous terminated {named} not found")
        if waiting and not status["restartCount"]:
            why = PULLING.get(waiting["reason"], waiting["reason"])
            raise bad_request(f"{named} is waiting to start: {why}")
        return status

    def _from(self) -> datetime | None:
        if seconds := self._call.number("sinceSeconds"):
            return self._cluster.now() - timedelta(seconds=seconds)
        if text := self._call.query.get("sinceTime"):
            return datetime.fromisoformat(text)
        return None

    def _lines(self) -> list[Line]:
        if self._status is None:
            return []
        state, last = self._status["state"], self._status["lastState"].get("terminated", {})
        running = state.get("running") or last
        started = datetime.fromisoformat((last if self._previous else running)["startedAt"])
        lines = self._cluster.logs.read(self._pod, self._container, started, previous=self._previous)
        return [line for line in lines if self._since is None or line[0] >= self._since]

    def _bytes(self, lines: list[Line]) -> bytes:
        """What is sent of these lines, as far as limitBytes goes."""
        stamped = (f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}000Z ".encode() for at, _ in lines)
        pairs = zip(stamped, (line for _, line in lines), strict=True)
        text = b"".join((stamp if self._stamps else b"") + line + b"\n" for stamp, line in pairs)
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The log; with `follow` until the pod is gone or limitBytes are sent."""
        lines = self._lines()
        shown = lines[-self._tail :] if self._tail else ([] if self._tail == 0 else lines)
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        answer.enable_chunked_encoding()
        await answer.prepare(request)
        try:
            await answer.write(self._bytes(shown))
            if self._call.flag("follow"):
                await self._follow(answer, len(lines))
            await answer.write_eof()
        except ConnectionResetError:
            return answer  # the reader has gone
        return answer

    async def _follow(self, answer: web.StreamResponse, seen: int) -> None:
        meta = self._pod["metadata"]
        ended = self._cluster.signals.ended
        while self._left is None or self._left > 0:
            lines = self._lines()
            if len(lines) > seen:
                await answer.write(self._bytes(lines[seen:]))
                seen = len(lines)
                continue
            there = self._cluster.store.get(kinds.PODS, meta["namespace"], meta["name"])
            if (
                there is None
                or there["metadata"]["uid"] != meta["uid"]
                or self._cluster.signals.ended > ended
            ):
                return
            try:
                async with asyncio.timeout(5.0):
                    await self._cluster.store.news()
            except TimeoutError:
                await answer.write(b"")  # notices a reader who has gone
