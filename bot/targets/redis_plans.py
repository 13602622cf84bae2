"""What has to be looked at before a change of a real Redis can be planned; nothing is changed here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from bot.targets import redis_changes as changes
from bot.targets.redis_changes import Seen
from bot.targets.redis_dumps import MOST_KEYS, Dumps, small
from bot.targets.redis_link import CLIENT_NAME, Link
from bot.targets.redis_reads import clients
from bot.targets.redis_server import Counted, Server, counted, server
from bot.targets.redis_state import described
from bot.targets.redis_values import Keys, title, whole
from commands.actions import Plan
from commands.values import shown
from incidents.ports import RefusedError


class Planner:
    """Makes the plans for one database."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        dumps: Dumps,
        configured: Mapping[str, Any],
        *,
        others: Collection[str],
        replica: bool,
    ) -> None:
        self._link, self._keys, self._dumps = link, keys, dumps
        self._configured, self._others, self._replica = configured, others, replica

    async def plan(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of one of the changes; RefusedError where it cannot be, TargetError where Redis is away."""
        makers: Mapping[str, Callable[..., Awaitable[Plan]]] = {
            "maxmemory": self._maxmemory,
            "policy": self._policy,
            "kill": self._kill,
            "del": self._delete,
            "restore": self._restore,
            "flush": self._flush,
            "get": self._get,
        }
        if verb not in makers:
            raise RefusedError(f"Redis knows no {verb}.")
        found = await server(self._link, self._link.title, self._link.place.db)
        return await makers[verb](self._seen(found), found, **args)

    # -- settings ---------------------------------------------------------------------------------

    async def _maxmemory(self, seen: Seen, found: Server, *, size: str) -> Plan:
        return changes.maxmemory(seen, size=size)

    async def _policy(self, seen: Seen, found: Server, *, policy: str) -> Plan:
        return changes.policy(seen, policy=policy)

    # -- clients ----------------------------------------------------------------------------------

    async def _kill(self, seen: Seen, found: Server, *, client: str) -> Plan:
        there = await clients(self._link)
        chosen = next((c for c in there if c["id"] == client), None)
        if chosen is None:
            raise RefusedError(
                f"{self._link.name} has no client {shown(client)}; `/redis clients` lists them."
            )
        if chosen.get("name") == CLIENT_NAME:
            raise RefusedError(f"Client {client} is a connection of mine; it is of no use to close it.")
        if set(chosen.get("flags", "")) & set("MS"):
            raise RefusedError(
                f"Client {client} is the link of a replica; closing it starts a whole copy anew."
            )
        return changes.kill(seen, client=client, address=described(chosen))

    # -- keys -------------------------------------------------------------------------------------

    async def _delete(self, seen: Seen, found: Server, *, pattern: str) -> Plan:
        changes.check_pattern(pattern)
        self._writable(found)
        count = await counted(self._link, pattern, self._keys.refused, self._link.title, few=MOST_KEYS)
        return changes.delete(
            seen,
            pattern=pattern,
            count=count.total,
            sessions=count.refused,
            kept=self._dumps.minutes if await self._can_keep(count) else 0,
            deletion=self._dumps.name(self._link.name, pattern, count.keys),
        )

    async def _can_keep(self, count: Counted) -> bool:
        """Few and small keys, and no sessions: their values are never held by anybody but Redis."""
        return bool(count.keys) and not count.refused and await small(self._link, count.keys)

    async def _restore(self, seen: Seen, found: Server, *, pattern: str, deletion: str | None = None) -> Plan:
        """What this deletion removed, or where none is said the last one by the pattern."""
        self._writable(found)
        deletion = deletion or self._dumps.newest(self._link.name, pattern)
        kept = self._dumps.get(deletion, found.identity) if deletion else None
        if deletion is None or kept is None:
            raise RefusedError(
                f"I hold nothing of {shown(pattern)} that could be brought back to {self._link.name}: values are kept "
                f"in memory for {self._dumps.minutes} minutes after a small deletion, and not beyond a restart."
            )
        now = await counted(self._link, pattern, self._keys.refused, self._link.title)
        return changes.restore(
            seen, pattern=pattern, deletion=deletion, count=len(kept.values), there=now.total
        )

    async def _flush(self, seen: Seen, found: Server, *, database: str) -> Plan:
        changes.check_flush(seen, database, self._others)
        self._writable(found)
        return changes.flush(seen, count=whole(await self._link.look("DBSIZE"), self._link))

    async def _get(self, seen: Seen, found: Server, *, key: str) -> Plan:
        self._keys.refuse(key)
        if not whole(await self._link.look("EXISTS", key), self._link):
            raise RefusedError(f"{self._link.name} has no key {shown(key)}.")
        return changes.get(seen, key=key)

    # -- what all have ----------------------------------------------------------------------------

    def _writable(self, found: Server) -> None:
        if found.role == "replica" or self._replica:
            where = f": ask for it at {found.primary}" if found.primary else ""
            raise RefusedError(
                f"{self._link.title} is a replica, whose keys its primary alone changes{where}."
            )

    def _seen(self, found: Server) -> Seen:
        return Seen(
            name=self._link.name,
            title=title(self._link),
            several=bool(self._others),
            identity=found.identity,
            environment=str(self._configured.get("environment", "production")),
            service=self._configured.get("service"),
            maxmemory=found.maxmemory,
            used=found.used,
            policy=found.policy,
        )
