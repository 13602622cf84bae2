"""A compose project for the target contract: on a real engine (Podman), and on the stand-in; behind a cable."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from bot.config import Settings
from bot.targets.build import targets_of
from bot.targets.config import section
from bot.targets.sandbox_world import World
from commands.actions import Plan, Target
from commands.catalogue import Service
from tests.contracts.cable_rig import FAULTS, BehindCable
from tests.contracts.target_rigs import START, Change, Rig
from tests.safety.rig import example
from tests.servers import engine_server, podman
from tests.servers.cable import Cable
from tests.servers.engine_api import PROJECT, EngineApi, Wanted

MIB = 1024**2
SERVICES = {
    "instance-manager": Wanted(1, host={"Memory": 64 * MIB, "MemorySwap": 128 * MIB}),
    "intelligent-router": Wanted(2),
}
BOUNDS = {"instance-manager": (0, 5), "intelligent-router": (1, 4)}
LAST = {"restart": b"/restart", "memory": b"/update"}  # the request with which a change is done
_WRITES = re.compile(rb"(POST|DELETE) /v[0-9.]+/(?:containers|networks)/(?:[0-9a-f]{64}(/\w+)?|create)")


def on_compose(socket: Path | None, *, settings: Settings | None = None, **fields: Any) -> Settings:
    """The example configuration with that engine as `stack`, where two of its services run."""
    settings = settings or example()
    way = {"socket": str(socket)} if socket is not None else {}
    made = section({"driver": "compose", "project": PROJECT, **way, **fields})
    known = settings.catalogue.services
    ours = {
        name: replace(known.get(name, Service(name)), runtime="compose", cluster="stack", replicas=bounds)
        for name, bounds in BOUNDS.items()
    }
    catalogue = replace(settings.catalogue, services={**known, **ours})
    return replace(settings, targets={**settings.targets, "stack": made}, catalogue=catalogue)


def changes_in(requests: bytes) -> int:
    """How many changes these requests are; one of several requests counts once."""
    found = Counter(match[2] or match[1] for match in _WRITES.finditer(requests))
    return max(found.values(), default=0)


class RealCompose(BehindCable):
    """The rig, and what it takes to begin and end one."""

    server: EngineApi

    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change."""
        return _last(plan)

    async def through(self, task: asyncio.Future[Any], seconds: float = 300) -> Any:
        """As ever, without keeping the machine busy while the engine works."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while not task.done():
            await asyncio.wait([task], timeout=0.005)
            await self.clock.advance(min(end, self.clock.next() or self.clock.now()))
            assert self.clock.now() < end, "it never ends"
        return await task

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        return [(each["Id"], each["State"]["StartedAt"]) for each in self.server.containers()]


def _last(plan: Plan) -> bytes:
    if plan.verb != "scale":
        return LAST[plan.verb]
    more = plan.after["replicas"] > plan.before["replicas"]
    return b"/start" if more else b"DELETE" if plan.after["replicas"] else b"/stop"


def _rig(path: Path, server: EngineApi, *, limits: bool) -> Rig:
    clock = VirtualClock(START)
    server.furnish(SERVICES)
    lone, two = {"service": "instance-manager"}, {"service": "intelligent-router"}
    cable = Cable(server.socket)
    changes = (
        Change("restart", lone, undone=False),
        Change("scale", {**two, "replicas": 3}),
        Change("scale", {**two, "replicas": 1}),
        Change("scale", {**lone, "replicas": 0}, effect="danger"),
        *([Change("memory", {**lone, "size": "128m"})] if limits else []),
    )
    reads: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("ps", {}),
        ("ps", two),
        ("stats", {}),
        ("logs", two),
        ("logs", {**two, "container": 2, "grep": "started"}),
    )

    def again() -> Target:
        settings = on_compose(cable.socket)
        made: Target = targets_of(settings, World(path, clock), clock)["compose"]
        rig.made.append(made)
        return made

    def move(change: Change) -> None:
        if change.verb == "restart":
            server.again(str(change.args["service"]))
        elif change.verb == "memory":
            body = {"Memory": 96 * MIB, "MemorySwap": 160 * MIB}
            server.ask("POST", f"/containers/{server.named('instance-manager')['Id']}/update", body)
        else:
            server.make(str(change.args["service"]), 7, Wanted())

    def breaks(how: str) -> None:
        if how == "error":
            cable.fault("garbage", times=100)
        else:
            cable.fault(FAULTS[how], b"/restart")

    def count(key: str) -> int:
        others = sum(number for name, number in rig.counted.items() if name != key)
        return changes_in(bytes(cable.requests)) - others

    rig = RealCompose(None, changes, reads, move, breaks, count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.server, rig.cable, rig.made = server, cable, []
    return rig


def real(path: Path) -> Rig:
    """Podman, whose version in Debian 12 changes no limits of what runs."""
    return _rig(path, podman.shared(), limits=False)


def stand_in(path: Path) -> Rig:
    """The stand-in, which has all of it."""
    server = engine_server.shared()
    server.call("reset")
    return _rig(path, server, limits=True)
