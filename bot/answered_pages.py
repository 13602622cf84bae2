"""Pages that somebody has answered: what stands in the channel asks nobody any more, and offers no button."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import select

from bot import store
from bot.chat import Say
from incidents.incident import Incident

if TYPE_CHECKING:
    from bot.logbook import Logbook

PAGES = "asked:"  # and the incident, and the page's key: what the message of a page is known by


def page_ref(number: int, key: str, rung: str, people: Sequence[str]) -> str:
    """What the message of one page in its incident's channel is known by; several may fall due at one moment."""
    return f"{PAGES}{number}:{key}:{rung}:{','.join(people)}"


def answered(book: Logbook, before: Any, after: Any) -> None:
    """Edit an incident's pages where it is acknowledged now, or over; they say who owns it.

    The row that said it says the same from then on, for what has not been delivered yet and for a scrub.
    """
    if not isinstance(before, Incident) or not isinstance(after, Incident) or not _settles(before, after):
        return
    t, ref = store.outbox, f"{PAGES}{after.number}:"
    query = select(t.c.id, t.c.channel, t.c.card, t.c.payload)
    mine = (t.c.op == "say", t.c.card >= ref, t.c.card < f"{ref[:-1]};")
    for row in book.unit.rows(query.where(*mine).order_by(t.c.id)):
        payload = orjson.loads(row.payload)
        if payload["data"]["acknowledged"]:
            continue
        told: dict[str, Any] = {
            "acknowledged": True,
            "owner": after.owner,
            "again_at": None,
            "next_people": [],
            "next_at": None,
        }
        data = {**payload["data"], **told}
        kept = orjson.dumps({**payload, "data": data, "buttons": []}).decode()
        book.unit.execute(t.update().where(t.c.id == row.id).values(payload=kept))
        book.say(Say(row.channel, op="edit", template=payload["template"], data=data, ref=row.card, lane=2))


def _settles(before: Incident, after: Incident) -> bool:
    answered_now = before.acknowledged_at is None and after.acknowledged_at is not None
    return answered_now or (before.open and not after.open)
