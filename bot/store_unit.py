"""What one decision may do with the store: read states, append events, change rows; all of it or nothing."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, CursorResult, Executable, Row, Table, exc
from sqlalchemy.engine.interfaces import Dialect

from bot.store_schema import (
    METADATA,
    Micros,
    body_digest,
    chain_hash,
    events,
    inbox,
    micros,
    moment,
    rfc3339,
)

Encode = Callable[[Any], tuple[str, datetime, str, dict[str, Any]]]
Decode = Callable[[str, datetime, str, dict[str, Any]], Any]
Fold = Callable[[Any, Any], Any]

ROWS = 128  # inserted by one statement, at most
RECENT = 25_000  # event ids remembered, at least, so that a repeated one costs no SQL


class DuplicateError(Exception):
    """The event id is in the inbox already, so the unit had no effect."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"{event_id} came in before")
        self.event_id = event_id


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place: `position` in the whole log, `version` in its stream, both from 1."""

    position: int
    stream: str
    version: int
    event: Any


class Entry(NamedTuple):
    """What is remembered of a stream: its last version and hash, and the state folded so far."""

    version: int
    hash: str
    state: Any


@dataclass(frozen=True, slots=True)
class Codec:
    """How events become rows and states: the fold is chosen by the stream's name before the first hyphen."""

    encode: Encode
    decode: Decode
    folds: Mapping[str, Fold]

    def fold(self, stream: str) -> Fold | None:
        """The fold of this stream; None where only version and hash are kept."""
        return self.folds.get(stream.partition("-")[0])

    def event(self, row: Row[Any]) -> Any:
        """The event of a row of the log."""
        return self.decode(row.kind, moment(row.at), row.actor, orjson.loads(row.body))

    def recorded(self, row: Row[Any]) -> Recorded:
        """The event of a row of the log, with its place."""
        return Recorded(row.position, row.stream, row.version, self.event(row))


class Statements:
    """Inserts and updates of one table as text for the driver, several times cheaper a row than expressions."""

    def __init__(self, table: Table, dialect: Dialect) -> None:
        quote = dialect.identifier_preparer.quote
        self._mark = "?" if dialect.paramstyle == "qmark" else "%s"
        self._table = quote(table.name)
        self._quoted = {column.name: quote(column.name) for column in table.columns}
        given = [column for column in table.columns if column is not table.autoincrement_column]
        self._times = [place for place, column in enumerate(given) if isinstance(column.type, Micros)]
        self._blank = {column.name: getattr(column.default, "arg", None) for column in given}
        self._updates: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}
        self._inserts: dict[int, str] = {}

    def insert(self, count: int) -> str:
        """The statement that inserts so many rows.

        One statement for many rows and not one a row: SQLite's driver lets go of the interpreter lock at
        every step, and each time the event loop's thread may take it away for milliseconds.
        """
        if count not in self._inserts:
            names = ", ".join(self._quoted[name] for name in self._blank)
            marks = f"({', '.join([self._mark] * len(self._blank))})"
            rows = ", ".join([marks] * count)
            self._inserts[count] = f"INSERT INTO {self._table} ({names}) VALUES {rows}"
        return self._inserts[count]

    def row(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of one row to insert, defaults filled in; TypeError for a column that the table has not."""
        filled = self._blank | values
        if len(filled) != len(self._blank):
            raise TypeError(f"{self._table} has no {', '.join(filled.keys() - self._blank.keys())}")
        row = list(filled.values())
        for place in self._times:
            if isinstance(row[place], datetime):
                row[place] = micros(row[place])
        return tuple(row)

    def update(self, key: Iterable[str], values: Iterable[str]) -> str:
        """The statement that sets `values` where `key` matches; its parameters are values, then key."""
        shape = (tuple(values), tuple(key))
        if shape not in self._updates:
            changed, matched = ([f"{self._quoted[name]} = {self._mark}" for name in part] for part in shape)
            self._updates[shape] = (
                f"UPDATE {self._table} SET {', '.join(changed)} WHERE {' AND '.join(matched)}"
            )
        return self._updates[shape]


def plain(values: Iterable[Any]) -> tuple[Any, ...]:
    """The values as they are stored: times as microseconds."""
    return tuple([micros(value) if isinstance(value, datetime) else value for value in values])


class Memory:
    """What the writer remembers between commits: streams, recent event ids, the end of the log."""

    def __init__(self, limit: int) -> None:
        self.streams: OrderedDict[str, Entry] = OrderedDict()
        self.recent: set[str] = set()
        self._older: set[str] = set()
        self.position = 0
        self._limit = limit

    def forget(self, streams: Iterable[str]) -> None:
        """Drop these streams, to be read again when they are needed."""
        for stream in streams:
            self.streams.pop(stream, None)

    def forget_all(self) -> None:
        """Drop everything."""
        self.streams.clear()
        self.recent.clear()
        self._older.clear()

    def knows(self, event_id: str) -> bool:
        """Whether the id came in lately; no says nothing about ids of long ago or of other processes."""
        return event_id in self.recent or event_id in self._older

    def committed(self, position: int, event_ids: Iterable[str]) -> None:
        """Note what a commit made true, and drop what was used longest ago."""
        self.position = position
        self.recent.update(event_ids)
        if len(self.recent) > RECENT:
            self._older, self.recent = self.recent, set()
        while len(self.streams) > self._limit:
            self.streams.popitem(last=False)


class Transaction:
    """One commit in the making: the connection, the rows that wait to be inserted, the next position.

    The writer's lock on the database is held from begin to commit, so positions are given out here,
    without gaps and in the order of commits, and what is remembered of a stream cannot grow stale.
    """

    def __init__(self, connection: Connection, memory: Memory, statements: Mapping[str, Statements]) -> None:
        self.connection = connection
        self.memory = memory
        self.statements = statements
        self.staged: dict[str, list[tuple[Any, ...]]] = {"inbox": [], "events": []}  # duplicates fail first
        self.event_ids: dict[str, None] = {}
        self.touched: set[str] = set()
        self.changed = False
        self.erased = False
        self.failure: exc.DBAPIError | None = None
        self.failed_table = ""
        self._salts: list[bytes] = []
        self.position = self._catch_up()

    def _catch_up(self) -> int:
        """The end of the log; streams that another process wrote to since our last commit are forgotten."""
        memory = self.memory
        top: int = self.execute("SELECT coalesce(max(position), 0) FROM events").scalar_one()
        if top < memory.position:  # an older copy was put in place
            memory.forget_all()
        elif top > memory.position and memory.streams:
            query = f"SELECT DISTINCT stream, kind FROM events WHERE position > {memory.position}"
            news = self.execute(query).all()
            scrubbed = any(row.kind == "MessageScrubbed" for row in news)
            memory.forget(list(memory.streams) if scrubbed else [row.stream for row in news])
        return top

    def execute(self, statement: str | Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement now, text without SQLAlchemy between; an error of the database voids everything."""
        try:
            if isinstance(statement, str):
                return self.connection.exec_driver_sql(statement, parameters)
            return self.connection.execute(statement)
        except exc.DBAPIError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        """Insert every row that waits, in few statements, of few different lengths, so that they stay parsed."""
        for name, rows in self.staged.items():
            self.failed_table = name
            while rows:
                count = min(ROWS, 1 << (len(rows).bit_length() - 1))
                values = tuple(chain.from_iterable(rows[:count]))
                self.execute(self.statements[name].insert(count), values)
                self.changed = True
                del rows[:count]
        self.failed_table = ""

    def salt(self) -> bytes:
        """16 random bytes; asked of the system for many rows at once, because asking lets the lock go."""
        if not self._salts:
            block = os.urandom(16 * ROWS)
            self._salts = [block[at : at + 16] for at in range(0, len(block), 16)]
        return self._salts.pop()

    def entry(self, codec: Codec, stream: str) -> Entry:
        """What is known of the stream, read from the log if it is not remembered."""
        streams = self.memory.streams
        if stream in streams:
            streams.move_to_end(stream)
        else:
            streams[stream] = self._read(codec, stream)
        return streams[stream]

    def _read(self, codec: Codec, stream: str) -> Entry:
        rows, fold = events.select().where(events.c.stream == stream), codec.fold(stream)
        if fold is None:
            last = self.execute(rows.order_by(events.c.version.desc()).limit(1)).first()
            return Entry(last.version, last.hash, None) if last else Entry(0, "", None)
        entry = Entry(0, "", None)
        for row in self.execute(rows.order_by(events.c.version)):
            entry = Entry(row.version, row.hash, fold(entry.state, codec.event(row)))
        return entry


class Unit:
    """One decision with everything it records.

    It is used in the writer's thread, while the work runs, and never afterwards. Work may be run again
    from the start, so it changes nothing but through the unit. States are not changed in place: folds
    return new ones, so that a unit that fails can be undone. A failure of the database cannot be caught.
    """

    def __init__(self, transaction: Transaction, codec: Codec) -> None:
        self._transaction = transaction
        self._codec = codec
        self._marks = {name: len(rows) for name, rows in transaction.staged.items()}
        self._position = transaction.position
        self._entries: dict[str, Entry] = {}
        self._ids: list[str] = []
        self.written = False  # something was changed that only a rollback can undo
        self.callbacks: list[Callable[[], object]] = []

    def state(self, stream: str) -> Any:
        """The folded state of the stream, this unit's own events included; None when it is empty."""
        return self._transaction.entry(self._codec, stream).state

    def version(self, stream: str) -> int:
        """The version of the stream's last event, 0 when it is empty."""
        return self._transaction.entry(self._codec, stream).version

    def append(self, stream: str, *happened: Any) -> list[int]:
        """Record events at the end of the stream; returns their positions in the log."""
        transaction, encode, fold = self._transaction, self._codec.encode, self._codec.fold(stream)
        entry = transaction.entry(self._codec, stream)
        self._entries.setdefault(stream, entry)
        transaction.touched.add(stream)
        version, previous, state = entry
        rows, first = [], transaction.position + 1
        for position, event in enumerate(happened, first):
            kind, at, actor, content = encode(event)
            body, salt, version = orjson.dumps(content), transaction.salt(), version + 1
            digest = body_digest(salt, body)
            previous = chain_hash(previous, stream, version, kind, rfc3339(at), actor, digest)
            state = fold(state, event) if fold else None
            row = (position, stream, version, kind, micros(at), actor, body.decode())
            rows.append((*row, salt.hex(), digest, previous))
        transaction.staged["events"] += rows
        transaction.position += len(rows)
        transaction.memory.streams[stream] = Entry(version, previous, state)
        return list(range(first, transaction.position + 1))

    def once(self, event_id: str, **columns: Any) -> None:
        """Put the id into the inbox; one that came in before makes `Store.run` raise DuplicateError."""
        transaction = self._transaction
        if event_id in transaction.event_ids or transaction.memory.knows(event_id):
            raise DuplicateError(event_id)
        self.insert(inbox, event_id=event_id, **columns)
        transaction.event_ids[event_id] = None
        self._ids.append(event_id)

    def insert(self, table: Table, **values: Any) -> None:
        """Add a row when the batch is committed; columns left out get their defaults, times may be datetimes."""
        row = self._transaction.statements[table.name].row(values)
        self._transaction.staged.setdefault(table.name, []).append(row)

    def execute(self, statement: Executable) -> CursorResult[Any]:
        """Run a statement now; it sees all that was recorded before it."""
        self._flush()
        result = self._transaction.execute(statement)
        if not statement.is_select and (result.returns_rows or result.rowcount):
            self._wrote()
        return result

    def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """All rows of a select, which sees all that was recorded before it."""
        return self.execute(statement).all()

    def upsert(self, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Set `values` in the row that `key` names, or insert both where no such row is."""
        transaction, statements = self._transaction, self._transaction.statements[table.name]
        if transaction.staged.get(table.name):
            self._flush()
        values = values or key
        parameters = plain((*values.values(), *key.values()))
        if not transaction.execute(statements.update(key, values), parameters).rowcount:
            transaction.execute(statements.insert(1), statements.row({**key, **values}))
        self._wrote()

    def scrub(self, position: int, tombstone: dict[str, Any]) -> None:
        """Put the tombstone in the place of the body at this position, for good; LookupError if none is there.

        `Store.verify` accepts it only beside an event of kind MessageScrubbed that has the position in
        the list `positions` of its body: append one in the same unit.
        """
        where = events.c.position == position
        found = self.execute(events.select().where(where)).first()
        if found is None:
            raise LookupError(f"there is no event at position {position}")
        body = orjson.dumps(tombstone).decode()
        self.execute(events.update().where(where).values(body=body, salt=""))
        self._transaction.touched.add(found.stream)
        self._transaction.memory.forget([found.stream])
        self._transaction.erased = True

    def after_commit(self, callback: Callable[[], object]) -> None:
        """Have this called in the event loop's thread once the unit is committed, before its result is known."""
        self.callbacks.append(callback)

    def undo(self) -> None:
        """Take back what is not yet in the database."""
        transaction = self._transaction
        for name, rows in transaction.staged.items():
            del rows[self._marks.get(name, 0) :]
        transaction.memory.streams.update(self._entries)
        transaction.position = self._position
        for event_id in self._ids:
            del transaction.event_ids[event_id]

    def _flush(self) -> None:
        if any(len(rows) > self._marks.get(name, 0) for name, rows in self._transaction.staged.items()):
            self._wrote()
        self._transaction.flush()
        self._marks = {}

    def _wrote(self) -> None:
        self.written = self._transaction.changed = True


def statements(dialect: Dialect) -> dict[str, Statements]:
    """The statements of every table, by its name."""
    return {table.name: Statements(table, dialect) for table in METADATA.sorted_tables}
