"""The whole bot on a virtual clock, for rehearsals: driven step by step, with nothing in between."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from bot.app import Bot, boot
from bot.clock import VirtualClock
from bot.config import Settings, load
from bot.config_settings import SourceSettings
from bot.platforms.console import Console, Output
from bot.play_stage import Observer, Record
from bot.sandbox_pager import SandboxPager
from bot.targets.build import simulated
from bot.targets.sandbox_world import World
from commands.actions import Target
from incidents import events as e
from incidents.ports import Clock

SETTLED = 3  # turns of the loop in a row without anything to do


class PlayStage:
    """People, sandbox and clock live here and outlast the bot, which can be killed and started again."""

    def __init__(self, settings: Settings, data: Path, start: datetime, observe: Observer) -> None:
        self.settings = settings
        self.clock = VirtualClock(start)
        self._data = data
        self._observe = observe
        data.mkdir(parents=True, exist_ok=True)
        self.console = console_of(settings, data, self.clock)
        self.console.observe(self._said)
        self.world = World(data / "sandbox.json", self.clock)
        self._bot: Bot | None = None
        self._running = AsyncExitStack()

    @property
    def bot(self) -> Bot:
        """The bot that runs now; RuntimeError after `kill`."""
        if self._bot is None:
            raise RuntimeError("the bot is not running")
        return self._bot

    async def start(self) -> None:
        """Start the bot on the data that is there."""
        targets = targets_of(self.settings, self.world, self.clock)
        pager = SandboxPager(self.console, self.world)
        self._bot = await self._running.enter_async_context(
            boot(
                self.settings,
                self._data,
                platforms={"console": self.console},
                targets=targets,
                pager=pager,
                clock=self.clock,
                observe=self._happened,
            )
        )
        await self._bot.start()

    async def kill(self) -> None:
        """End the bot where it stands: nothing is finished or said."""
        self._bot = None
        await self._running.aclose()
        self._running = AsyncExitStack()

    async def close(self) -> None:
        """End everything."""
        await self.kill()
        self.console.close()

    async def settle(self) -> None:
        """Return when no task is runnable, and the writer's queue and the outbox are empty."""
        while True:
            await self._quiet()
            # Only now: what is delivered, and thus what is recorded, must not hang on who was faster.
            if not await self.bot.deliverer.drain():
                return

    async def _quiet(self) -> None:
        """Return when every task sleeps on the clock and no unit waits for the log."""
        turns = 0
        while turns < SETTLED:
            await self.bot.store.idle()
            await asyncio.sleep(0)
            if self.bot.work.active > self.clock.parked or self.bot.store.pending:
                turns = 0
                await asyncio.sleep(0.0002)  # a reader's thread has to get its turn
            else:
                turns += 1

    async def next_due(self) -> datetime | None:
        """When something happens next by itself."""
        found = [await self.bot.watch.next(), await self.bot.deliverer.next_retry(), self.clock.next()]
        return min((at for at in found if at is not None), default=None)

    async def tick(self, now: datetime) -> None:
        """Move the clock; deadlines come before anything else at that time."""
        self.clock.move(now)
        await self.bot.watch.tick()
        await self.settle()
        self.clock.wake(now)

    async def alert(self, source: str, body: bytes) -> None:
        """Receive a webhook's body."""
        sources = self.settings.alerts.sources
        if (configured := sources.get(source)) is None:
            raise LookupError(f"no alert source is called {source}; there are {', '.join(sources) or 'none'}")
        token = configured.token.get_secret_value() if configured.token else None
        await self.bot.alerting.receive(source, body, token)

    async def sandbox(self, words: Sequence[str]) -> None:
        """Change the simulated services."""
        self.world.sandbox_line(list(words))

    async def export(self, number: int, form: str) -> bytes:
        """An incident's export."""
        _name, data, _mime = await self.bot.export(number, form)
        return data

    def replicas(self, service: str) -> int:
        """The sandbox's desired count."""
        return self.world.replicas(service)

    async def channel_of(self, number: int) -> str | None:
        """The name of an incident's channel."""
        key = f"wb-open-{number}"  # as the deliverer asked for it
        return next((c.name for c in self.console.store.channels.values() if c.key == key), None)

    # -- records ----------------------------------------------------------------------------------

    def _said(self, output: Output) -> None:
        self._observe(
            Record(
                at=output.at,
                do=output.do,  # type: ignore[arg-type]
                channel=output.channel,
                thread=output.thread,
                card=output.card,
                to=output.to,
                text=output.text,
                buttons=output.buttons,
                incident=self._number(output.channel),
            )
        )

    def _number(self, channel: str | None) -> int | None:
        parts = (channel or "").lstrip("#").split("-")
        return int(parts[1]) if len(parts) > 1 and parts[0] == "inc" and parts[1].isdigit() else None

    def _happened(self, stream: str, event: e.Event, number: int | None) -> None:
        self._observe(Record(at=event.at, do="event", event=type(event).__name__, incident=number))


def channels_of(settings: Settings) -> list[str]:
    """Every channel of the configuration, once."""
    named = [s.channel for s in settings.catalogue.services.values() if s.channel]
    return list(dict.fromkeys([*settings.channels.all, *named]))


def console_of(settings: Settings, data: Path, clock: Clock) -> Console:
    """The built-in chat on a data directory."""
    return Console(
        data / "chat.db",
        clock=clock,
        people={name: person.display for name, person in settings.people.items()},
        channels=channels_of(settings),
        zone=ZoneInfo(settings.zone),
    )


def targets_of(settings: Settings, world: World, clock: Clock) -> dict[str, Target]:
    """The sandbox's targets: a rehearsal touches nothing real, whatever the configuration names."""
    return simulated(settings, world, clock)


def with_demo_token(settings: Settings) -> tuple[Settings, str]:
    """The settings with a token for the alert menu, made for this run where none is configured."""
    token = secrets.token_urlsafe(24)
    sources = {
        name: source
        if source.token is not None
        else SourceSettings(source.name, source.kind, SecretStr(token))
        for name, source in settings.alerts.sources.items()
    }
    known = sources["alertmanager"].token if "alertmanager" in sources else None
    alerts = replace(settings.alerts, sources=sources)
    redaction = replace(settings.redaction, values=(*settings.redaction.values, token))
    return replace(settings, alerts=alerts, redaction=redaction), known.get_secret_value() if known else token


@asynccontextmanager
async def stage(
    *, config: Path | None, data: Path, start: datetime, observe: Observer
) -> AsyncIterator[PlayStage]:
    """A started stage; without `config` on the example configuration."""
    settings, _token = with_demo_token(load(config, {}, tokens=False))
    made = PlayStage(settings, data, start, observe)
    try:
        await made.start()
        yield made
    finally:
        await made.close()
