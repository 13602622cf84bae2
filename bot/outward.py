"""What everything that speaks to the chats shares: the log, the chats, and how templates become messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot import store
from bot.chat import Button, Content, DeliveryError, Platform
from bot.desk import Desk
from bot.places import Places
from bot.render import Renderer
from incidents.incident import Incident
from incidents.ports import Clock


@dataclass(frozen=True, slots=True)
class Outward:
    """The bot's side of every chat."""

    store: store.Store
    desk: Desk
    platforms: Mapping[str, Platform]
    places: Places
    renderer: Renderer
    clock: Clock

    def content(
        self,
        template: str,
        data: Mapping[str, Any],
        platform: Platform,
        buttons: tuple[Button, ...] = (),
        card: str | None = None,
    ) -> Content:
        """What a platform shows for a template and its data."""
        filled = {"now": self.clock.now(), **data}
        rendered = self.renderer.render(template, filled, platform.marks)
        plain = self.renderer.plain(template, filled)
        return Content(rendered.text, plain, buttons, rendered.mentions, card)

    def user(self, person: str, platform: Platform) -> str | None:
        """The account that a person of the configuration has on a chat, or None."""
        settings = self.desk.settings.people.get(person)
        return settings.ids.get(platform.name) if settings else None

    async def incident(self, number: int) -> Incident:
        """The incident now; DeliveryError where there is none."""
        found = await self.store.run(lambda unit: unit.state(f"incident-{number}"))
        if not isinstance(found, Incident):
            raise DeliveryError(f"there is no INC-{number}")
        return found
