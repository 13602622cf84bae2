"""The composition root: everything of one boot is built here, in order, and torn down in reverse."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import Connection, select

import commands.incident
import commands.operations
from bot import store
from bot.absence import Absence
from bot.alerting import Alerting
from bot.attachments import attachments
from bot.catch_up import CatchUp
from bot.chat import DeliveryError, Platform
from bot.config import Settings
from bot.deliver import Deliverer
from bot.desk import Desk
from bot.execute import Executor
from bot.export import export
from bot.grants import Grants
from bot.handovers import Handovers
from bot.house import BotHouse
from bot.inbox import Inbox
from bot.lifeboat import Lifeboat
from bot.pager import Pager
from bot.patience import Patient
from bot.places import Places
from bot.propose import Proposer
from bot.reader import LogReader
from bot.redact import Redactor
from bot.render import Renderer
from bot.resources import resource
from bot.run import Watch
from bot.sli import Indicators
from bot.targets import build as building
from bot.voters import Voters
from bot.watching import Watcher
from bot.work import Work
from commands.actions import Ops, Target
from commands.incident.runbook import pages
from commands.registry import Registry, collect
from incidents import action, events, incident, oncall
from incidents.ports import Clock, RefusedError

log = structlog.get_logger()

CATCH_UP = 30.0  # seconds that reading what came in meanwhile may take, before overdue pages go out
AGAIN = 10.0  # seconds until a chat that could not be reached is tried again
TICK = 0.05  # seconds between two looks at what is due
FOLDS: Mapping[str, store.Fold] = {"incident": incident.fold, "action": action.fold, "oncall": oncall.fold}


def modules(*packages: ModuleType) -> list[ModuleType]:
    """Every module of these packages: a command is added by adding a file."""
    return [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for package in packages
        for found in pkgutil.iter_modules(package.__path__)
    ]


@cache
def registry() -> Registry:
    """Every command that there is; worked out once, for it takes longer than the rest of a start."""
    return collect(modules(commands.incident, commands.operations))


def runbooks() -> dict[str, str]:
    """The runbooks by name, as they are written."""
    folder = resource("runbooks")
    return {
        path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.md")) if path.stem != "README"
    }


def database(data: Path) -> str:
    """Where the log of a data directory is."""
    return f"sqlite:///{data / 'watchbell.db'}"


def open_store(url: str) -> store.Store:
    """The log with the domain's events and folds."""
    return store.Store(url, encode=events.encode, decode=events.decode, folds=FOLDS)


class Bot:
    """One boot: the ways through the house, joined."""

    def __init__(
        self,
        settings: Settings,
        log_store: store.Store,
        platforms: Mapping[str, Platform],
        targets: Mapping[str, Target],
        pager: Pager,
        clock: Clock,
        boot: store.BootLock,
        observe: Callable[[str, events.Event, int | None], object] | None,
    ) -> None:
        self.settings = settings
        self.store = log_store
        self.platforms = platforms
        self.clock = clock
        self.work = Work()
        redaction = settings.redaction
        self._runbooks = runbooks()
        self.desk = Desk(
            settings,
            Redactor(redaction.patterns, redaction.values),
            runbooks=pages(self._runbooks),
            observed=observe,
            chats=tuple(platforms) if len(platforms) > 1 else (),
        )
        self.registry = registry()
        self.renderer = Renderer(settings.zone)
        self.grants = Grants(settings, platforms)
        self.places = Places(log_store, settings, platforms)
        self.targets = dict(targets)
        patient = {name: Patient(target, clock, self.work) for name, target in targets.items()}
        self.ops = Ops(patient, settings.catalogue, clock)
        self.deliverer = Deliverer(
            log_store, self.desk, platforms, self.places, pager, self.renderer, clock, boot.boot_id
        )
        voters = Voters(
            log_store, settings, platforms, lambda: self.grants.refresh(clock.now(), at_once=True)
        )
        indicators = Indicators(self.ops, self.desk.redactor, clock, self.work)
        proposer = Proposer(log_store, self.desk, voters, indicators, clock)
        self.executor = Executor(
            log_store,
            self.desk,
            self.ops,
            platforms,
            self.deliverer,
            clock,
            self.work,
            boot.boot_id,
            boot.alive,
            voters=voters,
            proposer=proposer,
            watcher=Watcher(log_store, self.desk, indicators, clock, self.work),
        )
        self.inbox = Inbox(
            log_store,
            self.desk,
            self.registry,
            self.ops,
            platforms,
            self.deliverer,
            self.renderer,
            clock,
            self.work,
            places=self.places,
            propose=proposer.propose,
            export=self.export,
            runbooks=self._runbooks,
        )
        self.catch_up = CatchUp(log_store, self.desk, clock, self.work, self.inbox.receive)
        self.alerting = Alerting(log_store, self.desk, clock)
        self.handovers = Handovers(settings)
        self._alive = boot.alive
        self.absence = Absence(log_store, self.desk)
        self.lifeboat = Lifeboat(
            log_store,
            self.desk,
            platforms,
            pager,
            self.deliverer.content,
            self.renderer.plain,
            clock,
        )
        self.watch = Watch(log_store, self.desk, clock, self.handovers, self.absence, self.lifeboat)
        self.desk.followed = self.lifeboat.follow
        self.deliverer.found = self._card_found
        self.desk.said = self.deliverer.wake.set
        self.desk.acted = self.executor.acted

    async def start(self) -> None:
        """Read what came in meanwhile, then let fall due what is overdue, then take up what was running."""
        now = self.clock.now()
        await self.grants.refresh(now)
        away = await self.absence.since(now)
        self.desk.kept = [] if away is not None else None
        await self._catch_up(now - (await self.absence.last() or now))
        await self.deliverer.release_dead(self._alive)
        await self.store.run(lambda unit: self.handovers.plan(unit, now))
        await self.watch.tick()
        await self.inbox.resume()
        await self.executor.recover()
        if away is not None and self.desk.kept is not None:
            kept, self.desk.kept = self.desk.kept, None
            await self.absence.report(away, now, kept)

    async def _catch_up(self, away: timedelta) -> None:
        """Start the chats; what came in while nobody listened is read before anything falls due."""
        self.desk.reading = True
        starting = [self.work.spawn(self._begin(p, away), f"start {p.name}") for p in self.platforms.values()]
        done, late = await asyncio.wait(starting, timeout=CATCH_UP)
        self.desk.reading = False
        for task in done:
            task.result()
        if late:
            log.warning("still reading what came in meanwhile; overdue pages go out first")

    async def _begin(self, platform: Platform, away: timedelta) -> None:
        """Start one chat, now or as soon as it can be reached, and read what was missed.

        DeliveryError where it refuses this bot for good.
        """
        house = BotHouse(self.store, self.desk, self.registry, self.renderer, self.clock, platform)
        began = self.clock.now()
        try:
            for sentence in await self.places.find(platform):
                log.warning(sentence)
            await platform.start(self.inbox.receive, house)
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - a chat that is away must not keep the others, or pages, waiting
            log.warning("a chat cannot be reached; tried again", chat=platform.name, error=str(error))
            self.work.spawn(self._begin_later(platform, away), f"start {platform.name}")
            return
        await self.catch_up.read(platform, (away + (self.clock.now() - began)).total_seconds())

    def _card_found(self, ref: str) -> None:
        """People may have voted on a card before anybody noted that it is one."""
        kind, _, number = ref.partition(":")
        if kind == "action":
            votes = self.catch_up.recount(self.platforms.values(), int(number))
            self.work.spawn(votes, f"votes on #{number}")

    async def _begin_later(self, platform: Platform, away: timedelta) -> None:
        await self.clock.sleep(AGAIN)
        await self._begin(platform, away + timedelta(seconds=AGAIN))

    async def groups(self) -> None:
        """Read the roles that groups of the chats give, where that is due."""
        await self.grants.refresh(self.clock.now())

    async def export(self, number: int, form: str) -> tuple[str, bytes, str]:
        """File name, bytes and MIME type of an incident's export; RefusedError where there is none."""
        reader = LogReader(self.store, self.desk)
        if await reader.incident(number) is None:
            raise RefusedError(f"There is no INC-{number}; `/incident list` shows the open ones.")
        entries = await reader.entries(number)
        people = {name: person.display for name, person in self.settings.people.items()}
        zone = ZoneInfo(self.settings.zone)
        files = await attachments(entries, self.platforms) if form == "zip" else None
        return await asyncio.to_thread(
            export, entries, form, now=self.clock.now(), zone=zone, people=people, files=files
        )

    async def stop(self) -> None:
        """Take nothing in any more, and end what runs; what is unfinished is found again at the next start."""
        for platform in self.platforms.values():
            await platform.stop()
        await self.work.stop()
        await building.stop(self.targets.values())


def prepare(data: Path, url: str) -> None:
    """Make the data directory, and bring the log to this version."""
    data.mkdir(parents=True, exist_ok=True)
    store.upgrade(url)


@asynccontextmanager
async def boot(
    settings: Settings,
    data: Path,
    *,
    platforms: Mapping[str, Platform],
    targets: Mapping[str, Target],
    pager: Pager,
    clock: Clock,
    observe: Callable[[str, events.Event, int | None], object] | None = None,
    url: str | None = None,
) -> AsyncIterator[Bot]:
    """A bot on a data directory, not yet started; the log is brought to this version first."""
    url = url or database(data)
    await asyncio.to_thread(prepare, data, url)
    lock = store.BootLock(data, f"boot-{uuid.uuid4().hex[:12]}")
    log_store = open_store(url)
    bot = Bot(settings, log_store, platforms, targets, pager, clock, lock, observe)
    try:
        yield bot
    finally:
        await bot.stop()
        await log_store.close()
        lock.close()


@asynccontextmanager
async def living(bot: Bot) -> AsyncIterator[Bot]:
    """The bot started and kept going: deliveries, and APScheduler ringing for what is due."""
    await bot.start()
    # A tick that finds the one before it still at work is left out; that is no news.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    scheduler = AsyncIOScheduler(timezone="UTC")
    options = {"max_instances": 1, "coalesce": True, "misfire_grace_time": None}
    scheduler.add_job(bot.watch.tick, "interval", seconds=TICK, id="tick", **options)
    scheduler.add_job(bot.groups, "interval", seconds=60, id="groups", **options)
    scheduler.add_job(bot.executor.recover, "interval", seconds=60, id="recover", **options)
    delivery = bot.work.spawn(bot.deliverer.run(), "deliver")
    scheduler.start()
    try:
        yield bot
    finally:
        scheduler.pause()
        await bot.watch.rest()
        scheduler.shutdown(wait=False)
        delivery.cancel()


async def last_moment(url: str) -> datetime | None:
    """When the newest event of a log happened, so that a fast demo's clock never runs backwards."""
    log_store = open_store(url)
    try:
        return await log_store.read(_newest)
    finally:
        await log_store.close()


def _newest(connection: Connection) -> datetime | None:
    t = store.events
    row = connection.execute(select(t.c.at).order_by(t.c.position.desc()).limit(1)).first()
    return store.moment(row.at) + timedelta(microseconds=1) if row is not None else None
