"""What proves who did something in an encrypted room of Matrix, and what does not: case 24."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from incidents import events as e
from tests.safety.looks import runs, voters
from tests.safety.matrix_rig import CROSS, TICK, Homeserver, on_matrix
from tests.safety.test_matrix_places import made

DANGER, CHANGE = "!scale realtime 0", "!scale realtime 10"


async def test_safety_24_a_reaction_approves_no_danger_where_rooms_are_encrypted(tmp_path: Path) -> None:
    """Neither by ✅ nor by a tap: the homeserver could have made it up. It is told once what to write, which counts."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        await chat.alice.says(DANGER)
        card = chat.card()
        await chat.stage.matrix.seeds.done()
        assert "write !approve 1" in card.text
        assert card.tap("Approve") is None
        assert [key for key, _ in chat.card().reactions.values() if key in (TICK, CROSS)] == [CROSS]
        chat.mark()
        for _ in range(2):
            await chat.bob.reacts(card)
            await chat.bob.reacts(card, added=False)
        assert chat.bot_said("bob").count("a reaction proves nothing") == 1
        assert "!approve 1" in chat.bot_said("bob")
        [refused] = await chat.events("action-1", e.VoteRefused)
        assert (refused.person, refused.means) == ("bob", "reaction:matrix")
        await chat.bob.reacts(card)
        await chat.carol.reacts(card)
        assert not await runs(chat)
        assert await voters(chat) == ()
        await chat.bob.says("!approve 1")
        await chat.carol.says("!approve 1")
        assert await runs(chat)
        assert (chat.ran, chat.replicas()) == ({1: 1}, 0)


async def test_safety_24_what_is_not_dangerous_is_approved_by_reaction(tmp_path: Path) -> None:
    """And a denial by ❌ counts always: stopping is safe."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        await chat.alice.says(CHANGE)
        await chat.bob.reacts(chat.card())
        assert await runs(chat)
        await chat.alice.says(DANGER)
        await chat.bob.says("!approve 2")
        await chat.dave.reacts(chat.card(2), CROSS)
        assert (await chat.action(2)).state == "denied"
        await chat.alice.says("!scale realtime 0")
        await chat.dave.presses("Deny", chat.card(3))
        assert (await chat.action(3)).state == "denied"
        assert chat.ran == {1: 1}


async def test_safety_24_reactions_that_counted_before_do_not_at_the_run(tmp_path: Path) -> None:
    """The configuration let them approve danger, and lets them no more: they are read again before it runs."""
    async with on_matrix(tmp_path, encrypted=True, danger_by_reaction=True) as chat:
        await chat.alice.says(DANGER)
        assert "✅ or ❌" in chat.card().text
        for person in (chat.bob, chat.carol):
            await person.reacts(chat.card())
        assert await runs(chat)
        assert (await chat.action()).guarded is False
    async with on_matrix(tmp_path / "later", encrypted=True) as chat:
        await chat.alice.says(DANGER)
        chat.stage.options["danger_by_reaction"] = True
        await chat.restarts()
        await chat.bob.reacts(chat.card())
        assert await voters(chat) == ("bob",)
        chat.stage.options["danger_by_reaction"] = False
        await chat.restarts()
        chat.mark()
        await chat.carol.says("!approve 1")
        assert not await runs(chat)
        assert (await chat.action()).state == "void"
        assert "approval of bob no longer counts" in chat.bot_said()


async def test_safety_24_a_device_that_is_not_trusted_approves_no_danger(tmp_path: Path) -> None:
    """Only bob's is listed: carol's command is refused with the reason; notes and denials of hers are taken."""

    def listed(stage: Homeserver) -> dict[str, list[str]]:
        account = stage.people.view("bob").account
        return {account.user: [account.device]}

    async with on_matrix(tmp_path, encrypted=True, trust="listed", devices=listed) as chat:
        await chat.alice.says(DANGER)
        await chat.bob.says("!approve 1")
        chat.mark()
        for _ in range(2):
            await chat.carol.says("!approve 1")
        assert chat.bot_said("carol").count("on a device that I trust") == 2
        assert await voters(chat) == ("bob",)
        await chat.carol.says("!note from a new telephone")
        assert len(await chat.events("incident-1", e.NoteAdded)) == 1
        await chat.carol.says("!deny 1")
        assert (await chat.action()).state == "denied"
        await chat.alice.says(CHANGE)
        await chat.carol.says("!approve 2")
        assert await runs(chat)


async def test_safety_24_breaking_the_glass_takes_a_trusted_device(tmp_path: Path) -> None:
    """Whoever is on call may, and the homeserver in their name may not."""
    async with on_matrix(tmp_path, encrypted=True, trust="listed") as chat:
        await chat.alice.says(DANGER)
        chat.mark()
        names = ("alice", "bob", "carol", "dave")
        for somebody in names:
            await getattr(chat, somebody).says("!breakglass 1 nobody else is awake")
        assert "the glass stays whole" in "".join(chat.bot_said(name) for name in names)
        assert not await chat.events("action-1", e.BreakGlassInvoked)
        assert not await runs(chat)


async def test_safety_24_nothing_in_the_clear_approves_what_was_asked_for_under_a_lock(
    tmp_path: Path,
) -> None:
    """In the encrypted room itself, and in a room in the clear that somebody, or the homeserver, has made."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        await chat.alice.says(DANGER)
        await chat.bob.says("!approve 1")
        chat.mark()
        await chat.carol.sends({"msgtype": "m.text", "body": "!approve 1"})
        assert "without encryption in an encrypted room" in chat.bot_said("carol")
        hall = await made(chat.carol, name="hall")
        await chat.overtaken(chat.place())
        await chat.carol.sends({"msgtype": "m.text", "body": "!approve 1"}, hall)
        await chat.carol.sends({"msgtype": "m.text", "body": "!note in the clear"})
        assert not await runs(chat)
        assert await voters(chat) == ("bob",)
        assert not await chat.events("incident-1", e.NoteAdded)


async def test_safety_24_what_is_sealed_and_no_message_is_nothing(tmp_path: Path) -> None:
    """A reaction, a redaction or an edit by somebody else inside an encrypted event; an edit in the clear."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        words = await chat.alice.says("it was the disk")
        await chat.alice.says(CHANGE)
        card = chat.card()
        vote = {"rel_type": "m.annotation", "event_id": card.id, "key": TICK}
        await chat.bob.seals("m.reaction", {"m.relates_to": vote})
        await chat.mallory.goes_into(chat.place())
        await chat.mallory.seals("m.room.redaction", {"redacts": words})
        new: dict[str, Any] = {"msgtype": "m.text", "body": "it was alice"}
        edit = {**new, "m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": words}}
        await chat.mallory.seals("m.room.message", edit)
        await chat.alice.sends(edit)
        assert (await voters(chat), await runs(chat)) == ((), False)
        assert await chat.events("chat-1", e.MessageDeleted) == []
        assert await chat.events("chat-1", e.MessageEdited) == []


async def test_safety_24_a_room_that_was_encrypted_stays_so(tmp_path: Path) -> None:
    """The homeserver says of a room that it is in the clear: the bot, started anew, knows better."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        await chat.restarts()
        matrix, room = chat.stage.matrix, chat.place()
        matrix.crypto._encrypted[room] = False  # as the homeserver may claim it
        assert await matrix.guards(room)
        chat.mark()
        await chat.carol.sends({"msgtype": "m.text", "body": "!note in the clear"})
        assert not await chat.events("incident-1", e.NoteAdded)


async def test_safety_38_what_is_encrypted_is_redacted_too(tmp_path: Path) -> None:
    """A message, its edits, and what the bot said of it."""
    async with on_matrix(tmp_path, encrypted=True) as chat:
        message = await chat.alice.says("!update the key is blau-kraut-bleibt")
        await chat.alice.edits(message, "!update the key is blau-kraut-bleibt, as ever")
        assert [p for p in chat.posts() if p.sender == chat.bot and "blau" in p.text]
        await chat.bob.says(f"!scrub {message}")
        await chat.waits(60)
        chat.people.beside.refresh()
        assert not [p for p in chat.posts() if "blau" in p.text]
        assert b"blau-kraut" not in chat.log_bytes()
