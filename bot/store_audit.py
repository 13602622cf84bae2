"""The audit of the log: walks every row and says where it is not what was once written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select

from bot.store_schema import body_digest, chain_hash, events, moment, rfc3339

FAULTS = 100  # described one by one, at most


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How many streams and events were walked, and a sentence for each fault found."""

    streams: int
    events: int
    faults: list[str]


@dataclass(slots=True)
class _Walk:
    """Where the audit is, and what it has found."""

    scrubbed: frozenset[int]
    streams: int = 0
    events: int = 0
    found: int = 0
    faults: list[str] = field(default_factory=list)
    stream: str = ""
    version: int = 0
    position: int = 0
    hash: str = ""

    def note(self, fault: str) -> None:
        self.found += 1
        if self.found <= FAULTS:
            self.faults.append(fault)

    def step(self, row: Row[Any]) -> None:
        """Check one row against the one before it in its stream."""
        if row.stream != self.stream:
            self.stream, self.version, self.position, self.hash = row.stream, 0, 0, ""
            self.streams += 1
        self.events += 1
        place = f"{row.stream}, version {row.version} (position {row.position})"
        try:
            for fault in self._faults(row):
                self.note(f"{place}: {fault}")
        except (TypeError, ValueError, OverflowError) as error:
            self.note(f"{place}: the row cannot be read: {error}")
        self.version, self.position, self.hash = row.version, row.position, row.hash

    def _faults(self, row: Row[Any]) -> Iterator[str]:
        if row.version != self.version + 1:
            yield f"it follows version {self.version}, so rows are missing or were renumbered"
        elif self._hash(row) != row.hash:
            yield "its hash does not follow from the row and the one before it"
        if row.position <= self.position:
            yield "it stands before an earlier version"
        if row.salt:
            if body_digest(bytes.fromhex(row.salt), row.body.encode()) != row.digest:
                yield "its body is not the one that was recorded"
        elif row.position not in self.scrubbed:
            yield "its body was erased, and no MessageScrubbed names it"

    def _hash(self, row: Row[Any]) -> str:
        at = rfc3339(moment(row.at))
        return chain_hash(self.hash, row.stream, row.version, row.kind, at, row.actor, row.digest)


def audit(connection: Connection) -> VerifyReport:
    """Walk the log in one snapshot and constant memory.

    Found are changed bodies, times, actors and kinds, rows removed, swapped, renumbered or put in, and
    bodies erased without a MessageScrubbed that names them. Positions have no gaps, so a removed stream
    or tail of a stream is found too, except at the very end of the log: keep the count of events or a
    hash elsewhere to notice that. Who can rewrite the whole log can also compute new hashes.
    """
    walk = _Walk(_scrubbed(connection))
    for before, after in _gaps(connection):
        walk.note(f"positions {before + 1} to {after - 1}: rows were removed")
    streaming = connection.execution_options(yield_per=1000)
    for row in streaming.execute(select(events).order_by(events.c.stream, events.c.version)):
        walk.step(row)
    more = walk.found - len(walk.faults)
    return VerifyReport(walk.streams, walk.events, walk.faults + ([f"and {more} more"] if more else []))


def _scrubbed(connection: Connection) -> frozenset[int]:
    bodies = connection.execute(select(events.c.body).where(events.c.kind == "MessageScrubbed")).scalars()
    positions: set[int] = set()
    for body in bodies:
        try:
            positions.update(orjson.loads(body)["positions"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue  # the walk reports the body
    return frozenset(positions)


def _gaps(connection: Connection) -> list[tuple[int, int]]:
    before = func.lag(events.c.position, 1, 0).over(order_by=events.c.position)
    pairs = select(before.label("before"), events.c.position.label("after")).subquery()
    gaps = select(pairs).where(pairs.c.after - pairs.c.before > 1).limit(FAULTS)
    return [(row.before, row.after) for row in connection.execute(gaps)]
