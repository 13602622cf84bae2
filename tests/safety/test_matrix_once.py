"""What is done once in Matrix, whatever comes twice, late, or while the bot is dead: cases 7, 10 and 28."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.chat import Incoming
from bot.platforms.matrix_inbound import SINCE
from incidents import events as e
from tests.safety.matrix_rig import CROSS, PIN, TICK, on_matrix

# -- 7 ------------------------------------------------------------------------------------------------


async def test_safety_07_what_comes_again_is_one_effect(tmp_path: Path) -> None:
    """A crash took away how far the bot had read: words, commands, edits, pins, votes and taps come once more."""
    async with on_matrix(tmp_path) as chat:
        house = chat.stage.matrix.inbound._house
        assert house is not None
        position = await house.recall(SINCE)
        words = await chat.carol.says("just words")
        await chat.carol.says("!note once")
        await chat.carol.edits(words, "other words")
        await chat.carol.reacts(words, PIN)
        await chat.alice.says("!scale realtime 0")
        await chat.bob.reacts(chat.card())
        for _ in range(2):
            house = chat.stage.matrix.inbound._house
            assert house is not None
            assert position is not None
            await chat.stage.matrix.inbound.stop()
            await house.keep(SINCE, position)
            await chat.restarts()
        await chat.carol.taps("Approve", chat.card())
        await chat.waits(60)
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["once"]
        posted = [ev.message_id for ev in await chat.events("chat-1", e.MessagePosted)]
        assert sorted(posted) == sorted(set(posted))
        assert words in posted
        assert len(await chat.events("chat-1", e.MessageEdited)) == 1
        assert len(await chat.events("incident-1", e.MessagePinned)) == 1
        assert len(await chat.events("action-1", e.VoteCast)) == 2
        assert len([p for p in chat.posts() if p.mark.get("card") == "approval"]) == 1
        assert (chat.ran, chat.replicas()) == ({1: 1}, 0)


async def test_safety_07_what_failed_to_be_taken_in_comes_again(tmp_path: Path) -> None:
    """The house fails at the first attempt, as with a full disk: the command is read again, and done once."""
    async with on_matrix(tmp_path) as chat:
        inbound = chat.stage.matrix.inbound
        receive, failures = inbound._receive, iter([OSError("the disk is full")])
        assert receive is not None

        async def failing(act: Incoming) -> None:
            if (error := next(failures, None)) is not None:
                raise error
            await receive(act)

        inbound._receive = failing
        await chat.carol.says("!note once")
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["once"]
        await chat.carol.says("!note twice")
        assert len(await chat.events("incident-1", e.NoteAdded)) == 2


# -- 10 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 3, 60], ids=["before", "during", "after"])
async def test_safety_10_death_after_quorum(tmp_path: Path, seconds: int) -> None:
    """Killed before, during or after the run, and dead for a while: run once, and its card says how it ended."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 10")
        card = chat.card()
        await chat.people.reacts("bob", card.id, TICK)
        if seconds:
            await chat.waits(seconds)
        await chat.restarts(away=90)
        await chat.waits(120)
        assert ((await chat.action()).state, chat.ran, chat.replicas()) == ("done", {1: 1}, 10)
        assert len(await chat.events("action-1", e.ActionStarted)) == 1
        [shown] = [p for p in chat.posts() if p.mark.get("card") == "approval"]
        assert shown.id == card.id
        assert "✅ #1 realtime runs 10 replicas" in shown.text


async def test_safety_10_votes_while_it_was_dead(tmp_path: Path) -> None:
    """A vote, one taken back, and a denial, all cast at nobody: read at the start, each once."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 0")
        await chat.alice.says("!scale chat-adapters 5")
        first, second = chat.card(1), chat.card(2)
        await chat.dave.reacts(first)
        await chat.stage.kill()
        await chat.dave.reacts(first, added=False)
        await chat.bob.reacts(first)
        await chat.carol.reacts(second, CROSS)
        await chat.restarts(away=30)
        assert ((await chat.action(1)).approvals, (await chat.action(2)).state) == (("bob",), "denied")
        await chat.carol.reacts(first)
        await chat.waits(60)
        assert (chat.ran, chat.replicas("chat-adapters")) == ({1: 1}, 3)


# -- 28 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "runs"), [(50, True), (70, False)])
async def test_safety_28_late_commands_are_shown_and_not_run(tmp_path: Path, age: int, runs: bool) -> None:
    """Written while the bot was dead: what is older than a minute is told to everybody instead."""
    async with on_matrix(tmp_path) as chat:
        await chat.stage.kill()
        await chat.bob.says("!scale realtime 10")
        await chat.bob.says("!severity low")
        chat.mark()
        await chat.restarts(away=age)
        await chat.waits(10)
        assert (await chat.actions() == 1) == runs
        assert (len(await chat.events("incident-1", e.SeverityChanged)) == 1) == runs
        assert ("late from bob, so I have not run it: !scale realtime 10" in chat.bot_said()) != runs
        assert "!severity low" in (await chat.written()).values()


@pytest.mark.parametrize(
    ("line", "button", "kind"),
    [
        ("!ack", "Acknowledge", e.Acknowledged),
        ("/ack", "Acknowledge", e.Acknowledged),
        ("Watchbell: ack", "Acknowledge", e.Acknowledged),
        ("!resolve it was the disk", "Resolve", e.Resolved),
    ],
)
async def test_safety_28_a_late_acknowledge_or_resolve_is_a_button(
    tmp_path: Path, line: str, button: str, kind: type[e.Event]
) -> None:
    """Offered, not done; tapped, it is done, by who taps."""
    async with on_matrix(tmp_path, opened=False) as chat:
        await chat.grace.says("!incident open critical Redis is down", "#ops")
        chat.number = 1
        await chat.stage.kill()
        await chat.bob.says(line)
        await chat.restarts(away=70)
        assert not await chat.events("incident-1", kind)
        shown = chat.newest("so I have not run it")
        assert [b.label for b in shown.buttons] == [button]
        await chat.carol.taps(button, shown)
        assert [done.actor for done in await chat.events("incident-1", kind)] == ["carol"]


async def test_safety_28_what_was_written_meanwhile_is_in_the_transcript(tmp_path: Path) -> None:
    """Words, answers in threads and edits, with the time at which they were written; nothing twice."""
    async with on_matrix(tmp_path) as chat:
        root = await chat.carol.says("it began at noon")
        await chat.stage.kill()
        loose = await chat.carol.says("written while you were away")
        answer = await chat.dave.says("an answer", thread=root)
        await chat.carol.edits(root, "it began at one")
        await chat.restarts(away=90)
        posted = {ev.message_id: ev for ev in await chat.events("chat-1", e.MessagePosted)}
        assert (posted[loose].late, posted[answer].thread) == (True, root)
        assert (posted[loose].at - posted[root].at).total_seconds() < 5
        assert [edit.text for edit in await chat.events("chat-1", e.MessageEdited)] == ["it began at one"]
        assert sum(text == "written while you were away" for text in (await chat.written()).values()) == 1
