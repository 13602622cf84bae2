"""A real Alertmanager for the target contract, behind a cable: silences made, and one of somebody else's ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from bot.targets.alertmanager_matchers import matchers
from bot.targets.build import targets_of
from bot.targets.sandbox_world import World
from commands.actions import Plan, Target
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


class RealAlertmanager(Rig):
    """The rig, and what it takes to begin and end one."""

    server: AlertmanagerServer
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
        self.cable.fault("hold", METHODS[plan.verb])
        running = asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        await self.accepted(key)
        running.cancel()
        await asyncio.wait([running])
        self.cable.heal()

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
            cable.fault("cut" if how == "drop" else "hold", METHODS["silence"])

    def count(key: str) -> int:
        others = sum(number for name, number in rig.counted.items() if name != key)
        ours = [s for s in server.silences() if s["id"] not in known and s["createdBy"] == "watchbell"]
        return len(ours) + bytes(cable.requests).count(METHODS["unsilence"]) - others

    rig = RealAlertmanager(None, changes, reads, move, breaks, count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.server, rig.cable, rig.made = server, cable, []
    return rig
