"""A small scripted bot for the web pages: it opens one incident, scales one service, echoes the rest."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from bot.chat import Button, Content, Incoming, Press, Reaction, Request, Upload
from bot.platforms.console import Console
from bot.resources import resource
from bot.views import (
    AlertReply,
    ApprovalView,
    HealthView,
    IncidentPage,
    IncidentView,
    PublicIncident,
    ServiceView,
    StatusView,
    TimelineRow,
)
from bot.web.server import WebSettings, build
from commands.registry import Registry, collect
from tests.bot import sample_commands

START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
PEOPLE = {
    "alice": "Alice",
    "bob": "Bob",
    "carol": "Carol",
    "grace": "Grace",
    "mallory": "Mallory",
}
ABOUT = {
    "alice": "primary on-call",
    "bob": "secondary",
    "carol": "team lead",
    "grace": "support",
    "mallory": "no role",
}
SERVICES = ("realtime", "chat-adapters", "redis", "instance-manager", "intelligent-router", "load-balancer")


@dataclass
class SamplePace:
    """A clock that runs `speed` times as fast as the wall's."""

    speed: float = 1
    _base: datetime = START
    _told: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self._base + timedelta(seconds=(time.monotonic() - self._told) * self.speed)

    def set_speed(self, speed: float) -> None:
        self._base, self._told, self.speed = self.now(), time.monotonic(), speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


class SampleBot:
    """What the pages need of a bot, scripted."""

    def __init__(self, path: Path | None = None, **settings: object) -> None:
        self.clock = SamplePace()
        self.settings = WebSettings(
            templates=resource("templates", "web"),
            zone=ZoneInfo("Europe/Berlin"),
            about=ABOUT,
            services=SERVICES,
            rotas=("platform",),
            words={"severity": ("critical", "high", "medium", "low")},
            alert_token="token",
            **{"demo": True, **settings},  # type: ignore[arg-type]
        )
        self.console: Console | None = Console(
            path, clock=self.clock, people=PEOPLE, channels=["#ops", "#support"], zone=self.settings.zone
        )
        self.registry: Registry = collect([sample_commands])
        self.metrics = CollectorRegistry()
        Counter("watchbell_commands", "Commands taken", registry=self.metrics).inc()
        self.rows: list[IncidentView] = []
        self.took: list[Incoming] = []
        self.alerts: list[tuple[str, bytes, str | None]] = []
        self.ready = True
        self.fails = False
        self._keys = 0
        self._approval: str | None = None

    # -- the pages' side --------------------------------------------------------------------------

    async def board(self) -> list[IncidentView]:
        return self.rows

    async def incident(self, number: int) -> IncidentPage | None:
        row = next((r for r in self.rows if r.number == number), None)
        if row is None:
            return None
        at = row.opened_at
        happened = (
            (0, "alertmanager", "Alert RedisDown fires: Redis is down", "alert"),
            (0, "watchbell", "Paged Alice (primary on-call)", "page"),
            (4, "alice", "Alice acknowledged: looking", "life"),
            (9, "bob", "Bob approved #7", "action"),
            (10, "watchbell", "#7 is done: realtime 3 → 10", "action"),
        )
        timeline = tuple(
            TimelineRow(at=at + timedelta(minutes=m), actor=actor, text=text, category=category)
            for m, actor, text, category in happened
        )
        waits = ApprovalView(
            number=7, text="scale realtime 3 → 10", asked_by="alice", expires_at=at + timedelta(minutes=15)
        )
        return IncidentPage(row=row, timeline=timeline, approvals=(waits,), facts={"Impact": "sockets drop"})

    async def export(self, number: int, form: str) -> tuple[str, bytes, str]:
        if number not in [r.number for r in self.rows]:
            raise LookupError(number)
        return f"INC-{number} Überblick.{form}", f"<h1>{number}</h1>".encode(), "text/html; charset=utf-8"

    async def receive_alert(self, source: str, body: bytes, token: str | None) -> AlertReply:
        if token != "token":
            return AlertReply(status=401, text="wrong token")
        self.alerts.append((source, body, token))
        try:
            alert = json.loads(body)["alerts"][0]
        except (ValueError, KeyError, IndexError):
            return AlertReply(status=400, text="this is no Alertmanager body")
        if alert["status"] == "firing":
            await self.open_incident(alert["labels"]["alertname"], alert["annotations"].get("summary", ""))
        return AlertReply(status=200, text="taken")

    async def status(self) -> StatusView:
        return StatusView(
            services=tuple(ServiceView(name=s, state="down" if s == "redis" else "up") for s in SERVICES),
            incidents=tuple(
                PublicIncident(
                    title=r.title, severity=r.severity, rank=r.rank, status=r.status, since=r.opened_at
                )
                for r in self.rows
            ),
        )

    async def health(self) -> HealthView:
        return HealthView(ready=self.ready, parts={"store": "ok" if self.ready else "the disk is full"})

    def alerts_firing(self, count: int) -> None:
        """So many alerts of the newest incident fire."""
        self.rows[-1] = replace(self.rows[-1], alerts_firing=count)

    def every_severity(self) -> None:
        """A board with one incident of each severity, a late one, and a resolved one."""
        for rank, severity in enumerate(("critical", "high", "medium", "low"), start=0):
            row = replace(self.rows[0], number=2 + rank, rank=rank, severity=severity, late=rank == 0)
            self.rows.append(replace(row, late_text="first response late", requests_waiting=rank, eta=START))
        self.rows.append(replace(self.rows[0], number=9, resolved_at=START))

    # -- the chat's side --------------------------------------------------------------------------

    async def receive(self, act: Incoming) -> None:
        if self.fails:
            raise OSError("the log is away")
        self.took.append(act)
        assert self.console is not None
        if isinstance(act, Request) and act.text.startswith(("/", "!")):
            await self._command(act)
        elif isinstance(act, Press):
            await self._press(act)
        elif (
            isinstance(act, Reaction)
            and act.message_id == self._approval
            and act.added
            and act.user != "alice"
        ):
            await self._scaled(act.channel, act.message_id)

    async def open_incident(self, name: str, summary: str) -> int:
        assert self.console is not None
        number = len(self.rows) + 1
        now = self.clock.now()
        escape = self.console.marks.escape
        title = escape(summary or name)
        channel, got = await self.console.open_channel(
            f"inc-{number}-{summary or name}", private=False, key=self._key()
        )
        row = IncidentView(
            number=number,
            title=summary or name,
            severity="critical",
            rank=0,
            status="investigating",
            service="realtime",
            opened_at=now,
            next_at=now + timedelta(minutes=15),
            next_text="first response due",
            alerts_firing=1,
            channel=channel,
            channel_name=f"#{got}",
        )
        self.rows.append(row)
        await self.console.arrange(channel, topic=f"Critical · {title}")
        due = self.console.marks.time(now + timedelta(minutes=15), "clock")
        card = (
            f"🔴 Critical · INC-{number} {title} · realtime\nInvestigating · no owner yet\n"
            f"Next: first response due {due}\n1 alert firing · {escape(name)}"
        )
        await self.say(channel, card, "Acknowledge", "Runbook", "Escalate", card="incident")
        page = (
            f"🔔 @alice INC-{number} critical: {title}. You are on call.\n"
            f"I ask again in 5 min; bob is next at {due}."
        )
        await self.say(channel, page, "Acknowledge", "I can't, page bob", mentions=("alice",))
        for method in ("SMS", "phone"):
            self.console.page("alice", method, f"INC-{number} critical: {title}\nReply in #{got}.")
        await self.say(
            await self.console.direct("alice"),
            f"🔔 @alice INC-{number} critical: {title}",
            mentions=("alice",),
        )
        return number

    async def say(
        self,
        channel: str,
        text: str,
        *labels: str,
        card: str | None = None,
        mentions: tuple[str, ...] = (),
        thread: str | None = None,
    ) -> str:
        assert self.console is not None
        buttons = tuple(Button(b, b.casefold(), "primary" if i == 0 else "") for i, b in enumerate(labels))
        content = Content(text, text, buttons, mentions, card)
        return await self.console.post(channel, content, key=self._key(), thread=thread)

    async def _command(self, act: Request) -> None:
        assert self.console is not None
        if act.text[1:].startswith("scale realtime 10"):
            text = (
                "🔐 #7 alice asks: scale realtime 3 → 10 · production\nCPU 92 % · last time: INC-31, helped\n"
                "Approve before 03:58 CET · one approval, not alice\n@bob ✅ or ❌"
            )
            card = await self.say(
                act.channel, text, "Approve", "Deny", "Details", card="approval", mentions=("bob",)
            )
            self._approval = card
            for emoji in ("✅", "❌"):
                await self.console.react(act.channel, card, emoji)
        elif act.text[1:].startswith("pods"):
            table = (
                "realtime · production · 3 of 3 ready\n```\nPOD           READY  RESTARTS  AGE   CPU    MEM\n"
                "…5d-8f54b     1/1           0  2 d   410m   512Mi\n"
                "…5d-fgntl     1/1           7  2 d   980m   1.9Gi  ← OOMKilled 02:29\n"
                "…5d-x2x9q     1/1           0  2 d   395m   498Mi\n```"
            )
            await self.say(act.channel, table, thread=act.thread)
        elif act.text[1:].startswith("logs"):
            sent = Upload("realtime.log", b"line\n" * 4000)
            content = Content("The last 4,000 lines of realtime", "The last 4,000 lines of realtime")
            await self.console.upload(act.channel, sent, content, key=self._key())
        elif act.text[1:].startswith("ack"):
            self.rows[-1] = replace(self.rows[-1], owner=act.user, next_text="next update due")
            await self.say(act.channel, f"✅ {act.user} has acknowledged INC-{len(self.rows)}.")
        else:
            word = self.console.marks.escape(act.text[1:].split()[0]) if act.text[1:].split() else "nothing"
            text = f"There is no command “{word}”. Did you mean scale?"
            await self.console.whisper(act.channel, act.user, Content(text, text), thread=act.thread)

    async def _press(self, act: Press) -> None:
        if act.value == "approve":
            if act.user == "alice":
                text = "alice, that one is yours: somebody else has to approve #7 (bob, carol and dave can)."
                assert self.console is not None
                await self.console.whisper(act.channel, act.user, Content(text, text))
            else:
                await self._scaled(act.channel, act.message_id)
        elif act.value == "acknowledge":
            self.rows[-1] = replace(self.rows[-1], owner=act.user)
            await self.say(act.channel, f"{act.user} has acknowledged INC-{len(self.rows)}.")

    async def _scaled(self, channel: str, card: str) -> None:
        assert self.console is not None
        text = "✅ #7 realtime runs 10 replicas · asked alice, approved bob · 41 s"
        content = Content(text, text, (Button("Undo → 3", "undo"),), (), "approval")
        await self.console.edit(channel, card, content)

    def _key(self) -> str:
        self._keys += 1
        return f"{self.clock.now().isoformat()}-{self._keys}"


@asynccontextmanager
async def serving(bot: SampleBot, port: int = 0) -> AsyncIterator[str]:
    """The pages of `bot` on a free port; gives their address."""
    if bot.console is not None:
        await bot.console.start(bot.receive)
    runner = web.AppRunner(build(bot), access_log=None, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    assert site._server is not None
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()
