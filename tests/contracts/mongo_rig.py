"""MongoDB for the target contract: what runs is the stand-in's, behind a cable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from commands.actions import Plan, Target
from tests.contracts.cable_rig import FAULTS, BehindCable
from tests.contracts.target_rigs import START, Change, Rig
from tests.servers.cable import Cable
from tests.servers.mongo_server import StandIn
from tests.targets.mongo_world import fields, fresh, on_mongo, target_of


class MongoRig(BehindCable):
    """The rig, and what it takes to begin and end one."""

    server: StandIn

    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change."""
        return b"killOp"

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
            cable.fault(FAULTS[how], b"killOp")

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
