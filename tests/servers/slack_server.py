"""The Slack stand-in as tests use it: a process on a free port, and its control over HTTP."""

from __future__ import annotations

import asyncio
import atexit
import http.client
import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for one call; no act takes longer than a few deliveries


class StandInError(Exception):
    """The stand-in refused what a test asked of it; the text says why."""


class SlackServer:
    """One stand-in; what is in it outlives the bot, and `reset` begins anew."""

    def __init__(self) -> None:
        self.url = ""
        self.offset = 0.0  # seconds that the stand-in's clock is ahead of this machine's
        self._process: subprocess.Popen[str] | None = None

    @property
    def api(self) -> str:
        """The `base_url` of the Web API."""
        return f"{self.url}/api/"

    def start(self) -> None:
        """Start the process, and return when it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.slack"], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if said[:1] != ["ready"]:
            raise StandInError(f"the stand-in said {said} and not that it is ready")
        self.url = said[1].rstrip("/")

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def call(self, name: str, /, **asked: Any) -> Any:
        """Ask for something by its control name; not for acts that the bot of this loop has to take."""
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        try:
            body = json.dumps(asked)
            connection.request("POST", f"/_control/{name}", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        if answer.status != 200:
            raise StandInError(f"{name}: {said}")
        return json.loads(said)

    async def act(self, name: str, /, **asked: Any) -> Any:
        """The same without blocking the loop: somebody does something, and the bot takes it meanwhile."""
        return await asyncio.to_thread(self.call, name, **asked)

    # -- the stand-in's clock -------------------------------------------------------------------------

    def reset(self, at: float | None = None, **asked: Any) -> None:
        """A fresh workspace, whose clock shows `at` (seconds since the epoch; None: the present)."""
        self.offset = 0.0 if at is None else at - time.time()
        self.call("reset", clock_offset=self.offset, **asked)

    async def set_clock(self, at: float) -> None:
        """Have the stand-in's clock show `at`; what becomes due by that is delivered."""
        seconds = at - time.time() - self.offset
        self.offset += seconds
        await self.act("forward", seconds=seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


@cache
def shared() -> SlackServer:
    """The one stand-in of this process, started at its first use and ended with the process."""
    server = SlackServer()
    server.start()
    atexit.register(server.stop)
    return server
