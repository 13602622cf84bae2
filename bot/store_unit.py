"""What one decision may do with the store: read states, append events, change rows; all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import CursorResult, Executable, Row, Table

from bot.store_schema import body_digest, chain_hash, events, inbox, micros, rfc3339
from bot.store_transaction import Codec, Entry, Transaction, plain


class DuplicateError(Exception):
    """The event id is in the inbox already, so the unit had no effect."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"{event_id} came in before")
        self.event_id = event_id


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
        rows, first, since = [], transaction.position + 1, None
        for position, event in enumerate(happened, first):
            kind, at, actor, content = encode(event)
            if at is not since:  # the events of one decision mostly share their time
                since, stamp, stored = at, rfc3339(at), micros(at)
            body, salt, version = orjson.dumps(content), transaction.salt(), version + 1
            digest = body_digest(salt, body)
            previous = chain_hash(previous, stream, version, kind, stamp, actor, digest)
            state = fold(state, event) if fold else None
            place = (position, stream, version, kind, stored, actor)
            rows.append((*place, body.decode(), salt.hex(), digest, previous))
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
        """Add a row when the batch is committed; columns left out get their defaults, times are converted."""
        row = self._transaction.statements[table.name].row(values)
        self._transaction.staged.setdefault(table.name, []).append(row)

    def execute(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None
    ) -> CursorResult[Any]:
        """Run a statement now; it sees all that was recorded before it."""
        self._flush()
        result = self._transaction.execute(statement, parameters)
        if not statement.is_select and (result.returns_rows or result.rowcount):
            self._wrote()
        return result

    def rows(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """All rows of a select, which sees all that was recorded before it."""
        return self.execute(statement, parameters).all()

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
        """Put the tombstone in place of the body at this position, for good; LookupError if none is there.

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
        """Have this called in the event loop's thread after the commit, just before `Store.run` returns."""
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
