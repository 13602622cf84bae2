"""Who may have what run, and how often it runs, on real systems: the same from chat on a cluster and on a Redis.

What concerns one of the two alone is in test_kubernetes_bot.py and test_redis_bot.py.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from incidents import events as e
from tests.safety.rig import with_roles
from tests.targets.stands import Stand

# Signs that a pattern of Redis may hold, and words that name something in one of the two.
PATTERNS = {"*", "real*", "real?ime", "[r]ealtime", "../realtime", "%0a"}


# -- 10 ---------------------------------------------------------------------------------------------


async def test_safety_10_killed_between_quorum_and_run(stand: Stand) -> None:
    """The vote is recorded, nothing was sent: after the restart it runs, once, however often it starts again."""
    chat = stand.chat
    card = await chat.asks(stand.change)
    await chat.bob.reacts(card, "✅", settle=False)
    await chat.stage.kill()
    assert (stand.sent, stand.shown) == (0, stand.before)
    await chat.restarts()
    await stand.ends()
    for _ in range(3):
        await chat.restarts()
        await chat.waits(120)
    assert await stand.states() == ["done"]
    assert (stand.sent, stand.shown) == (1, stand.after)
    assert len(await chat.events("action-1", e.ActionFinished)) == 1


async def test_safety_10_killed_at_any_moment(stand: Stand) -> None:
    """So many turns of the loop it lives after the vote: done or unknown, and never sent twice."""
    chat = stand.chat
    for number, turns in enumerate((2, 30, 80, 150, 300), 1):
        stand.moves(stand.before)
        sent = stand.sent
        card = await chat.asks(stand.change)
        await chat.bob.reacts(card, "✅", settle=False)
        for _ in range(turns):
            await asyncio.sleep(0)
        await chat.stage.kill()
        await chat.restarts()
        await stand.ends()
        state = (await chat.action(number)).state
        assert state in ("done", "unknown"), turns
        assert stand.sent - sent <= 1, turns
        assert state == "unknown" or stand.shown == stand.after, turns


# -- 12, 13, 14 -------------------------------------------------------------------------------------


async def test_safety_12_approved_at_the_same_moment(stand: Stand) -> None:
    """Two requests for one target reach their quorum together: one after the other, the second is looked at anew."""
    chat = stand.chat
    first = await chat.asks(stand.change)
    second = await chat.asks(stand.change.replace("6", "7").replace("1gb", "4gb"))
    await chat.bob.reacts(first, "✅", settle=False)
    await chat.carol.reacts(second, "✅", settle=False)
    await chat.settle()
    await stand.ends()
    assert sorted((await stand.states())[:2]) == ["done", "void"]
    assert stand.sent == 1


async def test_safety_13_accounts_that_are_closed_and_look_ups_that_fail(stand: Stand) -> None:
    """Everybody who voted is looked up again right before it runs; who cannot be looked up does not count."""
    chat = stand.chat
    card = await chat.asks(stand.danger)
    await chat.carol.reacts(card, "✅")
    chat.console.deactivate("carol")
    await chat.bob.reacts(card, "✅")
    assert "approval of carol no longer counts" in "\n".join(m.plain for m in chat.messages())
    card = await chat.asks(stand.danger)
    await chat.bob.reacts(card, "✅")
    chat.stage.chat.lookups_fail = True
    await chat.dave.reacts(card, "✅")
    await stand.ends()
    chat.stage.chat.lookups_fail = False
    await chat.waits(120)
    assert await stand.states() == ["void", "void"]
    assert (stand.sent, stand.shown) == (0, stand.before)


async def test_safety_13_a_person_who_is_no_approver_any_more(stand: Stand) -> None:
    """Voted as an approver, then another configuration: void, and said whose vote it was."""
    chat = stand.chat
    card = await chat.asks(stand.danger)
    await chat.bob.reacts(card, "✅")
    await chat.restarts(with_roles(bob=["responder"]))
    await chat.carol.reacts(card, "✅")
    await stand.ends()
    assert await stand.states() == ["void"]
    assert "approval of bob no longer counts" in "\n".join(m.plain for m in chat.messages())
    assert stand.sent == 0


@pytest.mark.parametrize(("after", "state"), [(899, "done"), (900, "expired")])
async def test_safety_14_fifteen_minutes(stand: Stand, after: float, state: str) -> None:
    """Both sides of the end; what is void is not asked again by itself."""
    chat = stand.chat
    card = await chat.asks(stand.change)
    await chat.waits(after)
    await chat.bob.reacts(card, "✅")
    await stand.ends()
    assert await stand.states() == [state]
    assert stand.sent == (state == "done")
    await chat.waits(3600)
    assert (await chat.actions(), chat.cards()) == (1, 1)


async def test_safety_14_asked_again_it_runs_with_a_new_vote_alone(stand: Stand) -> None:
    """No vote is carried over from the card that drifted, and the requester still does not count."""
    chat = stand.chat
    card = await chat.asks(stand.change)
    stand.moves(5)
    await chat.bob.reacts(card, "✅")
    again = await chat.action(2)
    assert (again.state, again.requester, again.votes) == ("pending", "alice", {})
    await chat.alice.reacts(chat.card(2), "✅")
    await stand.ends()
    assert stand.sent == 0
    await chat.bob.reacts(chat.card(2), "✅")
    await stand.ends()
    assert await stand.states() == ["void", "done"]
    assert (stand.sent, stand.shown) == (1, stand.after)


async def test_safety_14_an_approval_does_not_outlive_its_time(stand: Stand) -> None:
    """Approved, and the bot is gone for longer than a request lasts: void, and said."""
    chat = stand.chat
    await chat.bob.reacts(await chat.asks(stand.change), "✅", settle=False)
    await chat.stage.kill()
    chat.stage.clock.move(chat.stage.clock.now() + timedelta(seconds=910))
    await chat.restarts()
    await stand.ends()
    assert await stand.states() == ["void"]
    assert (stand.sent, stand.shown) == (0, stand.before)


# -- 31 ---------------------------------------------------------------------------------------------


async def test_safety_31_five_minutes_for_a_danger_and_anybody_stops_it(stand: Stand) -> None:
    """The team lead is paged; a cross in the last second ends it, and drift makes it void."""
    chat = stand.chat
    await chat.asks(stand.danger)
    await chat.alice.says("/breakglass 1 nobody else is awake")
    assert {page.person for page in chat.console.store.pages.values()} >= {"carol"}
    await chat.waits(299)
    assert stand.sent == 0
    await chat.dave.reacts(chat.card(1), "❌")
    await chat.asks(stand.change)
    await chat.alice.says("/breakglass 2 nobody else is awake")
    stand.moves(5)
    await chat.waits(120)
    await stand.ends()
    assert (await stand.states())[:2] == ["denied", "void"]
    assert (stand.sent, stand.shown) == (0, 5)
