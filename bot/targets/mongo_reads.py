"""What can be looked at in a real MongoDB; everything is bounded, by the server's own clock too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.targets.mongo_documents import Rules, collection, documents
from bot.targets.mongo_filter import parsed
from bot.targets.mongo_link import Document, Link
from bot.targets.mongo_operations import hello, operations, role
from commands.actions import Answer, Table, TargetError
from commands.values import shown
from incidents.ports import RefusedError
from incidents.wording import span

_ROWS, _INDEXES, _STAGES = 30, 100, 12
# Stages that find what they look for, by an index or by the id
# (https://www.mongodb.com/docs/manual/reference/explain-results/).
_BY_INDEX = ("IXSCAN", "CLUSTERED_IXSCAN", "IDHACK", "EXPRESS_", "COUNT_SCAN", "DISTINCT_SCAN")


async def answer(link: Link, rules: Rules, verb: str, args: Mapping[str, Any]) -> Answer:
    """The answer to a read; RefusedError where there is none of that name, TargetError where there is no answer."""
    if verb == "status":
        return await _status(link)
    if verb == "ops":
        return await _ops(link)
    if verb == "indexes":
        return await _indexes(link, collection(str(args["collection"])))
    if verb not in ("explain", "readable", "find"):
        raise RefusedError(f"MongoDB knows no {verb}.")
    name, asked = collection(str(args["collection"])), parsed(str(args["filter"]))
    if verb == "explain":
        return await _explain(link, name, asked)
    allowed = rules.allows(name, asked)
    if verb == "readable":
        return Answer(name, private=not allowed)
    if not allowed:
        raise RefusedError(f"Documents of {shown(name)} are shown after an approval only, with that filter.")
    return await documents(link, rules, name, asked, projection=rules.projection(name))


async def status(link: Link) -> Document:
    """What `serverStatus` tells, without the parts that are large."""
    large = dict.fromkeys(("metrics", "locks", "wiredTiger", "tcmalloc", "repl"), 0)
    asked = {"serverStatus": 1, **large, "maxTimeMS": link.milliseconds}
    return await link.look(asked, database="admin")


async def _status(link: Link) -> Answer:
    said, found = await hello(link), await status(link)
    there, memory, counts = (_part(found, name) for name in ("connections", "mem", "opcounters"))
    rows = [
        ("version", str(found.get("version", "unknown"))),
        ("role", role(said)),
        ("up for", span(max(1, _number(found.get("uptime"))))),
    ]
    if "setName" in said:
        rows.append(("replica set", f"{said['setName']}, {len(said.get('hosts', ()))} members with data"))
    if "current" in there:
        rows.append(("connections", f"{there['current']}, {there.get('available', '?')} left"))
    if "resident" in memory:
        rows.append(("memory", f"{memory['resident']} MiB"))
    rows += [
        (f"{name} since start", f"{_number(counts[name]):,}")
        for name in ("query", "insert", "update", "delete")
        if name in counts
    ]
    table = Table(("STATUS", ""), tuple((name, text[:60]) for name, text in rows), (1,))
    return Answer(f"{link.title} · answers, {role(said)}", table=table)


async def _ops(link: Link) -> Answer:
    found = [each for each in await operations(link) if not each.internal]
    rows = tuple(
        (
            each.called[:40],
            span(round(each.seconds)) if each.seconds >= 1 else "0 s",
            each.spoken,
            "is ending" if each.dying else each.plan,
        )
        for each in found[:_ROWS]
    )
    table = Table(("OPID", "FOR", "OPERATION", "PLAN"), rows, (0, 1)) if rows else None
    more = f", the {_ROWS} longest:" if len(found) > _ROWS else ""
    plural = "operation" if len(found) == 1 else "operations"
    return Answer(f"{link.title} · {len(found)} {plural}{more}", table=table)


async def _indexes(link: Link, name: str) -> Answer:
    """https://www.mongodb.com/docs/manual/reference/command/listIndexes/"""
    found = await link.look(
        {"listIndexes": name, "cursor": {"batchSize": _INDEXES}, "maxTimeMS": link.milliseconds}
    )
    rows = []
    for each in _part(found, "cursor").get("firstBatch", [])[:_INDEXES]:
        keys = ", ".join(f"{key} {_way(way)}" for key, way in _part(each, "key").items())
        marks = [mark for mark in ("unique", "sparse", "hidden") if each.get(mark)]
        if "partialFilterExpression" in each:
            marks.append("partial")
        if "expireAfterSeconds" in each:
            marks.append(f"expires after {span(max(1, _number(each['expireAfterSeconds'])))}")
        rows.append((str(each.get("name", "")), keys, ", ".join(marks)))
    table = Table(("INDEX", "FIELDS", ""), tuple(rows)) if rows else None
    plural = "index" if len(rows) == 1 else "indexes"
    return Answer(f"{link.title} · {len(rows)} {plural} of {name}", table=table)


def _way(way: object) -> str:
    """`↑`, `↓`, or what else an index is of: `text`, `2dsphere`, `hashed`."""
    if isinstance(way, int | float):
        return "↑" if way > 0 else "↓"
    return str(way)[:20]


async def _explain(link: Link, name: str, asked: Document) -> Answer:
    """Which way the server would go; nothing is run (verbosity "queryPlanner")."""
    found = await link.look(
        {
            "explain": {"find": name, "filter": asked},
            "verbosity": "queryPlanner",
            "maxTimeMS": link.milliseconds,
        }
    )
    plan = _part(_part(found, "queryPlanner"), "winningPlan")
    if not plan:
        raise TargetError(f"{link.title} does not explain that.")
    stages = _stages(plan)
    whole = any(stage.startswith("COLLSCAN") for stage in stages)
    if whole:
        told = "reads the whole collection"
    elif any(stage.startswith(_BY_INDEX) for stage in stages):
        told = "uses an index"
    else:
        told = "there is nothing to be read" if stages == ["EOF"] else "neither an index nor the whole"
    way = " ← ".join(stages[:_STAGES])
    advice = (f"No index fits this filter; `/mongo indexes {name}` lists those that there are.",)
    return Answer(f"{link.title} · {name}: {told}", lines=(way, *(advice if whole else ())))


def _stages(plan: Document, left: int = _STAGES) -> list[str]:
    """The stages from the last to the first, with the index of each; those of shards one after another."""
    if "queryPlan" in plan:  # of the slot-based engine, whose own stages are beside it
        return _stages(_part(plan, "queryPlan"), left)
    index = f" {plan['indexName']}" if "indexName" in plan else ""
    below = [plan.get("inputStage"), *plan.get("inputStages", ())[:4]]
    below += [_part(shard, "winningPlan") for shard in plan.get("shards", ())[:4]]
    parts = [each for each in below if isinstance(each, dict) and left > 1]
    here = f"{str(plan.get('stage', '?'))[:40]}{index[:60]}"
    return [here, *(stage for each in parts for stage in _stages(each, left - 1))]


def _part(found: object, name: str) -> Document:
    """A part of an answer, or nothing where it is not there."""
    part = found.get(name) if isinstance(found, dict) else None
    return part if isinstance(part, dict) else {}


def _number(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
