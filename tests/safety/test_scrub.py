"""A secret that was pasted into a channel: case 38."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest

from incidents import events as e
from incidents.entries import SCRUBBED
from tests.safety.rig import Chat

SECRET = "blau-kraut-bleibt"  # nothing that a pattern would find


async def exports(chat: Chat) -> bytes:
    """Every export in one."""
    found = b""
    for form in ("md", "html", "json", "csv", "zip"):
        _name, data, _mime = await chat.stage.bot.export(1, form)
        if form == "zip":
            with zipfile.ZipFile(BytesIO(data)) as packed:
                data = b"".join(packed.read(name) for name in packed.namelist())
        found += data
    return found


async def gone(chat: Chat) -> None:
    """No trace of it in the log's files, in an export or in anything of the bot's; the chain is whole."""
    assert SECRET.encode() not in chat.log_bytes()
    assert SECRET.encode() not in await exports(chat)
    shown = [m for m in chat.messages() if m.reader is None]  # what one person alone saw is not kept by chats
    left = [m.plain for m in shown if SECRET in m.plain + m.text]
    assert left == []
    assert SECRET not in chat.console.store.channels[chat.channel].topic
    report = await chat.stage.bot.store.verify()
    assert report.faults == []
    assert report.events > 0


@pytest.mark.parametrize(
    "line",
    [
        "the key is {}",
        "/note the key is {}",
        "/update we use {} now",
        "/status identified it was {}",
        "/cause somebody used {}",
        "/impact people see {}",
        "/action change {} everywhere @bob",
        "/severity high because of {}",
        "/nosuchcommand {}",
        "/scale {} 5",
        "/logs realtime grep={}",
    ],
)
async def test_safety_38_a_message_is_erased_everywhere(chat: Chat, line: str) -> None:
    """Chat, and everything that a command made of it: events, cards, messages, outbox, exports."""
    message = await chat.alice.says(line.format(SECRET))
    await chat.waits(120)
    assert SECRET.encode() in chat.log_bytes()
    await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)
    scrubbed = await chat.events("chat-1", e.MessageScrubbed)
    assert message in [ev.message_id for ev in scrubbed]
    assert {ev.actor for ev in scrubbed} == {"bob"}
    [posted] = [ev for ev in await chat.events("chat-1", e.MessagePosted) if ev.message_id == message]
    assert posted.text == SCRUBBED
    assert posted.actor == "alice"
    await chat.restarts()
    await chat.alice.says("/catchup")
    await chat.alice.says("/timeline")
    await chat.waits(2400)
    await gone(chat)


async def test_safety_38_by_its_words(chat: Chat) -> None:
    """Quoted, the quotation goes with it; other messages stay."""
    await chat.alice.says(f"the key is {SECRET} and that is that")
    await chat.carol.says(f"do not paste {SECRET} here")
    await chat.carol.says("something else entirely")
    await chat.bob.says(f'/scrub "{SECRET}"')
    await chat.waits(60)
    await gone(chat)
    assert b"something else entirely" in await exports(chat)


async def test_safety_38_nothing_else_goes(chat: Chat) -> None:
    """The incident's title, and what others wrote with some of the same words, stay as they are."""
    await chat.carol.says("/note Redis is down for everybody")
    await chat.alice.says("/scale realtime 10")
    message = await chat.alice.says(f"/note Redis is down, realtime has the key {SECRET}")
    await chat.dave.says("/update Redis is down, realtime is slow")
    await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)
    kept = (await exports(chat)).decode()
    assert "Redis is down for everybody" in kept
    assert "Redis is down, realtime is slow" in kept
    assert [ev.title for ev in await chat.events("incident-1", e.IncidentOpened)] == ["Redis is down"]
    [scrubbed] = [ev for ev in await chat.events("chat-1", e.MessageScrubbed) if ev.message_id == message]
    assert len(scrubbed.positions) == 2  # the message, and the note that it became
    assert "scale realtime 3 → 10" in chat.card().plain
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_38_edits_pins_and_threads(chat: Chat) -> None:
    """What it became, what was pinned of it, and what stands in a thread."""
    root = await chat.alice.says("here it comes")
    message = await chat.alice.says("nothing yet", thread=root)
    await chat.alice.edits(message, f"now it is {SECRET}")
    await chat.bob.reacts(message, "📌")
    await chat.alice.edits(message, "not any more")
    await chat.waits(60)
    assert SECRET.encode() in chat.log_bytes()
    await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)


async def test_safety_38_reasons_of_votes_and_break_glass(chat: Chat) -> None:
    """Words that went into a request's life."""
    await chat.alice.says("/scale realtime 10")
    denied = await chat.bob.says(f"/deny 1 because of {SECRET}")
    await chat.alice.says("/scale realtime 11")
    broken = await chat.alice.says(f"/breakglass 2 {SECRET} is out")
    await chat.waits(120)
    await chat.bob.says(f"/scrub {denied}")
    await chat.bob.says(f"/scrub {broken}")
    await chat.waits(60)
    await gone(chat)
    assert chat.ran == {2: 1}


async def test_safety_38_the_chats_own_file(chat: Chat) -> None:
    """The bot deletes it in the chat, too; nothing is left in the chat's file."""
    message = await chat.alice.says(f"/note the key is {SECRET}")
    edited = await chat.alice.says(f"once more {SECRET}")
    await chat.alice.edits(edited, "nothing")
    await chat.waits(60)
    chat.mark()
    await chat.bob.says(f"/scrub {message}")
    await chat.bob.says(f"/scrub {edited}")
    assert "Delete it in the chat" not in chat.bot_said_to("bob")
    assert {chat.console.store.messages[ident].deleted for ident in (message, edited)} == {True}
    await chat.waits(60)
    await gone(chat)
    assert SECRET.encode() not in chat.chat_bytes()


async def test_safety_38_what_is_not_there_or_not_allowed(chat: Chat) -> None:
    """Another channel's message, an unknown one, too few words, somebody without the role: nothing happens."""
    message = await chat.alice.says(f"the key is {SECRET}")
    elsewhere = await chat.alice.says("words in operations", "#ops")
    before = await exports(chat)
    for somebody, line in (
        (chat.bob, "/scrub M99999"),
        (chat.bob, f"/scrub {elsewhere}"),
        (chat.bob, "/scrub key"),
        (chat.grace, f"/scrub {message}"),
        (chat.mallory, f"/scrub {message}"),
    ):
        chat.mark()
        await somebody.says(line)
        assert chat.bot_said_to(somebody.name), line
    assert SECRET.encode() in before
    assert SECRET.encode() in await exports(chat)
    assert not await chat.events("chat-1", e.MessageScrubbed)


async def test_safety_38_an_erased_body_without_a_scrub_is_found(new_chat: Callable[..., Any]) -> None:
    """The other side of the tombstone: what nobody scrubbed cannot be emptied unnoticed."""
    import sqlite3
    from contextlib import closing

    chat: Chat = await new_chat()
    await chat.alice.says(f"the key is {SECRET}")
    with closing(sqlite3.connect(chat.stage.data / "watchbell.db")) as log:
        log.execute("UPDATE events SET body = '{}', salt = '' WHERE body LIKE ?", (f"%{SECRET}%",))
        log.commit()
    assert (await chat.stage.bot.store.verify()).faults
