"""Every scenario, played by the whole bot: it holds, is the same twice, and the same with restarts in it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from bot.play import Recorder, Rehearsal
from bot.play_script import Expect, ExpectReplicas, Presses, Reacts, Says, Step, parse
from bot.play_stage import Record, Stage
from tests import EVERYTHING
from tests.scenarios.chosen import EVERYWHERE, OLDER, ON_MATRIX, played
from tests.scenarios.matrix_stage import factory
from tests.scenarios.stages import NAMES, STAGES, Played, holds, rehearse, script, text_of

# These are restarted between any two lines, one place at a time; the others after every line at once.
CLOSELY = ("story", "two_approvals", "for_a_while")
MORE_CLOSELY = ("critical_not_acknowledged", "all_alerts_resolved", "drift")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports are written to the current folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("platform", "scenario"), played())
async def test_scenario(platform: str, scenario: str, tmp_path: Path) -> None:
    """Every expectation of the script holds, and the records keep what `--json` promises.

    In encrypted rooms what was said in the clear, or without a key for everybody, fails as well.
    """
    holds(await rehearse(scenario, tmp_path / "data", platform=platform))


@pytest.mark.parametrize("scenario", OLDER)
async def test_scenario_in_older_rooms(
    scenario: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same in rooms of version 11."""
    monkeypatch.setitem(STAGES, "matrix_11", lambda kept=(): factory(room_version="11"))
    holds(await rehearse(scenario, tmp_path / "data", platform="matrix_11"))


@pytest.mark.parametrize("scenario", [name for name in NAMES if name != "slow_target"])
async def test_scenario_with_restarts(scenario: str, tmp_path: Path) -> None:
    """On the browser chat it holds, and the bot killed after every line does exactly the same, at the same times."""
    alive = await rehearse(scenario, tmp_path / "alive")
    holds(alive)
    text, lines = with_restarts(text_of(scenario), places(scenario))
    killed = await rehearse(scenario, tmp_path / "killed", text=text)
    assert mapped(killed.records, lines) == in_order(alive.records)


async def test_a_target_asked_anew_after_each_restart_answers_later(tmp_path: Path) -> None:
    """What a slow target was to answer dies with the bot and is asked for again; a change runs once or not at all."""
    alive = await rehearse("slow_target", tmp_path / "alive")
    holds(alive)
    text, _ = with_restarts(text_of("slow_target"), places("slow_target"))
    early, late = text.split("expect in inc-1 READY")
    assert "expect in inc-1 scale realtime" in late
    killed = await rehearse("slow_target", tmp_path / "killed", text=early)
    said = [record["text"] for record in killed.records if record["do"] == "say"]
    assert any("PONG" in words for words in said)
    assert any("late from alice, so I have not run it: /scale realtime 5" in words for words in said)
    runs = [record for record in killed.records if record["event"] == "ActionStarted"]
    assert len(runs) == 1  # chat-adapters, which is not slow


@pytest.mark.parametrize("scenario", (*CLOSELY, *MORE_CLOSELY) if EVERYTHING else CLOSELY)
async def test_a_restart_between_any_two_lines(scenario: str, tmp_path: Path) -> None:
    """Wherever it is killed once, the rest goes as if it had not been; unharmed it is the same twice."""
    alive = await rehearse(scenario, tmp_path / "alive")
    again = await rehearse(scenario, tmp_path / "again")
    assert in_order(again.records) == in_order(alive.records)
    for place in places(scenario):
        text, lines = with_restarts(text_of(scenario), [place])
        killed = await rehearse(scenario, tmp_path / f"killed{place}", text=text)
        assert mapped(killed.records, lines) == in_order(alive.records), (
            f"a restart after line {place} changes it"
        )


def places(scenario: str) -> list[int]:
    """The lines after which the bot's state is another: every step that is no `expect`."""
    return [step.line for step in script(scenario).steps if not isinstance(step, Expect | ExpectReplicas)]


def with_restarts(text: str, after: list[int]) -> tuple[str, dict[int, int]]:
    """The text with `restart` after those lines, and which line each of its own lines is now."""
    lines: list[str] = []
    moved: dict[int, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        lines.append(line)
        moved[len(lines)] = number
        if number in after:
            lines.append("restart")
    return "\n".join(lines), moved


def mapped(records: list[dict[str, Any]], lines: dict[int, int]) -> list[dict[str, Any]]:
    """The records with the lines of the text without restarts; 0 for what a restart made the bot do."""
    return in_order([{**record, "line": lines.get(record["line"], 0)} for record in records])


def in_order(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records; edits that come one after the other at one moment have no order among themselves."""
    found: list[dict[str, Any]] = []
    for (edits, _), run in groupby(records, lambda r: (r["do"] == "edit", r["at"])):
        these = list(run)
        found += sorted(these, key=lambda r: (r["channel"], r["card"] or "", r["text"])) if edits else these
    return found


def test_restarts_are_inserted_and_lines_mapped_back() -> None:
    """The property tests compare what they mean to."""
    text, moved = with_restarts("# why\nwait 1m\nexpect nothing\nwait 2m", [2, 4])
    assert text == "# why\nwait 1m\nrestart\nexpect nothing\nwait 2m\nrestart"
    assert moved == {1: 1, 2: 2, 4: 3, 5: 4}
    said = {"do": "say", "at": "02:30"}
    assert [r["line"] for r in mapped([{**said, "line": 3}, {**said, "line": 5}], moved)] == [0, 4]


def test_only_edits_of_one_moment_may_change_places() -> None:
    """What is said keeps its place, and so does every edit on the other side of it, or of another moment."""
    edit = {"do": "edit", "at": 1, "channel": "#ops", "card": None}
    first, second = {**edit, "text": "a"}, {**edit, "text": "b"}
    said = {**edit, "do": "say", "text": "c"}
    assert in_order([second, first, said]) == in_order([first, second, said]) == [first, second, said]
    assert in_order([second, said, first]) == [second, said, first]
    assert in_order([second, {**first, "at": 2}]) == [second, {**first, "at": 2}]


# -- what scripts cannot say: exact times ----------------------------------------------------------


def minutes(records: list[dict[str, Any]], start: str = "2026-01-03T02:30:00Z") -> list[int]:
    """When the records happened, in whole minutes after `start`, each time once."""
    begin = datetime.fromisoformat(start)
    found = {datetime.fromisoformat(r["at"]) - begin for r in records}
    assert all(delta % timedelta(minutes=1) == timedelta(0) for delta in found)
    return sorted(delta // timedelta(minutes=1) for delta in found)


def paged(played: Played, person: str) -> list[int]:
    """The minutes at which somebody was paged."""
    return minutes([r for r in played.did("page") if r["to"] == [person]])


async def test_a_critical_night_to_the_minute(tmp_path: Path) -> None:
    """Pages at 0, 15, 30 and 60 and each five times more, every five minutes; reminders every thirty."""
    played = await rehearse("critical_not_acknowledged", tmp_path)
    assert paged(played, "alice")[:6] == [0, 5, 10, 15, 20, 25]
    assert paged(played, "bob")[:6] == [15, 20, 25, 30, 35, 40]
    assert paged(played, "carol")[:6] == [30, 35, 40, 45, 50, 55]
    assert paged(played, "dave")[:6] == [60, 65, 70, 75, 80, 85]
    assert paged(played, "erin") == paged(played, "frank") == []
    reminders = [r for r in played.did("say") if r["card"] == "reminder"]
    assert minutes(reminders) == [30, 60, 90, 120, 150, 180, 210, 240]
    late = [r for r in played.did("say") if "first response is late" in r["text"]]
    assert minutes(late) == [15]
    assert len(late) == 1
    assert late[0]["to"] == ["bob"]
    mentions = [r for r in played.did("say") if "alice" in r["to"] and r["card"] != "reminder"]
    assert minutes(mentions)[:6] == [0, 5, 10, 15, 20, 25]


async def test_a_page_uses_every_means(tmp_path: Path) -> None:
    """A page is a mention in the channel, a direct message, and each contact method of the person."""
    played = await rehearse("page", tmp_path)
    first = [r for r in played.did("page") if r["at"] == "2026-01-03T02:30:00Z"]
    assert len(first) >= 2
    assert all(r["to"] == ["alice"] for r in first)
    said = [r for r in played.did("say") if r["to"] == ["alice"] and r["at"] == "2026-01-03T02:30:00Z"]
    assert len(said) == 1


async def test_a_notification_is_one_mention_and_no_page(tmp_path: Path) -> None:
    """Medium: the primary is mentioned once at opening, and nobody's telephone rings."""
    played = await rehearse("notify", tmp_path)
    assert played.did("page") == []
    assert len([r for r in played.did("say") if "alice" in r["to"]]) == 1


async def test_a_message_mentions_nobody(tmp_path: Path) -> None:
    """Low: the team's channel reads of it, nobody is mentioned."""
    played = await rehearse("message", tmp_path)
    assert played.did("page") == []
    assert all(r["to"] == [] for r in played.did("say"))


async def test_the_post_mortem_tells_the_story(tmp_path: Path) -> None:
    """The export of the story holds what happened."""
    await rehearse("story", tmp_path / "data")
    text = (tmp_path / "post-mortem.md").read_text(encoding="utf-8")
    for words in ("Redis is down", "first response", "looking at it", "back to normal", "realtime", "10"):
        assert words in text, words
    for person in ("Grace", "Alice", "Bob", "Carol"):
        assert person in text, person


# -- what scripts cannot say: downtime -------------------------------------------------------------

OPENED = """\
at 2026-01-03T02:30:00Z
grace in #ops: /incident open critical "Redis is down" service=realtime
wait 5m
"""


class Watch:
    """A stage, its rehearsal, and the records since the last look."""

    def __init__(self, stage: Stage, recorder: Recorder) -> None:
        self.stage = stage
        self.recorder = recorder
        self.rehearsal = Rehearsal(stage, recorder)

    async def play(self, text: str) -> None:
        """Play lines; every expectation holds."""
        await self.rehearsal.play(parse(text, "x.play"))
        assert not self.rehearsal.failures, "\n".join(map(str, self.rehearsal.failures))

    async def away(self, lasts: timedelta, *, write: tuple[tuple[str, str], ...] = ()) -> list[Record]:
        """Kill the bot for a time, write to it 30 s before it starts again, and return what it then does."""
        await self.stage.kill()
        clock: Any = self.stage.clock
        back = clock.now() + lasts
        clock.wake(back - timedelta(seconds=30))
        name = await self.stage.channel_of(1)
        channel = self.stage.console.channel_named(name or "")
        for person, text in write:
            await self.stage.console.says(person, channel or "", text)
        clock.wake(back)
        before = len(self.recorder.records)
        await self.stage.start()
        await self.stage.settle()
        return [record for _, record in self.recorder.records[before:]]


WRITTEN = ("/ack I am on it", "/resolve it was a drill")  # typed while nobody listens: messages everywhere


@asynccontextmanager
async def watch(folder: Path, platform: str) -> AsyncIterator[Watch]:
    """The whole bot, half an incident in."""
    recorder = Recorder()
    start = parse(OPENED, "x").start
    made = STAGES[platform](kept=WRITTEN)
    async with made(config=None, data=folder, start=start, observe=recorder) as stage:
        found = Watch(stage, recorder)
        await found.play(OPENED)
        yield found


def events(records: list[Record]) -> list[str]:
    """The kinds of what was recorded."""
    return [record.event for record in records if record.event]


@pytest.mark.parametrize("platform", STAGES)
async def test_after_downtime_each_overdue_step_fires_once_in_order(platform: str, tmp_path: Path) -> None:
    """From 02:35 to 03:10: the late clock, bob, carol and one reminder; it says that it was away."""
    async with watch(tmp_path, platform) as found:
        did = await found.away(timedelta(minutes=35))
        fell_due = [kind for kind in events(did) if kind in ("ResponseLate", "EscalationDue", "ReminderDue")]
        assert fell_due.index("ResponseLate") == 0
        assert fell_due.count("ResponseLate") == 1
        assert fell_due.count("ReminderDue") == 1
        assert fell_due.count("EscalationDue") == 2
        mentioned = [name for record in did if record.do == "say" for name in record.to]
        assert mentioned.index("bob") < mentioned.index("carol")
        assert any("away" in (record.text or "") for record in did)
        await found.play("wait 4m\nexpect not is late\nexpect not no update\nexpect not @carol")


@pytest.mark.parametrize("platform", STAGES)
async def test_after_downtime_what_became_moot_does_not_fire(platform: str, tmp_path: Path) -> None:
    """An acknowledgement that came meanwhile is read first: nobody is late, the team lead is still due."""
    async with watch(tmp_path, platform) as found:
        did = await found.away(timedelta(minutes=35), write=(("alice", WRITTEN[0]),))
        assert "Acknowledged" in events(did)
        assert "ResponseLate" not in events(did)
        mentioned = [name for record in did if record.do == "say" for name in record.to]
        assert "bob" not in mentioned
        assert "carol" in mentioned


@pytest.mark.parametrize("platform", STAGES)
async def test_after_downtime_a_resolve_that_came_meanwhile_ends_it(platform: str, tmp_path: Path) -> None:
    """Nothing is due of what was resolved before the bot came back."""
    async with watch(tmp_path, platform) as found:
        did = await found.away(timedelta(hours=3), write=(("alice", WRITTEN[1]),))
        assert "Resolved" in events(did)
        assert not {"ResponseLate", "EscalationDue", "ReminderDue", "PageRepeated"} & set(events(did))


@pytest.mark.parametrize("platform", STAGES)
async def test_after_a_long_downtime_reminders_collapse(platform: str, tmp_path: Path) -> None:
    """Three hours away is one reminder, and the next one comes at its usual time."""
    async with watch(tmp_path, platform) as found:
        did = await found.away(timedelta(hours=3))
        assert events(did).count("ReminderDue") == 1
        assert len([r for r in did if r.do == "say" and r.card == "reminder"]) == 1
        assert events(did).count("ResponseLate") == 1
        await found.play("wait 24m\nexpect not no update\nwait 1m\nexpect in inc-1 no update")


def test_every_scenario_says_what_it_holds() -> None:
    """The first line of each is a comment, one sentence."""
    for scenario in NAMES:
        first = text_of(scenario).splitlines()[0]
        assert first.startswith("# "), scenario
        assert len(first) > 20, scenario
        steps: tuple[Step, ...] = script(scenario).steps
        assert any(isinstance(step, Expect | ExpectReplicas) for step in steps), scenario


def test_the_chosen_scenarios_use_whatever_any_of_them_does() -> None:
    """What is played on Matrix by every run has every step, command, button and emoji of the scripts."""
    every = {name: used(name) for name in NAMES}
    chosen = set().union(*(every[name] for name in (*EVERYWHERE, *ON_MATRIX)))
    assert len(chosen) > 60
    assert {name: found - chosen for name, found in every.items() if found - chosen} == {}


def used(scenario: str) -> set[str]:
    """What a script is made of, without who does it and in which words."""
    found: set[str] = set()
    for step in script(scenario).steps:
        found.add(type(step).__name__)
        if isinstance(step, Says):
            found.add(f"thread {step.thread is not None}")
            found |= {f"command {step.text.split()[0]}" for sign in "/!" if step.text.startswith(sign)}
        elif isinstance(step, Presses):
            found.add(f"button {re.sub(r'[0-9]+|page .*', '…', step.label)}")
        elif isinstance(step, Reacts):
            found.add(f"emoji {step.emoji} {step.added}")
    return found
