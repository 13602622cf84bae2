"""Payloads as Slack's reference shows them, and a small workspace for the inward half of the adapter."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import Button, Content, Incoming
from bot.platforms.slack_inbound import Inbound
from bot.web.context import WebSettings
from bot.web.security import guard

NOW = 1_764_000_000.0
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BOT, BOT_ID = "U0WATCHBELL", "B0WATCHBELL"
ALICE, GUEST = "U2147483697", "U0GUEST00"
CHANNEL, DIRECT = "C2147483705", "D024BE91L"
TRIGGER = "13345224609.738474920.8088930838d88f008e0"
Json = dict[str, Any]


class SampleDirectory:
    """Knows Alice, and a guest; everybody else is asked for once."""

    user_id, bot_id = BOT, BOT_ID

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.updated: list[Mapping[str, Any]] = []
        self.away = False

    async def know(self, *users: str) -> None:
        if self.away:
            raise ConnectionError("users.info does not answer")
        self.asked += users

    def barred(self, user: str) -> str:
        return {GUEST: "a guest"}.get(user, "")

    def update(self, account: Mapping[str, Any]) -> None:
        self.updated.append(account)


class SampleCalls:
    """Keeps the calls; `error` is what the next ones raise."""

    def __init__(self, base_url: str = "http://127.0.0.1:9/api/") -> None:
        self.web = AsyncWebClient(token="xoxb-test", base_url=base_url, retry_handlers=[])
        self.calls: list[tuple[str, Json]] = []
        self.error: Exception | None = None

    async def call(self, method: str, **arguments: Any) -> Json:
        if self.error is not None:
            raise self.error
        self.calls.append((method, arguments))
        return {"ok": True}


class SampleHouse:
    """Reads lines as long as they do not hold the word `wrong`."""

    def refusal(self, line: str) -> str | None:
        return "That word is wrong." if "wrong" in line else None

    def severities(self) -> Sequence[str]:
        return ["critical", "high", "low"]

    def services(self) -> Sequence[str]:
        return ["api", "realtime"]

    async def home(self, user: str) -> Sequence[Content]:
        found = Content(
            "*INC-7* Redis is down", "INC-7 Redis is down", (Button("Acknowledge", "/ack INC-7"),)
        )
        return [found, Content(f"On call: <@{user}>", "On call: alice")]


class SampleWorkspace:
    """What the inward half needs of Slack; what comes in is kept in `received`."""

    def __init__(self, **settings: Any) -> None:
        self.app_token: str | None = settings.get("app_token")
        self.signing_secret: str | None = settings.get("signing_secret", SECRET)
        self.base_url = settings.get("base_url", "http://127.0.0.1:9/api/")
        self.people = {ALICE: "alice"}
        self.prefix = settings.get("prefix", "")
        self.wall: Callable[[], float] = lambda: NOW
        self.api = SampleCalls(self.base_url)
        self.directory = SampleDirectory()
        self.whispers: list[tuple[str, str, str]] = []
        self.received: list[Incoming] = []
        self.error: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.house = SampleHouse()
        self.now = NOW
        self.inbound = Inbound(self, wait=self._waited, now=lambda: self.now)

    async def _waited(self, tasks: set[asyncio.Task[None]], timeout: float) -> None:  # noqa: ASYNC109
        """The two seconds are over as soon as everything stands still."""
        assert timeout < 3
        await asyncio.wait(tasks, timeout=0.02 if self.hold is not None else 5)

    async def receive(self, incoming: Incoming) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        self.received.append(incoming)

    async def direct(self, user: str) -> str:
        return DIRECT

    async def whisper(self, channel: str, user: str, content: Content, *, thread: str | None = None) -> None:
        self.whispers.append((channel, user, content.plain))


class Client:
    """Sends what Slack sends, signed as Slack signs it."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def send(
        self,
        body: str,
        kind: str = "application/json",
        *,
        at: float | str = NOW,
        secret: str = SECRET,
        **headers: str,
    ) -> tuple[int, str]:
        """Status and body of the answer; `at` is when it was signed, by the sender's account."""
        stamp = at if isinstance(at, str) else str(int(at))
        told = {
            "Content-Type": kind,
            "X-Slack-Request-Timestamp": stamp,
            "X-Slack-Signature": signature(body, stamp, secret),
        }
        given = told | {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(self.url, data=body.encode(), headers=given) as answer:
            return answer.status, await answer.text()

    async def event(self, event: Json, at: float = NOW, **headers: str) -> int:
        """The status for an event of the Events API."""
        return (await self.send(json.dumps(envelope(event)), at=at, **headers))[0]

    async def form(self, fields: Json, at: float = NOW) -> tuple[int, str]:
        """A slash command."""
        return await self.send(urlencode(fields), "application/x-www-form-urlencoded", at=at)

    async def act(self, payload: Json, at: float = NOW) -> tuple[int, str]:
        """A press, a shortcut, a form."""
        return await self.form({"payload": json.dumps(payload)}, at)


def signature(body: str, stamp: str, secret: str = SECRET) -> str:
    return "v0=" + hmac.new(secret.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()


@asynccontextmanager
async def serving(slack: SampleWorkspace, *, started: bool = True) -> AsyncIterator[Client]:
    """The endpoint behind the guard of the web pages, as it is served: under any name, without the password."""
    settings = WebSettings(templates=Path(), zone=UTC, password="for people only")
    app = web.Application(middlewares=[guard(settings)])
    app.add_routes(slack.inbound.routes())
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    if started:
        await slack.inbound.start(slack.receive, slack.house)
    try:
        async with aiohttp.ClientSession(headers={"Host": "bot.example.com"}) as http:
            yield Client(f"http://127.0.0.1:{port}/slack/events", http)
    finally:
        await slack.inbound.stop()
        await runner.cleanup()


# -- payloads -------------------------------------------------------------------------------------------


def envelope(event: Json) -> Json:
    """The wrapper of the Events API."""
    return {
        "token": "XXYYZZ",
        "team_id": "T123ABC456",
        "api_app_id": "A123ABC456",
        "event": event,
        "type": "event_callback",
        "authorizations": [{"team_id": "T123ABC456", "user_id": BOT, "is_bot": True}],
        "event_context": "EC123ABC456",
        "event_id": "Ev123ABC456",
        "event_time": int(NOW),
    }


def ts(ago: float = 5) -> str:
    """A Slack time stamp, so many seconds before now."""
    return f"{NOW - ago:.6f}"


def message(text: str = "Hello world", **more: Any) -> Json:
    """The event `message`."""
    found = {"type": "message", "channel": CHANNEL, "user": ALICE, "text": text, "ts": ts(), "event_ts": ts()}
    return found | {"channel_type": "channel"} | more


def changed(before: str | None, after: str, edited: bool = True, **more: Any) -> Json:
    """The event `message_changed` of a message written 60 s ago, edited 5 s ago."""
    now = {"type": "message", "user": ALICE, "text": after, "ts": ts(60)} | more
    if edited:
        now["edited"] = {"user": ALICE, "ts": ts()}
    found = {"type": "message", "subtype": "message_changed", "hidden": True, "channel": CHANNEL, "ts": ts()}
    previous = {"type": "message", "user": ALICE, "text": before, "ts": ts(60)}
    return found | {"event_ts": ts(), "message": now} | ({"previous_message": previous} if before else {})


def deleted(**previous: Any) -> Json:
    """The event `message_deleted`."""
    before = {"type": "message", "user": ALICE, "text": "secret", "ts": ts(60)} | previous
    found = {"type": "message", "subtype": "message_deleted", "hidden": True, "channel": CHANNEL, "ts": ts()}
    return found | {"deleted_ts": ts(60), "event_ts": ts(), "previous_message": before}


def reaction(name: str = "white_check_mark", user: str = ALICE, added: bool = True) -> Json:
    """The events `reaction_added` and `reaction_removed`."""
    item = {"type": "message", "channel": CHANNEL, "ts": ts(60)}
    kind = "reaction_added" if added else "reaction_removed"
    return {"type": kind, "user": user, "reaction": name, "item_user": BOT, "item": item, "event_ts": ts()}


def command(name: str = "/scale", text: str = "realtime 10", **more: str) -> Json:
    """The fields of a slash command."""
    return {
        "token": "gIkuvaNzQIHg97ATvDxqgjtO",
        "team_id": "T0001",
        "team_domain": "example",
        "channel_id": CHANNEL,
        "channel_name": "test",
        "user_id": ALICE,
        "user_name": "alice",
        "command": name,
        "text": text,
        "api_app_id": "A123456",
        "is_enterprise_install": "false",
        "response_url": "http://127.0.0.1:9/commands/1234/5678",
        "trigger_id": TRIGGER,
    } | more


def press(value: str = "/ack", user: str = ALICE, thread: str | None = None, action: str = "wb:0") -> Json:
    """A button under a message (block_actions)."""
    shown = {"type": "message", "user": BOT, "ts": ts(60), "text": "INC-7"}
    if thread:
        shown["thread_ts"] = thread
    button = {
        "action_id": action,
        "block_id": "xyz",
        "text": {"type": "plain_text", "text": "Acknowledge"},
        "value": value,
        "type": "button",
        "action_ts": ts(),
    }
    return {
        "type": "block_actions",
        "user": {"id": user, "username": "alice", "team_id": "T0001"},
        "api_app_id": "A123456",
        "container": {
            "type": "message",
            "message_ts": ts(60),
            "channel_id": CHANNEL,
            "is_ephemeral": False,
        },
        "trigger_id": TRIGGER,
        "team": {"id": "T0001", "domain": "example"},
        "channel": {"id": CHANNEL, "name": "test"},
        "message": shown,
        "state": {"values": {}},
        "response_url": "http://127.0.0.1:9/actions/1",
        "actions": [button],
    }


def home_press(value: str) -> Json:
    """A button on the App Home."""
    found = press(value)
    view = {"id": "V1", "type": "home", "callback_id": ""}
    del found["channel"], found["message"]
    return found | {"container": {"type": "view", "view_id": "V1"}, "view": view}


def shortcut(callback: str = "open_incident", user: str = ALICE) -> Json:
    """A global shortcut."""
    found = {
        "type": "shortcut",
        "token": "XXX",
        "action_ts": ts(),
        "team": {"id": "T0001", "domain": "example"},
    }
    return found | {"user": {"id": user, "username": "alice"}, "callback_id": callback, "trigger_id": TRIGGER}


def message_shortcut() -> Json:
    """The message shortcut add_to_timeline."""
    return shortcut("add_to_timeline") | {
        "type": "message_action",
        "channel": {"id": CHANNEL, "name": "test"},
        "message_ts": ts(60),
        "message": {"type": "message", "user": ALICE, "ts": ts(60), "text": "It began at noon"},
    }


def submission(view: Json, values: Mapping[str, str]) -> Json:
    """A form (as views.open sent it) that somebody filled in and sent (view_submission)."""
    state = {b["block_id"]: {b["element"]["action_id"]: _filled(b, values)} for b in view["blocks"]}
    sent = view | {
        "id": "VNHU13V36",
        "team_id": "T0001",
        "state": {"values": state},
        "hash": "156663117.cd33ad1f",
    }
    found = {"type": "view_submission", "team": {"id": "T0001", "domain": "example"}, "user": {"id": ALICE}}
    return found | {"api_app_id": "A123456", "trigger_id": TRIGGER, "view": sent}


def _filled(block: Json, values: Mapping[str, str]) -> Json:
    kind, value = block["element"]["type"], values.get(block["block_id"])
    if kind == "static_select":
        chosen = {"text": {"type": "plain_text", "text": value}, "value": value} if value else None
        return {"type": kind, "selected_option": chosen}
    if kind == "checkboxes":
        return {"type": kind, "selected_options": [{"value": value}] if value else []}
    return {"type": kind, "value": value}
