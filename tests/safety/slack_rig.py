"""The whole bot on Slack's stand-in, for the cases of the list: people by name, and what each of them reads."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from bot.config import Settings
from tests.safety.looks import Looks, Shown
from tests.safety.rig import Change, example
from tests.safety.slack_workspace import Workspace
from tests.scenarios.slack_stage import SIGNING_SECRET
from tests.scenarios.slack_stage import on_slack as with_slack_accounts
from tests.servers.slack.delivery_http import FORM, signature
from tests.servers.slack.people import slack_id

Json = dict[str, Any]
TICK, CROSS, PIN = "white_check_mark", "x", "pushpin"
OPEN = "/incident open critical Redis is down service=realtime"


class Someone:
    """A person in Slack; what they do is done when the bots have settled. Returns are a message's ts."""

    def __init__(self, name: str, chat: SlackChat) -> None:
        self.name, self.id, self.chat = name, slack_id(name), chat

    async def says(self, text: str, where: str | None = None, thread: str | None = None, **more: Any) -> str:
        """Type a line: a slash command where it begins with / (nothing comes back), else a message."""
        channel = self.chat.place(where)
        if text.startswith("/"):
            command, rest = self.chat.stage.people._slash(text)
            await self.chat.act("command", user=self.id, channel=channel, command=command, text=rest)
            return ""
        asked = {"user": self.id, "channel": channel, "text": text, "thread_ts": thread, **more}
        said = await self.chat.act("says", **{name: v for name, v in asked.items() if v is not None})
        return str(said["ts"])

    async def asks(self, line: str, where: str | None = None) -> str:
        """Give the bot a command in the way that this chat has for it."""
        return await self.says(f"{self.chat.sign}{line}", where)

    async def votes(self, on: Json) -> None:
        """Tick a card; nobody waits for what the bot does about it."""
        await self.chat.server.act("reacts", user=self.id, **self.chat.spot(on), name=TICK, added=True)

    async def reacts(self, on: Json | str, name: str = TICK, added: bool = True, **more: Any) -> None:
        """Add a reaction by its name in Slack, or take it back."""
        await self.chat.act("reacts", user=self.id, **self.chat.spot(on), name=name, added=added, **more)

    async def presses(self, label: str, on: Json) -> None:
        """Press a button."""
        await self.chat.act("presses", user=self.id, **self.chat.spot(on), label=label)

    async def edits(self, ts: str, text: str) -> None:
        """Change an own message in the incident's channel."""
        await self.chat.act("edits", user=self.id, **self.chat.spot(ts), text=text)

    async def fills_in(self, **values: Any) -> Json:
        """Submit the form that is open; what Slack shows beside its fields afterwards."""
        view = self.chat.views(self)["modal"]
        asked = {"user": self.id, "view_id": view["id"], "values": values}
        return dict((await self.chat.act("submits", **asked))["errors"])


class SlackChat(Looks):
    """The people of the example configuration in Slack, and what can be seen there."""

    sign, mention = "/", "@watchbell"  # what a command begins with, and how else the bot is spoken to
    cross = CROSS

    def __init__(self, stage: Workspace) -> None:
        self.stage, self.server, self.number = stage, stage.server, 0
        for name in stage.settings.people:
            setattr(self, name, Someone(name, self))
        self._since = 0

    def __getattr__(self, name: str) -> Someone:
        raise AttributeError(f"nobody here is called {name}")

    def account(self, name: str, **facts: Any) -> Someone:
        """Somebody else in the workspace, who joined it just now."""
        self.server.call("add_user", id=slack_id(name), name=name, real_name=name.title(), **facts)
        setattr(self, name, someone := Someone(name, self))
        return someone

    # -- going on ---------------------------------------------------------------------------------

    async def act(self, name: str, /, **asked: Any) -> Json:
        """Somebody does something, at the bot's time; returns what Slack saw of it when all is at rest."""
        await self.server.set_clock(self.stage.clock.now().timestamp())
        said = dict(await self.server.act(name, **asked))
        if self.stage.bots:
            await self.stage.settle()
        return said

    async def opens(self, line: str = OPEN) -> None:
        """alice opens an incident and acknowledges it; from now on people write in its channel."""
        await self.alice.says(line, "#ops")
        self.number += 1
        await self.alice.says("/ack")

    async def waits(self, seconds: float) -> None:
        """Let time pass."""
        await self.stage.waits(seconds)

    async def restarts(self, away: float = 0, change: Change | None = None) -> None:
        """Kill the bot, or leave it dead, and start it on the same data so many seconds later."""
        await self.stage.kill()
        self.stage.clock.move(self.stage.clock.now() + timedelta(seconds=away))
        if change is not None:
            self.stage.settings = change(self.stage.settings)
        await self.stage.start()
        await self.stage.settle()

    async def posts(
        self,
        body: bytes,
        *,
        secret: str = SIGNING_SECRET,
        ago: float = 0,
        at: float | None = None,
        signed: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[int]:
        """Send a form, signed as Slack would so many seconds ago (or another body), to every bot; the statuses.

        Two are a replay only with the same moment `at`: a stamp has whole seconds.
        """
        moment = time.time() - ago if at is None else at
        proof = signature(secret, body if signed is None else signed, moment)
        sent = {"Content-Type": FORM, **proof, **(headers or {})}
        statuses = []
        async with aiohttp.ClientSession() as http:
            for _, url in self.stage.doors:
                async with http.post(url, data=body, headers=sent) as answer:
                    statuses.append(answer.status)
        await self.stage.settle()
        return statuses

    # -- what is there ----------------------------------------------------------------------------

    def channels(self) -> list[Json]:
        """Every conversation."""
        return list(self.server.call("channels")["channels"])

    def channel(self) -> Json:
        """The incident's channel as it is now: the one whose purpose says that it was opened for it."""
        key = rf"\bwb-open-{self.number}\b"
        return next(c for c in self.channels() if re.search(key, c["purpose"]))

    def place(self, where: str | None = None) -> str:
        """The id of a channel; without a name the incident's, before there is one #ops."""
        if where is None and self.number:
            return str(self.channel()["id"])
        wanted = (where or "#ops").removeprefix("#")
        return next(str(c["id"]) for c in self.channels() if wanted in (c["name"], c["id"]))

    def spot(self, on: Json | str) -> Json:
        """Channel and ts of a message; a ts alone is one of the incident's channel."""
        return {"channel": self.place(), "ts": on} if isinstance(on, str) else _spot(on)

    def messages(self, where: str | None = None, reader: str = "watchbell") -> list[Json]:
        """What somebody reads in a channel, oldest first; without a name the incident's."""
        user = "U0WATCHBELL" if reader == "watchbell" else slack_id(reader)
        return list(self.server.call("history", channel=self.place(where), reader=user)["messages"])

    def newest(self, **asked: Any) -> Json:
        """The newest message that fits (see the control `newest`)."""
        found = self.server.call("newest", **asked)["message"]
        assert found is not None, f"there is no message with {asked}"
        return dict(found)

    def card(self, number: int | None = None) -> Json:
        """The newest approval card, or that of a request."""
        return self.newest(card="approval", **({} if number is None else {"headed": f"#{number} "}))

    def cards(self) -> list[Shown]:
        """The approval cards of the incident's channel, oldest first."""
        return [self.shown(m) for m in self.messages() if m["card"] == "approval"]

    def offered(self, containing: str) -> tuple[Json, tuple[str, ...]]:
        """The newest message with these words, and its buttons."""
        found = self.newest(containing=containing)
        return found, self.shown(found).buttons

    def shown(self, message: Json) -> Shown:
        """A message as somebody reads it."""
        return Shown(message["ts"], message["text"], tuple(b["label"] for b in message["buttons"]))

    def views(self, person: Someone) -> Json:
        """The form that somebody has open, and their App Home."""
        return dict(self.server.call("views", user=person.id))

    def journal(self, since: int = 0) -> list[Json]:
        """What the bot did in the workspace, in order."""
        return list(self.server.call("journal", since=since)["journal"])

    def mark(self) -> None:
        """From here on `bot_said` looks."""
        self._since = len(self.journal())

    def bot_said(self, reader: str | None = None) -> str:
        """What the bot wrote or changed since the mark, that everybody reads (or one person alone)."""
        own, to = {"say", "edit", "upload", "ephemeral"}, None if reader is None else slack_id(reader)
        found = [entry for entry in self.journal(self._since) if entry["do"] in own]
        if reader is None:
            return "\n".join(f["text"] for f in found if "user" not in f and f["channel_name"][:1] != "@")
        return "\n".join(f["text"] for f in found if f.get("user") == to or f["channel_name"] == f"@{reader}")


def _spot(message: Mapping[str, Any]) -> Json:
    return {"channel": message["channel"], "ts": message["ts"]}


# -- what Slack sends ---------------------------------------------------------------------------------


def command_form(chat: SlackChat, person: Someone, command: str, text: str, trigger: str) -> bytes:
    """A slash command in the incident's channel, for `posts`."""
    fields = {"channel_id": chat.place(), "user_id": person.id, "command": command, "text": text}
    return urlencode({**fields, "team_id": "T0WATCH", "trigger_id": trigger}).encode()


def press_form(chat: SlackChat, person: Someone, label: str, on: Json, trigger: str) -> bytes:
    """A button pressed under a message, for `posts`."""
    value = next(b["value"] for b in on["buttons"] if b["label"] == label)
    at = f"{chat.stage.clock.now().timestamp():.6f}"
    action = {"action_id": "wb:0", "block_id": "b", "value": value, "type": "button", "action_ts": at}
    box = {"type": "message", "message_ts": on["ts"], "channel_id": on["channel"]}
    payload = {
        "type": "block_actions",
        "user": {"id": person.id, "team_id": "T0WATCH"},
        "team": {"id": "T0WATCH"},
        "trigger_id": trigger,
        "container": box,
        "channel": {"id": on["channel"]},
        "actions": [action],
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def file(name: str, data: bytes) -> Json:
    """A file that somebody posts, for `says`."""
    return {"name": name, "data_base64": base64.b64encode(data).decode()}


def with_groups(**groups: Sequence[str]) -> Change:
    """These roles are given by these user groups of Slack's."""

    def change(settings: Settings) -> Settings:
        roles = {role: list(names) for role, names in groups.items()}
        return replace(settings, platforms={**settings.platforms, "slack": {"roles": roles}}, grants={})

    return change


@asynccontextmanager
async def on_slack(
    folder: Path,
    *changes: Change,
    socket: bool = False,
    bots: int = 1,
    opened: bool = True,
    guests: Collection[str] = (),
    prepare: Callable[[SlackChat], object] = lambda chat: None,
) -> AsyncIterator[SlackChat]:
    """A bot that runs, in Slack; with an incident that alice opened unless told otherwise.

    `guests` are those who may act, `prepare` furnishes the workspace further before the bot comes.
    """
    settings = with_slack_accounts(example(*changes))
    stage = Workspace(settings, folder, sockets=socket, guests=guests)
    try:
        made = SlackChat(stage)
        prepare(made)
        for _ in range(bots):
            await stage.start()
        await stage.settle()
        if opened:
            await made.opens()
        yield made
    finally:
        await stage.close()
