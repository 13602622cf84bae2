"""Rooms on a real Synapse, of the versions 11 and 12: the space, who is in, receipts, replies, replaced rooms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bot.chat import DeliveryError, Request
from bot.platforms import matrix_receipts
from bot.platforms.matrix_doors import MOVED
from tests.bot.matrix_world import World, said, until
from tests.servers.synapse import Account, MatrixError, shared


@pytest.fixture(params=["11", "12"])
async def versioned(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world whose rooms are of an older and of the newest version."""
    found = World(shared(request.param), tmp_path)
    yield found
    await found.close()


async def state(world: World, who: Account, room: str, kind: str, key: str = "") -> dict[str, Any] | None:
    """A state event's content as somebody sees it; None where there is none."""
    try:
        found: dict[str, Any] = await world.call(
            who, "GET", f"/rooms/{quote(room)}/state/{kind}/{quote(key, safe='')}"
        )
    except MatrixError as error:
        if error.code != "M_NOT_FOUND":
            raise
        return None
    return found


# -- the space ------------------------------------------------------------------------------------


async def test_rooms_of_incidents_stand_in_the_space(versioned: World) -> None:
    """Made once and found again by its alias; private rooms are not told of there, closed ones stay."""
    world, name = versioned, f"Incidents {versioned.tag}"
    await world.start(space=name)
    room, hidden = await world.room(name="inc"), await world.room(name="hidden", private=True)
    await world.matrix.direct(world.alice.user)
    await world.matrix.space.done()
    found = await world.call(
        world.alice, "GET", f"/directory/room/{quote(f'#incidents-{world.tag}:watchbell.test')}"
    )
    space = found["room_id"]
    await world.joins(world.alice, space)
    child = {"via": ["watchbell.test"], "suggested": True}
    assert await state(world, world.alice, space, "m.space.child", room) == child
    assert await state(world, world.bot, room, "m.space.parent", space) == {
        "via": ["watchbell.test"],
        "canonical": True,
    }
    assert await state(world, world.alice, space, "m.space.child", hidden) is None
    await world.matrix.arrange(room, archive=True)
    await world.matrix.space.done()
    assert await state(world, world.alice, space, "m.space.child", room) == {**child, "suggested": False}
    made = await state(world, world.alice, space, "m.room.create")
    assert made is not None
    assert made["type"] == "m.space"
    with pytest.raises(MatrixError, match="M_FORBIDDEN"):
        await world.says(world.alice, space, "nobody writes here")


async def test_what_a_crash_left_out_of_the_space_is_put_there_at_the_next_start(world: World) -> None:
    """The space is one that the operator made, by its alias or its id; people cannot write in one of the bot's."""
    room = await world.room(name="inc")
    body = {
        "preset": "public_chat",
        "room_alias_name": f"space-{world.tag}",
        "creation_content": {"type": "m.space"},
        "power_level_content_override": {"users": {world.bot.user: 50}},
    }
    space = (await world.call(world.alice, "POST", "/createRoom", body))["room_id"]
    for name in (f"#space-{world.tag}:watchbell.test", space):
        await world.call(world.alice, "PUT", f"/rooms/{quote(space)}/state/m.space.child/{quote(room)}", {})
        await world.start(space=name)
        await world.matrix.space.done()
        there = await state(world, world.alice, space, "m.space.child", room)
        assert there == {"via": ["watchbell.test"], "suggested": True}
        await world.matrix.stop()


async def test_a_room_that_only_says_it_is_the_bots_is_not_put_into_the_space(world: World) -> None:
    """Anybody can write the bot's marks into a room of their own, and have the bot in it."""
    await world.start(space=f"space {world.tag}")
    await world.matrix.space.done()
    mark = {"type": "org.watchbell.room", "state_key": "", "content": {"key": "wb-open-1"}}
    body = {"preset": "public_chat", "invite": [world.bot.user], "initial_state": [mark]}
    forged = (await world.call(world.alice, "POST", "/createRoom", body))["room_id"]
    await world.joins(world.bot, forged)
    await world.matrix.stop()
    await world.start(space=f"space {world.tag}")
    await world.matrix.space.done()
    space = await world.matrix.rooms.resolved(f"#space-{world.tag}:watchbell.test")
    assert space is not None
    assert await state(world, world.bot, space, "m.space.child", forged) is None


async def test_a_space_that_is_none_holds_nothing_up(world: World) -> None:
    """A room that is no space, one that lets the bot not in, and one that does not exist."""
    body = {"preset": "public_chat", "room_alias_name": f"plain-{world.tag}"}
    plain = (await world.call(world.alice, "POST", "/createRoom", body))["room_id"]
    for name in (f"#plain-{world.tag}:watchbell.test", f"#none-{world.tag}:watchbell.test", plain):
        await world.start(space=name)
        room, _ = await world.matrix.open_channel(f"i-{world.tag}", private=False, key=name)
        await world.matrix.space.done()
        assert await state(world, world.bot, room, "m.space.parent", plain) is None
        await world.matrix.stop()


# -- people and what they may ---------------------------------------------------------------------


async def test_the_bots_rooms_keep_its_cards_in_every_version(versioned: World) -> None:
    """Found again, closed and opened; people write and react, and take nothing of the bot's away."""
    world = versioned
    room = await world.room(world.alice)
    created = await state(world, world.bot, room, "m.room.create")
    assert created is not None
    assert created["room_version"] == world.server.room_version
    card = await world.matrix.post(room, said("card"), key="k")
    await world.matrix.arrange(room, topic="down", pin=card)
    assert await state(world, world.alice, room, "m.room.pinned_events") == {"pinned": [card]}
    await world.reacts(world.alice, room, card, "✅")
    assert await world.matrix.reactions(room, card) == {"✅": (world.alice.user,)}
    with pytest.raises(MatrixError, match="M_FORBIDDEN"):
        await world.redacts(world.alice, room, card)
    body = {"replacement_room": f"!other{room[6:]}"}
    for kind in ("m.room.tombstone", "m.room.pinned_events", "m.space.parent", "m.room.encryption"):
        with pytest.raises(MatrixError, match="M_FORBIDDEN"):
            await world.call(world.alice, "PUT", f"/rooms/{quote(room)}/state/{kind}/", body)
    await world.matrix.arrange(room, archive=True)
    with pytest.raises(MatrixError, match="M_FORBIDDEN"):
        await world.says(world.alice, room, "late")
    await world.matrix.arrange(room, archive=False)
    assert await world.says(world.alice, room, "again")
    again = await world.made().open_channel(f"inc-{world.tag}", private=False, key=f"inc{world.tag}")
    assert again == (room, f"inc-{world.tag}")


async def test_whoever_may_come_in_counts_as_a_member(versioned: World) -> None:
    """An invitation is what being a member is elsewhere: it needs nobody's leave to be followed. Who left is none."""
    world = versioned
    room = await world.room(private=True)
    await world.matrix.arrange(room, invite=(world.alice.user, world.bob.user))
    assert await world.matrix.members(room) == {world.bot.user, world.alice.user, world.bob.user}
    await world.joins(world.bob, room)
    await world.call(world.bob, "POST", f"/rooms/{quote(room)}/leave")
    assert await world.matrix.members(room) == {world.bot.user, world.alice.user}


async def test_an_account_that_was_closed_is_not_active(world: World) -> None:
    """SAFETY 13: neither is one that the bot meets nowhere, of which homeservers do not tell whether it is closed."""
    await world.room(world.alice, world.bob)
    assert await world.matrix.active(world.alice.user)
    assert not await world.matrix.active(world.eve.user)
    await asyncio.to_thread(world.server.deactivate, world.bob.user)
    assert not await world.matrix.active(world.bob.user)


async def test_what_was_said_before_is_read_as_it_stands_now(world: World) -> None:
    """For `--since`: edits are taken in, and what was taken back is gone."""
    room = await world.room(world.alice)
    first = await world.says(world.alice, room, "first")
    new = {"msgtype": "m.text", "body": "mended"}
    relation = {"rel_type": "m.replace", "event_id": first}
    await world.says(world.alice, room, "* mended", **{"m.relates_to": relation, "m.new_content": new})
    await world.redacts(world.alice, room, await world.says(world.alice, room, "gone"))
    await world.says(world.alice, room, "last")
    history = await world.matrix.history(room, 3_600)
    assert [act.text for act in history if isinstance(act, Request)] == ["mended", "last"]
    assert not await world.matrix.history(room, 0.0)


# -- what people see ------------------------------------------------------------------------------


async def receipts(world: World, room: str) -> list[str]:
    """The events that the bot says it has read, as alice's client is told."""
    only = '{"room":{"timeline":{"limit":1}},"presence":{"types":[]}}'
    told = await world.server.act("GET", "/sync", world.alice, filter=only)
    found = []
    for event in told["rooms"]["join"][room]["ephemeral"]["events"]:
        if event["type"] == "m.receipt":
            found += [
                ident for ident, read in event["content"].items() if world.bot.user in read.get("m.read", {})
            ]
    return found


async def test_people_see_that_they_were_heard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """In rooms that the bot works in; where it only overhears it says nothing of it."""
    monkeypatch.setattr(matrix_receipts, "PAUSE", 0.0)
    await world.start()
    room = await world.room(world.alice)
    made = await world.call(world.alice, "POST", "/createRoom", {"invite": [world.bot.user]})
    await until(lambda: world.bot.user in _joined(world, made["room_id"]))
    await world.says(world.alice, made["room_id"], "elsewhere")
    await world.says(world.alice, room, "one")
    last = await world.says(world.alice, room, "two")
    await world.next(Request, 3)
    await until(lambda: world.matrix.receipts._task is not None)
    await world.matrix.receipts.done()
    assert await receipts(world, room) == [last]
    assert await receipts(world, made["room_id"]) == []


def _joined(world: World, room: str) -> dict[str, Any]:
    told = world.server.call("GET", f"/rooms/{quote(room)}/joined_members", world.alice)
    found: dict[str, Any] = told["joined"]
    return found


async def test_a_reply_stands_in_the_thread_of_what_it_answers(world: World) -> None:
    """Clients without threads answer by a plain reply; what they quote is not said once more."""
    await world.start()
    room = await world.room(world.alice)
    root = await world.matrix.post(room, said("root"), key="k1")
    inside = await world.matrix.post(room, said("inside"), key="k2", thread=root)
    for target in (inside, root):
        relation = {"m.in_reply_to": {"event_id": target}}
        await world.says(world.alice, room, "> <@x:y> quoted\n\n!ack", **{"m.relates_to": relation})
    requests = await world.next(Request, 2)
    assert [(request.text, request.thread) for request in requests] == [("!ack", root), ("!ack", None)]


async def test_every_way_of_calling_the_bot_is_read(world: World) -> None:
    """By a pill, by m.mentions, by whole id, by `!` and `/`; a reply mentions whom it answers, and calls nobody."""
    await world.start()
    room = await world.room(world.alice)
    card = await world.matrix.post(room, said("card"), key="k")
    pill = f'<a href="https://matrix.to/#/{world.bot.user}">Watchbell</a> ack'
    mentions = {"m.mentions": {"user_ids": [world.bot.user]}}
    markup = {"format": "org.matrix.custom.html", "formatted_body": pill}
    await world.says(world.alice, room, "Watchbell ack", **markup, **mentions)
    await world.says(world.alice, room, "Watchbell ack", **mentions)
    await world.says(world.alice, room, f"{world.bot.user} ack")
    await world.says(world.alice, room, "/ack")
    reply = {"m.relates_to": {"m.in_reply_to": {"event_id": card}}}
    await world.says(world.alice, room, "Watchbell is down again", **reply, **mentions)
    await world.says(world.alice, room, "Watchbell is down again")
    requests = await world.next(Request, 6)
    assert [request.text for request in requests] == [
        *("@watchbell ack",) * 3,
        "/ack",
        *("Watchbell is down again",) * 2,
    ]


# -- rooms that are replaced ----------------------------------------------------------------------


async def test_a_room_that_is_replaced_is_followed_where_people_of_ours_did_it(versioned: World) -> None:
    """What was bound to the old room stays with it; strangers who replace a room take the bot nowhere."""
    world = versioned
    await world.start()
    for who in (world.alice, world.eve):
        body = {"preset": "public_chat", "invite": [world.bot.user]}
        old = (await world.call(who, "POST", "/createRoom", body))["room_id"]
        await world.joins(world.bot, old)
        told = await world.call(who, "POST", f"/rooms/{quote(old)}/upgrade", {"new_version": "11"})
        new = told["replacement_room"]
        if who is world.alice:
            await until(lambda new=new: world.bot.user in _joined(world, new))  # type: ignore[misc]
            await world.says(world.alice, new, "!after")
            (request,) = await world.next(Request)
            assert (request.text, request.channel) == ("!after", new)
            said_there = await world.server.act(
                "GET", f"/rooms/{quote(new)}/messages", world.alice, dir="b", limit=20
            )
            bodies = [event["content"].get("body") for event in said_there["chunk"]]
            assert bodies.count(MOVED) == 1
            with pytest.raises(DeliveryError):
                await world.matrix.post(old, said("x"), key="old")
        else:
            await world.says(world.alice, await world.room(world.alice), "!seen")
            await world.next(Request, 2)
            joined = await world.call(world.bot, "GET", "/joined_rooms")
            assert new not in joined["joined_rooms"]


async def test_a_private_room_that_is_replaced_is_followed_by_invitation(world: World) -> None:
    await world.start()
    body = {"preset": "private_chat", "invite": [world.bot.user]}
    old = (await world.call(world.alice, "POST", "/createRoom", body))["room_id"]
    await until(lambda: world.bot.user in _joined(world, old))
    told = await world.call(world.alice, "POST", f"/rooms/{quote(old)}/upgrade", {"new_version": "12"})
    new = told["replacement_room"]
    await until(lambda: new in world.matrix.inbound._doors._replaces)
    await world.call(world.alice, "POST", f"/rooms/{quote(new)}/invite", {"user_id": world.bot.user})
    await until(lambda: world.bot.user in _joined(world, new))
    await until(lambda: new not in world.matrix.inbound._doors._replaces)
    said_there = await world.server.act(
        "GET", f"/rooms/{quote(new)}/messages", world.alice, dir="b", limit=20
    )
    assert MOVED in [event["content"].get("body") for event in said_there["chunk"]]
