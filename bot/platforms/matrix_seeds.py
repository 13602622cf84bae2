"""The reactions under a message that are its buttons: put there, and taken away, beside everything else.

Nobody waits for them: the commands stand in the text as well, and a homeserver may allow a message every five
seconds only (Synapse's rc_message).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import structlog

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms.matrix_client import RefusedCallError, UnavailableError
from bot.platforms.matrix_events import REACTION, Events, relation_of

_log = structlog.get_logger()

MOST = 500  # reactions that wait; of more the oldest are left out
TRIES = 5
DUPLICATE = "M_DUPLICATE_ANNOTATION"

_Seed = tuple[str, str, str, bool]  # room, message, emoji, whether it is put there


class Seeds:
    """A queue of reactions and what works it off, one by one."""

    def __init__(
        self, events: Events, bot: str, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._events = events
        self._bot = bot
        self._sleep = sleep
        self._waiting: deque[_Seed] = deque(maxlen=MOST)
        self._task: asyncio.Task[None] | None = None

    def put(self, room: str, message_id: str, emoji: Iterable[str], *, there: bool = True) -> None:
        """Have these reactions under a message soon, or no more."""
        self._waiting.extend((room, message_id, one, there) for one in emoji)
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work())

    async def done(self) -> None:
        """Return once nothing waits any more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Leave the rest."""
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def add(self, room: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's; that it is there already is fine."""
        relation = {"rel_type": "m.annotation", "event_id": message_id, "key": emoji}
        try:
            await self._events.send(room, REACTION, {"m.relates_to": relation})
        except RefusedCallError as refusal:
            if refusal.code != DUPLICATE:
                raise

    async def _work(self) -> None:
        tries = 0
        while self._waiting:
            room, message_id, emoji, there = self._waiting[0]
            try:
                await (self.add if there else self._remove)(room, message_id, emoji)
            except RetryLaterError as wait:
                await self._sleep(wait.seconds)
                continue
            except (DeliveryError, UnavailableError) as error:
                tries += 1
                if isinstance(error, UnavailableError) and tries < TRIES:
                    await self._sleep(float(tries))
                    continue
                _log.info("a button has no reaction to tap", room=room, message=message_id, error=str(error))
            tries = 0
            if self._waiting:
                self._waiting.popleft()

    async def _remove(self, room: str, message_id: str, emoji: str) -> None:
        for event in await self._events.related(room, message_id, "m.annotation", REACTION):
            if event.get("sender") == self._bot and relation_of(event).get("key") == emoji:
                await self._events.redact(room, str(event["event_id"]))
