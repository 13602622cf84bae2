"""Votes on requested changes by command, and what can be asked about them."""

from __future__ import annotations

from datetime import datetime

from commands.actions import Answer
from commands.case import Ask, Case, Reply, sentence
from commands.incident.breakglass import may_break, review
from commands.incident.configured import break_glass
from commands.incident.seen import action_asked, action_here, action_seen
from commands.incident.speaking import when, wording
from commands.registry import Text, command
from incidents import approvals as domain
from incidents import timeline, ways_back
from incidents.action import APPROVE, Action
from incidents.change_sentences import change_text
from incidents.wording import Wording, counted, listed, span


@command("approve", effect="incident", who="approver")
def approve(number: int, *, case: Case) -> Reply | None:
    """Approve exactly the change that was asked for as NUMBER.

    /approve 7
    """
    action = action_here(case, number)
    found = domain.vote(
        action,
        by=case.by,
        choice=APPROVE,
        means=case.means,
        now=case.now,
        refusal=_refusal(case, number),
        assured=case.assured,
    )
    if not found and not case.assured and action.wants_proof:
        return None  # the reason was told when it was tapped first
    if not found:
        return sentence(f"Your approval of #{number} counts already; {_still(action)}.")
    case.record_action(number, *found)
    return None


@command("deny", effect="incident", who="approver")
def deny(number: int, why: Text | None = None, *, case: Case) -> None:
    """Deny a change; the one who asked withdraws it with this.

    /deny 7
    /deny 7 the autoscaler does that
    """
    action = action_here(case, number)
    refusal = _refusal(case, number)
    case.record_action(number, *domain.deny(action, by=case.by, now=case.now, why=why or "", refusal=refusal))


def _refusal(case: Case, number: int) -> str | None:
    if case.people.can(case.by, "approver"):
        return None
    return f"{case.by}, you are no approver, so your vote on #{number} does not count."


def _still(action: Action) -> str:
    missing = action.quorum - len(action.approvals)
    return "it is enough" if missing < 1 else f"{missing} more {'is' if missing == 1 else 'are'} needed"


@command("cancel", effect="incident")
def cancel(number: int, *, case: Case) -> None:
    """Withdraw a request, or ask what runs already to stop.

    /cancel 7
    """
    action = action_here(case, number)
    leads = case.people.can(case.by, "approver")
    case.record_action(number, *domain.cancel(action, by=case.by, now=case.now, leads=leads))


@command("keep", effect="incident")
def keep(number: int, *, case: Case) -> None:
    """Keep a change that would go back by itself.

    /keep 7
    """
    case.record_action(number, *ways_back.keep(action_here(case, number), by=case.by, now=case.now))


@command("breakglass", effect="incident")
def breakglass(number: int, reason: Text, *, case: Case) -> None:
    """Run a change without the votes after a delay in which any approver can stop it; it is reviewed.

    /breakglass 7 nobody else is awake
    """
    action = action_here(case, number)
    refusal = may_break(case, action)
    delay = break_glass(case.rules).delay[str(action.plan.get("effect", "danger"))]
    found = domain.break_glass(
        action,
        by=case.by,
        reason=reason,
        now=case.now,
        delay=delay,
        refusal=refusal,
        assured=case.assured,
    )
    case.record_action(number, *found)
    review(case, action, reason.strip())


@command("pending", effect="read", who="reporter")
async def pending(*, ask: Ask) -> Answer:
    """Show the changes that wait for votes or run: of this incident, elsewhere all of them.

    /pending
    """
    found = [a for a in await ask.reader.pending(ask.number) if await action_seen(ask, a)]
    if not found:
        return Answer("No change waits or runs.")
    words = wording(ask)
    told = "1 change waits or runs" if len(found) == 1 else f"{len(found)} changes wait or run"
    return Answer(told, lines=tuple(_waiting(a, words, ask.now) for a in found))


def _waiting(a: Action, words: Wording, now: datetime) -> str:
    """A request in a line: what, whose, how far."""
    danger = " · danger" if a.plan.get("effect") == "danger" else ""
    lasts = f" for {span(a.revert_after)}" if a.revert_after else ""
    asked = f"#{a.number} {change_text(a.plan)}{lasts}{danger} · asked by {a.requester}"
    if a.unvoted and a.break_glass_at is not None:
        at = words.clock(a.break_glass_at, now)
        return f"{asked} · runs at {at}, break-glass by {a.break_glass_by}; /deny {a.number} stops it"
    if a.waits:
        until = words.clock(a.expires_at, now)
        return f"{asked} · {len(a.approvals)} of {counted(a.quorum, 'approval')} · until {until}"
    return f"{asked} · {a.state}"


@command("why", effect="read", who="reporter")
async def why(number: int, *, ask: Ask) -> Answer:
    """Show who voted on a change, which votes did not count and why, and what came of it.

    /why 7
    """
    action = await action_asked(ask, number)
    words = wording(ask)
    entries = await ask.reader.events(f"action-{number}")
    rows = timeline.rows(entries, zone=words.zone)
    lines = [_needs(ask, action), *(f"{words.clock(r.at, ask.now)}  {r.text}" for r in rows)]
    state = "waits to run without approval" if action.unvoted else _STATES.get(action.state, action.state)
    return Answer(f"#{number} {change_text(action.plan)}: {state}", lines=tuple(lines))


_STATES = {"pending": "waits for votes", "unknown": "outcome unknown", "void": "not run"}


def _needs(ask: Ask, action: Action) -> str:
    needs = "1 approval" if action.quorum == 1 else f"{action.quorum} approvals"
    counted = f"{listed(action.approvals)} approved" if action.approvals else "nobody approved"
    parts = [f"{action.requester} asked; it takes {needs}, not {action.requester}'s; {counted}"]
    if action.state == "pending":
        others = [p for p in action.eligible if p != action.requester and p not in action.approvals]
        parts.append(f"{listed(others)} can vote" if others else "nobody else can vote")
    if action.waits:
        parts.append(f"it expires at {when(ask, action.expires_at)}")
    elif action.unvoted and action.break_glass_at is not None:
        parts.append(f"it runs at {when(ask, action.break_glass_at)}, break-glass by {action.break_glass_by}")
    return "; ".join(parts)
