"""MongoDB for the target contract: what runs is the stand-in's, behind a cable."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from commands.actions import Plan, Target
from tests.contracts.target_rigs import START, Change, Rig
from tests.servers.cable import Cable
from tests.servers.mongo_server import StandIn
from tests.targets.mongo_world import fields, fresh, on_mongo, target_of

FAULTS = {"drop": "cut", "slow": "hold"}


class MongoRig(Rig):
    """The rig, and what it takes to begin and end one."""

    server: StandIn
    cable: Cable
    made: list[Target]

    async def started(self) -> Rig:
        """Ready for its test: the cable lies."""
        await self.cable.start()
        self.target = self.again()
        return self

    async def close(self) -> None:
        """Let go of every connection."""
        self.cable.heal()
        for target in self.made:
            await target.stop()  # type: ignore[attr-defined]
        await self.cable.stop()

    async def accepted(self, key: str) -> None:
        """Return when the server has carried a change out whose answer is held up."""
        await self.cable.answered()
        assert self.count(key)

    def release(self) -> None:
        """The answer comes."""
        self.cable.heal()

    async def cut(self, plan: Plan, key: str) -> None:
        """The process dies while the answer to its request is under way."""
        self.cable.fault("hold", b"killOp")
        running = asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        await self.accepted(key)
        running.cancel()
        await asyncio.wait([running])
        self.cable.heal()

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        return self.server.running()


def mongo(path: Path) -> Rig:
    """A server as untouched as a new one, with two operations to be ended."""
    server, clock = fresh(), VirtualClock(START)
    first, second = server.begins(), server.begins(opid=-17, client="10.0.0.8:40000", appName="reports")
    cable = Cable(server.port)
    changes = (
        Change("killop", {"op": first}, undone=False),
        Change("killop", {"op": second}, undone=False),
    )
    plain: Mapping[str, Any] = {}
    active = '{"status": "active"}'
    reads = (
        ("status", plain),
        ("ops", plain),
        ("indexes", {"collection": "subscriptions"}),
        ("explain", {"collection": "subscriptions", "filter": active}),
        ("find", {"collection": "subscriptions", "filter": active}),
    )

    def again() -> Target:
        made = target_of(on_mongo(fields(cable.port)), path.parent, clock)
        rig.made.append(made)
        return made

    def breaks(how: str) -> None:
        if how == "error":
            server.does("set", error={"code": 8, "errmsg": "something is wrong"})
        else:
            cable.fault(FAULTS[how], b"killOp")  # type: ignore[arg-type]

    rig = MongoRig(
        None,  # type: ignore[arg-type]
        changes,
        reads,
        lambda change: server.ends(change.args["op"]),
        breaks,
        server.kills,
        again,
        clock,
    )
    rig.server, rig.cable, rig.made = server, cable, []
    return rig
