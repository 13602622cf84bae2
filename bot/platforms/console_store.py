"""What the built-in chat keeps, in one SQLite file: channels, messages, pages, acts not yet taken."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from bot.chat import Button, Deletion, Edit, Incoming, Press, Reaction, Request

KEEP_CHANGES = 5_000  # a reader who is further behind than this loads the page anew

_ACTS: Mapping[str, type[Incoming]] = {c.__name__: c for c in (Request, Press, Reaction, Edit, Deletion)}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS things (
    kind TEXT NOT NULL, id TEXT NOT NULL, rev INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY AUTOINCREMENT, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL
);
"""


@dataclass(slots=True, kw_only=True)
class Channel:
    """A channel by its id; `name` has no `#`, and the name of a direct channel is `@person`."""

    id: str
    name: str
    kind: Literal["public", "private", "direct"] = "public"
    key: str | None = None
    topic: str = ""
    archived: bool = False
    members: list[str] = field(default_factory=list)
    links: list[list[str]] = field(default_factory=list)
    rev: int = 0

    @property
    def title(self) -> str:
        """The name as people read it: `#ops`, `@alice`."""
        return self.name if self.kind == "direct" else f"#{self.name}"

    def open_to(self, user: str) -> bool:
        """Whether `user` sees what is written here."""
        return self.kind == "public" or user in self.members


@dataclass(slots=True, kw_only=True)
class Attachment:
    """A file of a message; `size` in bytes."""

    id: int
    name: str
    mime: str
    size: int


@dataclass(slots=True, kw_only=True)
class Message:
    """A message; `thread` is the id of the thread's first one, `reader` the only one to see a whisper."""

    id: str
    channel: str
    author: str
    at: datetime
    text: str
    plain: str
    by_bot: bool = False
    thread: str | None = None
    card: str | None = None
    buttons: list[Button] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)
    key: str | None = None
    reader: str | None = None
    files: list[Attachment] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    edited_at: datetime | None = None
    deleted: bool = False
    pinned: bool = False
    rev: int = 0

    @property
    def number(self) -> int:
        """Its place in the order of all messages."""
        return int(self.id[1:])

    def seen_by(self, user: str) -> bool:
        """Whether a whisper, or the lack of one, lets `user` read this."""
        return self.reader in (None, user)


@dataclass(slots=True, kw_only=True)
class Page:
    """Somebody was reached outside the chat, or would have been: by SMS, phone, push or mail."""

    id: str
    person: str
    method: str
    text: str
    at: datetime
    rev: int = 0


Thing = Channel | Message | Page


class Pending(NamedTuple):
    """An act that the bot has not taken yet; `number` makes its event id."""

    number: int
    at: datetime
    act: Incoming


class ConsoleStore:
    """The chat's things, in memory and on disk; a change is on disk before the call that made it returns.

    WAL with synchronous=NORMAL: a killed process loses nothing, a power cut may lose the last moments.
    """

    def __init__(self, path: Path | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("PRAGMA busy_timeout=5000")
        self._db.execute("PRAGMA secure_delete=ON")  # what is deleted leaves the file
        self._db.executescript(_SCHEMA)
        self._open = False
        self._load()

    def _load(self) -> None:
        self.rev = 0
        self.channels: dict[str, Channel] = {}
        self.messages: dict[str, Message] = {}
        self.pages: dict[str, Page] = {}
        self.gone: set[str] = set()  # people who were deactivated
        self.notes: dict[str, Any] = {}
        self.by_channel: dict[str, list[Message]] = {}
        self.by_thread: dict[str, list[Message]] = {}
        self.by_key: dict[str, str] = {}
        things: list[Thing] = []
        for kind, name, rev, raw in self._db.execute("SELECT kind, id, rev, body FROM things").fetchall():
            body = orjson.loads(raw)
            if kind == "Note":
                self.notes[name] = body
            elif kind == "Gone":
                self.gone.add(name)
            else:
                things.append(_thing(kind, body))
            self.rev = max(self.rev, rev)
        for thing in sorted(things, key=lambda t: int(t.id[1:])):
            self._index(thing)
        self._changes = sorted((t.rev, type(t).__name__, t.id) for t in things)[-KEEP_CHANGES:]
        if "origin" not in self.notes:  # event ids stay unique where this file is deleted and made anew
            self.note("origin", secrets.token_hex(4))

    def close(self) -> None:
        """Close the file; nothing is lost where this is never called."""
        self._db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Everything that is saved inside is on disk together, or not at all."""
        if self._open:
            yield
            return
        self._open = True
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._load()  # what was changed in memory is what the disk says again
            raise
        finally:
            self._open = False

    def save(self, *things: Thing) -> None:
        """Keep new and changed things; each gets the next revision."""
        with self.writing():
            for thing in things:
                self.rev += 1
                thing.rev = self.rev
                kind = type(thing).__name__
                self._put(kind, thing.id, thing.rev, asdict(thing))
                self._index(thing)
                self._changes.append((thing.rev, kind, thing.id))
        if len(self._changes) > 2 * KEEP_CHANGES:
            del self._changes[:-KEEP_CHANGES]

    def erase_traces(self) -> None:
        """Empty the journal, where words that were just deleted or changed still stand."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def note(self, name: str, value: Any) -> None:
        """Keep a small value under a name; None forgets it."""
        if value is None:
            self.notes.pop(name, None)
        else:
            self.notes[name] = value
        self._put("Note", name, 0, value)

    def leave(self, user: str) -> None:
        """Remember that somebody was deactivated."""
        self.gone.add(user)
        self._put("Gone", user, 0, True)

    def changes(self, since: int) -> list[Thing] | None:
        """What changed after revision `since`, each thing once, oldest change first; None: too long ago."""
        if since > self.rev or (self._changes and since < self._changes[0][0] - 1):
            return None
        newest = {(kind, name): rev for rev, kind, name in self._tail(since)}
        tables: Mapping[str, Mapping[str, Thing]]
        tables = {"Channel": self.channels, "Message": self.messages, "Page": self.pages}
        return [tables[kind][name] for kind, name in sorted(newest, key=newest.__getitem__)]

    def next_id(self, letter: str) -> str:
        """An unused id: C7 for a channel, M12 for a message, P3 for a page."""
        count = {"C": len(self.channels), "M": len(self.messages), "P": len(self.pages)}[letter]
        return f"{letter}{count + 1}"

    # -- files ------------------------------------------------------------------------------------

    def keep_file(self, data: bytes) -> int:
        """Keep a file's bytes and return their number."""
        number = self._db.execute("INSERT INTO files (data) VALUES (?)", (data,)).lastrowid
        assert number is not None
        return number

    def file(self, number: int) -> bytes:
        """A file's bytes; KeyError where there is none."""
        row = self._db.execute("SELECT data FROM files WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return bytes(row[0])

    # -- acts of people, until the bot has taken them -----------------------------------------------

    def keep_act(self, act: Incoming, at: datetime) -> Pending:
        """Keep an act that is to be handed over, and give it its event id."""
        body = orjson.dumps(asdict(act))
        row = (at.isoformat(), type(act).__name__, body)
        number = self._db.execute("INSERT INTO acts (at, kind, body) VALUES (?, ?, ?)", row).lastrowid
        assert number is not None
        return self._pending(number, at, type(act).__name__, body)

    def taken(self, number: int) -> None:
        """The bot took this act; it is not handed over again."""
        self._db.execute("DELETE FROM acts WHERE id = ?", (number,))

    def untaken(self) -> list[Pending]:
        """The acts that the bot has not taken yet, oldest first."""
        rows = self._db.execute("SELECT id, at, kind, body FROM acts ORDER BY id").fetchall()
        return [self._pending(n, datetime.fromisoformat(at), kind, body) for n, at, kind, body in rows]

    def _pending(self, number: int, at: datetime, kind: str, body: bytes) -> Pending:
        values = {**orjson.loads(body), "event_id": f"{self.notes['origin']}-{number}"}
        if "files" in values:
            values["files"] = tuple(values["files"])
        return Pending(number, at, _ACTS[kind](**values))

    # -- inside -----------------------------------------------------------------------------------

    def _put(self, kind: str, name: str, rev: int, body: Any) -> None:
        row = (kind, name, rev, orjson.dumps(body))
        self._db.execute("INSERT OR REPLACE INTO things VALUES (?, ?, ?, ?)", row)

    def _index(self, thing: Thing) -> None:
        if isinstance(thing, Channel):
            self.channels[thing.id] = thing
        elif isinstance(thing, Page):
            self.pages[thing.id] = thing
        elif thing.id not in self.messages:
            self.messages[thing.id] = thing
            self.by_channel.setdefault(thing.channel, []).append(thing)
            if thing.thread is not None:
                self.by_thread.setdefault(thing.thread, []).append(thing)
            if thing.key is not None:
                self.by_key[thing.key] = thing.id

    def _tail(self, since: int) -> Iterable[tuple[int, str, str]]:
        for at in range(len(self._changes) - 1, -1, -1):
            if self._changes[at][0] <= since:
                return self._changes[at + 1 :]
        return self._changes


def _thing(kind: str, body: dict[str, Any]) -> Thing:
    for name in ("at", "edited_at"):
        if body.get(name) is not None:
            body[name] = datetime.fromisoformat(body[name])
    if kind == "Channel":
        return Channel(**body)
    if kind == "Page":
        return Page(**body)
    body["buttons"] = [Button(**b) for b in body["buttons"]]
    body["files"] = [Attachment(**f) for f in body["files"]]
    return Message(**body)
