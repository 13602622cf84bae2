"""The event store: units of work go to the one writer thread, reading goes on beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, exc

from bot.store_audit import VerifyReport, audit
from bot.store_boot import BootLock
from bot.store_database import backup, is_outage, open_engine, upgrade
from bot.store_schema import (
    HAS_RUN,
    METADATA,
    actions,
    alerts,
    bindings,
    deadlines,
    events,
    inbox,
    incidents,
    locks,
    messages,
    micros,
    moment,
    outbox,
)
from bot.store_transaction import Codec, Decode, Encode, Fold, Recorded
from bot.store_unit import DuplicateError, Unit
from bot.store_writer import Writer
from incidents.ports import NotRecordedError

__all__ = [
    "HAS_RUN",
    "METADATA",
    "BootLock",
    "DuplicateError",
    "Fold",
    "Recorded",
    "Store",
    "Unit",
    "VerifyReport",
    "actions",
    "alerts",
    "backup",
    "bindings",
    "deadlines",
    "events",
    "inbox",
    "incidents",
    "locks",
    "messages",
    "micros",
    "moment",
    "outbox",
    "upgrade",
]

T = TypeVar("T")
READERS = 4


class Store:
    """The log and the tables beside it, in SQLite (sqlite:///PATH) or PostgreSQL (postgresql+psycopg://…).

    `folds` gives, for each name that streams begin with before their first hyphen, the function from
    state and event to the new state. `remembered` streams are kept folded in memory. A process waits
    `patience` seconds for a lock that another one holds. `upgrade` must have run on the database.
    """

    def __init__(
        self,
        url: str,
        *,
        encode: Encode,
        decode: Decode,
        folds: Mapping[str, Fold],
        remembered: int = 20_000,
        patience: float = 5.0,
    ) -> None:
        self._codec = Codec(encode, decode, folds)
        self._engines = [open_engine(url, patience=patience, writes=writes) for writes in (True, False)]
        self._writer = Writer(self._engines[0], self._codec, remembered=remembered)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    async def run(self, work: Callable[[Unit], T]) -> T:
        """Decide and record in the writer's thread; returns what `work` returned, once it is committed.

        Work is synchronous, quick, and may be run more than once. What it raises is raised here, and
        nothing of it is recorded. DuplicateError: the event id came in before. ConflictError: a row of
        somebody else stood in the way, ten times. NotRecordedError: the database is full, locked or
        away; nothing was done. Being cancelled while waiting does not take the unit back.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.submit(work, future)
        return await future

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Run the query in a thread beside the writer, on one snapshot of all that is committed.

        NotRecordedError when the database is away.
        """
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, query)

    def _read(self, query: Callable[[Connection], T]) -> T:
        try:
            with self._engines[1].connect() as connection, connection.begin():
                return query(connection)
        except exc.DBAPIError as error:
            if is_outage(error):
                raise NotRecordedError(f"the log cannot be read: {error.orig}") from error
            raise

    async def events(self, stream: str, after_version: int = 0) -> list[Recorded]:
        """The committed events of the stream after that version, in order."""
        query = events.select().where(events.c.stream == stream, events.c.version > after_version)
        rows = query.order_by(events.c.version)
        return await self.read(lambda connection: [self._codec.recorded(r) for r in connection.execute(rows)])

    async def all_events(self, after_position: int = 0, limit: int = 1000) -> list[Recorded]:
        """At most `limit` events of the whole log after that position, in the order they were committed."""
        query = events.select().where(events.c.position > after_position)
        rows = query.order_by(events.c.position).limit(limit)
        return await self.read(lambda connection: [self._codec.recorded(r) for r in connection.execute(rows)])

    async def verify(self) -> VerifyReport:
        """Compute every hash and digest of the log again; see `bot.store_audit.audit`."""
        return await self.read(audit)

    @property
    def pending(self) -> int:
        """How many units have no result yet."""
        return self._writer.pending

    @property
    def commits(self) -> int:
        """How many transactions have been written since the store was opened."""
        return self._writer.commits

    async def idle(self) -> None:
        """Return when no unit waits for the writer."""
        while self.pending:
            await self.run(_nothing)

    async def close(self) -> None:
        """Finish the units that wait, then let go of the database."""
        self._writer.close()
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for engine in self._engines:
            engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: Any) -> None:
        await self.close()


def _nothing(_unit: Unit) -> None:
    """A unit that records nothing; its turn comes when those before it are done."""
