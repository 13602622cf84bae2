"""kill -9 in a loop over Synapse, whose people act on while nobody lives: nothing lost, doubled or run twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import store
from bot.app import database, open_store
from incidents import events as e
from tests.bot.test_kill import (
    every_event,
    no_action_runs_twice,
    no_deadline_is_missed_or_doubled,
    nothing_waits_in_the_outbox,
    the_hash_chain_is_whole,
    the_loop_did_something,
)
from tests.killing import LAST
from tests.killing_matrix import SILENCE, Crowd, offered
from tests.servers.matrix_view import Post
from tests.servers.synapse import Synapse, shared

ROUNDS = "32:96"
ENCRYPTED_ROUNDS = "8:8"
LIMIT = 240  # seconds
SEED = 11


@pytest.fixture
def server() -> Iterator[Synapse]:
    found = shared()
    yield found
    found.run_clock()


async def test_safety_10_killed_again_and_again_over_synapse(tmp_path: Path, server: Synapse) -> None:
    """At many moments, a quarter of them during the start: every promise holds, by the log and by the rooms."""
    crowd = Crowd(server, SEED)
    await loop(tmp_path, crowd, ROUNDS)
    log = await every_event(tmp_path)
    the_loop_did_something(log)
    posts = shown(crowd)
    every_message_is_in_the_transcript_once(crowd, log)
    await every_row_was_said_once(tmp_path, posts)
    every_request_can_be_voted_on(crowd, posts)
    await asyncio.to_thread(the_rest_is_whole, tmp_path, log)


async def test_safety_10_keys_survive_being_killed(tmp_path: Path, server: Synapse) -> None:
    """In encrypted rooms, too: after each start the bot reads what was written meanwhile, and is read itself."""
    crowd = Crowd(server, SEED, encrypted=True)
    await loop(tmp_path, crowd, ENCRYPTED_ROUNDS)
    log = await every_event(tmp_path)
    posts = shown(crowd)
    every_message_is_in_the_transcript_once(crowd, log)
    texts = {event.message_id: event.text for _, event in log if isinstance(event, e.MessagePosted)}
    written = [post for room in crowd.rooms for post in room.posts.values() if post.id in texts]
    assert [post for post in written if texts[post.id] != post.text] == []
    await every_row_was_said_once(tmp_path, posts, least=8)  # these lives are few
    await asyncio.to_thread(nothing_waits_in_the_outbox, tmp_path)


def the_rest_is_whole(data: Path, log: list[tuple[str, e.Event]]) -> None:
    """What holds in every chat."""
    nothing_waits_in_the_outbox(data)
    no_deadline_is_missed_or_doubled(log)
    no_action_runs_twice(data, log)
    the_hash_chain_is_whole(data)


async def loop(data: Path, crowd: Crowd, rounds: str) -> None:
    """Kill the bot again and again while the crowd acts; return when the last one came to rest."""
    file = crowd.homeserver.kept(data)
    command = [sys.executable, "-m", "tests.killing", str(data), rounds, str(SEED), "matrix", str(file)]
    with (data / "stderr").open("w") as errors:
        killing = await asyncio.create_subprocess_exec(
            *command, stderr=errors, stdout=errors, start_new_session=True
        )
        try:
            while killing.returncode is None and not (data / LAST).exists():
                await crowd.act()
            await crowd.ask()
            (data / SILENCE).touch()
            status = await asyncio.wait_for(killing.wait(), LIMIT)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(killing.pid, signal.SIGKILL)  # the child as well
            await killing.wait()
    assert status == 0, (data / "stderr").read_text()[-4000:]


def shown(crowd: Crowd) -> list[Post]:
    """Every message that the bot's account can see, as it reads now."""
    crowd.people.beside.refresh()
    return crowd.people.beside.posts()


def every_message_is_in_the_transcript_once(crowd: Crowd, log: list[tuple[str, e.Event]]) -> None:
    """What people wrote in the incidents' rooms, also while no bot lived; each note is noted once."""
    bot = crowd.people.bot.user
    written = [post for room in crowd.rooms for post in room.posts.values() if post.sender != bot]
    posted = Counter(event.message_id for _, event in log if isinstance(event, e.MessagePosted))
    assert max(posted.values()) == 1
    assert [post for post in written if posted[post.id] != 1] == []
    late = {event.message_id for _, event in log if isinstance(event, e.MessagePosted) and event.late}
    noted = Counter(event.message_id for _, event in log if isinstance(event, e.NoteAdded))
    assert max(noted.values()) == 1
    notes = [post for post in written if post.text.startswith("!note") and post.id not in late]
    assert len(notes) > 3
    assert [post for post in notes if noted[post.id] != 1] == []


async def every_row_was_said_once(data: Path, posts: list[Post], least: int = 20) -> None:
    """Each message that the outbox had is in a room exactly once, and no other with a number of its own."""
    keys = Counter(str(post.mark["key"]) for post in posts if post.mark.get("key"))
    assert [key for key, count in keys.items() if count > 1] == []
    t = store.outbox
    query = select(t.c.id).where(t.c.op.in_(("say", "direct")))
    async with open_store(database(data)) as opened:
        found = await opened.read(lambda connection: connection.execute(query).all())
    wanted = {f"wb-{row.id}" for row in found}
    assert len(wanted) > least
    assert {key for key in keys if key.removeprefix("wb-").isdigit()} == wanted


def every_request_can_be_voted_on(crowd: Crowd, posts: list[Post]) -> None:
    """The bot's own ✅ and ❌ are under each card that is open, wherever the crash came."""
    cards = [post for post in posts if offered(post)]
    assert cards
    bot = crowd.people.bot.user
    for card in cards:
        assert offered(card) <= {key for key, user in card.reactions.values() if user == bot}, card
