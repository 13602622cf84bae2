"""The whole bot on a Slack that fails now and then: the stage, a long story to play there, and what came of it."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count, islice
from math import ceil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from slack_sdk.errors import SlackApiError
from sqlalchemy import select

from bot import store
from bot.app import database, open_store
from bot.config import Settings, load
from bot.platforms.slack import Slack
from bot.play import Recorder, Rehearsal
from bot.play_script import parse
from bot.play_stage import Observer, Record
from bot.stage import channels_of, with_demo_token
from incidents import events as e
from tests.bot.test_kill import every_event
from tests.scenarios.slack_stage import BOT_TOKEN, SIGNING_SECRET, SlackStage, on_slack
from tests.scenarios.stages import FOLDER
from tests.servers.slack_server import shared

BOT = "U0WATCHBELL"
START = datetime.fromisoformat("2026-01-03T02:30:00Z")
SCRIPT = str(FOLDER / "faults.play")  # alerts are looked for beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with Slack: faults of tests/servers/slack/faults.py, its rate limits, and the bot's own pace."""

    faults: dict[str, Any] = field(default_factory=dict)
    rate_limits: bool = False
    pace: float = 0.0


@dataclass(slots=True)
class Call:
    """A call of the Web API; `retry_after` in seconds where Slack asked to wait."""

    method: str
    channel: str
    at: datetime
    retry_after: int = 0


def _limited(seconds: int) -> SimpleNamespace:
    """The answer that slack_sdk raises with HTTP 429."""
    data = {"ok": False, "error": "ratelimited"}
    return SimpleNamespace(status_code=429, data=data, headers={"Retry-After": str(seconds)})


class SlackTime:
    """What the adapter waits by: the stage's clock, and its own short sleeps, which cost nothing."""

    def __init__(self, stage: TroubledStage) -> None:
        self._stage = stage
        self._slept = 0.0

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return (self._stage.clock.now() - START).total_seconds() + self._slept

    async def sleep(self, seconds: float) -> None:
        """Have waited so long."""
        self._slept += seconds
        await asyncio.sleep(0)


class TroubledStage(SlackStage):
    """A stage with a Slack in trouble from the first call on; whoever waits, waits by its clock."""

    def __init__(
        self, settings: Settings, data: Path, start: datetime, observe: Observer, trouble: Trouble
    ) -> None:
        self.server, self._trouble = shared(), trouble
        self.limited: dict[str, datetime] = {}  # channels that take no message until then
        self.calls: list[Call] = []
        where = {"server": self.server, "sockets": False, "kept": (), "twice": False}
        super().__init__(settings, data, start, observe, **where)  # type: ignore[arg-type]

    def _furnish(self) -> None:
        self.server.reset(self.clock.now().timestamp(), rate_limits=self._trouble.rate_limits)
        self.people.joins((name, p.display) for name, p in self.settings.people.items())
        for channel in channels_of(self.settings):
            self.server.call("add_channel", name=channel.removeprefix("#"), members=list(self._names))
        self.server.call("faults", **self._trouble.faults)

    def _platform(self) -> Slack:
        waits = SlackTime(self)
        slack = Slack(
            bot_token=BOT_TOKEN,
            signing_secret=SIGNING_SECRET,
            people=self._names,
            zone=ZoneInfo(self.settings.zone),
            base_url=self.server.api,
            wall=lambda: self.clock.now().timestamp(),
            pace=self._trouble.pace,
            monotonic=waits.monotonic,
            sleep=waits.sleep,
        )
        slack.api.web.api_call = partial(self._call, slack.api.web.api_call)  # type: ignore[method-assign]
        return slack

    async def _call(self, real: Callable[..., Any], method: str, **asked: Any) -> Any:
        """A call as slack_sdk makes it, noted down; 429 where the channel is limited."""
        now, channel = self.clock.now(), str(asked["data"].get("channel", ""))
        call = Call(method, channel, now)
        self.calls.append(call)
        try:
            until = self.limited.get(channel, now)
            if method == "chat.postMessage" and until > now:
                raise SlackApiError("limited", _limited(ceil((until - now).total_seconds())))
            return await real(method, **asked)
        except SlackApiError as error:
            call.retry_after = int(error.response.headers.get("Retry-After", 0))
            raise


class Night:
    """A stage and its rehearsal: plays lines, and looks into Slack."""

    def __init__(self, stage: TroubledStage, recorder: Recorder) -> None:
        self.stage = stage
        self.server = stage.server
        self.recorder = recorder
        self.rehearsal = Rehearsal(stage, recorder)

    async def play(self, text: str) -> None:
        """Play lines; each can be done, and every expectation holds."""
        await self.rehearsal.play(parse(text, SCRIPT))
        assert not self.rehearsal.failures, "\n".join(map(str, self.rehearsal.failures))

    def records(self, channel: str, *did: str) -> list[Record]:
        """What the bot did in a channel, given by the beginning of its name."""
        found = [record for _, record in self.recorder.records if (record.channel or "").startswith(channel)]
        return [record for record in found if record.do in did]

    async def channel(self, number: int) -> str:
        """The id of an incident's channel."""
        name = await self.stage.channel_of(number)
        found = self.stage.people.channel_named(name or "")
        assert found is not None
        return found

    async def messages(self) -> list[Any]:
        """Every message that more than one can see."""
        channels = (await self.server.act("channels"))["channels"]
        found = [
            (await self.server.act("history", channel=c["id"], reader=BOT))["messages"] for c in channels
        ]
        return [
            {**m, "name": c["name"]} for c, messages in zip(channels, found, strict=True) for m in messages
        ]


@asynccontextmanager
async def night(folder: Path, trouble: Trouble) -> AsyncIterator[Night]:
    """The whole bot, started."""
    settings, _token = with_demo_token(load(None, {}, tokens=False))
    recorder = Recorder()
    stage = TroubledStage(on_slack(settings), folder, START, recorder, trouble)
    try:
        await stage.start()
        yield Night(stage, recorder)
    finally:
        await stage.close()


# -- the story ----------------------------------------------------------------------------------------


def story(seed: int, steps: int = 200) -> str:
    """A long night: two incidents, what people write and ask for, alerts, waits, restarts of the bot."""
    dice = random.Random(seed)
    opening = [
        'grace in #ops: /incident open critical "Redis is down" service=realtime',
        "wait 1m",
        "alert alerts/tool_down.json",
        "wait 1m",
        "alice in inc-1: /ack looking at it",
    ]
    lines = [*opening, *islice(_turns(dice), steps - len(opening) - 1), "wait 2h"]
    return "\n".join([f"at {START:%Y-%m-%dT%H:%M:%SZ}", *lines])


def _turns(dice: random.Random) -> Iterator[str]:
    changes = 0
    for number in count():
        lines = _turn(dice, number, changes * 7 % 19 + 1)  # 19 times another size than those before
        changes += "/scale" in lines[0]
        yield from lines


def _turn(dice: random.Random, number: int, size: int) -> list[str]:
    """A few lines; a card, or a start, is given the time of some tries before anybody needs it."""
    who, where = dice.choice(("alice", "bob", "carol")), dice.choice(("inc-1", "inc-2"))
    alert = dice.choice(("redis_down", "redis_down_resolved", "redis_down_again"))
    vote = dice.choice(
        ("bob reacts ✅ to approval", "carol reacts ❌ to approval", 'bob presses "Approve" on approval')
    )
    turns = {
        20: [f"{who} in {where}: /note saw {number}"],
        15: [f"{who} in {where}: !note wrote {number}"],
        12: [f"{who} in {where}: still looking at {number}"],
        10: [f"{who} in {where}: /update progress {number}"],
        13: [f"alice in inc-1: /scale realtime {size}", "wait 1m", f"{vote} in inc-1", "wait 2m"],
        8: [f"alert alerts/{alert}.json"],
        11: [f"wait {dice.choice((2, 5, 16))}m"],
        6: ["restart", "wait 1m"],
    }
    return dice.choices(list(turns.values()), list(turns))[0]


# -- what came of it ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a night left: events by stream, messages by channel, and the keys of what is in Slack and in the outbox."""

    log: dict[str, list[Any]]
    said: dict[str, Counter[str]]
    posted: Counter[str]
    rows: set[str]
    left: list[tuple[str, str | None]]  # what was not sent: op and why
    faults: Counter[str]


async def played(folder: Path, text: str, trouble: Trouble) -> Outcome:
    """Play a story in a Slack with that trouble."""
    async with night(folder, trouble) as found:
        await found.play(text)
        done = (await found.server.act("faults"))["done"]
        # There are none from now on, and what failed at the very end is tried again.
        await found.play("wait 2m")
        shown = [m for m in await found.messages() if m["user"] == BOT]
        names = {c["id"]: c["name"] for c in (await found.server.act("channels"))["channels"]}
    rows, left = await outbox(folder)
    said: dict[str, Counter[str]] = {}
    for message in shown:
        if message["metadata"] is not None:
            said.setdefault(message["name"], Counter())[message["text"]] += 1
    log: dict[str, list[Any]] = {}
    for stream, event in await every_event(folder):
        kind, _at, actor, body = e.encode(event)
        log.setdefault(stream, []).append((kind, actor, plain(body, names)))
    return Outcome(log, said, Counter(filter(None, map(key_of, shown))), rows, left, Counter(done))


def key_of(message: Any) -> str | None:
    """What the bot's outbox calls a message."""
    key = ((message["metadata"] or {}).get("event_payload") or {}).get("key")
    return str(key) if key else None


async def outbox(folder: Path) -> tuple[set[str], list[tuple[str, str | None]]]:
    """The keys of all that was to be said, and what was not sent: op and why."""
    t = store.outbox
    async with open_store(database(folder)) as opened:
        found = await opened.read(lambda connection: connection.execute(select(t)).all())
    rows = {f"wb-{row.id}" for row in found if row.op in ("say", "direct")}
    return rows, [(row.op, row.failed) for row in found if row.sent_at is None]


def plain(value: Any, names: dict[str, str]) -> Any:
    """What an event says without what is another one each time: times, ids of messages, of channels, of the boot."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in ("message_id", "thread", "boot", "channel")}
        return {**{k: plain(v, names) for k, v in kept.items()}, **_channel(value.get("channel"), names)}
    if isinstance(value, list | tuple):
        return [plain(each, names) for each in value]
    if isinstance(value, datetime) or (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value)):
        return "a time"
    return names.get(value, value) if isinstance(value, str) else value


def _channel(ident: Any, names: dict[str, str]) -> dict[str, Any]:
    return {"channel": names.get(str(ident or "").removeprefix("slack:"), ident)}
