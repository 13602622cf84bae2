"""What is said about requested changes: edits of the card, and messages where somebody must act or know."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from bot.announce_parts import Page, first_of, page
from bot.cards import action_card, asked_first, undo_buttons, unknown_buttons, vote_buttons
from bot.chat import Button, Say
from bot.facts import Facts
from incidents import events as e
from incidents.action import Action, fold
from incidents.change_sentences import change_text, undoes
from incidents.policy import Policy
from incidents.wording import Wording

Batch = Sequence[e.Event]

SEEDS = ("✅", "❌")
_ARROW = r"([^\s()]+) → ([^\s()]+)"  # where the plan's values read otherwise than its summary


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
    before, after = a.plan.get("before") or {}, a.plan.get("after") or {}
    moves = [(str(before[key]), str(after[key])) for key in before if key in after]
    told = [rf"(?<!\w)({re.escape(old)}) → ({re.escape(new)})(?!\w)" for old, new in moves]
    turned = re.compile("|".join([*told, _ARROW]))
    return turned.sub(
        lambda m: " → ".join(part for part in reversed(m.groups()) if part is not None), summary
    )


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


def settled(ev: e.Event, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """The card; and what was said of broken glass, which nobody can stop any more, or somebody has."""
    return [*_glass_over(ev, a), edit(a)]


def finished(ev: e.ActionFinished, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """The card; and that of the change that it takes back, which offers no undo any more."""
    of = undoes(a)
    if of is None:
        return [edit(a)]
    return [edit(a), Say(where(a), op="card", card="approval", ref=f"action:{of}", lane=2)]


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
    incident, over = facts.incident, _glass_over(ev, a)
    if incident is not None and incident.merged_into is not None:
        return [*over, edit(a)]
    return [*over, say(a, "not_run", why=ev.why, again=ev.again), edit(a)]


def expired(ev: e.ActionExpired, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """Never asked again by itself."""
    return [say(a, "expired", at=a.expires_at, votes=len(a.approvals), quorum=a.quorum), edit(a)]


def failed(ev: e.ActionFailed, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """It did not work; nothing is tried again."""
    buttons = (*undo_buttons(a), Button("Details", f"/why {a.number}"))
    return [
        say(a, "failed", buttons, text=ev.text, stands=a.stands, revert_at=a.revert_at),
        edit(a),
    ]


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
    ref = _glass(a)
    message = Say(where(a), template="break_glass", data=data, lane=0, ref=ref, buttons=stop)
    incident = facts.incident
    if incident is None:
        direct = [Say(f"person:{person}", template="break_glass", data=data, lane=0) for person in leads]
        return [message, *direct, edit(a)]
    at = Wording(zone=ZoneInfo(facts.zone)).clock(ev.runs_at, ev.at)
    why = f"{ev.actor} runs #{a.number} ({change_text(a.plan)}) without approval at {at}: {ev.reason}"
    found = Page(incident, leads, f"break-glass:{a.number}", "", "break_glass", data, stop, why, ref)
    return [*page(found, facts), edit(a)]


def _glass(a: Action) -> str:
    """What the message about its broken glass is known by."""
    return f"glass:{a.number}"


def _glass_over(ev: e.Event, a: Action) -> list[Say]:
    """The same message once it can be stopped no more, without its buttons and without another mention."""
    if a.break_glass_at is None:
        return []
    if not isinstance(ev, e.ActionApproved):
        told = f"It did not run; the card of #{a.number} says why."
    elif ev.voters and not ev.why:
        told = f"It was approved before its time was over; the card of #{a.number} says what comes of it."
    else:
        told = f"The time to stop it is over; the card of #{a.number} says what comes of it."
    data = {
        "action": a.number,
        "summary": a.plan.get("summary", ""),
        "by": a.break_glass_by,
        "reason": a.break_glass_why,
        "told": told,
    }
    return [Say(where(a), op="edit", template="break_glass_over", data=data, ref=_glass(a), lane=2)]


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
    return [edit(a)] if before.blocked else [say(a, "reverting", back=way_back(a)), edit(a)]


def revert_blocked(ev: e.RevertBlocked, before: Action, a: Action, batch: Batch, facts: Facts) -> list[Say]:
    """Who asked learns that the change stays, and what to do; the card says so as long as it does."""
    again = ev.again_at is not None
    if not ev.why or (again and before.blocked):
        return [edit(a)]
    keep = (Button("Keep", f"/keep {a.number}"),) if again else ()
    return [say(a, "revert_blocked", keep, why=ev.why, again=again), edit(a)]


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
    e.ActionApproved: settled,
    e.ActionDenied: settled,
    e.ActionCancelled: settled,
    e.ActionExpired: expired,
    e.ActionVoided: voided,
    e.BreakGlassInvoked: break_glass,
    e.ActionStarted: edited,
    e.CancelAsked: cancelling,
    e.ActionFinished: finished,
    e.ActionFailed: failed,
    e.ActionUnknown: unknown,
    e.RevertAnnounced: reverting_soon,
    e.RevertKept: edited,
    e.RevertDue: reverting,
    e.RevertBlocked: revert_blocked,
    e.WatchEnded: watched,
}
