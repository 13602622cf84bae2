"""Notes, impact, cause, action items, and scrubbing."""

from __future__ import annotations

from datetime import timedelta

from incidents import events as e
from incidents.entries import SCRUBBED
from tests.commands.fakes import START, House, text_of


async def test_a_note_keeps_the_message_that_it_came_with(house: House) -> None:
    """So that edits and deletions of it follow on the timeline."""
    await house.opened()
    await house.says("alice", "/note failover started")
    [noted] = house.events("incident-1", e.NoteAdded)
    assert (noted.text, noted.message_id) == ("failover started", "m1")


async def test_impact_and_cause(house: House) -> None:
    """Both are recorded, but not on an incident that was merged."""
    await house.opened()
    await house.says("alice", "!impact 40 % of sockets dropped")
    await house.says("alice", "!cause the failover script had no permission")
    assert house.events("incident-1", e.ImpactRecorded)[0].text == "40 % of sockets dropped"
    assert house.events("incident-1", e.CauseRecorded)[0].text == "the failover script had no permission"
    await house.opened("/open high Sockets drop service=realtime")
    await house.says("alice", "/merge 1", 2)
    assert "merged" in await house.refused("alice", "!cause nothing", 2)


async def test_action_items_with_owner_and_due_date(house: House) -> None:
    """Added, listed here and everywhere, ticked off."""
    await house.opened()
    assert "no action items" in text_of(await house.says("grace", "/incident actions"))
    await house.says("alice", "!action give the script its permission @bob due=3d")
    await house.says("alice", "!action write it down")
    item = house.log.incident(1).items[0]
    assert (item.text, item.owner, item.due) == (
        "give the script its permission",
        "bob",
        START + timedelta(days=3),
    )
    here = text_of(await house.says("grace", "/incident actions"))
    assert "1. give the script its permission · bob · due 6 Jan 2026 03:30 CET" in here
    assert "2. write it down · nobody's yet" in here
    await house.says("bob", "!done 1")
    assert "✅ 1." in text_of(await house.says("grace", "/incident actions"))
    everywhere = text_of(await house.says("grace", "/actions", None))
    assert "INC-1 · ▫️ 2. write it down" in everywhere
    assert "permission" not in everywhere
    assert "1, 2" in await house.refused("bob", "!done 7")


async def test_safety_38_a_message_is_scrubbed_by_its_id(house: House) -> None:
    """Its body is gone, a tombstone names the positions, and the answer does not repeat it."""
    await house.opened()
    house.post("bob", "the password is hunter2", "77.1")
    reply = await house.says("alice", "/scrub 77.1")
    assert "hunter2" not in text_of(reply)
    assert house.log.message("console:inc-1", "77.1")[2] == SCRUBBED
    [tombstone] = house.events("chat-1", e.MessageScrubbed)
    assert tombstone.message_id == "77.1"
    assert tombstone.positions


async def test_safety_38_words_that_are_quoted_vanish_from_the_command_too(house: House) -> None:
    """Otherwise the log would keep the secret in the line that asked to forget it."""
    await house.opened()
    house.post("bob", "the password is hunter2", "77.1")
    await house.says("alice", '/scrub "hunter2"')
    texts = [event.text for event in house.events("chat-1", e.MessagePosted)]
    assert texts == [SCRUBBED, SCRUBBED]


async def test_scrubbing_needs_an_id_or_enough_words(house: House) -> None:
    """Nothing is erased by guessing."""
    await house.opened()
    house.post("bob", "the password is hunter2", "77.1")
    assert "at least 4" in await house.refused("alice", "/scrub e")
    assert "No message" in await house.refused("alice", "/scrub something else")
    assert house.events("chat-1", e.MessageScrubbed) == []
