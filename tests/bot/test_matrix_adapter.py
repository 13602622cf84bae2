"""The Matrix adapter on a real Synapse: what it makes there, what it takes in, and what it does not believe."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bot.chat import (
    Button,
    Deletion,
    DeliveryError,
    Edit,
    Incoming,
    Press,
    Reaction,
    Request,
    RetryLaterError,
    Upload,
)
from bot.platforms.matrix_client import UnavailableError
from bot.platforms.matrix_decode import IN_THE_CLEAR, UNREADABLE
from tests.bot.matrix_world import World, encrypted, looked, said, until
from tests.servers.synapse import MatrixError, Synapse

ACK, UPDATE = Button("Acknowledge", "/ack"), Button("Update", "/update")


# -- rooms ----------------------------------------------------------------------------------------


async def test_a_room_is_found_again_by_its_key_after_a_crash(world: World) -> None:
    """Public rooms by their alias, private ones, which have none, by what is kept in them; also within a minute."""
    for private in (False, True):
        name = f"inc-{private}-{world.tag}"
        first = await world.made().open_channel(name, private=private, key=name)
        assert await world.made().open_channel(name, private=private, key=name) == first
        other = await world.made().open_channel(name, private=private, key=f"other {name}")
        assert other[0] != first[0]


async def test_a_private_room_has_no_public_name(world: World) -> None:
    room = await world.room(world.alice, private=True)
    with pytest.raises(MatrixError):
        await world.state(room, "m.room.canonical_alias")
    assert (await world.state(room, "m.room.join_rules"))["join_rule"] == "invite"
    assert await world.matrix.members(room) == {world.bot.user, world.alice.user}
    assert await world.matrix.title(room) == f"inc-{world.tag}"


async def test_people_change_nothing_of_what_the_bot_says(world: World) -> None:
    """SAFETY 2: cards stay; nobody but the bot redacts them, renames the room or raises themselves."""
    room = await world.room(world.alice)
    card = await world.matrix.post(room, said("card"), key="k")
    with pytest.raises(MatrixError, match="M_FORBIDDEN"):
        await world.redacts(world.alice, room, card)
    for kind in ("m.room.topic", "m.room.power_levels", "org.watchbell.room"):
        with pytest.raises(MatrixError, match="M_FORBIDDEN"):
            await world.call(
                world.alice, "PUT", f"/rooms/{quote(room)}/state/{kind}/", {"topic": "x", "key": "x"}
            )


async def test_topic_links_and_closing_stand_beside_each_other(world: World) -> None:
    room = await world.room(world.alice)
    await world.matrix.arrange(room, topic="R&amp;D down", links=(("Board", "https://b.example"),))
    assert await world.state(room, "m.room.topic") == {"topic": "R&D down · Board: https://b.example"}
    await world.matrix.arrange(room, archive=True)
    assert (await world.state(room, "m.room.topic"))["topic"].startswith("🔒 closed · R&D down")
    with pytest.raises(MatrixError, match="M_FORBIDDEN"):
        await world.says(world.alice, room, "late")
    with pytest.raises(DeliveryError, match="closed"):
        await world.made().post(room, said("x"), key="late")
    await world.matrix.arrange(room, archive=False)
    assert await world.says(world.alice, room, "again")
    assert await world.matrix.post(room, said("x"), key="again")


async def test_a_room_of_peoples_keeps_its_topic(world: World) -> None:
    """Links go into a message there, once."""
    made = await world.call(world.alice, "POST", "/createRoom", {"preset": "public_chat", "topic": "ours"})
    for _ in range(2):
        await world.joins(world.bot, made["room_id"])
        await world.matrix.arrange(made["room_id"], links=(("Board", "https://b.example"),))
    assert (await world.state(made["room_id"], "m.room.topic"))["topic"] == "ours"
    with pytest.raises(DeliveryError):
        await world.matrix.arrange(made["room_id"], topic="theirs")


async def test_direct_messages_are_for_one_person_alone(world: World) -> None:
    """A room of direct messages that somebody else has come into is used no more."""
    first = await world.matrix.direct(world.alice.user)
    assert await world.matrix.direct(world.alice.user) == first
    fresh = world.made()
    await fresh.rooms.start()
    assert await fresh.direct(world.alice.user) == first
    await world.call(world.bot, "POST", f"/rooms/{quote(first)}/invite", {"user_id": world.eve.user})
    second = await fresh.direct(world.alice.user)
    assert second != first
    await world.joins(world.alice, second)
    await world.call(world.alice, "POST", f"/rooms/{quote(second)}/leave")
    assert await fresh.direct(world.alice.user) == second


# -- messages -------------------------------------------------------------------------------------


async def test_a_repeated_send_appears_once(world: World) -> None:
    room = await world.room(world.alice)
    first = await world.matrix.post(room, said("x"), key="k")
    assert await world.made().post(room, said("x"), key="k") == first
    assert await world.made().find(room, "k") == first
    assert await world.matrix.find(room, "other") is None


async def test_a_button_is_tapped_and_stays_what_it_was(world: World) -> None:
    """A tap that an edit overtook is what the person saw; a tap on nothing is a reaction that means nothing."""
    await world.start()
    room = await world.room(world.alice)
    card = await world.matrix.post(room, said("card", ACK, UPDATE), key="k")
    await world.matrix.seeds.done()
    assert await world.matrix.reactions(room, card) == {"1️⃣": (world.bot.user,), "2️⃣": (world.bot.user,)}
    await world.matrix.edit(room, card, said("card", UPDATE, Button("Resolve", "/resolve")))
    await world.matrix.seeds.done()
    assert set(await world.matrix.reactions(room, card)) == {"2️⃣", "3️⃣"}
    for key in ("1️⃣", "2️⃣", "3️⃣"):
        await world.reacts(world.alice, room, card, key)
    presses = await world.next(Press, 3)
    assert [press.value for press in presses] == ["/ack", "/update", "/resolve"]
    await world.reacts(world.alice, room, await world.says(world.alice, room, "mine"), "1️⃣")
    (reaction,) = await world.next(Reaction)
    assert reaction.emoji == "1️⃣"


async def test_a_look_alike_card_has_no_buttons(world: World) -> None:
    """SAFETY 3: only what the bot itself posted is pressed, and nobody else's edit changes it."""
    await world.start()
    room = await world.room(world.alice, world.eve)
    buttons = [{"label": "x", "value": "/approve 1", "style": "", "emoji": "1️⃣"}]
    fake = await world.says(world.eve, room, "card", **{"org.watchbell.buttons": buttons})
    card = await world.matrix.post(room, said("card", ACK), key="k")
    replace = {"rel_type": "m.replace", "event_id": card}
    new = {"msgtype": "m.text", "body": "card", "org.watchbell.buttons": buttons}
    await world.says(world.eve, room, "* card", **{"m.relates_to": replace, "m.new_content": new})
    await world.reacts(world.alice, room, fake, "1️⃣")
    await world.reacts(world.alice, room, card, "1️⃣")
    (press,) = await world.next(Press)
    assert press.value == "/ack"
    assert not [act for act in world.took if isinstance(act, Edit)]


async def test_a_whisper_goes_to_one_person_and_its_buttons_count_where_it_is_about(world: World) -> None:
    await world.start()
    room = await world.room(world.alice, world.bob)
    await world.matrix.whisper(room, world.alice.user, said("only you", ACK), thread="$root")
    direct = await world.matrix.direct(world.alice.user)
    await world.joins(world.alice, direct)
    told = await world.call(world.alice, "GET", f"/rooms/{quote(direct)}/messages?dir=b&limit=5")
    whisper = next(e for e in told["chunk"] if e["type"] == "m.room.message")
    assert whisper["content"]["body"].startswith(f"About #inc-{world.tag}:\nonly you")
    await world.reacts(world.alice, direct, whisper["event_id"], "1️⃣")
    (press,) = await world.next(Press)
    assert (press.channel, press.thread, press.value) == (room, "$root", "/ack")


async def test_threads_hang_on_their_root(world: World) -> None:
    room = await world.room(world.alice)
    root = await world.matrix.post(room, said("root"), key="k1")
    reply = await world.matrix.post(room, said("reply"), key="k2", thread=root)
    other = await world.made().post(room, said("other"), key="k3", thread=reply)
    for ident in (reply, other):
        event = await world.matrix.events.get(room, ident)
        assert event is not None
        assert event["content"]["m.relates_to"]["event_id"] == root


async def test_files_and_long_texts(world: World) -> None:
    room = await world.room(world.alice)
    ident = await world.matrix.upload(room, Upload("a.txt", b"hello"), said("see"), key="k")
    event = await world.matrix.events.get(room, ident)
    assert event is not None
    assert (event["content"]["body"], event["content"]["filename"]) == ("see", "a.txt")
    assert await world.matrix.fetch(event["content"]["url"]) == b"hello"
    assert await world.matrix.find(room, "k") == ident
    long = await world.matrix.post(room, said("y" * 60_000), key="long")
    threads = await world.matrix.events.related(room, long, "m.thread", "m.room.message")
    assert await world.matrix.fetch(threads[0]["content"]["url"]) == b"y" * 60_000
    for nothing in ("mxc://watchbell.test/none", "!no $thing", "rubbish"):
        with pytest.raises(DeliveryError):
            await world.matrix.fetch(nothing)


# -- in -------------------------------------------------------------------------------------------


async def test_nothing_from_before_the_first_start_is_taken_in(world: World) -> None:
    """The first look takes the position only; what was said before the bot came into a room was not said to it."""
    room = await world.room(world.alice)
    await world.says(world.alice, room, "!old")
    await world.start()
    made = await world.call(world.alice, "POST", "/createRoom", {"preset": "public_chat"})
    await world.says(world.alice, made["room_id"], "!before")
    await world.call(
        world.alice, "POST", f"/rooms/{quote(made['room_id'])}/invite", {"user_id": world.bot.user}
    )
    await until(lambda: world.bot.user in _members(world, made["room_id"]))
    await world.says(world.alice, made["room_id"], "!now")
    (request,) = await world.next(Request)
    assert request.text == "!now"


def _members(world: World, room: str) -> dict[str, Any]:
    found: dict[str, Any] = world.server.call("GET", f"/rooms/{quote(room)}/joined_members", world.alice)[
        "joined"
    ]
    return found


async def test_what_was_said_meanwhile_comes_in_whole_and_in_order(world: World) -> None:
    """SAFETY 28: more than one answer of the server holds, each with its age."""
    await world.start()
    room = await world.room(world.alice)
    await world.says(world.alice, room, "!first")
    await world.next(Request)
    await world.matrix.stop()
    for number in range(130):
        await world.says(world.alice, room, f"m{number}")
    await world.start()
    assert [act.text for act in world.took if isinstance(act, Request)] == [f"m{n}" for n in range(130)]
    assert all(0 <= act.age < 60 for act in world.took)


async def test_a_failure_of_the_house_loses_nothing(world: World) -> None:
    """What could not be taken in comes again."""
    await world.start()
    room = await world.room(world.alice)
    await world.matrix.stop()
    fails = iter([True, True, False, False, False])

    async def receive(act: Incoming) -> None:
        if next(fails):
            raise OSError("disk full")
        await world.receive(act)

    await world.says(world.alice, room, "!once")
    matrix = world.made()
    with pytest.raises(OSError, match="disk full"):
        await matrix.start(receive, world.shelf)
    await world.made().start(world.receive, world.shelf)
    (request,) = await world.next(Request)
    assert request.text == "!once"


async def test_a_vote_taken_back_after_a_restart_is_known(world: World) -> None:
    """SAFETY 6: a redaction names only the reaction's event, whose content is gone by then."""
    await world.start()
    room = await world.room(world.alice, world.bob)
    card = await world.matrix.post(room, said("card"), key="k")
    vote = await world.reacts(world.alice, room, card, "✅")
    (added,) = await world.next(Reaction)
    assert (added.user, added.emoji, added.added, added.message_id) == (world.alice.user, "✅", True, card)
    await world.matrix.stop()
    await world.redacts(world.alice, room, vote)
    await world.start()
    (gone,) = await world.next(Reaction)
    assert (gone.user, gone.emoji, gone.added, gone.message_id) == (world.alice.user, "✅", False, card)
    assert gone.event_id != added.event_id
    assert await world.matrix.reactions(room, card) == {}


async def test_only_the_author_edits_a_message(world: World) -> None:
    """Homeservers pass on everybody's edit of everything."""
    await world.start()
    room = await world.room(world.alice, world.eve)
    mine = await world.says(world.alice, room, "mine")
    await world.next(Request)
    await world.matrix.stop()
    await world.start()  # which has not seen who wrote it
    relation = {"rel_type": "m.replace", "event_id": mine}
    for who, text in ((world.eve, "forged"), (world.alice, "mended")):
        new = {"msgtype": "m.text", "body": text}
        await world.says(who, room, f"* {text}", **{"m.relates_to": relation, "m.new_content": new})
    (edit,) = await world.next(Edit)
    assert (edit.text, edit.message_id) == ("mended", mine)
    await world.redacts(world.alice, room, mine)
    (gone,) = await world.next(Deletion)
    assert gone.message_id == mine


async def test_invitations_of_strangers_are_refused(world: World) -> None:
    """SAFETY 26: the bot goes where people of the configuration ask it to, and nowhere else."""
    await world.start()
    rooms = {}
    for who in (world.eve, world.alice):
        made = await world.call(who, "POST", "/createRoom", {"invite": [world.bot.user], "is_direct": True})
        rooms[who.user] = made["room_id"]
    await until(lambda: world.bot.user in _members(world, rooms[world.alice.user]))
    path = f"/rooms/{quote(rooms[world.eve.user])}/state/m.room.member/{quote(world.bot.user)}"
    assert (await world.call(world.eve, "GET", path))["membership"] == "leave"
    await world.says(world.alice, rooms[world.alice.user], "help")
    (request,) = await world.next(Request)
    assert request.direct


async def test_an_invitation_that_another_client_of_the_bot_s_account_accepts(world: World) -> None:
    """As where the bot died between going in and keeping what the room is: it is for direct messages all the same."""
    await world.start()
    await world.matrix.stop()
    made = await world.call(
        world.alice, "POST", "/createRoom", {"invite": [world.bot.user], "is_direct": True}
    )
    await world.call(world.bot, "POST", f"/join/{quote(made['room_id'])}")
    await world.start()
    await world.says(world.alice, made["room_id"], "help")
    (request,) = await world.next(Request)
    assert request.direct


async def test_only_listed_homeservers_act(world: World) -> None:
    """SAFETY 23: by whole user ids; an account of another server is none of the configuration's."""
    listed = world.made(servers=["partner.example"])
    assert listed.directory.barred("@x:partner.example") == ""
    assert listed.directory.barred(world.alice.user) == ""
    for user in ("@x:other.example", f"{world.alice.user}.evil", "@x:evil.partner.example", "nobody"):
        assert listed.directory.barred(user) == "an account of another homeserver"
        assert not await listed.active(user)


async def test_configured_rooms_are_known_by_name(world: World) -> None:
    """The bot goes into an open one; one that lets it not in is none that it can see."""
    alias = f"ops-{world.tag}"
    body = {"preset": "public_chat", "room_alias_name": alias}
    made = await world.call(world.alice, "POST", "/createRoom", body)
    assert await world.matrix.channel_id(f"#{alias}") == made["room_id"]
    assert world.bot.user in _members(world, made["room_id"])
    assert await world.matrix.title(made["room_id"]) == alias
    hidden = {"preset": "private_chat", "room_alias_name": f"x{alias}"}
    await world.call(world.alice, "POST", "/createRoom", hidden)
    assert await world.matrix.channel_id(f"x{alias}") is None
    assert await world.matrix.channel_id("#nothing at all") is None


# -- trouble --------------------------------------------------------------------------------------


async def test_limits_are_obeyed(tmp_path: Path) -> None:
    """M_LIMIT_EXCEEDED says how long to wait; buttons wait by themselves, and no message waits for them."""
    with Synapse(limits="strict") as server:
        world = World(server, tmp_path)
        room = await world.room(world.alice)
        waited: list[float] = []
        for number in range(8):
            try:
                await world.matrix.post(room, said("x"), key=f"k{number}")
            except RetryLaterError as error:
                waited.append(error.seconds)
        assert waited
        assert all(0 < seconds < 10 for seconds in waited)
        await world.close()


async def test_a_homeserver_that_is_away_is_waited_for(tmp_path: Path) -> None:
    with Synapse() as server:
        world = World(server, tmp_path)
        await world.start()
        room = await world.room(world.alice)
        await asyncio.to_thread(server.stop)
        with pytest.raises(UnavailableError):
            await world.matrix.post(room, said("x"), key="k")
        await asyncio.to_thread(server.start)
        await world.says(world.alice, room, "!back")
        (request,) = await world.next(Request)
        assert request.text == "!back"
        assert await world.matrix.post(room, said("x"), key="k")
        await world.close()


async def test_a_wrong_token_says_what_to_do(world: World) -> None:
    with pytest.raises(DeliveryError, match="watchbell login matrix"):
        await world.made(access_token="syt_wrong").start(world.receive)
    with pytest.raises(DeliveryError, match="not of"):
        await world.made(access_token=world.eve.token).start(world.receive)
    with pytest.raises(ValueError, match="folder"):
        world.made(encrypted=True)


# -- encryption -----------------------------------------------------------------------------------


async def test_an_encrypted_room_is_read_by_those_in_it(world: World, tmp_path: Path) -> None:
    """Cards, their edits and files are encrypted for everybody who was invited; the server sees none of it."""
    keys = {"store": tmp_path / "keys", "encrypted": True}
    await world.start(**keys)
    alice = await world.person(world.alice)
    room = await world.room()
    await world.matrix.arrange(room, invite=(world.alice.user,))
    card = await world.matrix.post(room, said("card", ACK), key="k")
    raw = await world.call(world.bot, "GET", f"/rooms/{quote(room)}/event/{quote(card)}")
    assert raw["type"] == "m.room.encrypted"
    assert await world.matrix.find(room, "k") == card
    await world.joins(world.alice, room)
    assert "card\n1️⃣ Acknowledge (!ack)" in [getattr(e, "body", "") for e in await looked(alice, room)]
    await encrypted(alice, room, "!ack now")
    await world.matrix.edit(room, card, said("edited", ACK))
    await world.reacts(world.alice, room, card, "1️⃣")
    (press,) = await world.next(Press)
    (request,) = await world.next(Request)
    assert (request.text, request.barred, press.value) == ("!ack now", "", "/ack")
    file = await world.matrix.upload(room, Upload("a.txt", b"secret"), said("see"), key="f")
    assert await world.matrix.fetch(f"{room} {file}") == b"secret"


async def test_keys_survive_a_restart_and_new_devices_are_met(world: World, tmp_path: Path) -> None:
    keys = {"store": tmp_path / "keys", "encrypted": True}
    await world.start(**keys)
    alice = await world.person(world.alice)
    room = await world.room(world.alice)
    await world.matrix.post(room, said("one"), key="k1")
    await looked(alice, room)
    await world.matrix.stop()
    phone = await world.person(world.server.login(f"alice-{world.tag}"))
    await looked(alice, room)
    await encrypted(alice, room, "while away")
    await looked(phone, room)
    await encrypted(phone, room, "from my phone")
    await world.start(**keys)
    requests = await world.next(Request, 2)
    assert [(r.text, r.barred) for r in requests] == [("while away", ""), ("from my phone", "")]
    await world.matrix.post(room, said("two"), key="k2")
    assert "two" in [getattr(e, "body", "") for e in await looked(phone, room)]
    assert await world.matrix.find(room, "k1") is not None
    history = await world.matrix.history(room, 3_600)
    assert [act.text for act in history if isinstance(act, Request)] == ["while away", "from my phone"]


async def test_what_is_not_proved_is_barred(world: World, tmp_path: Path) -> None:
    """SAFETY 24: in an encrypted room nothing comes in the clear; what comes from no trusted device proves little."""
    await world.start(store=tmp_path / "keys", encrypted=True)
    room = await world.room(world.alice, world.eve)
    await world.says(world.alice, room, "!forged by the server")
    eve = await world.person(world.eve)
    await looked(eve, room)
    await encrypted(eve, room, "!eve")
    requests = await world.next(Request, 2)
    assert [(request.barred, request.assured) for request in requests] == [(IN_THE_CLEAR, False), ("", False)]


async def test_what_cannot_be_decrypted_is_told_as_such(world: World, tmp_path: Path) -> None:
    """The position is held until the key comes or is given up, so that a restart does not forget the message."""
    await world.start(store=tmp_path / "keys", encrypted=True)
    room = await world.room(world.alice)
    content = {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": "AwgAEnACgAk",
        "sender_key": "x",
        "session_id": "unknown",
        "device_id": "D",
    }
    sealed = await world.send(world.alice, room, "m.room.encrypted", content)
    await until(lambda: sealed in world.matrix.inbound._sealed)
    held = world.shelf.kept["since"]
    await world.matrix.stop()
    await world.start(store=tmp_path / "keys", encrypted=True)
    assert sealed in world.matrix.inbound._sealed
    assert world.shelf.kept["since"] == held
    await world.matrix.stop()
    await world.start()  # without keys nothing is waited for
    (request,) = await world.next(Request)
    assert (request.text, request.message_id) == (UNREADABLE, sealed)
    with pytest.raises(DeliveryError, match="key store"):
        await world.matrix.post(room, said("x"), key="k")


async def test_a_first_start_that_is_repeated_replays_nothing(world: World) -> None:
    """A process that ended before it could keep its position is followed by one that begins at its own time."""
    room = await world.room(world.alice)
    await world.start()
    await world.matrix.stop()
    await world.says(world.alice, room, "!between")
    world.shelf.kept.clear()
    await world.start()
    await world.says(world.alice, room, "!now")
    (request,) = await world.next(Request)
    assert request.text == "!now"
