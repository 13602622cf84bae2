"""What follows from a change that takes another one back: requests for the same, and its timer, are withdrawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from incidents import events as e
from incidents import ways_back
from incidents.action import Action
from incidents.change_sentences import undoes

if TYPE_CHECKING:
    from bot.logbook import Logbook


def overtake(book: Logbook, event: e.Event, after: Any) -> None:
    """When it starts, what waits for votes and would do the same is withdrawn; once it is done, so is the timer."""
    if not isinstance(event, e.ActionStarted | e.ActionFinished) or not isinstance(after, Action):
        return
    undone = book.action(of) if (of := undoes(after)) is not None else None
    if undone is None:
        return
    if isinstance(event, e.ActionFinished):
        if undone.revert_at is not None:
            why = f"#{after.number} took it back"
            book.record(f"action-{undone.number}", e.RevertKept(at=book.now, actor=e.BOT, why=why))
        return
    for incident, channel in {(undone.incident, undone.channel), (after.incident, after.channel)}:
        for other in book.pending(incident, channel):
            book.record(f"action-{other.number}", *ways_back.overtaken(other, by=after, now=book.now))
