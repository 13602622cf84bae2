"""An incident in two chats at once, played on two browser chats: what is said in both, relayed, and isolated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from bot import store
from bot.chat import DeliveryError, Request, Say
from bot.config import Settings
from bot.log_rows import outbox_row
from bot.platforms.console_store import Message
from incidents import events as e
from tests.safety.rig import Change, Chat, Someone, chatting, with_accounts

EVERYBODY = with_accounts(alice="U1", bob="U2", carol="U3")


class There(Someone):
    """Somebody on the second chat, by their account there."""

    def __init__(self, account: str, chat: Chat) -> None:
        super().__init__(account, chat, "second")


@asynccontextmanager
async def bridged(folder: Path, *more: Change, opened: bool = True) -> AsyncIterator[Chat]:
    """alice has an incident, which is in both chats."""
    async with chatting(folder, EVERYBODY, *more, second_chat=True, opened=opened) as chat:
        yield chat


def unbridged(settings: Settings) -> Settings:
    return replace(settings, channels=replace(settings.channels, bridge=False))


def without_contacts(settings: Settings) -> Settings:
    return replace(settings, people={name: replace(p, contacts=()) for name, p in settings.people.items()})


def there(chat: Chat, *, beginning: str = "") -> list[str]:
    """What the bot says in the incident's channel of the second chat, as it reads now."""
    return [m.plain for m in shown(chat, "second") if m.plain.startswith(beginning)]


def shown(chat: Chat, platform: str) -> list[Message]:
    channel = chat.channel_on(platform)
    return [m for m in chat.messages(platform=platform) if m.channel == channel and m.reader is None]


async def waiting(chat: Chat) -> list[str]:
    """The channels for which something waits."""
    t = store.outbox
    query = select(t.c.channel).where(t.c.sent_at.is_(None), t.c.failed.is_(None))
    rows = await chat.stage.bot.store.read(lambda connection: connection.execute(query).all())
    return [row.channel for row in rows]


async def test_what_is_written_here_is_said_there(tmp_path: Path) -> None:
    """With its author and chat, once, and never back."""
    async with bridged(tmp_path) as chat:
        before = len(shown(chat, "console"))
        await chat.bob.says("the failover hangs")
        assert there(chat, beginning="bob (")[-1] == "bob (browser chat): the failover hangs"
        assert len(shown(chat, "console")) == before
        await There("U3", chat).says("I look at it")
        told = [m.plain for m in shown(chat, "console")]
        assert told[-1] == "carol (Second): I look at it"
        assert [event.text for event in await chat.events("chat-1", e.MessagePosted)][-2:] == [
            "the failover hangs",
            "I look at it",
        ]


async def test_commands_are_relayed_as_who_ran_what(tmp_path: Path) -> None:
    """Where the line was typed everybody has seen it; what followed is said in both."""
    async with bridged(tmp_path) as chat:
        await There("U2", chat).says("/update the failover was started")
        here = [m.plain for m in shown(chat, "console")]
        assert here.count("bob ran /update the failover was started") == 1
        assert there(chat, beginning="bob ran") == []
        for told in (here, there(chat)):
            assert sum("update by bob: the failover was started" in text for text in told) == 1


async def test_what_is_about_a_private_incident_is_not_relayed(tmp_path: Path) -> None:
    """Whoever saw it being typed knows of it; those in the other chat do not."""
    async with bridged(tmp_path) as chat:
        await chat.alice.says("/incident open high Somebody was in --private", "#ops")
        await chat.alice.says("/catchup incident=2")
        await chat.alice.says("/incident open high Another one was in --private")
        assert there(chat, beginning="alice ran") == ["alice ran /ack"]


async def test_edits_and_deletions_reach_the_copy(tmp_path: Path) -> None:
    async with bridged(tmp_path) as chat:
        message = await chat.bob.says("the fail over hangs")
        before = len(shown(chat, "second"))
        await chat.bob.edits(message, "the failover hangs")
        assert there(chat, beginning="bob (")[-1] == "bob (browser chat): the failover hangs (edited)"
        await chat.bob.deletes(message)
        assert there(chat, beginning="bob (")[-1] == "bob (browser chat): (deleted)"
        assert len(shown(chat, "second")) == before


async def test_an_answer_stands_under_the_copy_of_what_it_answers(tmp_path: Path) -> None:
    """In a thread here and there, whichever side it is written on; under cards, too."""
    async with bridged(tmp_path) as chat:
        message = await chat.bob.says("who looks at it?")
        await chat.carol.says("I do", thread=message)
        copy, answer = shown(chat, "second")[-2:]
        assert (answer.plain, answer.thread) == ("carol (browser chat): I do", copy.id)
        await There("U1", chat).says("thank you", thread=copy.id)
        assert shown(chat, "console")[-1].thread == message
        await chat.alice.says("/scale realtime 10")
        await chat.bob.says("why 10?", thread=chat.card(1).id)
        assert shown(chat, "second")[-1].thread == chat.card(1, "second").id


async def test_a_pin_on_a_copy_is_one_on_the_original(tmp_path: Path) -> None:
    async with bridged(tmp_path) as chat:
        message = await chat.bob.says("the disk of redis-0 is full")
        await There("U3", chat).reacts(shown(chat, "second")[-1], "📌")
        [pinned] = await chat.events("incident-1", e.MessagePinned)
        assert (pinned.message_id, pinned.author, pinned.text) == (
            message,
            "bob",
            "the disk of redis-0 is full",
        )
        await There("U3", chat).unreacts(shown(chat, "second")[-1], "📌")
        assert len(await chat.events("incident-1", e.MessageUnpinned)) == 1


async def test_a_note_is_marked_in_both(tmp_path: Path) -> None:
    async with bridged(tmp_path) as chat:
        message = await chat.bob.says("/note the disk was full")
        copy = shown(chat, "second")[-1]
        assert copy.plain == "bob ran /note the disk was full"
        for platform, ident in (("console", message), ("second", copy.id)):
            console = chat.stage.chats[platform]
            assert "📌" in await console.reactions(chat.channel_on(platform), ident), platform


async def test_answers_are_shown_in_both(tmp_path: Path) -> None:
    """Who asked sees it at once; in the other chat it is said once, and a file is named."""
    async with bridged(tmp_path) as chat:
        await chat.bob.says("/pods realtime")
        for platform in ("console", "second"):
            assert sum("3 of 3 ready" in m.plain for m in shown(chat, platform)) == 1, platform
        assert "bob ran /pods realtime" in there(chat)
        await chat.bob.says("/export md")
        assert any("is in browser chat." in text for text in there(chat))


async def test_bots_are_not_relayed(tmp_path: Path) -> None:
    """Two that repeat each other would never come to an end; people without a name here are."""
    async with bridged(tmp_path) as chat:
        await chat.stage.chats["console"].says("zoe", chat.channel, "is it us?")
        await chat.settle()
        assert there(chat)[-1] == "zoe (browser chat): is it us?"
        bot = Request(
            platform="console",
            event_id="1",
            channel=chat.channel,
            user="B1",
            text="deployed",
            message_id="b1",
            barred="a bot",
        )
        await chat.stage.bot.inbox.receive(bot)
        await chat.settle()
        assert not any("deployed" in text for text in there(chat))


async def test_what_was_scrubbed_is_gone_from_both(tmp_path: Path) -> None:
    async with bridged(tmp_path) as chat:
        await chat.bob.says("it is called tomato-soup-77")
        assert "tomato-soup-77" in there(chat)[-1]
        await chat.bob.says("/scrub tomato-soup-77")
        assert not any("tomato-soup-77" in m.plain for m in chat.messages(platform="second"))
        assert b"tomato-soup-77" not in chat.log_bytes()


async def test_what_was_written_in_one_chat_is_scrubbed_from_the_other(tmp_path: Path) -> None:
    async with bridged(tmp_path) as chat:
        await chat.bob.says("it is called tomato-soup-77")
        await There("U3", chat).says("/scrub tomato-soup-77")
        for platform in ("console", "second"):
            messages = chat.stage.chats[platform].store.messages.values()
            assert not [m for m in messages if "tomato-soup-77" in m.plain and not m.deleted], platform
        assert b"tomato-soup-77" not in chat.log_bytes()


# -- where an incident lives ------------------------------------------------------------------------


async def test_without_a_bridge_an_incident_is_where_it_was_opened(tmp_path: Path) -> None:
    """On the second chat by the command, on the first that has the operations channel by an alert."""
    async with bridged(tmp_path, unbridged, opened=False) as chat:
        await There("U1", chat).says("/incident open high Search is slow service=realtime", "#ops")
        [bound] = await chat.events("incident-1", e.ChannelBound)
        assert bound.platform == "second"
        assert await waiting(chat) == []


async def test_without_a_bridge_an_alert_opens_in_the_first_chat(tmp_path: Path) -> None:
    async with bridged(tmp_path, unbridged, opened=False) as chat:
        alert = {"labels": {"alertname": "RedisDown", "severity": "critical", "service": "realtime"}}
        firing = {**alert, "status": "firing", "startsAt": "2026-01-03T02:29:00Z", "fingerprint": "f1"}
        body = {
            "version": "4",
            "status": "firing",
            "alerts": [firing],
            "groupKey": "g",
            "receiver": "watchbell",
        }
        assert (await chat.stage.bot.alerting.accept("alertmanager", orjson.dumps(body))).status == 200
        await chat.settle()
        [bound] = await chat.events("incident-1", e.ChannelBound)
        assert bound.platform == "console"
        assert await waiting(chat) == []


async def test_members_of_a_private_incident_are_in_both(tmp_path: Path) -> None:
    """By person: whoever has an account there is invited there."""
    async with bridged(tmp_path, opened=False) as chat:
        await chat.alice.says("/incident open critical Somebody was in --private service=realtime", "#ops")
        chat.number = 1
        here = await chat.stage.chats["console"].members(chat.channel_on("console"))
        beside = await chat.stage.chats["second"].members(chat.channel_on("second"))
        assert here is not None
        assert beside is not None
        assert {"alice"} <= here
        assert {"U1"} <= beside
        assert not {"U2", "U3"} & beside or "bob" in here


# -- one chat that is away --------------------------------------------------------------------------


async def test_a_chat_that_is_away_holds_up_no_other_and_catches_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said meanwhile comes there in order, and nothing comes twice anywhere."""
    async with bridged(tmp_path) as chat:
        second = chat.stage.chats["second"]
        before = len(there(chat))

        async def away(*_args: Any, **_more: Any) -> Any:
            raise ConnectionError("the chat is away")

        with monkeypatch.context() as patch:
            for name in ("post", "edit", "find", "arrange", "react", "whisper"):
                patch.setattr(second, name, away)
            await chat.bob.says("one")
            await chat.alice.says("/update two")
            await chat.bob.says("three")
            here = [m.plain for m in shown(chat, "console")]
            assert sum("update by alice: two" in text for text in here) == 1
            assert len(there(chat)) == before
            assert set(await waiting(chat)) == {"incident:1@second"}
        await chat.waits(10)
        new = there(chat)[before:]
        assert [text.split(":")[0] for text in new] == [
            "bob (browser chat)",
            "alice ran /update two",
            "INC-1 update by alice",
            "bob (browser chat)",
        ]
        assert [m.plain for m in shown(chat, "console")] == here
        assert await waiting(chat) == []


async def test_an_edit_that_fails_in_one_chat_is_not_repeated_in_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bridged(tmp_path) as chat:
        edits: list[str] = []
        card = next(m.id for m in shown(chat, "console") if m.card == "incident")
        edit = chat.console.edit

        async def counted(channel: str, message_id: str, content: Any) -> None:
            edits.append(message_id)
            await edit(channel, message_id, content)

        async def away(*_args: Any) -> None:
            raise ConnectionError("the chat is away")

        monkeypatch.setattr(chat.console, "edit", counted)
        monkeypatch.setattr(chat.stage.chats["second"], "edit", away)
        await chat.alice.says("/severity high")
        await chat.waits(120)
        once = edits.count(card)
        await chat.waits(120)
        assert once == edits.count(card) > 0


async def test_a_chat_that_never_answers_does_not_delay_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot's own loop: while one chat has a message in hand, the other gets one after the other."""
    async with bridged(tmp_path) as chat:
        hung, let_go = asyncio.Event(), asyncio.Event()
        second = chat.stage.chats["second"]
        post = second.post

        async def hangs(*args: Any, **more: Any) -> str:
            hung.set()
            await let_go.wait()
            return await post(*args, **more)

        monkeypatch.setattr(second, "post", hangs)
        delivery = asyncio.ensure_future(chat.stage.bot.deliverer.run())
        try:
            async with asyncio.timeout(20):
                for text in ("one", "two", "three"):
                    seen = asyncio.Event()
                    chat.console.observe(lambda out, seen=seen, text=text: text in out.text and seen.set())
                    await chat.console.says("bob", chat.channel, f"/update {text}")
                    await seen.wait()
                await hung.wait()
        finally:
            let_go.set()
            await chat.settle()
            delivery.cancel()
        assert sum("update by bob: three" in text for text in there(chat)) == 1


async def test_a_person_who_is_reached_on_one_chat_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Direct messages are the methods of one page: it fails when all of them have."""
    async with bridged(tmp_path, without_contacts) as chat:

        async def refuses(user: str) -> str:
            raise DeliveryError(f"{user} takes no messages")

        with monkeypatch.context() as patch:
            patch.setattr(chat.stage.chats["second"], "direct", refuses)
            await chat.alice.says("/page carol")
            await chat.waits(60)
            assert await chat.events("incident-1", e.PageFailed) == []
            patch.setattr(chat.console, "direct", refuses)
            await chat.alice.says("/page bob")
            await chat.waits(60)
        [failed] = await chat.events("incident-1", e.PageFailed)
        assert failed.person == "bob"


async def test_a_chat_that_was_taken_out_holds_nothing_up(tmp_path: Path) -> None:
    """Rows for it are done; those of before a chat came are delivered."""
    async with bridged(tmp_path) as chat:

        def left_over(unit: store.Unit) -> None:
            for channel in ("incident:1@gone", "ops@gone", "incident:1"):
                say = Say(channel, template="sentence", data={"text": f"for {channel}"})
                unit.insert(store.outbox, **outbox_row(say, chat.stage.clock.now(), None))

        await chat.stage.bot.store.run(left_over)
        await chat.settle()
        assert await waiting(chat) == []
        for platform in ("console", "second"):
            assert [m.plain for m in shown(chat, platform)][-1] == "for incident:1"


async def test_safety_13_deactivated_on_one_chat_denies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bob approved here, and has no account any more there."""
    async with bridged(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")

        async def active(user: str) -> bool:
            return user != "U2"

        monkeypatch.setattr(chat.stage.chats["second"], "active", active)
        await chat.bob.reacts(chat.card(1), "✅")
        await chat.waits(60)
        assert (chat.ran, chat.replicas()) == ({}, 3)
