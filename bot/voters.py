"""Whose votes hold when a change is about to run: roles, accounts, channels and reactions, read from the chats."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import select

from bot import store
from bot.chat import Platform
from bot.config import Settings
from bot.votes import meaning, means_of
from incidents.action import APPROVE, DENY, Action

log = structlog.get_logger()

Spot = tuple[str, str]  # platform, channel


@dataclass(frozen=True, slots=True)
class Count:
    """Whose approvals hold now and whose do not, and who stops it by a ❌ on its card."""

    counted: tuple[str, ...]
    lost: tuple[str, ...]
    against: str | None = None


class Voters:
    """Asks the chats about voters. A look-up that fails denies."""

    def __init__(
        self,
        log_store: store.Store,
        settings: Settings,
        platforms: Mapping[str, Platform],
        fresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._fresh = fresh
        self._store = log_store
        self._settings = settings
        self._platforms = platforms

    async def count(self, action: Action) -> Count:
        """The votes as they stand right now: reactions are read again, buttons and commands stand."""
        await self._fresh()
        cards = await self._cards(action.number)
        spots = list(dict.fromkeys([_spot(action.channel), *((kind, channel) for kind, channel, _ in cards)]))
        shown = await self._reactions(cards, proof=action.wants_proof)
        counted: list[str] = []
        lost: list[str] = []
        for person in action.approvals:
            held = any(
                choice == APPROVE and (not means.startswith("reaction:") or (means, person, APPROVE) in shown)
                for means, choice in action.votes[person].items()
            )
            holds = held and person != action.requester and await self._may(person, spots)
            (counted if holds else lost).append(person)
        return Count(tuple(counted), tuple(lost), await self._against(action, shown, spots))

    async def able(self, people: Iterable[str], channels: Collection[str]) -> list[str]:
        """Those of these approvers who can see what is asked in these channels, or of whom that is not known."""
        spots = [_spot(channel) for channel in channels]
        silent: set[str] = set()  # a chat that is away is waited for once, not for each of them
        return [person for person in people if await self._may(person, spots, doubt=True, silent=silent)]

    async def guarded(self, channels: Iterable[str]) -> bool:
        """Whether one of these channels proves who wrote there but not who reacted, or does not tell."""
        for kind, channel in map(_spot, channels):
            platform = self._platforms.get(kind)
            if platform is not None and await self._guards(platform, channel):
                return True
        return False

    async def _guards(self, platform: Platform, channel: str) -> bool:
        try:
            return await platform.guards(channel)
        except Exception as error:  # noqa: BLE001 - the edge to a chat: no answer proves nothing
            log.warning("what a channel proves is not known", channel=channel, error=str(error))
            return True

    async def _against(
        self, action: Action, shown: Sequence[tuple[str, str, str]], spots: Sequence[Spot]
    ) -> str | None:
        for _means, person, choice in shown:
            if choice == DENY and (person == action.requester or await self._may(person, spots)):
                return person
        return None

    async def _cards(self, number: int) -> list[tuple[str, str, str]]:
        """Platform, channel and id of every message that is the request's card."""
        t = store.messages
        query = select(t.c.platform, t.c.channel, t.c.message_id).where(t.c.card == f"action:{number}")
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return [(row.platform, row.channel, row.message_id) for row in rows]

    async def _reactions(
        self, cards: Iterable[tuple[str, str, str]], *, proof: bool
    ) -> list[tuple[str, str, str]]:
        """(means, person, choice) of every vote that stands on a card now; none of a card that cannot be read.

        With `proof` no approval of those that anybody in between could have made up.
        """
        found: list[tuple[str, str, str]] = []
        for kind, channel, message_id in cards:
            platform = self._platforms.get(kind)
            if platform is None:
                continue
            try:
                shown = await platform.reactions(channel, message_id)
            except Exception as error:  # noqa: BLE001 - the edge to a chat: no answer is no vote
                log.warning("reactions could not be read", channel=channel, error=str(error))
                continue
            unproved = proof and await self._guards(platform, channel)
            for emoji, users in shown.items():
                choice = meaning(emoji)
                people = [self._settings.person_of(kind, user) for user in users]
                if choice == DENY or (choice == APPROVE and not unproved):
                    means = means_of(kind, emoji)
                    found += [(means, person.name, choice) for person in people if person]
        return found

    async def _may(
        self, person: str, spots: Sequence[Spot], *, doubt: bool = False, silent: set[str] | None = None
    ) -> bool:
        """An approver, active on every chat where it is asked, who can read it on one of them.

        `doubt` is the answer where a chat gives none; one of those that are `silent` is not asked.
        """
        settings = self._settings
        if not settings.can(person, "approver"):
            return False
        reads = False
        for kind, channel in spots:
            platform, user = self._platforms.get(kind), settings.people[person].ids.get(kind)
            if platform is None or user is None:
                continue
            if silent is not None and kind in silent:
                return doubt
            try:
                if not await platform.active(user):
                    return False
                members = await platform.members(channel)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("a voter could not be checked", person=person, error=str(error))
                if silent is not None:
                    silent.add(kind)
                return doubt
            reads = reads or members is None or user in members
        return reads


def _spot(channel: str) -> Spot:
    kind, _, ident = channel.partition(":")
    return kind, ident
