"""What the simulated Redis shows: its figures, clients, slow commands and keys."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from bot.targets.redis_words import fits, human
from bot.targets.sandbox_state import GIB, Cache, digest
from commands.actions import Answer, Table
from commands.values import shown
from incidents.ports import RefusedError

_SHOWN = 100  # keys of one answer
# What stands in a section alone, so that all of `info` fits on a screen, as that of a real server does.
_DETAILS = ("run_id", "maxclients", "keyspace_hits", "keyspace_misses")


def answer(cache: Cache, verb: str, args: Mapping[str, Any], now: int) -> Answer:
    """The answer to a read; RefusedError where there is none."""
    readers: dict[str, Callable[..., Answer]] = {
        "ping": _ping,
        "info": _info,
        "memory": _memory,
        "dbsize": _dbsize,
        "slowlog": _slowlog,
        "clients": _clients,
        "hitrate": _hitrate,
        "keys": _keys,
        "get": _get,
    }
    if verb not in readers:
        raise RefusedError(f"Redis knows no {verb}.")
    return readers[verb](cache, now, **args)


def _ping(cache: Cache, now: int) -> Answer:
    return Answer(f"{title(cache)} · PONG in {1 + digest(now) % 2} ms")


def _info(cache: Cache, now: int, section: str | None = None) -> Answer:
    used = used_bytes(cache)
    keys = len(matching(cache, "*"))
    sections: dict[str, dict[str, object]] = {
        "server": {
            "redis_version": "7.2.5",
            "role": "primary",
            "run_id": cache.run_id,
            "uptime_in_days": (now - cache.created) // 86_400_000,
        },
        "clients": {"connected_clients": len(cache.clients), "maxclients": 10_000, "blocked_clients": 0},
        "memory": {
            "used_memory_human": human(used),
            "maxmemory_human": human(cache.maxmemory) if cache.maxmemory else "no limit",
            "maxmemory_policy": cache.policy,
            "mem_fragmentation_ratio": "1.08",
        },
        "stats": {
            "keyspace_hits": _hits(cache, now)[0],
            "keyspace_misses": _hits(cache, now)[1],
            "evicted_keys": 0 if used < (cache.maxmemory or used + 1) else 18_204,
            "instantaneous_ops_per_sec": 410 + digest(now // 60_000) % 90,
        },
        "keyspace": {"db0": f"keys={keys},expires={keys * 4 // 5}"},
    }
    wanted = [section] if section else list(sections)
    if section and section not in sections:
        raise RefusedError(f"There is no section {shown(section)}; there are {', '.join(sections)}.")
    shown_here = [(key, value) for name in wanted for key, value in sections[name].items()]
    rows = tuple((key, str(value)) for key, value in shown_here if section or key not in _DETAILS)
    share = f"{_percent(cache)} % of memory" if cache.maxmemory else human(used)
    rate = "" if section else f" · {hit_rate(cache, now)} hits"
    return Answer(
        f"{title(cache)} · {share} used{rate}",
        table=Table(("FIELD", "VALUE"), rows, (1,)),
    )


def _memory(cache: Cache, now: int) -> Answer:
    used = used_bytes(cache)
    limit = human(cache.maxmemory) if cache.maxmemory else "no limit"
    rows = [("used", human(used)), ("allowed", limit), ("policy", cache.policy)]
    if cache.maxmemory:
        rows.insert(2, ("share", f"{_percent(cache)} %"))
    told = f"{_percent(cache)} % of {limit}" if cache.maxmemory else human(used)
    return Answer(f"{title(cache)} · {told} used", table=Table(("MEMORY", ""), tuple(rows), (1,)))


def _percent(cache: Cache) -> int:
    return round(100 * used_bytes(cache) / cache.maxmemory)


def _dbsize(cache: Cache, now: int) -> Answer:
    return Answer(f"{title(cache)} · {len(matching(cache, '*'))} keys")


def _slowlog(cache: Cache, now: int) -> Answer:
    commands = ("KEYS session:*", "HGETALL chat:history:88", "SMEMBERS rooms:open", "ZRANGE audit 0 -1")
    rows = tuple((f"{210 // (i + 1)} ms", command) for i, command in enumerate(commands))
    return Answer(f"{title(cache)} · the {len(rows)} slowest", table=Table(("TOOK", "COMMAND"), rows, (0,)))


def _clients(cache: Cache, now: int) -> Answer:
    rows = tuple(
        (str(c.ident), c.name, c.address, f"{(now - c.since) // 60_000} min", c.command)
        for c in cache.clients
    )
    table = Table(("ID", "NAME", "ADDRESS", "FOR", "LAST"), rows, (0, 3))
    return Answer(f"{title(cache)} · {len(rows)} clients", table=table if rows else None)


def _hitrate(cache: Cache, now: int) -> Answer:
    hits, misses = _hits(cache, now)
    return Answer(f"{title(cache)} · {hit_rate(cache, now)} hits", lines=(f"{hits} hits, {misses} misses",))


def _keys(cache: Cache, now: int, pattern: str) -> Answer:
    found = matching(cache, pattern)
    heading = f"{title(cache)} · {len(found)} keys match {pattern}"
    if len(found) > _SHOWN:
        heading += f", the first {_SHOWN}:"
    return Answer(heading, text="\n".join(found[:_SHOWN]), file_name="keys.txt")


def _get(cache: Cache, now: int, key: str) -> Answer:
    if not matching(cache, key, literal=True):
        raise RefusedError(f"{cache.name} has no key {shown(key)}.")
    return Answer(f"{title(cache)} · {key}", text=value(cache, key), file_name="value.txt")


def used_bytes(cache: Cache) -> int:
    """The memory in use."""
    return cache.memory * 2 * GIB // 100


def title(cache: Cache) -> str:
    """What a Redis is called: `redis`, or `redis cache`."""
    return "redis" if cache.name == "redis" else f"redis {cache.name}"


def value(cache: Cache, key: str) -> str:
    """What is stored under a key."""
    number = digest(cache.name, key)
    if key.startswith("rate-limit:"):
        return str(number % 100)
    return json.dumps({"key": key, "rev": number % 40, "token": f"tok-{number:016x}"})


def hit_rate(cache: Cache, now: int) -> str:
    """`94.9 %` of the look-ups, computed from hits and misses: INFO has no such field."""
    hits, misses = _hits(cache, now)
    return f"{100 * hits / (hits + misses):.1f} %" if hits + misses else "no look-ups, no"


def _hits(cache: Cache, now: int) -> tuple[int, int]:
    minutes = max(0, now - cache.created) // 60_000
    return cache.hits + 380 * minutes, cache.misses + 21 * minutes


def matching(cache: Cache, pattern: str, *, literal: bool = False) -> list[str]:
    """The keys that fit a pattern and were not deleted; `literal` takes the pattern as one key."""
    return [
        key
        for prefix, count in cache.families.items()
        for key in (_key(prefix, i) for i in range(count))
        if (key == pattern if literal else fits(key, (pattern,))) and not fits(key, tuple(cache.deleted))
    ]


def _key(prefix: str, number: int) -> str:
    return f"{prefix}{digest(prefix, number) % 10**10:010d}" if prefix == "session:" else f"{prefix}{number}"
