"""Which place somebody speaks in: an incident's channel or thread, a configured channel, direct messages, elsewhere."""

from __future__ import annotations

from sqlalchemy import select

from bot import store
from bot.chat import Deletion, Edit, Incoming, Reaction, address
from bot.places import Places
from commands.dispatch import Place


class Whereabouts:
    """Finds places. Which incident a channel is bound to never changes, so it is looked up once."""

    def __init__(self, log_store: store.Store, places: Places) -> None:
        self._store = log_store
        self._places = places
        self._numbers: dict[str, int] = {}

    async def place(self, incoming: Incoming, thread: str | None = None, direct: bool = False) -> Place:
        """What the channel is, or the thread in it: an incident's, or what it is configured for."""
        where = address(incoming.platform, incoming.channel)
        if direct:
            return Place("direct", where, None, thread)
        for key in (f"{where}#{thread}", where) if thread else (where,):
            number = self._numbers.get(key) or await self._bound(key)
            if number is not None:
                self._numbers[key] = number
                return Place("incident", where, number, thread)
        kind = self._places.kind(incoming.platform, incoming.channel)
        return Place(kind, where, None, thread)

    async def stands(self, incoming: Reaction | Edit | Deletion) -> Place:
        """Where the message stands that this is about: an incident can live in a thread."""
        t = store.messages
        query = select(t.c.thread).where(
            t.c.platform == incoming.platform,
            t.c.channel == incoming.channel,
            t.c.message_id == incoming.message_id,
        )
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return await self.place(incoming, row.thread if row is not None else None)

    async def _bound(self, key: str) -> int | None:
        t = store.bindings
        query = select(t.c.value).where(t.c.name == f"channel:{key}")
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return int(row.value) if row is not None else None
