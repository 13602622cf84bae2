"""A module inside the tests' Synapse: they set the time of its events, make people at once, and it is fast."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase
from synapse.api.filtering import Filtering
from synapse.events import validator
from synapse.handlers.delayed_events import DelayedEventsHandler
from synapse.logging import context
from synapse.module_api import DirectServeJsonResource, ModuleApi, parse_json_object_from_request
from synapse.storage.databases.main.lock import Lock
from synapse.storage.engines.sqlite import Sqlite3Engine
from synapse.types import create_requester
from synapse.util.clock import Clock
from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import execute
from twisted.web.server import Request

PATH = "/_watchbell"
WAITING = ("synapse.notifier", "synapse.handlers.sync")  # how long a request waits is no matter of the events
WRITING = "synapse.events.builder"
LIMITING = "synapse.api.ratelimiting"


_connected = Sqlite3Engine.on_new_connection


def _without_fsync(engine: Sqlite3Engine, connection: Any) -> None:
    """The tests kill processes, not the machine."""
    _connected(engine, connection)
    connection.execute("PRAGMA synchronous = OFF")


Sqlite3Engine.on_new_connection = _without_fsync


def _in_one_thread(pool: ConnectionPool, work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Ask the database at once: handing each question to a thread costs more than SQLite's answer."""
    return execute(pool._runWithConnection, work, *args, **named)


def _make_quick(api: ModuleApi) -> None:
    """Leave out what costs time with every event and changes nothing: schemas are not checked, events still are."""
    _count_nothing()
    ConnectionPool.runWithConnection = _in_one_thread
    # A lock that is released at once, as without threads, would be renewed for ever: its timer is set up too late.
    Lock._setup_looping_call = lambda _lock: None
    DelayedEventsHandler.notify_new_event = lambda _handler: None
    api._hs.get_user_directory_handler().update_user_directory = False
    context.random_string_insecure_fast = lambda _length: "-"  # what the log calls a context
    Filtering.check_valid_filter = lambda _filtering, _filter: None
    for made in (validator.POWER_LEVELS_VALIDATOR, validator.MENTIONS_VALIDATOR):
        made.check_schema = lambda *_schema: None


def _count_nothing() -> None:
    """Nobody asks this server for its metrics, which are a tenth of its work."""
    MetricWrapperBase.labels = lambda metric, *_values, **_named: metric
    for kind, ways in (
        (Counter, ["inc"]),
        (Gauge, ["inc", "dec", "set", "set_function"]),
        (Histogram, ["observe"]),
        (Summary, ["observe"]),
    ):
        for way in ways:
            setattr(kind, way, lambda _metric, *_amount, **_named: None)


class ServerClock:
    """Waiting goes by the real time, events by a clock of their own.

    POST {"at": 1767407400.0} stops the clock there, {"offset": 600} lets it run so far ahead of the machine's.

    A stopped clock gives every new event a millisecond of its own all the same, so that their order shows.
    """

    def __init__(self, config: Mapping[str, Any], api: ModuleApi) -> None:
        self.at: float | None = None
        self.offset = 0.0
        self._written = 0
        Clock.time_msec = lambda _clock: self._now(sys._getframe(1).f_globals["__name__"])
        if config.get("quick"):
            _make_quick(api)
        if config.get("limited"):
            Clock.time = lambda _clock: self._seconds(sys._getframe(1).f_globals["__name__"])
        resources = {"clock": _Setting(self), "people": _People(api), "join": _Joining(api), "now": _Now(api)}
        for name, resource in resources.items():
            api.register_web_resource(f"{PATH}/{name}", resource)
        threading.Thread(target=_end_with_parent, daemon=True).start()

    def set(self, at: float | None = None, offset: float = 0.0) -> None:
        """Stop at a time, or run with an offset; the same time again changes nothing."""
        if at != self.at:
            self._written = 0
        self.at, self.offset = at, offset

    def _seconds(self, caller: str) -> float:
        """Limits go by the time of the events, too; the rest of the server by the machine's.

        Not on a server without limits: what has been counted is put away in steps of 5 seconds, and between the
        times of two tests there may be millions of them.
        """
        return self.at if caller == LIMITING and self.at is not None else time.time()

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


class _Setting(DirectServeJsonResource):
    """The clock is set."""

    def __init__(self, clock: ServerClock) -> None:
        super().__init__()
        self._clock = clock

    async def _async_render_POST(self, request: Request) -> tuple[int, Any]:  # noqa: N802 - Synapse's name
        self._clock.set(**parse_json_object_from_request(request))
        return 200, {}


class _Now(DirectServeJsonResource):
    """How many events there are: whoever has seen as many has seen them all."""

    def __init__(self, api: ModuleApi) -> None:
        super().__init__()
        self._store = api._hs.get_datastores().main

    async def _async_render_GET(self, _request: Request) -> tuple[int, Any]:  # noqa: N802 - Synapse's name
        return 200, {"position": self._store.get_room_max_token().stream}


class _People(DirectServeJsonResource):
    """A fresh workspace: accounts with their devices and keys, made at once, and no room has an address any more.

    POST {"people": [{"name", "display", "devices": [{"id", "keys"}]}]}; a password is its account's name.
    """

    def __init__(self, api: ModuleApi) -> None:
        super().__init__()
        self._hs = api._hs

    async def _async_render_POST(self, request: Request) -> tuple[int, Any]:  # noqa: N802 - Synapse's name
        asked = parse_json_object_from_request(request)
        if asked.get("fresh"):
            await self._forget_addresses()
        return 200, {"people": [await self._made(person) for person in asked["people"]]}

    async def _made(self, person: Mapping[str, Any]) -> dict[str, Any]:
        accounts = self._hs.get_registration_handler()
        user = await accounts.register_user(
            localpart=person["name"],
            password_hash=await self._hs.get_auth_handler().hash(person["name"]),
            default_display_name=person["display"],
            by_admin=True,
            approved=True,
        )
        tokens = []
        for device in person["devices"]:
            ident, token, *_ = await accounts.register_device(user, device["id"], None)
            tokens.append(token)
            if device["keys"]:
                await self._hs.get_e2e_keys_handler().upload_keys_for_user(user, ident, device["keys"])
        return {"user": user, "tokens": tokens}

    async def _forget_addresses(self) -> None:
        store = self._hs.get_datastores().main
        for table in ("room_alias_servers", "room_aliases"):
            await store.db_pool.execute("forget_addresses", f"DELETE FROM {table}")  # noqa: S608 - ours
        store.get_aliases_for_room.invalidate_all()


class _Joining(DirectServeJsonResource):
    """Many go into a room that is open to them: POST {"room", "users"}. Their events are written at once."""

    def __init__(self, api: ModuleApi) -> None:
        super().__init__()
        self._hs = api._hs

    async def _async_render_POST(self, request: Request) -> tuple[int, Any]:  # noqa: N802 - Synapse's name
        asked = parse_json_object_from_request(request)
        room, users = asked["room"], asked["users"]
        joins = [
            {
                "type": "m.room.member",
                "room_id": room,
                "sender": user,
                "state_key": user,
                "content": {"membership": "join"},
            }
            for user in users
        ]
        await self._hs.get_event_creation_handler().create_and_send_new_client_events(
            create_requester(users[0]), room, None, joins, ratelimit=False
        )
        return 200, {}
