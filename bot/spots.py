"""Where in the chats a channel of the outbox is: incident:42, ops, team:realtime, person:alice, or an address."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from bot import store
from bot.outward import Outward
from bot.ways import Spot, scope
from incidents.incident import Incident


class NotYetError(Exception):
    """The incident has no channel yet."""


@dataclass(frozen=True, slots=True)
class Spots:
    """Finds places. What an incident is said in is known once its channel is there."""

    _out: Outward

    async def of(self, channel: str) -> list[Spot]:
        """The real places of a channel; NotYetError while an incident has none."""
        base, chat = scope(channel)
        kind, _, rest = base.partition(":")
        chats = [name for name in self._out.platforms if chat in (None, name)]
        if kind == "incident":
            incident = await self._out.incident(int(rest))
            if await self._opens(incident, channel):
                raise NotYetError(f"INC-{rest} has no channel yet")
            return [
                Spot(c.platform, c.id, c.thread, c.borrowed) for c in incident.channels if c.platform in chats
            ]
        if kind == "person":
            return [
                Spot(name, await self._out.platforms[name].direct(user))
                for name in chats
                if (user := self._out.user(rest, self._out.platforms[name]))
            ]
        if kind in ("ops", "team"):
            self._out.places.sure(chats)
            found = self._out.places.team(rest) if kind == "team" else self._out.places.operations()
            return [Spot(platform, ident) for platform, ident in found if platform in chats]
        return [Spot(kind, rest)]

    async def _opens(self, incident: Incident, channel: str) -> bool:
        """Whether the incident's channel, or that on one chat, is still to be made."""
        chat = scope(channel)[1]
        if chat is None:
            return not incident.channels
        if chat in {c.platform for c in incident.channels}:
            return False
        t = store.outbox
        waiting = (t.c.channel == channel, t.c.op == "open", t.c.sent_at.is_(None), t.c.failed.is_(None))
        query = select(t.c.id).where(*waiting).limit(1)
        return await self._out.store.read(lambda connection: connection.execute(query).first()) is not None
