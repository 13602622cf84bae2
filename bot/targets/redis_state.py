"""What a plan of a real Redis stands on, looked at again: who the server is, and what it has now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.targets.redis_link import Link
from bot.targets.redis_server import Asks, counted, server, text
from bot.targets.redis_values import Keys, whole
from bot.targets.redis_words import allowed
from commands.actions import Plan

_ALIKE = 100  # from here on a tenth more or less is the same number of keys: they come and go


async def observed(asks: Asks, link: Link, keys: Keys, plan: Plan) -> tuple[str, Mapping[str, Any]]:
    """Identity and state now, with the keys of `plan.before`."""
    found = await server(asks, link.title, link.place.db)
    state: dict[str, Any] = {}
    for name, was in plan.before.items():
        if name == "maxmemory":
            state[name] = allowed(found.maxmemory)
        elif name == "policy":
            state[name] = found.policy
        elif name == "client":
            state[name] = await _client(asks, str(plan.args["client"]))
        elif plan.verb == "flush":
            state[name] = alike(whole(await asks.look("DBSIZE"), link), int(was))
        else:
            count = await counted(asks, str(plan.args["pattern"]), keys.refused, link.title)
            state[name] = alike(count.total, int(was))
    return found.identity, state


async def _client(asks: Asks, ident: str) -> str | None:
    """Who has this id now. Ids are never given again while a server runs (redis.io/commands/client-id)."""
    lines = text(await asks.look("CLIENT", "LIST")).splitlines()
    every = (dict(pair.partition("=")[::2] for pair in line.split(" ")) for line in lines)
    return next((described(c) for c in every if c.get("id") == ident), None)


def described(client: Mapping[str, str]) -> str:
    """`10.0.0.7:51234`; not its name, which whoever connects chooses, and which may hold anything."""
    return client.get("addr", "")


def alike(found: int, was: int) -> int:
    """The number of keys, or the planned one where it is much the same: of many, a tenth comes and goes."""
    return was if found and was > _ALIKE and abs(found - was) * 10 <= was else found
