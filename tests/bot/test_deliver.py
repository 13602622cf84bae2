"""Delivery of several channels at once: each keeps its order, and none waits for another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot import store
from bot.chat import Content, Say
from bot.logbook import Logbook
from bot.platforms.console import Console
from tests.safety.rig import Chat, chatting


async def say(chat: Chat, *texts: str, channel: str) -> None:
    """Put sentences into the outbox."""

    def unit(u: store.Unit) -> None:
        book = Logbook(u, chat.stage.bot.desk, chat.stage.clock.now())
        for text in texts:
            book.say(Say(channel, template="sentence", data={"text": text}))
        book.finish()

    await chat.stage.bot.store.run(unit)


@dataclass
class Slow:
    """A chat that takes no message for a channel until `goes_on`: it was `asked` to; `quick` was taken elsewhere."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    goes_on: asyncio.Event = field(default_factory=asyncio.Event)
    quick: asyncio.Event = field(default_factory=asyncio.Event)


def slow(monkeypatch: pytest.MonkeyPatch, channel: str) -> Slow:
    """Make the chat slow for a channel."""
    it, post = Slow(), Console.post

    async def posts(
        console: Console, where: str, content: Content, *, key: str, thread: str | None = None
    ) -> str:
        if where == channel:
            it.asked.set()
            await it.goes_on.wait()
        made = await post(console, where, content, key=key, thread=thread)
        if "quick two" in content.text:
            it.quick.set()
        return made

    monkeypatch.setattr(Console, "post", posts)
    return it


async def test_a_slow_channel_does_not_hold_up_what_comes_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded while a chat is slow to take something goes out at once; nothing goes out twice."""
    async with chatting(tmp_path) as chat:
        console, deliverer = chat.console, chat.stage.bot.deliverer
        places = {name: f"console:{console.channel_named(name)}" for name in ("#ops", "#team-realtime")}
        it = slow(monkeypatch, places["#ops"].removeprefix("console:"))
        chat.mark()
        await say(chat, "slow one", "slow two", channel=places["#ops"])
        draining = asyncio.create_task(deliverer.drain())
        await it.asked.wait()
        await say(chat, "quick one", "quick two", channel=places["#team-realtime"])
        await asyncio.wait_for(it.quick.wait(), 10)
        assert "slow" not in chat.bot_said()
        await say(chat, "slow three", channel=places["#ops"])
        it.goes_on.set()
        assert await draining == 5
        said = [text for text in chat.bot_said().split() if text in ("one", "two", "three")]
        assert said == ["one", "two", "one", "two", "three"]
        assert await deliverer.drain() == 0


async def test_a_delivery_that_is_cut_off_leaves_nothing_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot stops while a chat is slow: what was not said is said by the next delivery, once."""
    async with chatting(tmp_path) as chat:
        deliverer = chat.stage.bot.deliverer
        ops = f"console:{chat.console.channel_named('#ops')}"
        it = slow(monkeypatch, ops.removeprefix("console:"))
        chat.mark()
        await say(chat, "slow one", channel=ops)
        draining = asyncio.create_task(deliverer.drain())
        await it.asked.wait()
        draining.cancel()
        await asyncio.wait({draining})
        assert draining.cancelled()
        it.goes_on.set()
        assert await deliverer.drain() == 1
        assert chat.bot_said().count("slow one") == 1


async def test_a_channel_is_archived_when_all_was_said_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the chat did not take at once is said first: in an archived channel nobody can."""
    async with chatting(tmp_path) as chat:
        post, failed = Console.post, []

        async def posts(console: Console, where: str, content: Content, **given: Any) -> str:
            if "the end" in content.text and not failed:
                failed.append(where)
                raise OSError("the chat is away")
            return await post(console, where, content, **given)

        monkeypatch.setattr(Console, "post", posts)
        channel = chat.console.channel_named("#team-realtime")
        chat.mark()

        def unit(u: store.Unit) -> None:
            book = Logbook(u, chat.stage.bot.desk, chat.stage.clock.now())
            book.say(Say(f"console:{channel}", template="sentence", data={"text": "the end"}))
            book.say(Say(f"console:{channel}", op="archive", lane=2))
            book.finish()

        await chat.stage.bot.store.run(unit)
        await chat.stage.bot.deliverer.drain()
        assert failed == [channel]
        assert not chat.console.store.channels[channel].archived
        await chat.waits(60)
        assert "the end" in chat.bot_said()
        assert chat.console.store.channels[channel].archived
