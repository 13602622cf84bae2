"""What a real Redis is told to do: bounded, counted, once, and what can be brought back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.clock import VirtualClock
from bot.targets import redis_dumps
from commands.actions import Outcome, Plan, Target, TargetError
from commands.dispatch import drift
from incidents.ports import RefusedError
from tests.contracts.redis_rig import GIB
from tests.servers.cable import Cable
from tests.servers.redis_server import RedisServer
from tests.targets.conftest import Make, progress


async def ran(target: Target, plan: Plan) -> Outcome:
    return await target.run(plan, key="wb-1", progress=progress)


@pytest.mark.parametrize(
    "size", ["63mb", "1025gb", "-1", "1e9", "NaN", "4.5gb", "4 gb", "４gb", "", "1tb", "1"]
)
async def test_safety_18_sizes_are_whole_and_bounded(target: Target, size: str) -> None:
    with pytest.raises(RefusedError, match=r"64mb to 1024gb|a number and a unit \(kb, mb or gb\)"):
        await target.plan("maxmemory", size=size)


async def test_less_memory_than_is_used_is_a_danger(target: Target, server: RedisServer) -> None:
    """Where it evicts keys it takes two people; no limit at all is said to be one's own risk."""
    server.admin.set("big", "x" * 80 * 1024**2)
    plan = await target.plan("maxmemory", size="64mb")
    assert plan.effect == "danger"
    assert any("keys will be evicted" in note for note in plan.notes)
    server.admin.config_set("maxmemory-policy", "noeviction")
    plan = await target.plan("maxmemory", size="64mb")
    assert plan.effect == "change"
    assert any("every write will be refused" in note for note in plan.notes)
    unlimited = await target.plan("maxmemory", size="0")
    assert unlimited.summary == "redis maxmemory 2gb → no limit"
    server.admin.config_set("maxmemory", 1000)
    assert (await target.plan("maxmemory", size="1gb")).undo is None, "the way back is out of bounds"


async def test_clients_that_are_not_to_be_closed(target: Target, server: RedisServer) -> None:
    """The bot's own connections, the links of replicas, and those that are not there."""
    await target.read("ping")
    own = next(c for c in server.admin.client_list() if c["name"] == "watchbell")
    with pytest.raises(RefusedError, match="connection of mine"):
        await target.plan("kill", client=str(own["id"]))
    with pytest.raises(RefusedError, match="has no client"):
        await target.plan("kill", client="999999")
    with RedisServer(replica_of=server):
        server.until(lambda: any("S" in c["flags"] for c in server.admin.client_list()))
        link = next(c for c in server.admin.client_list() if "S" in c["flags"])
        with pytest.raises(RefusedError, match="link of a replica"):
            await target.plan("kill", client=str(link["id"]))


async def test_a_client_that_left_is_not_closed_twice(target: Target, server: RedisServer) -> None:
    """Its id is nobody else's: drift, and nothing is sent."""
    worker = server.client(client_name="worker")
    plan = await target.plan("kill", client=str(worker.client_id()))
    worker.close()
    server.until(lambda: all(c["name"] != "worker" for c in server.admin.client_list()))
    identity, state = await target.observe(plan)
    assert drift(plan, identity, state) == [f"client is gone, it was {plan.before['client']}"]
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await ran(target, plan)
    assert server.calls("client|kill") == 0


async def test_many_keys_go_in_batches(target: Target, server: RedisServer) -> None:
    """Counted first, with UNLINK, progress up to the end; others stay."""
    server.admin.mset({f"cache:{n}": n for n in range(2600)} | {"kept": 1})
    plan = await target.plan("del", pattern="cache:*")
    assert plan.summary == "redis del cache:*: 2600 keys"
    assert plan.undo is None
    assert "gone for good, in batches of 500" in plan.notes
    told: list[int] = []

    async def count(done: int, total: int, what: str) -> None:
        told.append(done)
        assert (total, what) == (2600, "keys")

    outcome = await target.run(plan, key="wb-1", progress=count)
    assert (outcome.kind, outcome.text, outcome.after) == ("done", "2600 keys deleted", {"keys": 0})
    assert told == sorted(told)
    assert told[-1] == 2600
    assert server.admin.keys("*") == ["kept"]
    assert server.calls("unlink") >= 6
    assert server.calls("del", "eval", "keys") <= 1  # the test's own


async def test_of_many_keys_a_tenth_may_come_and_go(target: Target, server: RedisServer) -> None:
    """A living cache is never still; of few keys each one counts."""
    server.admin.mset({f"cache:{n}": n for n in range(500)} | {f"few:{n}": n for n in range(5)})
    many, few = await target.plan("del", pattern="cache:*"), await target.plan("del", pattern="few:*")
    server.admin.mset({f"cache:more{n}": n for n in range(50)} | {"few:more": 1})
    assert (await target.observe(many))[1] == {"keys": 500}
    assert (await target.observe(few))[1] == {"keys": 6}
    server.admin.mset({"cache:more50": 1})
    assert (await target.observe(many))[1] == {"keys": 551}
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await ran(target, many)
    assert server.calls("unlink") == 0


async def test_never_more_keys_than_were_approved(make: Make, server: RedisServer) -> None:
    """Where somebody fills the cache while it is emptied, the deletion ends."""
    server.admin.mset({f"cache:{n}": n for n in range(5000)})
    target = make(server.url())
    plan = await target.plan("del", pattern="cache:*")

    async def fill(done: int, total: int, what: str) -> None:
        server.admin.mset({f"cache:new{n}": n for n in range(20_000)})

    outcome = await target.run(plan, key="wb-1", progress=fill)
    assert outcome.kind == "failed"
    assert "stopped after 5500 keys" in outcome.text


async def test_a_small_deletion_can_be_taken_back(target: Target, server: RedisServer) -> None:
    """Values of every kind and their expiry; what was made anew stays."""
    admin = server.admin
    admin.set("rate-limit:1", "5", px=60_000)
    admin.rpush("rate-limit:2", "a", "b")
    admin.set("rate-limit:3", b"\xff\x00")
    plan = await target.plan("del", pattern="rate-limit:*")
    assert plan.undo is not None
    assert any("kept for 30 minutes to be brought back" in note for note in plan.notes)
    assert any("in the memory of the bot that runs this: a restart loses them" in n for n in plan.notes)
    assert (await ran(target, plan)).kind == "done"
    assert not admin.keys("rate-limit:*")
    admin.set("rate-limit:1", "new")
    with_one = await target.plan(plan.undo["verb"], **plan.undo["args"])
    outcome = await target.run(with_one, key="wb-2", progress=progress)
    assert (outcome.kind, outcome.text) == ("done", "2 of 3 keys are back; 1 there anew")
    assert admin.get("rate-limit:1") == "new"
    assert admin.lrange("rate-limit:2", 0, -1) == ["a", "b"]
    with pytest.raises(RefusedError, match="hold nothing"):
        await target.plan("restore", pattern="rate-limit:*")


async def test_one_key_and_one_client_are_told_in_the_singular(target: Target, server: RedisServer) -> None:
    """On cards, buttons and in answers."""
    server.admin.set("cache:1", 1)
    plan = await target.plan("del", pattern="cache:*")
    assert (plan.summary, plan.done) == ("redis del cache:*: 1 key", "1 key deleted")
    assert plan.undo is not None
    assert plan.undo["label"] == "1 key"
    assert (await target.read("dbsize")).headline.endswith(" · 1 key")
    assert (await target.read("keys", pattern="cache:*")).headline.endswith(" · 1 key matches cache:*")
    assert (await target.plan("flush", database="redis")).summary == "redis flush: 1 key"
    assert (await ran(target, plan)).text == "1 key deleted"
    back = await target.plan("restore", pattern="cache:*")
    assert (back.summary, back.done) == ("redis restore cache:*: 1 key", "1 key is back")


@pytest.mark.parametrize("size", ["lots", "4", "-5gb", "10tb"])
async def test_a_memory_limit_is_a_size(target: Target, size: str) -> None:
    """What is no size is said so, with the units; a size that does not fit with the bounds."""
    told = "is outside" if size == "4" else r"a number and a unit \(kb, mb or gb\)"
    with pytest.raises(RefusedError, match=told):
        await target.plan("maxmemory", size=size)


async def test_expiry_goes_on_while_a_key_is_away(
    target: Target, server: RedisServer, clock: VirtualClock
) -> None:
    """A limit that would be over by now does not come back; the others keep what they had left."""
    server.admin.set("rate-limit:short", 1, px=30_000)
    server.admin.set("rate-limit:long", 1, px=300_000)
    plan = await target.plan("del", pattern="rate-limit:*")
    await ran(target, plan)
    clock.wake(clock.now() + timedelta(minutes=1))
    back = await target.plan("restore", pattern="rate-limit:*")
    outcome = await target.run(back, key="wb-2", progress=progress)
    assert outcome.text == "1 of 2 keys is back; 1 expired"
    assert server.admin.keys("*") == ["rate-limit:long"]
    assert 230_000 < server.admin.pttl("rate-limit:long") <= 240_000


async def test_values_are_kept_for_half_an_hour_and_in_this_process_only(
    make: Make, server: RedisServer, clock: VirtualClock
) -> None:
    """Afterwards nothing holds them; another process, or another Redis in its place, never did."""
    server.admin.set("rate-limit:1", "5")
    target = make(server.url())
    await ran(target, await target.plan("del", pattern="rate-limit:*"))
    with pytest.raises(RefusedError, match="hold nothing"):
        await make(server.url()).plan("restore", pattern="rate-limit:*")
    assert (await target.plan("restore", pattern="rate-limit:*")).after == {"keys": 1}
    clock.wake(clock.now() + timedelta(minutes=32))
    with pytest.raises(RefusedError, match="hold nothing"):
        await target.plan("restore", pattern="rate-limit:*")


async def test_what_is_not_kept(target: Target, server: RedisServer) -> None:
    """Sessions, many keys, large values: the plan says that they are gone for good."""
    server.admin.mset({"session:1": "alice", "session-like": 1})
    server.admin.mset({f"cache:{n}": n for n in range(redis_dumps.MOST_KEYS + 1)})
    server.admin.set("report:1", "x" * (redis_dumps.MOST_BYTES + 1))
    for pattern in ("session*", "cache:*", "report:*"):
        plan = await target.plan("del", pattern=pattern)
        assert plan.undo is None
        assert plan.effect == "danger"
    sessions = await target.plan("del", pattern="session*")
    assert any("1 of them is never shown" in note for note in sessions.notes)


@pytest.mark.parametrize(
    "pattern",
    ["*", "**", "?*", "*?*", "[^]*", "[a-z]*", "*[!-~]*", "[*]", r"[\]]*", "[", "[]", "*[^", "[a\\"],
)
async def test_a_pattern_that_can_be_every_key_is_refused(
    target: Target, server: RedisServer, pattern: str
) -> None:
    """Whatever it is written with: that is what flush is for."""
    server.admin.mset({"a": 1, "b": 2, "]": 3})
    with pytest.raises(RefusedError, match=r"every key.* use redis flush"):
        await target.plan("del", pattern=pattern)


@pytest.mark.parametrize("pattern", ["a*", "?a", "[ab]a", r"\**", r"[*]\**", "[a]]*", "*a"])
async def test_a_pattern_with_some_characters_of_its_own_is_none_of_these(
    target: Target, server: RedisServer, pattern: str
) -> None:
    """One that stands for itself is enough, also one that could be a wildcard."""
    server.admin.mset({"aa": 1, "**": 2, "a]": 3, "other": 4})
    assert (await target.plan("del", pattern=pattern)).before["keys"] < 4


async def test_a_size_that_redis_guesses_too_low_is_no_promise(target: Target, server: RedisServer) -> None:
    """It looks at five parts of a value by itself; before anything is promised it looks at each."""
    admin = server.admin
    admin.hset("cache:1", mapping={f"f{n}": "x" * 100 for n in range(600)})
    assert (await target.plan("del", pattern="cache:*")).undo is not None
    admin.hset("cache:1", "f600", "x" * redis_dumps.MOST_BYTES)
    plan = await target.plan("del", pattern="cache:*")
    assert plan.undo is None
    assert "gone for good, in batches of 500" in plan.notes


async def test_what_has_grown_since_it_was_asked_for_is_not_deleted(
    target: Target, server: RedisServer
) -> None:
    """The card promised to keep it. What is still small enough goes, and comes back as it was at the end."""
    admin = server.admin
    admin.set("cache:1", "x")
    plan = await target.plan("del", pattern="cache:*")
    for size in (redis_dumps.MOST_BYTES + 1, 9 * 1024**2):
        admin.set("cache:1", "x" * size)
        with pytest.raises(TargetError, match="larger than what I keep, so nothing was changed"):
            await ran(target, plan)
        assert admin.strlen("cache:1") == size
        with pytest.raises(RefusedError, match="hold nothing"):
            await target.plan("restore", pattern="cache:*")
    fits = "y" * (redis_dumps.MOST_BYTES * 3 // 4)
    admin.set("cache:1", fits)
    assert (await ran(target, plan)).kind == "done"
    assert not admin.exists("cache:1")
    assert plan.undo is not None
    await ran(target, await target.plan("restore", **plan.undo["args"]))
    assert admin.get("cache:1") == fits


async def test_what_changes_while_it_is_read_is_read_again(
    make: Make, cable: Cable, server: RedisServer
) -> None:
    """Between reading and deleting somebody counts on: the count comes back that was there last."""
    target = make(server.url(cable.port))
    server.admin.set("rate-limit:1", "1")
    plan = await target.plan("del", pattern="rate-limit:*")
    cable.strikes = during(b"MULTI", lambda: server.admin.incr("rate-limit:1"), times=3)  # type: ignore[method-assign]
    assert (await ran(target, plan)).kind == "done"
    assert not server.admin.exists("rate-limit:1")
    await ran(target, await target.plan("restore", pattern="rate-limit:*"))
    assert server.admin.get("rate-limit:1") == "4"


async def test_what_never_stands_still_is_not_deleted(make: Make, cable: Cable, server: RedisServer) -> None:
    """After some tries it ends, and nothing is held of it."""
    target = make(server.url(cable.port))
    server.admin.set("rate-limit:1", "1")
    plan = await target.plan("del", pattern="rate-limit:*")
    cable.strikes = during(b"MULTI", lambda: server.admin.incr("rate-limit:1"), times=1000)  # type: ignore[method-assign]
    with pytest.raises(TargetError, match="change faster than they can be read, so nothing was changed"):
        await ran(target, plan)
    assert server.admin.exists("rate-limit:1")
    with pytest.raises(RefusedError, match="hold nothing"):
        await target.plan("restore", pattern="rate-limit:*")


def during(request: bytes, what: Callable[[], object], *, times: int) -> Callable[[bytes], None]:
    """A cable that does something before it passes such a request on, so many times."""
    left = [what] * times

    def strikes(found: bytes) -> None:
        if request in found and left:
            left.pop()()

    return strikes


async def test_each_deletion_comes_back_by_its_own_undo(target: Target, server: RedisServer) -> None:
    """Twice by one pattern: neither loses what the other removed, and by hand the last one comes back."""
    admin, plans = server.admin, []
    for keys in ({"cache:1": "one", "cache:2": "two"}, {"cache:1": "new"}, {"cache:9": "nine"}):
        admin.mset(keys)
        plans.append(await target.plan("del", pattern="cache:*"))
        assert (await ran(target, plans[-1])).kind == "done"
    first, second, _ = (plan.undo["args"] for plan in plans if plan.undo is not None)
    by_hand = await target.plan("restore", pattern="cache:*")
    assert by_hand.line == "redis restore cache:*"
    await ran(target, by_hand)
    assert admin.keys("*") == ["cache:9"]
    await ran(target, await target.plan("restore", **second))
    assert admin.get("cache:1") == "new"
    admin.flushdb()
    await ran(target, await target.plan("restore", **first))
    assert admin.mget("cache:1", "cache:2", "cache:9") == ["one", "two", None]
    for args in (first, second, {"pattern": "cache:*"}):
        with pytest.raises(RefusedError, match="hold nothing"):
            await target.plan("restore", **args)


async def test_of_two_plans_alike_the_second_takes_nothing_from_the_first(
    target: Target, server: RedisServer
) -> None:
    """Both were made before either ran: the second is void, and what the first removed is there to come back."""
    server.admin.set("cache:1", "one")
    first, second = [await target.plan("del", pattern="cache:*") for _ in range(2)]
    assert first == second
    await ran(target, first)
    server.admin.set("cache:1", "new")
    with pytest.raises(TargetError, match="no longer as it was planned, so nothing was changed"):
        await ran(target, second)
    assert server.admin.getdel("cache:1") == "new"
    assert first.undo is not None
    await ran(target, await target.plan("restore", **first.undo["args"]))
    assert server.admin.get("cache:1") == "one"
    assert (await target.plan("del", pattern="cache:*")).undo != first.undo


async def test_a_long_deletion_goes_on_for_longer_than_counting_may(
    target: Target, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has all the time that a change of Redis has, however long its steps take; here a minute each."""
    server.admin.mset({f"cache:{n}": n for n in range(6000)})
    plan = await target.plan("del", pattern="cache:*")
    loop = asyncio.get_running_loop()
    time, ahead = loop.time, 0

    async def slow(done: int, total: int, what: str) -> None:
        nonlocal ahead
        ahead += 60

    monkeypatch.setattr(loop, "time", lambda: time() + ahead)
    outcome = await target.run(plan, key="wb-1", progress=slow)
    assert ahead > 5 * 60
    assert (outcome.kind, outcome.text) == ("done", "6000 keys deleted")
    assert server.admin.dbsize() == 0


async def test_flush_takes_the_name_and_this_database_alone(make: Make, server: RedisServer) -> None:
    """FLUSHDB of the number that is meant; never FLUSHALL."""
    server.admin.set("other database", 1)
    target = make(server.url(), databases={"redis": {}, "limits": {"db": 1}})
    with server.client(db=1) as limits:
        limits.mset({"a": 1, "b": 2})
        with pytest.raises(
            RefusedError, match="to flush redis, name it as well: redis flush redis name=redis"
        ):
            await target.plan("flush", name="limits", database="redis")
        with pytest.raises(RefusedError, match="type its name, as in redis flush limits"):
            await target.plan("flush", name="limits", database="limit")
        plan = await target.plan("flush", name="limits", database="limits")
        assert (await ran(target, plan)).text == "limits is empty"
        assert limits.dbsize() == 0
    assert server.admin.dbsize() == 1


async def test_a_replica_takes_no_changes_of_keys(make: Make, server: RedisServer) -> None:
    """It is said before anybody votes, with where to go; its own settings are its own."""
    server.admin.set("k", 1)
    with RedisServer(replica_of=server) as replica:
        replica.until(lambda: replica.admin.info("replication")["master_link_status"] == "up")
        target = make(replica.url(), replica=True)
        assert "replica" in dict((await target.read("info")).table.rows)["role"]  # type: ignore[union-attr]
        for verb, args in (("del", {"pattern": "k*"}), ("flush", {"database": "redis"})):
            with pytest.raises(RefusedError, match=rf"ask for it at 127\.0\.0\.1:{server.port}"):
                await target.plan(verb, **args)
        plan = await target.plan("maxmemory", size="1gb")
        assert (await ran(target, plan)).kind == "done"
        assert replica.admin.config_get("maxmemory")["maxmemory"] == str(GIB)


async def test_safety_14_another_run_of_the_server_is_another_server(make: Make) -> None:
    """A restart, or a failover: what was planned is void."""
    with RedisServer() as server:
        target = make(server.url())
        plan = await target.plan("maxmemory", size="1gb")
        server.restart()
        identity, state = await target.observe(plan)
        assert drift(plan, identity, state) == ["it is another one now than when this was asked"]
        with pytest.raises(TargetError, match="no longer as it was planned"):
            await ran(target, plan)
        other = replace(plan, identity=identity.replace("primary", "replica"))
        assert drift(other, identity, state)
