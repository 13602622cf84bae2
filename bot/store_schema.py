"""The tables of the store, its times, and how each row of the log is chained to the one before it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(at: datetime) -> int:
    """Microseconds since the epoch, UTC: how every time is stored. A time without a zone is a ValueError."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return (at - EPOCH) // _MICROSECOND


def moment(at: int) -> datetime:
    """The time, in UTC, that was stored as so many microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=at)


class Micros(TypeDecorator[int]):
    """A time: takes a datetime or microseconds since the epoch, gives back microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        """Turn a datetime into the number that is stored."""
        return micros(value) if isinstance(value, datetime) else value


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_WAITING = "sent_at IS NULL AND failed IS NULL"
_RAN = "state IN ('done', 'failed', 'unknown')"


def _some(where: str, *columns: str) -> Index:
    """An index of those rows only, in both databases."""
    return Index(None, *columns, sqlite_where=text(where), postgresql_where=text(where))


_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself for INTEGER only

events = Table(
    "events",
    METADATA,
    Column("position", _Number, primary_key=True, autoincrement=False),
    Column("stream", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Micros, nullable=False),
    Column("actor", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("salt", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("hash", Text, nullable=False),
    UniqueConstraint("stream", "version"),
)
inbox = Table(
    "inbox",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("at", Micros, nullable=False),
    Column("state", Text, nullable=False, default="done"),
    Column("payload", Text),
    sqlite_with_rowid=False,
)
outbox = Table(
    "outbox",
    METADATA,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("at", Micros, nullable=False),
    Column("channel", Text, nullable=False),
    Column("lane", Integer, nullable=False, default=1),  # 0 pages, 1 messages, 2 cosmetics
    Column("op", Text, nullable=False),
    Column("card", Text, index=True),
    Column("payload", Text, nullable=False),
    Column("not_before", Micros, nullable=False, default=0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("claimed_by", Text),
    Column("claimed_until", Micros),
    Column("sent_at", Micros),
    Column("failed", Text),
    Column("message_id", Text),
    Column("event_position", BigInteger),
    _some(_WAITING, "lane", "id"),
    _some(_WAITING, "channel", "lane", "id"),
    _some(_WAITING, "not_before", "channel", "lane"),
    _some(f"{_WAITING} AND claimed_until IS NOT NULL", "claimed_until"),
    sqlite_autoincrement=True,  # an id names a Matrix transaction, so it is never used again
)
messages = Table(
    "messages",
    METADATA,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("platform", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("thread", Text),
    Column("author", Text, nullable=False),
    Column("card", Text),
    Column("position", BigInteger),
    UniqueConstraint("platform", "channel", "message_id"),
    _some("card IS NOT NULL", "card"),
    sqlite_autoincrement=True,
)
deadlines = Table(
    "deadlines",
    METADATA,
    Column("stream", Text, primary_key=True),
    Column("due_at", Micros, nullable=False, index=True),
    Column("kind", Text, nullable=False),
)
incidents = Table(
    "incidents",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False, index=True),
    Column("severity", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("service", Text),
    Column("title", Text, nullable=False),
    Column("channel", Text, index=True),
    Column("opened_at", Micros, nullable=False),
    Column("updated_at", Micros, nullable=False),
    Column("private", Integer, nullable=False, default=0),
    Column("owner", Text),
    Column("group_key", Text, index=True),
)
actions = Table(
    "actions",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("incident", Integer, index=True),
    Column("channel", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("requester", Text, nullable=False),
    Column("target", Text, nullable=False, index=True),
    Column("fingerprint", Text, nullable=False),
    Column("boot", Text),
    Column("updated_at", Micros, nullable=False),
    Column("command", Text, nullable=False, server_default=""),
    _some(_RAN, "target", "command", "number"),
)
HAS_RUN = text(f"actions.{_RAN}")  # of an action, in the words of its index: a database uses it for no others
locks = Table(
    "locks",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Micros),
)
alerts = Table(
    "alerts",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("fingerprint", Text, primary_key=True),
    Column("starts_at", Micros, primary_key=True, autoincrement=False),
    Column("status", Text, nullable=False),
    Column("incident", Integer, nullable=False),
)
bindings = Table(
    "bindings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


def rfc3339(at: datetime) -> str:
    """The time as the chain writes it: UTC, six digits of a second, Z at the end."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def body_digest(salt: bytes, body: bytes) -> str:
    """SHA-256 of the salt followed by the body as it is stored, in hexadecimal."""
    return hashlib.sha256(salt + body).hexdigest()


def chain_hash(previous: str, stream: str, version: int, kind: str, at: str, actor: str, digest: str) -> str:
    """The hash of a row of the log, in hexadecimal; anybody can compute it again from the row.

    It is the SHA-256 of this JSON array, in UTF-8, without spaces and with nothing but what JSON
    demands escaped: [previous, stream, version, kind, at, actor, digest], where `previous` is the hash
    of the row before it in the stream ("" for the first), `at` is RFC 3339 in UTC with six digits of
    a second and a Z, and `digest` is the SHA-256 of the row's salt (16 bytes, stored in hexadecimal)
    followed by its body as stored. In Python: json.dumps(row, separators=(",", ":"), ensure_ascii=False).
    A scrubbed row has another body and no salt, but keeps its digest, so the chain still holds.
    """
    return hashlib.sha256(orjson.dumps([previous, stream, version, kind, at, actor, digest])).hexdigest()
