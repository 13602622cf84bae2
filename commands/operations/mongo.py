"""MongoDB from chat: looking, and ending an operation that stands in the way."""

from __future__ import annotations

from commands.actions import Answer, Ops, Plan
from commands.registry import Name, Text, command


@command("mongo status", effect="read")
async def status(*, name: Name | None = None, ops: Ops) -> Answer:
    """Ask whether MongoDB answers, which version and role it has, and how many are connected.

    /mongo status         the only MongoDB, or the first of the configuration
    /mongo shop status    the one called shop; every mongo command takes the name there
    """
    return await ops.target("mongo").read("status", name=name)


@command("mongo ops", effect="read")
async def running(*, name: Name | None = None, ops: Ops) -> Answer:
    """List what is running, the longest first, without the values that are asked for.

    /mongo ops    /mongo killop takes the OPID
    """
    return await ops.target("mongo").read("ops", name=name)


@command("mongo indexes", effect="read")
async def indexes(collection: Name, *, name: Name | None = None, ops: Ops) -> Answer:
    """List the indexes of a collection.

    /mongo indexes subscriptions
    """
    return await ops.target("mongo").read("indexes", name=name, collection=collection)


@command("mongo explain", effect="read")
async def explain(collection: Name, filter_: Text, *, name: Name | None = None, ops: Ops) -> Answer:
    """Show which way a query would go, and whether an index serves it; the query is not run.

    /mongo explain subscriptions {"status": "active"}
    """
    return await ops.target("mongo").read("explain", name=name, collection=collection, filter=filter_)


@command("mongo find", effect="read")
async def find(collection: Name, filter_: Text, *, name: Name | None = None, ops: Ops) -> Answer | Plan:
    """Show the documents that fit a filter, twenty at most.

    /mongo find subscriptions {"user": 17}    at once the fields that are configured as readable, where the filter
                                              names no others; else after an approval and to you alone
    """
    target = ops.target("mongo")
    found = await target.read("readable", name=name, collection=collection, filter=filter_)
    if found.private:
        return await target.plan("find", name=name, collection=collection, filter=filter_)
    return await target.read("find", name=name, collection=collection, filter=filter_)


@command("mongo killop", effect="change")
async def killop(op: Name, *, name: Name | None = None, ops: Ops) -> Plan:
    """End an operation, by the OPID that mongo ops shows.

    /mongo killop 4711    this very operation only, not another one of that number
    """
    return await ops.target("mongo").plan("killop", name=name, op=op)
