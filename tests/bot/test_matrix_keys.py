"""Keys of messages on a real Synapse: asked for, come late, not come at all; and new ones when people come and go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import nio
import pytest

from bot.chat import Request
from bot.platforms import matrix_sealed
from bot.platforms.matrix_decode import UNREADABLE
from tests.bot.matrix_world import World, encrypted, looked, said, until

MEGOLM = "m.megolm.v1.aes-sha2"
Key = tuple[str, dict[str, Any]]  # type and content of the message between devices that carries a key


async def unshared(world: World, client: nio.AsyncClient, room: str, text: str) -> tuple[str, Key, Key]:
    """Write a message whose key the bot has not got; its id, and the key as it was made, and as it is handed on."""
    await looked(client, room)
    olm = client.olm
    olm.create_outbound_group_session(room)
    session = olm.outbound_group_sessions[room]
    session.mark_as_shared()
    own = olm.account.identity_keys
    content = {"algorithm": MEGOLM, "room_id": room, "session_id": session.id}
    made = {**content, "session_key": session.session_key}
    kept = olm.inbound_group_store.get(room, own["curve25519"], session.id)
    forwarded = {
        **content,
        "session_key": kept.export_session(0),
        "sender_key": own["curve25519"],
        "sender_claimed_ed25519_key": own["ed25519"],
        "forwarding_curve25519_key_chain": [],
    }
    answer = await client.room_send(
        room, "m.room.message", {"msgtype": "m.text", "body": text}, ignore_unverified_devices=True
    )
    assert isinstance(answer, nio.RoomSendResponse)
    return answer.event_id, ("m.room_key", made), ("m.forwarded_room_key", forwarded)


async def hand_over(world: World, client: nio.AsyncClient, key: Key) -> None:
    """Send a key to the bot's device, as the device that holds it does."""
    user, ident = world.bot.user, world.bot.device
    client.olm.add_changed_users({user})
    await client.keys_query()
    device = client.device_store[user][ident]
    if client.olm.session_store.get(device.curve25519) is None:
        await client.keys_claim({user: [ident]})
    session = client.olm.session_store.get(device.curve25519)
    sealed = client.olm._olm_encrypt(session, device, *key)
    path = f"/sendToDevice/m.room.encrypted/{uuid4().hex}"
    account = next(
        a
        for a in (world.alice, world.bob, world.eve)
        if (a.user, a.device) == (client.user_id, client.device_id)
    )
    await world.call(account, "PUT", path, {"messages": {user: {ident: sealed}}})


async def asked(world: World, since: str | None = None) -> tuple[list[str], str]:
    """The sessions that alice's device is asked for since a position, and the position now."""
    asked_for = {"filter": '{"room":{"rooms":[]},"presence":{"types":[]}}'} | (
        {"since": since} if since else {}
    )
    told = await world.server.act("GET", "/sync", world.alice, **asked_for)
    events = [e for e in told.get("to_device", {}).get("events", ()) if e["type"] == "m.room_key_request"]
    assert all(e["sender"] == world.bot.user for e in events)
    return [e["content"]["body"]["session_id"] for e in events], told["next_batch"]


@pytest.mark.parametrize("forwarded", [False, True])
async def test_a_key_that_comes_late_opens_the_message_with_its_true_age(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forwarded: bool
) -> None:
    """SAFETY 28: made by hand or answered by the device that was asked; by then the message is as old as it is."""
    await world.start(store=tmp_path / "keys", encrypted=True)
    room = await world.room(world.alice)
    alice = await world.person(world.alice)
    ident, made, handed_on = await unshared(world, alice, room, "!late")
    await until(lambda: ident in world.matrix.inbound._sealed)
    monkeypatch.setattr(world.matrix.inbound._sealed, "_monotonic", lambda: time.monotonic() + 50.0)
    await hand_over(world, alice, handed_on if forwarded else made)
    (request,) = await world.next(Request)
    assert (request.text, request.message_id, request.assured) == ("!late", ident, True)
    assert 50.0 <= request.age < 60.0
    assert not world.matrix.inbound._sealed


async def test_a_key_that_somebody_else_hands_on_opens_nothing(world: World, tmp_path: Path) -> None:
    """Only the device that made a key vouches for it; bob could hand on what he likes in alice's name."""
    await world.start(store=tmp_path / "keys", encrypted=True)
    room = await world.room(world.alice, world.bob)
    alice, bob = await world.person(world.alice), await world.person(world.bob)
    ident, _, handed_on = await unshared(world, alice, room, "!forged")
    await until(lambda: ident in world.matrix.inbound._sealed)
    await hand_over(world, bob, handed_on)
    await looked(bob, room)
    await encrypted(bob, room, "after it")
    await world.next(Request)
    assert ident in world.matrix.inbound._sealed
    assert [act.text for act in world.took if isinstance(act, Request)] == ["after it"]


async def test_keys_are_asked_for_again_after_a_restart(world: World, tmp_path: Path) -> None:
    """The device that wrote the message is asked, once by each process, while the message waits."""
    keys = {"store": tmp_path / "keys", "encrypted": True}
    await world.start(**keys)
    room = await world.room(world.alice)
    alice = await world.person(world.alice)
    _, since = await asked(world)
    ident, made, _ = await unshared(world, alice, room, "!lost")
    session = made[1]["session_id"]
    for _process in range(2):
        await until(lambda: ident in world.matrix.inbound._sealed)
        await until(lambda: not world.matrix.api.nio.olm.outgoing_to_device_messages)
        sessions, since = await asked(world, since)
        assert sessions == [session]
        await world.matrix.stop()
        await world.start(**keys)
    await hand_over(world, alice, made)
    (request,) = await world.next(Request)
    assert request.text == "!lost"


async def test_a_message_whose_key_never_comes_is_named_as_such(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told with its author, runs nothing, and the position goes on behind it."""
    monkeypatch.setattr(matrix_sealed, "KEYS", 0.0)
    await world.start(store=tmp_path / "keys", encrypted=True)
    direct = await world.matrix.direct(world.alice.user)
    await world.joins(world.alice, direct)
    alice = await world.person(world.alice)
    ident, _, _ = await unshared(world, alice, direct, "!ack")
    (request,) = await world.next(Request)
    assert (request.text, request.user, request.message_id) == (UNREADABLE, world.alice.user, ident)
    assert not request.direct
    held = world.shelf.kept["since"]
    await world.says(world.alice, await world.room(world.alice, name="other"), "on")
    await world.next(Request, 2)
    await until(lambda: world.shelf.kept["since"] != held)


async def test_who_left_reads_no_more_and_who_came_reads_from_then_on(world: World, tmp_path: Path) -> None:
    """A new session whenever the people of a room change, also while the bot was away, or their devices do."""
    keys = {"store": tmp_path / "keys", "encrypted": True}
    await world.start(**keys)
    alice, bob = await world.person(world.alice), await world.person(world.bob)
    room = await world.room(world.alice, world.bob)
    sessions = [await session_of(world, room, "one"), await session_of(world, room, "two")]
    assert sessions[0] == sessions[1]
    assert await read(bob, room) == ["one", "two"]
    await world.call(world.bob, "POST", f"/rooms/{quote(room)}/leave")
    await until(lambda: world.bob.user not in world.matrix.api.nio.rooms[room].users)
    sessions.append(await session_of(world, room, "three"))
    eve = await world.person(world.eve)
    await world.joins(world.eve, room)
    await until(lambda: world.eve.user in world.matrix.api.nio.rooms[room].users)
    sessions.append(await session_of(world, room, "four"))
    assert await read(eve, room) == ["four"]
    await world.matrix.stop()
    await world.call(world.eve, "POST", f"/rooms/{quote(room)}/leave")
    await world.start(**keys)
    sessions.append(await session_of(world, room, "five"))
    assert len(set(sessions)) == 4
    assert await read(alice, room) == ["one", "two", "three", "four", "five"]
    shared = world.matrix.api.nio.olm.outbound_group_sessions[room].users_shared_with
    assert {user for user, _device in shared} == {world.alice.user}


async def session_of(world: World, room: str, text: str) -> str:
    """The session that a message of the bot's went out by."""
    ident = await world.matrix.post(room, said(text), key=text)
    event = await world.call(world.bot, "GET", f"/rooms/{quote(room)}/event/{quote(ident)}")
    return str(event["content"]["session_id"])


async def read(client: nio.AsyncClient, room: str) -> list[str]:
    """What somebody's client can read of the bot's messages there that it has not shown yet."""
    return [event.body for event in await looked(client, room) if isinstance(event, nio.RoomMessageNotice)]


async def test_an_edit_of_an_encrypted_card_is_what_everybody_reads(world: World, tmp_path: Path) -> None:
    """Also the next process, which edits it once more; the server sees that it is an edit, and not what of."""
    keys = {"store": tmp_path / "keys", "encrypted": True}
    await world.start(**keys)
    alice = await world.person(world.alice)
    room = await world.room(world.alice)
    card = await world.matrix.post(room, said("open"), key="k")
    await world.matrix.edit(room, card, said("acknowledged"))
    await world.matrix.stop()
    await world.start(**keys)
    await world.matrix.edit(room, card, said("acknowledged"))  # nothing new: nothing is sent
    await world.matrix.edit(room, card, said("resolved"))
    seen = [event for event in await looked(alice, room) if isinstance(event, nio.RoomMessageNotice)]
    shown = [event.source["content"].get("m.new_content", event.source["content"])["body"] for event in seen]
    assert shown == ["open", "acknowledged", "resolved"]
    raw = await world.call(world.bot, "GET", f"/rooms/{quote(room)}/event/{quote(seen[-1].event_id)}")
    assert raw["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": card}
    assert {"body", "m.new_content"}.isdisjoint(raw["content"])
