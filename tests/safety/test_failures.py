"""When the log or a target fails: cases 32 and 33."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incidents import events as e
from tests.safety.rig import Chat

# -- 32 ---------------------------------------------------------------------------------------------


async def test_safety_32_a_full_disk_runs_nothing(chat: Chat) -> None:
    """What finds no room is not done, and the person is told; with room again, everything goes on."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    refused = "I can't write to my log"
    async with chat.full_disk():
        for size in (4000, 400, 40):  # until there is no room for anything
            for number in range(200):
                chat.mark()
                await chat.console.says("carol", chat.channel, f"/note {number} {'x' * size}")
                if refused in chat.bot_said_to("carol"):
                    break
            else:
                pytest.fail("the file never fills")
        notes = len(await chat.events("incident-1", e.NoteAdded))
        for somebody, line in (
            ("alice", "/scale chat-adapters 4"),
            ("carol", f"/update {'x' * 400}"),
            ("dave", "/restart realtime"),
        ):
            chat.mark()
            await chat.console.says(somebody, chat.channel, line)
            await chat.stage.quiet()
            assert refused in chat.bot_said_to(somebody), line
            assert "so I run nothing" in chat.bot_said_to(somebody), line
        for voter in ("bob", "carol", "dave"):
            chat.mark()
            await chat.console.reacts(voter, card.id, "✅")
            await chat.stage.quiet()
            recorded = voter in (await chat.action()).approvals
            assert recorded != (refused in chat.bot_said_to(voter))
        assert chat.ran == {}
    await chat.settle()
    assert len(await chat.events("incident-1", e.NoteAdded)) == notes
    assert not await chat.events("incident-1", e.Updated)
    assert await chat.actions() == 1
    assert (await chat.stage.bot.store.verify()).faults == []
    await chat.alice.says("/note room again")
    assert len(await chat.events("incident-1", e.NoteAdded)) == notes + 1


async def test_safety_32_a_log_that_is_away(chat: Chat) -> None:
    """Locked for good by another process: commands, buttons and votes are refused with the reason."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    events = await chat.count()
    async with chat.log_held():
        for attempt, person in (
            (lambda: chat.console.says("alice", chat.channel, "/scale chat-adapters 5"), "alice"),
            (lambda: chat.console.says("carol", chat.channel, "/resolve"), "carol"),
            (lambda: chat.console.says("dave", chat.channel, "/pods realtime"), "dave"),
            (lambda: chat.console.presses("bob", card.id, "Approve"), "bob"),
            (lambda: chat.console.reacts("bob", card.id, "✅"), "bob"),
        ):
            chat.mark()
            await attempt()
            assert "I can't write to my log" in chat.bot_said_to(person)
            assert "reference" in chat.bot_said_to(person)
    assert await chat.count() == events
    await chat.settle()
    await chat.waits(60)
    assert (chat.ran, await chat.actions()) == ({}, 1)
    assert (await chat.action()).votes == {}
    await chat.carol.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_32_approved_and_then_the_log_is_away(chat: Chat) -> None:
    """The vote was recorded, the start cannot be: it does not run, who asked is told once; then it runs once."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", slow=5)
    await chat.bob.reacts(chat.card(), "✅")
    assert (await chat.action()).state == "approved"
    chat.mark()
    async with chat.log_held():
        for _ in range(2):
            chat.stage.clock.wake(chat.stage.clock.now() + timedelta(seconds=6))
            while chat.stage.bot.executor._at_work:
                await chat.stage.turn()
            chat.stage.bot.executor.begin(1)
        while chat.stage.bot.executor._at_work:
            await chat.stage.turn()
        assert chat.ran == {}
        assert chat.bot_said_to("alice").count("I can't write to my log") == 1
        assert "#1 does not run" in chat.bot_said_to("alice")
    await chat.stage.bot.executor.recover()
    await chat.waits(120)
    assert (chat.ran, (await chat.action()).state) == ({1: 1}, "done")


async def test_safety_32_the_log_goes_away_during_a_run(chat: Chat) -> None:
    """What runs cannot be taken back; its end, which is told, is recorded when the log is back. It is not run again.

    Nothing but the bot's own memory knows that these keys were deleted by it: the outcome is not asked for anew.
    """
    await chat.alice.says("/redis del rate-limit:*")
    for voter in (chat.bob, chat.carol):
        await voter.reacts(chat.card(), "✅")
    assert (await chat.action()).state == "running"
    chat.mark()
    async with chat.log_held():
        while chat.stage.bot.executor._at_work:
            chat.stage.clock.wake(chat.stage.clock.now() + timedelta(seconds=5))
            await chat.stage.turn()
        assert "#1 has run (done: " in chat.bot_said_to("alice")
    assert (await chat.action()).state == "running"
    await chat.stage.bot.executor.recover()
    await chat.waits(60)
    assert (chat.ran, (await chat.action()).state) == ({1: 1}, "done")


# -- 33 ---------------------------------------------------------------------------------------------


async def test_safety_33_dropped_after_the_request(chat: Chat) -> None:
    """The connection breaks when the request is sent: unknown, what is seen is told, it is not run again."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", drop=True)
    chat.mark()
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert (await chat.action()).state == "unknown"
    said = chat.bot_said()
    assert "outcome unknown" in said
    assert "the connection broke after the request was sent" in said
    assert "10 wanted" in said
    assert "@alice" in said
    chat.stage.world.set("realtime", up=True)
    await chat.restarts()
    await chat.stage.bot.executor.recover()
    await chat.waits(1200)
    assert chat.ran == {1: 1}
    assert len(await chat.events("action-1", e.ActionStarted)) == 1


async def test_safety_33_an_error_changes_nothing(chat: Chat) -> None:
    """The target refuses: failed, said, and not tried again by itself."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", error=True)
    chat.mark()
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert (await chat.action()).state == "failed"
    assert "500 Internal Server Error" in chat.bot_said()
    chat.stage.world.set("realtime", up=True)
    await chat.restarts()
    await chat.waits(1200)
    assert (chat.ran, chat.replicas()) == ({}, 3)


async def test_safety_33_half(chat: Chat) -> None:
    """Accepted, but the pods do not come up: said how far it got; accepted once."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", pods="crashloop")
    await chat.bob.reacts(chat.card(), "✅")
    chat.mark()
    await chat.waits(60)
    action = await chat.action()
    assert action.state == "failed"
    assert "of 10 ready after 30 s" in action.text
    assert "of 10 ready after 30 s" in chat.bot_said()
    assert chat.ran == {1: 1}


@pytest.mark.parametrize(("seconds", "state"), [(100, "done"), (1000, "unknown")])
async def test_safety_33_late(new_chat: Callable[..., Any], seconds: float, state: str) -> None:
    """The answer to a change comes within its limit, or it is given up on: unknown, never sent again."""
    chat: Chat = await new_chat()
    await chat.alice.says("/scale realtime 10")
    chat.stage.after_run = seconds
    await chat.bob.reacts(chat.card(), "✅")
    chat.mark()
    await chat.waits(899)
    assert (await chat.action()).state == ("running" if state == "unknown" else "done")
    await chat.waits(1)
    assert (await chat.action()).state == state
    if state == "unknown":
        assert "did not answer within 15 min" in chat.bot_said()
        assert "replicas 10" in chat.bot_said()
    await chat.restarts()
    await chat.waits(3600)
    assert (chat.ran, (await chat.action()).state) == ({1: 1}, state)


async def test_safety_33_a_look_that_never_ends(chat: Chat) -> None:
    """A read and a plan are given up on, with a sentence; nothing hangs for ever, and others go on."""
    chat.stage.world.set("realtime", slow=5000)
    chat.mark()
    await chat.alice.says("/pods realtime")
    await chat.bob.says("/scale realtime 10")
    await chat.carol.says("/pods chat-adapters")
    assert "chat-adapters · production" in chat.bot_said()
    await chat.waits(119)
    assert "did not answer" not in chat.bot_said_to("alice")
    await chat.waits(1)
    for person in ("alice", "bob"):
        assert "Kubernetes did not answer within 2 min" in chat.bot_said_to(person)
        assert "Nothing was changed" in chat.bot_said_to(person)
    assert await chat.actions() == 0


async def test_safety_33_an_approved_change_whose_target_does_not_answer(chat: Chat) -> None:
    """Looked at before it runs: no answer is a failure, not a hope, and the next change has its turn."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", slow=5000)
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(120)
    assert (await chat.action()).state == "failed"
    chat.stage.world.set("realtime", up=True)
    await chat.waits(6000)
    assert chat.ran == {}
    await chat.alice.says("/scale realtime 11")
    await chat.bob.reacts(chat.card(2), "✅")
    await chat.waits(60)
    assert (chat.ran, chat.replicas()) == ({2: 1}, 11)
