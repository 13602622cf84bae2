"""What was scrubbed is taken out of the chats: what the bot said is said otherwise, what people wrote is deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from sqlalchemy import Row, select

from bot import store
from bot.chat import Button, Content, DeliveryError, Platform
from bot.copies import Copies
from bot.ways import Spot

ERASED = "This answer was erased with the message that asked for it."
TIMES = 9  # so often something can be said anew, at most

Moved = tuple[Row[Any], str, str]  # the row of a card, its old message and its new one


class Amends:
    """Amends what stands in chats; `content` makes what a platform shows."""

    def __init__(
        self,
        log_store: store.Store,
        platforms: Mapping[str, Platform],
        copies: Copies,
        content: Callable[..., Content],
    ) -> None:
        self._store = log_store
        self._platforms = platforms
        self._copies = copies
        self._content = content

    async def said(self, key: str, spot: Spot) -> Moved | None:
        """Have what was posted with a key show what its row says now; an answer, which has no row, goes.

        Where an edit would leave it readable it is said anew, and the old message goes: then the row of a card is
        returned, with both messages.
        """
        platform, ident = self._platforms[spot.platform], key.removeprefix("wb-")
        row = await self._row(int(ident)) if ident.isdigit() else None
        payload = orjson.loads(row.payload) if row is not None else await self._tombstone(spot, ident)
        thread = await self._copies.thread(payload, spot)
        message_id, number = await self._last(platform, spot.channel, key, thread)
        if message_id is None:
            return None
        buttons = tuple(Button(*b) for b in payload["buttons"])
        content = self._content(payload["template"], payload["data"], platform, buttons, payload["card"])
        if not platform.remembers:
            await platform.edit(spot.channel, message_id, content)
            return None
        again = await platform.post(spot.channel, content, key=f"{key}-{number + 1}", thread=thread)
        if not await platform.erase(spot.channel, message_id):
            raise DeliveryError(f"the message {message_id} of mine could not be erased")
        return (row, message_id, again) if row is not None and row.card else None

    async def earlier(self, spot: Spot, message_id: str) -> None:
        """Take away what a card showed before."""
        platform = self._platforms.get(spot.platform)
        if platform is not None and platform.remembers:
            await platform.erase(spot.channel, message_id, earlier=True)

    async def erase(self, spot: Spot, data: Mapping[str, Any], user: str | None) -> None:
        """Take a person's message away, and tell who asked for that (`user`) what is left of it."""
        platform = self._platforms[spot.platform]
        left = []
        if not await platform.erase(spot.channel, data["message_id"]):
            left.append("I may not delete the message here. Delete it in the chat, too.")
        if data["files"]:
            left.append("The chat's server may keep its file: have its administrator delete that.")
        if left and user is not None:
            content = self._content("sentence", {"text": " ".join(left)}, platform)
            await platform.whisper(spot.channel, user, content)

    async def _row(self, number: int) -> Row[Any] | None:
        query = select(store.outbox).where(store.outbox.c.id == number)
        return await self._store.read(lambda connection: connection.execute(query).first())

    async def _tombstone(self, spot: Spot, ident: str) -> dict[str, Any]:
        """What stands in the place of an answer, in the thread of the message that asked for it."""
        t = store.messages
        query = select(t.c.thread).where(
            t.c.platform == spot.platform,
            t.c.channel == spot.channel,
            t.c.message_id == ident.removeprefix("answer-"),
        )
        asked = await self._store.read(lambda connection: connection.execute(query).first())
        return {
            "template": "sentence",
            "data": {"text": ERASED},
            "buttons": [],
            "card": None,
            "thread": asked.thread if asked is not None else None,
        }

    async def _last(
        self, platform: Platform, channel: str, key: str, thread: str | None
    ) -> tuple[str | None, int]:
        """The message that was posted with a key, or in its place after a scrub; and which one in order that is."""
        for number in range(1, TIMES if platform.remembers else 2):
            name = key if number == 1 else f"{key}-{number}"
            if (found := await platform.find(channel, name, thread=thread)) is not None:
                return found, number
        return None, 0
