"""What is done once, whatever comes twice, dies or runs beside another: cases 7 to 12."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bot.chat import Press, Reaction, Request
from incidents import events as e
from tests.safety.rig import Chat, with_roles

# -- 7 ----------------------------------------------------------------------------------------------


async def delivered(chat: Chat, act: Any, times: int = 3) -> None:
    """The chat hands the same thing over several times, the first two at the same moment, to every bot."""
    receivers = [bot.inbox.receive for bot in chat.stage.bots]
    await asyncio.gather(*(receive(act) for receive in receivers for _ in range(2)))
    await chat.settle()
    for _ in range(times - 2):
        await receivers[-1](act)
    await chat.settle()


def request(chat: Chat, text: str, event: str, user: str = "alice") -> Request:
    """A command as the chat hands it over."""
    return Request(platform="console", event_id=event, channel=chat.channel, user=user, text=text)


@pytest.mark.parametrize("bots", [1, 2])
async def test_safety_7_one_event_is_one_effect(new_chat: Callable[..., Any], bots: int) -> None:
    """Commands, changes, votes, buttons and messages, by one bot and by two on one log."""
    chat: Chat = await new_chat(bots=bots)
    await delivered(chat, request(chat, "/note once", "n1"))
    assert len(await chat.events("incident-1", e.NoteAdded)) == 1

    await delivered(chat, request(chat, "/scale realtime 0", "s1"))
    assert (await chat.actions(), chat.cards()) == (1, 1)
    card = chat.card()

    chat.mark()
    await delivered(chat, request(chat, "/pods realtime", "p1"))
    assert chat.bot_said().count("realtime · production") == 1

    vote = Reaction(
        platform="console",
        event_id="r1",
        channel=card.channel,
        user="bob",
        message_id=card.id,
        emoji="✅",
        added=True,
    )
    card.reactions["✅"].append("bob")
    await delivered(chat, vote)
    assert len(await chat.events("action-1", e.VoteCast)) == 1

    press = Press(
        platform="console",
        event_id="b1",
        channel=card.channel,
        user="carol",
        message_id=card.id,
        value="/approve 1",
    )
    await delivered(chat, press)
    await chat.waits(60)
    assert len(await chat.events("action-1", e.VoteCast)) == 2
    assert len(await chat.events("action-1", e.ActionStarted)) == 1
    assert (chat.ran, chat.replicas()) == ({1: 1}, 0)

    said = Request(
        platform="console",
        event_id="m1",
        channel=chat.channel,
        user="carol",
        text="just words",
        message_id="M999",
    )
    await delivered(chat, said)
    posted = [ev for ev in await chat.events("chat-1", e.MessagePosted) if ev.message_id == "M999"]
    assert len(posted) == 1


async def test_safety_7_what_was_refused_is_not_run_by_the_repetition(chat: Chat) -> None:
    """Refused once, the same event cannot come again and pass."""
    await delivered(chat, request(chat, "/scale realtime 10", "x1", user="grace"), times=2)
    chat.stage.bot.inbox._accounts["console", "grace"] = "alice"  # she is given the role in between
    await delivered(chat, request(chat, "/scale realtime 10", "x1", user="grace"), times=2)
    assert await chat.events("action-1", e.ActionProposed) == []
    await delivered(chat, request(chat, "/scale realtime 10", "x2", user="grace"), times=2)
    assert await chat.actions() == 1


async def test_safety_7_a_retry_is_not_dropped_for_being_one(chat: Chat) -> None:
    """What never arrived the first time is done at the second: nothing but its id says what came before."""
    late = Request(
        platform="console", event_id="x1", channel=chat.channel, user="alice", text="/note again", age=59.0
    )
    await delivered(chat, late)
    assert len(await chat.events("incident-1", e.NoteAdded)) == 1


# -- 8 ----------------------------------------------------------------------------------------------


async def test_safety_8_acknowledged_first_and_progress_seen(chat: Chat) -> None:
    """The target takes a minute: the chat has its answer at once, the person a word after three seconds."""
    chat.stage.world.set("realtime", slow=60)
    chat.mark()
    await chat.console.says("alice", chat.channel, "/pods realtime")
    assert chat.console.store.untaken() == []  # taken, though no time has passed and nothing is answered
    await chat.settle()
    await chat.waits(2.9)
    assert chat.bot_said_to("alice") == chat.bot_said() == ""
    await chat.waits(0.1)
    assert "Still working on pods realtime" in chat.bot_said_to("alice")
    await chat.waits(56)
    assert chat.bot_said() == ""
    await chat.waits(1)
    assert "realtime · production" in chat.bot_said()


async def test_safety_8_what_is_quick_says_nothing_of_it(chat: Chat) -> None:
    """The other side of the three seconds; and nobody else waits for the slow one."""
    chat.stage.world.set("realtime", slow=60)
    chat.stage.world.set("chat-adapters", slow=2)
    chat.mark()
    await chat.console.says("alice", chat.channel, "/pods realtime")
    await chat.bob.says("/pods chat-adapters")
    await chat.bob.says("/note meanwhile")
    await chat.waits(2)
    assert "chat-adapters · production" in chat.bot_said()
    assert chat.bot_said_to("bob") == ""
    assert len(await chat.events("incident-1", e.NoteAdded)) == 1


async def test_safety_8_a_change_shows_its_progress(chat: Chat) -> None:
    """On its card, while the vote was acknowledged long before."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅")
    seen = set()
    for _ in range(12):
        await chat.waits(2)
        seen.add(chat.card(1).plain.splitlines()[0])
    assert any("of 10 ready" in line for line in seen), seen


# -- 9 ----------------------------------------------------------------------------------------------


async def test_safety_9_the_same_button_again_and_again(chat: Chat) -> None:
    """Approve, Undo and Acknowledge pressed twice have the effect of one press, and the person is told."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    await chat.bob.presses("Approve", card)
    chat.mark()
    await chat.bob.says("/approve 1")
    assert "runs already" in chat.bot_said_to("bob")
    await chat.waits(60)
    assert chat.ran == {1: 1}

    chat.mark()
    for _ in range(2):  # both before the first one has run
        await chat.console.presses("alice", chat.card(1).id, "Undo → 3")
    await chat.settle()
    await chat.waits(60)
    assert chat.replicas() == 3
    assert sum(chat.ran.values()) == 2
    assert await chat.actions() == 2
    assert "taken back" in chat.bot_said_to("alice")
    chat.mark()
    await chat.alice.says("/undo 1")
    assert "taken back already" in chat.bot_said_to("alice")
    assert await chat.actions() == 2


async def test_safety_9_the_same_command_again(chat: Chat) -> None:
    """Acknowledging or resolving twice records it once; asking twice is one request."""
    await chat.bob.says("/ack")
    await chat.bob.says("/ack")
    assert len(await chat.events("incident-1", e.Acknowledged)) <= 2
    for _ in range(3):
        await chat.alice.says("/scale realtime 10")
    assert (await chat.actions(), chat.cards()) == (1, 1)
    await chat.alice.says("/cancel 1")
    await chat.alice.says("/cancel 1")
    assert len(await chat.events("action-1", e.ActionCancelled)) == 1
    await chat.alice.says("/resolve done")
    await chat.alice.says("/resolve done")
    assert len(await chat.events("incident-1", e.Resolved)) == 1


async def test_safety_9_a_lost_press_is_pressed_again(chat: Chat) -> None:
    """The bot was gone when it was pressed: kept by the chat, and with the second press still one vote."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    await chat.stage.kill()
    await chat.console.presses("bob", card.id, "Approve")
    await chat.console.presses("bob", card.id, "Approve")
    await chat.stage.start()
    await chat.settle()
    await chat.waits(60)
    assert chat.ran == {1: 1}
    assert len(await chat.events("action-1", e.VoteCast)) == 1


# -- 10 ---------------------------------------------------------------------------------------------


async def test_safety_10_death_between_quorum_and_run(chat: Chat) -> None:
    """The vote is recorded, nothing has run: after the restart it runs, once."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅", settle=False)
    await chat.stage.kill()
    assert chat.ran == {}
    await chat.restarts()
    assert (await chat.action()).state == "running"
    await chat.waits(60)
    assert (chat.ran, (await chat.action()).state) == ({1: 1}, "done")


async def test_safety_10_death_between_the_claim_and_the_target(chat: Chat) -> None:
    """Recorded as started, but the target never heard of it: unknown, reported, never run."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.before_run = 600  # on its way for ten minutes
    await chat.bob.reacts(chat.card(), "✅")
    assert (await chat.action()).state == "running"
    assert chat.ran == {}
    await chat.stage.kill()
    chat.stage.before_run = None
    chat.mark()
    await chat.restarts()
    await chat.waits(60)
    assert ((await chat.action()).state, chat.ran, chat.replicas()) == ("unknown", {}, 3)
    assert "outcome unknown" in chat.bot_said()
    assert "Follow" in [b.label for b in chat.card(1).buttons]
    await chat.restarts()
    await chat.waits(600)
    assert chat.ran == {}


@pytest.mark.parametrize("away", [0, 10, 3600])
async def test_safety_10_death_during_the_run(chat: Chat, away: int) -> None:
    """Accepted, with pods still starting: the target proves it, so it is followed to its ordinary end."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(3)
    assert (await chat.action()).state == "running"
    await chat.stage.kill()
    chat.stage.clock.move(chat.stage.clock.now().__add__(_seconds(away)))
    await chat.restarts()
    await chat.waits(60)
    action = await chat.action()
    assert (action.state, action.after["replicas"]) == ("done", 10)
    assert (chat.ran, chat.replicas()) == ({1: 1}, 10)
    assert len(await chat.events("action-1", e.ActionStarted)) == 1
    assert "realtime runs 10 replicas" in chat.card(1).plain


def _seconds(count: float) -> Any:
    from datetime import timedelta

    return timedelta(seconds=count)


async def test_safety_10_death_after_the_run(chat: Chat) -> None:
    """Done is done, however often the bot starts again; and the lock is free for the next change."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    for _ in range(3):
        await chat.restarts()
        await chat.waits(120)
    assert chat.ran == {1: 1}
    assert len(await chat.events("action-1", e.ActionFinished)) == 1
    await chat.alice.says("/scale realtime 4")
    await chat.bob.reacts(chat.card(2), "✅")
    await chat.waits(60)
    assert (chat.ran, chat.replicas()) == ({1: 1, 2: 1}, 4)


async def test_safety_10_death_at_every_step(new_chat: Callable[..., Any]) -> None:
    """Killed after each event of a request's life, the target has accepted it once in the end."""
    chat: Chat = await new_chat()
    wanted: dict[int, int] = {}
    for number in range(1, 7):
        replicas = 3 + number
        await chat.alice.says(f"/scale realtime {replicas}")
        await chat.bob.reacts(chat.card(number), "✅", settle=False)
        for _ in range(4 * number):  # so many turns of the loop it lives
            await asyncio.sleep(0)
        await chat.stage.kill()
        await chat.restarts()
        await chat.waits(60)
        action = await chat.action(number)
        assert action.state in ("done", "unknown")
        if action.state == "done":
            wanted[number] = 1
        assert chat.ran == wanted
        chat.stage.world.set("realtime", replicas=replicas)


# -- 11 ---------------------------------------------------------------------------------------------


async def test_safety_11_two_replicas_one_claim(new_chat: Callable[..., Any]) -> None:
    """Both find it approved and look at the slow target side by side; one of them runs it."""
    chat: Chat = await new_chat(bots=2)
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", slow=5)
    await chat.bob.reacts(chat.card(), "✅")
    for bot in chat.stage.bots:
        await bot.executor.recover()
    assert all(1 in bot.executor._at_work for bot in chat.stage.bots)
    await chat.waits(4)
    assert (await chat.action()).state == "approved"
    await chat.waits(120)
    assert len(await chat.events("action-1", e.ActionStarted)) == 1
    assert len(await chat.events("action-1", e.ActionFinished)) == 1
    assert (chat.ran, chat.replicas()) == ({1: 1}, 10)


async def test_safety_11_both_hear_the_votes(new_chat: Callable[..., Any]) -> None:
    """Every act goes to both: one card, one quorum, one run; and neither follows what the other runs."""
    chat: Chat = await new_chat(bots=2)
    await chat.alice.says("/scale realtime 0")
    assert chat.cards() == 1
    await chat.bob.reacts(chat.card(), "✅")
    await chat.carol.says("/approve 1")
    for bot in chat.stage.bots:
        await bot.executor.recover()
    await chat.waits(120)
    assert len(await chat.events("action-1", e.ActionApproved)) == 1
    assert len(await chat.events("action-1", e.ActionStarted)) == 1
    assert (chat.ran, chat.replicas()) == ({1: 1}, 0)


async def test_safety_11_two_requests_for_one_target_on_two_replicas(new_chat: Callable[..., Any]) -> None:
    """Each replica takes one of them: the second waits for the first, and then finds the target moved."""
    chat: Chat = await new_chat(bots=2)
    await chat.alice.says("/scale realtime 10")
    await chat.carol.says("/scale realtime 5")
    first, second = chat.stage.bots
    await first.store.run(lambda unit: None)
    await chat.dave.reacts(chat.card(1), "✅")
    await chat.dave.reacts(chat.card(2), "✅")
    second.executor.begin(2)
    await chat.waits(180)
    assert (await chat.action(1)).state == "done"
    assert (await chat.action(2)).state == "void"
    assert chat.ran == {1: 1}


# -- 12 ---------------------------------------------------------------------------------------------


async def test_safety_12_the_second_of_two_conflicting_plans(chat: Chat) -> None:
    """Both approved: the first runs, the second finds another state, is void, and is asked again."""
    await chat.alice.says("/scale realtime 10")
    await chat.carol.says("/scale realtime 5")
    first, second = chat.card(1), chat.card(2)
    await chat.bob.reacts(first, "✅")
    chat.mark()
    await chat.bob.reacts(second, "✅")
    await chat.waits(60)
    assert ((await chat.action(1)).state, (await chat.action(2)).state) == ("done", "void")
    assert (chat.ran, chat.replicas()) == ({1: 1}, 10)
    assert "replicas is 10 now, it was 3" in chat.bot_said()
    again = await chat.action(3)
    assert (again.requester, again.state, again.votes, again.again_of) == ("carol", "pending", {}, 2)
    assert "10 → 5" in chat.card(3).plain


async def test_safety_12_plans_that_do_not_conflict_both_run(chat: Chat) -> None:
    """One after the other, each checked again: nothing moved that the second stands on."""
    await chat.alice.says("/toggle realtime BACKPRESSURE_THRESHOLD 0.9")
    await chat.alice.says("/toggle realtime WEBSOCKET_TIMEOUT_MS 60000")
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.bob.reacts(chat.card(2), "✅")
    assert [(await chat.action(n)).state for n in (1, 2)] == ["running", "approved"]
    await chat.waits(120)
    assert [(await chat.action(n)).state for n in (1, 2)] == ["done", "done"]
    assert chat.ran == {1: 1, 2: 1}


async def test_safety_13_a_command_taken_in_before_its_role_was_lost(chat: Chat) -> None:
    """What the process died over is taken up by the configuration of now: whoever has no role any more asks in vain."""
    chat.stage.world.set("realtime", slow=5)
    await chat.alice.says("/scale realtime 10")
    assert await chat.events("action-1", e.ActionProposed) == []  # the target has not answered yet
    chat.mark()
    await chat.restarts(with_roles(alice=[]))
    await chat.waits(30)
    assert await chat.events("action-1", e.ActionProposed) == []
    assert "no role" in chat.bot_said_to("alice")
