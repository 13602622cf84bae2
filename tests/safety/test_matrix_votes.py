"""Who votes on what in Matrix: cases 1 to 6, 13, 21 to 23 and 35."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from incidents import events as e
from tests.safety.looks import runs, voters
from tests.safety.matrix_rig import CROSS, PIN, TICK, MatrixChat, on_matrix
from tests.safety.rig import with_roles
from tests.servers.matrix_view import path
from tests.servers.synapse import MatrixError

Attempt = Callable[[MatrixChat], Awaitable[object]]
BUTTONS = "org.watchbell.buttons"


def annotation(message: str, key: str, **more: Any) -> dict[str, Any]:
    """The content of a reaction."""
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": message, "key": key}, **more}


# -- 1, 35 --------------------------------------------------------------------------------------------


async def test_safety_35_one_human_is_one_vote_and_the_bot_is_none(tmp_path: Path) -> None:
    """bob by every means, the bot's own marks, and whoever is not in `people`: one of two."""
    async with on_matrix(tmp_path) as chat:
        zoe = chat.account("zoe")
        await zoe.goes_into(chat.place())
        await chat.alice.says("!scale realtime 0")
        await chat.stage.matrix.seeds.done()
        card = chat.card()
        votes = [vote for vote in card.reactions.values() if vote[0] in (TICK, CROSS)]
        assert sorted(votes) == [(TICK, chat.bot), (CROSS, chat.bot)]
        await chat.bob.reacts(card)
        await chat.bob.presses("Approve", chat.card())
        await chat.bob.says("!approve 1")
        for somebody in (zoe, chat.mallory, chat.heidi, chat.grace):
            await somebody.reacts(card)
            await somebody.presses("Approve", chat.card())
            await somebody.says("!approve 1")
            await somebody.reacts(card, CROSS)
        await chat.restarts()
        assert not await runs(chat)
        assert (await voters(chat), (await chat.action()).state) == (("bob",), "pending")
        await chat.carol.reacts(card)
        assert await runs(chat)


# -- 2, 3 ---------------------------------------------------------------------------------------------


async def test_safety_03_reactions_on_anything_but_the_card(tmp_path: Path) -> None:
    """A copy of the card with all that the bot keeps in it, the request, the card seen from another room."""
    async with on_matrix(tmp_path) as chat:
        request = await chat.alice.says("!scale realtime 10")
        card = chat.card()
        await chat.mallory.goes_into(chat.place())
        copy = await chat.mallory.sends(dict(card.content))
        new = {"msgtype": "m.text", "body": "free coffee", BUTTONS: card.content[BUTTONS]}
        forged = {"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": card.id}}
        await chat.mallory.sends({"msgtype": "m.text", "body": "* free coffee", **forged})
        for message in (request, copy, *(p.id for p in chat.posts() if p.id not in (card.id, request, copy))):
            await chat.bob.sends(annotation(message, TICK), kind="m.reaction")
        tap = card.tap("Approve")
        await chat.bob.sends(annotation(copy, str(tap)), kind="m.reaction")
        await chat.carol.sends(annotation(copy, CROSS), kind="m.reaction")
        with suppress(MatrixError):  # which Synapse takes from nobody
            await chat.bob.sends(annotation(card.id, TICK), "#ops", kind="m.reaction")
        assert not await runs(chat)
        assert (await voters(chat), (await chat.action()).state) == ((), "pending")
        await chat.bob.reacts(card)
        assert await runs(chat)


async def test_safety_03_relations_that_are_none(tmp_path: Path) -> None:
    """Reactions whose parts are of the wrong kind, beside a vote in words, in a thread, in a reply: nothing."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 10")
        card = chat.card()
        relations: list[Any] = [
            {"rel_type": "m.annotation", "event_id": card.id},
            {"rel_type": "m.annotation", "event_id": card.id, "key": f"{TICK}!"},
            {"rel_type": "m.reference", "event_id": card.id, "key": TICK},
            {},
        ]
        for relation in relations:
            with suppress(MatrixError):  # Synapse takes not every one of them; another homeserver may
                await chat.bob.sends({"m.relates_to": relation}, kind="m.reaction")
        thread = {"rel_type": "m.thread", "event_id": card.id, "key": TICK}
        words = {"msgtype": "m.text", "body": TICK, "key": TICK}
        await chat.bob.sends({**words, "m.relates_to": thread})
        await chat.bob.sends({**words, "m.relates_to": {"m.in_reply_to": {"event_id": card.id}}})
        assert not await runs(chat)
        assert await voters(chat) == ()


# -- 4, 5, 6 ------------------------------------------------------------------------------------------


async def test_safety_04_buttons_and_commands_stand(tmp_path: Path) -> None:
    """They are no reactions: a tick taken back takes nothing from them."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 0")
        await chat.bob.presses("Approve", chat.card())
        await chat.bob.reacts(chat.card())
        await chat.bob.reacts(chat.card(), added=False)
        assert await voters(chat) == ("bob",)
        await chat.carol.says("!approve 1")
        assert await runs(chat)


async def test_safety_06_a_redaction_while_the_bot_was_dead(tmp_path: Path) -> None:
    """It knows which reaction that was, and by whom, though nothing of it is left to be read."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 0")
        card = chat.card()
        await chat.bob.reacts(card)
        await chat.stage.kill()
        await chat.bob.reacts(card, added=False)
        await chat.restarts(away=10)
        assert [v.person for v in await chat.events("action-1", e.VoteWithdrawn)] == ["bob"]
        await chat.carol.reacts(card)
        assert not await runs(chat)
        assert await voters(chat) == ("carol",)


async def test_safety_06_a_redaction_that_nobody_did(tmp_path: Path) -> None:
    """Somebody writes that they take bob's vote back, which the homeserver does not let them: it stands."""
    async with on_matrix(tmp_path, room_version="10") as chat:
        await chat.alice.says("!scale realtime 0")
        card = chat.card()
        await chat.bob.reacts(card)
        chat.people.beside.refresh()
        [vote] = [
            ident
            for ident, (key, user) in chat.card().reactions.items()
            if (key, user) == (TICK, chat.bob.user)
        ]
        await chat.mallory.goes_into(chat.place())
        own = await chat.mallory.sends({"msgtype": "m.text", "body": "mine"})
        where = f"/rooms{path(chat.place())}/redact{path(own)}/forged"
        await chat.mallory.calls("PUT", where, {"redacts": vote, "reason": "x"})
        await chat.overtaken(chat.place())
        assert await voters(chat) == ("bob",)
        await chat.carol.reacts(card)
        assert await runs(chat)


# -- 13 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["role", "deactivated", "banned"])
async def test_safety_13_every_voter_is_checked_again(tmp_path: Path, how: str) -> None:
    """bob voted by a button in a private room; at quorum he may not any more."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!incident open low Somebody is leaving service=realtime --private", "#ops")
        chat.number = 2
        room = chat.place()
        for somebody in (chat.bob, chat.carol):
            if somebody.user not in chat.room().people:
                await chat.stage.matrix.arrange(room, invite=(somebody.user,))
            await somebody.goes_into(room)
        await chat.alice.says("!scale realtime 0")
        await chat.bob.presses("Approve", chat.card())
        assert await voters(chat) == ("bob",)
        if how == "role":
            await chat.restarts(change=with_roles(bob=["responder"]))
        elif how == "deactivated":
            chat.server.deactivate(chat.bob.user)
        else:
            bot = chat.people.bot
            chat.server.call("POST", f"/rooms{path(room)}/ban", bot, {"user_id": chat.bob.user})
        chat.mark()
        await chat.carol.reacts(chat.card())
        assert not await runs(chat)
        assert (await chat.action()).state == "void"
        assert "approval of bob no longer counts" in chat.bot_said()


# -- 21 to 23 -----------------------------------------------------------------------------------------


async def test_safety_21_only_the_exact_emoji_in_any_tone(tmp_path: Path) -> None:
    """Look-alikes, letters and images do nothing; the same one as text, as picture or in a tone is the same."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 10")
        card = chat.card()
        for key in (
            "✔",
            "☑️",
            "✓",
            "👍",
            "❎",
            "✖️",
            PIN,
            "✅✅",
            "✅ ",
            "ok",
            "mxc://watchbell.test/tick",
            "",
        ):
            await chat.bob.sends(annotation(card.id, key), kind="m.reaction")
        assert not await runs(chat)
        assert (await chat.action()).votes == {}
        await chat.bob.reacts(card, f"{TICK}\ufe0f")
        assert await runs(chat)


async def test_safety_22_what_bots_say_is_no_command(tmp_path: Path) -> None:
    """A notice is never one, whoever sends it, and is not answered, so that two bots do not go on for ever."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 10")
        chat.mark()
        await chat.bob.sends({"msgtype": "m.notice", "body": "!approve 1"})
        assert (await voters(chat), chat.bot_said("bob"), chat.bot_said()) == ((), "", "")


async def test_safety_23_a_name_and_a_power_level_are_no_permission(tmp_path: Path) -> None:
    """Somebody who is called bob in every way that can be seen, and stands above everybody in the room."""
    async with on_matrix(tmp_path) as chat:
        eve = chat.account("b0b", chat.stage.settings.people["bob"].display)
        room = chat.place()
        await eve.goes_into(room)
        member = {"membership": "join", "displayname": f"Bob {chat.bob.user}", "avatar_url": ""}
        await eve.calls("PUT", f"/rooms{path(room)}/state/m.room.member{path(eve.user)}", member)
        bot = chat.people.bot
        levels = chat.server.call("GET", f"/rooms{path(room)}/state/m.room.power_levels/", bot)
        raised = {**levels, "users": {**levels.get("users", {}), eve.user: 100}}
        chat.server.call("PUT", f"/rooms{path(room)}/state/m.room.power_levels/", bot, raised)
        await chat.alice.says("!scale realtime 10")
        chat.mark()
        await eve.reacts(chat.card())
        await eve.presses("Approve", chat.card())
        await eve.says("!approve 1")
        await eve.says("!note I am bob")
        assert "I do not know you" in chat.bot_said("b0b")
        assert not await runs(chat)
        assert (await voters(chat), await chat.events("incident-1", e.NoteAdded)) == ((), [])
        posted = {ev.actor for ev in await chat.events("chat-1", e.MessagePosted)}
        assert f"matrix:{eve.user}" in posted
        assert "bob" not in posted


async def test_safety_23_accounts_of_other_homeservers_stay_outside(tmp_path: Path) -> None:
    """An open room of an incident is open to this homeserver only; with listed ones to those, and no other."""
    async with on_matrix(tmp_path / "alone") as chat:
        assert chat.room().of("m.room.create")["m.federate"] is False
    async with on_matrix(tmp_path / "partner", servers=["partner.example:8448"]) as chat:
        assert "m.federate" not in chat.room().of("m.room.create")
        allowed = chat.room().of("m.room.server_acl")
        assert (allowed["allow"], allowed["deny"]) == (["watchbell.test", "partner.example"], [])
