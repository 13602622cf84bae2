"""What is said about the alerts of an incident: more, none any more, several services affected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.announce_parts import all_of, first_of, say
from bot.chat import Button, Say
from bot.facts import Facts
from incidents import events as e
from incidents.incident import Incident
from incidents.policy import Policy

Batch = Sequence[e.Event]

RESOLVE = Button("Resolve", "/resolve", "primary")
DECLARE_MAJOR = Button("Declare a major outage", "/major on several services are affected", "danger")


def offer_major(i: Incident, facts: Facts) -> list[Say]:
    """Several services are affected: it may be a major outage, which somebody declares."""
    policy = facts.policy
    if i.major or policy is None or not policy.executives:
        return []
    labels = [policy.label(rung) for rung in policy.executives]
    return [say(i, "major_offer", (DECLARE_MAJOR,), services=list(i.services), executives=labels)]


def alert(ev: e.AlertAttached, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Alerts that came together are one message; those that opened or reopened it are told there."""
    together = all_of(e.AlertAttached, batch)
    if any(isinstance(x, e.IncidentOpened | e.Reopened) for x in batch):
        return offer_major(i, facts) if len(before.services) < 2 <= len(i.services) else []
    says = []
    if together[0] is ev:
        known = before.alerts.get((ev.source, ev.fingerprint))
        data = {
            "alerts": list(dict.fromkeys(x.name for x in together)),
            "count": len(together),
            "summary": ev.summary if len(together) == 1 else "",
            "service": ev.service if len(together) == 1 else None,
            "too": bool(before.alerts),
            "again": before.held or (known is not None and not known.firing),
            "held": before.held,
        }
        says.append(say(i, "alerts", **data))
    return says + (offer_major(i, facts) if len(before.services) < 2 <= len(i.services) else [])


def cleared(ev: e.AlertCleared, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """One alert less is on the card; that none fires any more is said, and resolving is offered."""
    last = all_of(e.AlertCleared, batch)[-1] is ev
    if not ev.all_clear or not last or first_of(e.Resolved, batch) is not None or not i.open:
        return []
    policy = facts.policy
    data = {"held": _held(i, policy), "count": len(i.alerts)}
    return [say(i, "all_clear", (RESOLVE,), **data)]


def _held(i: Incident, policy: Policy | None) -> str:
    """The rung above which steps wait now, where there are any."""
    found = policy.severity(i.severity) if policy is not None else None
    if policy is None or found is None:
        return ""
    waits = any(key not in i.fired and policy.held(step.to) for key, step in found.keyed_steps())
    return policy.label(policy.hold_above) if waits else ""


Rule = Callable[[Any, Any, Any, Batch, Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {e.AlertAttached: alert, e.AlertCleared: cleared}
