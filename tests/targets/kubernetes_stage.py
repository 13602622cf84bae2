"""A cluster for the tests of its target: furnished anew, with a bot's token, and the whole bot where that is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.targets.build import targets_of
from bot.targets.sandbox_world import World
from commands.actions import Outcome, Plan, Target
from incidents.ports import Clock
from tests.contracts.kubernetes_rig import on_kubernetes
from tests.safety.rig import Chat
from tests.servers.kubernetes_server import KubernetesServer
from tests.targets.redis_stage import RealStage

SERVICE = {"service": "realtime"}
DEPLOYMENT = "/apis/apps/v1/namespaces/production/deployments/realtime"


def target_of(server: KubernetesServer, folder: Path, clock: Clock, **fields: Any) -> Any:
    """The target of the stand-in alone, behind its guard."""
    settings = on_kubernetes(server, **fields)
    return targets_of(settings, World(folder / "world.json", clock), clock)["kubernetes"].parts["main"]  # type: ignore[attr-defined]


async def ran(server: KubernetesServer, target: Target, clock: Any, plan: Plan, key: str = "wb-1") -> Outcome:
    """Run a plan to its end; the cluster goes on a step whenever the clock does."""

    async def progress(done: int, total: int, what: str) -> None:
        told.append((done, total, what))

    told: list[tuple[int, int, str]] = []
    task = asyncio.ensure_future(target.run(plan, key=key, progress=progress))
    while not task.done():
        if clock.parked:
            await server.act("step")
            await clock.advance(clock.next())
        await asyncio.wait([task], timeout=0.001)
    return await task


class ClusterChat(Chat):
    """People in a chat with a bot that operates a cluster."""

    def __init__(self, stage: RealStage, server: KubernetesServer) -> None:
        super().__init__(stage)
        self.server = server

    @property
    def replicas(self) -> int:
        """How many pods realtime is to have."""
        found: int = self.server.named("deployments", "realtime", "production")["spec"]["replicas"]
        return found

    async def asks(self, line: str) -> Any:
        """alice asks for a change; the card."""
        before = self.cards()
        await self.alice.says(line)
        assert self.cards() == before + 1, self.bot_said()
        return self.card()

    async def rolled(self) -> None:
        """Let the cluster and the clock go on until nothing moves any more."""
        for _ in range(8):
            await self.server.act("settle")
            await self.waits(2)

    async def approved(self, line: str, *people: str) -> str:
        """alice asks, these people approve, and it runs; the card at its end."""
        card = await self.asks(line)
        for person in people or ("bob",):
            await getattr(self, person).reacts(card, "✅")
        await self.rolled()
        return self.card().plain


@asynccontextmanager
async def chatting(
    folder: Path, server: KubernetesServer, *, bots: int = 1, **fields: Any
) -> AsyncIterator[ClusterChat]:
    """A running bot with an incident that alice opened; `fields` are of its target."""
    stage = RealStage(on_kubernetes(server, **fields), folder)
    try:
        for _ in range(bots):
            await stage.start()
        made = ClusterChat(stage, server)
        await made.settle()
        await made.opens()
        server.requests(clear=True)
        yield made
    finally:
        server.call("faults")
        await stage.close()
