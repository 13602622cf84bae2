"""What is done once in Matrix, whatever comes twice, late, or while the bot is dead: cases 7, 10 and 28."""

from __future__ import annotations

from pathlib import Path

from bot.chat import Incoming
from bot.platforms.matrix_inbound import SINCE
from incidents import events as e
from tests.safety.matrix_rig import CROSS, PIN, on_matrix

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
        await chat.carol.presses("Approve", chat.card())
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
