"""Each operations target with something real to change, for the target contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from bot.targets import sandbox
from bot.targets.sandbox_world import World
from commands.actions import Outcome, Plan, Target
from commands.catalogue import Catalogue, Service, Toggle

START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
CATALOGUE = Catalogue(
    services={
        "realtime": Service(
            "realtime",
            aliases=("rt",),
            health={
                "readiness": "http://realtime:8004/health/readiness",
                "liveness": "http://realtime:8004/health",
            },
            toggles={
                "BACKPRESSURE_THRESHOLD": Toggle("0.8", "0.9"),
                "LOG_VALIDATION_ERRORS": Toggle("false", "true"),
            },
            redis="redis",
            depends_on=("chat-adapters",),
            links={"grafana": "http://grafana.company.com/d/realtime"},
        ),
        "chat-adapters": Service("chat-adapters"),
        "payment-gateway": Service("payment-gateway", runtime="none"),
        "load-balancer": Service("load-balancer", runtime="compose", replicas=(1, 3)),
    },
    redis={"redis": {"environment": "production"}, "cache": {}},
    queries={"sockets": "sum(websocket_connections_active)"},
)


@dataclass(frozen=True)
class Change:
    """A change that the target can do.

    `undone` says whether there is a way back, `proved` whether the target shows after a crash that it was done.
    """

    verb: str
    args: Mapping[str, Any]
    undone: bool = True
    effect: str = "change"
    proved: bool = True


@dataclass
class Rig:
    """A target, its changes and reads, and ways to move, break and restart it from outside.

    `steady`: a read gives the same answer twice; a real system tells how long it took, and for how long it runs.
    """

    target: Target
    changes: tuple[Change, ...]
    reads: tuple[tuple[str, Mapping[str, Any]], ...]
    move: Callable[[Change], None]  # somebody else changes what this change is about
    breaks: Callable[[str], None]  # "error": answers errors; "drop": the connection breaks after the request
    count: Callable[[str], int]  # how often the change of a key was accepted
    again: Callable[[], Target]  # the target of a new process on the same world
    clock: VirtualClock
    steady: bool = True
    told: list[tuple[int, int, str]] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)  # how often the changes that ended were accepted

    async def started(self) -> Rig:
        """The same, ready for its test."""
        return self

    async def close(self) -> None:
        """Let go of whatever the target holds."""

    async def accepted(self, key: str) -> None:
        """Return when a change that is under way was accepted, and its answer is late."""
        await asyncio.sleep(0)
        assert self.clock.parked == 1

    def release(self) -> None:
        """Let the late answer come; here it comes by the clock."""

    async def cut(self, plan: Plan, key: str) -> None:
        """Run a plan and end the process right after the request was accepted."""
        running = asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    def state(self) -> Any:
        """Everything that a read must leave alone; None where the answers themselves tell."""
        return None

    async def progress(self, done: int, total: int, what: str) -> None:
        self.told.append((done, total, what))

    async def run(self, plan: Plan, key: str) -> Outcome:
        """Run a plan to its end, while the clock moves on."""
        outcome: Outcome = await self.through(
            asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        )
        self.counted[key] = self.count(key)
        return outcome

    async def through(self, task: asyncio.Future[Any], seconds: float = 300) -> Any:
        """The result of a task that waits on the clock."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while not task.done():
            await self.clock.advance(min(end, self.clock.next() or self.clock.now()))
            assert self.clock.now() < end, "it never ends"
        return await task


def _knobs(change: Change) -> dict[str, Any]:
    """How the world moves under a change."""
    if change.verb == "scale":
        return {"replicas": 5}
    if change.verb in ("restart", "rollback"):
        return {"image": "registry.company.com/realtime:9.9.9"}
    if change.verb == "maintenance":
        return {"MAINTENANCE_MODE": "true"}
    if change.verb == "toggle":
        return {"BACKPRESSURE_THRESHOLD": "0.7"}
    return {"maxmemory": 3 * 1024**3} if change.verb == "maxmemory" else {"policy": "volatile-ttl"}


def _rig(
    name: str, subject: str, changes: tuple[Change, ...], reads: tuple[tuple[str, Any], ...], path: Path
) -> Rig:
    clock = VirtualClock(START)
    world = World(path, clock)
    target = sandbox.build({"redis_readable": ["config:*"]}, catalogue=CATALOGUE, clock=clock, world=world)[
        name
    ]

    def again() -> Target:
        return sandbox.build({}, catalogue=CATALOGUE, clock=clock, path=path)[name]

    return Rig(
        target=target,
        changes=changes,
        reads=reads,
        move=lambda change: world.set(subject, **_knobs(change)),
        breaks=lambda how: world.set(subject, **{how: True}),
        count=lambda key: World(path, clock).changes.get(key, 0),
        again=again,
        clock=clock,
    )


def kubernetes(path: Path) -> Rig:
    """The sandbox's cluster."""
    service = {"service": "realtime"}
    changes = (
        Change("scale", {**service, "replicas": 10}),
        Change("scale", {**service, "replicas": 1}),
        Change("scale", {**service, "replicas": 0}, effect="danger"),
        Change("restart", service, undone=False),
        Change("rollback", service),
        Change("maintenance", {**service, "state": "on"}),
        Change("toggle", {**service, "key": "BACKPRESSURE_THRESHOLD", "new": "0.9"}),
    )
    reads = tuple((verb, service) for verb in ("pods", "describe", "events", "top", "rollout", "logs"))
    return _rig("kubernetes", "realtime", changes, reads, path)


def redis(path: Path) -> Rig:
    """The sandbox's Redis."""
    changes = (
        Change("maxmemory", {"size": "4gb"}),
        Change("policy", {"policy": "noeviction"}),
        Change("kill", {"client": "17"}, undone=False),
        Change("del", {"pattern": "rate-limit:*"}, undone=False, effect="danger"),
        Change("flush", {"database": "redis"}, undone=False, effect="danger"),
    )
    plain: Mapping[str, Any] = {}
    reads = (
        *((verb, plain) for verb in ("ping", "info", "memory", "dbsize", "slowlog", "clients", "hitrate")),
        ("keys", {"pattern": "session:*"}),
        ("get", {"key": "config:3"}),
    )
    return _rig("redis", "redis", changes, reads, path)


RIGS = {"sandbox_kubernetes": kubernetes, "sandbox_redis": redis}
