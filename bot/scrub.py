"""Erasing what a message said from every place that the log keeps it in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy import Row, and_, or_, select

from bot import store
from incidents.entries import SCRUBBED

# Fields in which what somebody typed is kept again: a command's text is also its event's.
WORDS = frozenset(["text", "why", "reason", "title", "detail", "summary", "skipped", "command"])
SHORTEST = 4  # characters; shorter pieces stand in too many places to be the message's
TELLING = 8  # characters; a text of so many that is found within another one is no coincidence
LONG_WORD = 6  # characters; such a word of a command is sought in what was recorded together with it
TOGETHER = 10  # positions, at most; what a command makes is recorded right after its message


@dataclass(slots=True)
class Erased:
    """What was taken out: positions of events, and rows of the outbox that had been sent with it."""

    positions: tuple[int, ...] = ()
    sent: list[Row[Any]] = field(default_factory=list)
    incident: int | None = None
    command: bool = False  # whether the message was one, so that it has been answered
    files: bool = False  # whether it had files, whose bytes are the chat's


def scrub(unit: store.Unit, number: int, message_id: str) -> Erased:
    """Erase the message, its edits, the events made of it and what was said about it.

    `number` is the incident in whose channel it was written. Linear in that incident's history, which is
    read for nothing else.
    """
    rows = _history(unit, number, message_id)
    said = _Said()
    for row, body in rows:
        if body.get("message_id") == message_id and (body.get("text") or body.get("files")):
            said.begins = said.begins or row.position
            said.files = said.files or bool(body.get("files"))
            said.texts += [body["text"]] if body.get("text") else []
    if not said.begins:
        return Erased()
    others = (row.position for row, _ in rows if row.kind == "MessagePosted" and row.position > said.begins)
    said.ends = min([said.begins + TOGETHER, *(position - 1 for position in others)])
    command = bool(said.texts) and said.texts[0][:1] in ("/", "!", "@")
    found: dict[int, dict[str, Any]] = {}
    more = True
    while more:  # what an event made of it repeats may be repeated again by another one
        more = False
        for row, body in rows:
            if row.position not in found and (clean := said.clean(row, body, message_id)) != body:
                found[row.position] = clean
                more = True
    for position, clean in found.items():
        unit.scrub(position, clean)
    sent = _outbox(unit, number, list(found), said)
    return Erased(tuple(sorted(found)), sent, number, command, said.files)


@dataclass(slots=True)
class _Said:
    """What the message said, and what was made of that."""

    texts: list[str] = field(default_factory=list)
    files: bool = False
    begins: int = 0  # position of the message; up to `ends` stands what was recorded together with it
    ends: int = 0

    def clean(self, row: Row[Any], body: dict[str, Any], message_id: str) -> dict[str, Any]:
        """The event's body without it; what was made of it is remembered."""
        mine = body.get("message_id") == message_id
        beside = self.begins < row.position <= self.ends
        clean = dict(body)
        for key in WORDS & body.keys():
            value = body[key]
            if isinstance(value, str) and value != SCRUBBED and (mine or self.in_(value, beside=beside)):
                clean[key] = SCRUBBED
                if value not in self.texts:
                    self.texts.append(value)
        if mine and body.get("files"):  # their names, and where they are fetched from
            clean |= {"files": [], "file_ids": []}
        return clean

    def in_(self, value: str, *, beside: bool) -> bool:
        """Whether a text repeats it: as a whole, or, where it was made together with it, in parts."""
        if len(value) < SHORTEST:
            return False
        if any(text == value or (len(text) >= TELLING and text in value) for text in self.texts):
            return True
        return beside and any(value in text or _share_a_word(text, value) for text in self.texts)

    def without(self, value: Any, *, beside: bool) -> Any:
        """Plain data without it, however deep."""
        if isinstance(value, str):
            return SCRUBBED if self.in_(value, beside=beside) else value
        if isinstance(value, dict):
            return {key: self.without(item, beside=beside) for key, item in value.items()}
        if isinstance(value, list):
            return [self.without(item, beside=beside) for item in value]
        return value


def _share_a_word(text: str, value: str) -> bool:
    words = text.split()
    if text[:1] in ("/", "!"):
        words = words[1:]  # the command's name is not what was said
    return any(len(word) >= LONG_WORD and word in value for word in (w.strip("\"'“”.,:;()") for w in words))


def _history(unit: store.Unit, number: int, message_id: str) -> list[tuple[Row[Any], dict[str, Any]]]:
    ev, ac, m = store.events, store.actions, store.messages
    actions = [
        f"action-{row.number}" for row in unit.rows(select(ac.c.number).where(ac.c.incident == number))
    ]
    streams = [f"incident-{number}", f"chat-{number}", *actions]
    posted = unit.rows(select(m.c.position).where(m.c.message_id == message_id, m.c.position.is_not(None)))
    audits = [
        and_(
            ev.c.stream.like("audit-%"),
            ev.c.position > row.position,
            ev.c.position <= row.position + TOGETHER,
        )
        for row in posted
    ]
    query = select(ev.c.position, ev.c.kind, ev.c.body).where(or_(ev.c.stream.in_(streams), *audits))
    rows = unit.rows(query.order_by(ev.c.position))
    return [(row, orjson.loads(row.body)) for row in rows if row.kind != "MessageScrubbed"]


def _outbox(unit: store.Unit, number: int, positions: list[int], said: _Said) -> list[Row[Any]]:
    """Rows of the outbox that repeat it keep their place and lose their words; those that were sent."""
    t = store.outbox
    where = f"incident:{number}"
    # The second is of one chat, where there are several.
    there = or_(t.c.channel == where, t.c.channel.startswith(f"{where}@"))
    mine = or_(t.c.event_position.in_(positions), there)
    sent = []
    for row in unit.rows(select(t).where(mine)):
        payload = orjson.loads(row.payload)
        beside = row.event_position in positions
        data = said.without(payload["data"], beside=beside)
        if data != payload["data"]:
            changed = orjson.dumps({**payload, "data": data}).decode()
            unit.execute(t.update().where(t.c.id == row.id).values(payload=changed))
            if row.sent_at is not None and row.op in ("say", "direct"):
                sent.append(row)
    return sent
