"""What people did while the bot was away, on chats that do not keep it: read from their history at start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import select

from bot import store
from bot.chat import Platform, Reaction, Receive, RetryLaterError
from bot.desk import Desk
from bot.lookups import OPEN_STATES
from bot.reader import LogReader
from bot.votes import meaning, means_of
from bot.work import Work
from incidents.action import APPROVE, DENY, Action
from incidents.ports import Clock

log = structlog.get_logger()

FURTHEST = 7 * 86_400.0  # seconds of history that are read at most
AGAIN, TRIES = 10.0, 6  # seconds until a channel that could not be read is tried again, and how often
OVERLAP = 60.0  # seconds read again: what was taken before is known by its event id


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Hands over what was missed, as if it came in now; each with its age."""

    store: store.Store
    desk: Desk
    clock: Clock
    work: Work
    receive: Receive

    async def read(self, platform: Platform, seconds: float) -> None:
        """Messages of the open incidents' channels in the last so many seconds, then the votes as they stand."""
        if platform.keeps:
            return
        async for channel in self._channels(platform.name):
            await self._channel(platform, channel, seconds, tries=TRIES)
        for action in await LogReader(self.store, self.desk).pending(None):
            await self._votes(platform, action)

    async def recount(self, platforms: Iterable[Platform], number: int) -> None:
        """The votes as they stand on a card that was posted by a boot that did not live to note it."""
        action = await LogReader(self.store, self.desk).action(number)
        if action is not None and action.state == "pending":
            for platform in platforms:
                if not platform.keeps:
                    await self._votes(platform, action)

    async def _channel(self, platform: Platform, channel: str, seconds: float, *, tries: int) -> None:
        """One channel's; one that cannot be read now must not hide the others, and is tried again later."""
        try:
            missed = await platform.history(channel, min(seconds + OVERLAP, FURTHEST))
        except Exception as error:  # noqa: BLE001 - the edge to a chat
            log.warning("what was written meanwhile could not be read", channel=channel, error=str(error))
            if tries > 1:
                wait = max(AGAIN, error.seconds if isinstance(error, RetryLaterError) else AGAIN)
                again = self._later(platform, channel, seconds, wait, tries=tries - 1)
                self.work.spawn(again, f"read {channel}")
            return
        for act in missed:
            await self.receive(act)

    async def _later(
        self, platform: Platform, channel: str, seconds: float, wait: float, *, tries: int
    ) -> None:
        await self.clock.sleep(wait)
        await self._channel(platform, channel, seconds + wait, tries=tries)

    async def _channels(self, platform: str) -> AsyncIterator[str]:
        """The platform's channels of every incident that is not closed."""
        t = store.incidents
        query = (
            select(t.c.number).where(t.c.state.in_((*OPEN_STATES, "resolved"))).order_by(t.c.number.desc())
        )
        rows = await self.store.read(lambda connection: connection.execute(query).all())
        reader = LogReader(self.store, self.desk)
        for row in rows:
            found = await reader.incident(row.number)
            for channel in found.channels if found is not None else ():
                if channel.platform == platform:
                    yield channel.id

    async def _votes(self, platform: Platform, action: Action) -> None:
        """Hand over what the reactions on a request's cards say that the log does not know."""
        t = store.messages
        cards = select(t.c.channel, t.c.message_id).where(
            t.c.platform == platform.name, t.c.card == f"action:{action.number}"
        )
        for row in await self.store.read(lambda connection: connection.execute(cards).all()):
            try:
                shown = await platform.reactions(row.channel, row.message_id)
            except Exception as error:  # noqa: BLE001 - as above; they are read again before anything runs
                log.warning("reactions could not be read", channel=row.channel, error=str(error))
                continue
            for user, emoji, added in self._missed(platform.name, action, shown):
                await self.receive(
                    self._reaction(platform.name, row.channel, row.message_id, user, emoji, added)
                )

    def _missed(
        self, platform: str, action: Action, shown: Mapping[str, tuple[str, ...]]
    ) -> list[tuple[str, str, bool]]:
        """(account, emoji, added) of every vote that was cast or taken back meanwhile."""
        settings = self.desk.settings
        found: list[tuple[str, str, bool]] = []
        seen: set[tuple[str, str]] = set()
        for emoji, users in shown.items():
            choice, means = meaning(emoji), means_of(platform, emoji)
            for user in users if choice in (APPROVE, DENY) else ():
                person = settings.person_of(platform, user)
                if person is None:
                    continue
                seen.add((person.name, means))
                votes = settings.can(person.name, "approver") and person.name != action.requester
                withdraws = person.name == action.requester and choice == DENY
                if (votes or withdraws) and action.votes.get(person.name, {}).get(means) != choice:
                    found.append((user, emoji, True))
        for person_name, votes_by in action.votes.items():
            for means, choice in votes_by.items():
                if means == f"reaction:{platform}" and (person_name, means) not in seen:
                    emoji = "✅" if choice == APPROVE else "❌"
                    found.append((settings.people[person_name].ids[platform], emoji, False))
        return sorted(found, key=lambda vote: vote[2])  # else a vote that is gone could help to a quorum

    def _reaction(
        self, platform: str, channel: str, message_id: str, user: str, emoji: str, added: bool
    ) -> Reaction:
        now = self.clock.now().isoformat()
        return Reaction(
            platform=platform,
            event_id=f"seen:{channel}:{message_id}:{user}:{emoji}:{added}:{now}",
            channel=channel,
            user=user,
            message_id=message_id,
            emoji=emoji,
            added=added,
        )
