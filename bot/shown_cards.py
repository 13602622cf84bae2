"""Cards as they stand in the chats: made from the state when they are shown, and edited where they were posted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select

from bot import store
from bot.cards import Card, action_card, incident_card
from bot.facts import PlainFacts
from bot.logbook import Logbook
from bot.outward import Outward
from bot.ways import Spot
from incidents.action import Action
from incidents.incident import Incident

Progress = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class ShownCards:
    """Knows the cards; `progress` is how far running actions are."""

    _out: Outward
    progress: Mapping[int, Progress]

    async def now(self, ref: str) -> Card | None:
        """The card as the state is now; None where there is no such thing."""
        kind, _, number = ref.partition(":")
        now = self._out.clock.now()

        def unit(u: store.Unit) -> Card | None:
            book = Logbook(u, self._out.desk, now)
            state = book.incident(int(number)) if kind == "incident" else book.action(int(number))
            incident = state if isinstance(state, Incident) else None
            if isinstance(state, Action) and state.incident is not None:
                incident = book.incident(state.incident)
            settings = self._out.desk.settings
            policy = book.policy(incident) if incident else None
            facts = PlainFacts(now, book.roster, incident, policy, settings.people, settings.zone)
            if isinstance(state, Incident):
                return incident_card(state, facts=facts, requests=book.pending(state.number, ""))
            if isinstance(state, Action):
                progress, back = self.progress.get(state.number), book.taken_back_by(state)
                return action_card(state, facts=facts, progress=progress, taken_back_by=back)
            return None

        return await self._out.store.run(unit)

    async def refresh(self, ref: str, chat: str | None) -> None:
        """Edit a card where it stands, or only on one chat."""
        spots = [spot for spot in await self.posted(ref) if chat in (None, spot[0].platform)]
        card = await self.now(ref) if spots else None
        if card is None:
            return
        kind = "incident" if ref.startswith("incident:") else "approval"
        for spot, message_id in spots:
            platform = self._out.platforms.get(spot.platform)
            if platform is not None:
                content = self._out.content(card.template, card.data, platform, card.buttons, kind)
                await platform.edit(spot.channel, message_id, content)

    async def posted(self, ref: str) -> list[tuple[Spot, str]]:
        """Where it stands, with the messages' ids."""
        t = store.messages
        query = select(t.c.platform, t.c.channel, t.c.message_id).where(t.c.card == ref)
        rows = await self._out.store.read(lambda connection: connection.execute(query).all())
        return [(Spot(row.platform, row.channel), row.message_id) for row in rows]
