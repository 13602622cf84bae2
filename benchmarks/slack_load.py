"""A crowd that types slash commands, in a process of its own: signed requests over connections that are kept.

`python -m benchmarks.slack_load` reads a `Load` as JSON from standard input and prints what came of it as JSON.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

PATIENCE = 30.0  # seconds after the last command for the answers that are still out
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked: `rate` commands a second by the clock, or, with a rate of 0, by `connections` in turn."""

    url: str
    secret: str
    run: str  # makes the trigger ids of this load its own
    channels: tuple[str, ...]
    people: tuple[str, ...]
    seconds: float
    rate: float = 0.0
    connections: int = 64


async def loaded(load: Load) -> dict[str, Any]:
    """Run the load in another process; `sent`, `acknowledged`, `rate` (a second), `p50`, `p95`, `p99`, `max` (s)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.slack_load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate(json.dumps(asdict(load)).encode())
    if process.returncode:
        raise RuntimeError(f"the load ended with {process.returncode}")
    return dict(json.loads(said))


class Line(asyncio.Protocol):
    """One connection, with one request on its way at most."""

    def __init__(self, answered: Callable[[Line, bool], None]) -> None:
        self.answered = answered
        self.transport: asyncio.Transport | None = None
        self.planned = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to send."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """An answer counts as an acknowledgement where it is a 200 without a word: a refusal would have some."""
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end:
            return
        size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) >= size:
            self._got = b""
            self.answered(self, head.startswith(b"HTTP/1.1 200 ") and not size)

    def send(self, request: bytes, planned: float) -> None:
        """Send a request; `planned` is when it should have gone, by the monotonic clock."""
        assert self.transport is not None
        self.planned = planned
        self.transport.write(request)


class Crowd:
    """Sends the commands of a load, and notes how long each answer took."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._where = urlsplit(load.url)
        self._idle: list[Line] = []
        self._sent = self._good = 0
        self._taken: list[float] = []
        self._until = 0.0
        self._all = asyncio.Event()
        self._opened: set[asyncio.Task[None]] = set()

    async def by_the_clock(self) -> None:
        """Send each command at its planned moment, whatever became of those before it."""
        for _ in range(self._load.connections):
            self._idle.append(await self._line(self._free))
        began = time.monotonic()
        for number in range(int(self._load.rate * self._load.seconds)):
            planned = began + number / self._load.rate
            await asyncio.sleep(max(0.0, planned - time.monotonic()))
            self._sent += 1
            if self._idle:
                self._idle.pop().send(self._request(), planned)
            else:
                task = asyncio.create_task(self._by_a_new_one(self._request(), planned))
                self._opened.add(task)
                task.add_done_callback(self._opened.discard)

    async def in_turn(self) -> None:
        """Each connection sends its next command once it has the answer to the one before."""
        lines = [await self._line(self._next) for _ in range(self._load.connections)]
        self._until = time.monotonic() + self._load.seconds
        for line in lines:
            self._sent += 1
            line.send(self._request(), time.monotonic())

    async def result(self) -> dict[str, float]:
        """What came of it, once every answer is there or nobody waits any longer."""
        began = time.monotonic()
        await (self.by_the_clock() if self._load.rate else self.in_turn())
        patience = PATIENCE + (0.0 if self._load.rate else self._load.seconds)
        if len(self._taken) < self._sent:
            self._all.clear()  # it may be set from a moment at which nothing was on its way
            with suppress(TimeoutError):  # what is not answered by then counts as not acknowledged
                await asyncio.wait_for(self._all.wait(), patience)
        elapsed = time.monotonic() - began
        taken = sorted([*self._taken, *[patience] * (self._sent - len(self._taken))])
        shares = {
            f"p{share}": taken[min(len(taken) - 1, len(taken) * share // 100)] for share in (50, 95, 99)
        }
        numbers = {"sent": self._sent, "acknowledged": self._good, "rate": self._good / elapsed}
        return {**numbers, **shares, "max": taken[-1]}

    async def _line(self, answered: Callable[[Line, bool], None]) -> Line:
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(
            lambda: Line(answered), self._where.hostname or "", self._where.port or 80
        )
        return line

    async def _by_a_new_one(self, request: bytes, planned: float) -> None:
        (await self._line(self._free)).send(request, planned)

    def _note(self, line: Line, good: bool) -> None:
        self._taken.append(time.monotonic() - line.planned)
        self._good += good
        if len(self._taken) == self._sent:
            self._all.set()

    def _free(self, line: Line, good: bool) -> None:
        self._all.clear()
        self._note(line, good)
        self._idle.append(line)

    def _next(self, line: Line, good: bool) -> None:
        now = time.monotonic()
        if now < self._until:
            self._sent += 1
        self._note(line, good)
        if now < self._until:
            line.send(self._request(), now)

    def _request(self) -> bytes:
        """The next slash command, as Slack sends and signs it (api.slack.com, "Verifying requests from Slack")."""
        load, number = self._load, self._sent
        fields = {
            "token": "none",
            "team_id": "T0WATCH",
            "team_domain": "example",
            "channel_id": load.channels[number % len(load.channels)],
            "channel_name": "incident",
            "user_id": load.people[number % len(load.people)],
            "user_name": "somebody",
            "command": "/note",
            "text": f"failover started {number}",
            "api_app_id": "A0WATCH",
            "is_enterprise_install": "false",
            "response_url": f"https://hooks.slack.com/commands/T0WATCH/{number}/none",
            "trigger_id": f"{load.run}.{number}",
        }
        body, stamp = urlencode(fields).encode(), str(int(time.time()))
        signed = hmac.new(load.secret.encode(), b"v0:%s:%s" % (stamp.encode(), body), hashlib.sha256)
        head = (
            f"POST {self._where.path} HTTP/1.1\r\nHost: {self._where.netloc}\r\nContent-Type: {FORM}\r\n"
            f"Content-Length: {len(body)}\r\nX-Slack-Request-Timestamp: {stamp}\r\n"
            f"X-Slack-Signature: v0={signed.hexdigest()}\r\n\r\n"
        )
        return head.encode() + body


async def main() -> None:
    """One load."""
    print(json.dumps(await Crowd(Load(**json.load(sys.stdin))).result()))


if __name__ == "__main__":
    asyncio.run(main())
