"""What every chat must do for the bot, and tell it: one suite, whatever the platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from bot.chat import Button, Content, Deletion, DeliveryError, Edit, Press, Reaction, Request, Upload
from tests.contracts.platform_rigs import RIGS, Rig


@pytest.fixture(params=sorted(RIGS))
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    found = RIGS[request.param](tmp_path)
    await found.ready()
    yield found
    await found.close()


def said(text: str, *labels: str, mentions: tuple[str, ...] = (), card: str | None = None) -> Content:
    buttons = tuple(Button(label, f"value of {label}") for label in labels)
    return Content(text, text, buttons=buttons, mentions=mentions, card=card)


# -- out ------------------------------------------------------------------------------------------


async def test_a_post_is_shown_once_whatever_the_retries(rig: Rig) -> None:
    """The same key gives the same message, before and after the process died."""
    first = await rig.platform.post(rig.ops, said("Redis is down", "Acknowledge"), key="k1")
    assert await rig.platform.post(rig.ops, said("Redis is down", "Acknowledge"), key="k1") == first
    await rig.kill()
    assert await rig.platform.find(rig.ops, "k1") == first
    assert await rig.platform.post(rig.ops, said("Redis is down", "Acknowledge"), key="k1") == first
    assert [(s.text, s.buttons) for s in rig.shown(rig.ops, rig.user("alice"))] == [
        ("Redis is down", ("Acknowledge",))
    ]


async def test_find_knows_only_what_was_posted_in_that_channel(rig: Rig) -> None:
    await rig.platform.post(rig.ops, said("hello"), key="k1")
    assert await rig.platform.find(rig.ops, "k2") is None
    assert await rig.platform.find(rig.private_channel(rig.user("alice")), "k1") is None


async def test_an_edit_replaces_text_and_buttons(rig: Rig) -> None:
    card = await rig.platform.post(rig.ops, said("Critical", "Acknowledge", "Resolve"), key="k1")
    await rig.platform.edit(rig.ops, card, said("Acknowledged", "Resolve"))
    await rig.kill()
    (shown,) = rig.shown(rig.ops, rig.user("bob"))
    assert (shown.text, shown.buttons) == ("Acknowledged", ("Resolve",))


async def test_what_is_erased_is_gone(rig: Rig) -> None:
    """A message of the bot's, with what it said before an edit; erasing it again, or what came before, is no error."""
    card = await rig.platform.post(rig.ops, said("the key"), key="k1")
    await rig.platform.edit(rig.ops, card, said("no key"))
    assert await rig.platform.erase(rig.ops, card, earlier=True)
    assert [s.text for s in rig.shown(rig.ops, rig.user("bob"))] == ["no key"]
    for _ in range(2):
        assert await rig.platform.erase(rig.ops, card)
    assert [s for s in rig.shown(rig.ops, rig.user("bob")) if s.text or s.buttons] == []


async def test_threads(rig: Rig) -> None:
    """An answer goes under the message that it answers; an answer to an answer into the same thread."""
    root = await rig.platform.post(rig.ops, said("root"), key="k1")
    answer = await rig.platform.post(rig.ops, said("answer"), key="k2", thread=root)
    await rig.platform.post(rig.ops, said("more"), key="k3", thread=answer)
    assert [s.thread for s in rig.shown(rig.ops, rig.user("bob"))] == [None, root, root]


async def test_a_reaction_of_the_bot_is_there_once(rig: Rig) -> None:
    card = await rig.platform.post(rig.ops, said("may I?"), key="k1")
    await rig.platform.react(rig.ops, card, "✅")
    await rig.platform.react(rig.ops, card, "✅")
    assert await rig.platform.reactions(rig.ops, card) == {"✅": (rig.me,)}


async def test_reactions_are_read_as_they_are_now(rig: Rig) -> None:
    """Whoever took it back is no longer counted, also after the process died."""
    await rig.start()
    card = await rig.platform.post(rig.ops, said("may I?"), key="k1")
    await rig.reacts("alice", card, "✅")
    await rig.reacts("bob", card, "✅")
    await rig.reacts("bob", card, "❌")
    await rig.reacts("alice", card, "✅", added=False)
    await rig.kill()
    now = await rig.platform.reactions(rig.ops, card)
    assert {emoji: set(people) for emoji, people in now.items()} == {
        "✅": {rig.user("bob")},
        "❌": {rig.user("bob")},
    }


async def test_a_whisper_has_one_reader(rig: Rig) -> None:
    await rig.platform.whisper(rig.ops, rig.user("alice"), said("that one is yours"))
    assert [s.text for s in rig.shown(rig.ops, rig.user("alice"))] == ["that one is yours"]
    assert rig.shown(rig.ops, rig.user("bob")) == []


async def test_an_upload_keeps_its_bytes(rig: Rig) -> None:
    """Name and every byte arrive, once a key."""
    data = bytes(range(256)) * 40
    sent = Upload("logs realtime.txt", data)
    first = await rig.platform.upload(rig.ops, sent, said("the last 100 lines"), key="k1")
    assert await rig.platform.upload(rig.ops, sent, said("the last 100 lines"), key="k1") == first
    await rig.kill()
    (shown,) = rig.shown(rig.ops, rig.user("bob"))
    assert dict(shown.files) == {"logs realtime.txt": data}


async def test_direct_messages_have_one_channel_a_person(rig: Rig) -> None:
    channel = await rig.platform.direct(rig.user("alice"))
    assert await rig.platform.direct(rig.user("alice")) == channel
    assert await rig.platform.direct(rig.user("bob")) != channel
    assert rig.user("alice") in (await rig.platform.members(channel) or ())
    await rig.platform.post(channel, said("you are on call"), key="k1")
    assert [s.text for s in rig.shown(channel, rig.user("alice"))] == ["you are on call"]


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("inc-1-redis-is-down", "inc-1-redis-is-down"),
        ("INC 2: Redis is DOWN!!", "inc-2-redis-is-down"),
        ("inc-3 " + "x" * 200, "inc-3-" + "x" * 74),
        ("#!?", "channel"),
    ],
)
async def test_a_new_channel_has_a_clean_name(rig: Rig, wanted: str, got: str) -> None:
    channel, name = await rig.platform.open_channel(wanted, private=False, key="k1")
    assert name == got
    assert rig.title(channel) == f"#{got}"
    assert await rig.platform.members(channel) is None


async def test_a_taken_name_gets_a_suffix_and_the_same_key_the_same_channel(rig: Rig) -> None:
    one, first = await rig.platform.open_channel("inc-1-redis", private=False, key="k1")
    two, second = await rig.platform.open_channel("inc-1-redis", private=False, key="k2")
    assert (first, second) == ("inc-1-redis", "inc-1-redis-2")
    await rig.kill()
    assert await rig.platform.open_channel("inc-1-redis", private=False, key="k1") == (one, first)
    assert await rig.platform.open_channel("inc-1-redis", private=False, key="k2") == (two, second)


async def test_a_channel_is_bound_by_its_id(rig: Rig) -> None:
    """SAFETY 27: renamed, and its name taken by another: what the bot says goes where it went before."""
    channel, _ = await rig.platform.open_channel("inc-1-redis", private=False, key="k1")
    rig.renames(channel, "old-news")
    other, name = await rig.platform.open_channel("inc-1-redis", private=False, key="k2")
    assert other != channel
    # She is in it before: where rooms are encrypted, whoever comes later has no key to what was said.
    assert rig.shown(channel, rig.user("alice")) == []
    await rig.platform.post(channel, said("for the first"), key="m1")
    assert [s.text for s in rig.shown(channel, rig.user("alice"))] == ["for the first"]
    assert rig.shown(other, rig.user("alice")) == []
    assert name == "inc-1-redis"


async def test_a_channel_is_found_by_the_name_that_it_has_now(rig: Rig) -> None:
    channel, name = await rig.platform.open_channel("inc-1-redis", private=False, key="k1")
    assert await rig.platform.channel_id(name) == await rig.platform.channel_id(f"#{name}") == channel
    rig.renames(channel, "old-news")
    assert await rig.platform.channel_id(name) is None
    assert await rig.platform.channel_id("old-news") == channel


async def test_arranging_a_channel(rig: Rig) -> None:
    """Topic, people and pin; after archiving it takes no more messages."""
    channel, _ = await rig.platform.open_channel("inc-1-redis", private=True, key="k1")
    card = await rig.platform.post(channel, said("the card"), key="k2")
    alice, bob = rig.user("alice"), rig.user("bob")
    await rig.platform.arrange(channel, topic="Redis is down", invite=(alice, bob), pin=card)
    await rig.platform.arrange(channel, invite=(alice,), pin=card)
    await rig.kill()
    assert rig.topic(channel) == "Redis is down"
    assert rig.pinned(channel) == ["the card"]
    assert {alice, bob} <= (await rig.platform.members(channel) or frozenset())
    await rig.platform.arrange(channel, archive=True)
    with pytest.raises(DeliveryError):
        await rig.platform.post(channel, said("too late"), key="k3")


async def test_members(rig: Rig) -> None:
    """None for a channel that is open to everybody, and exactly those let in for a private one."""
    assert await rig.platform.members(rig.ops) is None
    members = await rig.platform.members(rig.private_channel(rig.user("alice")))
    assert members is not None
    assert members - {rig.me} == {rig.user("alice")}


async def test_active(rig: Rig) -> None:
    """A known account may act, until it is deactivated; the bot and strangers never."""
    assert await rig.platform.active(rig.user("alice"))
    assert not await rig.platform.active("nobody-by-this-id")
    assert not await rig.platform.active(rig.me)
    rig.deactivate("alice")
    await rig.kill()
    assert not await rig.platform.active(rig.user("alice"))
    assert await rig.platform.active(rig.user("bob"))


async def test_what_cannot_be_delivered_says_so(rig: Rig) -> None:
    message = await rig.platform.post(rig.ops, said("hello"), key="k1")
    with pytest.raises(DeliveryError):
        await rig.platform.post("no-such-channel", said("hello"), key="k2")
    with pytest.raises(DeliveryError):
        await rig.platform.edit(rig.ops, "no-such-message", said("hello"))
    with pytest.raises(DeliveryError):
        await rig.platform.direct("nobody-by-this-id")
    await rig.platform.edit(rig.ops, message, said("still there"))


# -- marks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outside",
    [
        "<!channel>",
        "@room @alice",
        "https://evil.example/x",
        "`code`",
        "*b* _i_",
        "a\u202eb\u200bc\x07",
        "<b>x</b>",
    ],
)
async def test_outside_text_is_neutral(rig: Rig, outside: str) -> None:
    """SAFETY 19: no markup, no mention, no link, nothing hidden; and what is legible stays."""
    escaped = rig.platform.marks.escape(outside)
    assert "<" not in escaped
    assert "@alice" not in escaped
    assert "@room" not in escaped
    assert "://" not in escaped
    assert "```" not in escaped
    assert not set(escaped) & set("\u202e\u200b\x07")
    assert rig.platform.marks.escape("Redis is down: 92 %") == "Redis is down: 92 %"


async def test_a_block_stays_one_block(rig: Rig) -> None:
    """SAFETY 19: what stands in it ends it nowhere."""
    marks = rig.platform.marks
    for outside in ("a\n```\nb", "a\n</code></pre>\nb"):
        assert rig.blocks(marks.code(marks.escape(outside))) == 1


# -- in -------------------------------------------------------------------------------------------


async def test_a_message_comes_in(rig: Rig) -> None:
    await rig.start()
    message = await rig.says("alice", rig.ops, "/ack looking at it")
    (act,) = rig.took
    assert isinstance(act, Request)
    assert (act.platform, act.channel, act.user) == (rig.platform.name, rig.ops, rig.user("alice"))
    assert (act.text, act.message_id, act.thread, act.direct) == ("/ack looking at it", message, None, False)
    assert act.age == pytest.approx(0, abs=2)


async def test_an_answer_in_a_thread_and_a_direct_message_say_so(rig: Rig) -> None:
    await rig.start()
    card = await rig.platform.post(rig.ops, said("the card"), key="k1")
    await rig.says("alice", rig.ops, "!note in the thread", card)
    await rig.says("alice", await rig.platform.direct(rig.user("alice")), "help")
    thread, direct = rig.took
    assert isinstance(thread, Request)
    assert isinstance(direct, Request)
    assert (thread.thread, thread.direct) == (card, False)
    assert direct.direct


async def test_presses_reactions_edits_and_deletions_come_in(rig: Rig) -> None:
    await rig.start()
    card = await rig.platform.post(rig.ops, said("the card", "Acknowledge"), key="k1")
    message = await rig.says("bob", rig.ops, "ten it is")
    await rig.presses("alice", card, "Acknowledge")
    await rig.reacts("bob", card, "✅")
    await rig.reacts("bob", card, "✅", added=False)
    await rig.edits("bob", message, "five it is")
    await rig.deletes("bob", message)
    _, press, tick, untick, edit, deletion = rig.took
    assert isinstance(press, Press)
    assert (press.message_id, press.value, press.user) == (card, "value of Acknowledge", rig.user("alice"))
    assert isinstance(tick, Reaction)
    assert isinstance(untick, Reaction)
    assert [(r.message_id, r.emoji, r.added) for r in (tick, untick)] == [
        (card, "✅", True),
        (card, "✅", False),
    ]
    assert isinstance(edit, Edit)
    assert (edit.message_id, edit.text) == (message, "five it is")
    assert isinstance(deletion, Deletion)
    assert deletion.message_id == message
    assert len({act.event_id for act in rig.took}) == 6


async def test_what_the_bot_does_does_not_come_back_in(rig: Rig) -> None:
    await rig.start()
    card = await rig.platform.post(rig.ops, said("the card"), key="k1")
    await rig.platform.react(rig.ops, card, "✅")
    await rig.platform.edit(rig.ops, card, said("the card, edited"))
    assert rig.took == []


async def test_what_people_did_meanwhile_comes_in_with_its_age(rig: Rig) -> None:
    """Killed, written to, started ten minutes later: everything comes in, in order, once.

    Where the chat keeps no presses, whoever pressed is told at once that nobody took it.
    """
    await rig.start()
    card = await rig.platform.post(rig.ops, said("the card", "Acknowledge"), key="k1")
    await rig.kill()
    await rig.says("alice", rig.ops, "anybody there?")
    rig.forward(540)
    with nullcontext() if rig.keeps_presses else pytest.raises(OSError, match="nobody listens"):
        await rig.presses("alice", card, "Acknowledge")
    rig.forward(60)
    await rig.start()
    asked, *presses = rig.took
    assert isinstance(asked, Request)
    assert asked.age == pytest.approx(600, abs=2)
    assert [type(press) for press in presses] == ([Press] if rig.keeps_presses else [])
    assert [press.age for press in presses] == [pytest.approx(60, abs=2) for _ in presses]
    count = len(rig.took)
    await rig.kill()
    await rig.start()
    assert len(rig.took) == count


async def test_an_act_that_the_bot_could_not_take_comes_again_as_the_same_event(rig: Rig) -> None:
    """SAFETY 7: at least once, under one event id."""
    await rig.start(fail=lambda act: True)
    with pytest.raises(OSError, match="away"):
        await rig.says("alice", rig.ops, "/ack")
    await rig.kill()
    await rig.start()
    first, *again = rig.took
    assert again
    assert {act.event_id for act in again} == {first.event_id}
    assert all(isinstance(act, Request) and act.text == "/ack" for act in again)
    count = len(rig.took)
    await rig.kill()
    await rig.start()
    assert len(rig.took) == count


async def test_awkward_text_comes_in_as_it_is(rig: Rig) -> None:
    """Other scripts, empty, huge: nothing is lost, nothing fails."""
    await rig.start()
    texts = [
        "日本語 🔔 עברית",
        "x" * rig.longest,
        "a\nb\r\nc",
        "“smart” — quotes",
        *([""] if rig.empty else []),
    ]
    for text in texts:
        await rig.says("alice", rig.ops, text)
    assert [act.text for act in rig.took if isinstance(act, Request)] == texts
