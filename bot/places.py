"""Which channels of the chats are configured for what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from bot.chat import Platform
from bot.config import Settings

Kind = Literal["operations", "elsewhere"]


class Places:
    """The configured channels, found by name once at start and known by id from then on."""

    def __init__(self, settings: Settings, platforms: Mapping[str, Platform]) -> None:
        self._settings = settings
        self._platforms = platforms
        self._ids: dict[tuple[str, str], str] = {}

    async def find(self) -> list[str]:
        """Look every configured channel up; returns a sentence for each that a chat does not have."""
        missing = []
        names = set(self._settings.channels.all)
        names |= {s.channel for s in self._settings.catalogue.services.values() if s.channel}
        for platform in self._platforms.values():
            for name in sorted(names):
                ident = await platform.channel_id(name)
                if ident is None:
                    missing.append(f"{platform.name} has no channel {name} that I can see")
                else:
                    self._ids[platform.name, name] = ident
        return missing

    def kind(self, platform: str, channel: str) -> Kind:
        """Whether a channel takes changes."""
        ops = {self._ids.get((platform, name)) for name in self._settings.channels.ops}
        return "operations" if channel in ops else "elsewhere"

    def team(self, service: str) -> list[tuple[str, str]]:
        """Platform and id of a service's team channel, else of the default team channel, on every chat."""
        found = self._settings.catalogue.service(service) if service else None
        name = found.channel if found is not None and found.channel else self._settings.channels.team
        return self._named(name)

    def operations(self) -> list[tuple[str, str]]:
        """Platform and id of the first operations channel, on every chat."""
        return self._named(self._settings.channels.ops[0])

    def _named(self, name: str) -> list[tuple[str, str]]:
        return [
            (platform, ident)
            for platform in self._platforms
            if (
                ident := self._ids.get((platform, name))
                or self._ids.get((platform, self._settings.channels.ops[0]))
            )
        ]
