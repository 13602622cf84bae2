"""Slack's stand-in with people in it, for the platform contract: over HTTP, and in Socket Mode."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.chat import Incoming
from bot.platforms.slack import Slack
from tests.contracts.platform_rigs import PEOPLE, Shown, fenced
from tests.scenarios.slack_stage import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, Door
from tests.servers.slack.people import EMOJI, slack_id
from tests.servers.slack_server import shared

LIMIT = 1.0  # seconds for an acknowledgement: nothing here is slow, and a failure need not take Slack's three


class SlackRig:
    """The workspace outlives the bot; what the bot missed is read from the history, as the bot does it."""

    keeps_presses = False  # Slack tells whoever presses a button that nobody listens, and forgets it
    longest, empty = 40_000, False  # characters of a message, and whether one may have none

    def __init__(self, _folder: Path, *, sockets: bool = False) -> None:
        self._sockets = sockets
        self._server = shared()
        self._server.reset(time.time())
        self._server.call("deliver", limit=LIMIT)
        for name, display in PEOPLE.items():
            self._server.call("add_user", id=slack_id(name), name=name, real_name=display)
        self._server.call("add_channel", name="ops", members=[slack_id(name) for name in PEOPLE])
        self._door = Door()
        self._dead_since: float | None = None
        self._listening = False
        self._taken: set[str] = set()
        self.took: list[Incoming] = []
        self.platform = self._open()

    def _open(self) -> Slack:
        mode: dict[str, Any] = (
            {"app_token": APP_TOKEN} if self._sockets else {"signing_secret": SIGNING_SECRET}
        )
        return Slack(
            bot_token=BOT_TOKEN,
            people={slack_id(name): name for name in PEOPLE},
            zone=ZoneInfo("Europe/Berlin"),
            base_url=self._server.api,
            wall=self._wall,
            pace=0,
            **mode,
        )

    def _wall(self) -> float:
        return time.time() + self._server.offset

    def user(self, name: str) -> str:
        return slack_id(name)

    @property
    def me(self) -> str:
        return "U0WATCHBELL"

    @property
    def ops(self) -> str:
        return str(next(c["id"] for c in self._channels() if c["name"] == "ops"))

    def private_channel(self, *names: str) -> str:
        return str(self._server.call("add_channel", name="secret", is_private=True, members=names)["id"])

    # -- the bot's life -------------------------------------------------------------------------------

    async def ready(self) -> None:
        """Nothing has to be loaded."""

    async def kill(self) -> None:
        self._dead_since, self._listening = self._wall(), False
        await self._door.close()
        await self.platform.stop()
        self.platform = self._open()

    async def start(self, *, fail: Callable[[Incoming], bool] | None = None) -> None:
        async def receive(act: Incoming) -> None:
            self.took.append(act)
            await asyncio.sleep(0)
            if fail is not None and fail(act):
                raise OSError("the log is away")
            self._taken.add(act.event_id)

        if not self._sockets:
            address = await self._door.open(self.platform.routes())
            await self._server.act("app", events_url=address)
        await self.platform.start(receive)
        await self._server.act("sockets")  # what waited for a connection has come over it
        if self._dead_since is not None:
            for act in await self.platform.history(self.ops, self._wall() - self._dead_since + 60):
                if act.event_id not in self._taken:
                    await receive(act)
        self._listening = True

    async def close(self) -> None:
        await self.kill()
        await self.platform.stop()
        found = self._server.call("violations")["violations"]
        assert not found, found

    def forward(self, seconds: float) -> None:
        self._server.offset += seconds
        self._server.call("forward", seconds=seconds)

    # -- acts -----------------------------------------------------------------------------------------

    async def says(self, name: str, channel: str, text: str, thread: str | None = None) -> str:
        asked: dict[str, Any] = {"user": slack_id(name), "channel": channel, "text": text}
        if thread is not None:
            asked["thread_ts"] = thread
        return str((await self._act("says", **asked))["ts"])

    async def reacts(self, name: str, message: str, emoji: str, added: bool = True) -> None:
        await self._on(message, "reacts", name, name=EMOJI[emoji], added=added)

    async def presses(self, name: str, message: str, label: str) -> None:
        await self._on(message, "presses", name, label=label)

    async def edits(self, name: str, message: str, text: str) -> None:
        await self._on(message, "edits", name, text=text)

    async def deletes(self, name: str, message: str) -> None:
        await self._on(message, "deletes", name)

    async def _on(self, message: str, act: str, user: str, /, **asked: Any) -> None:
        await self._act(act, user=slack_id(user), channel=self.ops, ts=message, **asked)

    async def _act(self, act: str, /, **asked: Any) -> Any:
        """Do it; OSError where the bot was there and did not take it."""
        said = await self._server.act(act, **asked)
        if not said.get("acknowledged", True) and (self._listening or act == "presses"):
            raise OSError(f"the log is away, or nobody listens: {said}")
        return said

    def deactivate(self, name: str) -> None:
        self._server.call("deactivate", user=slack_id(name), wait=False)

    def renames(self, channel: str, name: str) -> None:
        self._server.call("renames", channel=channel, name=name, wait=False)

    # -- looking --------------------------------------------------------------------------------------

    def shown(self, channel: str, reader: str) -> list[Shown]:
        return [
            Shown(
                m["text"],
                tuple(b["label"] for b in m["buttons"]),
                {name: base64.b64decode(data) for name, data in m["files"].items()},
                m["thread_ts"],
                bool(m["edited"]),
            )
            for m in self._history(channel, reader)
            if m["subtype"] not in ("channel_topic", "channel_purpose")  # the channel itself says these
        ]

    def blocks(self, text: str) -> int:
        return fenced(text)

    def title(self, channel: str) -> str:
        return f"#{self._channel(channel)['name']}"

    def topic(self, channel: str) -> str:
        return str(self._channel(channel)["topic"])

    def pinned(self, channel: str) -> list[str]:
        return [m["text"] for m in self._history(channel, self.me) if m["pinned"]]

    def _history(self, channel: str, reader: str) -> list[Any]:
        return list(self._server.call("history", channel=channel, reader=reader)["messages"])

    def _channels(self) -> list[Any]:
        return list(self._server.call("channels")["channels"])

    def _channel(self, channel: str) -> Any:
        return next(c for c in self._channels() if c["id"] == channel)
