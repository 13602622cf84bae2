"""What is said about requested changes: edits of the card, and messages where somebody must act or know."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.announce_parts import Page, first_of, page
from bot.cards import action_card, asked_first, undo_buttons, unknown_buttons, vote_buttons
from bot.chat import Button, Say
from bot.facts import Facts
from incidents import events as e
from incidents.approvals import Action, fold
from incidents.policy import Policy

Batch = Sequence[e.Event]

SEEDS = ("✅", "❌")
_ARROW = re.compile(r"(\S+) → (\S+)")


def where(a: Action) -> str:
    """Where it was asked: the incident's channel, or that of the operations."""
    return f"incident:{a.incident}" if a.incident is not None else a.channel


def edit(a: Action) -> Say:
    """The request's card, made anew."""
    return Say(where(a), op="card", card="approval", ref=f"action:{a.number}", lane=2)


def say(a: Action, template: str, buttons: tuple[Button, ...] = (), /, **data: Any) -> Say:
    """A new message where it was asked."""
    filled = {"action": a.number, "summary": a.plan.get("summary", ""), "requester": a.requester, **data}
    return Say(where(a), template=template, data=filled, buttons=buttons)


def way_back(a: Action) -> str:
    """The summary the other way round: scale realtime 10 → 3."""
    summary = str(a.plan.get("summary", ""))
    return _ARROW.sub(r"\2 → \1", summary, count=1)


def proposed(ev: e.ActionProposed, before: None, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """The approval card; where an earlier approval covers it, no votes are asked for."""
    approved = first_of(e.ActionApproved, batch)
    covered = approved is not None
    settled = (fold(a, approved) if approved is not None else None) or a
    card = action_card(settled, facts=facts, progress=None)
    return [
        Say(
            where(a),
            template=card.template,
            data=card.data,
            card="approval",
            ref=f"action:{a.number}",
            buttons=card.buttons,
            seeds=() if covered else SEEDS[1:] if a.wants_proof else SEEDS,
        )
    ]


def edited(ev: e.Event, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """Nothing but the card."""
    return [edit(a)]


def refused(ev: e.VoteRefused, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """Why a vote did not count, to the voter alone, in the chat where it was a reaction."""
    kind, _, chat = ev.means.partition(":")
    home = f"{chat.partition(':')[0]}:" if kind == "reaction" else ""
    data = {"person": ev.person, "text": ev.why}
    return [Say(where(a), op="whisper", template="sentence", data=data, home=home)]


def widened(ev: e.ApproversWidened, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """The other approvers are asked, too."""
    known = {*asked_first(a, facts), *a.approvals, a.requester}
    others = [person for person in ev.people if person not in known]
    if not others:
        return [edit(a)]
    missing = max(a.quorum - len(a.approvals), 1)
    return [
        say(a, "widened", vote_buttons(a), people=others, expires_at=a.expires_at, missing=missing),
        edit(a),
    ]


def voided(ev: e.ActionVoided, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """What moved. A request that went with its incident is told on its card alone."""
    incident = facts.incident
    if incident is not None and incident.merged_into is not None:
        return [edit(a)]
    return [say(a, "not_run", why=ev.why, again=ev.again), edit(a)]


def expired(ev: e.ActionExpired, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """Never asked again by itself."""
    return [say(a, "expired", at=a.expires_at, votes=len(a.approvals), quorum=a.quorum), edit(a)]


def failed(ev: e.ActionFailed, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """It did not work; nothing is tried again."""
    return [say(a, "failed", (Button("Details", f"/why {a.number}"),), text=ev.text), edit(a)]


def unknown(ev: e.ActionUnknown, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """What is known, and what to look at."""
    seen = [f"{key} {_plain(value)}" for key, value in ev.observed.items()]
    return [say(a, "unknown", unknown_buttons(a), text=ev.text, observed=seen), edit(a)]


def _plain(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float | bool) or value is None else "…"


def break_glass(ev: e.BreakGlassInvoked, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """The team lead is paged: any approver's ❌ stops it until it runs."""
    leads = tuple(person for person in _leads(a, facts) if person != ev.actor)
    stop = (Button("Stop", f"/deny {a.number}", "danger"),)
    can_stop = [p for p in a.eligible if p not in (a.requester, ev.actor)]
    data = {
        "action": a.number,
        "summary": a.plan.get("summary", ""),
        "by": ev.actor,
        "reason": ev.reason,
        "runs_at": ev.runs_at,
        "seconds": (ev.runs_at - ev.at).total_seconds(),
        "people": list(leads),
        "can_stop": can_stop,
    }
    message = Say(where(a), template="break_glass", data=data, lane=0, buttons=stop)
    incident = facts.incident
    if incident is None:
        direct = [Say(f"person:{person}", template="break_glass", data=data, lane=0) for person in leads]
        return [message, *direct, edit(a)]
    why = f"{ev.actor} runs #{a.number} without approval at {ev.runs_at:%H:%M:%S} UTC: {ev.reason}"
    found = Page(incident, leads, f"break-glass:{a.number}", "", "break_glass", data, stop, why)
    return [*page(found, facts), edit(a)]


def _leads(a: Action, facts: Facts) -> Sequence[str]:
    """The team lead, else everybody who could stop it."""
    policy: Policy | None = facts.policy
    for rung in facts.roster.rungs:
        label = policy.label(rung) if policy is not None else rung.replace("_", " ")
        if "lead" in label.casefold() or "lead" in rung.casefold():
            people = [p for p in facts.roster.people(rung, facts.now) if p != a.break_glass_by]
            if people:
                return people
    return [person for person in a.eligible if person != a.requester]


def reverting_soon(ev: e.RevertAnnounced, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """Five minutes before it goes back: one tap keeps it."""
    keep = (Button("Keep", f"/keep {a.number}", "primary"),)
    return [say(a, "reverting_soon", keep, at=ev.revert_at, back=way_back(a)), edit(a)]


def reverting(ev: e.RevertDue, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    return [say(a, "reverting", back=way_back(a)), edit(a)]


def cancelling(ev: e.CancelAsked, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    return [say(a, "cancelling", by=ev.actor), edit(a)]


def watched(ev: e.WatchEnded, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """The card says how it ended; a message comes where it is worse, or where nobody can tell."""
    if ev.verdict == "worse":
        return [say(a, "watch_worse", undo_buttons(a), text=ev.text), edit(a)]
    if ev.verdict == "unmeasured":
        return [say(a, "watch_blind", text=ev.text), edit(a)]
    return [edit(a)]


Rule = Callable[[Any, Any, Any, Batch, Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {
    e.ActionProposed: proposed,
    e.VoteCast: edited,
    e.VoteWithdrawn: edited,
    e.VoteRefused: refused,
    e.ApproversWidened: widened,
    e.ActionApproved: edited,
    e.ActionDenied: edited,
    e.ActionCancelled: edited,
    e.ActionExpired: expired,
    e.ActionVoided: voided,
    e.BreakGlassInvoked: break_glass,
    e.ActionStarted: edited,
    e.CancelAsked: cancelling,
    e.ActionFinished: edited,
    e.ActionFailed: failed,
    e.ActionUnknown: unknown,
    e.RevertAnnounced: reverting_soon,
    e.RevertKept: edited,
    e.RevertDue: reverting,
    e.WatchEnded: watched,
}
