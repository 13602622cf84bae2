"""Which channels of the chats are configured for what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from sqlalchemy import select

from bot import store
from bot.chat import Platform
from bot.config import Settings

Kind = Literal["operations", "known", "elsewhere"]

_BOUND = "place:"


class Places:
    """The configured channels, found by name once and for all: from then on they are known by id.

    A channel that takes the name of another one later is not what was configured, even after a restart. A
    name that is no longer configured is forgotten, so that it can be found anew.
    """

    def __init__(self, log_store: store.Store, settings: Settings, platforms: Mapping[str, Platform]) -> None:
        self._store = log_store
        self._settings = settings
        self._platforms = platforms
        self._ids: dict[tuple[str, str], str] = {}
        self._looked: set[str] = set()  # chats whose channels have been looked up

    async def find(self, platform: Platform) -> list[str]:
        """Look every configured channel of a chat up; a sentence for each that is missing, or is another one now."""
        doubts = []
        names = set(self._settings.channels.all)
        names |= {s.channel for s in self._settings.catalogue.services.values() if s.channel}
        known = await self._bound(platform.name)
        found: dict[str, str] = {}
        for name in sorted(names):
            ident, bound = await platform.channel_id(name), known.get(name)
            if ident is None and bound is None:
                doubts.append(f"{platform.name} has no channel {name} that I can see")
            elif bound is not None and ident not in (bound, None):
                doubts.append(
                    f"{name} is another channel of {platform.name} now; I keep to the one that was called "
                    f"so first ({bound}). Start once without that name in the configuration to change it"
                )
            if (chosen := bound or ident) is not None:
                found[name] = chosen
        if found != known:
            await self._store.run(lambda unit: _bind(unit, platform.name, found))
        self._ids.update({(platform.name, name): ident for name, ident in found.items()})
        self._looked.add(platform.name)
        return doubts

    async def _bound(self, platform: str) -> dict[str, str]:
        """Name → id on a chat, as found before."""
        t, prefix = store.bindings, f"{_BOUND}{platform}:"
        query = select(t.c.name, t.c.value).where(t.c.name.like(f"{prefix}%"))
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return {row.name.removeprefix(prefix): row.value for row in rows}

    def kind(self, platform: str, channel: str) -> Kind:
        """What a channel is configured for: operations channels take changes."""
        ops = {self._ids.get((platform, name)) for name in self._settings.channels.ops}
        if channel in ops:
            return "operations"
        mine = (ident for (chat, _name), ident in self._ids.items() if chat == platform)
        return "known" if channel in mine else "elsewhere"

    def team(self, service: str) -> list[tuple[str, str]]:
        """Platform and id of a service's team channel, else of the default team channel, on every chat."""
        found = self._settings.catalogue.service(service) if service else None
        name = found.channel if found is not None and found.channel else self._settings.channels.team
        return self._named(name)

    def sure(self, chats: Iterable[str]) -> None:
        """ConnectionError where the channels of one of these chats could not be looked up yet."""
        if missing := [chat for chat in chats if chat not in self._looked]:
            raise ConnectionError(f"the channels of {' and '.join(missing)} are not known yet")

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


def _bind(unit: store.Unit, platform: str, ids: Mapping[str, str]) -> None:
    t, prefix = store.bindings, f"{_BOUND}{platform}:"
    unit.execute(t.delete().where(t.c.name.like(f"{prefix}%")))
    for name, ident in ids.items():
        unit.upsert(t, {"name": f"{prefix}{name}"}, {"value": ident})
