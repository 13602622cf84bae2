"""What an event of a room is: what decoding alone cannot tell is looked up, and nobody's word is taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

import structlog

from bot.chat import DeliveryError, Edit, House, Incoming, Press, Reaction, Request
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
from bot.recent import Recent

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
    danger_by_reaction: bool


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
        self._roots: Recent[str] = (
            Recent()
        )  # event id that was replied to → the root of its thread, or nothing

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
        if opened is not None:
            # Only messages are encrypted: what says that it is something else within was made so by hand.
            proved = bool(opened[VERIFIED])
            return await self._message(room, opened, "", proved) if opened.get("type") == MESSAGE else None
        kind = event.get("type")
        if kind == MESSAGE:
            # In an encrypted room the homeserver could write that in anybody's name.
            why = decode.IN_THE_CLEAR if await self._crypto.encrypted(room) else ""
            return await self._message(room, event, why, False)
        if kind == REACTION:
            return await self._reaction(room, event)
        if kind == "m.room.redaction":
            return await self._redaction(room, event)
        return None

    async def happened(self, room: str, seconds: float) -> list[Incoming]:
        """What people wrote and changed there in the last so many seconds, oldest first."""
        found: list[Incoming] = []
        edits: dict[str, str] = {}  # message → what it says now: the newest edit is met first
        events = self._events.backwards(room, only={"types": [MESSAGE, ENCRYPTED, REACTION]})
        async with aclosing(events) as told:
            async for event in told:
                if decode.age(event, self._account.wall()) > seconds:
                    break
                made = await self._past(room, event)
                if isinstance(made, Edit):
                    edits.setdefault(made.message_id, made.text)
                elif isinstance(made, Request) and made.message_id in edits:
                    made = replace(made, text=edits[made.message_id])
                if made is not None:
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

    async def _message(self, room: str, event: Event, why: str, proved: bool) -> Incoming | None:
        relation = relation_of(event)
        if relation.get("rel_type") != "m.replace":
            self._authors.put(str(event["event_id"]), str(event["sender"]))
            made = decode.message(event, room, self.reading(), why, assured=proved)
            thread = await self._replied_thread(room, relation) if made is not None else None
            return replace(made, thread=thread) if made is not None and thread is not None else made
        # Homeservers pass on anybody's edit of anybody's message; only the author's counts ("Event replacements").
        if why or await self._author(room, str(relation["event_id"])) != event["sender"]:
            return None
        return decode.edit(event, room, self.reading())

    async def _replied_thread(self, room: str, relation: Mapping[str, Any]) -> str | None:
        """The thread that a reply belongs to: clients without threads answer in it by a plain reply ("Threading")."""
        target = relation.get("m.in_reply_to")
        ident = target.get("event_id") if isinstance(target, dict) else None
        if "rel_type" in relation or not isinstance(ident, str):
            return None
        root = self._roots.get(ident)
        if root is None:
            found = await self._events.get(room, ident)
            root = (root_of(found) if found is not None else None) or ""
            self._roots.put(ident, root)
        return root or None

    async def _author(self, room: str, ident: str) -> str:
        known = self._authors.get(ident)
        if known is None:
            found = await self._events.get(room, ident)
            known = str(found["sender"]) if found is not None else ""
            self._authors.put(ident, known)
        return known

    async def _reaction(self, room: str, event: Event) -> Incoming | None:
        assured = self._account.danger_by_reaction
        made = decode.reaction(event, room, self.reading(), assured=assured)
        if made is None or not is_tap(made.emoji):
            return made
        target = await self._events.get(room, made.message_id)
        if target is None or target.get("sender") != self._bot:
            return made
        content = current(target)
        tap = taps_of(content).pressed(made.emoji)
        if tap is None:
            return made
        press = self._press(made, tap.value, content, root_of(target))
        return press if await self._may_press(press, room) else None

    async def _may_press(self, press: Press, room: str) -> bool:
        """Whether somebody is where their tap counts: others may have come into a room of direct messages."""
        if press.channel == room:
            return True
        members = await self._rooms.members(press.channel)
        return members is None or press.user in members

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
            assured=made.assured,
            message_id=made.message_id,
            value=value,
            thread=thread,
        )

    async def _redaction(self, room: str, event: Event) -> Incoming | None:
        """A reaction taken back, by whomever: it counts no more for who had added it. Else a message that is gone."""
        target = decode.redaction_target(event)
        found = await self._events.get(room, target) if target else None
        if found is not None and not decode.redacted(found):
            return None  # anybody can write that they take something back; the homeserver did not do it
        known = self._reactions.get(target)
        if known is None and self.house is not None:
            known = await self.house.recall(f"reaction:{target}")
        if known is not None:
            where, message_id, emoji, user = json.loads(known)
            return self._taken_back(event, room, where, message_id, emoji, user)
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
