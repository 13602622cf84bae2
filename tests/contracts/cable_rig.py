"""A target for the contract whose server stands behind a cable, which can be cut and held."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from commands.actions import Plan, Target
from tests.contracts.target_rigs import Rig
from tests.servers.cable import Cable, Fault

FAULTS: dict[str, Fault] = {"drop": "cut", "slow": "hold"}


class BehindCable(Rig, ABC):
    """The rig, and what it takes to begin and end one."""

    server: Any
    cable: Cable
    made: list[Target]

    @abstractmethod
    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change, by which the cable knows it."""

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
        """The process dies while the answer to its last request is under way."""
        self.cable.fault("hold", self.last_request(plan))
        running = asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        await self.accepted(key)
        running.cancel()
        await asyncio.wait([running])
        self.cable.heal()
