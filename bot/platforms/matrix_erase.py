"""Messages taken away for good: Matrix keeps what an edit replaces, so that every version is redacted by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from bot.platforms.matrix_client import RefusedCallError
from bot.platforms.matrix_content import ABOUT
from bot.platforms.matrix_decode import redacted
from bot.platforms.matrix_events import ENCRYPTED, FIND_PAGES, MESSAGE, Event, Events, content_of
from bot.platforms.matrix_rooms import Rooms

REST = "org.watchbell.rest"  # of a file: the message whose text it is the whole of
_FORBIDDEN = "M_FORBIDDEN"


class Eraser:
    """Redacts ("Redactions"): one's own always, others' where the bot's power level is high enough."""

    def __init__(self, events: Events, rooms: Rooms) -> None:
        self._events = events
        self._rooms = rooms

    async def erase(self, room: str, ident: str, *, earlier: bool) -> bool:
        """Redact a message with its edits, its file of the whole, and private answers; or only `earlier` versions.

        False where one of them may not be redacted, or there is no such message that the bot may see.
        """
        event = await self._events.get(room, ident)
        if event is None:
            return False
        edits = await self._events.edits(room, ident)
        if earlier:
            return await self._redact(room, edits[:-1])
        whole = [event, *edits, *[found async for found in self._rest(room, ident)]]
        done = await self._redact(room, whole)
        for direct in self._rooms.directs.get(str(event.get("sender")), ()):
            answers = [found async for found in self._answers(direct, room, ident)]
            done = await self._redact(direct, answers) and done
        return done

    async def _redact(self, room: str, events: list[Event]) -> bool:
        done = True
        for event in events:
            if redacted(event):
                continue
            try:
                await self._events.redact(room, str(event["event_id"]))
            except RefusedCallError as refusal:
                if refusal.code != _FORBIDDEN:
                    raise
                done = False
        return done

    async def _rest(self, room: str, ident: str) -> AsyncIterator[Event]:
        """The file with all of a message of the bot's that was too long, which stands in a thread."""
        async for event in self._mine(room):
            if content_of(event).get(REST) == ident:
                yield event

    async def _answers(self, direct: str, room: str, ident: str) -> AsyncIterator[Event]:
        """What the bot told somebody directly about a message of theirs."""
        async for event in self._mine(direct):
            about = content_of(event).get(ABOUT)
            if isinstance(about, dict) and (about.get("room"), about.get("message")) == (room, ident):
                yield event

    async def _mine(self, room: str) -> AsyncIterator[Event]:
        """The bot's newest 500 messages in a room, decrypted."""
        only = {"senders": [self._events.me], "types": [MESSAGE, ENCRYPTED]}
        async with aclosing(self._events.backwards(room, most=FIND_PAGES, only=only)) as told:
            async for event in told:
                yield await self._events.opened(room, event)
