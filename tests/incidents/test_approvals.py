"""Votes and quorum: who counts, when it is enough, what falls due."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import approvals, ways_back
from incidents import events as e
from incidents.action import APPROVE, DENY, Action, fold
from incidents.ports import RefusedError

NOW = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
PEOPLE = ("alice", "bob", "carol", "dave")


def proposed(quorum: int = 1) -> Action:
    """alice asks for something."""
    event = e.ActionProposed(
        at=NOW,
        actor="alice",
        number=7,
        incident=1,
        channel="console:C1",
        plan={"summary": "scale realtime 3 → 10", "undo": {"verb": "scale"}},
        plan_hash="h",
        quorum=quorum,
        eligible=("bob", "carol", "dave"),
        expires_at=NOW + timedelta(minutes=15),
        widen_at=NOW + timedelta(minutes=3),
    )
    found = fold(None, event)
    assert found is not None
    return found


def after(action: Action, events: list[e.Event]) -> Action:
    """The action after these events."""
    for event in events:
        action = fold(action, event) or action
    return action


def test_safety_1_the_requester_does_not_count() -> None:
    """One's own tick is recorded as refused, with the reason and who can."""
    [refused] = approvals.vote(proposed(), by="alice", choice=APPROVE, means="reaction", now=NOW)
    assert isinstance(refused, e.VoteRefused)
    assert "somebody else" in refused.why
    assert "bob, carol and dave can" in refused.why


def test_safety_35_one_human_is_one_vote() -> None:
    """bob by reaction, button and command is still one of two."""
    action = proposed(quorum=2)
    for means in ("reaction:console", "button", "command", "reaction:slack"):
        action = after(action, approvals.vote(action, by="bob", choice=APPROVE, means=means, now=NOW))
    assert action.state == "pending"
    action = after(action, approvals.vote(action, by="carol", choice=APPROVE, means="button", now=NOW))
    assert action.state == "approved"
    assert action.voters == ("bob", "carol")


def test_safety_4_a_vote_taken_back_by_its_means_only() -> None:
    """A reaction removed leaves the button's vote standing."""
    action = proposed(quorum=2)
    for means in ("reaction:console", "button"):
        action = after(action, approvals.vote(action, by="bob", choice=APPROVE, means=means, now=NOW))
    action = after(action, approvals.withdraw(action, by="bob", means="reaction:console", now=NOW))
    assert action.approvals == ("bob",)
    action = after(action, approvals.withdraw(action, by="bob", means="button", now=NOW))
    assert action.approvals == ()


@pytest.mark.parametrize(("minutes", "allowed"), [(14.99, True), (15, False)])
def test_safety_14_a_request_expires(minutes: float, allowed: bool) -> None:
    """Both sides of the fifteen minutes."""
    now = NOW + timedelta(minutes=minutes)
    if allowed:
        assert after(
            proposed(), approvals.vote(proposed(), by="bob", choice=APPROVE, means="button", now=now)
        )
    else:
        with pytest.raises(RefusedError, match="expired"):
            approvals.vote(proposed(), by="bob", choice=APPROVE, means="button", now=now)


def test_what_falls_due_for_a_request() -> None:
    """The others are asked after three minutes, and it expires after fifteen."""
    found = approvals.due(proposed(), NOW + timedelta(minutes=20))
    assert [type(event) for event in found] == [e.ApproversWidened, e.ActionExpired]


def test_safety_31_break_glass_waits_and_can_be_stopped() -> None:
    """It is approved only when its delay is over, and a ❌ before that ends it."""
    action = proposed(quorum=2)
    delay = timedelta(minutes=5)
    broken = approvals.break_glass(action, by="alice", reason="alone", now=NOW, delay=delay, refusal=None)
    action = after(action, broken)
    assert not any(
        isinstance(ev, e.ActionApproved) for ev in approvals.due(action, NOW + delay - timedelta(seconds=1))
    )
    assert isinstance(approvals.due(action, NOW + delay)[-1], e.ActionApproved)
    stopped = approvals.vote(action, by="bob", choice=DENY, means="reaction:console", now=NOW + delay / 2)
    assert after(action, stopped).state == "denied"


def test_safety_31_never_a_silent_zero_quorum() -> None:
    """Without a reason there is no break-glass."""
    with pytest.raises(RefusedError, match="why"):
        approvals.break_glass(
            proposed(), by="alice", reason=" ", now=NOW, delay=timedelta(minutes=1), refusal=None
        )


votes = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from(("cast", "withdraw")),
        st.sampled_from(("reaction:console", "button", "command")),
    ),
    max_size=20,
)


@given(votes, st.integers(1, 3))
def test_quorum_is_distinct_people_other_than_the_requester(
    script: list[tuple[str, str, str]], quorum: int
) -> None:
    """Approved exactly when so many different others approve at the same time."""
    action = proposed(quorum)
    standing: dict[str, set[str]] = {}
    for person, what, means in script:
        if action.state != "pending":
            break
        if what == "cast":
            action = after(action, approvals.vote(action, by=person, choice=APPROVE, means=means, now=NOW))
            if person != "alice":
                standing.setdefault(person, set()).add(means)
        else:
            action = after(action, approvals.withdraw(action, by=person, means=means, now=NOW))
            standing.get(person, set()).discard(means)
        people = {who for who, ways in standing.items() if ways}
        assert (action.state == "approved") == (len(people) >= quorum)


def guarded(effect: str = "danger") -> Action:
    """alice asks for something where only messages prove who wrote them."""
    action = proposed()
    return replace(action, guarded=True, plan={**action.plan, "effect": effect})


def test_safety_24_what_proves_nothing_approves_no_danger() -> None:
    """It is told once of reactions and taps, and of every command; a denial counts, and so does proof."""
    action = guarded()
    for means, told in (
        ("reaction:matrix", 1),
        ("reaction:matrix", 0),
        ("button", 0),
        ("command", 1),
        ("command", 1),
    ):
        found = approvals.vote(action, by="bob", choice=APPROVE, means=means, now=NOW, assured=False)
        assert [type(event) for event in found] == [e.VoteRefused] * told, means
        action = after(action, found)
    assert action.approvals == ()
    denied = approvals.vote(action, by="bob", choice=DENY, means="reaction:matrix", now=NOW, assured=False)
    assert after(action, denied).state == "denied"
    proved = approvals.vote(action, by="bob", choice=APPROVE, means="command", now=NOW)
    assert after(action, proved).state == "approved"


@pytest.mark.parametrize("action", [guarded("change"), proposed()], ids=["a change", "in the open"])
def test_safety_24_elsewhere_a_reaction_is_a_vote(action: Action) -> None:
    found = approvals.vote(action, by="bob", choice=APPROVE, means="reaction:matrix", now=NOW, assured=False)
    assert after(action, found).state == "approved"


def test_safety_24_the_glass_is_broken_by_who_is_proved() -> None:
    """Also for what is not dangerous: nobody else is asked."""
    asked: dict[str, Any] = {
        "by": "bob",
        "reason": "it burns",
        "now": NOW,
        "delay": timedelta(minutes=1),
        "refusal": None,
    }
    with pytest.raises(RefusedError, match="the glass stays whole"):
        approvals.break_glass(guarded("change"), assured=False, **asked)
    assert approvals.break_glass(guarded(), **asked)


# -- what a way back makes of others --------------------------------------------------------------

RESTORE = {"target": "redis", "verb": "restore", "args": {"pattern": "a:*"}, "subject": "redis:cache"}


@pytest.mark.parametrize(
    ("plan", "more", "goes"),
    [
        (RESTORE, {}, True),
        ({**RESTORE, "before": {"keys": 2}, "effect": "danger"}, {}, True),
        ({**RESTORE, "args": {"pattern": "b:*"}}, {}, False),
        ({**RESTORE, "subject": "redis:queue"}, {}, False),
        ({**RESTORE, "verb": "del"}, {"undo_of": 3}, True),
        (RESTORE, {"state": "approved"}, False),
    ],
)
def test_what_does_the_same_as_a_way_back_is_withdrawn(
    plan: dict[str, Any], more: dict[str, Any], goes: bool
) -> None:
    """Only what waits, and only what would do the same."""
    back = replace(proposed(), number=9, plan=RESTORE, undo_of=3, state="running")
    found = ways_back.overtaken(replace(proposed(), plan=plan, **more), by=back, now=NOW)
    assert [type(event) for event in found] == ([e.ActionCancelled] if goes else [])
    for event in found:
        assert isinstance(event, e.ActionCancelled)
        assert event.why == "not needed any more: #9 does the same, as the undo of #3"


def test_what_takes_nothing_back_withdraws_nothing() -> None:
    """A change that somebody asked for stands beside another one."""
    other = replace(proposed(), number=9, plan=RESTORE, state="running")
    assert ways_back.overtaken(replace(proposed(), plan=RESTORE), by=other, now=NOW) == []


@pytest.mark.parametrize("after", [{"replicas": 10}, {}])
def test_what_stands_of_a_change_that_failed(after: dict[str, Any]) -> None:
    """Where something does, it can be taken back, under the same approval, and what was for a while goes back."""
    plan = {**proposed().plan, "undo": {"verb": "scale"}}
    running = replace(proposed(), plan=plan, state="running", revert_after=600)
    failed = fold(running, approvals.fail(running, text="stuck", after=after, now=NOW))
    assert failed is not None
    assert (failed.state, failed.ended_at) == ("failed", NOW)
    assert (failed.stands, failed.reversible, failed.revert_at is not None) == (bool(after),) * 3
    assert ways_back.undo_is_covered(failed, NOW) is bool(after)


def test_what_takes_a_change_back_covers_no_undo_of_its_own() -> None:
    """One approval covers one undo; to take that back in turn is another change."""
    plan = {**proposed().plan, "undo": {"verb": "scale"}}
    done = replace(proposed(), plan=plan, state="done", ended_at=NOW)
    assert ways_back.undo_is_covered(done, NOW)
    for back in (replace(done, undo_of=3), replace(done, revert_of=3)):
        assert not ways_back.undo_is_covered(back, NOW)
