"""The two cards that are edited as things change: an incident's, and that of a requested change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.chat import Button
from bot.facts import Facts
from incidents.action import Action
from incidents.due import timers
from incidents.incident import Incident
from incidents.policy import CLOCK_LABELS, Policy, Step
from incidents.watching import shown

SIGNS = ("🔴", "🟠", "🟡", "🔵")
BAR = 10
_ALERTS = 3  # how many the card names

Progress = tuple[int, int, str]  # done, total, what of


@dataclass(frozen=True, slots=True)
class Card:
    """A template, what fills it, and the buttons under it."""

    template: str
    data: dict[str, Any] = field(default_factory=dict)
    buttons: tuple[Button, ...] = ()


def sign(rank: int) -> str:
    """The sign of a severity; the word always stands beside it."""
    return SIGNS[min(max(rank, 0), len(SIGNS) - 1)]


# -- incidents ------------------------------------------------------------------------------------


def incident_card(incident: Incident, *, facts: Facts, requests: Sequence[Action]) -> Card:
    """The pinned card of an incident; `requests` are its changes that wait for votes or run."""
    i, policy = incident, facts.policy
    severity = policy.severity(i.severity) if policy is not None else None
    data = {
        "number": i.number,
        "head": f"INC-{i.number} {i.title}",
        "sign": sign(i.rank) if i.open else "⚪" if i.merged_into is not None else "🟢",
        "words": _words(i),
        "services": list(i.services or ((i.service,) if i.service else ())),
        "state": i.state,
        "at": _state_at(i),
        "round_at": i.round_at,
        "since": i.since,
        "owner": i.owner,
        "commander": i.roles.get("commander"),
        "merged_into": i.merged_into,
        "linked": i.linked,
        "next": list(_coming(i, policy, facts.now)) if i.open and policy is not None else [],
        "eta": i.eta,
        "eta_passed": i.eta_passed,
        "firing": i.firing,
        "alerts": _alert_names(i),
        "waiting": sum(a.waits for a in requests),
        "unvoted": [{"number": a.number, "at": a.break_glass_at} for a in requests if a.unvoted],
        "status_page": severity.status_page if severity is not None and i.open else "no",
        "update": i.update_text,
    }
    return Card("card_incident", data, _incident_buttons(i))


def _words(i: Incident) -> list[str]:
    words = [i.severity.capitalize()] if i.open else [i.state.capitalize(), i.severity]
    marks = (("major outage", i.major), ("drill", i.drill), ("private", i.private))
    return [*words, *(word for word, on in marks if on)]


def _state_at(i: Incident) -> datetime:
    if i.closed_at is not None:
        return i.closed_at
    if i.resolved_at is not None:
        return i.resolved_at
    return i.status_at or i.acknowledged_at or i.round_at


def _alert_names(i: Incident) -> list[str]:
    names = list(dict.fromkeys(alert.name for alert in i.alerts.values() if alert.firing))
    more = len(names) - _ALERTS
    return [*names[:_ALERTS], f"{more} more"] if more > 0 else names


def _incident_buttons(i: Incident) -> tuple[Button, ...]:
    if i.merged_into is not None:
        return ()
    if not i.open:
        return (Button("Post-mortem draft", "/export md", "primary"), Button("Reopen", "/reopen"))
    return (
        Button("Acknowledge", "/ack", "" if i.acknowledged_at else "primary"),
        Button("Update", "/update"),
        Button("Runbook", "/runbook"),
        Button("Escalate", "/escalate"),
        Button("Resolve", "/resolve"),
        Button("Catch up", "/catchup"),
    )


def _coming(i: Incident, policy: Policy, now: datetime) -> Iterator[dict[str, Any]]:
    """The next two deadlines: a clock stands for the step that is taken when it is missed."""
    found = 0
    for timer in sorted(timers(i, policy)):
        if timer.due <= now:
            continue
        text = ""
        if timer.kind == "clock":
            text = f"{CLOCK_LABELS.get(timer.key, timer.key)} due"
        elif timer.kind == "step":
            text = _step_words(policy, step_of(i, policy, timer.key))
        elif timer.kind == "reminder":
            text = "update due"
        if text and found < 2:
            found += 1
            yield {"text": text, "at": timer.due}


def step_of(i: Incident, policy: Policy, key: str) -> Step | None:
    """The step of this incident's severity that has `key`."""
    severity = policy.severity(i.severity)
    steps = severity.keyed_steps() if severity is not None else ()
    return next((step for known, step in steps if known == key), None)


def _step_words(policy: Policy, step: Step | None) -> str:
    if step is None or (step.when == "late" and step.after == 0):
        return ""
    if step.do == "message":
        return "the team is told"
    verb = "paged" if step.do == "page" else "notified"
    return f"{policy.label(step.to)} {verb}"


# -- requested changes ----------------------------------------------------------------------------


def action_card(
    action: Action, *, facts: Facts, progress: Progress | None, taken_back_by: int | None = None
) -> Card:
    """The card of a requested change in its state; what was frozen is told alike in all of them.

    `taken_back_by` is the finished change that took it back: then nothing of it can be taken back any more.
    """
    a = action
    data = _frozen(a) | {
        "state": a.state,
        "voters": list(a.voters),
        "votes": list(a.approvals),
        "why": a.why,
        "text": a.text,
        "started_at": a.started_at,
        "ended_at": a.ended_at,
        "revert_at": a.revert_at,
        "blocked": a.blocked,
        "cancel_asked": a.cancel_asked,
        "seconds": _seconds(a),
        "bar": "",
        "progress": "",
        "watch": shown(a.watch),
        "taken_back_by": taken_back_by,
    }
    n = a.number
    data["by"] = a.ended_by or None
    details = Button("Details", f"/why {n}")
    match a.state:
        case "pending" if a.unvoted:
            data |= {"runs_at": a.break_glass_at, "by": a.break_glass_by}
            return Card("card_break_glass", data, (Button("Stop", f"/deny {n}", "danger"), details))
        case "pending":
            data |= _asked(a, facts)
            return Card("card_asked", data, vote_buttons(a))
        case "approved" | "running":
            data |= _bar(progress) if progress is not None else {}
            stops = a.state == "approved" or a.plan.get("stoppable")
            return Card("card_running", data, (Button("Cancel", f"/cancel {n}"),) if stops else ())
        case "done":
            return Card("card_done", data, _done_buttons(a) if taken_back_by is None else ())
        case "failed" if a.stands:
            buttons = (*(_done_buttons(a) if taken_back_by is None else ()), details)
            return Card("card_ended", data, buttons)
        case "unknown":
            buttons = unknown_buttons(a)
            return Card("card_unknown", data, buttons if taken_back_by is None else buttons[:1])
    return Card("card_ended", data, (details,))


def vote_buttons(a: Action) -> tuple[Button, ...]:
    """What a vote is cast by; an approval that needs proof is written."""
    n = a.number
    approve = () if a.wants_proof else (Button("Approve", f"/approve {n}", "primary"),)
    return (*approve, Button("Deny", f"/deny {n}", "danger"), Button("Details", f"/why {n}"))


def _frozen(a: Action) -> dict[str, Any]:
    plan = a.plan
    return {
        "number": a.number,
        "requester": a.requester,
        "summary": plan.get("summary", ""),
        "environment": plan.get("environment", ""),
        "danger": plan.get("effect") == "danger",
        "notes": list(plan.get("notes", ())),
        "sli": a.evidence.get("sli", ""),
        "runs": list(a.evidence.get("runs", ())),
        "done": plan.get("done", ""),
        "undo_of": a.undo_of,
        "revert_of": a.revert_of,
        "again_of": a.again_of,
        "revert_after": a.revert_after,
    }


def _asked(a: Action, facts: Facts) -> dict[str, Any]:
    able = [person for person in a.eligible if person != a.requester]
    return {
        "expires_at": a.expires_at,
        "quorum": a.quorum,
        "undo": a.undo_within if a.plan.get("undo") is not None and a.undo_of is None else None,
        "able": able,
        "missing": len(able) < a.quorum,
        "written": a.wants_proof,
        "asked": [p for p in asked_first(a, facts) if p not in a.approvals],
    }


def asked_first(a: Action, facts: Facts) -> Sequence[str]:
    """Who is mentioned at once: the approvers on call when it was asked, else everybody who may approve."""
    able = [person for person in a.eligible if person != a.requester]
    roster = facts.roster
    on_call = {
        person
        for rung in roster.rungs.values()
        if rung.rota is not None
        for person in roster.people(rung.name, a.asked_at)
    }
    return [person for person in able if person in on_call] or able


def _seconds(a: Action) -> float | None:
    return (a.ended_at - a.started_at).total_seconds() if a.started_at and a.ended_at else None


def _bar(progress: Progress) -> dict[str, Any]:
    done, total, text = progress
    done = min(max(done, 0), total) if total > 0 else 0
    full = BAR * done // total if total > 0 else 0
    told = f"{done} of {total} {text}".rstrip() if total > 0 else text
    return {"bar": "▓" * full + "░" * (BAR - full), "progress": told}


def _done_buttons(a: Action) -> tuple[Button, ...]:
    keep = (Button("Keep", f"/keep {a.number}"),) if a.revert_at is not None else ()
    return (*undo_buttons(a), *keep)


def undo_buttons(a: Action) -> tuple[Button, ...]:
    """The way back of a change that has one; what is itself a way back has none."""
    if not a.reversible or a.undo_of is not None or a.revert_of is not None:
        return ()
    label = str((a.plan.get("undo") or {}).get("label", ""))
    return (Button(f"Undo → {label}" if label else "Undo", f"/undo {a.number}"),)


def unknown_buttons(a: Action) -> tuple[Button, ...]:
    """Look at what became of it; and the way back, where there is one."""
    service = a.plan.get("service")
    follow = Button("Follow", f"/pods {service}" if service else f"/why {a.number}", "primary")
    return (follow, Button("Undo", f"/undo {a.number}")) if a.plan.get("undo") is not None else (follow,)
