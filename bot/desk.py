"""What every transaction of the log shares, and what one of them was about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import select

from bot import store
from bot.config import Settings
from bot.redact import Redactor
from bot.ways import scoped
from commands.incident.runbook import Page
from incidents import events as e
from incidents.policy import Policy, from_data


@dataclass(slots=True)
class Happened:
    """An event with the state before and after it."""

    stream: str
    event: e.Event
    before: Any
    after: Any
    position: int
    said: bool = False  # while the log was away


@dataclass(slots=True)
class Desk:
    """What every transaction shares: the configuration, the policies seen so far, whom to wake after a commit.

    The dictionaries only remember what the log says; forgetting them costs a look, nothing else.
    """

    settings: Settings
    redactor: Redactor
    runbooks: Sequence[Page] = ()
    policies: dict[str, Policy] = field(default_factory=dict)
    dues: dict[str, tuple[Any, datetime | None]] = field(default_factory=dict)
    said: Callable[[], object] = lambda: None
    acted: Callable[[int, str], object] = lambda number, kind: None
    observed: Callable[[str, e.Event, int | None], object] | None = None
    followed: Callable[[str, Any], object] = lambda stream, state: None
    reading: bool = False  # what came in while the bot was away is read before anything falls due
    kept: list[Happened] | None = None  # at start: everything that happens, for the report about the absence
    chats: tuple[str, ...] = ()  # their names, where there are several

    def only(self, channel: str, chat: str) -> str:
        """A symbolic channel on one chat alone, given by its name or an address there."""
        return scoped(channel, chat.partition(":")[0]) if self.chats else channel


def policy_of(unit: store.Unit, desk: Desk, name: str) -> Policy:
    """The snapshot of that name, from memory or the log; LookupError where the log has none."""
    if name not in desk.policies:
        events = store.events
        row = unit.rows(
            select(events.c.body).where(events.c.stream == f"policy-{name}", events.c.version == 1)
        )
        if not row:
            raise LookupError(f"the log has no policy {name}")
        desk.policies[name] = from_data(orjson.loads(row[0].body)["policy"])
    return desk.policies[name]
