"""Who votes on what in Slack: cases 1 to 6, 13, 21, 22, 35 and 36."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from incidents import events as e
from tests.safety.looks import runs, voters
from tests.safety.rig import with_roles
from tests.safety.slack_rig import CROSS, PIN, TICK, SlackChat, on_slack, with_groups
from tests.servers.slack.people import slack_id
from tests.servers.slack_server import StandInError

Attempt = Callable[[SlackChat], Awaitable[object]]


# -- 1, 35 --------------------------------------------------------------------------------------------


async def test_safety_35_one_human_is_one_vote_and_the_bot_is_none(tmp_path: Path) -> None:
    """bob by every means, the bot's own marks, and whoever is not in `people`: one of two."""
    async with on_slack(tmp_path) as chat:
        zoe = chat.account("zoe")
        await chat.alice.says("/scale realtime 0")
        card = chat.card()
        assert set(card["reactions"]) == {TICK, CROSS}
        assert {tuple(users) for users in card["reactions"].values()} == {("U0WATCHBELL",)}
        await chat.bob.reacts(card)
        await chat.bob.presses("Approve", chat.card())
        await chat.bob.says("/approve 1")
        for somebody in (zoe, chat.mallory, chat.heidi, chat.grace):
            chat.mark()
            await somebody.reacts(card)
            await somebody.presses("Approve", chat.card())
            await somebody.says("/approve 1")
            await somebody.reacts(card, CROSS)
            assert chat.bot_said(somebody.name), somebody.name
        await chat.restarts()
        assert not await runs(chat)
        assert (await voters(chat), (await chat.action()).state) == (("bob",), "pending")
        await chat.carol.reacts(card)
        assert await runs(chat)


# -- 2, 3 ---------------------------------------------------------------------------------------------


async def test_safety_03_reactions_on_anything_but_the_card(tmp_path: Path) -> None:
    """A copy of the card, the request, what the bot says beside it, and the card in a quotation."""
    async with on_slack(tmp_path) as chat:
        request = await chat.alice.says("!scale realtime 10")
        card = chat.card()
        copy = await chat.mallory.says(card["text"])
        quoted = await chat.heidi.says(f"!note {card['text'].splitlines()[0]}")
        others = [m["ts"] for m in chat.messages() if m["ts"] not in (card["ts"], request, copy, quoted)]
        for ts in (request, copy, quoted, *others):
            await chat.bob.reacts(ts, wait=False)
        await chat.carol.reacts(copy, "x")
        assert not await runs(chat)
        assert (await voters(chat), (await chat.action()).state) == ((), "pending")
        await chat.bob.reacts(card)
        assert await runs(chat)


# -- 4, 5, 6 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tick taken back", "cross", "no answer"])
async def test_safety_04_reactions_are_read_again_at_quorum(tmp_path: Path, kind: str) -> None:
    """bob's tick went, dave's cross came, or Slack gives no answer, and no event told of it."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 0")
        card = chat.card()
        await chat.bob.reacts(card)
        url = chat.stage.doors[0][1]
        await chat.act("app", events_url="http://127.0.0.1:9/nobody")
        if kind == "tick taken back":
            await chat.bob.reacts(card, added=False)
        elif kind == "cross":
            await chat.dave.reacts(card, CROSS)
        await chat.act("app", events_url=url)
        if kind == "no answer":
            await chat.act("faults", kinds=["500"], methods=["reactions.get"])
        chat.mark()
        await chat.carol.reacts(card)
        assert not await runs(chat)
        assert (await chat.action()).state == ("denied" if kind == "cross" else "void")
        assert kind == "cross" or "approval of bob" in chat.bot_said()


async def test_safety_04_buttons_and_commands_stand(tmp_path: Path) -> None:
    """They are no reactions: reading these again, or not being able to, takes nothing from them."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 0")
        await chat.bob.presses("Approve", chat.card())
        await chat.bob.reacts(chat.card())
        await chat.bob.reacts(chat.card(), added=False)
        assert await voters(chat) == ("bob",)
        await chat.act("faults", kinds=["500"], methods=["reactions.get"])
        await chat.carol.says("/approve 1")
        assert await runs(chat)


async def test_safety_06_a_vote_taken_back_before_quorum_is_gone(tmp_path: Path) -> None:
    """Slack tells a withdrawal by whom, of what and on what; another emoji of the person's takes nothing."""
    async with on_slack(tmp_path, socket=True) as chat:
        await chat.alice.says("/scale realtime 0")
        card = chat.card()
        await chat.bob.reacts(card)
        await chat.bob.reacts(card, "eyes")
        await chat.bob.reacts(card, "eyes", added=False)
        assert await voters(chat) == ("bob",)
        await chat.bob.reacts(card, added=False)
        assert [v.person for v in await chat.events("action-1", e.VoteWithdrawn)] == ["bob"]
        await chat.carol.reacts(card)
        assert not await runs(chat)


# -- 13 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["role", "deactivated", "unheard", "guest", "no answer"])
async def test_safety_13_every_voter_is_checked_again(tmp_path: Path, how: str) -> None:
    """bob voted by a button; at quorum he may not any more, or Slack does not say whether he may."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 0")
        await chat.bob.presses("Approve", chat.card())
        if how == "role":
            await chat.restarts(change=with_roles(bob=["responder"]))
        elif how == "no answer":
            await chat.act("faults", kinds=["500"], methods=["users.info"])
        elif how == "guest":
            await chat.act("changes", user=chat.bob.id, is_restricted=True)
        else:
            await chat.act("deactivate", user=chat.bob.id, wait=how == "deactivated")
        chat.mark()
        await chat.carol.reacts(chat.card())
        assert not await runs(chat)
        assert (await chat.action()).state == "void"
        lost = "approval of bob, carol" if how == "no answer" else "approval of bob no longer counts"
        assert lost in chat.bot_said()


async def test_safety_13_a_private_channel_counts_its_members_only(tmp_path: Path) -> None:
    """Nobody but those invited reads it; who was put out of it does not count, nor where Slack is silent."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/incident open low Somebody is leaving service=realtime --private")
        chat.number = 2
        channel = chat.channel()
        assert channel["is_private"]
        assert slack_id("mallory") not in channel["members"]
        with pytest.raises(StandInError, match="cannot see"):
            await chat.mallory.says("what is this?")
        assert "Somebody is leaving" in "".join(m["text"] for m in chat.messages())
        public = [c["id"] for c in chat.channels() if not (c["is_private"] or c["is_im"])]
        read = "".join(m["text"] for where in public for m in chat.messages(where, "mallory"))
        assert "leaving" not in read
        assert b"leaving" not in await chat.stage.export(1, "md")
        for somebody in (chat.bob, chat.carol, chat.dave):
            if somebody.id not in channel["members"]:
                await chat.act("joins", user=somebody.id, channel=channel["id"])
        await chat.alice.says("/scale realtime 0")
        await chat.bob.presses("Approve", chat.card())
        await chat.act("leaves", user=chat.bob.id, channel=channel["id"])
        chat.mark()
        await chat.carol.reacts(chat.card())
        assert not await runs(chat)
        assert "approval of bob no longer counts" in chat.bot_said()
        await chat.alice.says("/scale realtime 10")
        await chat.act("faults", kinds=["500"], methods=["conversations.members"])
        await chat.carol.reacts(chat.card())
        assert not await runs(chat)


async def test_safety_13_roles_by_user_group(tmp_path: Path) -> None:
    """A member of @sre may approve as long as she is one; whoever is in no group may not."""

    def groups(chat: SlackChat, *people: str) -> None:
        users = [slack_id(name) for name in people]
        chat.server.call("group", id="S0SRE", handle="sre", name="Reliability", users=users)

    async with on_slack(
        tmp_path, with_groups(approver=["@sre"]), prepare=lambda c: groups(c, "heidi", "erin")
    ) as chat:
        await chat.alice.says("/scale realtime 10")
        chat.mark()
        await chat.frank.reacts(chat.card())
        assert "no approver" in chat.bot_said("frank")
        await chat.heidi.reacts(chat.card())
        assert await runs(chat)
        assert (await chat.action()).voters == ("heidi",)
        await chat.alice.says("/scale realtime 0")
        await chat.heidi.presses("Approve", chat.card())
        await chat.erin.says("/approve 2")
        assert (await chat.action(2)).state == "running"
        await chat.waits(60)
        await chat.alice.says("/scale realtime 3")
        chat.stage.world.set("realtime", slow=30)
        await chat.heidi.presses("Approve", chat.card())
        assert (await chat.action(3)).state == "approved"
        groups(chat, "erin")
        chat.mark()
        await chat.waits(120)
        assert "approval of heidi no longer counts" in chat.bot_said()
        assert chat.ran == {1: 1, 2: 1}
        chat.stage.world.set("realtime", up=True)
        await chat.alice.says("/scale realtime 5")
        await chat.act("faults", kinds=["500"], methods=["usergroups.list"])
        await chat.erin.presses("Approve", chat.card())
        assert await runs(chat)
        assert chat.ran == {1: 1, 2: 1}


# -- 21, 22 -------------------------------------------------------------------------------------------


async def test_safety_21_only_the_exact_emoji_in_any_tone(tmp_path: Path) -> None:
    """Look-alikes and custom emoji do nothing; the same one in another skin tone is the same."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        card = chat.card()
        for name in (
            "heavy_check_mark",
            "ballot_box_with_check",
            "+1",
            "ok",
            "negative_squared_cross_mark",
            "heavy_multiplication_x",
            "white_check_mark2",
            "white-check-mark",
            "white_check_mark_",
            "wb-approve",
            "skin-tone-2",
            PIN,
        ):
            await chat.bob.reacts(card, name)
        assert not await runs(chat)
        assert (await chat.action()).votes == {}
        await chat.bob.reacts(card, f"{TICK}::skin-tone-3")
        assert await runs(chat)
        await chat.alice.says("/scale realtime 11")
        await chat.bob.reacts(chat.card(), f"{CROSS}::skin-tone-6")
        assert (await chat.action(2)).state == "denied"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"is_restricted": True}, "a guest"),
        ({"is_ultra_restricted": True}, "a guest"),
        ({"is_stranger": True}, "an account of another workspace"),
        ({"team_id": "T0OTHER"}, "an account of another workspace"),
        ({"is_bot": True}, ""),
    ],
    ids=["guest", "single-channel guest", "stranger", "other workspace", "bot"],
)
async def test_safety_22_whoever_does_not_belong_here_does_nothing(
    tmp_path: Path, facts: dict[str, object], why: str
) -> None:
    """bob's account is such a one: commands are refused with the reason, votes and buttons do not count."""
    dressed = {"id": slack_id("bob"), "name": "bob", "real_name": "Bob", **facts}
    async with on_slack(tmp_path, prepare=lambda c: c.server.call("add_user", **dressed)) as chat:
        await chat.alice.says("/scale realtime 10")
        card = chat.card()
        if not facts.get("is_bot"):
            for attempt in ("/approve 1", "!approve 1", "/note I was here", "/scale realtime 5"):
                chat.mark()
                await chat.bob.says(attempt)
                assert f"You are {why} here" in chat.bot_said("bob"), attempt
            await chat.bob.presses("Approve", card)
            await chat.act("home", user=chat.bob.id)
            assert why in str(chat.views(chat.bob)["home"])
        else:
            chat.mark()
            await chat.bob.says("!approve 1")
            assert chat.bot_said("bob") == chat.bot_said() == ""
        await chat.bob.reacts(card)
        await chat.bob.reacts(card, CROSS)
        assert not await runs(chat)
        assert ((await chat.action()).votes, await chat.actions()) == ({}, 1)
        assert not await chat.events("incident-1", e.NoteAdded)
        await chat.carol.reacts(card)
        assert await runs(chat)


@pytest.mark.parametrize("listed", [True, False])
async def test_safety_22_a_guest_who_is_listed_may_act(tmp_path: Path, listed: bool) -> None:
    """An empty list of guests is nobody; who becomes one while the bot runs is one from then on."""
    async with on_slack(tmp_path, guests=["bob"] if listed else []) as chat:
        await chat.act("changes", user=chat.bob.id, is_restricted=True)
        await chat.alice.says("/scale realtime 10")
        await chat.bob.says("/note a guest's")
        await chat.bob.reacts(chat.card())
        assert await runs(chat) == listed
        assert len(await chat.events("incident-1", e.NoteAdded)) == listed


# -- 36 -----------------------------------------------------------------------------------------------


async def test_safety_36_too_few_approvers_is_said_at_once(tmp_path: Path) -> None:
    """Of the approvers one asks, one is deactivated in Slack and one is a guest: one is left."""
    async with on_slack(tmp_path, with_roles(erin=["responder"])) as chat:
        await chat.act("deactivate", user=chat.carol.id)
        await chat.act("changes", user=chat.dave.id, is_restricted=True)
        await chat.alice.says("/scale realtime 0")
        assert "Only bob can approve, 2 are needed" in chat.card()["text"]
        await chat.alice.says("/scale realtime 10")
        assert "are needed" not in chat.card()["text"]
