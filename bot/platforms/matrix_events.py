"""Events of Matrix rooms, read and sent: in the clear or encrypted, whichever the room is."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol, TypeVar

from bot.chat import RetryLaterError
from bot.platforms.matrix_client import V1, V3, MatrixClient, RefusedCallError
from bot.platforms.matrix_content import MARK

PAGE, FIND_PAGES, MOST_PAGES = 100, 5, 100
MESSAGE, ENCRYPTED, REACTION = "m.room.message", "m.room.encrypted", "m.reaction"
COSMETIC, PLAIN, LOUD = 0, 1, 2  # what goes first where the homeserver makes the bot wait

Event = dict[str, Any]
_Found = TypeVar("_Found")


class Cipher(Protocol):
    """What encrypts and decrypts."""

    async def encrypted(self, room: str) -> bool:
        """Whether what is said in a room is encrypted."""
        ...

    async def seal(self, room: str, kind: str, content: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Type and content of the encrypted event."""
        ...

    async def unseal(self, room: str, event: Event) -> Event | None:
        """The event as it was before it was encrypted; None where its key is missing."""
        ...


class Events:
    """What stands in rooms. Events are Matrix's own ("Client-Server API", room event format), decrypted."""

    def __init__(
        self, api: MatrixClient, cipher: Cipher, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._cipher = cipher
        self._monotonic = monotonic
        # By urgency: until when what had to wait goes before what is less urgent, and how long it was to wait.
        self._waiting = [(0.0, 0.0)] * 3
        self.spoken: set[str] = set()  # rooms that something was sent to

    async def get(self, room: str, ident: str) -> Event | None:
        """An event; None where there is none, or none that the bot may see."""
        try:
            found = await self._api.call("GET", V3, "rooms", room, "event", ident)
        except RefusedCallError as refusal:
            if refusal.missing or refusal.status == 403:
                return None
            raise
        return await self.opened(room, found)

    async def opened(self, room: str, event: Event) -> Event:
        """The event decrypted, its newest replacement, too, where the keys are there; else as it came."""
        if event.get("type") == ENCRYPTED:
            event = await self._cipher.unseal(room, event) or event
        edit = replacement(event)
        if edit is not None and edit.get("type") == ENCRYPTED:
            opened = await self._cipher.unseal(room, edit)
            if opened is not None:
                event["unsigned"]["m.relations"]["m.replace"] = opened
        return event

    async def send(
        self,
        room: str,
        kind: str,
        content: dict[str, Any],
        transaction: str = "",
        *,
        urgency: int | None = None,
    ) -> str:
        """Send an event and return its id; the same transaction again returns the id of then.

        Where the bot is not in the room, it joins once, if it may.
        """
        urgency = urgency_of(kind, content) if urgency is None else urgency
        self._gate(urgency)
        if kind != REACTION and await self._cipher.encrypted(room):  # reactions are never encrypted
            kind, content = await self._cipher.seal(room, kind, content)
        return await self.counted(urgency, lambda: self._sent(room, kind, content, transaction))

    async def counted(self, urgency: int, call: Callable[[], Awaitable[_Found]]) -> _Found:
        """Make a call that the homeserver counts; RetryLaterError also while something more urgent waits."""
        self._gate(urgency)
        try:
            found = await call()
        except RetryLaterError as wait:  # it will be tried again then, and is given as long for that
            self._waiting[urgency] = (self._monotonic() + 2 * wait.seconds, wait.seconds)
            raise
        self._waiting[urgency] = (0.0, 0.0)
        return found

    async def _sent(self, room: str, kind: str, content: dict[str, Any], transaction: str) -> str:
        path = (V3, "rooms", room, "send", kind, transaction or uuid.uuid4().hex)
        try:
            answer = await self._api.call("PUT", *path, body=content)
        except RefusedCallError as refusal:
            if refusal.code != "M_FORBIDDEN" or not await self._joined(room):
                raise
            answer = await self._api.call("PUT", *path, body=content)
        self.spoken.add(room)
        return str(answer["event_id"])

    async def redact(self, room: str, ident: str, *, urgency: int = PLAIN) -> None:
        """Take an event back."""
        path = (V3, "rooms", room, "redact", ident, uuid.uuid4().hex)
        await self.counted(urgency, lambda: self._api.call("PUT", *path))

    async def state(self, room: str, kind: str, key: str = "") -> dict[str, Any] | None:
        """The content of a state event; None where there is none, or the bot is not in the room."""
        try:
            return await self._api.call("GET", V3, "rooms", room, "state", kind, key)
        except RefusedCallError as refusal:
            if refusal.missing or refusal.status == 403:
                return None
            raise

    async def put_state(self, room: str, kind: str, content: Mapping[str, Any], key: str = "") -> None:
        """Set a state event; what is set already is not sent again."""
        if await self.state(room, kind, key) != content:
            path = (V3, "rooms", room, "state", kind, key)
            await self.counted(COSMETIC, lambda: self._api.call("PUT", *path, body=content))

    async def related(self, room: str, ident: str, relation: str, kind: str) -> list[Event]:
        """Every event that relates so to another one now, oldest first."""
        path = (V1, "rooms", room, "relations", ident, relation, kind)
        found: list[Event] = []
        pages = self._api.pages(*path, most=MOST_PAGES, query={"limit": str(PAGE), "dir": "f"})
        async with aclosing(pages) as told:
            async for page in told:
                found += page
        return found

    async def edits(self, room: str, ident: str) -> list[Event]:
        """Every edit of a message, oldest first, encrypted or not."""
        path = (V1, "rooms", room, "relations", ident, "m.replace")
        found: list[Event] = []
        pages = self._api.pages(*path, most=MOST_PAGES, query={"limit": str(PAGE), "dir": "f"})
        async with aclosing(pages) as told:
            async for page in told:
                found += page
        return found

    @property
    def me(self) -> str:
        """The bot's own account."""
        return self._api.user

    async def backwards(
        self,
        room: str,
        *,
        most: int = MOST_PAGES,
        since: str | None = None,
        until: str | None = None,
        only: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """A room's events, newest first, from one point of the sync (`since`) back to another (`until`)."""
        query = {"dir": "b", "limit": str(PAGE), "from": since, "to": until, "filter": only}
        pages = self._api.pages(V3, "rooms", room, "messages", most=most, query=query)
        async with aclosing(pages) as told:
            async for page in told:
                for event in page:
                    yield event

    async def find(self, room: str, key: str) -> Event | None:
        """The bot's newest message with that key, among its newest 500 there."""
        only = {"senders": [self._api.user], "types": [MESSAGE, ENCRYPTED]}
        events = self.backwards(room, most=FIND_PAGES, only=only)
        async with aclosing(events) as told:
            async for event in told:
                opened = await self.opened(room, event)
                if key_of(opened) == key and relation_of(opened).get("rel_type") != "m.replace":
                    return opened
        return None

    # -- inside -----------------------------------------------------------------------------------

    def _gate(self, urgency: int) -> None:
        """RetryLaterError while something more urgent waits: a homeserver counts all that an account sends."""
        now = self._monotonic()
        for until, seconds in self._waiting[urgency + 1 :]:
            if until > now:
                raise RetryLaterError(min(seconds, until - now))

    async def _joined(self, room: str) -> bool:
        """Whether the bot is in the room now, and was not before."""
        member = await self.state(room, "m.room.member", self._api.user)
        if member is not None and member.get("membership") == "join":
            return False
        try:
            await self._api.call("POST", V3, "join", room)
        except RefusedCallError:
            return False  # what was wanted fails with the reason of its own
        return True


def urgency_of(kind: str, content: Mapping[str, Any]) -> int:
    """How urgent an event is: LOUD calls somebody (m.text), COSMETIC are edits and reactions."""
    if kind == REACTION or relation_of({"content": content}).get("rel_type") == "m.replace":
        return COSMETIC
    return LOUD if content.get("msgtype") == "m.text" else PLAIN


def transaction(key: str) -> str:
    """The transaction id of a key: the same key is sent once ("Transaction identifiers")."""
    return f"wb-{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def content_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event's content; empty for what is malformed."""
    found = event.get("content")
    return found if isinstance(found, dict) else {}


def relation_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """What an event relates to; empty where it relates to nothing."""
    found = content_of(event).get("m.relates_to")
    return found if isinstance(found, dict) else {}


def replacement(event: Mapping[str, Any]) -> Event | None:
    """The newest edit of an event that the homeserver told with it ("Aggregations of child events")."""
    relations = (event.get("unsigned") or {}).get("m.relations")
    found = relations.get("m.replace") if isinstance(relations, dict) else None
    return found if isinstance(found, dict) and found.get("sender") == event.get("sender") else None


def current(event: Mapping[str, Any]) -> dict[str, Any]:
    """What a message shows now: the content of its newest edit, else its own."""
    edit = replacement(event)
    new = content_of(edit).get("m.new_content") if edit is not None else None
    return new if isinstance(new, dict) else content_of(event)


def root_of(event: Mapping[str, Any]) -> str | None:
    """The root of the thread that an event stands in, or None."""
    relation = relation_of(event)
    return (
        str(relation["event_id"])
        if relation.get("rel_type") == "m.thread" and "event_id" in relation
        else None
    )


def key_of(event: Mapping[str, Any]) -> str | None:
    """The key that the bot posted a message with."""
    mark = content_of(event).get(MARK)
    return mark.get("key") if isinstance(mark, dict) else None
