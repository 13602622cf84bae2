"""What is looked at in a MongoDB, and operations that are ended there, each once and no other one."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Code, Int64, ObjectId

from bot.targets import mongo_changes
from commands.actions import Plan, Target, TargetError
from commands.dispatch import drift
from incidents.ports import RefusedError
from tests.servers.mongo_server import StandIn
from tests.servers.mongo_stand_in import BEGAN, NOW
from tests.targets.conftest import progress
from tests.targets.mongo_world import fields, fresh, on_mongo, target_of

Make = Callable[..., Target]


@pytest.fixture
def server() -> StandIn:
    """The stand-in as new."""
    return fresh()


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes targets: `make(port, …, databases={…}, timeout="1s", …)`."""
    made: list[Any] = []

    def build(*ports: int, databases: Any = None, **more: Any) -> Target:
        made.append(target_of(on_mongo(fields(*ports, **more), databases), tmp_path))
        return made[-1]

    yield build
    for target in made:
        await target.stop()


@pytest.fixture
def target(make: Make, server: StandIn) -> Target:
    """The target of the stand-in, straight."""
    return make(server.port)


async def rows(target: Target, verb: str, **args: Any) -> list[tuple[str, ...]]:
    """What stands in the table of an answer."""
    table = (await target.read(verb, **args)).table
    return list(table.rows) if table is not None else []


async def run(target: Target, plan: Plan, key: str = "wb-1") -> Any:
    return await target.run(plan, key=key, progress=progress)


# -- looking ----------------------------------------------------------------------------------------


async def test_status_says_what_is_known(target: Target) -> None:
    found = dict(await rows(target, "status"))
    assert found["version"] == "8.0.4"
    assert found["role"] == "standalone"
    assert found["up for"] == "2 h"
    assert found["connections"] == "12, 838848 left"
    assert found["query since start"] == "1,200"


async def test_what_runs_is_shown_without_its_values(target: Target, server: StandIn) -> None:
    """The longest first; the bot's own questions and MongoDB's own work are left out."""
    long = server.begins(microsecs_running=Int64(90_000_000_000))
    server.begins(
        command={"find": "people", "filter": {"email": "a@b.c", "$or": [{"age": 1}]}}, ns="shop.people"
    )
    server.begins(appName="watchbell")
    server.begins(client=None, desc="TTLMonitor", ns="shop.sessions")
    server.begins(ns="local.oplog.rs", appName="OplogFetcher")
    server.begins(effectiveUsers=[{"user": "__system", "db": "local"}])
    server.begins(active=False)
    server.begins(command={"$truncated": "{ find: 'x', filter: { token: 'abc' }"}, op="getmore", opid=-1)
    found = await rows(target, "ops")
    assert [row[0] for row in found] == [long, "1002", "4294967295"]
    assert found[0][1:] == ("1 d 1 h", "find shop.orders by status", "COLLSCAN")
    assert found[1][2] == "find shop.people by age, email"
    assert found[2][2] == "getmore shop.orders"
    assert "a@b.c" not in str(found)
    assert "abc" not in str(found)


async def test_nothing_runs(target: Target) -> None:
    found = await target.read("ops")
    assert (found.headline, found.table) == ("MongoDB shop · 0 operations", None)


async def test_indexes_and_the_way_of_a_query(target: Target, server: StandIn) -> None:
    keys = {"status": -1, "text": "text"}
    index = {"v": 2, "key": keys, "name": "both", "unique": True, "expireAfterSeconds": 3600}
    server.does("index", ns="shop.subscriptions", index=index | {"partialFilterExpression": {"secret": "x"}})
    found = await rows(target, "indexes", collection="subscriptions")
    assert found[1] == ("user_1", "user ↑", "")
    assert found[2] == ("both", "status ↓, text text", "unique, partial, expires after 1 h")
    told = await target.read("explain", collection="subscriptions", filter='{"user": 3}')
    assert "uses an index" in told.headline
    assert told.lines == ("FETCH ← IXSCAN user_1",)
    told = await target.read("explain", collection="subscriptions", filter='{"email": "x"}')
    assert "reads the whole collection" in told.headline
    assert "No index fits" in told.lines[1]
    with pytest.raises(TargetError, match="has no such collection"):
        await target.read("indexes", collection="nothing")


@pytest.mark.parametrize("name", ["system.users", ".x", "x."])
async def test_collections_that_are_mongodbs_own(target: Target, name: str) -> None:
    for verb in ("indexes", "explain", "find"):
        with pytest.raises(RefusedError, match="no collection that I look into"):
            await target.read(verb, collection=name, filter="{}")


# -- documents --------------------------------------------------------------------------------------


async def found(target: Target, filter_: str, name: str = "subscriptions") -> list[Any]:
    """The documents of a find that needs no approval."""
    text = (await target.read("find", collection=name, filter=filter_)).text
    return [json.loads(line) for line in text.splitlines()]


async def test_readable_fields_are_shown_at_once(target: Target) -> None:
    """These alone, and only to a filter that names no others."""
    expected = {"user": 3, "status": "active", "plan": {"name": "team"}}
    assert await found(target, '{"user": 3}') == [expected]
    many = await target.read("find", collection="subscriptions", filter="{}")
    assert "more than 20 documents" in many.headline
    assert len(many.text.splitlines()) == 20
    assert "@example.com" not in many.text
    for filter_ in ('{"email": "person3@example.com"}', '{"_id": 3}'):
        assert (await target.read("readable", collection="subscriptions", filter=filter_)).private
        with pytest.raises(RefusedError, match="after an approval only"):
            await target.read("find", collection="subscriptions", filter=filter_)
    assert not (await target.read("readable", collection="subscriptions", filter='{"user": 1}')).private


async def test_all_else_is_shown_after_an_approval(target: Target) -> None:
    """The plan holds the filter in one form, and no documents."""
    plan = await target.plan(
        "find", collection="subscriptions", filter="{ “email” :\n “person3@example.com” }"
    )
    assert plan.private
    assert plan.line == 'mongo find subscriptions {"email": "person3@example.com"}'
    assert drift(plan, *await target.observe(plan)) == []
    assert await target.plan("find", **plan.args) == plan
    outcome = await run(target, plan)
    assert outcome.kind == "done"
    assert json.loads(outcome.answer.text)["plan"] == {"name": "team", "price": 4900}
    assert "4900" not in json.dumps(plan.to_data())
    assert await target.follow(plan, key="wb-1", progress=progress) is None


async def test_a_filter_with_a_password_is_not_written_down(target: Target) -> None:
    with pytest.raises(RefusedError, match="something like a password"):
        await target.plan("find", collection="people", filter='{"password": "Sw0rdfish-4711"}')


async def test_documents_are_shown_without_their_secrets(target: Target, server: StandIn) -> None:
    """By the name of a field, whatever it holds, and by what a text looks like; bytes are counted."""
    number, made = uuid.UUID(int=7), ObjectId("0123456789abcdef01234567")
    server.holds(
        "shop.people",
        {
            "_id": made,
            "password": "hunter2-x",
            "pin_token": 123456,
            "credentials": {"user": "a", "value": "hunter2-y"},
            "note": "the password is hunter2-z!",
            "photo": Binary(b"hunter2-w" * 3),
            "uuid": Binary.from_uuid(number),
            "code": Code("password=hunter2-v"),
            "at": NOW,
            "big": Int64(2**40),
            "name": "\u202eevil\n<b>",
        },
    )
    outcome = await run(target, await target.plan("find", collection="people", filter="{}"))
    text = outcome.answer.text
    assert "hunter2" not in text
    shown = json.loads(text)
    assert shown["password"] == shown["pin_token"] == shown["credentials"] == "‹redacted›"
    assert shown["photo"] == "‹27 bytes›"
    assert shown["uuid"] == str(number)
    assert shown["_id"] == {"$oid": str(made)}
    assert (shown["at"], shown["big"]) == ({"$date": "2026-01-03T02:30:00Z"}, 2**40)
    assert "\u202e" not in text


async def test_documents_that_are_too_much(target: Target, server: StandIn) -> None:
    """10 MB, hundreds of levels, bytes that are no UTF-8, one of many fields: bounded, and the others are shown."""
    deep: dict[str, Any] = {}
    for _ in range(90):
        deep = {"a": deep}
    server.holds(
        "shop.odd",
        {"_id": 1, "text": "x" * 10 * 1024**2},
        {"_id": 2, "deep": deep},
        {"_id": 3, "text": "sent without UTF-8"},
        {"_id": 4, **{f"field{n}": n for n in range(900)}},
    )
    outcome = await run(target, await target.plan("find", collection="odd", filter="{}"))
    lines = outcome.answer.text.splitlines()
    assert lines[0] == "a document of 10240 KiB, which is too large to be shown"
    assert "…" in lines[1]
    assert "out UTF-8" in lines[2]
    assert lines[3].endswith("…")
    assert all(len(line) <= 2001 for line in lines)


# -- ending operations --------------------------------------------------------------------------------


async def test_an_operation_is_ended_once(target: Target, server: StandIn) -> None:
    """The card says whose it is and since when; the server hears the key; what is running proves it."""
    op, other = server.begins(), server.begins()
    plan = await target.plan("killop", op=op)
    assert plan.summary == f"MongoDB shop end operation {op} (find shop.orders by status)"
    assert plan.notes[0] == "from checkout at 10.0.0.7:51234, since 2026-01-03 02:00:00 UTC"
    assert plan.undo is None
    outcome = await run(target, plan)
    assert (outcome.kind, outcome.text) == ("done", f"operation {op} has ended")
    assert server.running() == [other]
    assert server.kills("wb-1") == server.kills() == 1
    assert not await target.cancel(plan, key="wb-1")


async def test_numbers_beyond_31_bits_are_sent_as_the_server_takes_them(
    target: Target, server: StandIn
) -> None:
    op = server.begins(opid=-2)
    assert op == "4294967294"
    assert (await run(target, await target.plan("killop", op=op))).kind == "done"
    assert server.does("kills")["kills"][0]["op"] == -2


async def test_an_index_build_says_what_is_lost(target: Target, server: StandIn) -> None:
    op = server.begins(command={"createIndexes": "orders"}, op="command")
    assert "thrown away" in (await target.plan("killop", op=op)).notes[-1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"appName": "watchbell"}, "is one of mine"),
        ({"client": None}, "MongoDB's own"),
        ({"ns": "local.oplog.rs"}, "MongoDB's own"),
        ({"effectiveUsers": [{"user": "__system", "db": "local"}]}, "MongoDB's own"),
        ({"active": False}, "no operation"),
        ({"currentOpTime": None}, "since when"),
        ({"microsecs_running": None}, "since when"),
        ({"currentOpTime": "soon"}, "since when"),
    ],
)
async def test_what_is_left_alone(target: Target, server: StandIn, given: dict[str, Any], told: str) -> None:
    op = server.begins(**given)
    with pytest.raises((RefusedError, TargetError), match=told):
        await target.plan("killop", op=op)
    assert server.kills() == 0


@pytest.mark.parametrize("op", ["0x10", "1e3", "shard1:17", "4294967296", "99999999999", "1" * 40])
async def test_what_is_no_number_is_refused(target: Target, op: str) -> None:
    with pytest.raises(RefusedError, match="whole number"):
        await target.plan("killop", op=op)
    with pytest.raises(RefusedError, match="no operation"):
        await target.plan("killop", op="7")


@pytest.mark.parametrize(
    "now",
    [
        {"client": "10.0.0.9:1"},
        {"connectionId": 18},
        {"ns": "shop.people"},
        {"command": {"update": "orders"}},
        {"currentOpTime": (NOW + timedelta(seconds=3)).isoformat()},
    ],
)
async def test_safety_14_another_operation_of_that_number_is_left_alone(
    target: Target, server: StandIn, now: dict[str, Any]
) -> None:
    """Whose it is, on which connection, what it does and when it began have to be the same."""
    op = server.begins()
    plan = await target.plan("killop", op=op)
    server.begins(opid=int(op), **now)
    assert drift(plan, *await target.observe(plan))
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await run(target, plan)
    assert server.kills() == 0


async def test_safety_14_a_little_more_or_less_is_the_same_operation(target: Target, server: StandIn) -> None:
    """When it began is computed from how long it runs, a little different each time."""
    op = server.begins()
    plan = await target.plan("killop", op=op)
    later = BEGAN + timedelta(minutes=40, milliseconds=-700)
    server.begins(opid=int(op), currentOpTime=later.isoformat(), microsecs_running=Int64(40 * 60 * 1_000_000))
    assert drift(plan, *await target.observe(plan)) == []
    assert (await run(target, plan)).kind == "done"


async def test_safety_14_a_server_that_was_started_again_is_another_one(
    target: Target, server: StandIn
) -> None:
    op = server.begins()
    plan = await target.plan("killop", op=op)
    server.does("set", process=ObjectId())
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await run(target, plan)
    assert await target.follow(plan, key="wb-1", progress=progress) is None
    assert server.kills() == 0


async def test_a_clock_that_is_set_ends_no_operation(
    target: Target, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it began is computed by the server's clock: set meanwhile, the operation seems to be a later one."""
    monkeypatch.setattr(mongo_changes, "_GIVEN_UP", 1.0)
    op = server.begins()
    server.does("set", endless=True)
    plan = await target.plan("killop", op=op)
    running = asyncio.create_task(run(target, plan))
    while not await asyncio.to_thread(server.kills):
        pass
    later = (NOW + timedelta(seconds=5)).isoformat()
    server.begins(opid=int(op), currentOpTime=later, killPending=True)
    outcome = await running
    assert outcome.kind == "unknown"
    assert "still runs after" in outcome.text


async def test_an_operation_that_does_not_end_is_unknown(
    target: Target, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told to end and still there: unknown, and never told again; following waits for one that is ending."""
    monkeypatch.setattr(mongo_changes, "_GIVEN_UP", 0.1)
    op = server.begins()
    server.does("set", endless=True)
    plan = await target.plan("killop", op=op)
    outcome = await run(target, plan)
    assert outcome.kind == "unknown"
    assert "still runs after" in outcome.text
    assert (await rows(target, "ops"))[0][3] == "is ending"
    followed = await target.follow(plan, key="wb-1", progress=progress)
    assert followed is not None
    assert followed.kind == "unknown"
    server.ends(op)
    followed = await target.follow(plan, key="wb-1", progress=progress)
    assert followed is not None
    assert followed.kind == "done"
    assert server.kills() == 1


# -- replica sets and clusters ----------------------------------------------------------------------


@pytest.fixture
def members() -> Any:
    """Two members of a replica set; the first is its primary."""
    one, two = fresh(), StandIn()
    yield one, two
    two.end()


def elected(primary: StandIn, secondary: StandIn) -> None:
    """Who is what in the replica set."""
    hosts = sorted(f"127.0.0.1:{each.port}" for each in (primary, secondary))
    for each in (primary, secondary):
        me = f"127.0.0.1:{each.port}"
        role = {"isWritablePrimary": each is primary, "secondary": each is secondary}
        each.does("set", member={"setName": "rs0", "hosts": hosts, "me": me, "setVersion": 1, **role})


async def test_a_replica_set_is_asked_at_its_primary(make: Make, members: Any) -> None:
    one, two = members
    elected(one, two)
    target = make(one.port, two.port)
    op = one.begins()
    two.begins(opid=int(op))
    assert "answers, primary" in (await target.read("status")).headline
    assert dict(await rows(target, "status"))["replica set"] == "rs0, 2 members with data"
    assert (await run(target, await target.plan("killop", op=op))).kind == "done"
    assert (one.kills("wb-1"), two.kills()) == (1, 0)


async def test_safety_14_after_a_failover_the_same_number_is_another_operation(
    make: Make, members: Any
) -> None:
    """The new primary runs something else under it."""
    one, two = members
    elected(one, two)
    target = make(one.port, two.port)
    op = one.begins()
    two.begins(opid=int(op))
    plan = await target.plan("killop", op=op)
    elected(two, one)
    await target.stop()  # type: ignore[attr-defined]
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await run(target, plan)
    assert (one.kills(), two.kills()) == (0, 0)


async def test_one_address_is_one_server(make: Make, members: Any) -> None:
    """A secondary can be named, and is looked at itself."""
    one, two = members
    elected(one, two)
    target = make(two.port)
    op = two.begins()
    assert "answers, secondary" in (await target.read("status")).headline
    assert (await run(target, await target.plan("killop", op=op))).kind == "done"
    assert two.kills() == 1


async def test_a_router_is_looked_at_only(target: Target, server: StandIn) -> None:
    """Operations of a cluster are numbered by shard, and ended there."""
    server.does("set", member={"msg": "isdbgrid"})
    server.begins(opid="shard1:17")
    assert "router of a sharded cluster" in (await target.read("status")).headline
    assert (await rows(target, "ops"))[0][0] == "shard1:17"
    with pytest.raises(RefusedError, match="router of a sharded cluster"):
        await target.plan("killop", op="17")


async def test_several_databases_are_told_apart(make: Make, server: StandIn) -> None:
    """Each by its name, and the line of a plan says which."""
    target = make(server.port, databases={"shop": {}, "crm": {"database": "crm", "readable": {}}})
    server.holds("crm.subscriptions", {"user": 1})
    op = server.begins()
    assert (await target.plan("killop", op=op, name="crm")).line == f"mongo killop {op} name=crm"
    assert (await target.read("readable", name="crm", collection="subscriptions", filter="{}")).private
    plan = await target.plan("find", name="crm", collection="subscriptions", filter="{}")
    assert "1 document of subscriptions" in (await run(target, plan)).answer.headline
    with pytest.raises(RefusedError, match="There is no MongoDB called"):
        await target.read("status", name="shopp")


# -- check --------------------------------------------------------------------------------------------

LOOKS = {"resource": {"cluster": True}, "actions": ["inprog", "serverStatus"]}
ENDS = {"resource": {"cluster": True}, "actions": ["killop"]}
FINDS = {"resource": {"db": "shop", "collection": ""}, "actions": ["find", "listIndexes"]}


@pytest.mark.parametrize(
    ("privileges", "told"),
    [
        ([LOOKS, ENDS, FINDS], "ok: may look, end operations, and nothing else"),
        ([LOOKS, FINDS], "wrong: lacks killop"),
        ([LOOKS, ENDS], "wrong: lacks find in shop"),
        ([LOOKS, ENDS, {**FINDS, "actions": ["find", "update"]}], "wrong: may update; give the bot one"),
        ([{"resource": {"anyResource": True}, "actions": ["anyAction"]}], "wrong: may anyAction"),
        ([], "wrong: lets everybody do everything"),
    ],
)
async def test_check_says_what_the_user_may(
    target: Target, server: StandIn, privileges: list[Any], told: str
) -> None:
    server.does("set", privileges=privileges)
    lines = [line async for line in target.guarded.check()]  # type: ignore[attr-defined]
    assert "MongoDB 8.0.4 at 127.0.0.1" in str(lines[0])
    mark, _, words = told.partition(": ")
    assert any(words in str(line) and str(line).startswith(mark) for line in lines[1:]), lines
