"""What a change of a real Redis would do: looked at, bounded, and said in full; nothing is changed here."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from bot.targets.redis_dumps import MOST_BYTES as KEPT_BYTES
from bot.targets.redis_dumps import MOST_KEYS, Dumps
from bot.targets.redis_link import CLIENT_NAME, Link
from bot.targets.redis_reads import clients
from bot.targets.redis_server import Counted, Server, counted, human, server
from bot.targets.redis_server import size as typed
from bot.targets.redis_state import allowed, described
from bot.targets.redis_values import Keys, title, whole
from commands.actions import Plan
from commands.values import nearest, shown
from incidents import wording
from incidents.ports import RefusedError

_SIZE = re.compile(r"([0-9]{1,12})(b|kb|mb|gb)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_LEAST, _MOST = 64 * 1024**2, 1024**4  # bytes that maxmemory takes; 0, no limit, besides
POLICIES = (
    "noeviction",
    *(f"{keys}-{how}" for keys in ("allkeys", "volatile") for how in ("lru", "lfu", "random")),
    "volatile-ttl",
)
BATCH = 500  # keys unlinked at a time


class Planner:
    """Makes the plans for one database."""

    def __init__(
        self,
        link: Link,
        keys: Keys,
        dumps: Dumps,
        configured: Mapping[str, Any],
        *,
        several: bool,
        replica: bool,
    ) -> None:
        self._link, self._keys, self._dumps = link, keys, dumps
        self._configured, self._several, self._replica = configured, several, replica

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
        return await makers[verb](found, **args)

    # -- settings ---------------------------------------------------------------------------------

    async def _maxmemory(self, found: Server, *, size: str) -> Plan:
        wanted, old = self._wanted(found, str(size)), found.maxmemory
        new = allowed(wanted)
        evicts = 0 < wanted < found.used and found.policy != "noeviction"
        notes = []
        if 0 < wanted < found.used:
            what = "keys will be evicted" if evicts else "every write will be refused"
            notes.append(f"{human(found.used)} are used now: {what}")
        if not wanted:
            notes.append("without a limit Redis may take all the memory of its machine")
        return self._plan(
            found,
            "maxmemory",
            words=(typed(wanted),),
            summary=f"{title(self._link)} maxmemory {allowed(old)} → {new}",
            args={"size": typed(wanted)},
            before={"maxmemory": allowed(old)},
            after={"maxmemory": new},
            undo=self._back("maxmemory", typed(old), {"size": typed(old)}) if _in_bounds(old) else None,
            effect="danger" if evicts else "change",
            notes=tuple(notes),
            done=f"{self._link.name} may use {new}",
        )

    def _wanted(self, found: Server, words: str) -> int:
        if (read := _SIZE.fullmatch(words)) is None:
            raise RefusedError(
                "maxmemory is a number and a unit (kb, mb or gb), as in 512mb or 4gb, or 0 for no limit; "
                f"{shown(words)} is not."
            )
        wanted = int(read[1]) * _UNITS[(read[2] or "").lower()]
        if not _in_bounds(wanted):
            raise RefusedError(
                f"maxmemory takes 64mb to 1024gb, or 0 for no limit; {shown(words)} is outside."
            )
        if wanted == found.maxmemory:
            raise RefusedError(f"{self._link.name} is allowed {allowed(wanted)} already.")
        return wanted

    async def _policy(self, found: Server, *, policy: str) -> Plan:
        if policy not in POLICIES:
            raise RefusedError(f"There is no eviction policy {shown(policy)}.{nearest(policy, POLICIES)}")
        old = found.policy
        if policy == old:
            raise RefusedError(f"{self._link.name} evicts by {policy} already.")
        full = 0 < found.maxmemory <= found.used and policy != "noeviction"
        return self._plan(
            found,
            "policy",
            words=(policy,),
            summary=f"{title(self._link)} policy {old} → {policy}",
            args={"policy": policy},
            before={"policy": old},
            after={"policy": policy},
            undo=self._back("policy", old, {"policy": old}) if old in POLICIES else None,
            notes=("memory is full: keys will be evicted at once",) if full else (),
            done=f"{self._link.name} evicts by {policy}",
        )

    # -- clients ----------------------------------------------------------------------------------

    async def _kill(self, found: Server, *, client: str) -> Plan:
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
        return self._plan(
            found,
            "kill",
            words=(client,),
            summary=f"{title(self._link)} kill client {client} ({chosen['addr']})",
            args={"client": client},
            before={"client": described(chosen)},
            after={"client": None},
            done=f"client {client} was disconnected",
        )

    # -- keys -------------------------------------------------------------------------------------

    async def _delete(self, found: Server, *, pattern: str) -> Plan:
        if not pattern.strip("*?"):
            raise RefusedError("That pattern is every key; use redis flush and type the database's name.")
        self._writable(found)
        count = await counted(self._link, pattern, self._keys.refused, self._link.title, few=MOST_KEYS)
        if not count.total:
            raise RefusedError(f"No key of {self._link.name} matches {shown(pattern)}.")
        kept = await self._can_keep(count)
        how = (
            f"the values are kept in memory for {self._dumps.minutes} minutes, to be brought back"
            if kept
            else f"gone for good, in batches of {BATCH}"
        )
        told = keys(count.total)
        back = self._back("restore", pattern, {"pattern": pattern}, label=told)
        return self._plan(
            found,
            "del",
            words=(pattern,),
            summary=f"{title(self._link)} del {pattern}: {told}",
            args={"pattern": pattern},
            before={"keys": count.total},
            after={"keys": 0},
            undo=back if kept else None,
            effect="danger",
            notes=(how, *_sessions(count)),
            done=f"{told} deleted",
        )

    async def _can_keep(self, count: Counted) -> bool:
        """Few and small keys, and no sessions: their values are never held by anybody but Redis."""
        if not count.keys or count.refused:
            return False
        sizes = [await self._link.look("MEMORY", "USAGE", key) for key in count.keys]
        return sum(s for s in sizes if isinstance(s, int)) <= KEPT_BYTES

    async def _restore(self, found: Server, *, pattern: str) -> Plan:
        self._writable(found)
        kept = self._dumps.get(self._link.name, pattern, found.identity)
        if kept is None:
            raise RefusedError(
                f"I hold nothing of {shown(pattern)} that could be brought back to {self._link.name}: values are kept "
                f"in memory for {self._dumps.minutes} minutes after a small deletion, and not beyond a restart."
            )
        now = await counted(self._link, pattern, self._keys.refused, self._link.title)
        told = keys(len(kept.values))
        return self._plan(
            found,
            "restore",
            words=(pattern,),
            summary=f"{title(self._link)} restore {pattern}: {told}",
            args={"pattern": pattern},
            before={"keys": now.total},
            after={"keys": now.total + len(kept.values)},
            notes=("keys that somebody has made anew stay as they are",),
            done=f"{told} {'is' if len(kept.values) == 1 else 'are'} back",
        )

    async def _flush(self, found: Server, *, database: str) -> Plan:
        name = self._link.name
        if database != name:
            raise RefusedError(f"That flushes {name}: type its name, as in redis flush {name}.")
        self._writable(found)
        count = whole(await self._link.look("DBSIZE"), self._link)
        return self._plan(
            found,
            "flush",
            words=(database,),
            summary=f"{title(self._link)} flush: {'all ' if count != 1 else ''}{keys(count)}",
            args={"database": database},
            before={"keys": count},
            after={"keys": 0},
            effect="danger",
            notes=("gone for good", "sessions, where there are any, are among them: people are logged out"),
            done=f"{name} is empty",
        )

    async def _get(self, found: Server, *, key: str) -> Plan:
        self._keys.refuse(key)
        if not whole(await self._link.look("EXISTS", key), self._link):
            raise RefusedError(f"{self._link.name} has no key {shown(key)}.")
        return self._plan(
            found,
            "get",
            words=(key,),
            summary=f"{title(self._link)} get {key}",
            args={"key": key},
            before={},
            after={},
            notes=("the value is shown to the requester alone",),
            private=True,
            done=f"the value of {key} was shown to the requester",
        )

    # -- what all have ----------------------------------------------------------------------------

    def _writable(self, found: Server) -> None:
        if found.role == "replica" or self._replica:
            where = f": ask for it at {found.primary}" if found.primary else ""
            raise RefusedError(
                f"{self._link.title} is a replica, whose keys its primary alone changes{where}."
            )

    def _plan(
        self,
        found: Server,
        verb: str,
        *,
        words: tuple[str, ...],
        args: Mapping[str, Any],
        effect: Literal["change", "danger"] = "change",
        **more: Any,
    ) -> Plan:
        return Plan(
            command=f"redis {verb}",
            line=f"redis {verb} {self._words(*words)}",
            target="redis",
            verb=verb,
            args={"name": self._link.name, **args},
            subject=f"redis:{self._link.name}",
            identity=found.identity,
            environment=str(self._configured.get("environment", "production")),
            service=self._configured.get("service"),
            effect=effect,
            **more,
        )

    def _back(self, verb: str, word: str, args: Mapping[str, Any], label: str = "") -> dict[str, Any]:
        return {
            "line": f"redis {verb} {self._words(word)}",
            "verb": verb,
            "args": {"name": self._link.name, **args},
            "label": label or word,
        }

    def _words(self, *words: str) -> str:
        return " ".join((*words, f"name={self._link.name}") if self._several else words)


def keys(count: int) -> str:
    """1 key, 2 keys."""
    return wording.counted(count, "key")


def _in_bounds(count: int) -> bool:
    return count == 0 or _LEAST <= count <= _MOST


def _sessions(count: Counted) -> tuple[str, ...]:
    if not count.refused:
        return ()
    which = "is such as is" if count.refused == 1 else "are such as are"
    return (f"{count.refused} of them {which} never shown, like sessions: people are logged out",)
