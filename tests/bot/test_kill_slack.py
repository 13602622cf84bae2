"""kill -9 in a loop over Slack, whose people act on while nobody lives: nothing lost, doubled or run twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bot import store
from bot.app import database, open_store
from incidents import events as e
from tests import EVERYTHING
from tests.bot.test_kill import (
    every_event,
    no_action_runs_twice,
    no_deadline_is_missed_or_doubled,
    nothing_waits_in_the_outbox,
    the_hash_chain_is_whole,
    the_loop_did_something,
)
from tests.killing import LAST
from tests.killing_slack import Crowd
from tests.servers.slack_server import SlackServer

ROUNDS = 100 if EVERYTHING else 60
LIMIT = 240  # seconds
SEED = 11
BOT = "U0WATCHBELL"


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


def test_safety_10_killed_again_and_again_over_slack(tmp_path: Path, slack: SlackServer) -> None:
    """At many moments, a quarter of them during the start: every promise holds, by the log and by Slack itself."""
    crowd = Crowd(slack, SEED)
    loop(tmp_path, slack, crowd)
    log = asyncio.run(every_event(tmp_path))
    the_loop_did_something(log)
    assert min(crowd.messages[True], crowd.messages[False]) > 10, crowd.messages
    every_message_is_in_the_transcript_once(slack, log)
    acknowledged_commands_are_recorded(crowd, log)
    every_row_was_said_once(tmp_path, slack)
    every_request_can_be_voted_on(slack)
    nothing_waits_in_the_outbox(tmp_path)
    no_deadline_is_missed_or_doubled(log)
    no_action_runs_twice(tmp_path, log)
    the_hash_chain_is_whole(tmp_path)
    assert slack.call("violations")["violations"] == []


def loop(data: Path, slack: SlackServer, crowd: Crowd) -> None:
    """Kill the bot again and again while the crowd acts; return when the last one came to rest."""
    rounds = f"{ROUNDS}:{3 * ROUNDS}"
    command = [sys.executable, "-m", "tests.killing", str(data), rounds, str(SEED), "slack", slack.url]
    with (data / "stderr").open("w") as errors:
        killing = subprocess.Popen(command, stderr=errors, stdout=errors, start_new_session=True)
        try:
            while killing.poll() is None and not (data / LAST).exists():
                crowd.act()
            status = killing.wait(LIMIT)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(killing.pid, signal.SIGKILL)  # the child as well
            killing.wait()
    assert status == 0, (data / "stderr").read_text()[-4000:]


def shown(slack: SlackServer) -> list[Any]:
    """Every message of the workspace that more than one can see."""
    channels = slack.call("channels")["channels"]
    found = [slack.call("history", channel=c["id"], reader=BOT)["messages"] for c in channels]
    return [message for messages in found for message in messages]


def key_of(message: Any) -> str | None:
    """What the bot's outbox calls the message."""
    key = ((message["metadata"] or {}).get("event_payload") or {}).get("key")
    return str(key) if key else None


def every_message_is_in_the_transcript_once(slack: SlackServer, log: list[tuple[str, e.Event]]) -> None:
    """What people wrote in the incidents' channels, also while no bot lived; each note is noted once."""
    rooms = {c["id"] for c in slack.call("channels")["channels"] if c["name"].startswith("inc-")}
    written = [m for m in shown(slack) if m["channel"] in rooms and m["user"] != BOT]
    posted = Counter(event.message_id for _, event in log if isinstance(event, e.MessagePosted))
    assert max(posted.values()) == 1
    assert [m for m in written if posted[m["ts"]] != 1] == []
    late = {event.message_id for _, event in log if isinstance(event, e.MessagePosted) and event.late}
    noted = Counter(event.message_id for _, event in log if isinstance(event, e.NoteAdded))
    assert max(noted.values()) == 1
    notes = [m for m in written if m["text"].startswith("!note") and m["ts"] not in late]
    assert len(notes) > 10
    assert [m for m in notes if noted[m["ts"]] != 1] == []


def acknowledged_commands_are_recorded(crowd: Crowd, log: list[tuple[str, e.Event]]) -> None:
    """What Slack told its typist was taken is in the log, once; what it did not, at most once."""
    recorded = Counter(
        event.text
        for _, event in log
        if isinstance(event, e.MessagePosted) and event.message_id.startswith("ran-")
    )
    for _, event in log:
        if isinstance(event, e.IncidentOpened):
            recorded[f'/incident open critical "{event.title}" service=realtime'] += 1
    assert crowd.commands.acknowledged.total() > 10
    assert crowd.commands.acknowledged <= recorded
    assert recorded <= crowd.commands.sent


def every_row_was_said_once(data: Path, slack: SlackServer) -> None:
    """Each message that the outbox had is in Slack exactly once, and no other with a number of its own."""
    keys = Counter(filter(None, map(key_of, shown(slack))))
    assert [key for key, count in keys.items() if count > 1] == []
    wanted = asyncio.run(rows(data))
    assert len(wanted) > 50
    assert {key for key in keys if key.removeprefix("wb-").isdigit()} == wanted


def every_request_can_be_voted_on(slack: SlackServer) -> None:
    """The bot's own ✅ and ❌ are under each card, wherever the crash came."""
    cards = [message for message in shown(slack) if message["card"] == "approval"]
    assert len(cards) > 5
    for card in cards:
        assert all(BOT in card["reactions"].get(name, ()) for name in ("white_check_mark", "x")), card


async def rows(data: Path) -> set[str]:
    """The keys of all that the bot was to say."""
    t = store.outbox
    query = select(t.c.id).where(t.c.op.in_(("say", "direct")))
    async with open_store(database(data)) as opened:
        found = await opened.read(lambda connection: connection.execute(query).all())
    return {f"wb-{row.id}" for row in found}
