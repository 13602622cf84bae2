"""Roles that the chats' own groups give: whoever is in the group has the role, as long as they are in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from bot.chat import Platform
from bot.config import Settings

log = structlog.get_logger()

EVERY = timedelta(minutes=5)


class Grants:
    """Keeps `settings.grants` true to the groups that `platforms.NAME.roles` lists."""

    def __init__(self, settings: Settings, platforms: Mapping[str, Platform]) -> None:
        self._settings = settings
        self._wanted = {
            name: settings.platforms.get(name, {}).get("roles") or {}
            for name in platforms
            if settings.platforms.get(name, {}).get("roles")
        }
        self._platforms = platforms
        self._read: datetime | None = None

    async def refresh(self, now: datetime, *, at_once: bool = False) -> None:
        """Read the groups, at most every five minutes unless `at_once`; a chat that does not answer grants nothing."""
        if not self._wanted or (not at_once and self._read is not None and now - self._read < EVERY):
            return
        self._read = now
        granted: dict[str, set[str]] = {}
        for name, roles in self._wanted.items():
            for role, groups in roles.items():
                for user in await self._members(self._platforms[name], groups):
                    person = self._settings.person_of(name, user)
                    if person is not None:
                        granted.setdefault(person.name, set()).add(role)
        self._settings.grants.clear()
        self._settings.grants.update({person: frozenset(roles) for person, roles in granted.items()})

    async def _members(self, platform: Platform, groups: list[str]) -> set[str]:
        found: set[str] = set()
        for group in groups:
            try:
                found |= await platform.group(group)
            except Exception as error:  # noqa: BLE001 - the edge to a chat: no answer is no role
                log.warning("a group could not be read", chat=platform.name, group=group, error=str(error))
        return found
