"""Erasing what a message said from every place that the log keeps it in."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Row, or_, select

from bot import store
from incidents.entries import SCRUBBED

# Fields in which what somebody typed is kept again: a command's text is also its event's.
WORDS = frozenset(["text", "why", "reason", "title", "detail", "summary", "skipped"])
SHORTEST = 4  # characters; shorter pieces stand in too many places to be the message's


def scrub(unit: store.Unit, number: int, message_id: str) -> tuple[int, ...]:
    """Erase the message, its edits, the events made of it and what was said about it; the events' positions.

    `number` is the incident in whose channel it was written. Linear in that incident's history, which is
    read for nothing else.
    """
    rows = _history(unit, number)
    texts = [body["text"] for row, body in rows if body.get("message_id") == message_id and body.get("text")]
    found = []
    for row, body in rows:
        clean = _clean(body, message_id, texts)
        if clean != body:
            unit.scrub(row.position, clean)
            found.append(row.position)
    _outbox(unit, number, found, texts)
    return tuple(found)


def _history(unit: store.Unit, number: int) -> list[tuple[Row[Any], dict[str, Any]]]:
    ev, ac = store.events, store.actions
    actions = [
        f"action-{row.number}" for row in unit.rows(select(ac.c.number).where(ac.c.incident == number))
    ]
    streams = [f"incident-{number}", f"chat-{number}", *actions]
    rows = unit.rows(select(ev.c.position, ev.c.kind, ev.c.body).where(ev.c.stream.in_(streams)))
    return [(row, orjson.loads(row.body)) for row in rows if row.kind != "MessageScrubbed"]


def _clean(body: dict[str, Any], message_id: str, texts: list[str]) -> dict[str, Any]:
    mine = body.get("message_id") == message_id
    return {
        key: SCRUBBED if isinstance(value, str) and key in WORDS and (mine or _said(value, texts)) else value
        for key, value in body.items()
    }


def _said(value: str, texts: list[str]) -> bool:
    return len(value) >= SHORTEST and any(value in text or text in value for text in texts)


def _outbox(unit: store.Unit, number: int, positions: list[int], texts: list[str]) -> None:
    """Rows of the outbox that repeat it keep their place and lose their words."""
    t = store.outbox
    mine = or_(t.c.event_position.in_(positions), t.c.channel == f"incident:{number}")
    for row in unit.rows(select(t.c.id, t.c.payload).where(mine)):
        payload = orjson.loads(row.payload)
        data = {
            key: SCRUBBED if isinstance(value, str) and _said(value, texts) else value
            for key, value in payload["data"].items()
        }
        if data != payload["data"]:
            changed = orjson.dumps({**payload, "data": data}).decode()
            unit.execute(t.update().where(t.c.id == row.id).values(payload=changed))
