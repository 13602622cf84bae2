"""The simulated Redis as a target: its figures, its keys, its limits."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from bot.targets import sandbox_redis_reads as reads
from bot.targets.guard import UnreachableError
from bot.targets.sandbox_changes import SandboxTarget, done, undo
from bot.targets.sandbox_redis_reads import matching
from bot.targets.sandbox_state import Cache, State
from bot.targets.sandbox_world import World
from commands.actions import Answer, Outcome, Plan, Progress
from commands.values import nearest, shown
from incidents.ports import RefusedError
from incidents.wording import counted

_SIZE = re.compile(r"([0-9]{1,12})(b|kb|mb|gb)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_LEAST, _MOST = 64 * 1024**2, 64 * 1024**3  # bytes that maxmemory takes
_POLICIES = (
    "noeviction",
    *(f"{keys}-{how}" for keys in ("allkeys", "volatile") for how in ("lru", "lfu", "random")),
    "volatile-ttl",
)
_BATCH = 500  # keys unlinked at a time


class SandboxRedis(SandboxTarget):
    """Redis of the sandbox. Key patterns in `readable` may be read at once, those in `refused` never."""

    name = "redis"
    speaks = "Redis"

    def __init__(
        self, world: World, *, readable: tuple[str, ...] = (), refused: tuple[str, ...] = ("session:*",)
    ) -> None:
        super().__init__(world)
        self._readable, self._refused_keys = readable, refused

    # -- plans ------------------------------------------------------------------------------------

    def planned(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of one of the changes; RefusedError where it cannot be."""
        makers: dict[str, Callable[..., Plan]] = {
            "maxmemory": self._maxmemory,
            "policy": self._policy,
            "kill": self._kill,
            "del": self._delete,
            "restore": self._restore,
            "flush": self._flush,
            "get": self._get,
        }
        if verb not in makers:
            return super().planned(verb, args)
        given = dict(args)
        return makers[verb](self._cache(given.pop("name", None)), **given)

    def _maxmemory(self, cache: Cache, *, size: str) -> Plan:
        found = _SIZE.fullmatch(str(size))
        wanted = int(found[1]) * _UNITS[(found[2] or "").lower()] if found else 0
        if not _LEAST <= wanted <= _MOST:
            raise RefusedError(f"maxmemory takes 64mb to 64gb; {shown(size)} is outside.")
        old, new = reads.size(cache.maxmemory), reads.size(wanted)
        if wanted == cache.maxmemory:
            raise RefusedError(f"{cache.name} is allowed {new} already.")
        used = reads.used_bytes(cache)
        evicts = wanted < used and cache.policy != "noeviction"
        return self._plan(
            cache,
            "maxmemory",
            words=(new,),
            summary=f"{reads.title(cache)} maxmemory {old} → {new}",
            args={"size": new},
            before={"maxmemory": cache.maxmemory},
            after={"maxmemory": wanted},
            undo=undo("redis maxmemory", self._words(cache, old), old, {"name": cache.name, "size": old}),
            notes=(f"{reads.human(used)} are used now: keys will be evicted",) if evicts else (),
            done=f"{cache.name} may use {new}",
        )

    def _policy(self, cache: Cache, *, policy: str) -> Plan:
        if policy not in _POLICIES:
            raise RefusedError(f"There is no eviction policy {shown(policy)}.{nearest(policy, _POLICIES)}")
        old = cache.policy
        if policy == old:
            raise RefusedError(f"{cache.name} evicts by {policy} already.")
        return self._plan(
            cache,
            "policy",
            words=(policy,),
            summary=f"{reads.title(cache)} policy {old} → {policy}",
            args={"policy": policy},
            before={"policy": old},
            after={"policy": policy},
            undo=undo("redis policy", self._words(cache, old), old, {"name": cache.name, "policy": old}),
            done=f"{cache.name} evicts by {policy}",
        )

    def _kill(self, cache: Cache, *, client: str) -> Plan:
        found = next((c for c in cache.clients if str(c.ident) == client), None)
        if found is None:
            there = ", ".join(str(c.ident) for c in cache.clients) or "none"
            raise RefusedError(f"{cache.name} has no client {shown(client)}; there are {there}.")
        return self._plan(
            cache,
            "kill",
            words=(client,),
            summary=f"{reads.title(cache)} kill client {client} ({found.name}, {found.address})",
            args={"client": client},
            before={"client": f"{found.name} {found.address}"},
            after={"client": None},
            done=f"client {client} was disconnected",
        )

    def _delete(self, cache: Cache, *, pattern: str) -> Plan:
        if not pattern.strip("*?"):
            raise RefusedError("That pattern is every key; use redis flush and type the database's name.")
        count = len(matching(cache, pattern))
        if not count:
            raise RefusedError(f"No key of {cache.name} matches {shown(pattern)}.")
        return self._plan(
            cache,
            "del",
            words=(pattern,),
            summary=f"{reads.title(cache)} del {pattern}: {counted(count, 'key')}",
            args={"pattern": pattern},
            before={"keys": count},
            after={"keys": 0},
            effect="danger",
            notes=("gone for good, in batches of 500", *_sessions(cache, pattern)),
            done=f"{counted(count, 'key')} deleted",
        )

    def _restore(self, cache: Cache, *, pattern: str) -> Plan:
        raise RefusedError(
            f"I hold nothing of {shown(pattern)} that could be brought back to {cache.name}: "
            "the sandbox keeps no values of deleted keys. A real Redis gives those of a small deletion back."
        )

    def _flush(self, cache: Cache, *, database: str) -> Plan:
        if database != cache.name:
            raise RefusedError(f"That flushes {cache.name}: type its name, as in redis flush {cache.name}.")
        count = len(matching(cache, "*"))
        return self._plan(
            cache,
            "flush",
            words=(database,),
            summary=f"{reads.title(cache)} flush: all {count} keys",
            args={"database": database},
            before={"keys": count},
            after={"keys": 0},
            effect="danger",
            notes=("gone for good", *_sessions(cache, "*")),
            done=f"{cache.name} is empty",
        )

    def _get(self, cache: Cache, *, key: str) -> Plan:
        self._refuse_key(key)
        if not matching(cache, key, literal=True):
            raise RefusedError(f"{cache.name} has no key {shown(key)}.")
        return self._plan(
            cache,
            "get",
            words=(key,),
            summary=f"{reads.title(cache)} get {key}",
            args={"key": key},
            before={},
            after={},
            notes=("the value is shown to the requester alone",),
            private=True,
            done=f"the value of {key} was shown to the requester",
        )

    def _plan(
        self, cache: Cache, verb: str, *, words: tuple[str, ...], args: Mapping[str, Any], **more: Any
    ) -> Plan:
        configured = self.world.catalogue.redis.get(cache.name, {})
        return Plan(
            command=f"redis {verb}",
            line=f"redis {verb} {self._words(cache, *words)}",
            target=self.name,
            verb=verb,
            args={"name": cache.name, **args},
            subject=f"redis:{cache.name}",
            identity=cache.run_id,
            environment=str(configured.get("environment", "production")),
            **more,
        )

    def _words(self, cache: Cache, *words: str) -> str:
        several = len(self.world.state.caches) > 1
        return " ".join((*words, f"name={cache.name}") if several else words)

    # -- running ----------------------------------------------------------------------------------

    def observed(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """The run id, and what of it the plan was made on."""
        cache = self._cache(plan.args["name"])
        known: dict[str, Any] = {"maxmemory": cache.maxmemory, "policy": cache.policy}
        if "keys" in plan.before:
            known["keys"] = len(matching(cache, plan.args.get("pattern", "*")))
        if "client" in plan.before:
            client = next((c for c in cache.clients if str(c.ident) == plan.args["client"]), None)
            known["client"] = f"{client.name} {client.address}" if client else None
        return cache.run_id, {key: known[key] for key in plan.before}

    def apply(self, plan: Plan, state: State) -> None:
        """Redis does at once what it is told."""
        cache, args = state.caches[plan.args["name"]], plan.args
        match plan.verb:
            case "maxmemory":
                cache.maxmemory = int(plan.after["maxmemory"])
            case "policy":
                cache.policy = args["policy"]
            case "kill":
                cache.clients = [c for c in cache.clients if str(c.ident) != args["client"]]
            case "del":
                cache.deleted.append(args["pattern"])
            case "flush":
                cache.deleted.append("*")

    async def finish(self, plan: Plan, key: str, progress: Progress) -> Outcome:
        """Say how it ended; keys go in batches, one a second."""
        if plan.verb == "get":
            shown_value = reads.value(self._cache(plan.args["name"]), plan.args["key"])
            return Outcome("done", plan.done, {}, Answer(plan.args["key"], text=shown_value, private=True))
        total = int(plan.before.get("keys", 0))
        mark = self.world.accepted(key)
        began = mark.at if mark else self.world.now()
        batches = min(25, -(-total // _BATCH))
        for batch in range(1, batches + 1):
            await progress(min(total, batch * -(-total // batches)), total, "keys")
            left = began + batch * 1000 - self.world.now()
            await self.world.clock.sleep(max(0, left) / 1000)
        return done(plan, self.observed(plan)[1])

    # -- reads ------------------------------------------------------------------------------------

    def answered(self, verb: str, args: Mapping[str, Any]) -> Answer:
        """One of the reads. `readable` answers privately where a key's value needs an approval."""
        given = {key: value for key, value in args.items() if key != "name" and value is not None}
        cache = self._cache(args.get("name"))
        if verb in ("readable", "get"):
            self._refuse_key(given["key"])
            allowed = any(reads.fits(given["key"], pattern) for pattern in self._readable)
            if verb == "readable":
                return Answer(given["key"], private=not allowed)
            if not allowed:
                raise RefusedError(f"The value of {shown(given['key'])} is shown after an approval only.")
        return reads.answer(cache, verb, given, self.world.now())

    def trouble(self, args: Mapping[str, Any]) -> str:
        """The knob of the Redis; TargetError while it is down."""
        cache = self._cache(args.get("name"))
        if cache.trouble == "down":
            raise UnreachableError(f"{reads.title(cache).capitalize()} does not answer: connection refused.")
        return cache.trouble

    def _cache(self, name: str | None) -> Cache:
        caches = self.world.state.caches
        if name is None:
            return next(iter(caches.values()))
        if name not in caches:
            raise RefusedError(f"There is no Redis called {shown(name)}; there is {', '.join(caches)}.")
        return caches[name]

    def _refuse_key(self, key: str) -> None:
        if any(reads.fits(key, pattern) for pattern in self._refused_keys):
            raise RefusedError(f"Values of keys like {shown(key)} are never shown.")


def _sessions(cache: Cache, pattern: str) -> tuple[str, ...]:
    count = sum(key.startswith("session:") for key in matching(cache, pattern))
    return (f"{count} sessions are among them: people are logged out",) if count else ()
