"""Taking a change back: to the value that its card showed, and only where the world has not moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.actions import Ops, Plan, Undo
from commands.case import Ask
from commands.incident.seen import action_asked
from commands.registry import command
from incidents import ways_back
from incidents.action import Action
from incidents.metrics import changes, taken_back
from incidents.ports import RefusedError


@command("undo", effect="change")
async def undo(number: int | None = None, *, ask: Ask, ops: Ops) -> Undo:
    """Take a change back; within 30 minutes of its end without another vote.

    /undo       the last change of this incident that can be taken back
    /undo 7     that one
    """
    action = await _chosen(ask, number)
    plan = Plan.from_data(action.plan)
    back = plan.undo
    if back is None or not action.reversible:
        raise RefusedError(_not_reversible(action))
    target = ops.target(plan.target)
    identity, state = await target.observe(plan)
    _check_still(action, [] if identity == plan.identity else ["it is another one now"], state)
    made = await target.plan(str(back["verb"]), **back["args"])
    _check_still(action, [], made.before)  # it may have moved while that was looked at
    covered = ways_back.undo_is_covered(action, ask.now)
    if covered and made.graver_than(plan):
        covered, made = (
            False,
            made.noting(f"it is a danger, which the approval of #{action.number} does not cover"),
        )
    return Undo(made, action.number, covered)


async def _chosen(ask: Ask, number: int | None) -> Action:
    """The request `number`, or the last one of this incident that can be taken back."""
    if number is None and ask.number is None:
        raise RefusedError(
            "Name the change to take back, as in `/undo 7`; `/pending` and the cards have its number."
        )
    asked = await action_asked(ask, number) if number is not None else None
    incident = asked.incident if asked is not None else ask.number
    every = changes(await ask.reader.entries(incident)) if incident is not None else {}
    undone = taken_back(every)
    if asked is not None:
        if asked.number in undone:
            raise RefusedError(f"#{asked.number} has been taken back already.")
        return asked
    found = [
        a
        for a in every.values()
        if a.reversible and a.number not in undone and a.undo_of is None and a.revert_of is None
    ]
    if not found:
        raise RefusedError("No change of this incident can be taken back.")
    last = max(found, key=lambda a: (a.ended_at or a.asked_at, a.number))
    return await action_asked(ask, last.number)


def _not_reversible(action: Action) -> str:
    if not action.stands:
        return f"#{action.number} was not done, so there is nothing to take back; see `/why {action.number}`."
    return f"#{action.number} is a change that nothing takes back."


def _check_still(action: Action, other: list[str], state: Mapping[str, Any]) -> None:
    """RefusedError where the world is not as the change left it: `replicas is 12 now, not 10`."""
    moved = [*other, *ways_back.moved(action, state)]
    if moved:
        raise RefusedError(
            f"#{action.number} cannot be taken back, the world moved: {' and '.join(moved)}. "
            "Ask for the change that you want now."
        )
