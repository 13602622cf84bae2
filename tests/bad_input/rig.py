"""The whole bot with people in every kind of channel, and what has to hold after each thing they do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from structlog.testing import capture_logs

from bot import store
from bot.chat import Incoming, Request
from bot.platforms.console_people import NotPossibleError
from bot.play_stage import Record
from bot.stage import PlayStage, stage
from commands.grammar import is_command
from incidents import events as e
from tests.bad_input.typed import INNARDS

START = datetime(2026, 1, 3, 1, 30, tzinfo=UTC)
STEP = timedelta(seconds=20)  # every few acts
PEOPLE = (
    "alice",
    "bob",
    "grace",
    "heidi",
    "mallory",
)  # an approver, another, a reporter, a responder, nobody
NO_EFFECT = ("MessagePosted", "CommandRefused", "VoteRefused")
PLACES = ("ops", "team", "incident", "private", "direct", "other")
RAN = re.compile(r"\w+ ran \S")


@dataclass(repr=False)
class Rig:
    """One bot that lives as long as a test; everything that was wrong is collected and shown together."""

    stage: PlayStage
    records: list[Record]
    logged: Sequence[MutableMapping[str, Any]]
    folder: Path
    channels: dict[str, str] = field(default_factory=dict)
    _events: int = 0
    _acts: int = 0
    _checked: int = 0

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text("a bot")  # what Hypothesis shows of it

    async def prepare(self) -> None:
        """Incidents, a request that waits, a thread, a channel of no account."""
        console = self.stage.console
        self.channels["ops"] = self._named("ops")
        self.channels["team"] = self._named("team-realtime")
        self.channels["other"] = console.creates("lunch")
        await self.say("alice", "ops", "/incident open critical Redis is down service=redis")
        await self.say("alice", "ops", "/incident open high Keys were leaked --private")
        for number, place in ((1, "incident"), (2, "private")):
            name = await self.stage.channel_of(number)
            assert name is not None
            self.channels[place] = self._named(name)
        for person in PEOPLE:
            self.channels[person] = await console.direct(person)
        await self.say("alice", "private", "/role scribe @heidi")
        await self.say("alice", "incident", "/scale realtime 10")
        await self.say("alice", "incident", "good morning")
        assert not self.problems()

    def _named(self, name: str) -> str:
        found = self.stage.console.channel_named(name)
        assert found is not None
        return found

    def place(self, place: str, person: str) -> str:
        """The channel's id; who is not let into the private one does what they do in public."""
        if place == "private" and person not in ("alice", "heidi"):
            place = "incident"
        return self.channels[person if place == "direct" else place]

    # -- what people do -------------------------------------------------------------------------------

    async def say(self, person: str, place: str, text: str, thread: str | None = None) -> list[Record] | None:
        """Say it in the chat; what the bot did about it, or None where the chat lets nobody say that there."""
        return await self.act(self.stage.console.says(person, self.place(place, person), text, thread))

    async def act(self, act: Awaitable[object]) -> list[Record] | None:
        """Do something in the chat; what the bot did about it, or None where the chat does not let people."""
        await self.pass_time()
        try:
            await act
        except NotPossibleError:
            return None
        await self.stage.settle()
        return list(self.records)

    async def receive(self, incoming: Incoming) -> list[Record]:
        """Hand something over as a platform does that lets everything through; what the bot did about it."""
        await self.pass_time()
        await self.stage.bot.inbox.receive(incoming)
        await self.stage.settle()
        return list(self.records)

    def request(self, person: str, place: str, text: str, **more: Any) -> Request:
        """A message as such a platform hands it over."""
        self._events += 1
        ident = f"raw-{self._events}"
        shown = None if is_command(text) else ident  # as with slash commands, which leave no message
        values = {"message_id": shown, "direct": place == "direct", **more}
        channel = self.place(place, person)
        return Request(platform="console", event_id=ident, channel=channel, user=person, text=text, **values)

    def common(self, person: str, place: str) -> dict[str, Any]:
        """What everything that comes in has."""
        self._events += 1
        channel = self.place(place, person)
        return {"platform": "console", "event_id": f"raw-{self._events}", "channel": channel, "user": person}

    def count(self) -> int:
        """Another number each time."""
        self._events += 1
        return self._events

    async def pass_time(self) -> None:
        """A little, so that nobody asks too often; what falls due is not an answer to anything."""
        self._acts += 1
        if self._acts % 8 == 0:
            await self.stage.tick(self.stage.clock.now() + STEP)
            await self.stage.settle()
            await self._revive()
        self.records.clear()

    async def _revive(self) -> None:
        """What somebody closed is open again, so that there is something to be wrong about."""
        for place in ("incident", "private"):
            console, channel = self.stage.console, self.channels[place]
            if console.store.channels[channel].archived:
                console.archives(channel, False)
            await console.says("alice", channel, "/incident reopen")
            await self.stage.settle()
            assert not self.problems()

    # -- what has to hold -------------------------------------------------------------------------------

    def answered(self, done: list[Record] | None, text: str, place: str) -> None:
        """A command or a direct message got one sentence or did something; other talk got one hint at most."""
        if done is None:
            return
        events = [r for r in done if r.do == "event" and r.event not in NO_EFFECT]
        # Who ran what is told where no message shows it, and is no answer.
        said = [r for r in done if r.do in ("say", "upload") and not RAN.match(r.text or "")]
        self.clean(done)
        if events:
            return
        assert len(said) <= 1, f"{text!r} got {[r.text for r in said]}"
        if is_command(text) or (place == "direct" and text.strip()):
            assert said or any(r.do in ("edit", "react") for r in done), f"{text!r} got no answer"
        for record in said:
            sentence(record.text or "")

    def clean(self, done: list[Record] | None) -> None:
        """Nothing of the bot's inside is said, and nothing went wrong that only the log knows."""
        for record in done or ():
            assert not INNARDS.search(record.text or ""), record
        wrong = self.problems()
        assert not wrong, wrong

    def problems(self) -> list[str]:
        """What was logged as an error since the last time."""
        new = self.logged[self._checked :]
        self._checked = len(self.logged)
        return [str(entry) for entry in new if entry["log_level"] in ("error", "critical")]

    async def lives(self) -> None:
        """The bot still answers."""
        done = await self.say("alice", "ops", "/incident list") or []
        assert [r.do for r in done if r.do != "event"] in (["say"], ["upload"]), done
        assert "incident" in (done[-1].text or "").casefold()
        self.clean(done)

    async def whole(self) -> None:
        """It starts again; the log verifies and holds every message of an incident; all was delivered."""
        await self.lives()
        await self.stage.kill()
        await self.stage.start()
        await self.stage.settle()
        await self.lives()
        report = await self.stage.bot.store.verify()
        assert not report.faults, report
        box = store.outbox
        where = box.c.failed.is_not(None) | box.c.sent_at.is_(None)
        bad = await self.stage.bot.store.read(
            lambda c: c.execute(select(box.c.channel, box.c.failed).where(where)).all()
        )
        assert not bad, bad
        for number, place in ((1, "incident"), (2, "private")):
            await self._transcript(number, self.channels[place])
            for form in ("md", "html", "json", "csv", "zip"):
                assert await self.stage.export(number, form)
        assert not self.problems()

    async def _transcript(self, number: int, channel: str) -> None:
        """Every message of the incident's channel stands in its transcript, at the place that is kept for it."""
        heard, kept = store.events, store.messages
        stream = select(heard.c.position).where(
            heard.c.stream == f"chat-{number}", heard.c.kind == e.MessagePosted.__name__
        )
        query = select(kept.c.message_id).where(kept.c.channel == channel, kept.c.position.in_(stream))
        found = await self.stage.bot.store.read(lambda c: set(c.execute(query).scalars()))
        written = {m.id for m in self.stage.console.messages(channel) if not m.by_bot}
        assert written <= found, written - found


def sentence(text: str) -> None:
    """One that a person can read: words, not too many, on the first line."""
    first = text.partition("\n")[0]
    assert first.strip(), repr(text)
    assert all(c.isprintable() or c in "\u2060" for c in first), repr(first)
    assert len(first) <= 1000, first


@asynccontextmanager
async def rig(folder: Path, *, config: Path | None = None) -> AsyncIterator[Rig]:
    """The bot on a configuration (or the example), prepared; at the end everything about it has to be whole."""
    records: list[Record] = []
    with capture_logs() as logged:
        async with stage(config=config, data=folder, start=START, observe=records.append) as made:
            found = Rig(made, records, logged, folder)
            await found.prepare()
            yield found
            await found.whole()
