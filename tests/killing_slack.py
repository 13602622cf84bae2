"""The kill loop over Slack: the bot's side in each child, and the people, who act beside it without a pause."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from bot.app import Bot
from bot.config import load
from bot.platforms.slack import Slack
from incidents.ports import Clock
from tests.killing import LIVES, SPEED
from tests.scenarios.slack_stage import APP_TOKEN, BOT_TOKEN, on_slack
from tests.servers.slack.people import slack_id
from tests.servers.slack_server import SlackServer, StandInError

MOST = 6  # incidents
PEOPLE = ("alice", "bob", "carol")
APPROVERS = ("bob", "carol", "dave")


class SlackChat:
    """Slack in Socket Mode; the stand-in is a process of its own and outlives every child."""

    speed, away, longest, lives = SPEED, 45.0, 0.5, LIVES  # commands older than a minute are not run

    def __init__(self, address: str) -> None:
        self.settings = on_slack(load(None, {}))
        self._server = SlackServer()
        self._server.url = address

    def open(self, clock: Clock) -> Slack:
        """The adapter; its clock for ages is Slack's, which is not as fast as the bot's."""
        people = {ident: name for name, p in self.settings.people.items() if (ident := p.ids.get("slack"))}
        offset = self._server.offset
        return Slack(
            bot_token=BOT_TOKEN,
            app_token=APP_TOKEN,
            people=people,
            zone=ZoneInfo(self.settings.zone),
            base_url=self._server.api,
            wall=lambda: time.time() + offset,
            pace=0,
        )

    def telephones(self, platform: Slack) -> SlackChat:
        """Telephones ring here."""
        return self

    def page(self, person: str, method: str, text: str) -> None:
        """Nobody listens to them."""

    def ready(self, bot: Bot) -> None:
        """Nobody is told to type more slowly: what is not taken in would not be tested."""
        bot.inbox.unlimited = True

    async def live(self, platform: Slack, seed: int) -> None:
        """People act beside the child."""
        await asyncio.Event().wait()

    def pass_away(self) -> None:
        """Slack's clock goes on as the bot's does; what it sends again by then meets nobody."""
        self._server.offset += self.away
        self._server.call("forward", seconds=self.away)

    def conclude(self) -> None:
        """What is said to the last one while it starts is sent to it again."""


@dataclass(slots=True)
class Typed:
    """What people typed, by the text: sent to the bot, and acknowledged by it."""

    sent: Counter[str] = field(default_factory=Counter)
    acknowledged: Counter[str] = field(default_factory=Counter)


class Crowd:
    """People in a workspace who act at random, whether the bot lives or not."""

    def __init__(self, server: SlackServer, seed: int) -> None:
        self._server = server
        self._dice = random.Random(seed)
        self._count = 0
        self._furnish()
        self.commands = Typed()
        self.messages: Counter[bool] = Counter()  # by whether they were acknowledged

    def _furnish(self) -> None:
        self._server.reset()
        settings = on_slack(load(None, {}))
        for name, person in settings.people.items():
            self._server.call("add_user", id=slack_id(name), name=name, real_name=person.display)
        members = [slack_id(name) for name in settings.people]
        for channel in settings.channels.all:
            self._server.call("add_channel", name=channel.removeprefix("#"), members=members)

    def act(self) -> None:
        """One thing, and a short pause."""
        self._count += 1
        # People come once they are asked in: a channel has its topic from then on, and is the incident's.
        every = self._server.call("channels")["channels"]
        rooms = [c for c in every if c["name"].startswith("inc-") and c["topic"] and not c["is_archived"]]
        try:
            if not rooms or (self._dice.random() < 0.03 and len(rooms) < MOST):
                ops = next(c["id"] for c in every if c["name"] == "ops")
                self._command(
                    "grace", ops, "incident", f'open critical "case {self._count}" service=realtime'
                )
            else:
                self._act_in(self._dice.choice(rooms)["id"])
        except StandInError as refusal:
            if not any(
                word in str(refusal) for word in ("already", "no button")
            ):  # as in Slack's own clients
                raise
        time.sleep(self._dice.uniform(0.0, 0.03))

    def _act_in(self, channel: str) -> None:
        name, choice = self._count, self._dice.random()
        if choice < 0.25:
            self._command(self._anybody(), channel, "note", f"remark {name}")
        elif choice < 0.5:
            self._say(channel, f"!note written remark {name}")
        elif choice < 0.6:
            self._say(channel, f"chatting about {name}")
        elif choice < 0.65:
            self._answer(channel, f"an answer about {name}")
        elif choice < 0.655:
            self._command(self._anybody(), channel, "update", f"progress {name}")
        elif choice < 0.67:
            self._command("alice", channel, "ack", f"case {name}")
        elif choice < 0.8:
            self._command("alice", channel, "scale", f"realtime {self._dice.randint(1, 20)}")
        else:
            self._vote(channel)

    def _anybody(self) -> str:
        return self._dice.choice(PEOPLE)

    def _command(self, user: str, channel: str, name: str, text: str) -> None:
        line = f"/{name} {text}"
        self.commands.sent[line] += 1
        said = self._server.call(
            "command", user=slack_id(user), channel=channel, command=f"/{name}", text=text
        )
        self.commands.acknowledged[line] += bool(said["acknowledged"])

    def _say(self, channel: str, text: str, **more: Any) -> None:
        user = slack_id(self._anybody())
        said = self._server.call("says", user=user, channel=channel, text=text, **more)
        self.messages[said["acknowledged"]] += 1

    def _answer(self, channel: str, text: str) -> None:
        newest = self._server.call("newest", channel=channel)["message"]
        if newest is not None:  # the channel may have no more than its topic yet
            self._say(channel, text, thread_ts=newest["ts"])

    def _vote(self, channel: str) -> None:
        card = self._server.call("newest", card="approval", channel=channel)["message"]
        if card is None:
            return
        if self._dice.random() < 0.3:
            asked = {"channel": channel, "ts": card["ts"], "label": "Approve"}
            self._server.call("presses", user=slack_id(self._dice.choice(APPROVERS)), **asked)
        else:
            user, name = (
                self._dice.choice(APPROVERS),
                "x" if self._dice.random() < 0.1 else "white_check_mark",
            )
            self._server.call("reacts", user=slack_id(user), channel=channel, ts=card["ts"], name=name)
