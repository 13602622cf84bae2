"""Follows what a change does to its service's figure: asks just before it, and at each look that is due after it."""

from __future__ import annotations

import structlog
from sqlalchemy import select

from bot import store
from bot.desk import Desk
from bot.logbook import Logbook
from bot.sli import Indicators, Reading
from bot.watch_rows import WATCHED
from bot.work import Work
from commands.actions import Plan
from commands.catalogue import Sli, WatchTerms
from incidents import events as e
from incidents import watching
from incidents.action import Action
from incidents.ports import Clock

log = structlog.get_logger()

BEFORE, AFTER = 2.0, 5.0  # seconds that a figure may take: before a change, which waits for it, and after it


class Watcher:
    """Never undoes anything: it measures, and records what it saw."""

    def __init__(
        self, log_store: store.Store, desk: Desk, indicators: Indicators, clock: Clock, work: Work
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._indicators = indicators
        self._clock = clock
        self._work = work
        self._looking: set[int] = set()

    async def before(self, action: Action, plan: Plan) -> e.WatchBegan | None:
        """The figure just before a change, with the terms; None where nothing follows it, as with each way back."""
        service = self._desk.settings.catalogue.service(plan.service) if plan.service else None
        if service is None or service.sli is None or service.watch is None:
            return None
        if action.undo_of is not None or action.revert_of is not None:
            return None
        found = await self._indicators.read(service.sli.query, service.sli.target, within=BEFORE)
        return _began(service.sli, service.watch, found, self._clock)

    def look(self, number: int) -> None:
        """Take the look that is due, beside everything else."""
        if number not in self._looking:
            self._looking.add(number)
            self._work.spawn(self._look(number), f"look at #{number}")

    async def recover(self) -> None:
        """At start and every minute: looks that were due and had no result when the process died."""
        t = store.locks
        query = select(t.c.name).where(t.c.name >= WATCHED, t.c.name < f"{WATCHED[:-1]};")
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        for row in rows:
            action = await self._action(int(row.name.removeprefix(WATCHED)))
            if action is not None and action.watch is not None and action.watch.asked:
                self.look(action.number)

    async def _look(self, number: int) -> None:
        try:
            action = await self._action(number)
            if action is None or action.watch is None or not action.watch.asked:
                return
            terms = action.watch
            found = await self._indicators.read(terms.query, terms.target, within=AFTER)
            await self._store.run(lambda unit: self._record(unit, number, found))
        finally:
            self._looking.discard(number)

    def _record(self, unit: store.Unit, number: int, found: Reading) -> None:
        book = Logbook(unit, self._desk, self._clock.now())
        action = book.action(number)
        if action is None or action.watch is None:
            return
        seen = watching.seen(action.watch, value=found.value, why=found.why, now=book.now)
        book.record(f"action-{number}", *seen)
        book.finish()

    async def _action(self, number: int) -> Action | None:
        found = await self._store.run(lambda unit: unit.state(f"action-{number}"))
        return found if isinstance(found, Action) else None


def _began(sli: Sli, terms: WatchTerms, found: Reading, clock: Clock) -> e.WatchBegan:
    return e.WatchBegan(
        at=clock.now(),
        actor=e.BOT,
        query=sli.query,
        target=sli.target,
        label=sli.name,
        unit=sli.unit,
        window=terms.window,
        better=sli.better,
        worse_by=terms.worse_by,
        relative=terms.relative,
        before=found.value,
        why=found.why,
    )
