"""Where and when things are asked in Matrix: cases 26, 27, 29 and 37, and what hostile rooms could try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from incidents import events as e
from tests.safety.matrix_rig import MatrixChat, Someone, on_matrix
from tests.servers.matrix_view import path

PRIVATE = "!incident open low Somebody is leaving service=realtime --private"
KEY = "org.watchbell.room"  # what the bot keeps in rooms of its own


async def made(person: Someone, *, bot: bool = True, **body: Any) -> str:
    """A room that somebody makes, with the bot invited into it."""
    invited = [person.chat.bot] if bot else []
    asked = {"preset": "public_chat", "invite": invited, **body}
    return str((await person.calls("POST", "/createRoom", asked))["room_id"])


async def membership(chat: MatrixChat, person: Someone, room: str) -> str:
    """Whether the bot is in a room, as soon as it has done what it does about an invitation."""
    where = f"/rooms{path(room)}/state/m.room.member{path(chat.bot)}"
    await chat.overtaken(chat.place("#ops"))
    return str((await person.calls("GET", where))["membership"])


# -- 26, 37 -------------------------------------------------------------------------------------------


async def test_safety_26_only_people_of_the_configuration_bring_it_in(tmp_path: Path) -> None:
    """A stranger's invitation is refused; where it was brought in, nothing is changed or told of systems."""
    async with on_matrix(tmp_path) as chat:
        zoe = chat.account("zoe")
        assert await membership(chat, zoe, await made(zoe)) == "leave"
        lunch = await made(chat.alice, name="lunch")
        assert await membership(chat, chat.alice, lunch) == "join"
        chat.mark()
        for line in ("!scale realtime 10", "!logs realtime", "!ack"):
            await chat.alice.says(line, lunch)
        said = chat.bot_said("alice")
        assert "in an incident's channel or in #ops, not here" in said
        assert "in an incident's channel, in #ops, or to me directly" in said
        assert "no incident's" in said
        assert (chat.bot_said(), await chat.actions()) == ("", 0)


async def test_safety_37_no_changes_in_direct_messages(tmp_path: Path) -> None:
    """Refused with where to go; reading is allowed."""
    async with on_matrix(tmp_path) as chat:
        direct = await made(chat.alice, preset="trusted_private_chat", is_direct=True)
        assert await membership(chat, chat.alice, direct) == "join"
        for line in ("!scale realtime 10", "scale realtime 10", "!restart realtime", "!undo 1"):
            chat.mark()
            await chat.alice.says(line, direct)
            assert "not here" in chat.bot_said("alice") or "begins with" in chat.bot_said("alice"), line
        assert await chat.actions() == 0
        chat.mark()
        await chat.alice.says("!pods realtime", direct)
        assert "READY" in chat.bot_said("alice")
        assert chat.bot_said() == ""


# -- rooms that say they are the bot's ----------------------------------------------------------------


@pytest.mark.parametrize("private", [True, False])
async def test_safety_26_a_room_that_says_it_is_the_incident_s(tmp_path: Path, private: bool) -> None:
    """Somebody's own room, with the key of the next incident in it and its name: the bot makes another one."""
    async with on_matrix(tmp_path) as chat:
        state = [{"type": KEY, "state_key": "", "content": {"key": "wb-open-2"}}]
        trap = await made(chat.mallory, initial_state=state, room_alias_name="inc-2-somebody-is-leaving")
        assert await membership(chat, chat.mallory, trap) == "join"
        await chat.restarts()
        line = PRIVATE if private else PRIVATE.removesuffix(" --private")
        await chat.alice.says(line, "#ops")
        [bound] = await chat.events("incident-2", e.ChannelBound)
        assert bound.channel != trap
        assert "leaving" not in "".join(p.body for p in chat.posts(trap) if p.sender == chat.bot)


async def test_safety_26_a_room_that_says_it_is_for_direct_messages(tmp_path: Path) -> None:
    """One that everybody can read, made for bob by somebody else, who is gone: bob is written to elsewhere."""
    async with on_matrix(tmp_path) as chat:
        key = {"type": KEY, "state_key": "", "content": {"key": f"direct:{chat.bob.user}"}}
        open_book = {"history_visibility": "world_readable"}
        seen = {"type": "m.room.history_visibility", "state_key": "", "content": open_book}
        trap = await made(chat.mallory, initial_state=[key, seen])
        assert await membership(chat, chat.mallory, trap) == "join"
        await chat.bob.goes_into(trap)
        await chat.mallory.calls("POST", f"/rooms{path(trap)}/leave")
        await chat.restarts()
        await chat.bob.says("!nothing of the kind")
        assert not [p for p in chat.posts(trap) if p.sender == chat.bot]


async def test_safety_27_a_second_room_of_a_configured_name(tmp_path: Path) -> None:
    """Renamed the room stays what it was; another one that takes its name or address is nobody's."""
    async with on_matrix(tmp_path) as chat:
        ops, steward = chat.place("#ops"), chat.server.steward
        server = chat.bot.partition(":")[2]
        chat.server.call("DELETE", f"/directory/room{path(f'#ops:{server}')}", steward)
        trap = await made(chat.mallory, name="ops", room_alias_name="ops")
        assert await membership(chat, chat.alice, ops) == "join"
        await chat.alice.goes_into(trap)
        for _ in range(2):
            chat.mark()
            await chat.alice.says("!scale realtime 10", trap)
            assert "not here" in chat.bot_said("alice")
            await chat.restarts()
        assert await chat.actions() == 0
        await chat.alice.says("!scale realtime 10", ops)
        assert await chat.actions() == 1
        assert not [p for p in chat.posts(trap) if p.sender == chat.bot]


# -- what can happen to its rooms ---------------------------------------------------------------------


async def test_safety_27_put_out_of_a_room_it_holds_nothing_up(tmp_path: Path) -> None:
    """Banned from the incident's own room: the pages go to the people, and the log goes on."""
    async with on_matrix(tmp_path) as chat:
        hall = await made(chat.heidi, name="hall")
        assert await membership(chat, chat.heidi, hall) == "join"
        await chat.alice.goes_into(hall)
        await chat.alice.says("!incident open critical Search is gone service=realtime --here", hall)
        chat.mark()
        await chat.heidi.calls("POST", f"/rooms{path(hall)}/ban", {"user_id": chat.bot})
        await chat.waits(1800)
        assert "INC-2" in chat.bot_said("carol")
        await chat.bob.says("!note the log goes on")
        assert len(await chat.events("incident-1", e.NoteAdded)) == 1


async def test_safety_26_nobody_but_the_bot_changes_its_rooms(tmp_path: Path) -> None:
    """Not who may come in, who may read, who may write, what it is called, whom it is replaced by; not its cards."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says(PRIVATE, "#ops")
        chat.number = 2
        room = chat.place()
        for kind, content in (
            ("m.room.join_rules", {"join_rule": "public"}),
            ("m.room.history_visibility", {"history_visibility": "world_readable"}),
            ("m.room.guest_access", {"guest_access": "can_join"}),
            ("m.room.power_levels", {"users": {chat.alice.user: 100}}),
            ("m.room.tombstone", {"body": "moved", "replacement_room": "!trap:watchbell.test"}),
            ("m.room.name", {"name": "x"}),
            ("m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"}),
            ("m.room.server_acl", {"allow": [], "deny": ["*"]}),
            (KEY, {"key": "wb-open-9", "closed": True}),
        ):
            with pytest.raises(Exception, match="M_FORBIDDEN"):
                await chat.alice.calls("PUT", f"/rooms{path(room)}/state/{kind}/", content)
        for what, body in (
            ("invite", {"user_id": chat.mallory.user}),
            ("kick", {"user_id": chat.bot}),
            ("ban", {"user_id": chat.bot}),
        ):
            with pytest.raises(Exception, match="M_FORBIDDEN"):
                await chat.alice.calls("POST", f"/rooms{path(room)}/{what}", body)
        card = next(p for p in chat.posts() if p.sender == chat.bot)
        with pytest.raises(Exception, match="M_FORBIDDEN"):
            await chat.alice.calls("PUT", f"/rooms{path(room)}/redact{path(card.id)}/x", {})
        with pytest.raises(Exception, match="M_FORBIDDEN"):
            await chat.mallory.goes_into(room)


async def test_safety_03_a_card_that_a_moderator_took_away_takes_no_votes(tmp_path: Path) -> None:
    """In a room of people's: its reactions mean nothing any more, and the request waits until it is too old."""
    async with on_matrix(tmp_path) as chat:
        hall = await made(chat.heidi, name="hall")
        assert await membership(chat, chat.heidi, hall) == "join"
        for somebody in (chat.alice, chat.bob, chat.carol):
            await somebody.goes_into(hall)
        await chat.alice.says("!incident open low Search is slow service=realtime --here", hall)
        await chat.alice.says("!scale realtime 0", hall)
        card = chat.card()
        await chat.bob.reacts(card)
        await chat.heidi.calls("PUT", f"/rooms{path(hall)}/redact{path(card.id)}/x", {})
        await chat.overtaken(hall)
        await chat.carol.says("!approve 1", hall)
        await chat.waits(60)
        assert chat.ran == {}
        assert (await chat.action()).state in ("void", "pending")
        await chat.waits(1000)
        assert chat.ran == {}


async def test_safety_13_a_tap_counts_for_who_is_there(tmp_path: Path) -> None:
    """Somebody is brought into another's direct messages, and taps what concerns a room that they are not in."""
    async with on_matrix(tmp_path) as chat:
        direct = await made(chat.alice, preset="trusted_private_chat", is_direct=True)
        assert await membership(chat, chat.alice, direct) == "join"
        await chat.alice.says(PRIVATE, "#ops")
        chat.number = 2
        await chat.alice.says("!page frank it is about everybody")
        asked = next(p for p in chat.posts(direct) if p.sender == chat.bot and p.buttons)
        await chat.alice.calls("POST", f"/rooms{path(direct)}/invite", {"user_id": chat.heidi.user})
        await chat.heidi.goes_into(direct)
        tap = {"rel_type": "m.annotation", "event_id": asked.id, "key": asked.tap(asked.buttons[0].label)}
        await chat.heidi.sends({"m.relates_to": tap}, direct, "m.reaction")
        assert not await chat.events("incident-2", e.Paged)


# -- 29 -----------------------------------------------------------------------------------------------
