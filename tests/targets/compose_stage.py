"""A compose project for the tests of its target: furnished anew, a target that reaches it, and the whole bot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from bot.targets.build import targets_of
from bot.targets.sandbox_world import World
from commands.actions import Outcome, Plan, Target
from tests.contracts.compose_rig import SERVICES, changes_in, on_compose
from tests.contracts.target_rigs import START
from tests.safety.rig import Chat
from tests.servers.cable import Cable
from tests.servers.engine_api import EngineApi
from tests.servers.engine_server import EngineServer, shared
from tests.targets.redis_stage import RealStage

ONE, TWO = {"service": "instance-manager"}, {"service": "intelligent-router"}


def fresh() -> EngineServer:
    """The stand-in as new: instance-manager once with 64m, intelligent-router twice."""
    server = shared()
    server.call("reset")
    server.furnish(SERVICES)
    return server


class Reach:
    """Makes targets, tells how far a change is, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock(START)
        self.told: list[tuple[int, int, str]] = []
        self._folder = folder
        self._made: list[Any] = []

    def target(self, socket: Path | None, *, timeout: float = 5.0, **fields: Any) -> Target:
        """The target of the project at that socket."""
        settings = on_compose(socket, **fields)
        stack = {**settings.targets["stack"], "timeout": timeout}
        settings = replace(settings, targets={**settings.targets, "stack": stack})
        made = targets_of(settings, World(self._folder / "world.json", self.clock), self.clock)["compose"]
        self._made.append(made)
        return made

    async def ran(self, target: Target, plan: Plan, key: str = "wb-1") -> Outcome:
        """Run a plan to its end."""
        task = asyncio.ensure_future(target.run(plan, key=key, progress=self.progress))
        return await self.through(task)

    async def through(self, task: asyncio.Future[Any]) -> Any:
        """The result, while the clock goes on whenever somebody waits for it."""
        while not task.done():
            await asyncio.wait([task], timeout=0.005)
            if self.clock.parked:
                await self.clock.advance(self.clock.next() or self.clock.now())
        return await task

    async def progress(self, done: int, total: int, what: str) -> None:
        self.told.append((done, total, what))

    async def stop(self) -> None:
        """Let go of every connection."""
        for target in self._made:
            await target.stop()


class StackChat(Chat):
    """People in a chat with a bot that operates a compose project."""

    def __init__(self, stage: RealStage, server: EngineApi, cable: Cable) -> None:
        super().__init__(stage)
        self.server, self.cable = server, cable

    @property
    def changes(self) -> int:
        """How many changes the bot has sent."""
        return changes_in(bytes(self.cable.requests))

    async def asks(self, line: str) -> Any:
        """alice asks for a change; the card."""
        before = self.cards()
        await self.alice.says(line)
        assert self.cards() == before + 1, self.bot_said()
        return self.card()

    async def ended(self) -> None:
        """Let what was begun come to its end, on the engine and on the clock."""
        for _ in range(6):
            await self.waits(2)

    async def approved(self, line: str, *people: str) -> str:
        """alice asks, these people approve, and it runs; the card at its end."""
        card = await self.asks(line)
        for person in people or ("bob",):
            await getattr(self, person).reacts(card, "✅")
        await self.ended()
        return self.card().plain


@asynccontextmanager
async def chatting(folder: Path, server: EngineApi, *, bots: int = 1) -> AsyncIterator[StackChat]:
    """A running bot with an incident that alice opened, and the project behind a cable."""
    async with Cable(server.socket) as cable:
        settings = on_compose(cable.socket)
        stack = {**settings.targets["stack"], "timeout": 2.0}
        stage = RealStage(replace(settings, targets={**settings.targets, "stack": stack}), folder)
        try:
            for _ in range(bots):
                await stage.start()
            made = StackChat(stage, server, cable)
            await made.settle()
            await made.opens()
            yield made
        finally:
            cable.heal()
            await stage.close()
