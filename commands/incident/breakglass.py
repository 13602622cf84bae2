"""Breaking the glass: who may, and what always follows: the team lead is paged, a review is due."""

from __future__ import annotations

from datetime import timedelta

from commands.case import Case
from commands.incident.configured import break_glass, team_lead_rungs
from incidents import events as e
from incidents import life
from incidents.approvals import Action
from incidents.change_sentences import change_text
from incidents.due import FALLBACK, choose
from incidents.incident import Incident
from incidents.ports import RefusedError

_REVIEW_AFTER = timedelta(days=1)


def may_break(case: Case, action: Action) -> str | None:
    """Why this person may not break the glass for it, or None; RefusedError outside of an incident."""
    incident = _incident(case, action)
    who = break_glass(case.rules).who
    roster = case.log.roster
    on_call = {roster.on_call(rota, case.now) for rota in roster.rotas}
    if "on_call" in who and case.by in on_call:
        return None
    if "commander" in who and incident.roles.get("commander") == case.by:
        return None
    allowed = {"on_call": "whoever is on call", "commander": f"the commander of INC-{incident.number}"}
    named = " or ".join(allowed[each] for each in who if each in allowed) or "nobody"
    return f"{case.by}, breaking the glass is for {named}."


def follow_up(case: Case, action: Action, reason: str) -> None:
    """Page the team lead, and note the review of it as an action item."""
    incident = _incident(case, action)
    lead, people = _team_lead(case, incident)
    why = f"break-glass on #{action.number} ({change_text(action.plan)}): {reason}"
    paged = e.Paged(at=case.now, actor=case.by, people=people, rung="", why=why)
    item = life.add_item(
        incident,
        by=case.by,
        now=case.now,
        text=f"Review the break-glass of #{action.number}: {reason}",
        owner=lead,
        due=case.now + _REVIEW_AFTER,
    )
    case.record(*([paged] if people else []), *item, number=incident.number)


def _incident(case: Case, action: Action) -> Incident:
    if action.incident is None:
        raise RefusedError(
            "The glass is broken in an incident only: open one with `/incident open`, and ask for the "
            "change there."
        )
    return case.other(action.incident)


def _team_lead(case: Case, incident: Incident) -> tuple[str | None, tuple[str, ...]]:
    """The team lead, or whoever stands above where that is nobody else than the asker."""
    policy, roster = case.log.policy(incident), case.log.roster
    rungs = [*team_lead_rungs(roster, policy), FALLBACK]
    for rung in rungs:
        _, people, _ = choose(incident, policy, roster, rung, case.now, page=False)
        others = tuple(person for person in people if person != case.by)
        if others:
            return others[0], others
    return None, ()
