"""kill -9 in a loop, at random points: nothing lost, nothing doubled, nothing run twice, the chain whole."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sqlalchemy import select

from bot import store
from bot.app import database, open_store
from bot.clock import SystemClock
from bot.targets.sandbox_world import World
from incidents import events as e
from tests import EVERYTHING
from tests.killing import ENOUGH

ROUNDS = 320 if EVERYTHING else 60
LIMIT = 600


def test_safety_10_killed_again_and_again(tmp_path: Path) -> None:
    """At many moments, during open clocks, votes and running changes: every promise holds afterwards."""
    command = [sys.executable, "-m", "tests.killing", str(tmp_path), f"{ROUNDS}:{4 * ROUNDS}", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    log = asyncio.run(every_event(tmp_path))
    the_loop_did_something(log)
    no_message_is_lost_or_doubled(tmp_path, log)
    no_deadline_is_missed_or_doubled(log)
    no_action_runs_twice(tmp_path, log)
    the_hash_chain_is_whole(tmp_path)
    nothing_waits_in_the_outbox(tmp_path)


async def every_event(data: Path) -> list[tuple[str, e.Event]]:
    """The whole log, each event with its stream."""
    found: list[tuple[str, e.Event]] = []
    position = 0
    async with open_store(database(data)) as opened:
        while rows := await opened.all_events(position, 5000):
            found += [(row.stream, row.event) for row in rows]
            position = rows[-1].position
    return found


def the_loop_did_something(log: list[tuple[str, e.Event]]) -> None:
    """Otherwise the other tests would hold nothing."""
    kinds = Counter(type(event).__name__ for _, event in log)
    assert {kind: kinds[kind] for kind, count in ENOUGH.items() if kinds[kind] < count} == {}


def no_message_is_lost_or_doubled(survived: Path, log: list[tuple[str, e.Event]]) -> None:
    """What the chat took is in the transcript exactly once, and every note on its timeline once."""
    acts = [json.loads(line) for line in (survived / "acts.jsonl").read_text().splitlines()]
    posted = Counter(event.message_id for _, event in log if isinstance(event, e.MessagePosted))
    assert max(posted.values()) == 1
    late = {event.message_id for _, event in log if isinstance(event, e.MessagePosted) and event.late}
    noted = Counter(event.message_id for _, event in log if isinstance(event, e.NoteAdded))
    assert max(noted.values()) == 1
    for act in acts:
        if act["text"].startswith("/incident"):
            continue
        assert posted[act["id"]] == 1, act
        if act["text"].startswith("/note") and act["id"] not in late:
            assert noted[act["id"]] == 1, act


def no_deadline_is_missed_or_doubled(log: list[tuple[str, e.Event]]) -> None:
    """Each step and each missed clock once an incident; no two reminders for one due time."""
    fired: Counter[tuple[str, str]] = Counter()
    for stream, event in log:
        if isinstance(event, e.EscalationDue):
            fired[stream, event.key] += 1
        elif isinstance(event, e.ReminderDue):
            fired[stream, f"reminder {event.due}"] += 1
        elif isinstance(event, e.ResponseLate):
            fired[stream, f"late {event.clock}"] += 1
    assert [key for key, count in fired.items() if count > 1] == []
    opened = {stream for stream, event in log if isinstance(event, e.IncidentOpened)}
    assert {stream for stream, key in fired if key == "opened::page:primary"} == opened


def no_action_runs_twice(survived: Path, log: list[tuple[str, e.Event]]) -> None:
    """Each change was accepted by its target at most once, started once, and has one outcome."""
    changes = World(survived / "sandbox.json", SystemClock()).changes
    assert changes
    assert {key for key, count in changes.items() if count != 1} == set()
    started = Counter(stream for stream, event in log if isinstance(event, e.ActionStarted))
    ended = Counter(
        stream
        for stream, event in log
        if isinstance(event, e.ActionFinished | e.ActionFailed | e.ActionUnknown)
    )
    assert max(started.values()) == 1
    assert started == ended
    accepted = {f"action-{key.removeprefix('wb-')}" for key in changes}
    assert accepted <= set(started)


def the_hash_chain_is_whole(survived: Path) -> None:
    """`audit verify` finds nothing."""

    async def verify() -> list[str]:
        async with open_store(database(survived)) as opened:
            return (await opened.verify()).faults

    assert asyncio.run(verify()) == []


def nothing_waits_in_the_outbox(survived: Path) -> None:
    """Everything that was to be said was said, and nothing failed for good."""

    async def left() -> list[tuple[str, str | None]]:
        t = store.outbox
        query = select(t.c.op, t.c.failed).where(t.c.sent_at.is_(None))
        async with open_store(database(survived)) as opened:
            return await opened.read(lambda c: [(row.op, row.failed) for row in c.execute(query)])

    assert asyncio.run(left()) == []
