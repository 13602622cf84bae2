"""Who votes on what: cases 1 to 5, 21, 35 and 36."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.chat import Edit
from incidents import events as e
from tests.safety.looks import voters
from tests.safety.rig import Chat, with_accounts, with_roles

LINKED = with_accounts(alice="U1", bob="U2", carol="U3")


# -- 1 ----------------------------------------------------------------------------------------------


async def test_safety_1_the_requester_does_not_count_by_any_means(chat: Chat) -> None:
    """Neither by reaction nor by button nor by command, and each time it is said why; bob's counts."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    for attempt in (
        lambda: chat.alice.reacts(card, "✅"),
        lambda: chat.alice.presses("Approve", chat.card()),
        lambda: chat.alice.says("/approve 1"),
    ):
        chat.mark()
        await attempt()
        assert "somebody else has to approve #1" in chat.bot_said_to("alice")
        assert "bob" in chat.bot_said_to("alice")
    await chat.waits(60)
    assert (chat.replicas(), chat.ran) == (3, {})
    assert [ev.means for ev in await chat.events("action-1", e.VoteRefused)] == [
        "reaction:console",
        "button",
        "command",
    ]
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert (chat.replicas(), chat.ran) == (10, {1: 1})


async def test_safety_1_nor_on_another_platform(new_chat: Callable[..., Any]) -> None:
    """alice is U1 on the second chat: there her vote is her own, too; bob's from there counts."""
    chat: Chat = await new_chat(LINKED, second_chat=True)
    await chat.alice.says("/scale realtime 10")
    there = chat.card(1, "second")
    await chat.stage.chats["second"].reacts("U1", there.id, "✅")
    await chat.settle()
    await chat.waits(60)
    [refused] = await chat.events("action-1", e.VoteRefused)
    assert (refused.person, refused.means) == ("alice", "reaction:second")
    told = [m for m in chat.messages(platform="second") if m.reader == "U1"]
    assert "somebody else has to approve #1" in told[-1].plain
    assert chat.replicas() == 3
    await chat.stage.chats["second"].reacts("U2", there.id, "✅")
    await chat.settle()
    await chat.waits(60)
    assert chat.ran == {1: 1}
    assert (await chat.action()).voters == ("bob",)


# -- 2 ----------------------------------------------------------------------------------------------


async def test_safety_2_the_request_edited_after_a_vote(chat: Chat) -> None:
    """The frozen plan runs; the edit makes no request of its own."""
    message = await chat.alice.says("/scale realtime 0")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.alice.edits(message, "/scale chat-adapters 0")
    assert await chat.actions() == 1
    await chat.carol.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert (chat.replicas("realtime"), chat.replicas("chat-adapters")) == (0, 3)
    assert chat.ran == {1: 1}


async def test_safety_2_chat_edited_into_a_command(chat: Chat) -> None:
    """Editing runs nothing: only what is sent is a command."""
    message = await chat.alice.says("shall we scale?")
    await chat.alice.edits(message, "/scale realtime 10")
    await chat.alice.edits(message, "/resolve")
    assert await chat.actions() == 0
    assert not await chat.events("incident-1", e.StatusChanged)


async def test_safety_2_the_card_edited_after_a_vote(chat: Chat) -> None:
    """Somebody with the power to edit the bot's message changes what it says: what was frozen runs."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    await chat.bob.reacts(card, "✅")
    before = await chat.action()
    changed = card.plain.replace("3 → 0", "3 → 20")
    await chat.stage.bot.inbox.receive(
        Edit(
            platform="console",
            event_id="edited",
            channel=card.channel,
            user="mallory",
            message_id=card.id,
            text=changed,
        )
    )
    await chat.settle()
    after = await chat.action()
    assert (after.plan, after.plan_hash, after.votes) == (before.plan, before.plan_hash, before.votes)
    await chat.carol.reacts(card, "✅")
    await chat.waits(60)
    assert (chat.replicas(), chat.ran) == (0, {1: 1})


async def test_safety_2_the_voters_message_edited_after_a_vote(chat: Chat) -> None:
    """A vote by command stands as it was given, whatever is made of the message."""
    await chat.alice.says("/scale realtime 0")
    message = await chat.bob.says("/approve 1")
    await chat.bob.edits(message, "/deny 1")
    assert await voters(chat) == ("bob",)
    await chat.carol.says("/approve 1")
    await chat.waits(60)
    assert chat.ran == {1: 1}


# -- 3 ----------------------------------------------------------------------------------------------


async def test_safety_3_reactions_on_anything_but_the_card(chat: Chat) -> None:
    """A copy of the card, the request, and what the bot says beside the card are no card."""
    request = await chat.alice.says("/scale realtime 10")
    card = chat.card()
    copy = await chat.mallory.says(card.plain)
    quoted = await chat.heidi.says(f"/note {card.plain.splitlines()[0]}")
    await chat.waits(180)
    asked_again = next(m for m in reversed(chat.messages()) if "still needs" in m.plain)
    for message in (request, copy, quoted, asked_again):
        await chat.bob.reacts(message, "✅")
        await chat.carol.reacts(message, "✅")
    others = [m for m in chat.messages() if m.card != "approval" and m.channel == card.channel]
    for message in [m for m in others if m.reader is None]:
        await chat.dave.reacts(message, "✅")
    await chat.waits(60)
    assert (await voters(chat), chat.ran) == ((), {})
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_3_reactions_on_old_cards(chat: Chat) -> None:
    """A card that is over takes no vote, and none for what was asked since; the person is told."""
    await chat.alice.says("/scale realtime 10")
    expired = chat.card(1)
    await chat.waits(900)
    await chat.alice.says("/scale realtime 10")
    denied = chat.card(2)
    await chat.carol.reacts(denied, "❌")
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/cancel 3")
    cancelled = chat.card(3)
    await chat.alice.says("/scale realtime 10")
    for old, word in ((expired, "expired"), (denied, "denied"), (cancelled, "cancelled")):
        chat.mark()
        await chat.bob.reacts(old, "✅")
        assert word in chat.bot_said_to("bob")
    await chat.waits(60)
    assert (await voters(chat, 4), chat.ran) == ((), {})
    await chat.bob.reacts(chat.card(4), "✅")
    await chat.waits(60)
    assert chat.ran == {4: 1}


async def test_safety_3_a_card_that_ran_takes_no_more_votes(chat: Chat) -> None:
    """Neither a tick nor a cross changes what is done."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    chat.mark()
    await chat.carol.reacts(chat.card(1), "✅")
    await chat.dave.reacts(chat.card(1), "❌")
    await chat.waits(60)
    assert "has run already" in chat.bot_said_to("carol")
    assert "has run already" in chat.bot_said_to("dave")
    assert (chat.ran, chat.replicas()) == ({1: 1}, 10)


# -- 4 ----------------------------------------------------------------------------------------------


async def test_safety_4_removed_and_added_again(chat: Chat) -> None:
    """The state per person counts: off, it is no vote; on again, it is one, and only one."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    for _ in range(3):
        await chat.bob.reacts(card, "✅")
        assert await voters(chat) == ("bob",)
        await chat.bob.unreacts(card, "✅")
        assert await voters(chat) == ()
    await chat.carol.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {}
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_4_one_emoji_in_two_tones(chat: Chat) -> None:
    """Two forms of the tick by one person are one vote, which stands until both are gone."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    await chat.bob.reacts(card, "✅")
    await chat.bob.reacts(card, "✅\ufe0f")
    await chat.bob.unreacts(card, "✅\ufe0f")
    await chat.carol.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_4_reactions_are_read_again_at_quorum(chat: Chat) -> None:
    """bob's tick went without a word from the chat: when carol's makes two, only hers is there."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    await chat.bob.reacts(card, "✅")
    card.reactions["✅"].remove("bob")
    chat.mark()
    await chat.carol.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {}
    assert (await chat.action()).state == "void"
    assert "approval of bob no longer counts" in chat.bot_said()


async def test_safety_4_a_cross_that_was_not_heard_of_counts_at_quorum(chat: Chat) -> None:
    """dave's cross stands on the card, but the chat has not told of it yet: it is seen when read again."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    card.reactions["❌"].append("dave")
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {}
    assert (await chat.action()).state == "denied"


async def test_safety_4_a_cross_of_no_approver_is_none(chat: Chat) -> None:
    """The other side: who cannot vote cannot stop it either, read again or not."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    await chat.heidi.reacts(card, "❌")
    card.reactions["❌"] += ["mallory", "zoe"]
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_4_reactions_that_cannot_be_read_do_not_count(chat: Chat) -> None:
    """A failed look-up denies: it does not run, then or later, and the people read it."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.chat.reactions_fail = True
    chat.mark()
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    chat.stage.chat.reactions_fail = False
    await chat.restarts()
    await chat.waits(120)
    assert chat.ran == {}
    assert (await chat.action()).state == "void"
    assert "approval of bob no longer counts" in chat.bot_said()


async def test_safety_4_buttons_and_commands_stand(chat: Chat) -> None:
    """They are no reactions: reading these again takes nothing from them, nor does taking a tick back."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    await chat.bob.presses("Approve", card)
    await chat.bob.reacts(card, "✅")
    await chat.bob.unreacts(card, "✅")
    assert await voters(chat) == ("bob",)
    chat.stage.chat.reactions_fail = True
    await chat.carol.says("/approve 1")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_4_until_withdrawn(chat: Chat) -> None:
    """Who approved by button and then denies has ended it, whatever the others vote."""
    await chat.alice.says("/scale realtime 0")
    await chat.bob.presses("Approve", chat.card())
    await chat.bob.says("/deny 1 I was wrong")
    await chat.carol.says("/approve 1")
    await chat.dave.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert chat.ran == {}
    assert (await chat.action()).state == "denied"


async def test_safety_4_a_tick_taken_back_while_the_target_is_asked(chat: Chat) -> None:
    """Between quorum and run the target answers slowly: until it runs, a vote can be taken back."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", slow=40)
    card = chat.card()
    await chat.bob.reacts(card, "✅")
    await chat.waits(20)
    assert (await chat.action()).state == "approved"
    chat.mark()
    await chat.bob.unreacts(card, "✅")
    chat.stage.world.set("realtime", up=True)
    await chat.waits(120)
    assert chat.ran == {}
    assert (await chat.action()).state == "void"
    assert "not run" in chat.bot_said()


async def test_safety_4_a_cross_while_the_target_is_asked(chat: Chat) -> None:
    """Any approver's cross stops what does not run yet."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", slow=40)
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(20)
    await chat.dave.reacts(chat.card(1), "❌")
    chat.stage.world.set("realtime", up=True)
    await chat.waits(120)
    assert chat.ran == {}
    assert (await chat.action()).state == "denied"


# -- 5 ----------------------------------------------------------------------------------------------


async def test_safety_5_withdrawn_while_running_is_too_late(chat: Chat) -> None:
    """It is said, recorded, and changes nothing; where the target cannot stop, no stop is offered."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    await chat.bob.reacts(card, "✅")
    assert (await chat.action()).state == "running"
    chat.mark()
    await chat.bob.unreacts(card, "✅")
    assert "too late" in chat.bot_said_to("bob")
    assert "/cancel" not in chat.bot_said_to("bob")
    assert "Cancel" not in [b.label for b in chat.card(1).buttons]
    [withdrawn] = await chat.events("action-1", e.VoteWithdrawn)
    assert withdrawn.person == "bob"
    await chat.waits(60)
    assert (chat.replicas(), chat.ran) == (10, {1: 1})
    assert (await chat.action()).state == "done"
    chat.mark()
    await chat.alice.says("/why 1")
    assert "bob" in chat.bot_said()


async def test_safety_5_cancel_of_what_cannot_be_stopped_says_so(chat: Chat) -> None:
    """Typed all the same, it is recorded, and answered with how it goes on."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅")
    chat.mark()
    await chat.bob.says("/cancel 1")
    assert "cannot be stopped any more" in chat.bot_said()
    assert len(await chat.events("action-1", e.CancelAsked)) == 1
    await chat.waits(60)
    assert (await chat.action()).state == "done"


async def test_safety_5_cancel_is_offered_where_the_target_can(new_chat: Callable[..., Any]) -> None:
    """The other side: a cluster whose rollouts can be stopped."""
    chat: Chat = await new_chat(stoppable=True)
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    await chat.bob.reacts(card, "✅")
    chat.mark()
    await chat.bob.unreacts(card, "✅")
    assert "too late" in chat.bot_said_to("bob")
    assert "/cancel 1" in chat.bot_said_to("bob")
    await chat.bob.presses("Cancel", chat.card(1))
    await chat.waits(60)
    assert chat.replicas() == 3
    assert (await chat.action()).state == "failed"


# -- 21 ---------------------------------------------------------------------------------------------

LOOK_ALIKES = [
    "✔",
    "✔️",
    "☑️",
    "✓",
    "🗸",
    "👍",
    "🆗",
    "❎",
    "white_check_mark",
    ":white_check_mark:",
    "✅✅",
    "✅\u200d",
    "☒",
    "✖️",
]


async def test_safety_21_look_alikes_mean_nothing(chat: Chat) -> None:
    """Only the exact emoji: everything else is neither a vote nor an end of it."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    for emoji in LOOK_ALIKES:
        await chat.bob.reacts(card, emoji)
        assert (await chat.action()).state == "pending", emoji
    await chat.waits(30)
    assert (chat.ran, await voters(chat)) == ({}, ())


async def test_safety_21_tones_and_variations_are_folded(chat: Chat) -> None:
    """The same sign as another telephone sends it; at quorum it is read again as such."""
    wanted = {}
    for number, emoji in enumerate(("✅", "✅\ufe0f", "✅\ufe0e", "✅\U0001f3fb", "✅\U0001f3ff\ufe0f"), 1):
        await chat.alice.says(f"/scale realtime {number + 3}")
        await chat.bob.reacts(chat.card(), emoji)
        await chat.waits(30)
        wanted[number] = 1
        assert chat.ran == wanted, emoji
    await chat.alice.says("/scale realtime 20")
    await chat.bob.reacts(chat.card(), "❌\ufe0f")
    assert (await chat.action(6)).state == "denied"


# -- 35 ---------------------------------------------------------------------------------------------


async def test_safety_35_the_bots_own_marks_do_not_count(chat: Chat) -> None:
    """The tick and the cross put there to be tapped are no votes, at no number of people."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    assert {emoji: list(people) for emoji, people in card.reactions.items()} == {
        "✅": ["watchbell"],
        "❌": ["watchbell"],
    }
    await chat.bob.reacts(card, "✅")
    await chat.restarts()
    await chat.waits(60)
    assert (await voters(chat), chat.ran) == (("bob",), {})
    assert (await chat.action()).state == "pending"


async def test_safety_35_people_whom_nobody_configured_do_not_count(chat: Chat) -> None:
    """zoe is in the chat, not in `people`; mallory is in no role; heidi is no approver."""
    await chat.alice.says("/scale realtime 0")
    card = chat.card()
    for somebody in (chat.zoe, chat.mallory, chat.heidi, chat.grace):
        chat.mark()
        await somebody.reacts(card, "✅")
        await somebody.says("/approve 1")
        assert "approve" in chat.bot_said_to(somebody.name) or "know you" in chat.bot_said_to(somebody.name)
        with pytest.raises(Exception, match=r"no button|cannot"):
            await somebody.presses("Launch", card)
        await somebody.presses("Approve", chat.card(1))
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert (await voters(chat), chat.ran) == (("bob",), {})
    for somebody in (chat.zoe, chat.mallory, chat.heidi, chat.grace):
        await somebody.reacts(card, "❌")
    assert (await chat.action()).state == "pending"
    await chat.carol.reacts(card, "✅")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_35_one_human_is_one_vote_everywhere(new_chat: Callable[..., Any]) -> None:
    """bob by reaction, button, command, and all of them again on another platform: one of two."""
    chat: Chat = await new_chat(LINKED, second_chat=True)
    second = chat.stage.chats["second"]
    await chat.alice.says("/scale realtime 0")
    here, there = chat.card(1), chat.card(1, "second")
    await chat.bob.reacts(here, "✅")
    await chat.bob.presses("Approve", here)
    await chat.bob.says("/approve 1")
    await second.reacts("U2", there.id, "✅")
    await chat.settle()
    await second.presses("U2", there.id, "Approve")
    await chat.settle()
    await second.says("U2", there.channel, "/approve 1")
    await chat.settle()
    await chat.waits(60)
    assert (await voters(chat), chat.ran) == (("bob",), {})
    await second.reacts("U3", there.id, "✅")
    await chat.settle()
    await chat.waits(60)
    assert chat.ran == {1: 1}
    assert set((await chat.action()).voters) == {"bob", "carol"}


# -- 36 ---------------------------------------------------------------------------------------------


async def test_safety_36_too_few_approvers_is_said_at_once(new_chat: Callable[..., Any]) -> None:
    """Of alice and bob one asks: for a danger one is left where two are needed."""
    chat: Chat = await new_chat(with_roles(carol=["responder"], dave=["responder"]))
    await chat.alice.says("/scale realtime 0")
    assert "Only bob can approve, 2 are needed" in chat.card().plain


async def test_safety_36_nobody_but_the_requester(new_chat: Callable[..., Any]) -> None:
    """The only approver is who asks."""
    chat: Chat = await new_chat(
        with_roles(bob=["responder"], carol=["responder"], dave=["responder"]),
    )
    await chat.alice.says("/scale realtime 10")
    assert "Nobody else can approve now" in chat.card().plain
    assert "/breakglass 1" in chat.card().plain


async def test_safety_36_exactly_enough_says_nothing(new_chat: Callable[..., Any]) -> None:
    """The other side: two others are enough for two approvals."""
    chat: Chat = await new_chat(with_roles(dave=["responder"]))
    await chat.alice.says("/scale realtime 0")
    assert "can approve" not in chat.card().plain
    assert "are needed" not in chat.card().plain


async def test_safety_36_those_who_cannot_be_reached_are_not_counted(chat: Chat) -> None:
    """Closed accounts cannot approve, so the card does not name them."""
    for name in ("carol", "dave"):
        chat.console.deactivate(name)
    await chat.alice.says("/scale realtime 0")
    assert "Only bob can approve, 2 are needed" in chat.card().plain


async def test_safety_36_in_a_private_channel_only_its_members_are(new_chat: Callable[..., Any]) -> None:
    """Approvers who are not in the room cannot see the card."""
    chat: Chat = await new_chat(opened=False)
    await chat.opens("/incident open low Somebody is leaving service=realtime --private")
    members = chat.console.store.channels[chat.channel].members
    for name in list(members):
        if name not in ("alice", "bob"):
            chat.console.leaves(name, chat.channel)
    await chat.alice.says("/scale realtime 0")
    assert "Only bob can approve, 2 are needed" in chat.card().plain or "bob" not in members
