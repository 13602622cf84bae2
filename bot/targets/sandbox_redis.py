"""The simulated Redis as a target: its figures, its keys, its limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.targets import redis_changes as changes
from bot.targets import redis_words as words
from bot.targets import sandbox_redis_reads as reads
from bot.targets.by_name import named
from bot.targets.guard import UnreachableError
from bot.targets.redis_changes import Seen
from bot.targets.sandbox_changes import SandboxTarget, done
from bot.targets.sandbox_redis_reads import matching
from bot.targets.sandbox_state import Cache, State
from bot.targets.sandbox_world import World
from commands.actions import Answer, Outcome, Plan, Progress
from commands.values import shown
from incidents.ports import RefusedError


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
        return changes.maxmemory(self._seen(cache), size=size)

    def _policy(self, cache: Cache, *, policy: str) -> Plan:
        return changes.policy(self._seen(cache), policy=policy)

    def _kill(self, cache: Cache, *, client: str) -> Plan:
        if (address := _address(cache, client)) is None:
            raise RefusedError(f"{cache.name} has no client {shown(client)}; `/redis clients` lists them.")
        return changes.kill(self._seen(cache), client=client, address=address)

    def _delete(self, cache: Cache, *, pattern: str) -> Plan:
        changes.check_pattern(pattern)
        found = matching(cache, pattern)
        sessions = sum(words.fits(key, self._refused_keys) for key in found)
        return changes.delete(self._seen(cache), pattern=pattern, count=len(found), sessions=sessions)

    def _restore(self, cache: Cache, *, pattern: str) -> Plan:
        raise RefusedError(
            f"I hold nothing of {shown(pattern)} that could be brought back to {cache.name}: "
            "the sandbox keeps no values of deleted keys. A real Redis gives those of a small deletion back."
        )

    def _flush(self, cache: Cache, *, database: str) -> Plan:
        seen = self._seen(cache)
        changes.check_flush(seen, database, self.world.state.caches.keys() - {cache.name})
        return changes.flush(seen, count=len(matching(cache, "*")))

    def _get(self, cache: Cache, *, key: str) -> Plan:
        self._refuse_key(key)
        if not matching(cache, key, literal=True):
            raise RefusedError(f"{cache.name} has no key {shown(key)}.")
        return changes.get(self._seen(cache), key=key)

    def _seen(self, cache: Cache) -> Seen:
        configured = self.world.catalogue.redis.get(cache.name, {})
        return Seen(
            name=cache.name,
            title=reads.title(cache),
            several=len(self.world.state.caches) > 1,
            identity=cache.run_id,
            environment=str(configured.get("environment", "production")),
            service=configured.get("service"),
            maxmemory=cache.maxmemory,
            used=reads.used_bytes(cache),
            policy=cache.policy,
        )

    # -- running ----------------------------------------------------------------------------------

    def observed(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """The run id, and what of it the plan was made on."""
        cache = self._cache(plan.args["name"])
        known: dict[str, Any] = {"maxmemory": words.allowed(cache.maxmemory), "policy": cache.policy}
        if "keys" in plan.before:
            known["keys"] = len(matching(cache, plan.args.get("pattern", "*")))
        if "client" in plan.before:
            known["client"] = _address(cache, plan.args["client"])
        return cache.run_id, {key: known[key] for key in plan.before}

    def apply(self, plan: Plan, state: State) -> None:
        """Redis does at once what it is told."""
        cache, args = state.caches[plan.args["name"]], plan.args
        match plan.verb:
            case "maxmemory":
                cache.maxmemory = words.bytes_of(args["size"]) or 0
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
        batches = min(25, -(-total // changes.BATCH))
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
            allowed = words.fits(given["key"], self._readable)
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
        return named(caches, name, "Redis")

    def _refuse_key(self, key: str) -> None:
        if words.fits(key, self._refused_keys):
            raise RefusedError(f"Values of keys like {shown(key)} are never shown.")


def _address(cache: Cache, client: str) -> str | None:
    """Where a client connects from; None where there is no such client."""
    return next((c.address for c in cache.clients if str(c.ident) == client), None)
