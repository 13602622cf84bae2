"""`watchbell demo` and `watchbell run`: a bot that lives, with its web server, until it is told to stop."""

from __future__ import annotations

import asyncio
import importlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import structlog
from aiohttp import web
from pydantic import SecretStr

from bot.app import Bot, boot, database, last_moment, living, prepare
from bot.chat import Platform
from bot.clock import SpeedClock, SystemClock
from bot.config import Settings
from bot.loop import settle_memory
from bot.measures import Measures
from bot.pager import ApprisePager, Pager
from bot.pages import BotPages
from bot.platforms.console import Console
from bot.resources import resource
from bot.sandbox_pager import SandboxPager
from bot.stage import console_of, with_demo_token
from bot.targets.build import check, simulated, targets_of
from bot.targets.sandbox_world import World
from bot.web.context import Pace, WebSettings
from bot.web.server import build
from incidents.ports import Clock, RefusedError

log = structlog.get_logger()

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class DemoPace:
    """The demo's clock with the switch that the page has."""

    clock: SpeedClock

    @property
    def speed(self) -> float:
        """Seconds of the demo in one real second."""
        return self.clock.speed

    def now(self) -> datetime:
        """The demo's time."""
        return self.clock.now()

    def set_speed(self, speed: float) -> None:
        """Change the speed; who sleeps reckons anew."""
        self.clock.speed = speed


@dataclass(frozen=True, slots=True)
class RealPace:
    """The wall's clock, whose speed nobody changes."""

    clock: Clock

    @property
    def speed(self) -> float:
        """One second in a second."""
        return 1.0

    def now(self) -> datetime:
        """The time."""
        return self.clock.now()

    def set_speed(self, speed: float) -> None:
        """ValueError: real time has one speed."""
        raise ValueError("real time has one speed")


@asynccontextmanager
async def demo(
    settings: Settings, data: Path, *, host: str, port: int, speed: float = 1
) -> AsyncIterator[tuple[Bot, str]]:
    """A living bot with browser chat and sandbox services; gives the bot and the address of its page."""
    settings, token = with_demo_token(settings)
    await asyncio.to_thread(prepare, data, database(data))
    clock = SpeedClock(await last_moment(database(data)), speed=speed)
    console, world = console_of(settings, data, clock), World(data / "sandbox.json", clock)
    shown = web_settings(settings, demo=True, host=host, token=token)
    pager = SandboxPager(console, world)
    async with _served(
        settings, data, {"console": console}, world, pager, clock, DemoPace(clock), shown, host, port
    ) as it:
        yield it


@asynccontextmanager
async def production(settings: Settings, data: Path) -> AsyncIterator[tuple[Bot, str]]:
    """A living bot as configured; gives the bot and the address of its pages."""
    await asyncio.to_thread(prepare, data, database(data))
    clock = SystemClock()
    platforms, world = platforms_of(settings, data, clock), World(data / "sandbox.json", clock)
    host, port = settings.web.host, settings.web.port
    shown = web_settings(settings, demo=False, host=host, token=None)
    urls = {kind: url.get_secret_value() for kind, url in settings.pager.items() if url is not None}
    pager = ApprisePager(urls)
    async with _served(
        settings, data, platforms, world, pager, clock, RealPace(clock), shown, host, port
    ) as (bot, address):
        bot.work.spawn(warn_of_targets(settings, clock), "look at the targets")
        yield bot, address


async def warn_of_targets(settings: Settings, clock: Clock) -> None:
    """Log what is not in order with the targets, so that nobody learns of it at night; nothing waits for it."""
    async for name, line in check(settings, clock):
        if not line.right:
            log.warning("a target is not in order; `watchbell check` says more", target=name, said=line.text)


def platforms_of(settings: Settings, data: Path, clock: Clock) -> dict[str, Platform]:
    """The chats of the configuration, each out of its own file."""
    found: dict[str, Platform] = {}
    for name, section in settings.platforms.items():
        if name == "console":
            found[name] = console_of(settings, data, clock)
        else:
            found[name] = _adapter(name).build(section, settings, data)
    return found


def _adapter(name: str) -> ModuleType:
    """The module of a chat; RefusedError where its libraries are not installed."""
    try:
        return importlib.import_module(f"bot.platforms.{name}")
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"{name.title()} needs the package {error.name}; install watchbell with its extra: watchbell[{name}]."
        ) from error


@asynccontextmanager
async def _served(
    settings: Settings,
    data: Path,
    platforms: Mapping[str, Platform],
    world: World,
    pager: Pager,
    clock: Clock,
    pace: Pace,
    shown: WebSettings,
    host: str,
    port: int,
) -> AsyncIterator[tuple[Bot, str]]:
    async with AsyncExitStack() as stack:
        console = platforms.get("console")
        if isinstance(console, Console):
            stack.callback(console.close)
        measures = Measures()
        made = boot(
            settings,
            data,
            platforms=platforms,
            targets=(simulated if shown.demo else targets_of)(settings, world, clock),
            pager=pager,
            clock=clock,
            observe=measures.event,
        )
        bot = await stack.enter_async_context(made)
        await stack.enter_async_context(living(bot))
        measures.watch(bot)
        shows = console if isinstance(console, Console) and shown.demo else None
        pages = BotPages(bot, shown, pace, measures.registry, shows)
        web_app = build(pages)
        for platform in platforms.values():
            web_app.add_routes(platform.routes())
        address = await stack.enter_async_context(serving(web_app, host, port))
        yield bot, address


def web_settings(settings: Settings, *, demo: bool, host: str, token: str | None) -> WebSettings:
    """What the pages are told of the configuration."""
    policy = settings.policies[settings.default_policy]
    severities = tuple(dict.fromkeys(s.name for p in settings.policies.values() for s in p.severities))
    password: SecretStr | None = getattr(settings.web, "password", None)
    return WebSettings(
        templates=resource("templates", "web"),
        zone=ZoneInfo(settings.zone),
        demo=demo,
        hosts=("*",) if host in EVERYWHERE else (host, *settings.web.hosts),
        password=password.get_secret_value() if password is not None else None,
        about={name: person.title for name, person in settings.people.items()},
        services=tuple(settings.catalogue.services),
        rotas=tuple(settings.roster.rotas),
        words={"severity": severities, "level": policy.ladder, "policy": tuple(settings.policies)},
        alert_token=token,
        alert_limit=settings.alerts.max_bytes,
    )


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """The application on a socket; gives its address. OSError where the port is taken."""
    # What is left of a body that was refused is not read for long: it may be compressed, and huge.
    runner = web.AppRunner(app, access_log=None, lingering_time=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://{'127.0.0.1' if host in EVERYWHERE else host}:{bound}"
    finally:
        await runner.cleanup()


async def until_told(
    started: Callable[[str], object], bot: AbstractAsyncContextManager[tuple[Bot, str]]
) -> None:
    """Run until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with bot as (_, address):
        settle_memory()  # here, for it is the whole process's
        started(address)
        await stop.wait()
