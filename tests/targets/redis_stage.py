"""The whole bot with its chat on a virtual clock, and a real Redis at the end of a cable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.app import boot
from bot.config import Settings
from bot.sandbox_pager import SandboxPager
from bot.targets.build import targets_of
from tests.contracts.redis_rig import WRITES, on_redis
from tests.safety.rig import Chat, OddStage, example
from tests.servers.cable import Cable
from tests.servers.redis_server import RedisServer

TIMEOUT = 1.0  # seconds for a request


class RealStage(OddStage):
    """As the stage of the safety tests, but with the targets of the configuration."""

    async def start(self) -> None:
        """Start a bot; beside another one where one runs already."""
        made = boot(
            self.settings,
            self.data,
            platforms=dict(self.chats),
            targets=targets_of(self.settings, self.world, self.clock),
            pager=SandboxPager(self.console, self.world),
            clock=self.clock,
            observe=lambda stream, event, number: self.happened.append((stream, event)),
        )
        self.bots.append(await self._lives.enter_async_context(made))
        await self.bots[-1].start()


class RealChat(Chat):
    """People in a chat with a bot that operates a real Redis."""

    def __init__(self, stage: RealStage, server: RedisServer, cable: Cable) -> None:
        super().__init__(stage)
        self.server, self.cable = server, cable

    @property
    def changes(self) -> int:
        """How many changes the server has carried out since its counters were reset."""
        return self.server.calls(*WRITES)

    async def asks(self, line: str) -> Any:
        """alice asks for a change; the card."""
        before = self.cards()
        await self.alice.says(line)
        assert self.cards() == before + 1, self.bot_said()
        return self.card()

    async def approved(self, line: str, *people: str) -> str:
        """alice asks, these people approve, and it runs; the card at its end."""
        card = await self.asks(line)
        for person in people or ("bob",):
            await getattr(self, person).reacts(card, "✅")
        return self.card().plain


def settings_for(server: RedisServer, cable: Cable) -> Settings:
    """The example configuration with that server as `redis` and its second database as `limits`."""
    databases = {"redis": {}, "limits": {"db": 1}}
    made = on_redis({"url": server.url(cable.port)}, databases, settings=example())
    main = {**made.targets["main"], "timeout": TIMEOUT}
    return replace(made, targets={**made.targets, "main": main})


@asynccontextmanager
async def chatting(folder: Path, server: RedisServer, *, bots: int = 1) -> AsyncIterator[RealChat]:
    """A running bot with an incident that alice opened."""
    async with Cable(server.port) as cable:
        stage = RealStage(settings_for(server, cable), folder)
        try:
            for _ in range(bots):
                await stage.start()
            made = RealChat(stage, server, cable)
            await made.settle()
            await made.opens()
            server.admin.config_resetstat()
            yield made
        finally:
            cable.heal()
            await stage.close()
