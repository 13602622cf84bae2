"""Votes by command, undo, break-glass, and what is told about them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents import events as e
from tests.commands.fakes import START, House, text_of


async def test_safety_01_a_vote_of_ones_own_is_not_counted_and_told_why(house: House) -> None:
    """It is recorded with its reason, and `why` shows it."""
    await house.opened()
    number = await house.asked()
    await house.says("alice", f"/approve {number}")
    assert house.log.action(number).approvals == ()
    assert "somebody else" in text_of(await house.says("grace", f"/why {number}"))


async def test_an_approval_by_command_or_button(house: House) -> None:
    """The means are kept; a second one of the same person changes nothing and is said."""
    await house.opened()
    number = await house.asked()
    plan = house.log.action(number)
    house.log.states[f"action-{number}"] = type(plan)(
        **{**{f: getattr(plan, f) for f in plan.__slots__}, "quorum": 2}
    )
    await house.says("bob", f"!approve {number}", means="button")
    assert house.log.action(number).votes == {"bob": {"button": "approve"}}
    again = await house.says("bob", f"!approve {number}", means="button")
    assert "1 more is needed" in text_of(again)
    await house.says("carol", f"!approve #{number}")
    assert house.log.action(number).state == "approved"


async def test_a_denial_keeps_its_reason(house: House) -> None:
    """And ends the request."""
    await house.opened()
    number = await house.asked()
    await house.says("bob", f"!deny {number} the autoscaler does that")
    assert house.log.action(number).state == "denied"
    assert house.events(f"action-{number}", e.ActionDenied)[0].why == "the autoscaler does that"
    assert "was denied" in await house.refused("carol", f"/approve {number}")


async def test_who_is_no_approver_does_not_count(house: House) -> None:
    """Even where the request got that far: the vote is recorded as refused."""
    await house.opened()
    number = await house.asked()
    await house.says("heidi", f"/approve {number}")
    [refused] = house.events(f"action-{number}", e.VoteRefused)
    assert "no approver" in refused.why


async def test_a_request_is_cancelled_by_who_asked_or_an_approver(house: House) -> None:
    """Others are told who can; what runs is asked to stop."""
    await house.opened()
    number = await house.asked(by="heidi")
    assert "heidi or an approver" in await house.refused("frank", f"/cancel {number}")
    await house.says("heidi", f"/cancel {number}")
    assert house.log.action(number).state == "cancelled"
    running = await house.asked(5)
    house.log.record(f"action-{running}", e.ActionStarted(at=house.now, actor=e.BOT, boot="b", voters=()))
    await house.says("bob", f"/cancel {running}")
    assert house.log.action(running).cancel_asked


async def test_requests_of_a_private_incident_are_hidden(house: House) -> None:
    """From votes and from reads, as if there were none."""
    await house.says("alice", "/open critical Keys were leaked --private", None)
    number = await house.asked()
    assert f"no request #{number}" in await house.refused("carol", f"/approve {number}", None)
    assert f"no request #{number}" in await house.refused("carol", f"/why {number}", None)
    assert "No change" in text_of(await house.says("carol", "/pending", None))
    assert "scale" in text_of(await house.says("alice", "/pending", None))


async def test_pending_shows_what_waits_and_runs(house: House) -> None:
    """Here those of the incident, elsewhere all."""
    await house.opened()
    await house.asked()
    told = text_of(await house.says("grace", "/pending"))
    assert "#1 scale realtime 3 → 10 · asked by alice · 0 of 1 approval · until 03:45 CET" in told
    await house.asked(lasts=1800)
    assert "#2 scale realtime 3 → 10 for 30 min · asked by alice" in text_of(
        await house.says("grace", "/pending")
    )
    await house.opened("/open high Sockets drop")
    assert "No change" in text_of(await house.says("grace", "/pending", 2))
    assert "#1" in text_of(await house.says("grace", "/pending", None))


async def test_why_tells_who_voted_and_what_came_of_it(house: House) -> None:
    """In order, with times."""
    await house.opened()
    number = await house.asked()
    waiting = text_of(await house.says("grace", f"/why {number}"))
    assert "#1 scale realtime 3 → 10: waits for votes" in waiting
    assert "bob, carol and dave can vote" in waiting
    await house.says("bob", f"/approve {number}")
    house.ran(number)
    told = text_of(await house.says("grace", f"/why {number}"))
    assert "bob approved #1" in told
    assert "realtime runs" in told


async def test_an_undo_within_thirty_minutes_is_covered(house: House) -> None:
    """The last change of the incident, to the value before."""
    await house.opened()
    number = await house.asked()
    house.ran(number)
    house.now += timedelta(minutes=30)
    made = await house.says("alice", "!undo")
    assert (made.number, made.covered, made.plan.args) == (number, True, {"replicas": 3})
    house.now += timedelta(seconds=1)
    assert not (await house.says("alice", f"/undo {number}")).covered


async def test_an_undo_is_refused_where_the_world_moved(house: House) -> None:
    """With what it is now; another thing of the same name counts as moved, too."""
    await house.opened()
    house.ran(await house.asked())
    house.scaler.replicas = 12
    assert "replicas is 12 now, not 10" in await house.refused("alice", "!undo")
    house.scaler.replicas, house.scaler.identity = 10, "uid-2"
    assert "another one" in await house.refused("alice", "!undo 1")


async def test_an_undo_needs_something_to_take_back(house: House) -> None:
    """Each refusal says which case it is."""
    await house.opened()
    assert "No change of this incident" in await house.refused("alice", "!undo")
    number = await house.asked()
    assert "was not done" in await house.refused("alice", f"!undo {number}")
    assert "/undo 7" in await house.refused("alice", "!undo", None)
    assert "no request #9" in await house.refused("alice", "!undo 9")


async def test_what_was_taken_back_is_not_taken_back_again(house: House) -> None:
    """The default goes to the change before it."""
    await house.opened()
    house.ran(await house.asked(5))
    house.ran(await house.asked(10))
    back = await house.asked(5)
    proposed = house.events(f"action-{back}", e.ActionProposed)[0]
    house.log.states.pop(f"action-{back}")
    house.log.entries_ = [x for x in house.log.entries_ if x.stream != f"action-{back}"]
    body = {name: getattr(proposed, name) for name in proposed.__slots__}
    house.log.record(
        f"action-{back}", type(proposed)(**{**body, "at": house.now, "actor": "alice", "undo_of": 2})
    )
    house.ran(back)
    assert "taken back already" in await house.refused("alice", "!undo 2")
    assert (await house.says("alice", "!undo")).number == 1


async def test_keep_drops_the_way_back(house: House) -> None:
    """And refuses where there is none."""
    await house.opened()
    number = await house.asked()
    house.ran(number)
    assert "does not go back" in await house.refused("alice", f"/keep {number}")
    finished = e.ActionFinished(
        at=house.now, actor=e.BOT, text="", after={}, seconds=1, revert_at=house.now + timedelta(minutes=30)
    )
    house.log.record(f"action-{number}", finished)
    await house.says("alice", f"/keep {number}")
    assert house.log.action(number).revert_at is None


async def test_safety_31_break_glass_waits_and_leaves_a_review(house: House) -> None:
    """With the reason, after a delay; never a silent zero quorum."""
    await house.opened()
    number = await house.asked()
    await house.says("alice", f"/breakglass {number} nobody else is awake")
    assert house.log.action(number).break_glass_at == START + timedelta(seconds=60)
    [item] = house.log.incident(1).items
    assert "nobody else is awake" in item.text
    assert (item.owner, item.due) == ("carol", START + timedelta(days=1))


@pytest.mark.parametrize("taken", [False, True])
async def test_safety_31_break_glass_is_for_on_call_and_commander(house: House, taken: bool) -> None:
    """Nobody else's; the refusal names them."""
    await house.opened()
    number = await house.asked()
    if taken:
        await house.says("heidi", "/role commander")
        await house.says("heidi", f"/breakglass {number} it burns")
        assert house.log.action(number).break_glass_by == "heidi"
    else:
        told = await house.refused("heidi", f"/breakglass {number} it burns")
        assert "on call or the commander of INC-1" in told
        assert house.log.incident(1).items == ()


async def test_safety_31_break_glass_outside_of_an_incident_is_refused(house: House) -> None:
    """There is nobody to page and no review to keep."""
    number = await house.asked(number=None)
    assert "/incident open" in await house.refused("alice", f"/breakglass {number} it burns", None)
