"""The pager of demo and rehearsals: pages appear in the browser chat instead of on a phone."""

from __future__ import annotations

from bot.chat import DeliveryError
from bot.platforms.console import Console
from bot.targets.sandbox_world import World


class SandboxPager:
    """Shows pages; the sandbox can make a person unreachable."""

    def __init__(self, console: Console, world: World) -> None:
        self._console = console
        self._world = world

    async def send(self, person: str, kind: str, address: str, text: str) -> None:
        """Show the page; DeliveryError where the sandbox says that this person cannot be reached."""
        if self._world.pager_down(person):
            raise DeliveryError(f"the {kind} of {person} does not answer")
        self._console.page(person, kind, text)
