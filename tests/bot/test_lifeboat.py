"""The log goes away and comes back: pages go out from memory, once, and are recorded afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from bot import store
from bot.chat import Content
from bot.config import Settings, load
from bot.platforms.console import Console
from bot.play_stage import Record
from bot.stage import PlayStage, channels_of
from incidents import events as e
from incidents.ports import NotRecordedError

E = TypeVar("E", bound=e.Event)
START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)
NOTE = "I cannot write the log right now; this page is recorded later."
ROOM = "#inc-1-redis-is-down"
OPEN = '/incident open critical "Redis is down" service=realtime'


class Night:
    """The whole bot at night, and a log that can be taken away."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.records: list[Record] = []
        self.stage = PlayStage(settings, folder, START, self.records.append)

    async def says(self, person: str, words: str, channel: str = "#ops") -> None:
        """A message, and all that follows from it."""
        found = self.stage.console.channel_named(channel)
        assert found is not None
        await self.stage.console.says(person, found, words)
        await self.stage.settle()

    async def at(self, clock: str) -> None:
        """The tick of that time, while the log is there."""
        await self.stage.tick(moment(clock))

    async def away_at(self, clock: str) -> None:
        """The tick of that time, while it is not."""
        self.stage.clock.move(moment(clock))
        await self.stage.bot.watch.tick()

    async def lose_log(self) -> None:
        """The writer's connection breaks, and where the log was there is a folder."""

        def breaks(unit: store.Unit) -> None:
            unit.execute(text("PRAGMA query_only = ON"))
            unit.execute(store.deadlines.delete())

        with pytest.raises(NotRecordedError):
            await self.stage.bot.store.run(breaks)
        (self.folder / "gone").mkdir()
        for file in self.folder.glob("watchbell.db*"):
            file.rename(self.folder / "gone" / file.name)
        (self.folder / "watchbell.db").mkdir()
        with pytest.raises(NotRecordedError):
            await self.stage.bot.store.run(lambda unit: unit.state("incident-1"))

    def bring_log_back(self) -> None:
        """As it was."""
        (self.folder / "watchbell.db").rmdir()
        for file in (self.folder / "gone").iterdir():
            file.rename(self.folder / file.name)
        (self.folder / "gone").rmdir()

    def paged(self, person: str) -> Counter[str]:
        """How often somebody was paged by which means."""
        found: Counter[str] = Counter()
        for record in self.records:
            if record.do == "page" and record.to == (person,):
                found["contact"] += 1
            elif record.do == "say" and record.channel == f"@{person}":
                found["direct"] += 1
            elif record.do == "say" and person in record.to and record.card != "reminder":
                found[str(record.channel)] += 1
        return found

    def said(self, words: str) -> list[Record]:
        """What the bot said with these words in it."""
        return [record for record in self.records if record.do == "say" and words in (record.text or "")]

    async def events(self, kind: type[E], number: int = 1) -> list[E]:
        """The incident's events of a kind, as the log has them."""
        found = await self.stage.bot.store.events(f"incident-{number}")
        return [row.event for row in found if isinstance(row.event, kind)]


class Flaky(Console):
    """A chat that can be out of reach."""

    down = False

    async def post(self, channel: str, content: Content, *, key: str, thread: str | None = None) -> str:
        if self.down:
            raise OSError("the chat is out of reach")
        return await super().post(channel, content, key=key, thread=thread)


def moment(clock: str) -> datetime:
    hour, minute, *second = (int(part) for part in clock.split(":"))
    return START.replace(hour=hour, minute=minute, second=second[0] if second else 0)


def without_repeats() -> Settings:
    found = load(None, {}, tokens=False)
    policies = {name: replace(policy, page_repeats=0) for name, policy in found.policies.items()}
    return replace(found, policies=policies)


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    """A bot whose pages are not repeated."""
    made = Night(tmp_path, without_repeats())
    await made.stage.start()
    yield made
    await made.stage.close()


@pytest.fixture
async def restless(tmp_path: Path) -> AsyncIterator[Night]:
    """A bot with the example's configuration, on a chat that can be out of reach."""
    settings = load(None, {}, tokens=False)
    made = Night(tmp_path, settings)
    made.stage.console.close()
    made.stage.console = Flaky(
        tmp_path / "chat.db",
        clock=made.stage.clock,
        people={name: person.display for name, person in settings.people.items()},
        channels=channels_of(settings),
        zone=ZoneInfo(settings.zone),
    )
    made.stage.console.observe(made.stage._said)
    await made.stage.start()
    yield made
    await made.stage.close()


ONCE = Counter({ROOM: 1, "direct": 1, "contact": 2})


async def test_safety_32_pages_go_out_without_the_log_and_are_recorded_when_it_is_back(night: Night) -> None:
    """Bob at 02:45 and carol at 03:00, once by every means; recorded once; nobody is paged a second time."""
    await night.says("grace", OPEN)
    await night.at("02:40")
    await night.lose_log()
    await night.away_at("02:44:59")
    assert not night.paged("bob")
    for clock in ("02:45", "02:45", "02:45:01", "02:50"):
        await night.away_at(clock)
        assert night.paged("bob") == ONCE
    assert not night.paged("carol")
    for clock in ("03:00", "03:00:01", "03:09:59"):
        await night.away_at(clock)
        assert night.paged("carol") == ONCE
    shown = [record for record in night.records if NOTE in (record.text or "")]
    assert [(record.do, record.at) for record in shown] == [
        (do, moment(clock)) for clock in ("02:45", "03:00") for do in ("say", "say", "page", "page")
    ]
    assert "first response is late" in str(shown[0].text)
    assert not [record for record in night.records if record.card == "reminder"], "it waits for the log"

    night.bring_log_back()
    await night.at("03:10")
    await night.at("03:11")
    assert night.paged("alice") == night.paged("bob") == night.paged("carol") == ONCE
    steps = [(step.people, step.at, step.due) for step in await night.events(e.EscalationDue)]
    assert steps == [
        (("alice",), START, START),
        (("bob",), moment("02:45"), moment("02:45")),
        (("carol",), moment("03:00"), moment("03:00")),
    ]
    assert [late.at for late in await night.events(e.ResponseLate)] == [moment("02:45")]
    assert [due.at for due in await night.events(e.ReminderDue)] == [moment("03:10")]
    [told] = night.said("The log was away")
    assert told.channel == "#ops"
    assert told.text == (
        "The log was away from 03:44 CET to 04:10 CET; 2 pages went out meanwhile and are recorded now."
    )
    assert (await night.stage.bot.store.verify()).faults == []


async def test_repeated_pages_go_on_and_count(restless: Night) -> None:
    """Every five minutes, as with the log, and the log goes on counting from there."""
    await restless.says("grace", OPEN)
    await restless.at("02:35")
    await restless.lose_log()
    for minute in range(40, 56):
        await restless.away_at(f"02:{minute}")
    assert restless.paged("alice") == Counter({ROOM: 6, "direct": 6, "contact": 12})
    assert restless.paged("bob") == Counter({ROOM: 3, "direct": 3, "contact": 6})
    restless.bring_log_back()
    await restless.at("02:56")
    repeats = [(ev.people, ev.count, ev.due) for ev in await restless.events(e.PageRepeated)]
    assert repeats == [
        (("alice",), 1, moment("02:35")),
        (("alice",), 2, moment("02:40")),
        (("alice",), 3, moment("02:45")),
        (("bob",), 1, moment("02:50")),
        (("alice",), 4, moment("02:50")),
        (("bob",), 2, moment("02:55")),
        (("alice",), 5, moment("02:55")),
    ]
    assert restless.paged("alice")[ROOM] == 6
    await restless.at("03:00")
    assert restless.paged("bob")[ROOM] == 4
    assert restless.paged("alice")[ROOM] == 6
    assert restless.said("8 pages went out meanwhile") == []
    assert len(restless.said("7 pages went out meanwhile")) == 1


async def test_who_acknowledged_a_moment_before_is_not_paged(night: Night) -> None:
    """What is in memory is never older than the last commit."""
    await night.says("grace", OPEN)
    await night.at("02:44:50")
    await night.at("02:44:55")
    await night.says("alice", "/ack", ROOM)
    await night.lose_log()
    await night.away_at("02:45")
    assert not night.paged("bob")
    await night.away_at("03:00")
    assert night.paged("carol") == ONCE
    night.bring_log_back()
    await night.at("03:01")
    assert len(await night.events(e.EscalationDue)) == 2


async def test_a_chat_that_fails_is_tried_again_at_a_later_tick(restless: Night) -> None:
    """The other means go on meanwhile, and nothing is sent twice."""
    chat = restless.stage.console
    assert isinstance(chat, Flaky)
    await restless.says("grace", OPEN)
    await restless.at("02:44")
    before = restless.paged("bob")
    await restless.lose_log()
    chat.down = True
    with capture_logs() as logged:
        await restless.away_at("02:45")
    assert [entry["event"] for entry in logged].count("page not delivered") == 4
    assert restless.paged("bob") - before == Counter({"contact": 2})
    chat.down = False
    await restless.away_at("02:46")
    await restless.away_at("02:47")
    assert restless.paged("bob") - before == ONCE
    restless.bring_log_back()
    await restless.at("02:48")
    assert restless.paged("bob") - before == ONCE


async def test_what_reached_nobody_goes_out_when_the_log_is_back(night: Night) -> None:
    """Bob's phone is dead while the log is away: that page is the outbox's to deliver, and to hand on."""
    await night.says("grace", OPEN)
    await night.at("02:44")
    await night.lose_log()
    await night.stage.sandbox(["pager", "bob", "down"])
    await night.away_at("02:45")
    assert night.paged("bob") == Counter({ROOM: 1, "direct": 1})
    night.bring_log_back()
    await night.at("02:46")
    assert night.paged("bob") == Counter({ROOM: 1, "direct": 1})
    assert [(ev.person, ev.at) for ev in await night.events(e.PageFailed)] == [("bob", moment("02:46"))]
    assert night.paged("carol") == ONCE


async def test_a_restart_forgets_what_was_not_recorded_and_nothing_else(night: Night) -> None:
    """Bob is paged once more by the log's first tick; alice, who was recorded, is not."""
    await night.says("grace", OPEN)
    await night.at("02:44")
    await night.lose_log()
    await night.away_at("02:45")
    await night.stage.kill()
    night.bring_log_back()
    night.stage.clock.move(moment("02:50"))
    await night.stage.start()
    await night.stage.settle()
    assert night.paged("alice") == ONCE
    assert night.paged("bob") == ONCE + ONCE
    assert [ev.at for ev in await night.events(e.EscalationDue)] == [START, moment("02:50")]
    assert (await night.stage.bot.store.verify()).faults == []


async def test_nothing_is_said_of_an_outage_without_a_page(night: Night) -> None:
    await night.says("grace", OPEN)
    await night.lose_log()
    await night.away_at("02:40")
    night.bring_log_back()
    await night.at("02:41")
    assert night.said("The log was away") == []


async def test_a_stream_that_fails_keeps_no_other_from_firing(night: Night) -> None:
    """It is logged with its traceback and put off; the tick ends, and the next incident's page goes out."""
    await night.says("grace", OPEN)
    await night.says("grace", '/incident open critical "Search finds nothing" service=redis')
    await night.stage.bot.store.run(
        lambda unit: unit.execute(
            store.events.update().where(store.events.c.stream == "incident-1").values(body="{}")
        )
    )
    await night.stage.kill()
    await night.stage.start()
    night.stage.clock.move(START + timedelta(minutes=15))
    with capture_logs() as logged:
        for _ in range(3):
            await night.stage.bot.watch.tick()
    [failed] = [entry for entry in logged if entry["event"] == "what is due cannot be done"]
    assert failed["stream"] == "incident-1"
    assert failed["exc_info"].__traceback__ is not None
    assert [step.people for step in await night.events(e.EscalationDue, 2)] == [("alice",), ("bob",)]
