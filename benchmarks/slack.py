"""Slash commands over HTTP: the whole bot, with Slack's rate limits behind it, beside a bare Bolt app."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from sqlalchemy import func, select

from benchmarks.figures import Figure
from benchmarks.slack_load import Load, loaded
from benchmarks.words import title
from bot import store
from bot.app import Bot
from bot.chat import Request
from bot.config import Settings, load
from bot.logs import configure
from bot.loop import settle_memory
from bot.serve import production, serving
from tests.servers.slack_server import SlackServer

BOT_TOKEN, SIGNING_SECRET = "xoxb-test", "shh"  # the stand-in's
INCIDENTS = 20
PEOPLE = tuple(f"U0LOAD{number:02}" for number in range(10))
RATE, SECONDS = 500.0, 30.0
TURNS, TURN = 3, 4.0  # how often, and for how many seconds, each is driven as fast as it goes
AIM_P99, AIM_SHARE = 100.0, 0.5  # milliseconds; commands a second, as a share of the bare app's
PATH = "/slack/events"
PATIENCE = 120.0  # seconds for the channels: Slack lets an app make 20 of them a minute


async def measure() -> list[Figure]:
    """Latency at 500 commands a second, throughput at saturation, and what is in the log afterwards."""
    configure()
    with _workspace() as slack, tempfile.TemporaryDirectory(prefix="watchbell-slack-") as folder:
        async with bare() as bare_url, product(Path(folder), slack) as (bot, our_url):
            channels = await open_incidents(bot, slack)
            urls = {"bare": bare_url, "ours": our_url}
            by_clock = {name: await _load(urls[name], f"clock-{name}", channels, RATE) for name in urls}
            turns: dict[str, list[float]] = {name: [] for name in urls}
            asked = int(by_clock["ours"]["acknowledged"])
            for turn in range(TURNS):  # in turn, so that both see the same machine
                for name, url in urls.items():
                    found = await _load(url, f"turn{turn}-{name}", channels)
                    turns[name].append(found["rate"])
                    asked += int(found["acknowledged"]) if name == "ours" else 0
            notes, waiting = await bot.store.read(_counted)
    return _figures(by_clock, {name: max(rates) for name, rates in turns.items()}, notes / asked, waiting)


def _figures(
    by_clock: dict[str, Any], saturated: dict[str, float], recorded: float, waiting: int
) -> list[Figure]:
    ours, bare_app = by_clock["ours"], by_clock["bare"]
    figures = [
        Figure("slack_500_acknowledged", ours["acknowledged"] / ours["sent"], "of those sent", 1.0),
        Figure("slack_notes_in_the_log", recorded, "of those acknowledged", 1.0),
        Figure("slack_outbox_waiting", waiting, "rows"),
    ]
    for share in ("p50", "p95", "p99"):
        figures.append(Figure(f"slack_500_bare_{share}", bare_app[share] * 1e3, "ms"))
        aim = AIM_P99 if share == "p99" else None
        figures.append(Figure(f"slack_500_{share}", ours[share] * 1e3, "ms", aim))
    figures.append(Figure("slack_500_max", ours["max"] * 1e3, "ms"))
    return [*figures, Figure("slack_rate", saturated["ours"], "commands/s", saturated["bare"])]


async def _load(url: str, run: str, channels: list[str], rate: float = 0.0) -> dict[str, Any]:
    seconds = SECONDS if rate else TURN
    return await loaded(Load(url, SIGNING_SECRET, run, tuple(channels), PEOPLE, seconds, rate))


# -- the two apps -------------------------------------------------------------------------------------


@asynccontextmanager
async def bare() -> AsyncIterator[str]:
    """Bolt's own server with one command that stores nothing: the least that a bot on Slack does."""

    async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
        return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=BOT_TOKEN)

    app = AsyncApp(authorize=authorize, signing_secret=SIGNING_SECRET, process_before_response=True)

    @app.command("/note")
    async def note(ack) -> None:  # type: ignore[no-untyped-def]
        await ack()

    async with serving(app.web_app(path=PATH), "127.0.0.1", 0) as url:
        yield f"{url}{PATH}"


@asynccontextmanager
async def product(data: Path, slack: SlackServer) -> AsyncIterator[tuple[Bot, str]]:
    """Everything that `watchbell run` starts, without limits against floods."""
    async with production(settings(slack.api), data) as (bot, url):
        bot.inbox.unlimited = True
        settle_memory()
        yield bot, f"{url}{PATH}"


def settings(api: str) -> Settings:
    """The example configuration on Slack, with ten more responders."""
    made = load(None, {})
    crowd = {user: replace(made.people["alice"], name=user.lower(), ids={"slack": user}) for user in PEOPLE}
    people = {person.name: person for person in crowd.values()}
    section = {
        "bot_token": SecretStr(BOT_TOKEN),
        "signing_secret": SecretStr(SIGNING_SECRET),
        "api": api,
    }
    web = replace(made.web, port=0)
    return replace(made, people={**made.people, **people}, platforms={"slack": section}, web=web)


# -- the workspace ------------------------------------------------------------------------------------


@contextmanager
def _workspace():  # type: ignore[no-untyped-def]
    """Slack's stand-in in a process of its own, limiting the bot as Slack does."""
    server = SlackServer()
    server.start()
    try:
        server.reset(rate_limits=True)
        for user in PEOPLE:
            server.call("add_user", id=user, name=user.lower(), real_name=user)
        for name in ("ops", "team-realtime"):
            server.call("add_channel", name=name, members=list(PEOPLE))
        yield server
    finally:
        server.stop()


async def open_incidents(bot: Bot, slack: SlackServer) -> list[str]:
    """Open the incidents by command; the ids of their channels, once all of them are there."""
    ops = next(c["id"] for c in slack.call("channels")["channels"] if c["name"] == "ops")
    for number in range(INCIDENTS):
        await bot.inbox.receive(
            Request(
                platform="slack",
                event_id=f"open{number}",
                channel=ops,
                user=PEOPLE[0],
                text=f'/incident open low "{title(number)}"',
            )
        )
    return [await _channel(bot, f"incident-{number + 1}") for number in range(INCIDENTS)]


async def _channel(bot: Bot, stream: str) -> str:
    """The channel of an incident, looked for ten times a second."""
    for _ in range(int(PATIENCE * 10)):
        if (found := await bot.store.run(lambda unit: unit.state(stream))).channels:
            return str(found.channels[0].id)
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{stream} has no channel")


def _counted(connection: Any) -> tuple[int, int]:
    """How many notes are in the log, and how many rows of the outbox wait."""
    notes = select(func.count()).where(store.events.c.kind == "NoteAdded")
    waiting = select(func.count()).where(store.outbox.c.sent_at.is_(None), store.outbox.c.failed.is_(None))
    return connection.execute(notes).scalar_one(), connection.execute(waiting).scalar_one()
