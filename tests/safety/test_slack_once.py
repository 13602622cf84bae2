"""What is done once in Slack, whatever comes twice, late, or while the bot is dead: cases 7 to 10 and 28."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.reader import LogReader
from incidents import events as e
from incidents.transcript import transcript
from tests.safety.slack_rig import CROSS, PIN, TICK, SlackChat, command_form, on_slack, press_form

NOWHERE = "http://127.0.0.1:9/nobody"


async def unreachable(chat: SlackChat) -> str:
    """The bot lives, but Slack's requests do not arrive; returns the address at which they would."""
    url = chat.stage.doors[0][1]
    await chat.act("app", events_url=NOWHERE)
    return url


# -- 7 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("socket", "bots"), [(False, 1), (True, 1), (True, 2)], ids=["http", "socket", "two"]
)
async def test_safety_07_what_is_delivered_twice_is_one_effect(
    tmp_path: Path, socket: bool, bots: int
) -> None:
    """Every event comes twice (to each of two replicas once); a mention comes as two kinds of events."""
    async with on_slack(tmp_path, socket=socket, bots=bots) as chat:
        await chat.act("deliver", duplicate=True)
        words = await chat.carol.says("just words")
        mention = await chat.carol.says("@watchbell note once")
        await chat.carol.edits(words, "other words")
        await chat.carol.reacts(words, PIN)
        await chat.alice.says("!scale realtime 0")
        await chat.bob.reacts(chat.card())
        await chat.carol.presses("Approve", chat.card())
        await chat.waits(60)
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["once"]
        posted = [ev.message_id for ev in await chat.events("chat-1", e.MessagePosted)]
        assert (posted.count(words), posted.count(mention)) == (1, 1)
        assert len(await chat.events("chat-1", e.MessageEdited)) == 1
        assert len(await chat.events("incident-1", e.MessagePinned)) == 1
        assert len(await chat.events("action-1", e.VoteCast)) == 2
        assert len(await chat.events("action-1", e.ActionStarted)) == 1
        assert len([m for m in chat.messages() if m["card"] == "approval"]) == 1
        assert (chat.ran, chat.replicas()) == ({1: 1}, 0)


async def test_safety_07_a_retry_is_not_dropped_for_being_one(tmp_path: Path) -> None:
    """Nothing of the first attempts arrived: what Slack sends again after a minute is taken in, and once."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        url = await unreachable(chat)
        words = await chat.carol.says("is anybody there?")
        await chat.bob.reacts(chat.card())
        await chat.act("app", events_url=url)
        assert words not in await chat.written()
        await chat.waits(61)
        assert (await chat.written())[words] == "is anybody there?"
        await chat.waits(400)
        assert (chat.ran, chat.replicas()) == ({1: 1}, 10)


async def test_safety_07_the_second_attempt_of_what_was_done_does_nothing(tmp_path: Path) -> None:
    """Slack gave up waiting and sends it again, though the first attempt was taken in: known by its id."""
    async with on_slack(tmp_path) as chat:
        await chat.act("deliver", limit=0.5)
        with closing(sqlite3.connect(chat.stage.data / "watchbell.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            said = await chat.server.act("says", user=chat.alice.id, channel=chat.place(), text="!note once")
            assert not said["acknowledged"]
            other.execute("ROLLBACK")
        await chat.stage.settle()
        await chat.act("deliver", limit=3)
        await chat.waits(61)
        assert len(await chat.events("incident-1", e.NoteAdded)) == 1


# -- 8 ------------------------------------------------------------------------------------------------


async def test_safety_08_acknowledged_in_time_whatever_takes_long(tmp_path: Path) -> None:
    """The log hangs, and Slack has its answer before three seconds are over; what was asked is done after it."""
    async with on_slack(tmp_path) as chat:
        with closing(sqlite3.connect(chat.stage.data / "watchbell.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = {"user": chat.alice.id, "channel": chat.place(), "command": "/note", "text": "slowly"}
            said = await chat.server.act("command", **asked)
            assert (said["acknowledged"], said["responses"]) == (True, [])
            other.execute("ROLLBACK")
        await chat.stage.settle()
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["slowly"]


async def test_safety_08_a_slow_target_is_waited_for_and_said_so(tmp_path: Path) -> None:
    """Acknowledged at once, a word to the person after three seconds, the answer when it is there."""
    async with on_slack(tmp_path) as chat:
        chat.stage.world.set("realtime", slow=60)
        chat.mark()
        await chat.alice.says("/pods realtime")
        await chat.waits(2.9)
        assert chat.bot_said("alice") == ""
        await chat.waits(0.1)
        assert "Still working on pods realtime" in chat.bot_said("alice")
        await chat.waits(57)
        assert "realtime · production" in chat.bot_said()


# -- 9 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bots", [1, 2])
async def test_safety_09_a_command_or_press_delivered_twice_counts_once(tmp_path: Path, bots: int) -> None:
    """The same trigger_id in requests that are signed anew; to each of two replicas, too."""
    async with on_slack(tmp_path, bots=bots) as chat:
        for ago in (0, 10, 20):
            note = command_form(chat, chat.alice, "/note", "once", "1.2.note")
            scale = command_form(chat, chat.alice, "/scale", "realtime 0", "1.2.scale")
            assert await chat.posts(note, ago=ago) == await chat.posts(scale, ago=ago) == [200] * bots
        assert len(await chat.events("incident-1", e.NoteAdded)) == 1
        assert await chat.actions() == 1
        press = press_form(chat, chat.bob, "Approve", chat.card(), "1.2.press")
        for ago in (0, 10, 20):
            assert await chat.posts(press, ago=ago) == [200] * bots
        assert [v.person for v in await chat.events("action-1", e.VoteCast)] == ["bob"]
        assert sum("alice ran /note once" in m["text"] for m in chat.messages()) == 1
        assert sum(m["card"] == "approval" for m in chat.messages()) == 1


async def test_safety_09_what_was_lost_is_done_when_it_is_done_again(tmp_path: Path) -> None:
    """Slack never repeats a command or a press: the person sees that it failed, and it counts the second time."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        card = chat.card()
        await chat.stage.kill()
        asked = {"user": chat.bob.id, "channel": card["channel"]}
        assert not (await chat.act("presses", **asked, ts=card["ts"], label="Approve"))["acknowledged"]
        assert not (await chat.act("command", **asked, command="/note", text="x"))["acknowledged"]
        await chat.restarts()
        assert ((await chat.action()).votes, await chat.events("incident-1", e.NoteAdded)) == ({}, [])
        await chat.bob.presses("Approve", card)
        await chat.waits(60)
        assert chat.ran == {1: 1}
        chat.mark()
        await chat.bob.says("/approve 1")
        assert "has run already" in chat.bot_said("bob")


async def test_safety_09_who_ran_what_is_said_where_it_was_typed(tmp_path: Path) -> None:
    """Slack shows nobody else a slash command: the bot does, in the incident's channel, in #ops, in a thread."""
    async with on_slack(tmp_path) as chat:
        chat.mark()
        await chat.bob.says("/severity high it is worse <than> &c")
        await chat.bob.says("/logs realtime grep=nothing")
        assert "bob ran /severity high it is worse ‹than› &c" in chat.bot_said()
        assert "bob ran /logs realtime grep=nothing" in chat.bot_said()
        chat.mark()
        await chat.carol.says("/incident list", "#ops")
        assert "carol ran /incident list" in chat.bot_said()
        chat.mark()
        await chat.bob.says("!note a message says it itself")
        await chat.bob.presses("Escalate", chat.newest(button="Escalate"))
        await chat.bob.says("/note in private", "@bob") if chat.stage.people.channel_named("@bob") else None
        assert "bob ran" not in chat.bot_said()


# -- 10 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dies", [False, True])
async def test_safety_10_a_post_whose_answer_was_lost_is_not_posted_again(tmp_path: Path, dies: bool) -> None:
    """Slack posted the card and the connection broke, or the bot died before it heard: found by its key."""
    async with on_slack(tmp_path) as chat:
        await chat.act("faults", kinds=["after"], methods=["chat.postMessage"], count=3)
        await chat.alice.says("/scale realtime 10")
        if dies:
            await chat.restarts(away=5)
        for _ in range(10):  # what waits for its turn behind what failed has no time of its own
            await chat.waits(1)
        texts = [m["text"] for m in chat.messages()]
        assert sum(m["card"] == "approval" for m in chat.messages()) == 1
        assert texts.count("alice ran /scale realtime 10") == 1
        card = chat.card()
        assert set(card["reactions"]) == {TICK, CROSS}
        await chat.bob.reacts(card)
        await chat.waits(60)
        assert chat.ran == {1: 1}


# -- 28, and what came in meanwhile -------------------------------------------------------------------


async def test_safety_28_what_was_written_while_the_bot_was_dead_is_read(tmp_path: Path) -> None:
    """Words, threads, edits, pins and votes, each once, though Slack sends some of it again as well."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 0")
        card = chat.card()
        root = await chat.carol.says("it began at noon")
        await chat.dave.reacts(card)
        await chat.stage.kill()
        loose = await chat.carol.says("written while you were away")
        answer = await chat.dave.says("an answer", thread=root)
        await chat.carol.edits(root, "it began at one")
        await chat.dave.reacts(loose, PIN)
        await chat.bob.reacts(card)
        await chat.dave.reacts(card, added=False)
        await chat.restarts(away=90)
        await chat.waits(400)
        entries = await LogReader(chat.stage.bot.store, chat.stage.bot.desk).entries(1)
        found = {m.message_id: m for m in transcript(entries)}
        assert found[root].text == "it began at one"
        assert [reply.message_id for reply in found[root].replies] == [answer]
        assert found[loose].text == "written while you were away"
        assert len(await chat.events("chat-1", e.MessageEdited)) == 1
        assert {p.message_id for p in await chat.events("incident-1", e.MessagePinned)} == {loose}
        assert (await chat.export("csv")).count(b"written while you were away") == 1
        assert [v.person for v in await chat.events("action-1", e.VoteCast)] == ["dave", "bob"]
        assert [v.person for v in await chat.events("action-1", e.VoteWithdrawn)] == ["dave"]
        assert (await chat.action()).state in ("pending", "expired")


async def test_safety_28_what_slack_sends_again_after_minutes(tmp_path: Path) -> None:
    """The bot lived and heard nothing: the third retry comes after six minutes, and is shown."""
    async with on_slack(tmp_path) as chat:
        url = await unreachable(chat)
        await chat.bob.says("!scale realtime 10")
        await chat.waits(61)
        await chat.act("app", events_url=url)
        chat.mark()
        await chat.waits(300)
        assert await chat.actions() == 0
        assert "This came 6 min late from bob, so I have not run it: !scale realtime 10" in chat.bot_said()


async def test_safety_28_since_imports_what_was_written_before(tmp_path: Path) -> None:
    """From the beginning of the impact on, threads included; nothing older, and nothing of the bot's."""
    async with on_slack(tmp_path, opened=False) as chat:
        await chat.bob.says("good night everybody", "#ops")
        await chat.waits(3600)
        root = await chat.bob.says("search feels slow", "#ops")
        reply = await chat.act(
            "says", user=chat.dave.id, channel=chat.place("#ops"), text="here, too", thread_ts=root
        )
        await chat.waits(600)
        await chat.alice.says("/incident open high Search is slow service=realtime --since 40m", "#ops")
        chat.number = 1
        written = await chat.written()
        assert (written[root], written[reply["ts"]]) == ("search feels slow", "here, too")
        assert not [text for text in written.values() if "good night" in text or "ran /" in text]
