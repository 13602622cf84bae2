"""What can be looked at in a real Redis; everything is bounded, and values are asked for in pieces."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from bot.targets.redis_link import Link
from bot.targets.redis_server import Server, beginning, scanned, server, text
from bot.targets.redis_values import Keys, title, value, whole
from bot.targets.redis_words import fits, human, masked
from commands.actions import Answer, Table, TargetError
from commands.values import shown
from incidents.ports import RefusedError
from incidents.wording import counted, span

_KEYS, _ROWS, _SLOW = 100, 50, 10  # how many keys, clients, slow commands
_NAME = 300  # bytes of one name
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "server": ("redis_version", "role", "run_id", "uptime_in_days", "maxmemory_policy"),
    "clients": ("connected_clients", "maxclients", "blocked_clients"),
    "memory": (
        "used_memory_human",
        "used_memory_peak_human",
        "maxmemory_human",
        "maxmemory_policy",
        "mem_fragmentation_ratio",
    ),
    "stats": (
        "keyspace_hits",
        "keyspace_misses",
        "evicted_keys",
        "expired_keys",
        "rejected_connections",
        "instantaneous_ops_per_sec",
    ),
    "keyspace": (),  # db0, db1, … as there are
}
_SHORT = (
    "redis_version",
    "role",
    "uptime_in_days",
    "connected_clients",
    "blocked_clients",
    "used_memory_human",
    "maxmemory_human",
    "maxmemory_policy",
    "mem_fragmentation_ratio",
    "evicted_keys",
    "instantaneous_ops_per_sec",
)
# Commands whose arguments are not shown at all: they may be passwords or scripts.
_MUTE = frozenset(
    [
        "ACL",
        "AUTH",
        "CLIENT",
        "CONFIG",
        "EVAL",
        "EVALSHA",
        "EVAL_RO",
        "FCALL",
        "FUNCTION",
        "HELLO",
        "MIGRATE",
        "SCRIPT",
    ]
)


async def answer(link: Link, keys: Keys, verb: str, args: Mapping[str, Any]) -> Answer:
    """The answer to a read; RefusedError where there is none of that name, TargetError where Redis gives none."""
    simple: Mapping[str, Callable[..., Awaitable[Answer]]] = {
        "ping": _ping,
        "info": _info,
        "memory": _memory,
        "dbsize": _dbsize,
        "clients": _clients,
        "hitrate": _hitrate,
    }
    if verb in simple:
        return await simple[verb](link, **args)
    if verb == "slowlog":
        return await _slowlog(link, keys)
    if verb == "keys":
        return await _keys(link, keys, **args)
    if verb in ("readable", "get"):
        keys.refuse(str(args["key"]))
        allowed = fits(str(args["key"]), keys.readable)
        if verb == "readable":
            return Answer(str(args["key"]), private=not allowed)
        if not allowed:
            raise RefusedError(f"The value of {shown(str(args['key']))} is shown after an approval only.")
        return await value(link, keys, str(args["key"]))
    raise RefusedError(f"Redis knows no {verb}.")


async def _server(link: Link) -> Server:
    return await server(link, link.title, link.place.db)


async def _ping(link: Link) -> Answer:
    began = time.perf_counter()
    if (reply := await link.look("PING")) != b"PONG":
        raise TargetError(f"{link.title} answers a PING with {shown(text(reply))}.")
    return Answer(f"{title(link)} · PONG in {max(1, round((time.perf_counter() - began) * 1000))} ms")


async def _info(link: Link, section: str | None = None) -> Answer:
    found = await _server(link)
    if section is not None and section not in SECTIONS:
        raise RefusedError(f"There is no section {shown(section)}; there are {', '.join(SECTIONS)}.")
    wanted: Iterable[str] = SECTIONS[section] if section else _SHORT
    if section in (None, "keyspace"):
        wanted = [*wanted, *(name for name in found.fields if name[:2] == "db" and name[2:].isdigit())]
    rows = tuple((name, _field(found, name)) for name in wanted if name in found.fields)
    rate = "" if section else f" · {_hit_rate(found)} hits"
    table = Table(("FIELD", "VALUE"), rows, (1,)) if rows else None
    return Answer(f"{title(link)} · {_share(found)}{rate}", table=table)


def _field(found: Server, name: str) -> str:
    if name == "role":
        return found.role
    return "no limit" if name == "maxmemory_human" and not found.maxmemory else found.fields[name]


def _share(found: Server) -> str:
    if not found.maxmemory:
        return f"{human(found.used)} used, no limit"
    return f"{round(100 * found.used / found.maxmemory)} % of memory used"


def _hit_rate(found: Server) -> str:
    """Computed, for INFO has no such field (redis.io/commands/info)."""
    hits, misses = found.number("keyspace_hits"), found.number("keyspace_misses")
    return f"{100 * hits / (hits + misses):.1f} %" if hits + misses else "no look-ups, no"


async def _memory(link: Link) -> Answer:
    found = await _server(link)
    allowed = human(found.maxmemory) if found.maxmemory else "no limit"
    rows = [
        ("used", human(found.used)),
        ("peak", human(found.number("used_memory_peak"))),
        ("allowed", allowed),
    ]
    if found.maxmemory:
        rows.append(("share", f"{round(100 * found.used / found.maxmemory)} %"))
    rows += [
        ("policy", found.policy),
        ("fragmentation", found.fields.get("mem_fragmentation_ratio", "unknown")),
    ]
    return Answer(f"{title(link)} · {_share(found)}", table=Table(("MEMORY", ""), tuple(rows), (1,)))


async def _dbsize(link: Link) -> Answer:
    await _server(link)  # which refuses a cluster, where these would be some of the keys
    return Answer(f"{title(link)} · {counted(whole(await link.look('DBSIZE'), link), 'key')}")


async def _hitrate(link: Link) -> Answer:
    found = await _server(link)
    hits, misses = found.number("keyspace_hits"), found.number("keyspace_misses")
    return Answer(f"{title(link)} · {_hit_rate(found)} hits", lines=(f"{hits} hits, {misses} misses",))


async def _slowlog(link: Link, keys: Keys) -> Answer:
    """Entries are [id, time, microseconds, arguments, address, name] (redis.io/commands/slowlog-get)."""
    entries = await link.look("SLOWLOG", "GET", _SLOW)
    rows = []
    for entry in sorted(entries, key=lambda e: -int(e[2])) if isinstance(entries, list) else []:
        took = int(entry[2])
        rows.append((f"{took // 1000} ms" if took >= 1000 else f"{took} µs", _spoken(entry[3], keys)))
    table = Table(("TOOK", "COMMAND"), tuple(rows), (0,)) if rows else None
    return Answer(f"{title(link)} · the {len(rows)} slowest of late", table=table)


def _spoken(words: Sequence[object], keys: Keys) -> str:
    """A command with its first argument, as keys are shown; the others may be values."""
    parts = [text(word) for word in words[:2]]
    name = parts[0].upper() if parts else ""
    if name in _MUTE or len(parts) < 2:
        return name
    more = f" (+{len(words) - 2})" if len(words) > 2 else ""
    return f"{name} {masked(parts[1], keys.refused)[:60]}{more}"


async def clients(link: Link) -> list[dict[str, str]]:
    """Every connection: id, addr, name, age in seconds, cmd, flags (redis.io/commands/client-list)."""
    lines = text(await link.look("CLIENT", "LIST")).splitlines()
    return [
        dict(pair.partition("=")[::2] for pair in line.split(" ")) for line in lines if line.startswith("id=")
    ]


async def _clients(link: Link) -> Answer:
    found = await clients(link)
    found.sort(key=lambda c: -int(c.get("age", "0")))
    rows = tuple(
        (
            c["id"],
            c.get("name", "")[:_NAME] or "–",
            c.get("addr", ""),
            span(int(c.get("age", "0"))),
            c.get("cmd", ""),
        )
        for c in found[:_ROWS]
    )
    more = f", the {_ROWS} oldest:" if len(found) > _ROWS else ""
    table = Table(("ID", "NAME", "ADDRESS", "FOR", "LAST"), rows, (0, 3))
    return Answer(f"{title(link)} · {counted(len(found), 'client')}{more}", table=table)


def _match(count: int) -> str:
    return "1 key matches" if count == 1 else f"{count} keys match"


def _called(key: bytes, keys: Keys) -> str:
    told = text(key) if len(key) <= _NAME else f"{beginning(key[:_NAME])}…"
    return masked(told, keys.refused)


async def _keys(link: Link, keys: Keys, pattern: str) -> Answer:
    await _server(link)  # as for dbsize
    found: set[tuple[bytes, int]] = set()  # the beginning of each, and what tells it from others with that
    more = False
    async for batch in scanned(link, pattern, link.title):
        found |= {(key[: _NAME + 1], hash(key)) for key in batch}
        if more := len(found) > _KEYS:
            break
    names = [_called(key, keys) for key, _ in sorted(found)[:_KEYS]]
    count = f"more than {_KEYS} keys match" if more else _match(len(found))
    tail = f", {_KEYS} of them:" if more else ""
    heading = f"{title(link)} · {count} {pattern}{tail}"
    return Answer(heading, text="\n".join(names), file_name="keys.txt")
