"""What is done beside everything else: reactions that are a message's buttons, pins and private answers that wait.

Nobody waits for it: the commands stand in the text as well, and a homeserver may allow a message every five seconds
only (Synapse's rc_message). Where it makes messages wait, they go first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import structlog

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms.matrix_client import RefusedCallError, UnavailableError
from bot.platforms.matrix_errand import Errand
from bot.platforms.matrix_events import COSMETIC, REACTION, Events, relation_of
from bot.recent import Recent

_log = structlog.get_logger()

MOST = 500  # things that wait; of more the oldest are left out
TRIES = 5
DUPLICATE = "M_DUPLICATE_ANNOTATION"

_Label = tuple[str, ...]  # which thing it is: the same does not wait twice
_Work = Callable[[], Awaitable[None]]


class Seeds(Errand):
    """A queue, and what works it off, one by one."""

    def __init__(
        self, events: Events, bot: str, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        super().__init__()
        self._events = events
        self._bot = bot
        self._sleep = sleep
        self._waiting: deque[tuple[_Label, _Work]] = deque(maxlen=MOST)
        self._there: Recent[_Label] = Recent()  # reactions that this process put under messages, or took away

    def put(self, room: str, message_id: str, emoji: Iterable[str], *, there: bool = True) -> None:
        """Have these reactions under a message soon, or no more."""
        for one in emoji:
            label = (room, message_id, one)
            if there and self._there.get(label) != REACTION:
                self._later((*label, "add"), partial(self.add, *label))
            elif not there:
                self._later((*label, "remove"), partial(self._remove, *label))

    async def soon(self, label: _Label, work: _Work, *, first: bool = False) -> None:
        """Do it now; where the homeserver makes the bot wait, do it when it may: with `first`, before all else."""
        try:
            await work()
        except RetryLaterError:
            self._later(label, work, first=first)

    async def react(self, room: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's, as soon as that may be."""
        label = (room, message_id, emoji)
        await self.soon((*label, "add"), partial(self.add, *label))

    async def stop(self) -> None:
        """Leave the rest."""
        self._waiting.clear()
        await super().stop()

    async def add(self, room: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's; that it is there already is fine."""
        relation = {"rel_type": "m.annotation", "event_id": message_id, "key": emoji}
        try:
            await self._events.send(room, REACTION, {"m.relates_to": relation})
        except RefusedCallError as refusal:
            if refusal.code != DUPLICATE:
                raise
        self._there.put((room, message_id, emoji), REACTION)

    # -- inside -----------------------------------------------------------------------------------

    def _later(self, label: _Label, work: _Work, *, first: bool = False) -> None:
        if all(label != known for known, _ in self._waiting):
            (self._waiting.appendleft if first else self._waiting.append)((label, work))
            self._begin()

    async def _work(self) -> None:
        tries = 0
        while self._waiting:
            label, work = self._waiting.popleft()
            try:
                await work()
            except RetryLaterError as wait:
                self._waiting.appendleft((label, work))
                await self._sleep(wait.seconds)
                continue
            except (DeliveryError, UnavailableError) as error:
                tries += 1
                if isinstance(error, UnavailableError) and tries < TRIES:
                    self._waiting.appendleft((label, work))
                    await self._sleep(float(tries))
                    continue
                _log.warning("what nobody waits for was left out", of=label, error=str(error))
            tries = 0

    async def _remove(self, room: str, message_id: str, emoji: str) -> None:
        self._there.put((room, message_id, emoji), "")
        for event in await self._events.related(room, message_id, "m.annotation", REACTION):
            if event.get("sender") == self._bot and relation_of(event).get("key") == emoji:
                await self._events.redact(room, str(event["event_id"]), urgency=COSMETIC)
