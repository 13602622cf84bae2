"""Breaking the glass: who may, and the review that is always due afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta

from commands.case import Case
from commands.incident.configured import break_glass, team_lead_rungs
from incidents import life
from incidents.action import Action
from incidents.due import FALLBACK, choose
from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import Policy
from incidents.ports import RefusedError

_REVIEW_AFTER = timedelta(days=1)


def may_break(case: Case, action: Action) -> str | None:
    """Why this person may not break the glass for it, or None; RefusedError outside of an incident."""
    incident = _incident(case, action)
    who = break_glass(case.rules).who
    roster = case.log.roster
    on_call = _on_call(roster, case.log.policy(incident), case.now)
    if "on_call" in who and case.by in on_call:
        return None
    if "commander" in who and incident.roles.get("commander") == case.by:
        return None
    allowed = {"on_call": "whoever is on call", "commander": f"the commander of INC-{incident.number}"}
    named = " or ".join(allowed[each] for each in who if each in allowed) or "nobody"
    return f"{case.by}, breaking the glass is for {named}."


def _on_call(roster: Roster, policy: Policy, now: datetime) -> set[str]:
    """Who is on call for an incident: on the shifts of the rungs that its policy pages."""
    rungs = [roster.rungs[name] for name in policy.ladder if name in roster.rungs]
    return {person for rung in rungs if rung.rota is not None for person in roster.people(rung.name, now)}


def review(case: Case, action: Action, reason: str) -> None:
    """Note the review of it as an action item; that the team lead is paged follows from the event itself."""
    incident = _incident(case, action)
    item = life.add_item(
        incident,
        by=case.by,
        now=case.now,
        text=f"Review the break-glass of #{action.number}: {reason}",
        owner=_team_lead(case, incident),
        due=case.now + _REVIEW_AFTER,
    )
    case.record(*item, number=incident.number)


def _incident(case: Case, action: Action) -> Incident:
    if action.incident is None:
        raise RefusedError(
            "The glass is broken in an incident only: open one with `/incident open`, and ask for the "
            "change there."
        )
    return case.other(action.incident)


def _team_lead(case: Case, incident: Incident) -> str | None:
    """The team lead, or whoever stands above where that is nobody else than the asker."""
    policy, roster = case.log.policy(incident), case.log.roster
    for rung in (*team_lead_rungs(roster, policy), FALLBACK):
        _, people, _ = choose(incident, policy, roster, rung, case.now, page=False)
        for person in people:
            if person != case.by:
                return person
    return None
