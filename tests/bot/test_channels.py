"""Whose channel it is: case 26, channels that people had before, and what was written before an incident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.chat import DeliveryError
from bot.reader import LogReader
from incidents import events as e
from incidents.transcript import transcript
from tests.safety.rig import Chat, chatting

HERE = "/incident open high Search is slow service=realtime --here"


def bound(chat: Chat, name: str) -> str:
    found = chat.console.channel_named(name)
    assert found is not None
    return found


async def test_safety_26_elsewhere_nothing_is_told_about_systems(tmp_path: Path) -> None:
    """In a channel that is not configured: refused with where to go; reading about incidents goes on."""
    async with chatting(tmp_path) as chat:
        chat.console.creates("lunch")
        chat.mark()
        await chat.alice.says("/logs realtime", "lunch")
        assert "in an incident's channel, in #ops, or to me directly" in chat.bot_said_to("alice")
        await chat.alice.says("/incident list", "lunch")
        assert "1 incident open" in chat.bot_said_to("alice")
        assert "1 incident open" not in chat.bot_said()
        await chat.alice.says("/pods realtime", "#team-realtime")
        assert "3 of 3 ready" in chat.bot_said()


async def test_a_channel_that_people_have_becomes_an_incident_s(tmp_path: Path) -> None:
    """It is bound by id, keeps its topic, and is still there when the incident is closed."""
    async with chatting(tmp_path, opened=False) as chat:
        lunch = chat.console.creates("search-team")
        chat.console.store.channels[lunch].topic = "our topic"
        await chat.alice.says(HERE, "search-team")
        chat.mark()
        await chat.alice.says("/ack", "search-team")
        assert "acknowledged" in chat.bot_said()
        assert not [c for c in chat.console.store.channels.values() if c.name.startswith("inc-")]
        await chat.alice.says("/resolve it was a full disk", "search-team")
        await chat.alice.says("/incident close", "search-team")
        channel = chat.console.store.channels[lunch]
        assert (channel.archived, channel.topic) == (False, "our topic")
        [event] = await chat.events("incident-1", e.ChannelBound)
        assert (event.channel, event.name, event.borrowed) == (lunch, "search-team", True)


@pytest.mark.parametrize("where", ["#ops", "#team-realtime", "inc"])
async def test_what_is_something_else_does_not_become_an_incident_s(where: str, tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        chat.mark()
        await chat.alice.says(HERE, None if where == "inc" else where)
        assert "leave --here out" in chat.bot_said_to("alice")
        assert len(await chat.events("incident-2", e.IncidentOpened)) == 0


async def test_since_brings_what_was_written_before(tmp_path: Path) -> None:
    """What people wrote where it was asked for, from the beginning of the impact on; nothing older."""
    async with chatting(tmp_path, opened=False) as chat:
        await chat.bob.says("good night everybody", "#ops")
        await chat.waits(3600)
        written = await chat.bob.says("search feels slow", "#ops")
        await chat.waits(600)
        await chat.alice.says("/incident open high Search is slow service=realtime --since 40m", "#ops")
        entries = await LogReader(chat.stage.bot.store, chat.stage.bot.desk).entries(1)
        texts = {m.message_id: (m.author, m.text) for m in transcript(entries)}
        assert texts[written] == ("bob", "search feels slow")
        assert not any("good night" in text for _, text in texts.values())


async def test_a_channel_that_cannot_be_brought_back_is_left_for_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A closed incident is opened again where the chat lets no bot unarchive: it goes on in a thread."""
    async with chatting(tmp_path) as chat:
        await chat.alice.says("/resolve")
        await chat.alice.says("/incident close")
        arrange = chat.console.arrange

        async def stubborn(channel: str, **asked: Any) -> None:
            if asked.get("archive") is False:
                raise DeliveryError("this chat lets no bot bring a channel back")
            await arrange(channel, **asked)

        monkeypatch.setattr(chat.console, "arrange", stubborn)
        chat.mark()
        await chat.alice.says("/incident reopen it is back incident=1", "#ops")
        assert "lives in this thread: this chat lets no bot bring a channel back." in chat.bot_said()
        newest = (await chat.events("incident-1", e.ChannelBound))[-1]
        assert (newest.channel, newest.thread is not None) == (bound(chat, "#ops"), True)
