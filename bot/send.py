"""One row of the outbox on its way: a message, a page, an edit, a reaction, or what is done to a channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from sqlalchemy import Row

from bot import store
from bot.amend import Amends
from bot.chat import Button, DeliveryError, RetryLaterError
from bot.copies import Copies
from bot.opening import NotPostedError, Openings
from bot.outward import Outward
from bot.pager import Pager
from bot.shown_cards import ShownCards
from bot.spots import Spots
from bot.ways import Spot, incident_of, scope
from incidents import events as e

SILENT = frozenset({"arrange", "archive", "edit", "erase", "react"})  # ops that leave no message
FROZEN = frozenset({"incident", "approval"})  # cards made from the state when they are delivered


class Sender:
    """Delivers single rows; `found` is told of cards that an earlier try had posted."""

    def __init__(self, out: Outward, pager: Pager, cards: ShownCards, found: Callable[[str], object]) -> None:
        self._out = out
        self._pager = pager
        self._cards = cards
        self._spots = Spots(out)
        self._openings = Openings(out, self._spots)
        self._copies = Copies(out.store)
        self._amends = Amends(out.store, out.platforms, self._copies, out.content)
        self._found = found

    async def row(self, row: Row[Any]) -> list[tuple[Spot, str]]:
        """Deliver a row; where its message stands now, for those that are messages."""
        payload = orjson.loads(row.payload)
        data = payload["data"]
        if row.op == "open":
            await self._openings.open(row, data)
        elif row.op == "contact":
            await self._contact(row, payload)
        elif row.op == "whisper":
            await self._whisper(row, payload)
        elif row.op == "amend":
            await self._amend(row, await self._spots.of(row.channel))
        elif row.op in SILENT:
            for spot in await self._spots.of(row.channel):
                await self._do(row, payload, spot)
        else:
            return [
                (spot, await self._post(row, payload, spot)) for spot in await self._spots.of(row.channel)
            ]
        return []

    async def _do(self, row: Row[Any], payload: Mapping[str, Any], spot: Spot) -> None:
        """What is no message of its own."""
        data = payload["data"]
        if row.op == "edit":
            await self._edit(row, payload, spot)
        elif row.op == "react":
            await self._react(row, spot, data)
        elif row.op == "erase":
            user = self._out.user(str(data["person"]), self._out.platforms[spot.platform])
            await self._amends.erase(spot, data, user)
        else:
            wanted = data if row.op == "arrange" else {"archive": True}
            await self._openings.arrange_or_move(row, spot, wanted)

    async def _post(self, row: Row[Any], payload: Mapping[str, Any], spot: Spot) -> str:
        platform, key = self._out.platforms[spot.platform], f"wb-{row.id}"
        thread = await self._copies.thread(payload, spot)
        known = await platform.find(spot.channel, key, thread=thread) if row.attempts > 0 else None
        message_id = known or await self._posted_now(row, payload, spot)
        if row.card:
            await self._out.store.run(lambda unit: remember(unit, row, [(spot, message_id)]))
            if known is not None:
                self._found(str(row.card))
        # Also under what was found: what came in between may have come before these, and twice does no harm.
        for emoji in payload["seeds"]:
            await platform.react(spot.channel, message_id, emoji)
        if payload["data"].get("pin"):
            await platform.arrange(spot.channel, pin=message_id)
        return message_id

    async def _posted_now(self, row: Row[Any], payload: Mapping[str, Any], spot: Spot) -> str:
        platform = self._out.platforms[spot.platform]
        template, data = payload["template"], payload["data"]
        buttons = tuple(Button(*b) for b in payload["buttons"])
        if payload["card"] in FROZEN and row.card:
            card = await self._cards.now(row.card)
            if card is not None:
                template, data, buttons = card.template, {**data, **card.data}, card.buttons
        content = self._out.content(template, data, platform, buttons, payload["card"])
        thread = await self._copies.thread(payload, spot)
        try:
            return await platform.post(spot.channel, content, key=f"wb-{row.id}", thread=thread)
        except RetryLaterError as error:
            raise NotPostedError(error.seconds) from error

    async def _amend(self, row: Row[Any], spots: list[Spot]) -> None:
        """What was said once, or a card, shows what it says now, and nothing of before."""
        ref = str(row.card)
        if not ref.startswith("wb-"):
            await self._cards.refresh(ref, scope(row.channel)[1])
            for spot, message_id in await self._cards.posted(ref):
                await self._amends.earlier(spot, message_id)
            return
        for spot in spots:
            if (anew := await self._amends.said(ref, spot)) is not None:
                await self._moved(spot, *anew)

    async def _moved(self, spot: Spot, card: Row[Any], old: str, new: str) -> None:
        """A card stands in another message now."""
        t = store.messages
        was = t.update().where(
            t.c.platform == spot.platform, t.c.channel == spot.channel, t.c.message_id == old
        )

        def unit(u: store.Unit) -> None:
            u.execute(was.values(card=None))
            remember(u, card, [(spot, new)])

        await self._out.store.run(unit)

    async def _contact(self, row: Row[Any], payload: Mapping[str, Any]) -> None:
        _, person, kind = row.channel.split(":", 2)
        settings = self._out.desk.settings.people.get(person)
        found = next((a for k, a in settings.contacts if k == kind), None) if settings else None
        if found is None:
            raise DeliveryError(f"{person} has no {kind}")
        text = self._out.renderer.plain(
            payload["template"], {"now": self._out.clock.now(), **payload["data"]}
        )
        await self._pager.send(person, kind, found, text)

    async def _whisper(self, row: Row[Any], payload: Mapping[str, Any]) -> None:
        person = str(payload["data"]["person"])
        for spot in await self._spots.of(row.channel):
            platform = self._out.platforms[spot.platform]
            user = self._out.user(person, platform)
            if user is not None:
                buttons = tuple(Button(*b) for b in payload["buttons"])
                content = self._out.content(payload["template"], payload["data"], platform, buttons)
                thread = await self._copies.thread(payload, spot)
                await platform.whisper(spot.channel, user, content, thread=thread)

    async def _react(self, row: Row[Any], spot: Spot, data: Mapping[str, Any]) -> None:
        """Under the message itself, or under its copy in another chat."""
        ident: str | None = str(data["message_id"])
        if (number := incident_of(row.channel)) is not None and scope(row.channel)[1] is not None:
            ident = await self._copies.anywhere(await self._out.incident(number), spot, str(ident))
        if ident is not None:
            await self._out.platforms[spot.platform].react(spot.channel, ident, data["emoji"])

    async def _edit(self, row: Row[Any], payload: Mapping[str, Any], spot: Spot) -> None:
        """Change the copy of what somebody changed; what was never said here is left out."""
        ident = await self._copies.named(str(row.card), spot)
        if ident is not None:
            platform = self._out.platforms[spot.platform]
            content = self._out.content(payload["template"], payload["data"], platform)
            await platform.edit(spot.channel, ident, content)


def remember(unit: store.Unit, row: Row[Any], spots: list[tuple[Spot, str]]) -> None:
    """Which message is which card, so that votes on it and edits of it find the other."""
    for spot, message_id in spots:
        key = {"platform": spot.platform, "channel": spot.channel, "message_id": message_id}
        unit.upsert(store.messages, key, {"author": e.BOT, "card": row.card, "thread": spot.thread})
