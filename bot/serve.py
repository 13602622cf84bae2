"""`watchbell demo` and `watchbell run`: a bot that lives, with its web server, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog
from aiohttp import web

from bot import store
from bot.app import Bot, boot, database, last_moment, living
from bot.clock import SpeedClock
from bot.config import Settings
from bot.measures import Measures
from bot.pager import ApprisePager
from bot.pages import BotPages
from bot.platforms.console import Console
from bot.resources import resource
from bot.sandbox_pager import SandboxPager
from bot.stage import channels_of, with_demo_token
from bot.targets import sandbox
from bot.targets.sandbox_world import World
from bot.web.context import WebSettings
from bot.web.server import build
from incidents.ports import Clock

log = structlog.get_logger()


class DemoPace:
    """The demo's clock with the switch that the page has."""

    def __init__(self, clock: SpeedClock) -> None:
        self._clock = clock

    @property
    def speed(self) -> float:
        """Seconds of the demo in one real second."""
        return self._clock.speed

    def now(self) -> object:
        """The demo's time."""
        return self._clock.now()

    def set_speed(self, speed: float) -> None:
        """Change the speed; who sleeps reckons anew."""
        self._clock.speed = speed


def console_of(settings: Settings, data: Path, clock: Clock) -> Console:
    """The built-in chat on a data directory."""
    return Console(
        data / "chat.db",
        clock=clock,
        people={name: person.display for name, person in settings.people.items()},
        channels=channels_of(settings),
        zone=ZoneInfo(settings.zone),
    )


@asynccontextmanager
async def demo(
    settings: Settings, data: Path, *, host: str, port: int, speed: float = 1
) -> AsyncIterator[tuple[Bot, str]]:
    """A living bot with browser chat and sandbox services; gives the bot and the address of its page."""
    data.mkdir(parents=True, exist_ok=True)
    settings, token = with_demo_token(settings)
    await asyncio.to_thread(store.upgrade, database(data))
    clock = SpeedClock(await last_moment(database(data)), speed=speed)
    async with AsyncExitStack() as stack:
        console = console_of(settings, data, clock)
        stack.callback(console.close)
        world = World(data / "sandbox.json", clock)
        targets = sandbox.build({}, catalogue=settings.catalogue, clock=clock, world=world)
        measures = Measures()
        bot = await stack.enter_async_context(
            boot(
                settings,
                data,
                platforms={"console": console},
                targets=targets,
                pager=SandboxPager(console, world),
                clock=clock,
                observe=measures.event,
            )
        )
        await stack.enter_async_context(living(bot))
        web_settings = WebSettings(
            templates=resource("templates", "web"),
            zone=ZoneInfo(settings.zone),
            demo=True,
            hosts=(host,) if host not in ("127.0.0.1", "0.0.0.0", "::") else ("*",) if host != "127.0.0.1" else (),
            about={name: person.title for name, person in settings.people.items()},
            services=tuple(settings.catalogue.services),
            rotas=tuple(settings.roster.rotas),
            alert_token=token,
            alert_limit=settings.alerts.max_bytes,
        )
        pages = BotPages(bot, web_settings, DemoPace(clock), measures.registry, console)
        measures.watch(bot)
        address = await stack.enter_async_context(serving(build(pages), host, port))
        yield bot, address


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """The application on a socket; gives its address. OSError where the port is taken."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        yield f"http://{shown}:{bound}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def production(settings: Settings, data: Path) -> AsyncIterator[tuple[Bot, str]]:
    """A living bot as configured; gives the bot and the address of its pages."""
    from bot.clock import SystemClock

    clock = SystemClock()
    data.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        console = console_of(settings, data, clock)
        stack.callback(console.close)
        world = World(data / "sandbox.json", clock)
        targets = sandbox.build({}, catalogue=settings.catalogue, clock=clock, world=world)
        measures = Measures()
        bot = await stack.enter_async_context(
            boot(
                settings,
                data,
                platforms={"console": console},
                targets=targets,
                pager=ApprisePager({}),
                clock=clock,
                observe=measures.event,
            )
        )
        await stack.enter_async_context(living(bot))
        web_settings = WebSettings(
            templates=resource("templates", "web"),
            zone=ZoneInfo(settings.zone),
            alert_limit=settings.alerts.max_bytes,
        )
        pages = BotPages(bot, web_settings, RealPace(clock), measures.registry, None)
        measures.watch(bot)
        address = await stack.enter_async_context(
            serving(build(pages), settings.web.host, settings.web.port)
        )
        yield bot, address


class RealPace:
    """The wall's clock, whose speed nobody changes."""

    speed = 1.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> object:
        """The time."""
        return self._clock.now()

    def set_speed(self, speed: float) -> None:
        """ValueError: real time has one speed."""
        raise ValueError("real time has one speed")


async def until_told(started: Callable[[str], object], living_bot: object) -> None:
    """Run until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with living_bot as (_bot, address):  # type: ignore[attr-defined]
        started(address)
        await stop.wait()


Platforms = Mapping[str, object]
