"""Encrypted messages whose key is not there yet: asked for, waited for, and in the end told as what they are."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from bot.chat import Incoming
from bot.platforms import matrix_decode as decode
from bot.platforms.matrix_crypto import Crypto
from bot.platforms.matrix_events import Event
from bot.platforms.matrix_reading import UNREADABLE

_log = structlog.get_logger()

KEYS = 60.0  # seconds that a key is waited for

Read = Callable[[str, Event, Event], Awaitable[Incoming | None]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """`since` is the position before the event, `met` when it came (monotonic, seconds)."""

    room: str
    event: Event
    since: str | None
    met: float

    def later(self, now: float) -> Event:
        """The event with the age that it has by now."""
        unsigned = dict(self.event.get("unsigned") or {})
        if isinstance(unsigned.get("age"), int | float):
            unsigned["age"] += (now - self.met) * 1000
        return {**self.event, "unsigned": unsigned}


class Sealed:
    """What waits, oldest first. `read` makes of an opened event what somebody did, `reading` what it is read by."""

    def __init__(
        self,
        crypto: Crypto,
        read: Read,
        reading: Callable[[], decode.Reading],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._crypto = crypto
        self._read = read
        self._reading = reading
        self._monotonic = monotonic
        self._waiting: dict[str, _Waiting] = {}

    def __contains__(self, ident: object) -> bool:
        return ident in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def position(self, now: str | None) -> str | None:
        """How far everything was handed over, where the sync stands at `now`: not beyond what waits."""
        return next((waiting.since for waiting in self._waiting.values()), now)

    async def take(self, room: str, event: Event, since: str | None) -> Incoming | None:
        """What an encrypted event is; one without its key is put aside, its key asked for, and is nothing yet."""
        opened = await self._opened(room, event)
        if opened is not None:
            return await self._read(room, event, opened)
        if not self._crypto.enabled:
            return decode.unreadable(event, room, self._reading())
        if event["event_id"] not in self._waiting:
            self._waiting[event["event_id"]] = _Waiting(room, event, since, self._monotonic())
            await self._crypto.ask(room, event)
        return None

    async def ready(self) -> list[tuple[str, Incoming | None]]:
        """Id and meaning of the events whose key has come, or was waited for long enough; to be forgotten then."""
        found = []
        for ident, waiting in list(self._waiting.items()):
            now = self._monotonic()
            event = waiting.later(now)
            opened = await self._opened(waiting.room, event)
            if opened is not None:
                found.append((ident, await self._read(waiting.room, event, opened)))
            elif now >= waiting.met + KEYS:
                found.append((ident, decode.unreadable(event, waiting.room, self._reading())))
        return found

    def forget(self, ident: str) -> None:
        """The event was handed over."""
        self._waiting.pop(ident, None)

    async def _opened(self, room: str, event: Event) -> Event | None:
        """What is made so that nobody can read it is a message without a key like others."""
        try:
            return await self._crypto.unseal(room, event)
        except UNREADABLE as error:
            _log.warning("what Matrix sent could not be read", error=f"{type(error).__name__}: {error}")
            return None
