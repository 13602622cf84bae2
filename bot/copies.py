"""Which message in one chat is the copy of which in another: for edits, threads, reactions and pins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from bot import store
from bot.chat import address
from bot.ways import Spot
from incidents.incident import Incident

_COPY = "copy|"


def copy_of(channel: str, message_id: str) -> str:
    """What copies of a message are remembered by; `channel` is its address."""
    return f"{_COPY}{channel}|{message_id}"


def original(card: str | None) -> tuple[str, str] | None:
    """Address and id of the message that something is a copy of; None for what is none."""
    if card is None or not card.startswith(_COPY):
        return None
    channel, _, message_id = card.removeprefix(_COPY).rpartition("|")
    return channel, message_id


@dataclass(frozen=True, slots=True)
class Copies:
    """Looks counterparts up among the messages that the log remembers."""

    store: store.Store

    async def thread(self, payload: Mapping[str, Any], spot: Spot) -> str | None:
        """Where a row is said: its thread, in another chat the counterpart of that, else the incident's own."""
        thread, home = payload["thread"], payload.get("home")
        if thread and home:
            thread = await self.store.read(lambda c: _counterpart(c, home, thread, spot))
        return thread or spot.thread

    async def named(self, ref: str, spot: Spot) -> str | None:
        """The message that is remembered by `ref` in a channel, or None."""
        return await self.store.read(lambda connection: _named(connection, ref, spot))

    async def anywhere(self, incident: Incident, spot: Spot, message_id: str) -> str | None:
        """The counterpart of a message that stands in one of an incident's channels, or None."""

        def look(connection: Connection) -> str | None:
            for channel in incident.channels:
                home = address(channel.platform, channel.id)
                if _card(connection, home, message_id) is not None:
                    return _counterpart(connection, home, message_id, spot)
            return None

        return await self.store.read(look)


def _counterpart(connection: Connection, home: str, message_id: str, spot: Spot) -> str | None:
    """What stands in `spot` for a message of another channel: the original, a copy of it, or the same card."""
    here = address(spot.platform, spot.channel)
    if home == here:
        return message_id
    card = _card(connection, home, message_id)
    if card is None:
        return None
    if (first := original(card)) is not None and first[0] == here:
        return first[1]
    return _named(connection, card or copy_of(home, message_id), spot)


def _card(connection: Connection, channel: str, message_id: str) -> str | None:
    """What a message is, by its channel's address: "" where nothing special, None where it is not known."""
    t, (platform, _, ident) = store.messages, channel.partition(":")
    query = select(t.c.card).where(
        t.c.platform == platform, t.c.channel == ident, t.c.message_id == message_id
    )
    row = connection.execute(query).first()
    return (row.card or "") if row is not None else None


def _named(connection: Connection, ref: str, spot: Spot) -> str | None:
    t = store.messages
    query = select(t.c.message_id).where(
        t.c.platform == spot.platform, t.c.channel == spot.channel, t.c.card == ref
    )
    row = connection.execute(query.order_by(t.c.id).limit(1)).first()
    return row.message_id if row is not None else None
