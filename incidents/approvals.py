"""Frozen plans and the votes on them: propose, vote, quorum, expiry, break-glass, claim, outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from incidents import events as e
from incidents import watching
from incidents.ports import RefusedError
from incidents.watching import Watch
from incidents.wording import span

FIRST_TRY, LAST_TRY = timedelta(minutes=1), timedelta(minutes=15)  # until a way back is tried again
REVERT_NOTICE = timedelta(minutes=5)
FINAL = frozenset({"done", "failed", "unknown", "denied", "cancelled", "expired", "void"})

APPROVE, DENY = "approve", "deny"


@dataclass(frozen=True, slots=True)
class Action:
    """One requested change. `votes` is person → means → choice: one person is one vote, by whatever means."""

    number: int
    incident: int | None
    channel: str
    plan: Mapping[str, Any]
    plan_hash: str
    requester: str
    quorum: int
    eligible: tuple[str, ...]
    asked_at: datetime
    expires_at: datetime
    widen_at: datetime | None = None
    undo_of: int | None = None
    revert_of: int | None = None
    again_of: int | None = None
    revert_after: int | None = None
    undo_within: int = 1800  # seconds after completion in which its approval covers an undo
    state: str = "pending"
    votes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    voters: tuple[str, ...] = ()
    why: str = ""
    approved_at: datetime | None = None
    break_glass_at: datetime | None = None
    break_glass_by: str | None = None
    break_glass_why: str = ""
    boot: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    after: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    revert_at: datetime | None = None
    revert_said: bool = False
    blocked: str = ""  # why it has not gone back by itself, though its time is over
    tries: int = 0  # to go back
    cancel_asked: bool = False
    guarded: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)
    watch: Watch | None = None
    refused: Mapping[str, str] = field(default_factory=dict)  # person → why their last vote did not count

    @property
    def wants_proof(self) -> bool:
        """Whether only those approve it of whom it is certain that they did: a danger asked for where that shows."""
        return self.guarded and self.plan.get("effect") == "danger"

    @property
    def unvoted(self) -> bool:
        """Whether it waits to run without approval: its glass is broken, and the delay is not over."""
        return self.state == "pending" and self.break_glass_at is not None

    @property
    def waits(self) -> bool:
        """Whether it waits for votes, and for nothing else."""
        return self.state == "pending" and self.break_glass_at is None

    @property
    def approvals(self) -> tuple[str, ...]:
        """Who approves now, in the order of voting."""
        return tuple(person for person, means in self.votes.items() if APPROVE in means.values())

    @property
    def reversible(self) -> bool:
        """Whether an undo of it can be asked for; of an unknown outcome too, where the target shows the change."""
        return self.state in ("done", "unknown") and self.plan.get("undo") is not None


def fold(state: Action | None, event: e.Event) -> Action | None:
    """The action after `event`."""
    if isinstance(event, e.ActionProposed):
        return _proposed(event)
    rule = _RULES.get(type(event))
    return state if state is None or rule is None else replace(state, **rule(state, event))


def _proposed(event: e.ActionProposed) -> Action:
    return Action(
        number=event.number,
        incident=event.incident,
        channel=event.channel,
        plan=event.plan,
        plan_hash=event.plan_hash,
        requester=event.actor,
        quorum=event.quorum,
        eligible=event.eligible,
        asked_at=event.at,
        expires_at=event.expires_at,
        widen_at=event.widen_at,
        undo_of=event.undo_of,
        revert_of=event.revert_of,
        again_of=event.again_of,
        revert_after=event.revert_after,
        undo_within=event.undo_within,
        guarded=event.guarded,
        evidence=event.evidence,
    )


Changes = dict[str, Any]


def _voted(a: Action, ev: e.VoteCast) -> Changes:
    mine = {**a.votes.get(ev.person, {}), ev.means: ev.choice}
    return {"votes": {**a.votes, ev.person: mine}}


def _withdrawn(a: Action, ev: e.VoteWithdrawn) -> Changes:
    mine = {means: choice for means, choice in a.votes.get(ev.person, {}).items() if means != ev.means}
    votes = {person: means for person, means in a.votes.items() if person != ev.person}
    return {"votes": {**votes, ev.person: mine} if mine else votes}


def _ended(state: str) -> Callable[[Action, Any], Changes]:
    def rule(a: Action, ev: Any) -> Changes:
        text = getattr(ev, "text", "") or getattr(ev, "why", "")
        return {"state": state, "ended_at": ev.at, "text": text}

    return rule


def _finished(a: Action, ev: e.ActionFinished) -> Changes:
    watch = watching.succeeded(a.watch, ev.at)
    ended = {"state": "done", "ended_at": ev.at, "text": ev.text, "after": ev.after}
    return {**ended, "revert_at": ev.revert_at, "watch": watch}


def _watched(rule: Callable[[Watch, Any], Watch]) -> Callable[[Action, Any], Changes]:
    return lambda a, ev: {"watch": rule(a.watch, ev)} if a.watch is not None else {}


_RULES: Mapping[type[e.Event], Callable[[Action, Any], Changes]] = {
    e.VoteCast: _voted,
    e.VoteWithdrawn: _withdrawn,
    e.VoteRefused: lambda a, ev: {"refused": {**a.refused, ev.person: ev.why}},
    e.ApproversWidened: lambda a, ev: {"widen_at": None},
    e.ActionApproved: lambda a, ev: {
        "state": "approved",
        "voters": ev.voters,
        "why": ev.why,
        "approved_at": ev.at,
    },
    e.BreakGlassInvoked: lambda a, ev: {
        "break_glass_at": ev.runs_at,
        "break_glass_by": ev.actor,
        "break_glass_why": ev.reason,
    },
    e.ActionStarted: lambda a, ev: {
        "state": "running",
        "boot": ev.boot,
        "voters": ev.voters,
        "started_at": ev.at,
    },
    e.CancelAsked: lambda a, ev: {"cancel_asked": True},
    e.ActionFinished: _finished,
    e.ActionFailed: _ended("failed"),
    e.ActionUnknown: _ended("unknown"),
    e.ActionDenied: _ended("denied"),
    e.ActionCancelled: _ended("cancelled"),
    e.ActionExpired: _ended("expired"),
    e.ActionVoided: _ended("void"),
    e.RevertAnnounced: lambda a, ev: {"revert_said": True},
    e.RevertKept: lambda a, ev: {"revert_at": None, "blocked": ""},
    e.RevertDue: lambda a, ev: {"revert_at": None},
    e.RevertBlocked: lambda a, ev: {"blocked": ev.why, "revert_at": ev.again_at, "tries": a.tries + 1},
    e.WatchBegan: lambda a, ev: {"watch": watching.began(ev)},
    e.WatchDue: _watched(watching.looked),
    e.WatchMeasured: _watched(watching.measured),
    e.WatchEnded: _watched(watching.ended),
}


# -- what falls due -------------------------------------------------------------------------------


def next_due(a: Action) -> datetime | None:
    """When this action needs attention next, or None."""
    return min(_times(a), default=None)


def _times(a: Action) -> list[datetime]:
    if a.state == "pending":
        found = [a.break_glass_at or a.expires_at]
        return [*found, a.widen_at] if a.widen_at and a.widen_at < found[0] else found
    if a.state != "done":
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
    if a.state == "done":
        if a.watch is not None and at == a.watch.next_at:
            return watching.due(a.watch, now)
        assert a.revert_at is not None
        if not a.revert_said:
            return e.RevertAnnounced(at=now, actor=e.BOT, revert_at=a.revert_at)
        return e.RevertDue(at=now, actor=e.BOT, due=at)
    if a.break_glass_at is not None and at == a.break_glass_at:
        if now >= at + _lasts(a):
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


def overtaken(a: Action, *, by: Action, now: datetime) -> list[e.Event]:
    """Withdraw a request of which `by`, which takes a change back and starts now, does the same; else nothing.

    One that has been approved is not withdrawn: it is checked against the target before it runs.
    """
    of = by.undo_of if by.undo_of is not None else by.revert_of
    if a.state != "pending" or a.number == by.number or of is None:
        return []
    if of not in (a.undo_of, a.revert_of) and any(a.plan.get(key) != by.plan.get(key) for key in _DOES):
        return []
    how = "undo" if by.undo_of is not None else "way back"
    why = f"not needed any more: #{by.number} does the same, as the {how} of #{of}"
    return [e.ActionCancelled(at=now, actor=e.BOT, why=why)]


_DOES = ("target", "verb", "args", "subject")  # of a plan: what it does, whatever it found there


def stopped(a: Action, *, by: str, now: datetime) -> list[e.Event]:
    """A ❌ found on the card when it was about to run: the requester's withdraws it, any approver's denies it."""
    if by == a.requester:
        return [e.ActionCancelled(at=now, actor=by, why="withdrawn by who asked")]
    return [e.ActionDenied(at=now, actor=by, why="")]


def stale(a: Action, now: datetime) -> list[e.Event]:
    """Void an approval that was given too long ago to be run now; a way back that was promised never is."""
    if a.revert_of is not None or a.approved_at is None or now < a.approved_at + _lasts(a):
        return []
    why = f"it was approved {span((now - a.approved_at).total_seconds())} ago and could not run in time"
    return [e.ActionVoided(at=now, actor=e.BOT, why=why)]


def _lasts(a: Action) -> timedelta:
    """How long requests like this one stay good."""
    return a.expires_at - a.asked_at


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


def keep(a: Action, *, by: str, now: datetime) -> list[e.Event]:
    """Stay as it is: the planned way back is dropped."""
    if a.state != "done" or a.revert_at is None:
        raise RefusedError(f"#{a.number} does not go back by itself.")
    return [e.RevertKept(at=now, actor=by)]


def blocked(a: Action, why: str, *, again: bool, now: datetime) -> e.RevertBlocked:
    """The way back could not be asked for; where it makes sense it is tried again, ever more seldom."""
    wait = min(FIRST_TRY * 2 ** min(a.tries, 8), LAST_TRY)
    return e.RevertBlocked(at=now, actor=e.BOT, why=why, again_at=now + wait if again else None)


def undo_is_covered(a: Action, now: datetime) -> bool:
    """Whether the approval of the change covers an undo now: once, within its window after completion."""
    return (
        a.state == "done" and a.ended_at is not None and now <= a.ended_at + timedelta(seconds=a.undo_within)
    )
