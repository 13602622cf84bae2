"""What people do on Matrix, taken in by /sync: gaps filled, decoded, handed over, the position kept."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog

from bot.chat import House, Incoming, Reaction, Receive, RetryLaterError
from bot.platforms import matrix_decode as decode
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError, UnavailableError
from bot.platforms.matrix_crypto import Crypto
from bot.platforms.matrix_doors import TOMBSTONE, Doors
from bot.platforms.matrix_events import ENCRYPTED, MESSAGE, MOST_PAGES, PAGE, REACTION, Event, Events
from bot.platforms.matrix_furniture import Furniture
from bot.platforms.matrix_reading import UNREADABLE, Reader
from bot.platforms.matrix_receipts import Receipts
from bot.platforms.matrix_rooms import ROOM
from bot.platforms.matrix_sealed import Sealed
from bot.recent import Recent

_log = structlog.get_logger()

SINCE = "since"  # what the position in the sync is kept as
POLL = 30.0  # seconds that the homeserver waits for news
STOP = 5.0  # seconds that what is being handed over is given to come to its end
SLOWEST = 10.0  # seconds between two tries to reach the homeserver
_LOCKED_OUT = "M_UNKNOWN_TOKEN"
_AWAY = (UnavailableError, RefusedCallError, RetryLaterError)
_TIMELINE = [
    MESSAGE,
    ENCRYPTED,
    REACTION,
    "m.room.redaction",
    "m.room.member",
    "m.room.encryption",
    ROOM,
    TOMBSTONE,
]


class Inbound:
    """The inward half of the adapter. `sleep` is what waits for the homeserver waits by."""

    def __init__(
        self,
        api: MatrixClient,
        events: Events,
        reader: Reader,
        furniture: Furniture,
        doors: Doors,
        crypto: Crypto,
        receipts: Receipts,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._reader = reader
        self._api = api
        self._events = events
        self._furniture = furniture
        self._doors = doors
        self._crypto = crypto
        self._receipts = receipts
        self._sleep = sleep
        self._receive: Receive | None = None
        self._house: House | None = None
        self._since: str | None = None
        self._kept: str | None = None
        self._stopping = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._sealed = Sealed(crypto, self._read, reader.reading)
        self.seen: Recent[str] = Recent()  # user → the room where they did something last

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Hand over what came in since the position that was kept, then go on; without one nothing is replayed."""
        self._receive, self._house, self._reader.house = receive, house, house
        self._since = self._kept = await house.recall(SINCE) if house is not None else None
        self._stopping.clear()
        await self._turn(0.0)
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Take in no more; what is being handed over is given a few seconds."""
        self._stopping.set()
        if self._loop is not None:
            _, left = await asyncio.wait({self._loop}, timeout=STOP)
            for task in left:
                task.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
            self._loop = None
        self._receive = None

    # -- the sync ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        tries = 0
        while not self._stopping.is_set():
            try:
                await self._turn(POLL)
                tries = 0
            except RetryLaterError as wait:
                await self._rest(wait.seconds)
            except _AWAY as error:
                self._troubled("Matrix is away", error, tries)
                tries += 1
                await self._rest(min(SLOWEST, 0.1 * 2 ** min(tries, 8)))
            except Exception as error:  # noqa: BLE001 - the edge: what failed is read again, so that nothing is lost
                self._troubled("what came from Matrix could not be taken in", error, tries)
                tries += 1
                await self._rest(min(SLOWEST, 0.5 * 2 ** min(tries, 8)))

    def _troubled(self, what: str, error: Exception, tries: int) -> None:
        if tries == 0:
            unknown = not isinstance(error, _AWAY)
            _log.warning(what, error=str(error) or type(error).__name__, exc_info=error if unknown else None)

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the bot is told to stop."""
        await self._first_of(self._sleep(seconds))

    async def _first_of(self, work: Awaitable[Any]) -> Any:
        """What the work gives; None where the bot is told to stop before."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            for other in (task, stopped):
                if not other.done():
                    other.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _turn(self, wait: float) -> None:
        """Ask once what is new, hand it over, and keep the position."""
        wait = min(wait, 5.0) if self._sealed else wait
        query = {"since": self._since, "timeout": str(int(wait * 1000)), "filter": self._filter()}
        asked = self._api.call("GET", V3, "sync", query=query, timeout=wait + 30.0)
        try:
            answer = await self._first_of(asked)
        except RefusedCallError as refusal:
            if refusal.status != 400 or self._since is None:
                raise
            _log.warning(
                "the homeserver knows the position of the sync no more; a new one is taken",
                error=str(refusal),
            )
            self._since = None
            return
        if answer is None:
            return
        await self._crypto.took(answer)
        rooms = answer.get("rooms") or {}
        for room, told in (rooms.get("invite") or {}).items():
            await self._doors.invited(room, told)
        for room, told in (rooms.get("join") or {}).items():
            await self._joined(room, told)
        await self._opened_later()
        self._since = str(answer["next_batch"])
        await self._keep()

    def _filter(self) -> dict[str, Any]:
        """What the bot wants to hear of. Where keys are shared it has to know every member that comes or goes."""
        lazy = not self._crypto.enabled
        nothing: dict[str, Any] = {"types": []}
        timeline: dict[str, Any] = {"types": _TIMELINE, "limit": 50}
        if self._since is None:
            # Synapse answers a first sync from memory for two minutes: no two of ours are the same.
            timeline = {"types": [f"org.watchbell.{secrets.token_hex(8)}"], "limit": 1}
        states = ["m.room.member", "m.room.encryption", ROOM]
        return {
            "presence": nothing,
            "account_data": nothing,
            "room": {
                "ephemeral": nothing,
                "account_data": nothing,
                "timeline": {**timeline, "lazy_load_members": lazy},
                "state": {"types": states if self._crypto.enabled else states[1:], "lazy_load_members": lazy},
            },
        }

    async def _keep(self) -> None:
        """Keep how far everything was handed over: not beyond an event whose key is waited for."""
        position = self._sealed.position(self._since)
        if position is not None and position != self._kept and self._house is not None:
            await self._house.keep(SINCE, position)
            self._kept = position

    async def _joined(self, room: str, told: Mapping[str, Any]) -> None:
        for event in (told.get("state") or {}).get("events") or ():
            self._noticed(room, event)
        timeline = told.get("timeline") or {}
        events = list(timeline.get("events") or ())
        if self._since is None:
            return  # the first look takes the position only
        if timeline.get("limited") and not self._came_in(events):
            events = await self._missing(room, str(timeline.get("prev_batch") or "")) + events
        for index, event in enumerate(events):
            if self._is_coming_in(event):
                await self._doors.entered(room, event)
                events = events[index + 1 :]  # what was said before the bot came was not said to it
                break
        for event in events:
            self._noticed(room, event)
            await self._doors.replaced(room, event)
            await self._take(room, event)
        self._heard(room, events)

    def _heard(self, room: str, events: list[Event]) -> None:
        """Have people see that what they wrote was heard."""
        for event in reversed(events):
            written = event.get("type") in (MESSAGE, ENCRYPTED) and event.get("sender") != self._api.user
            if written and event["event_id"] not in self._sealed:
                self._receipts.put(room, str(event["event_id"]))
                return

    def _noticed(self, room: str, event: Event) -> None:
        self._crypto.noticed(room, event)
        self._furniture.noticed(room, event)

    async def _missing(self, room: str, since: str) -> list[Event]:
        """What was said between the last position and what the sync tells, oldest first."""
        found: list[Event] = []
        if not since:
            return found
        only = {"types": _TIMELINE}
        events = self._events.backwards(room, since=since, until=self._since, only=only)
        async with aclosing(events) as told:
            async for event in told:
                found.append(event)
                if self._is_coming_in(event):
                    break
        if len(found) >= MOST_PAGES * PAGE:
            _log.error("more was said meanwhile than is read; the beginning is left out", room=room)
        return found[::-1]

    def _came_in(self, events: list[Event]) -> bool:
        return any(self._is_coming_in(event) for event in events)

    def _is_coming_in(self, event: Event) -> bool:
        """Whether this is the bot itself entering the room."""
        if event.get("type") != "m.room.member" or event.get("state_key") != self._api.user:
            return False
        before = (event.get("unsigned") or {}).get("prev_content") or {}
        return event["content"].get("membership") == "join" and before.get("membership") != "join"

    # -- one event --------------------------------------------------------------------------------

    async def _take(self, room: str, event: Event) -> None:
        if event.get("sender") == self._api.user:
            return
        if event.get("type") == ENCRYPTED and not decode.redacted(event):
            made = await self._sealed.take(room, event, self._since)
        else:
            made = await self._read(room, event)
        await self._hand_over(made)

    async def _read(self, room: str, event: Event, opened: Event | None = None) -> Incoming | None:
        """What an event is; nothing for what cannot be read, or asks for what is not there."""
        try:
            return await self._reader.read(room, event, opened)
        except UNREADABLE as error:
            _log.warning("what Matrix sent could not be read", error=f"{type(error).__name__}: {error}")
        except RefusedCallError as refusal:
            if refusal.code == _LOCKED_OUT:
                raise
            _log.warning("what Matrix sent could not be looked up", room=room, error=str(refusal))
        return None

    async def _opened_later(self) -> None:
        """Messages whose key has come meanwhile; those whose key did not come are told as such."""
        for ident, made in await self._sealed.ready():
            await self._hand_over(made)
            self._sealed.forget(ident)

    async def _hand_over(self, made: Incoming | None) -> None:
        if made is None or self._receive is None:
            return
        self.seen.put(made.user, made.channel)
        if isinstance(made, Reaction) and made.added:
            await self._reader.remember(made)
        await self._receive(made)
