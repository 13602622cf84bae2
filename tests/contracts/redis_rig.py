"""A real Redis for the target contract: behind a cable, with a user of the bot's own that can lose its rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bot.clock import VirtualClock
from bot.config import Settings
from bot.targets.build import targets_of
from bot.targets.config import section
from bot.targets.sandbox_world import World
from commands.actions import Plan, Target
from tests.contracts.cable_rig import FAULTS, BehindCable
from tests.contracts.target_rigs import START, Change, Rig
from tests.safety.rig import example
from tests.servers.cable import Cable
from tests.servers.redis_server import RedisServer, shared

GIB = 1024**3
WRITES = ("config|set", "client|kill", "unlink", "flushdb", "restore")
PASSWORD = "correct horse"


def on_redis(
    fields: Mapping[str, Any],
    databases: Mapping[str, Mapping[str, Any]],
    password: str | None = None,
    *,
    settings: Settings | None = None,
) -> Settings:
    """The example configuration with a real Redis, `main`, beside the sandbox."""
    settings = settings or example()
    known = {"target": "main", "service": None, "environment": "production", "url": None, "db": None}
    made = section({"driver": "redis", **fields}) | {"password": SecretStr(password) if password else None}
    catalogue = replace(
        settings.catalogue, redis={name: {**known, **database} for name, database in databases.items()}
    )
    rules = replace(settings.redaction, redis_readable=("config:*", "*rate-limit*"))
    return replace(settings, targets={**settings.targets, "main": made}, catalogue=catalogue, redaction=rules)


class RealRedis(BehindCable):
    """The rig, and what it takes to begin and end one."""

    server: RedisServer
    others: list[Any]
    ours: int

    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change."""
        return b"EXEC" if plan.undo and plan.verb == "del" else _request(plan)

    async def close(self) -> None:
        """Let go of every connection."""
        await super().close()
        for client in self.others:
            client.close()

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        admin = self.server.admin
        keys = {key: admin.dump(key) for key in sorted(admin.keys("*"))}
        return keys, admin.config_get("maxmemory*")


def _request(plan: Plan) -> bytes:
    words = {
        "maxmemory": b"CONFIG",
        "policy": b"CONFIG",
        "kill": b"KILL",
        "del": b"UNLINK",
        "flush": b"FLUSHDB",
    }
    return words[plan.verb]


def redis(path: Path) -> Rig:
    """A server as untouched as a new one, with some keys and one client to be closed."""
    server, clock = shared(), VirtualClock(START)
    admin = server.admin
    _fresh(server)
    worker = server.client(client_name="worker")
    client = str(worker.client_id())
    cable = Cable(server.port)
    changes = (
        Change("maxmemory", {"size": "4gb"}),
        Change("policy", {"policy": "noeviction"}),
        Change("kill", {"client": client}, undone=False),
        Change("del", {"pattern": "rate-limit:*"}, effect="danger", proved=False),
        Change("del", {"pattern": "session:*"}, undone=False, effect="danger", proved=False),
        Change("flush", {"database": "redis"}, undone=False, effect="danger", proved=False),
    )
    plain: Mapping[str, Any] = {}
    reads = (
        *((verb, plain) for verb in ("ping", "info", "memory", "dbsize", "slowlog", "clients", "hitrate")),
        *(("info", {"section": section}) for section in ("server", "clients", "memory", "stats", "keyspace")),
        ("keys", {"pattern": "session:*"}),
        ("get", {"key": "config:3"}),
    )

    def again() -> Target:
        fields = {"url": server.url(cable.port), "username": "watchbell"}
        settings = on_redis(fields, {"redis": {}}, PASSWORD)
        made = targets_of(settings, World(path, clock), clock)["redis"].parts["main"]  # type: ignore[attr-defined]
        rig.made.append(made)
        return made

    def move(change: Change) -> None:
        rig.ours += 1
        if change.verb == "maxmemory":
            admin.config_set("maxmemory", 3 * GIB)
        else:
            admin.config_set("maxmemory-policy", "volatile-ttl")

    def breaks(how: str) -> None:
        if how == "error":
            admin.acl_setuser("watchbell", commands=["-@all"])
        else:
            cable.fault(FAULTS[how], b"CONFIG")  # type: ignore[arg-type]

    def count(key: str) -> int:
        others = sum(number for name, number in rig.counted.items() if name != key)
        return server.calls(*WRITES) - rig.ours - others

    rig = RealRedis(None, changes, reads, move, breaks, count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.server, rig.cable, rig.others, rig.made, rig.ours = server, cable, [worker], [], 0
    return rig


def _fresh(server: RedisServer) -> None:
    admin = server.admin
    admin.flushall()
    admin.config_set("maxmemory", 2 * GIB)
    admin.config_set("maxmemory-policy", "allkeys-lru")
    admin.execute_command("ACL", "SETUSER", "watchbell", "reset", "on", f">{PASSWORD}", "~*", "+@all")
    admin.mset({f"rate-limit:user:{n}": n for n in range(7)})
    admin.mset({f"session:{n:032x}": "somebody" for n in range(3)})
    admin.mset({f"config:{n}": f"value {n}" for n in range(5)})
    admin.config_resetstat()
