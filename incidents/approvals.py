"""Votes on a frozen plan: quorum, expiry, break-glass, denial; and what falls due for a request by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from incidents import events as e
from incidents import watching
from incidents.action import APPROVE, DENY, FINAL, Action, fold
from incidents.ports import RefusedError
from incidents.wording import span

REVERT_NOTICE = timedelta(minutes=5)


# -- what falls due -------------------------------------------------------------------------------


def next_due(a: Action) -> datetime | None:
    """When this action needs attention next, or None."""
    return min(_times(a), default=None)


def _times(a: Action) -> list[datetime]:
    if a.state == "pending":
        found = [a.break_glass_at or a.expires_at]
        if a.break_glass_at is not None:
            return found  # nobody is asked any more to approve it
        return [*found, a.widen_at] if a.widen_at and a.widen_at < found[0] else found
    if not a.stands:
        return []
    found = [] if a.revert_at is None else [a.revert_at if a.revert_said else a.revert_at - REVERT_NOTICE]
    return [*found, a.watch.next_at] if a.watch is not None and a.watch.next_at is not None else found


def due(a: Action, now: datetime) -> list[e.Event]:
    """The events of everything due at or before `now`."""
    found: list[e.Event] = []
    while (at := next_due(a)) is not None and at <= now:
        event = _fire(a, at, now)
        found.append(event)
        a = fold(a, event) or a
    return found


def _fire(a: Action, at: datetime, now: datetime) -> e.Event:
    if a.stands:
        if a.watch is not None and at == a.watch.next_at:
            return watching.due(a.watch, now)
        assert a.revert_at is not None
        if not a.revert_said:
            return e.RevertAnnounced(at=now, actor=e.BOT, revert_at=a.revert_at)
        return e.RevertDue(at=now, actor=e.BOT, due=at)
    if a.break_glass_at is not None and at == a.break_glass_at:
        if now >= at + a.lasts:
            why = "I was away when it was to run without approval"
            return e.ActionVoided(at=now, actor=e.BOT, why=why)
        return e.ActionApproved(
            at=now, actor=e.BOT, voters=a.approvals, why=f"break-glass by {a.break_glass_by}"
        )
    if a.widen_at is not None and at == a.widen_at:
        return e.ApproversWidened(at=now, actor=e.BOT, people=a.eligible)
    return e.ActionExpired(at=now, actor=e.BOT)


# -- decisions ------------------------------------------------------------------------------------


def vote(
    a: Action,
    *,
    by: str,
    choice: str,
    means: str,
    now: datetime,
    refusal: str | None = None,
    assured: bool = True,
) -> list[e.Event]:
    """Count one vote for exactly this plan; nobody approves a change of their own.

    `refusal` is why this person may not vote at all (no approver, not active, not in the channel), or None.
    `assured` is whether it is certain that they did. A vote that does not count is recorded with its reason;
    a reaction that proves nothing is told of once. A denial needs no proof: stopping is safe.
    """
    stoppable = a.state == "approved" and choice == DENY  # a denial counts until it runs
    if not stoppable and (a.state != "pending" or (now >= a.expires_at and a.break_glass_at is None)):
        raise RefusedError(_too_late(a))
    if by == a.requester:
        if choice == DENY:
            return [e.ActionCancelled(at=now, actor=by, why="withdrawn by who asked")]
        others = _names([p for p in a.eligible if p != by])
        who = f" ({others} can)" if others else ""
        why = f"{by}, that one is yours: somebody else has to approve #{a.number}{who}."
        return [e.VoteRefused(at=now, actor=by, person=by, means=means, why=why)]
    if refusal is not None:
        return [e.VoteRefused(at=now, actor=by, person=by, means=means, why=refusal)]
    if choice == APPROVE and not assured and a.wants_proof:
        why = unproved(a, by=by, means=means)
        if means != "command" and a.refused.get(by) == why:
            return []
        return [e.VoteRefused(at=now, actor=by, person=by, means=means, why=why)]
    cast = e.VoteCast(at=now, actor=by, person=by, choice=choice, means=means, plan_hash=a.plan_hash)
    if choice == DENY:
        return [cast, e.ActionDenied(at=now, actor=by, why="")]
    if a.votes.get(by, {}).get(means) == APPROVE:
        return []
    after = fold(a, cast) or a
    if len(after.approvals) < a.quorum:
        return [cast]
    return [cast, e.ActionApproved(at=now, actor=by, voters=after.approvals)]


def unproved(a: Action, *, by: str, means: str) -> str:
    """What somebody is told whose approval proves nothing of who gave it."""
    if means == "command":
        return (
            f"{by}, #{a.number} is dangerous, and nothing proves to me that this was you: write "
            f"`!approve {a.number}` in its own channel, on a device that I trust."
        )
    return (
        f"{by}, #{a.number} is dangerous, and a reaction proves nothing of who it is from: write "
        f"`!approve {a.number}` there."
    )


def deny(a: Action, *, by: str, now: datetime, why: str, refusal: str | None = None) -> list[e.Event]:
    """`deny N WHY`: as ❌, with the reason kept."""
    found = vote(a, by=by, choice=DENY, means="command", now=now, refusal=refusal)
    return [replace(ev, why=why) if isinstance(ev, e.ActionDenied) and why else ev for ev in found]


def _too_late(a: Action) -> str:
    words = {
        "running": "runs already; a vote changes nothing now",
        "approved": "is approved and about to run",
        "done": "has run already",
        "failed": "has failed already",
        "unknown": "has run, its outcome is unknown",
        "denied": "was denied",
        "cancelled": "was cancelled",
        "void": "was voided because the target changed",
    }
    return f"#{a.number} {words.get(a.state, 'has expired; ask again')}."


def _names(people: list[str]) -> str:
    return people[0] if len(people) == 1 else ", ".join(people[:-1]) + " and " + people[-1] if people else ""


def withdraw(a: Action, *, by: str, means: str, now: datetime) -> list[e.Event]:
    """Take a vote back; while it runs this is recorded, and refused by whoever speaks."""
    if means not in a.votes.get(by, {}):
        return []
    return [e.VoteWithdrawn(at=now, actor=by, person=by, means=means)]


def cancel(a: Action, *, by: str, now: datetime, leads: bool) -> list[e.Event]:
    """Withdraw a request, or ask what runs to stop; the requester, an approver or the team lead may."""
    if a.state in FINAL:
        raise RefusedError(_too_late(a))
    if by != a.requester and not leads:
        raise RefusedError(f"#{a.number} is {a.requester}'s: {a.requester} or an approver can cancel it.")
    if a.state == "running":
        return [e.CancelAsked(at=now, actor=by)]
    return [e.ActionCancelled(at=now, actor=by, why=f"cancelled by {by}")]


def break_glass(
    a: Action,
    *,
    by: str,
    reason: str,
    now: datetime,
    delay: timedelta,
    refusal: str | None,
    assured: bool = True,
) -> list[e.Event]:
    """Run without quorum after `delay`, in which any approver's ❌ stops it; of a guarded one only by who is proved."""
    if a.state != "pending" or now >= a.expires_at:
        raise RefusedError(_too_late(a))
    if refusal is not None:
        raise RefusedError(refusal)
    if a.guarded and not assured:
        raise RefusedError(
            f"{by}, nothing proves to me that this was you, so the glass stays whole: write it in the channel of "
            f"#{a.number}, on a device that I trust."
        )
    if not reason.strip():
        raise RefusedError(f"Say why it cannot wait: `/breakglass {a.number} nobody else is awake`.")
    if a.break_glass_at is not None:
        left = span((a.break_glass_at - now).total_seconds())
        raise RefusedError(f"The glass is broken for #{a.number} already: it runs in {left}.")
    return [e.BreakGlassInvoked(at=now, actor=by, reason=reason.strip(), runs_at=now + delay)]


def start(a: Action, *, boot: str, counted: tuple[str, ...], now: datetime) -> list[e.Event]:
    """Claim and start an approved action; `counted` are the voters that were checked again just now.

    Raises ConflictError's cousin RefusedError where it is no longer approved, or no longer by enough people:
    then nothing runs.
    """
    if a.state != "approved":
        raise RefusedError(_too_late(a))
    return [e.ActionStarted(at=now, actor=e.BOT, boot=boot, voters=counted)]


def enough(a: Action, counted: tuple[str, ...]) -> bool:
    """Whether the votes that still count are enough; a covered undo, a revert and break-glass need none."""
    return bool(a.why) or len(counted) >= a.quorum


def short_of_votes(a: Action, *, lost: tuple[str, ...], now: datetime) -> list[e.Event]:
    """An approval that no longer holds at execution: void, with who no longer counts."""
    who = ", ".join(lost)
    why = f"the approval of {who} no longer counts" if lost else "an approval was taken back before it ran"
    return [e.ActionVoided(at=now, actor=e.BOT, why=why)]


def stopped(a: Action, *, by: str, now: datetime) -> list[e.Event]:
    """A ❌ found on the card when it was about to run: the requester's withdraws it, any approver's denies it."""
    if by == a.requester:
        return [e.ActionCancelled(at=now, actor=by, why="withdrawn by who asked")]
    return [e.ActionDenied(at=now, actor=by, why="")]


def stale(a: Action, now: datetime) -> list[e.Event]:
    """Void an approval that was given too long ago to be run now; a way back that was promised never is."""
    if a.revert_of is not None or a.approved_at is None or now < a.approved_at + a.lasts:
        return []
    why = f"it was approved {span((now - a.approved_at).total_seconds())} ago and could not run in time"
    return [e.ActionVoided(at=now, actor=e.BOT, why=why)]


def fail(a: Action, *, text: str, after: Mapping[str, Any], now: datetime) -> e.ActionFailed:
    """It did not work. What stands of it all the same (`after`) can be taken back, and goes back in time."""
    revert_at = now + timedelta(seconds=a.revert_after) if a.revert_after and after else None
    return e.ActionFailed(at=now, actor=e.BOT, text=text, after=dict(after), revert_at=revert_at)


def finish(a: Action, *, text: str, after: Mapping[str, Any], now: datetime) -> list[e.Event]:
    """It worked; where it was asked for a while only, the time to go back is set."""
    began = a.started_at or now
    revert_at = now + timedelta(seconds=a.revert_after) if a.revert_after else None
    seconds = (now - began).total_seconds()
    return [
        e.ActionFinished(
            at=now, actor=e.BOT, text=text, after=dict(after), seconds=seconds, revert_at=revert_at
        ),
        *watching.blind(a.watch, now),
    ]
