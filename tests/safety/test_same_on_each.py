"""The cases that are played alike on Slack and on Matrix: who votes, what is late, what comes twice or too often."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from incidents import events as e
from tests.safety.looks import runs, voters
from tests.safety.matrix_rig import on_matrix
from tests.safety.rig import with_limits
from tests.safety.slack_rig import on_slack

# A SlackChat or a MatrixChat: they name their people, and what these do, alike.
Opens = Callable[..., AbstractAsyncContextManager[Any]]
Attempt = Callable[[Any], Awaitable[object]]
EACH: dict[str, Opens] = {"slack": on_slack, "matrix": on_matrix}
MORE: dict[str, Opens] = {
    **EACH,
    "slack by socket": partial(on_slack, socket=True),
    "rooms of version 11": partial(on_matrix, room_version="11"),
}


@pytest.fixture(params=EACH)
def opens(request: pytest.FixtureRequest) -> Opens:
    """Opens one chat after the other."""
    return EACH[request.param]


# -- votes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", MORE)
async def test_safety_01_the_requester_counts_by_no_means(where: str, tmp_path: Path) -> None:
    """Neither by reaction nor by button nor by command; each time it is said why. bob is counted."""
    async with MORE[where](tmp_path) as chat:
        await chat.alice.asks("scale realtime 10")
        attempts: tuple[Attempt, ...] = (
            lambda c: c.alice.reacts(c.card()),
            lambda c: c.alice.presses("Approve", c.card()),
            lambda c: c.alice.says("/approve 1"),
            lambda c: c.alice.says("!approve 1"),
        )
        for attempt in attempts:
            chat.mark()
            await attempt(chat)
            assert "somebody else has to approve #1" in chat.bot_said("alice")
        refused = await chat.events("action-1", e.VoteRefused)
        reaction = "reaction:slack" if "slack" in where else "reaction:matrix"
        assert [(r.person, r.means) for r in refused] == [
            ("alice", means) for means in (reaction, "button", "command", "command")
        ]
        assert not await runs(chat)
        await chat.bob.reacts(chat.card())
        assert await runs(chat)
        assert (chat.ran, chat.replicas()) == ({1: 1}, 10)


async def test_safety_02_edits_after_a_vote_change_nothing(opens: Opens, tmp_path: Path) -> None:
    """The request, the voter's command and a message that becomes a command: what was frozen runs."""
    async with opens(tmp_path) as chat:
        request = await chat.alice.says("!scale realtime 0")
        vote = await chat.bob.says("!approve 1")
        words = await chat.alice.says("shall we scale?")
        await chat.alice.edits(request, "!scale chat-adapters 0")
        await chat.bob.edits(vote, "!deny 1")
        await chat.alice.edits(words, "!scale realtime 9")
        assert (await chat.actions(), await voters(chat)) == (1, ("bob",))
        await chat.carol.reacts(chat.card())
        assert await runs(chat)
        assert (chat.ran, chat.replicas(), chat.replicas("chat-adapters")) == ({1: 1}, 0, 3)


async def test_safety_03_reactions_on_old_cards(opens: Opens, tmp_path: Path) -> None:
    """Expired, denied, done: no vote, and none for what was asked since; the person is told."""
    async with opens(tmp_path) as chat:
        await chat.alice.asks("scale realtime 10")
        await chat.waits(900)
        await chat.alice.asks("scale realtime 10")
        await chat.carol.reacts(chat.card(2), chat.cross)
        await chat.alice.asks("scale realtime 4")
        await chat.dave.reacts(chat.card(3))
        assert await runs(chat)
        await chat.alice.asks("scale realtime 10")
        for number, word in ((1, "expired"), (2, "denied"), (3, "has run already")):
            chat.mark()
            await chat.bob.reacts(chat.card(number))
            assert word in chat.bot_said("bob")
        assert await runs(chat)
        assert (await voters(chat, 4), chat.ran) == ((), {3: 1})


async def test_safety_04_removed_and_added_again(opens: Opens, tmp_path: Path) -> None:
    """The state per person counts; SAFETY 6: what tells of the removal takes the vote back.

    On Matrix that is a redaction, which names the reaction alone.
    """
    async with opens(tmp_path) as chat:
        await chat.alice.asks("scale realtime 0")
        card = chat.card()
        for _ in range(2):
            await chat.bob.reacts(card)
            assert await voters(chat) == ("bob",)
            await chat.bob.reacts(card, added=False)
            assert await voters(chat) == ()
        await chat.carol.reacts(card)
        assert not await runs(chat)
        await chat.bob.reacts(card)
        assert await runs(chat)


async def test_safety_05_withdrawn_while_running_is_too_late(opens: Opens, tmp_path: Path) -> None:
    """Said to who withdraws, recorded, and it runs to its end."""
    async with opens(tmp_path) as chat:
        await chat.alice.asks("scale realtime 10")
        await chat.bob.reacts(chat.card())
        chat.mark()
        await chat.bob.reacts(chat.card(), added=False)
        assert "too late" in chat.bot_said("bob")
        assert [v.person for v in await chat.events("action-1", e.VoteWithdrawn)] == ["bob"]
        assert await runs(chat)
        assert (await chat.action()).state == "done"


# -- death, and what is late --------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 3, 60], ids=["before", "during", "after"])
async def test_safety_10_death_after_quorum(opens: Opens, seconds: int, tmp_path: Path) -> None:
    """Killed before, during or after the run, and dead for a while: run once, and its card says how it ended."""
    async with opens(tmp_path) as chat:
        await chat.alice.asks("scale realtime 10")
        card = chat.card()
        if not seconds:
            chat.stage.bot.executor.begin = lambda number: None  # it dies before this would be called
        await chat.bob.reacts(card)
        await chat.waits(seconds)
        await chat.restarts(away=90)
        await chat.waits(120)
        assert ((await chat.action()).state, chat.ran, chat.replicas()) == ("done", {1: 1}, 10)
        assert len(await chat.events("action-1", e.ActionStarted)) == 1
        [shown] = chat.cards()
        assert shown.id == chat.shown(card).id
        assert "✅ #1 realtime runs 10 replicas" in shown.text


@pytest.mark.parametrize(("age", "fresh"), [(50, True), (70, False)])
async def test_safety_28_late_commands_are_shown_and_not_run(
    opens: Opens, age: int, fresh: bool, tmp_path: Path
) -> None:
    """Written while the bot was dead: what is older than a minute is told to everybody instead."""
    async with opens(tmp_path) as chat:
        await chat.stage.kill()
        await chat.bob.says("!scale realtime 10")
        await chat.bob.says("!severity low")
        chat.mark()
        await chat.restarts(away=age)
        await chat.waits(10)
        assert (await chat.actions() == 1) == fresh
        assert (len(await chat.events("incident-1", e.SeverityChanged)) == 1) == fresh
        assert ("late from bob, so I have not run it: !scale realtime 10" in chat.bot_said()) != fresh
        assert "!severity low" in (await chat.written()).values()


@pytest.mark.parametrize(
    ("where", "line", "button", "kind"),
    [
        ("slack", "!ack", "Acknowledge", e.Acknowledged),
        ("slack", "@watchbell ack", "Acknowledge", e.Acknowledged),
        ("slack", "!resolve it was the disk", "Resolve", e.Resolved),
        ("slack", "!inc resolve", "Resolve", e.Resolved),
        ("matrix", "!ack", "Acknowledge", e.Acknowledged),
        ("matrix", "/ack", "Acknowledge", e.Acknowledged),
        ("matrix", "Watchbell: ack", "Acknowledge", e.Acknowledged),
        ("matrix", "!resolve it was the disk", "Resolve", e.Resolved),
    ],
)
async def test_safety_28_a_late_acknowledge_or_resolve_is_a_button(
    where: str, line: str, button: str, kind: type[e.Event], tmp_path: Path
) -> None:
    """Offered, not done; pressed, it is done, by who presses."""
    async with EACH[where](tmp_path, opened=False) as chat:
        await chat.grace.asks("incident open critical Redis is down", "#ops")
        chat.number = 1
        await chat.stage.kill()
        await chat.bob.says(line)
        await chat.restarts(away=70)
        assert not await chat.events("incident-1", kind)
        message, buttons = chat.offered("so I have not run it")
        assert buttons == (button,)
        await chat.carol.presses(button, message)
        assert [done.actor for done in await chat.events("incident-1", kind)] == ["carol"]


# -- too much, and the same again ---------------------------------------------------------------------


async def test_safety_29_floods_are_limited_per_person_and_answered(opens: Opens, tmp_path: Path) -> None:
    """Commands, reactions and buttons count together; somebody else is not held up, and a minute ends it."""
    async with opens(tmp_path, with_limits(person_per_minute=5)) as chat:
        await chat.alice.asks("scale realtime 0")
        for number in range(3):
            await chat.bob.says(f"!note {number}")
        await chat.bob.says("/note the last but one")
        await chat.bob.reacts(chat.card())
        for attempt in ("/note too many", "!note too many"):
            chat.mark()
            await chat.bob.says(attempt)
            assert "more than 5 requests a minute" in chat.bot_said("bob")
        chat.mark()
        await chat.bob.reacts(chat.card(), chat.cross)
        await chat.bob.presses("Approve", chat.card())
        assert chat.bot_said("bob").count("more than 5 requests a minute") == 2
        assert len(await chat.events("incident-1", e.NoteAdded)) == 4
        assert (await chat.action()).state == "pending"
        await chat.carol.asks("note of another person")
        await chat.waits(60)
        await chat.bob.asks("note a minute later")
        assert len(await chat.events("incident-1", e.NoteAdded)) == 6


async def test_safety_29_identical_requests_are_one_card(opens: Opens, tmp_path: Path) -> None:
    """By whatever way they are typed; the answer says which request it is already."""
    async with opens(tmp_path) as chat:
        await chat.alice.asks("scale realtime 10")
        for line in (
            "!scale   realtime replicas=10",
            "/scale   realtime replicas=10",
            f"{chat.mention} scale realtime 10",
            f"{chat.sign}wb scale realtime 10",
        ):
            chat.mark()
            await chat.carol.says(line)
            assert "#1 asks for exactly this already" in chat.bot_said("carol")
        assert (await chat.actions(), len(chat.cards())) == (1, 1)
