"""The workspace that the stand-in keeps: its records, its clock, a journal, and the way to the app."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol

from tests.servers.slack.records import (
    APP_ID,
    BOT_ID,
    BOT_USER,
    SCOPES,
    SLACKBOT,
    TEAM,
    Ack,
    App,
    Channel,
    File,
    Group,
    Json,
    Message,
    ResponseUrl,
    Trigger,
    User,
    View,
)

__all__ = [
    "APP_ID",
    "BOT_ID",
    "BOT_USER",
    "SCOPES",
    "SLACKBOT",
    "TEAM",
    "Ack",
    "App",
    "Channel",
    "Delivery",
    "File",
    "Group",
    "Json",
    "Message",
    "ResponseUrl",
    "Trigger",
    "Unconnected",
    "User",
    "View",
    "Workspace",
    "base36",
]


class Delivery(Protocol):
    """What carries things to the app; `delivery.py` has it for HTTP and for Socket Mode."""

    async def event(self, event: Json) -> Ack:
        """Deliver the inner event of an event_callback and wait for the acknowledgement."""
        ...

    def spawn_event(self, event: Json) -> None:
        """Deliver an event that nobody waits for; several so spawned arrive in order."""
        ...

    async def interactive(self, payload: Json) -> Ack:
        """Deliver a block_actions, view_submission, shortcut or message_action payload, once."""
        ...

    async def command(self, form: Json) -> Ack:
        """Deliver a slash command (its form fields), once."""
        ...

    async def configured(self) -> Ack:
        """The app's address changed: url_verification, where it has one."""
        ...

    async def clock_moved(self) -> None:
        """Deliver again what has become due by the stand-in's clock, and wait for that."""
        ...

    async def reset(self) -> None:
        """Forget what waits to be delivered, and close the sockets."""
        ...


class Unconnected:
    """No app listens: every delivery fails, as it does while an app is down."""

    async def event(self, event: Json) -> Ack:
        return Ack(False, error="no app is connected")

    def spawn_event(self, event: Json) -> None:
        """Nobody is there to take it."""

    async def interactive(self, payload: Json) -> Ack:
        return Ack(False, error="operation_timeout")

    async def command(self, form: Json) -> Ack:
        return Ack(False, error="operation_timeout")

    async def configured(self) -> Ack:
        return Ack(True)

    async def clock_moved(self) -> None:
        """Nothing waits."""

    async def reset(self) -> None:
        """Nothing waits."""


class Workspace:
    """Everything that the stand-in knows, in memory; it outlives the bot, and `reset` begins anew."""

    def __init__(self) -> None:
        self.deliver: Delivery = Unconnected()
        self.base_url = ""  # http://127.0.0.1:PORT, set once the server listens
        self._tasks: set[asyncio.Task[Any]] = set()
        self.reset()

    def reset(self, *, clock_offset: float = 0.0, scopes: frozenset[str] | None = None) -> None:
        """A fresh workspace: the app's bot user, no channel, nobody else."""
        self.team = TEAM
        self.domain = "watch"
        self.name = "Watch"
        self.offset = clock_offset
        self.app = App() if scopes is None else App(scopes=scopes)
        self.users: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}
        self.messages: dict[str, dict[str, Message]] = {}  # by channel, by ts, oldest first
        self.files: dict[str, File] = {}
        self.groups: dict[str, Group] = {}
        self.modals: dict[str, list[View]] = {}  # by user, the one on top last
        self.homes: dict[str, View] = {}  # by user
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.journal: list[Json] = []
        self.violations: list[Json] = []
        self._micros = 0
        self._serial = 0
        self.add_user(User(id=SLACKBOT, name="slackbot", real_name="Slackbot"))
        self.add_user(
            User(id=BOT_USER, name="watchbell", real_name="Watchbell", is_bot=True, bot_id=self.app.bot_id)
        )

    # -- clock and ids --------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch by the stand-in's own clock."""
        return time.time() + self.offset

    def forward(self, seconds: float) -> None:
        """Move the stand-in's clock on."""
        self.offset += seconds

    def new_ts(self) -> str:
        """A ts of now, later than every one before."""
        self._micros = max(int(self.now() * 1_000_000), self._micros + 1)
        return f"{self._micros // 1_000_000}.{self._micros % 1_000_000:06d}"

    def new_id(self, prefix: str) -> str:
        """An id that looks like Slack's: the prefix and ten of digits and capitals."""
        self._serial += 1
        return f"{prefix}{base36(self._serial):0>10}"

    # -- what is there --------------------------------------------------------------------------------

    def add_user(self, user: User) -> User:
        """Add an account; one with the same id is replaced."""
        user.updated = int(self.now())
        self.users[user.id] = user
        return user

    def add_channel(self, channel: Channel) -> Channel:
        """Add a conversation."""
        self.channels[channel.id] = channel
        self.messages[channel.id] = {}
        return channel

    def add_message(self, message: Message) -> Message:
        """Keep a message, an ephemeral one included."""
        self.messages[message.channel][message.ts] = message
        return message

    def channel_named(self, name: str) -> Channel | None:
        """The channel with this name (no #), archived ones included; direct messages have none."""
        return next((c for c in self.channels.values() if c.name == name and not c.is_im), None)

    def direct_with(self, user: str) -> Channel | None:
        """The direct messages between the bot and somebody, once they were opened."""
        return next((c for c in self.channels.values() if c.is_im and c.user == user), None)

    def open_direct(self, user: str) -> Channel:
        """The same, opened where it was not yet."""
        if (found := self.direct_with(user)) is not None:
            return found
        members = [self.app.bot_user, user]
        made = Channel(id=self.new_id("D"), name="", creator=user, created=int(self.now()), members=members)
        made.is_im, made.user = True, user
        return self.add_channel(made)

    def replies(self, channel: str, root: str) -> Iterator[Message]:
        """The answers in a thread, oldest first, without its root and without ephemeral ones."""
        return (
            m
            for m in self.messages[channel].values()
            if m.is_reply and m.thread_ts == root and not m.only_for
        )

    # -- triggers, response_urls, what was recorded -----------------------------------------------------

    def new_trigger(self, user: str) -> str:
        """A trigger_id: good for one modal within three seconds."""
        trigger = f"{self.new_id('')}.{int(self.now() * 1000)}.{base36(self._serial)}"
        self.triggers[trigger] = Trigger(id=trigger, user=user, until=self.now() + 3)
        return trigger

    def new_response_url(self, user: str, channel: str, message_ts: str | None = None) -> str:
        """A response_url: good for five messages within thirty minutes."""
        key = self.new_id("")
        self.response_urls[key] = ResponseUrl(
            key=key, user=user, channel=channel, message_ts=message_ts, until=self.now() + 30 * 60
        )
        return f"{self.base_url}/response/{self.team}/{key}"

    def record(self, do: str, **facts: Any) -> None:
        """Write into the journal what the bot did."""
        self.journal.append({"n": len(self.journal) + 1, "do": do, **facts})

    def violation(self, method: str, error: str, detail: str) -> None:
        """Keep an invalid request of the app's."""
        self.violations.append({"method": method, "error": error, "detail": detail})

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that nobody waits for, and hold on to it until it is done."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def base36(number: int) -> str:
    """A number in digits and capitals, as Slack's ids are."""
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rest] + digits
        if number == 0:
            return digits
