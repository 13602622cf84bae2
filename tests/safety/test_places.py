"""Where and when things are asked: cases 25, 27, 28, 29 and 37."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from bot import store
from bot.measures import Measures
from bot.pages import BotPages
from bot.serve import RealPace, serving, web_settings
from bot.web.server import build
from incidents import events as e
from tests.safety.rig import START, Chat, with_limits

# -- 25 ---------------------------------------------------------------------------------------------

FIRING = {
    "version": "4",
    "status": "firing",
    "groupKey": '{}:{alertname="RedisDown"}',
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "RedisDown", "service": "realtime", "severity": "critical"},
            "annotations": {"summary": "Redis does not answer"},
            "startsAt": START.isoformat(),
            "fingerprint": "f1",
        }
    ],
}


async def incidents(chat: Chat) -> int:
    t = store.incidents
    return len(await chat.stage.bot.store.read(lambda c: c.execute(select(t.c.number)).all()))


async def test_safety_25_only_the_right_token(chat: Chat) -> None:
    """Over HTTP: everything else is 401, logged without the token, and opens nothing; a replay adds nothing."""
    settings, bot = chat.stage.settings, chat.stage.bot
    token = settings.alerts.sources["alertmanager"].token
    assert token is not None
    right = token.get_secret_value()
    shown = web_settings(settings, demo=False, host="127.0.0.1", token=None)
    pages = BotPages(bot, shown, RealPace(chat.stage.clock), Measures().registry, None)
    body = json.dumps(FIRING).encode()
    wrong = [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {right}x"},
        {"Authorization": f"Bearer {right[:-1]}"},
        {"Authorization": f"Bearer {right.swapcase()}"},
        {"Authorization": right},
        {"Authorization": f"Token {right}"},
        {"X-Token": right},
        {"Cookie": f"token={right}"},
    ]
    async with serving(build(pages), "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        with capture_logs() as logged:
            for headers in wrong:
                async with http.post(f"{url}/alerts/alertmanager", data=body, headers=headers) as answer:
                    assert answer.status == 401, headers
                    assert right not in await answer.text()
            async with http.post(f"{url}/alerts/alertmanager?token={right}", data=body) as answer:
                assert answer.status == 401
        assert await incidents(chat) == 1
        refused = [entry for entry in logged if entry["event"] == "alert refused"]
        assert len(refused) == len(wrong) + 1
        assert right not in str(logged)

        for _ in range(3):  # the first opens, the others are replays
            headers = {"Authorization": f"Bearer {right}"}
            async with http.post(f"{url}/alerts/alertmanager", data=body, headers=headers) as answer:
                assert answer.status == 200
        await chat.settle()
        assert await incidents(chat) == 2
        assert len(await chat.events("incident-2", e.AlertAttached)) == 1


# -- 27 ---------------------------------------------------------------------------------------------


async def test_safety_27_a_renamed_channel_stays_the_incidents(chat: Chat) -> None:
    """Bound by id: what is said there under another name belongs to the incident, and is answered there."""
    chat.console.renames(chat.channel, "something-else")
    await chat.alice.says("/note renamed", "#something-else")
    await chat.alice.says("/scale realtime 10", "#something-else")
    assert [note.text for note in await chat.events("incident-1", e.NoteAdded)] == ["renamed"]
    assert chat.card().channel == chat.channel
    await chat.restarts()
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_27_another_channel_of_that_name_is_not_the_incidents(chat: Chat) -> None:
    """Renamed away or archived, and made anew by somebody: the new one is nobody's."""
    name = chat.console.store.channels[chat.channel].name
    chat.console.renames(chat.channel, f"{name}-old")
    made = chat.console.creates(name)
    await chat.restarts()
    chat.mark()
    await chat.mallory.says("words", f"#{name}")
    await chat.alice.says("/note in the wrong place", f"#{name}")
    await chat.alice.says("/scale realtime 10", f"#{name}")
    assert "Changes are asked for in an incident's channel" in chat.bot_said_to("alice")
    assert "no incident's" in chat.bot_said_to("alice")
    assert not await chat.events("incident-1", e.NoteAdded)
    assert not [ev for ev in await chat.events("chat-1", e.MessagePosted) if ev.text == "words"]
    assert await chat.actions() == 0
    await chat.alice.says("/update still on it")
    assert all(m.channel != made for m in chat.messages() if m.reader is None)


async def test_safety_27_the_operations_channel_is_bound_by_id_too(chat: Chat) -> None:
    """Somebody takes the name #ops for a channel of theirs: after a restart it is still no operations channel."""
    ops = chat.console.channel_named("#ops")
    assert ops is not None
    chat.console.renames(ops, "ops-old")
    made = chat.console.creates("ops", members=["mallory", "alice"])
    for _ in range(2):
        chat.mark()
        await chat.alice.says("/scale realtime 10", "#ops")
        assert "not here" in chat.bot_said_to("alice")
        with capture_logs() as logged:
            await chat.restarts()
        assert any("#ops is another channel of console now" in entry["event"] for entry in logged)
    assert await chat.actions() == 0
    await chat.alice.says("/scale realtime 10", "#ops-old")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}
    await chat.grace.says("/incident open low something", "#ops-old")
    assert all(m.channel != made for m in chat.messages() if m.reader is None)


async def test_safety_27_an_archived_channel(chat: Chat) -> None:
    """Nobody writes there; pages still reach the people, and once it is back it is the incident's again."""
    chat.console.archives(chat.channel)
    pages = len(chat.console.store.pages)
    await chat.waits(1800)  # carol is paged: unresolved for half an hour
    assert len(chat.console.store.pages) > pages
    assert any(m.channel == chat.console.channel_named("@carol") for m in chat.messages())
    chat.console.archives(chat.channel, False)
    await chat.alice.says("/note back again")
    assert len(await chat.events("incident-1", e.NoteAdded)) == 1


# -- 28 ---------------------------------------------------------------------------------------------


async def typed_while_away(chat: Chat, line: str, age: float) -> None:
    """The bot is gone; somebody types a command; the bot is back so many seconds later."""
    await chat.stage.kill()
    await chat.console.says("bob", chat.channel, line)
    chat.stage.clock.move(chat.stage.clock.now() + timedelta(seconds=age))
    chat.mark()
    await chat.restarts()


@pytest.mark.parametrize(("age", "runs"), [(60, True), (60.001, False), (7200, False)])
async def test_safety_28_late_commands_are_shown_and_not_run(chat: Chat, age: float, runs: bool) -> None:
    """A minute, both sides: a change, a decision and a read."""
    await typed_while_away(chat, "/scale realtime 10", age)
    assert (await chat.actions() == 1) == runs
    assert ("/scale realtime 10" in chat.bot_said() and "late" in chat.bot_said()) != runs
    await typed_while_away(chat, "/severity low", age)
    assert (len(await chat.events("incident-1", e.SeverityChanged)) == 1) == runs
    await typed_while_away(chat, "/pods realtime", age)
    assert ("READY" in chat.bot_said()) == runs
    posted = [ev.text for ev in await chat.events("chat-1", e.MessagePosted)]
    assert posted[-3:] == ["/scale realtime 10", "/severity low", "/pods realtime"]


@pytest.mark.parametrize(
    ("line", "button", "kind"), [("/ack", "Acknowledge", e.Acknowledged), ("/resolve", "Resolve", e.Resolved)]
)
async def test_safety_28_a_late_acknowledge_or_resolve_is_a_button(
    new_chat: Callable[..., Any], line: str, button: str, kind: type[e.Event]
) -> None:
    """Offered, not done; pressed, it is done, by who presses."""
    chat: Chat = await new_chat(opened=False)
    await chat.grace.says("/incident open critical Redis is down", "#ops")
    chat.number = 1
    await typed_while_away(chat, line, 61)
    assert not await chat.events("incident-1", kind)
    shown = next(m for m in reversed(chat.messages()) if "late" in m.plain and m.buttons)
    assert [b.label for b in shown.buttons] == [button]
    await chat.carol.presses(button, shown)
    [done] = await chat.events("incident-1", kind)
    assert done.actor == "carol"


async def test_safety_28_a_late_press_is_shown_too(chat: Chat) -> None:
    """A button is a command: pressed long ago, it approves nothing."""
    await chat.alice.says("/scale realtime 10")
    await chat.stage.kill()
    await chat.console.presses("bob", chat.card().id, "Approve")
    chat.stage.clock.move(chat.stage.clock.now() + timedelta(seconds=61))
    await chat.restarts()
    await chat.waits(60)
    assert chat.ran == {}
    assert (await chat.action()).votes == {}


async def test_safety_28_what_was_taken_but_not_done_before_a_crash(chat: Chat) -> None:
    """Recorded, then the process died: done at once where it is back soon, shown where it is not."""
    chat.stage.world.set("realtime", slow=30)
    for away, done in ((10, True), (61, False)):
        await chat.console.says("alice", chat.channel, "/pods realtime")
        await chat.stage.kill()
        chat.stage.clock.move(chat.stage.clock.now() + timedelta(seconds=away))
        chat.mark()
        await chat.restarts()
        await chat.waits(60)
        assert ("READY" in chat.bot_said()) == done
        assert ("late" in chat.bot_said()) != done


# -- 29 ---------------------------------------------------------------------------------------------


async def test_safety_29_a_person_may_ask_so_often_a_minute(chat: Chat) -> None:
    """120 by default: the last one is done, the next is refused and answered, others are not held up."""
    assert chat.stage.settings.limits.person_per_minute == 120
    for number in range(119):  # and the acknowledgement
        await chat.stage.chat.says("carol", chat.channel, f"/note {number}")
    await chat.carol.says("/note the last")
    assert len(await chat.events("incident-1", e.NoteAdded)) == 120
    for _ in range(3):
        chat.mark()
        await chat.carol.says("/note too many")
        assert "more than 120 requests a minute" in chat.bot_said_to("carol")
    await chat.dave.says("/note of another person")
    notes = [note.text for note in await chat.events("incident-1", e.NoteAdded)]
    assert notes[-2:] == ["the last", "of another person"]
    await chat.waits(59)
    await chat.carol.says("/note still too many")
    await chat.waits(1)
    await chat.carol.says("/note a minute later")
    assert [n.text for n in await chat.events("incident-1", e.NoteAdded)][121:] == ["a minute later"]


async def test_safety_29_a_channel_takes_so_many_a_minute(new_chat: Callable[..., Any]) -> None:
    """However many people they come from; another channel is not held up."""
    chat: Chat = await new_chat(with_limits(person_per_minute=100, channel_per_minute=6))
    for somebody in (chat.alice, chat.bob, chat.carol, chat.dave, chat.erin):  # and the acknowledgement
        await somebody.says("/note one of six")
    assert len(await chat.events("incident-1", e.NoteAdded)) == 5
    for somebody in (chat.frank, chat.heidi):
        chat.mark()
        await somebody.says("/note one too many")
        assert "from this channel" in chat.bot_said_to(somebody.name)
    assert len(await chat.events("incident-1", e.NoteAdded)) == 5
    chat.mark()
    await chat.frank.says("/incident list", "#ops")
    assert "Redis is down" in chat.bot_said() + chat.bot_said_to("frank")


async def test_safety_29_reactions_count_as_well(new_chat: Callable[..., Any]) -> None:
    """A flood of them is refused and answered; none of the refused ones is a vote."""
    chat: Chat = await new_chat(with_limits(person_per_minute=4))
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    for _ in range(2):
        await chat.bob.reacts(card, "✅")
        await chat.bob.unreacts(card, "✅")
    chat.mark()
    await chat.bob.reacts(card, "✅")
    assert "more than 4 requests a minute" in chat.bot_said_to("bob")
    assert (await chat.action()).votes == {}


async def test_safety_29_identical_requests_are_one_card(chat: Chat) -> None:
    """By the same person and by another one, in the other spelling too; a different one is a card of its own."""
    await chat.alice.says("/scale realtime 10")
    for somebody, line in (
        (chat.alice, "/scale realtime 10"),
        (chat.carol, "!scale   realtime  replicas=10"),
        (chat.bob, "@watchbell scale realtime 10"),
    ):
        chat.mark()
        await somebody.says(line)
        assert "#1 asks for exactly this already" in chat.bot_said_to(somebody.name)
    assert (await chat.actions(), chat.cards()) == (1, 1)
    await chat.alice.says("/scale realtime 11")
    assert (await chat.actions(), chat.cards()) == (2, 2)


async def test_safety_29_paging_is_limited_per_person(new_chat: Callable[..., Any]) -> None:
    """People cannot be woken without end by one."""
    chat: Chat = await new_chat(with_limits(person_pages_per_hour=2))
    for _ in range(2):
        await chat.alice.says("/page @bob look at this")
    chat.mark()
    await chat.alice.says("/page @bob look at this")
    assert "paged people 2 times within an hour" in chat.bot_said_to("alice")
    assert (
        len(
            [
                m
                for m in chat.messages()
                if "look at this" in m.plain and m.reader is None and m.channel == chat.channel
            ]
        )
        == 2
    )


# -- 37 ---------------------------------------------------------------------------------------------


async def test_safety_37_changes_in_direct_messages_are_refused(chat: Chat) -> None:
    """Every change, with or without a plan of its own, with where to go; reading is allowed."""
    direct = await chat.console.direct("alice")
    assert direct
    for line in (
        "/scale realtime 10",
        "/restart realtime",
        "/scale realtime 10 --dry-run",
        "/redis flush redis",
        "/redis get config:1",
        "/undo 1",
        "/maintenance realtime on",
    ):
        chat.mark()
        await chat.alice.says(line, "@alice")
        said = chat.bot_said_to("alice")
        assert "in an incident's channel or in #ops, not here" in said, line
    assert (await chat.actions(), chat.cards()) == (0, 0)
    chat.mark()
    await chat.alice.says("/pods realtime", "@alice")
    assert "READY" in chat.bot_said()


async def test_safety_37_nor_in_a_channel_that_is_neither(chat: Chat) -> None:
    """A channel that people made, and one that is configured for other things."""
    chat.console.creates("random")
    for name in ("#random", "#team-realtime"):
        chat.mark()
        await chat.alice.says("/scale realtime 10", name)
        assert "in an incident's channel or in #ops, not here: type “/scale” there" in chat.bot_said_to(
            "alice"
        )
    assert await chat.actions() == 0


async def test_safety_37_where_changes_are_asked(chat: Chat) -> None:
    """The other side: the incident's channel, a thread in it, and an operations channel."""
    root = await chat.bob.says("which one?")
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("!scale realtime 11", thread=root)
    await chat.alice.says("/scale realtime 12", "#ops")
    assert (await chat.actions(), chat.cards()) == (3, 3)
