"""What each event of a requested change says on the timeline, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from incidents import events as e
from incidents.action import Action
from incidents.sentences import Sentence
from incidents.wording import Wording, span


@dataclass(frozen=True, slots=True)
class Changes:
    """What a sentence needs beside its event: the wording, and what the action streams hold."""

    wording: Wording
    proposals: Mapping[int, e.ActionProposed] = field(default_factory=dict)
    voted: frozenset[int] = frozenset()
    denied: frozenset[int] = frozenset()


def change_text(plan: Mapping[str, Any]) -> str:
    """A frozen plan in a few words."""
    return str(plan.get("summary") or plan.get("line") or "")


def undoes(change: e.ActionProposed | Action | None) -> int | None:
    """The change that this one takes back, if it is an undo or goes back by itself."""
    if change is None:
        return None
    return change.undo_of if change.undo_of is not None else change.revert_of


Rule = Callable[[Any, int, Changes], Sentence | None]


def _proposed(ev: e.ActionProposed, n: int, c: Changes) -> Sentence:
    told = f"{c.wording.name(ev.actor)} asked for #{n}"
    for verb, other in (("undo", ev.undo_of), ("go back on", ev.revert_of), ("ask again for", ev.again_of)):
        told += f", to {verb} #{other}" if other is not None else ""
    told += f", for {span(ev.revert_after)}" if ev.revert_after else ""
    return Sentence("asked", "action", told, change_text(ev.plan))


def _vote(ev: e.VoteCast, n: int, c: Changes) -> Sentence | None:
    if ev.choice == "approve":
        return Sentence("approved", "action", f"{c.wording.name(ev.person)} approved #{n}", who=(ev.person,))
    if n in c.denied:
        return None  # the denial that it makes says the same
    return Sentence("denied", "action", f"{c.wording.name(ev.person)} voted against #{n}", who=(ev.person,))


def _approved(ev: e.ActionApproved, n: int, c: Changes) -> Sentence | None:
    if n in c.voted and not ev.why:
        return None  # the votes say the same
    by = f" by {c.wording.names(ev.voters)}" if ev.voters else ""
    return Sentence("approved", "action", f"#{n} is approved{by}", ev.why, ev.voters)


def _ended(kind: str, how: str) -> Rule:
    """WHO did something to the request."""

    def rule(ev: Any, n: int, c: Changes) -> Sentence:
        why = getattr(ev, "why", "")
        why = "" if why == f"{kind} by {ev.actor}" else why
        return Sentence(kind, "action", f"{c.wording.name(ev.actor)} {how} #{n}", why)

    return rule


def _started(ev: e.ActionStarted, n: int, c: Changes) -> Sentence:
    by = f", approved by {c.wording.names(ev.voters)}" if ev.voters else ""
    return Sentence("started", "action", f"#{n} started{by}", who=ev.voters)


def _finished(ev: e.ActionFinished, n: int, c: Changes) -> Sentence:
    of = undoes(c.proposals.get(n))
    told = f"#{n} is done" + (f" and #{of} undone" if of is not None else "") + f" in {span(ev.seconds)}"
    told += f"; it goes back at {c.wording.clock(ev.revert_at, ev.at)}" if ev.revert_at else ""
    return Sentence("done" if of is None else "undone", "action", told, ev.text)


def _ran(kind: str, how: str) -> Rule:
    """#N and what became of it, with the words that the target gave."""

    def rule(ev: Any, n: int, c: Changes) -> Sentence:
        quote: str = getattr(ev, "text", "") or getattr(ev, "why", "")
        return Sentence(kind, "action", f"#{n} {how}", quote)

    return rule


def _break_glass(ev: e.BreakGlassInvoked, n: int, c: Changes) -> Sentence:
    when = c.wording.clock(ev.runs_at, ev.at)
    told = f"{c.wording.name(ev.actor)} broke the glass for #{n}, which runs at {when}"
    return Sentence("breakglass", "action", told, ev.reason)


def _unvoted(ev: e.VoteWithdrawn, n: int, c: Changes) -> Sentence:
    told = f"{c.wording.name(ev.person)} took the vote on #{n} back"
    return Sentence("withdrawn", "action", told, who=(ev.person,))


def _not_counted(ev: e.VoteRefused, n: int, c: Changes) -> Sentence:
    told = f"The vote of {c.wording.name(ev.person)} on #{n} did not count"
    return Sentence("refused", "action", told, ev.why, (ev.person,))


def _announced(ev: e.RevertAnnounced, n: int, c: Changes) -> Sentence:
    return Sentence("revert", "action", f"#{n} goes back at {c.wording.clock(ev.revert_at, ev.at)}")


def _kept(ev: e.RevertKept, n: int, c: Changes) -> Sentence:
    if ev.why:
        return Sentence("kept", "action", f"#{n} does not go back by itself any more", ev.why)
    return Sentence("kept", "action", f"{c.wording.name(ev.actor)} kept #{n}")


def _blocked(ev: e.RevertBlocked, n: int, c: Changes) -> Sentence:
    told = f"#{n} could not go back by itself" if ev.why else f"#{n} can go back after all"
    return Sentence("revert", "action", told, ev.why)


def _unsaid(ev: e.Event, n: int, c: Changes) -> None:
    """What only leads to something that is told."""


_WATCHED = {
    "good": "was followed",
    "worse": "was followed, and it is worse than before",
    "unmeasured": "was followed, and nothing could be measured",
}


def _watch_ended(ev: e.WatchEnded, n: int, c: Changes) -> Sentence:
    told = _WATCHED.get(ev.verdict, "is not followed any more")
    return Sentence("watched", "action", f"#{n} {told}", ev.text)


RULES: Mapping[type[e.Event], Rule] = {
    e.ActionProposed: _proposed,
    e.VoteCast: _vote,
    e.VoteWithdrawn: _unvoted,
    e.VoteRefused: _not_counted,
    e.ApproversWidened: lambda ev, n, c: Sentence(
        "widened", "action", f"Asked {c.wording.names(ev.people)} to vote on #{n} as well", who=ev.people
    ),
    e.ActionApproved: _approved,
    e.ActionDenied: _ended("denied", "denied"),
    e.ActionCancelled: _ended("cancelled", "cancelled"),
    e.ActionExpired: _ran("expired", "expired without enough approvals"),
    e.ActionVoided: _ran("voided", "was not run"),
    e.BreakGlassInvoked: _break_glass,
    e.ActionStarted: _started,
    e.CancelAsked: _ended("cancelling", "asked to stop"),
    e.ActionFinished: _finished,
    e.ActionFailed: _ran("failed", "failed"),
    e.ActionUnknown: _ran("unknown", "has an unknown outcome"),
    e.RevertAnnounced: _announced,
    e.RevertKept: _kept,
    e.RevertDue: _ran("revert", "is due to go back"),
    e.RevertBlocked: _blocked,
    e.WatchBegan: _unsaid,
    e.WatchDue: _unsaid,
    e.WatchMeasured: _unsaid,
    e.WatchEnded: _watch_ended,
}
