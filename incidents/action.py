"""One requested change, from the request to what became of it: its state, and what each event makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from incidents import events as e
from incidents import watching
from incidents.watching import Watch

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
    ended_by: str = ""
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
    def lasts(self) -> timedelta:
        """How long requests like this one stay good."""
        return self.expires_at - self.asked_at

    @property
    def stands(self) -> bool:
        """Whether it is in force, or a part of it: it was done, or it got stuck on its way."""
        return self.state == "done" or (self.state == "failed" and bool(self.after))

    @property
    def reversible(self) -> bool:
        """Whether an undo of it can be asked for; of an unknown outcome too, where the target shows the change."""
        return (self.stands or self.state == "unknown") and self.plan.get("undo") is not None


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
        return {"state": state, "ended_at": ev.at, "ended_by": ev.actor, "text": text}

    return rule


def _finished(a: Action, ev: e.ActionFinished) -> Changes:
    watch = watching.succeeded(a.watch, ev.at)
    ended = {"state": "done", "ended_at": ev.at, "text": ev.text, "after": ev.after}
    return {**ended, "revert_at": ev.revert_at, "watch": watch}


def _failed(a: Action, ev: e.ActionFailed) -> Changes:
    ended = {"state": "failed", "ended_at": ev.at, "text": ev.text}
    return {**ended, "after": ev.after, "revert_at": ev.revert_at}


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
    e.ActionFailed: _failed,
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
