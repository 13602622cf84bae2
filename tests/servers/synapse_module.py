"""A module inside the tests' Synapse: they set the time of its events, it waits for no disk, and ends with them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from synapse.module_api import ModuleApi
from synapse.storage.engines.sqlite import Sqlite3Engine
from synapse.util.clock import Clock
from twisted.web.resource import Resource
from twisted.web.server import Request

PATH = "/_watchbell/clock"
WAITING = ("synapse.notifier", "synapse.handlers.sync")  # how long a request waits is no matter of the events
WRITING = "synapse.events.builder"


_connected = Sqlite3Engine.on_new_connection


def _without_fsync(engine: Sqlite3Engine, connection: Any) -> None:
    """The tests kill processes, not the machine."""
    _connected(engine, connection)
    connection.execute("PRAGMA synchronous = OFF")


Sqlite3Engine.on_new_connection = _without_fsync


class ServerClock:
    """Waiting goes by the real time, events by a clock of their own.

    POST {"at": 1767407400.0} stops the clock there, {"offset": 600} lets it run so far ahead of the machine's.

    A stopped clock gives every new event a millisecond of its own all the same, so that their order shows.
    """

    def __init__(self, _config: Any, api: ModuleApi) -> None:
        self.at: float | None = None
        self.offset = 0.0
        self._written = 0
        Clock.time_msec = lambda _clock: self._now(sys._getframe(1).f_globals["__name__"])
        api.register_web_resource(PATH, _Setting(self))
        threading.Thread(target=_end_with_parent, daemon=True).start()

    def set(self, at: float | None = None, offset: float = 0.0) -> None:
        """Stop at a time, or run with an offset; the same time again changes nothing."""
        if at != self.at:
            self._written = 0
        self.at, self.offset = at, offset

    def _now(self, caller: str) -> int:
        if caller in WAITING:
            return int(time.time() * 1000)
        if self.at is None:
            return int((time.time() + self.offset) * 1000)
        if caller == WRITING:
            self._written += 1
            return int(self.at * 1000) + self._written
        return int(self.at * 1000)


def _end_with_parent() -> None:
    """End at once when whoever started this is gone, however they went: they hold the other end of the input."""
    sys.stdin.buffer.read()
    os._exit(0)


class _Setting(Resource):
    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self, clock: ServerClock) -> None:
        super().__init__()
        self._clock = clock

    def render_POST(self, request: Request) -> bytes:  # noqa: N802 - Twisted's name
        """Set it."""
        self._clock.set(**json.loads(request.content.read()))
        request.setHeader(b"Content-Type", b"application/json")
        return b"{}"
