"""Redis from chat: looking, its limits, and the removal of keys by pattern."""

from __future__ import annotations

from typing import Literal

from commands.actions import Answer, Ops, Plan
from commands.registry import Name, Pattern, Size, command

Section = Literal["server", "clients", "memory", "stats", "keyspace"]
Policy = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]


@command("redis ping", effect="read")
async def ping(*, name: Name | None = None, ops: Ops) -> Answer:
    """Ask whether Redis answers, and how fast.

    /redis ping          the only Redis, or the first of the configuration
    /redis cache ping    the one called cache; every redis command takes the name there
    """
    return await ops.target("redis").read("ping", name=name)


@command("redis info", effect="read")
async def info(section: Section | None = None, *, name: Name | None = None, ops: Ops) -> Answer:
    """Show what Redis reports about itself.

    /redis info           the figures that matter, hit rate included
    /redis info memory    one section: server, clients, memory, stats, keyspace
    """
    return await ops.target("redis").read("info", name=name, section=section)


@command("redis memory", effect="read")
async def memory(*, name: Name | None = None, ops: Ops) -> Answer:
    """Show used and allowed memory, and what happens when it is full.

    /redis memory
    """
    return await ops.target("redis").read("memory", name=name)


@command("redis dbsize", effect="read")
async def dbsize(*, name: Name | None = None, ops: Ops) -> Answer:
    """Count the keys.

    /redis dbsize
    """
    return await ops.target("redis").read("dbsize", name=name)


@command("redis slowlog", effect="read")
async def slowlog(*, name: Name | None = None, ops: Ops) -> Answer:
    """List the slowest commands of late.

    /redis slowlog
    """
    return await ops.target("redis").read("slowlog", name=name)


@command("redis clients", effect="read")
async def clients(*, name: Name | None = None, ops: Ops) -> Answer:
    """List who is connected; redis kill takes the id.

    /redis clients
    """
    return await ops.target("redis").read("clients", name=name)


@command("redis hitrate", effect="read")
async def hitrate(*, name: Name | None = None, ops: Ops) -> Answer:
    """Show how many look-ups found their key, computed from hits and misses.

    /redis hitrate
    """
    return await ops.target("redis").read("hitrate", name=name)


@command("redis keys", effect="read")
async def keys(pattern: Pattern, *, name: Name | None = None, ops: Ops) -> Answer:
    """List keys by pattern, with SCAN, a hundred at most.

    /redis keys session:*
    /redis keys *rate-limit*
    """
    return await ops.target("redis").read("keys", name=name, pattern=pattern)


@command("redis get", effect="read")
async def get(key: Name, *, name: Name | None = None, ops: Ops) -> Answer | Plan:
    """Show the value of one key.

    /redis get rate-limit:user:17    at once where the key is configured as readable,
                                     else after an approval and to you alone; never a session
    """
    found = await ops.target("redis").read("readable", name=name, key=key)
    if found.private:
        return await ops.target("redis").plan("get", name=name, key=key)
    return await ops.target("redis").read("get", name=name, key=key)


@command("redis maxmemory", effect="change")
async def maxmemory(size: Size, *, name: Name | None = None, ops: Ops) -> Plan:
    """Set how much memory Redis may use.

    /redis maxmemory 4gb            kb, mb and gb count in steps of 1024
    /redis maxmemory 4gb for 2h     and back after two hours
    """
    return await ops.target("redis").plan("maxmemory", name=name, size=size)


@command("redis policy", effect="change")
async def policy(policy: Policy, *, name: Name | None = None, ops: Ops) -> Plan:
    """Set what Redis evicts when its memory is full.

    /redis policy allkeys-lru
    """
    return await ops.target("redis").plan("policy", name=name, policy=policy)


@command("redis kill", effect="change")
async def kill(client: Name, *, name: Name | None = None, ops: Ops) -> Plan:
    """Close one client's connection, by the id that redis clients shows.

    /redis kill 17
    """
    return await ops.target("redis").plan("kill", name=name, client=client)


@command("redis del", effect="danger")
async def delete(pattern: Pattern, *, name: Name | None = None, ops: Ops) -> Plan:
    """Delete the keys that match a pattern; they are counted first, and gone for good where they are many.

    /redis del rate-limit:*    up to a hundred small keys, no sessions, can be brought back for half an hour
    """
    return await ops.target("redis").plan("del", name=name, pattern=pattern)


@command("redis restore", effect="change")
async def restore(pattern: Pattern, *, name: Name | None = None, ops: Ops) -> Plan:
    """Bring back what the last redis del of this pattern removed, where the values are still kept.

    /redis restore rate-limit:*    after a small deletion only, for half an hour, and not beyond a restart;
                                   undo on its card is the same, without another vote
    """
    return await ops.target("redis").plan("restore", name=name, pattern=pattern)


@command("redis flush", effect="danger")
async def flush(database: Name, *, name: Name | None = None, ops: Ops) -> Plan:
    """Delete every key, sessions too; type the database's own name to show that you mean it.

    /redis flush redis          where it is called redis
    /redis cache flush cache    another one
    """
    return await ops.target("redis").plan("flush", name=name, database=database)
