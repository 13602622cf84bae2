"""Which changes are being followed, kept as rows beside the log; and what ends that from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from bot import store
from incidents import events as e
from incidents import watching
from incidents.action import Action
from incidents.change_sentences import undoes
from incidents.incident import Incident

if TYPE_CHECKING:
    from bot.logbook import Logbook

WATCHED = "watch:"  # and the number of the change: names of rows among the locks, held by its service


def beside(book: Logbook, event: e.Event, after: Any) -> None:
    """What stands beside an event: the row while a change is followed, and the end of what it makes meaningless."""
    if isinstance(after, Action):
        if isinstance(event, e.WatchBegan):
            row = {"name": f"{WATCHED}{after.number}"}
            book.unit.upsert(store.locks, row, {"holder": str(after.plan.get("service"))})
        elif isinstance(event, e.WatchEnded | e.ActionFailed | e.ActionUnknown) and after.watch is not None:
            mine = store.locks.c.name == f"{WATCHED}{after.number}"
            book.unit.execute(store.locks.delete().where(mine))
        elif isinstance(event, e.ActionStarted):
            _started(book, after)
    elif isinstance(event, e.Closed | e.MergedInto) and isinstance(after, Incident):
        how = "closed" if isinstance(event, e.Closed) else "merged into another one"
        for number, _ in list(_rows(book)):
            other = book.action(number)
            if other is not None and other.incident == after.number:
                _stop(book, other, f"INC-{after.number} was {how}")


def _started(book: Logbook, action: Action) -> None:
    """What is measured from now on comes of this change, too."""
    service = action.plan.get("service")
    if service is None:
        return
    for number, holder in list(_rows(book)):
        other = book.action(number) if holder == service and number != action.number else None
        if other is not None:
            _stop(book, other, _how(book, action, other))


def _how(book: Logbook, action: Action, other: Action) -> str:
    """In what way `action` ends the watch of `other`; nothing of what runs in a private incident is told elsewhere."""
    service = action.plan["service"]
    incident = book.incident(action.incident) if action.incident is not None else None
    if incident is not None and incident.private and other.incident != action.incident:
        return f"another change of {service} has started"
    if undoes(action) == other.number:
        return f"#{action.number} takes it back"
    return f"#{action.number} changes {service}, too"


def _stop(book: Logbook, action: Action, why: str) -> None:
    book.record(f"action-{action.number}", *watching.stop(action.watch, why, book.now))


def _rows(book: Logbook) -> Iterator[tuple[int, str]]:
    t = store.locks
    query = select(t.c.name, t.c.holder).where(t.c.name >= WATCHED, t.c.name < f"{WATCHED[:-1]};")
    for row in book.unit.rows(query):
        yield int(row.name.removeprefix(WATCHED)), row.holder
