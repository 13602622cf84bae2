"""The one thread that writes: it takes whatever units wait and commits them together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, exc

from bot.store_database import erase_traces, is_outage
from bot.store_transaction import Codec, Memory, Transaction, statements
from bot.store_unit import DuplicateError, Unit
from incidents.ports import ConflictError, NotRecordedError

BATCH = 256  # units in one commit, at most
CROWD = 4  # units in a commit, from which on the next one waits for more to share its price
GATHER = 0.004  # seconds that it waits
ATTEMPTS = 10  # times that a unit is decided again after a conflict

Work = Callable[[Unit], Any]


class Job:
    """A unit of work that waits, and what became of it."""

    __slots__ = ("callbacks", "error", "future", "result", "work")

    def __init__(self, work: Work, future: asyncio.Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.callbacks: list[Callable[[], object]] = []


class SpoiltError(Exception):
    """The transaction was rolled back over the unit at `index`; None: over any of them."""

    def __init__(self, index: int | None, cause: BaseException, table: str = "") -> None:
        super().__init__(str(cause))
        self.index = index
        self.cause = cause
        self.table = table


class Writer:
    """A queue of units, and the thread that decides and commits them in their order."""

    def __init__(self, engine: Engine, codec: Codec, *, remembered: int) -> None:
        self.commits = 0
        self._engine = engine
        self._codec = codec
        self._statements = statements(engine.dialect)
        self._memory = Memory(remembered)
        self._connection: Connection | None = None
        self._gathered: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        self._queue: queue.SimpleQueue[list[Job]] = queue.SimpleQueue()
        self._waiting: deque[Job] = deque()
        self._open: set[Job] = set()
        self._crowded = False
        self._closed = False
        self._thread = threading.Thread(target=self._live, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many units have no result yet."""
        return len(self._open)

    def submit(self, work: Work, future: asyncio.Future[Any]) -> None:
        """Have the unit run; its outcome goes to the future, in the future's loop.

        What is submitted in one turn of a loop is handed over together at its end: waking the thread
        for each would have the two fight over the interpreter lock.
        """
        if self._closed:
            raise NotRecordedError("the log cannot be written: the store is closed")
        job, loop = Job(work, future), future.get_loop()
        self._open.add(job)
        if loop not in self._gathered:
            self._gathered[loop] = []
            loop.call_soon(self._hand_over, loop)
        self._gathered[loop].append(job)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        if jobs := self._gathered.pop(loop, None):
            self._queue.put(jobs)

    def close(self) -> None:
        """Take nothing more, finish what waits, then end; `join` says when."""
        if not self._closed:
            self._closed = True
            for loop in list(self._gathered):
                self._hand_over(loop)
            self._queue.put([])

    def join(self) -> None:
        """Block until the thread has ended."""
        self._thread.join()

    def _live(self) -> None:
        while jobs := self._take():
            try:
                self._settle(jobs)
            except BaseException as error:  # noqa: BLE001 - the thread has to outlive whatever work does
                self._disconnect()
                self._memory.forget_all()
                for job in jobs:  # not the error itself: SystemExit would end the loop that receives it
                    job.error = RuntimeError(f"the store's writer met {error!r}")
                    job.error.__cause__ = error
            self._deliver(jobs)
        self._disconnect()

    def _take(self) -> list[Job]:
        """Whatever waits, up to a batch; blocks for the first, and is empty only when the store closes."""
        if not self._waiting:
            self._waiting.extend(self._queue.get())
        if self._crowded and len(self._waiting) < BATCH:
            time.sleep(GATHER)
        while len(self._waiting) < BATCH and not self._queue.empty():
            more = self._queue.get_nowait()
            self._waiting.extend(more)
            if not more:  # the end, once what waits is done
                self._queue.put([])
                break
        jobs = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._crowded = len(jobs) >= CROWD
        return jobs

    def _settle(self, jobs: list[Job]) -> None:
        """Commit the units in their order, in as few transactions as their failures allow."""
        groups = [jobs]
        while groups:
            group = groups.pop()
            try:
                if len(group) == 1:
                    self._commit_alone(group[0])
                else:
                    self._commit(group)
            except NotRecordedError as error:
                for job in [job for rest in (group, *groups) for job in rest]:
                    job.error = NotRecordedError(*error.args)
                    job.error.__cause__ = error.__cause__
                return
            except SpoiltError as spoilt:
                groups.extend(reversed(_split(group, spoilt.index)))

    def _commit_alone(self, job: Job) -> None:
        """Commit one unit, deciding it again where rows of somebody else stood in the way."""
        cause: BaseException | None = None
        for _ in range(ATTEMPTS):
            try:
                self._commit([job])
            except SpoiltError as spoilt:
                cause, job.error = spoilt.cause, spoilt.cause
                if not isinstance(cause, exc.IntegrityError):
                    return
                if spoilt.table == "inbox":
                    job.error = DuplicateError(_first_parameter(cause))
                    return
            else:
                return
        job.error = ConflictError("somebody else changed the same thing at the same time; try again")
        job.error.__cause__ = cause

    def _commit(self, group: list[Job]) -> None:
        """Decide and commit the group in one transaction, or roll everything back and raise."""
        transaction = self._begin()
        blamed: int | None = None
        try:
            for blamed, job in enumerate(group):  # noqa: B007 - who was at work when it failed
                self._decide(transaction, job)
            blamed = None
            transaction.flush()
            transaction.connection.commit()
        except Exception as error:  # noqa: BLE001 - whatever work raises goes to who asked for it
            self._rollback(transaction)
            cause = transaction.failure or error
            if is_outage(cause):
                self._disconnect()
                raise _not_recorded(cause) from cause
            raise SpoiltError(blamed, cause, transaction.failed_table) from cause
        self._memory.committed(transaction.position, transaction.event_ids)
        self.commits += transaction.changed
        if transaction.erased:
            erase_traces(transaction.connection)

    def _decide(self, transaction: Transaction, job: Job) -> None:
        """Run one unit; one that raises is undone alone, if it has not changed the database yet."""
        unit = Unit(transaction, self._codec)
        job.result, job.error, job.callbacks = None, None, unit.callbacks
        try:
            job.result = job.work(unit)
        except Exception as error:
            if unit.written or transaction.failure:
                raise
            unit.undo()
            job.error = error
        if transaction.failure:
            raise transaction.failure

    def _begin(self) -> Transaction:
        """A transaction with the writers' lock; a connection that died while idle is replaced once."""
        for fresh in (self._connection is None, True):
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                self._connection.begin()
                return Transaction(self._connection, self._memory, self._statements)
            except exc.DBAPIError as error:
                self._disconnect()
                if fresh or not error.connection_invalidated:
                    raise _not_recorded(error) from error
        raise AssertionError("unreachable")

    def _rollback(self, transaction: Transaction) -> None:
        self._memory.forget(transaction.touched)
        try:
            transaction.connection.rollback()
        except exc.DBAPIError:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(exc.DBAPIError):
                connection.invalidate()
            with suppress(exc.DBAPIError):
                connection.close()

    def _deliver(self, jobs: list[Job]) -> None:
        """Hand the outcomes over, with one call a loop."""
        loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        for job in jobs:
            loops.setdefault(job.future.get_loop(), []).append(job)
        for loop, settled in loops.items():
            try:
                loop.call_soon_threadsafe(self._resolve, loop, settled)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._open.difference_update(settled)

    def _resolve(self, loop: asyncio.AbstractEventLoop, jobs: list[Job]) -> None:
        for job in jobs:
            self._open.discard(job)
            if job.error is None:
                for callback in job.callbacks:
                    try:
                        callback()
                    except Exception as error:  # noqa: BLE001 - one callback must not cost the others
                        loop.call_exception_handler({"message": "after_commit failed", "exception": error})
            if job.future.done():  # the caller was cancelled
                continue
            if job.error is None:
                job.future.set_result(job.result)
            elif isinstance(job.error, StopIteration):  # which a future does not carry
                job.future.set_exception(RuntimeError("the unit raised StopIteration"))
            else:
                job.future.set_exception(job.error)


def _split(group: list[Job], index: int | None) -> list[list[Job]]:
    """The units before, at and after the one to blame; each by itself where that is not known."""
    if index is None:
        return [[job] for job in group]
    parts = [group[:index], group[index : index + 1], group[index + 1 :]]
    return [part for part in parts if part]


def _not_recorded(error: BaseException) -> NotRecordedError:
    reason = str(getattr(error, "orig", None) or error).strip().split("\n", 1)[0]
    return NotRecordedError(f"the log cannot be written: {reason}")


def _first_parameter(error: exc.IntegrityError) -> str:
    """The event id that the inbox refused, which is the first value of its row."""
    parameters: Any = error.params
    while isinstance(parameters, list | tuple) and parameters:
        parameters = parameters[0]
    return str(parameters)
