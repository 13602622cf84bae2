"""Reads of the log beside the writer; implements commands.case.Reader for one person asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from bot import store
from bot.desk import Desk, policy_of
from bot.lookups import LIVE, OPEN_STATES
from commands.case import Row
from incidents import oncall
from incidents.action import Action
from incidents.entries import Entry
from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import Policy


@dataclass(frozen=True, slots=True)
class LogReader:
    """What `by` may see; None sees all."""

    store: store.Store
    desk: Desk
    by: str | None = None
    here: int | None = None
    # Private incidents that were told of, but for the one that was asked in.
    met: set[int] = field(default_factory=set)

    def visible(self, incident: Incident) -> bool:
        """Whether this person may see it."""
        return self.by is None or incident.visible_to(self.by, incident.number == self.here)

    async def incident(self, number: int) -> Incident | None:
        """The incident, or None where there is none."""
        found = await self.store.run(lambda unit: unit.state(f"incident-{number}"))
        if not isinstance(found, Incident):
            return None
        if found.private and number != self.here and self.by is not None and self.visible(found):
            self.met.add(number)
        return found

    async def action(self, number: int) -> Action | None:
        """The action, or None where there is none."""
        found = await self.store.run(lambda unit: unit.state(f"action-{number}"))
        return found if isinstance(found, Action) else None

    async def policy(self, incident: Incident) -> Policy:
        """The incident's snapshot."""
        return await self.store.run(lambda unit: policy_of(unit, self.desk, incident.policy))

    async def roster(self) -> Roster:
        """The roster with the overrides of the log."""
        overrides: oncall.Overrides | None = await self.store.run(lambda unit: unit.state("oncall-main"))
        return self.desk.settings.roster.with_overrides(overrides)

    async def rows(
        self,
        *,
        open_only: bool = True,
        words: str = "",
        owner: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[Row]:
        """Index rows, the newest first."""
        t = store.incidents
        query = select(t).order_by(t.c.number.desc()).limit(limit)
        if open_only:
            query = query.where(t.c.state.in_(OPEN_STATES))
        if owner is not None:
            query = query.where(t.c.owner == owner)
        if since is not None:
            query = query.where(t.c.opened_at >= store.micros(since))
        for word in words.casefold().split():
            like = f"%{word.replace('%', '').replace('_', '')}%"
            query = query.where(or_(func.lower(t.c.title).like(like), func.lower(t.c.service).like(like)))
        found = await self.store.read(lambda connection: connection.execute(query).all())
        rows = [_row(row) for row in found]
        return [row for row in rows if not row.private or await self._may(row.number)]

    async def _may(self, number: int) -> bool:
        found = await self.incident(number)
        return found is not None and self.visible(found)

    async def entries(self, number: int) -> list[Entry]:
        """Everything recorded about the incident, in order."""
        t = store.actions
        actions = select(t.c.number).where(t.c.incident == number)

        def query(connection: Connection) -> list[str]:
            return [f"action-{row.number}" for row in connection.execute(actions)]

        streams = [f"incident-{number}", f"chat-{number}", *await self.store.read(query)]
        found = [entry for stream in streams for entry in await self.events(stream)]
        return sorted(found, key=lambda entry: entry.position)

    async def events(self, stream: str) -> list[Entry]:
        """The events of one stream."""
        return [Entry(r.position, r.stream, r.event) for r in await self.store.events(stream)]

    async def pending(self, incident: int | None) -> list[Action]:
        """Requests that wait or run, oldest first."""
        t = store.actions
        query: Select[Any] = select(t.c.number).where(t.c.state.in_(LIVE)).order_by(t.c.number).limit(50)
        if incident is not None:
            query = query.where(t.c.incident == incident)
        numbers = await self.store.read(lambda connection: [r.number for r in connection.execute(query)])
        found = [action for number in numbers if (action := await self.action(number))]
        return [action for action in found if action.incident is None or await self._may(action.incident)]


def _row(row: Any) -> Row:
    return Row(
        number=row.number,
        title=row.title,
        state=row.state,
        severity=row.severity,
        service=row.service,
        owner=row.owner,
        channel=row.channel,
        opened_at=store.moment(row.opened_at),
        private=bool(row.private),
    )
