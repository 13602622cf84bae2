"""The watch: one tick asks what is due, and every stream that is due decides for itself."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import structlog
from sqlalchemy import select

from bot import store
from bot.absence import Absence
from bot.desk import Desk
from bot.handovers import Handovers
from bot.lifeboat import Lifeboat
from bot.logbook import Logbook
from incidents.ports import Clock, NotRecordedError

log = structlog.get_logger()

BATCH = 500
LATER = timedelta(seconds=30)  # until a stream that failed is tried again


class Watch:
    """Fires deadlines; safe to run beside another one, since each firing is an append to one stream."""

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        clock: Clock,
        handovers: Handovers,
        absence: Absence,
        lifeboat: Lifeboat,
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._clock = clock
        self._handovers = handovers
        self._absence = absence
        self._lifeboat = lifeboat
        self._broken: dict[str, datetime] = {}  # streams that failed, and when they are tried again
        self._turn = asyncio.Lock()

    async def tick(self) -> int:
        """Fire everything due now, in the order in which it fell due; returns how many streams that were.

        While the log is away, the pages among it are sent from memory, and recorded by the first tick that can.
        """
        fired = 0
        async with self._turn:
            try:
                await self._lifeboat.record()
                await self._absence.beat(self._clock.now())
                while streams := await self._due(self._clock.now()):
                    fired += await self._fire_all(streams)
                    if len(streams) < BATCH:
                        break
                await self._lifeboat.remember()
            except NotRecordedError as error:
                log.error("what is due cannot be recorded", error=str(error))
                await self._lifeboat.send(self._clock.now())
        return fired

    async def _fire_all(self, streams: list[str]) -> int:
        """Fire these; one that fails is put off, logged and keeps no other from firing. How many did not fail."""
        results = await asyncio.gather(*(self._fire(stream) for stream in streams), return_exceptions=True)
        away: NotRecordedError | None = None
        fired = 0
        for stream, result in zip(streams, results, strict=True):
            if isinstance(result, NotRecordedError):
                away = result
            elif isinstance(result, Exception):
                self._broken[stream] = self._clock.now() + LATER
                log.error("what is due cannot be done", stream=stream, exc_info=result)
            elif result is not None:
                raise result
            else:
                fired += 1
                log.debug("fired", stream=stream)
        if away is not None:
            raise away
        return fired

    async def rest(self) -> None:
        """Return when no tick is under way."""
        async with self._turn:
            pass

    async def next(self) -> datetime | None:
        """When the next deadline falls due, or None."""
        t = store.deadlines
        query = select(t.c.due_at).order_by(t.c.due_at).limit(1)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return store.moment(row.due_at) if row is not None else None

    async def _due(self, now: datetime) -> list[str]:
        t = store.deadlines
        self._broken = {stream: at for stream, at in self._broken.items() if at > now}
        query = select(t.c.stream).where(t.c.due_at <= store.micros(now)).order_by(t.c.due_at, t.c.stream)
        if self._broken:
            query = query.where(t.c.stream.not_in(self._broken))
        rows = await self._store.read(lambda connection: connection.execute(query.limit(BATCH)).all())
        return [row.stream for row in rows]

    async def _fire(self, stream: str) -> None:
        await self._store.run(lambda unit: self._unit(unit, stream))

    def _unit(self, unit: store.Unit, stream: str) -> None:
        book = Logbook(unit, self._desk, self._clock.now())
        if stream.startswith("rota-"):
            self._handovers.fire(book, stream.removeprefix("rota-"))
        else:
            before = unit.version(stream)
            book.fall_due(stream)
            if unit.version(stream) == before:
                # Nothing was due after all: the row is put right, so that it is not asked for again and again.
                book.set_deadline(stream)
        book.finish()
