"""How a change is taken back: by an undo, or by itself when its time is over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from incidents import events as e
from incidents.action import Action
from incidents.ports import RefusedError

FIRST_TRY, LAST_TRY = timedelta(minutes=1), timedelta(minutes=15)  # until a way back is tried again


def keep(a: Action, *, by: str, now: datetime) -> list[e.Event]:
    """Stay as it is: the planned way back is dropped."""
    if not a.stands or a.revert_at is None:
        raise RefusedError(f"#{a.number} does not go back by itself.")
    return [e.RevertKept(at=now, actor=by)]


def blocked(a: Action, why: str, *, again: bool, now: datetime) -> e.RevertBlocked:
    """The way back could not be asked for; where it makes sense it is tried again, ever more seldom."""
    wait = min(FIRST_TRY * 2 ** min(a.tries, 8), LAST_TRY)
    return e.RevertBlocked(at=now, actor=e.BOT, why=why, again_at=now + wait if again else None)


def moved(a: Action, *seen: Mapping[str, Any]) -> list[str]:
    """What is not as the change left it, in what was seen of it since: `replicas is 12 now, not 10`."""
    left = a.after or a.plan.get("after") or {}
    return [
        f"{key} is {state[key]} now, not {value}"
        for state in seen
        for key, value in left.items()
        if key in state and state[key] != value
    ]


def undo_is_covered(a: Action, now: datetime) -> bool:
    """Whether the approval of the change covers an undo now: once, within its window after completion.

    What takes a change back is the undo that was covered: to take that back in turn is another change.
    """
    if a.undo_of is not None or a.revert_of is not None or not a.stands or a.ended_at is None:
        return False
    return now <= a.ended_at + timedelta(seconds=a.undo_within)


def overtaken(a: Action, *, by: Action, now: datetime) -> list[e.Event]:
    """Withdraw a request of which `by`, which takes a change back and starts now, does the same; else nothing.

    One that has been approved is not withdrawn: it is checked against the target before it runs.
    """
    of = by.undo_of if by.undo_of is not None else by.revert_of
    if a.state != "pending" or a.number == by.number or of is None:
        return []
    if of not in (a.undo_of, a.revert_of) and any(a.plan.get(key) != by.plan.get(key) for key in _DOES):
        return []
    how = "undo" if by.undo_of is not None else "way back"
    why = f"not needed any more: #{by.number} does the same, as the {how} of #{of}"
    return [e.ActionCancelled(at=now, actor=e.BOT, why=why)]


_DOES = ("target", "verb", "args", "subject")  # of a plan: what it does, whatever it found there
