"""The homeserver of the tests: it starts, people act on it, its clock is set, and its limits answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from bot.platforms.console_people import NotPossibleError
from tests.servers.matrix_people import MatrixPeople
from tests.servers.matrix_view import path
from tests.servers.synapse import Account, Limits, MatrixError, Synapse, running, shared

FLOOD = 30  # messages
NIGHT = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)


@pytest.fixture(params=["12", "11"])
def server(request: pytest.FixtureRequest) -> Iterator[Synapse]:
    """A homeserver whose new rooms are of a version; its clock runs."""
    found = shared(request.param)
    yield found
    found.run_clock()


@pytest.fixture
def people(server: Synapse) -> MatrixPeople:
    """Alice and Bob, in nobody's room yet."""
    found = MatrixPeople(server, lambda: NIGHT)
    found.joins([("alice", "Alice"), ("bob", "Bob")])
    return found


async def test_people_talk_thread_react_edit_and_delete(server: Synapse, people: MatrixPeople) -> None:
    """What one does, the other sees as Matrix shows it."""
    ops = people.creates("ops", members=["alice", "bob"])
    version = server.call("GET", f"/rooms{path(ops)}/state/m.room.create/", people.bot)["room_version"]
    assert version == server.room_version
    asked = await people.says("alice", ops, "Redis is down")
    answer = await people.says("bob", ops, "looking", asked)
    more = await people.says("alice", ops, "and?", answer)
    await people.reacts("bob", asked, "👀")
    await people.reacts("alice", asked, "✅")
    await people.reacts("alice", asked, "✅", added=False)
    await people.edits("bob", answer, "found it")
    gone = await people.says("bob", ops, "nonsense")
    await people.deletes("bob", gone)
    view = people.view("alice")
    view.refresh()
    shown = [(p.text, p.thread, p.edited, p.deleted) for p in view.posts(ops)]
    assert shown == [
        ("Redis is down", None, False, False),
        ("found it", asked, True, False),
        ("and?", asked, False, False),
        ("", None, False, True),
    ]
    assert list(view.posts(ops)[0].reactions.values()) == [("👀", people.user("bob"))]
    found = people.newest(containing="AND?", channel=ops, author="alice")
    assert found is not None
    assert found.id == more


async def test_a_button_is_tapped_and_tapped_again(server: Synapse, people: MatrixPeople) -> None:
    """A tap is a reaction; a second one takes the first back. What has no reaction is typed."""
    ops = people.creates("ops", members=["alice"])
    buttons = [
        {"label": "Acknowledge", "value": "/ack", "emoji": "1️⃣"},
        {"label": "Update", "value": "/update"},
    ]
    content = {"msgtype": "m.notice", "body": "Redis is down\n1️⃣ Acknowledge (!ack) · Update (!update)"}
    where = f"/rooms{path(ops)}/send/m.room.message/1"
    card = server.call("PUT", where, people.bot, {**content, "org.watchbell.buttons": buttons})["event_id"]
    seen = people.newest(button="acknowledge", seen_by="alice")
    assert seen is not None
    assert (seen.id, seen.text) == (card, "Redis is down")
    taps = []
    for _ in range(2):
        await people.presses("alice", card, "Acknowledge")
        people.view("alice").refresh()
        post = people.view("alice").post(card)
        assert post is not None
        taps.append(list(post.reactions.items()))
    ((first, tap),), ((second, again),) = taps
    assert tap == again == ("1️⃣", people.user("alice"))
    assert first != second
    await people.presses("alice", card, "Update")
    typed = people.newest(author="alice")
    assert typed is not None
    assert typed.text == "/update"
    with pytest.raises(NotPossibleError, match="no button"):
        await people.presses("alice", card, "Resolve")


async def test_who_is_not_in_a_room_goes_in_where_it_is_open(people: MatrixPeople) -> None:
    """Whoever is invited is in; a private room takes nobody else."""
    ops, secret = people.creates("ops"), people.creates("secret", members=["alice"], private=True)
    assert people.channel_named("#ops") == ops
    await people.says("bob", ops, "hello")
    assert await people.says("alice", secret, "hello")
    with pytest.raises(NotPossibleError, match="not in"):
        await people.says("bob", secret, "hello")
    people.beside.refresh()
    assert people.beside.rooms[secret].joined == {people.user("alice"), people.bot.user}


async def test_accounts_and_names_begin_anew(server: Synapse, people: MatrixPeople) -> None:
    """The same server serves one test after the other: other accounts, and the names of rooms are free."""
    before = people.creates("ops", members=["alice"])
    await people.says("alice", before, "hello")
    fresh = MatrixPeople(server, lambda: NIGHT)
    fresh.joins([("alice", "Alice")])
    assert fresh.user("alice") != people.user("alice")
    assert fresh.channel_named("ops") is None
    after = fresh.creates("ops", members=["alice"])
    assert after != before
    assert fresh.newest(seen_by="alice") is None


async def test_people_write_and_read_encrypted(server: Synapse) -> None:
    """Who is there reads it, whoever comes later from then on, and the server knows none of it."""
    people = MatrixPeople(server, lambda: NIGHT, encrypted=True)
    people.joins([("alice", "Alice"), ("bob", "Bob"), ("carol", "Carol")])
    ops = people.creates("ops", members=["alice", "bob"])
    asked = await people.says("alice", ops, "Redis is down")
    await people.says("carol", ops, "what is?", asked)
    await people.edits("alice", asked, "Redis is slow")
    await people.says("bob", ops, "looking", asked)
    told = {name: people.view(name) for name in ("alice", "bob", "carol")}
    for view in (*told.values(), people.beside):
        view.refresh()
        assert view.bare == []
    everything = [("Redis is slow", None), ("what is?", asked), ("looking", asked)]
    assert [(p.text, p.thread) for p in told["bob"].posts(ops)] == everything
    assert [(p.text, p.thread) for p in people.beside.posts(ops)] == everything
    assert [p.text for p in told["carol"].posts(ops)] == ["what is?", "looking"]
    assert [event["event_id"] for event in told["carol"].unreadable] == [asked]
    stored = server.call("GET", f"/rooms{path(ops)}/messages", people.bot, dir="b", limit=100)["chunk"]
    assert "m.room.encrypted" in {event["type"] for event in stored}
    assert not {"Redis is down", "looking"} & {event["content"].get("body") for event in stored}


async def test_the_clock_of_events_stands_or_runs_ahead(server: Synapse, people: MatrixPeople) -> None:
    """A stopped clock still tells which event came first, and says that none is older than nothing."""
    ops = people.creates("ops", members=["alice"])
    view = people.view("alice")
    view.refresh()
    server.set_clock(NIGHT.timestamp())
    for text in ("one", "two"):
        await people.says("alice", ops, text)
    view.refresh()
    events = [event for _, event in view.events[-2:]]
    stamps = [event["origin_server_ts"] - int(NIGHT.timestamp() * 1000) for event in events]
    assert stamps == [1, 2]
    assert all(event["unsigned"]["age"] <= 0 for event in events)
    server.set_clock(NIGHT.timestamp() + 90)
    chunk = server.call("GET", f"/rooms{path(ops)}/messages", people.bot, dir="b", limit=1)["chunk"]
    assert chunk[0]["unsigned"]["age"] == pytest.approx(90_000, abs=10)


def test_what_was_said_outlives_the_server() -> None:
    """Stopped gently or killed, it goes on with what it had, at the same address."""
    with Synapse() as own:
        alice = own.register("alice", "Alice")
        room = own.call("POST", "/createRoom", alice, {"name": "ops"})["room_id"]
        for kill in (False, True):
            own.stop(kill=kill)
            own.start()
            assert own.call("GET", f"/rooms{path(room)}/state/m.room.name/", alice) == {"name": "ops"}


@pytest.mark.parametrize("limits", ["strict", "default"])
def test_a_server_with_limits_says_so(limits: Limits) -> None:
    """M_LIMIT_EXCEEDED says how long to wait; who is exempt has no limit."""
    for own in running(limits):
        alice = own.register("alice", "Alice")
        room = own.call("POST", "/createRoom", alice, {"name": "ops"})["room_id"]
        with pytest.raises(MatrixError) as caught:
            _flood(own, alice, room, "slow")
        assert (caught.value.status, caught.value.code) == (429, "M_LIMIT_EXCEEDED")
        assert caught.value.wait is not None
        assert 0 < caught.value.wait <= 10
        own.unlimited(alice.user)
        assert _flood(own, alice, room, "fast") == FLOOD


def _flood(server: Synapse, account: Account, room: str, mark: str) -> int:
    """How many messages were sent, one upon the other."""
    for number in range(FLOOD):
        body = {"msgtype": "m.text", "body": str(number)}
        server.call("PUT", f"/rooms{path(room)}/send/m.room.message/{mark}-{number}", account, body)
    return FLOOD
