"""One transaction of the writer, what it remembers of streams, and how rows reach the driver."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, CursorResult, Executable, Row, Table, exc, select
from sqlalchemy.engine.interfaces import Dialect

from bot.store_schema import (
    METADATA,
    Micros,
    events,
    micros,
    moment,
)

Encode = Callable[[Any], tuple[str, datetime, str, dict[str, Any]]]
Decode = Callable[[str, datetime, str, dict[str, Any]], Any]
Fold = Callable[[Any, Any], Any]

ROWS = 128  # inserted by one statement, at most
RECENT = 25_000  # event ids remembered, at least, so that a repeated one costs no SQL


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
    """Inserts and updates of one table as text for the driver: several times cheaper than expressions."""

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
            self._inserts[count] = f"INSERT INTO {self._table} ({names}) VALUES {rows}"  # noqa: S608 - names of ours
        return self._inserts[count]

    def row(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """One row to insert, defaults filled in; TypeError for a column that the table has not."""
        filled = {**self._blank, **values}
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
            where = " AND ".join(matched)
            self._updates[shape] = f"UPDATE {self._table} SET {', '.join(changed)} WHERE {where}"  # noqa: S608
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
            query = select(events.c.stream, events.c.kind).distinct()
            news = self.execute(query.where(events.c.position > memory.position)).all()
            scrubbed = any(row.kind == "MessageScrubbed" for row in news)
            memory.forget(list(memory.streams) if scrubbed else [row.stream for row in news])
        return top

    def execute(self, statement: str | Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement now, text without SQLAlchemy between; an error of the database voids everything."""
        try:
            if isinstance(statement, str):
                return self.connection.exec_driver_sql(statement, parameters)
            return self.connection.execute(statement, parameters)
        except exc.DBAPIError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        """Insert every row that waits, by as few statements as may be: see `Statements.insert`."""
        for name, rows in self.staged.items():
            self.failed_table = name
            while rows:
                part = rows[:ROWS]
                self.execute(self.statements[name].insert(len(part)), tuple(chain.from_iterable(part)))
                self.changed = True
                del rows[:ROWS]
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


def statements(dialect: Dialect) -> dict[str, Statements]:
    """The statements of every table, by its name."""
    return {table.name: Statements(table, dialect) for table in METADATA.sorted_tables}
