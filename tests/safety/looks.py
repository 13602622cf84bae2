"""What came of it, by the log and the targets: the same looks for every chat that the cases are played in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import select

from bot import store
from incidents import events as e
from incidents.action import Action

E = TypeVar("E", bound=e.Event)


@dataclass(frozen=True, slots=True)
class Shown:
    """A message of the bot's: its id, what it reads now, and its buttons."""

    id: str
    text: str
    buttons: tuple[str, ...]


class Looks:
    """For a chat whose `stage` has the bot, its data folder and the simulated services."""

    stage: Any
    number: int | None  # of the incident that people write in

    def replicas(self, service: str = "realtime") -> int:
        """How many replicas are wanted."""
        return int(self.stage.world.replicas(service))

    @property
    def ran(self) -> dict[int, int]:
        """Which requests the targets accepted, and how often each."""
        changes = self.stage.world.changes
        return {int(key.removeprefix("wb-")): n for key, n in changes.items() if key.startswith("wb-")}

    async def action(self, number: int = 1) -> Action:
        """A request as the log has it."""
        found = await self.stage.bot.store.run(lambda unit: unit.state(f"action-{number}"))
        assert isinstance(found, Action)
        return found

    async def actions(self) -> int:
        """How many requests there are."""
        t = store.actions
        return len(await self.stage.bot.store.read(lambda c: c.execute(select(t.c.number)).all()))

    async def events(self, stream: str, kind: type[E]) -> list[E]:
        """The events of one kind in a stream."""
        found = [r.event for r in await self.stage.bot.store.events(stream)]
        return [event for event in found if isinstance(event, kind)]

    async def count(self) -> int:
        """How many events the log has."""
        t = store.events
        return len(await self.stage.bot.store.read(lambda c: c.execute(select(t.c.position)).all()))

    async def written(self) -> dict[str, str]:
        """Message id → what the transcript of the incident has of it."""
        found = await self.events(f"chat-{self.number}", e.MessagePosted)
        return {posted.message_id: posted.text for posted in found}

    async def export(self, form: str) -> bytes:
        """The incident's export."""
        return bytes(await self.stage.export(self.number, form))

    def log_bytes(self) -> bytes:
        """Every byte of the log's files."""
        return b"".join(path.read_bytes() for path in sorted(self.stage.data.glob("watchbell.db*")))


async def voters(chat: Looks, number: int = 1) -> tuple[str, ...]:
    """Whose approvals stand."""
    return (await chat.action(number)).approvals


async def runs(chat: Looks) -> bool:
    """Whether anything has run when all of it had the time to."""
    await chat.stage.waits(60)
    return bool(chat.ran)
