"""A real Alertmanager for the target contract, behind a cable: silences made, and one of somebody else's ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from bot.targets.alertmanager_matchers import matchers
from bot.targets.build import targets_of
from bot.targets.sandbox_world import World
from commands.actions import Plan, Target
from tests.contracts.cable_rig import FAULTS, BehindCable
from tests.contracts.http_rig import on_web
from tests.contracts.target_rigs import START, Change, Rig
from tests.servers.alertmanager import AlertmanagerServer, shared
from tests.servers.cable import Cable

METHODS = {"silence": b"POST", "unsilence": b"DELETE"}
THERE = {"name": "alertname", "value": "PlannedWork", "isRegex": False, "isEqual": True}
ALERTS = (
    {"alertname": "RedisDown", "service": "realtime", "severity": "critical"},
    {"alertname": "HighErrorRate", "service": "realtime", "severity": "high"},
)


class RealAlertmanager(BehindCable):
    """The rig, and what it takes to begin and end one."""

    server: AlertmanagerServer

    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change."""
        return METHODS[plan.verb]

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        return sorted((each["id"], each["updatedAt"]) for each in self.server.silences())


def alertmanager(path: Path) -> Rig:
    """A server on which nothing but one silence of somebody else's lasts, and two alerts fire."""
    server, clock = shared(), VirtualClock(START)
    for each in server.silences():
        if each["status"]["state"] != "expired":
            server.end(each["id"])
    theirs = server.silence(THERE)
    server.fires(*ALERTS)
    known = {each["id"] for each in server.silences()}
    cable = Cable(server.port)
    changes = (
        Change("silence", {"matchers": 'alertname="RedisDown", service="realtime"', "seconds": 3600}),
        Change("silence", {"matchers": 'service=~"real.*"', "seconds": 600}, effect="danger"),
        Change("silence", {"matchers": 'alertname="HighErrorRate"', "seconds": 90_000}, effect="danger"),
        Change("unsilence", {"what": 'alertname="PlannedWork"'}, undone=False),
    )
    reads: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("alerts", {}),
        ("alerts", {"matchers": "alertname=RedisDown"}),
        ("silences", {}),
    )

    def again() -> Target:
        fields = {"driver": "alertmanager", "url": f"http://127.0.0.1:{cable.port}"}
        made = targets_of(on_web(alarms=fields), World(path, clock), clock)["alertmanager"]
        rig.made.append(made)
        return made

    def move(change: Change) -> None:
        if change.verb == "unsilence":
            server.end(theirs)
        else:
            wanted = matchers(str(change.args["matchers"]))
            server.silence(*(each.to_data() for each in wanted))

    def breaks(how: str) -> None:
        if how == "error":
            cable.fault("garbage", b"", times=100)
        else:
            cable.fault(FAULTS[how], METHODS["silence"])

    def count(key: str) -> int:
        others = sum(number for name, number in rig.counted.items() if name != key)
        ours = [s for s in server.silences() if s["id"] not in known and s["createdBy"] == "watchbell"]
        return len(ours) + bytes(cable.requests).count(METHODS["unsilence"]) - others

    rig = RealAlertmanager(None, changes, reads, move, breaks, count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.server, rig.cable, rig.made = server, cable, []
    return rig
