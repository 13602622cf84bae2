"""Who may see what of a private incident."""

from __future__ import annotations

from commands.case import Ask, Case
from incidents.action import Action
from incidents.incident import Incident
from incidents.ports import RefusedError


def may_see(incident: Incident, person: str, here: int | None) -> bool:
    """A private incident is seen by those who take part or were paged, and in its own channel."""
    return incident.visible_to(person, incident.number == here)


def action_here(case: Case, number: int) -> Action:
    """The request `number`; RefusedError where there is none that this person may see."""
    found = case.action(number)
    of = case.log.incident(found.incident) if found.incident is not None else None
    if of is not None and not may_see(of, case.by, case.number):
        raise RefusedError(f"There is no request #{number}; `/pending` shows what waits.")
    return found


async def action_asked(ask: Ask, number: int) -> Action:
    """The request `number`, for a read; RefusedError where there is none that this person may see."""
    found = await ask.reader.action(number)
    if found is None or not await action_seen(ask, found):
        raise RefusedError(f"There is no request #{number}; `/pending` shows what waits.")
    return found


async def action_seen(ask: Ask, action: Action) -> bool:
    """Whether the person asking may see the request's incident."""
    if action.incident is None:
        return True
    of = await ask.reader.incident(action.incident)
    return of is None or may_see(of, ask.by, ask.number)
