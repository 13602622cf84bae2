"""What people find in a room: topic, links, pins, one another; and whether it is closed for writing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from bot.chat import DeliveryError
from bot.platforms.matrix_client import V3, MatrixClient, RefusedCallError
from bot.platforms.matrix_events import PLAIN, Events, transaction
from bot.platforms.matrix_rooms import IN, ROOM, Rooms
from bot.platforms.matrix_text import told_plainly

_TOPIC, _LEVELS, _PINNED = "m.room.topic", "m.room.power_levels", "m.room.pinned_events"
_CLOSED = "🔒 closed"
_LONGEST_TOPIC = 1_000
_OPEN, _SHUT = 0, 100  # the level that writing takes


class Furniture:
    """Furnishes rooms: those that the bot made, and with care those of people."""

    def __init__(self, api: MatrixClient, events: Events, rooms: Rooms) -> None:
        self._api = api
        self._events = events
        self._rooms = rooms
        self._closed: dict[str, bool] = {}

    async def head(self, room: str, topic: str | None, links: tuple[tuple[str, str], ...]) -> None:
        """Set the topic (escaped text; None: as it is), and put addresses where people find them.

        In a room of the bot's own both stand in its topic, in others the links in a message.
        """
        told = told_plainly(topic) if topic is not None else None
        kept = await self._own(room)
        if kept is not None:
            asked = {"topic": told, "links": [list(link) for link in links] or None}
            new = {name: value for name, value in asked.items() if value is not None}
            await self._furnish(room, {**kept, **new})
            return
        if told is not None:
            await self._events.put_state(room, _TOPIC, {"topic": told[:_LONGEST_TOPIC]})
        if links:
            shown = "\n".join(f"{title}: {address}" for title, address in links)
            body = {"msgtype": "m.notice", "body": shown, "m.mentions": {}}
            await self._events.send(room, "m.room.message", body, transaction(f"links {shown}"))

    async def invite(self, room: str, users: Iterable[str]) -> None:
        """Let people in, each who is not; raises the first refusal, after the others have been let in."""
        failed: RefusedCallError | None = None
        for user in dict.fromkeys(users):
            member = await self._events.state(room, "m.room.member", user)
            if user == self._api.user or (member or {}).get("membership") in IN:
                continue
            try:
                await self._events.counted(PLAIN, partial(self._invite, room, user))
            except RefusedCallError as refusal:
                member = await self._events.state(room, "m.room.member", user)
                if (member or {}).get("membership") not in IN:  # who came in meanwhile cannot be invited
                    failed = failed or refusal
        if failed is not None:
            raise failed

    async def _invite(self, room: str, user: str) -> None:
        await self._api.call("POST", V3, "rooms", room, "invite", body={"user_id": user})

    async def pin(self, room: str, message_id: str) -> None:
        """Pin a message, unless it is."""
        pinned = (await self._events.state(room, _PINNED) or {}).get("pinned")
        known = [str(ident) for ident in pinned] if isinstance(pinned, list) else []
        if message_id not in known:
            await self._events.put_state(room, _PINNED, {"pinned": [*known, message_id]})

    async def writable(self, room: str) -> None:
        """DeliveryError for a room that was closed: its levels hold back everybody but the bot itself."""
        if room not in self._closed:
            self._closed[room] = bool((await self._events.state(room, ROOM) or {}).get("closed"))
        if self._closed[room]:
            raise DeliveryError(f"#{await self._rooms.title(room)} is closed")

    def noticed(self, room: str, event: Mapping[str, Any]) -> None:
        """Learn from an event that a room was closed or opened again, by another process perhaps."""
        if event.get("type") == ROOM and event.get("sender") == self._api.user:
            self._closed[room] = bool((event.get("content") or {}).get("closed"))

    async def shut(self, room: str, *, closed: bool) -> None:
        """Close a room for writing, or open it again: Matrix has no archive."""
        levels = await self._api.call("GET", V3, "rooms", room, "state", _LEVELS, "")
        await self._events.put_state(room, _LEVELS, {**levels, "events_default": _SHUT if closed else _OPEN})
        kept = await self._own(room)
        if kept is not None:
            await self._furnish(room, {**kept, "closed": closed})
        else:
            await self._events.put_state(room, ROOM, {"closed": closed})
        self._closed[room] = closed

    # -- inside -----------------------------------------------------------------------------------

    async def _own(self, room: str) -> dict[str, Any] | None:
        """What the bot keeps in a room that it made; None for a room of people's, whose topic is theirs."""
        kept = await self._events.state(room, ROOM)
        return kept if kept is not None and "key" in kept else None

    async def _furnish(self, room: str, kept: Mapping[str, Any]) -> None:
        """Keep what a room of the bot's own is about, and show it in its topic."""
        await self._events.put_state(room, ROOM, kept)
        links = [f"{title}: {address}" for title, address in kept.get("links") or ()]
        parts = [_CLOSED if kept.get("closed") else "", str(kept.get("topic") or ""), *links]
        topic = " · ".join(part for part in parts if part)
        await self._events.put_state(room, _TOPIC, {"topic": topic[:_LONGEST_TOPIC]})
