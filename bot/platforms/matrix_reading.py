"""What an event of a room is: what decoding alone cannot tell is looked up, and nobody's word is taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import structlog

from bot.chat import DeliveryError, House, Incoming, Press, Reaction
from bot.platforms import matrix_decode as decode
from bot.platforms.matrix_content import ABOUT, is_tap, taps_of
from bot.platforms.matrix_crypto import VERIFIED, Crypto
from bot.platforms.matrix_directory import Directory
from bot.platforms.matrix_events import (
    ENCRYPTED,
    MESSAGE,
    REACTION,
    Event,
    Events,
    current,
    relation_of,
    root_of,
)
from bot.platforms.matrix_rooms import Rooms
from bot.platforms.slack_pace import Recent

_log = structlog.get_logger()

UNREADABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
)  # what an event raises that is not as its kind
_KNOWN = 10_000  # reactions and authors that are remembered
# Reactions that may mean something to the house: which they were has to be known when they are taken back, even after
# a restart, for a redaction names only their event, whose content is gone by then.
_LASTING = frozenset({"✅", "❌", "📌"})


class Account(Protocol):
    """The Matrix class as its inward half sees it."""

    people: Mapping[str, str]
    wall: Callable[[], float]


class Reader:
    """Reads events, also those of the past. `house` keeps what a restart must not forget; None: nothing does."""

    def __init__(
        self,
        account: Account,
        bot: str,
        events: Events,
        rooms: Rooms,
        directory: Directory,
        crypto: Crypto,
    ) -> None:
        self._account = account
        self._bot = bot
        self._events = events
        self._rooms = rooms
        self._directory = directory
        self._crypto = crypto
        self.house: House | None = None
        self._reactions: Recent[str] = Recent(_KNOWN)  # event id → the reaction
        self._authors: Recent[str] = Recent(_KNOWN)  # event id → who wrote it

    def reading(self) -> decode.Reading:
        """What is known now that events are read by."""
        return decode.Reading(
            people=self._account.people,
            bot=self._bot,
            names=(self._directory.display,),
            directs=self._rooms.direct_rooms,
            barred=self._directory.barred,
            now=self._account.wall(),
        )

    async def read(self, room: str, event: Event, opened: Event | None = None) -> Incoming | None:
        """What an event is; None for nothing. `opened` is an encrypted event as it was written.

        Raises KeyError, TypeError or ValueError for what is not as its kind should be.
        """
        told = opened or event
        why = "" if opened is None or opened[VERIFIED] else decode.UNVERIFIED
        kind = told.get("type")
        if kind == MESSAGE:
            if opened is None and await self._crypto.encrypted(room):
                why = decode.IN_THE_CLEAR  # the homeserver could write that in anybody's name
            return await self._message(room, told, why)
        if kind == REACTION:
            return await self._reaction(room, told)
        if kind == "m.room.redaction":
            return await self._redaction(room, told)
        return None

    async def happened(self, room: str, seconds: float) -> list[Incoming]:
        """What people wrote and changed there in the last so many seconds, oldest first."""
        found: list[Incoming] = []
        events = self._events.backwards(room, only={"types": [MESSAGE, ENCRYPTED, REACTION]})
        async with aclosing(events) as told:
            async for event in told:
                if decode.age(event, self._account.wall()) > seconds:
                    break
                if (made := await self._past(room, event)) is not None:
                    found.append(made)
        return found[::-1]

    async def remember(self, made: Reaction) -> None:
        """Keep which reaction this is, for when it is taken back."""
        told = json.dumps([made.channel, made.message_id, made.emoji, made.user])
        self._reactions.put(made.event_id, told)
        lasting = "".join(c for c in made.emoji if c not in "\ufe0e\ufe0f") in _LASTING
        if lasting and made.user in self._account.people and self.house is not None:
            await self.house.keep(f"reaction:{made.event_id}", told)

    # -- inside -----------------------------------------------------------------------------------

    async def _message(self, room: str, event: Event, why: str) -> Incoming | None:
        relation = relation_of(event)
        if relation.get("rel_type") != "m.replace":
            self._authors.put(str(event["event_id"]), str(event["sender"]))
            return decode.message(event, room, self.reading(), why)
        # Homeservers pass on anybody's edit of anybody's message; only the author's counts ("Event replacements").
        if await self._author(room, str(relation["event_id"])) != event["sender"]:
            return None
        return decode.edit(event, room, self.reading(), why)

    async def _author(self, room: str, ident: str) -> str:
        known = self._authors.get(ident)
        if known is None:
            found = await self._events.get(room, ident)
            known = str(found["sender"]) if found is not None else ""
            self._authors.put(ident, known)
        return known

    async def _reaction(self, room: str, event: Event) -> Incoming | None:
        made = decode.reaction(event, room, self.reading())
        if made is None or not is_tap(made.emoji):
            return made
        target = await self._events.get(room, made.message_id)
        if target is None or target.get("sender") != self._bot:
            return made
        content = current(target)
        tap = taps_of(content).pressed(made.emoji)
        return self._press(made, tap.value, content, root_of(target)) if tap is not None else made

    def _press(self, made: Reaction, value: str, content: Mapping[str, Any], thread: str | None) -> Press:
        """A tap; under a direct message about a room it counts as made there."""
        about = content.get(ABOUT)
        channel = made.channel
        if isinstance(about, dict) and isinstance(about.get("room"), str):
            channel, thread = about["room"], about.get("thread")
        return Press(
            platform=made.platform,
            event_id=made.event_id,
            channel=channel,
            user=made.user,
            age=made.age,
            barred=made.barred,
            message_id=made.message_id,
            value=value,
            thread=thread,
        )

    async def _redaction(self, room: str, event: Event) -> Incoming | None:
        """A reaction taken back, by whomever: it counts no more for who had added it. Else a message that is gone."""
        target = decode.redaction_target(event)
        known = self._reactions.get(target)
        if known is None and self.house is not None:
            known = await self.house.recall(f"reaction:{target}")
        if known is not None:
            where, message_id, emoji, user = json.loads(known)
            return self._taken_back(event, room, where, message_id, emoji, user)
        found = await self._events.get(room, target) if target else None
        if found is None or found.get("sender") == self._bot:
            return None
        if found.get("type") not in (MESSAGE, ENCRYPTED) or relation_of(found).get("rel_type") == "m.replace":
            return None
        return decode.deletion(event, room, self.reading())

    def _taken_back(
        self, event: Event, room: str, where: str, message_id: str, emoji: str, user: str
    ) -> Reaction | None:
        if where != room:
            return None
        reading = self.reading()
        return Reaction(
            platform=decode.NAME,
            event_id=str(event["event_id"]),
            channel=room,
            user=user,
            age=decode.age(event, reading.now),
            barred=reading.barred(user),
            message_id=message_id,
            emoji=emoji,
            added=False,
        )

    async def _past(self, room: str, event: Event) -> Incoming | None:
        if event.get("sender") == self._bot or decode.redacted(event):
            return None
        try:
            if event.get("type") != ENCRYPTED:
                return await self.read(room, event)
            opened = await self._crypto.unseal(room, event)
            if opened is None:
                return decode.unreadable(event, room, self.reading())
            return await self.read(room, event, opened)
        except UNREADABLE as error:
            _log.warning("what stands on Matrix could not be read", error=f"{type(error).__name__}: {error}")
            return None
        except DeliveryError as error:
            _log.warning("what stands on Matrix could not be looked up", error=str(error))
            return None
