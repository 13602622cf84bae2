"""A homeserver that fails now and then, or is away for a while: nothing is lost, said twice, or run late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from incidents import events as e
from tests import EVERYTHING
from tests.bot.matrix_faulty import Exempt, Faults, Night, keyed, night, played
from tests.bot.slack_faulty import START, Outcome, outbox, story
from tests.bot.test_kill import every_event
from tests.servers.synapse import Synapse, shared

STORY = story(3, 45)
BEGIN = f"at {START:%Y-%m-%dT%H:%M:%SZ}\n"
OPENED = 'grace in #ops: /incident open critical "Redis is down" service=realtime\nwait 1m\n'
MORE_THAN_A_SYNC = 70  # messages: of a room a sync tells 50


@pytest.fixture(scope="module")
def quiet() -> dict[str, Outcome]:
    """Filled by the first test: the story without faults, played once."""
    return {}


@pytest.mark.parametrize("seed", [1, 2, 3] if EVERYTHING else [2])
async def test_safety_11_a_tenth_of_all_calls_fails(
    seed: int, quiet: dict[str, Outcome], tmp_path: Path
) -> None:
    """The log is the same as without a fault, and the rooms show each message of the outbox once."""
    if not quiet:
        quiet["story"] = await played(tmp_path / "quiet", shared(), STORY)
    expected, faults = quiet["story"], Faults(rate=0.1, seed=seed)
    found = await played(tmp_path / "faults", shared(), STORY, faults)
    assert found.faults.total() > 30
    assert set(found.faults) == set(faults.kinds)
    assert found.left == expected.left == []
    assert found.log == expected.log
    assert max(found.posted.values()) == 1
    assert found.rows <= set(found.posted)
    assert found.said == expected.said


# -- a homeserver that is away ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Synapse]:
    with Synapse(quick=True) as found:
        yield found


def in_order_and_once(found: Night) -> None:
    """The rows of each room are in it once, in the order in which they were to be said."""
    rooms: dict[str, list[int]] = {}
    for post in keyed(found.posts()):
        ident = str(post.mark["key"]).removeprefix("wb-")
        if ident.isdigit():
            rooms.setdefault(post.room, []).append(int(ident))
    assert {room: sorted(set(rows)) for room, rows in rooms.items()} == rooms


async def test_the_homeserver_is_stopped_and_started_again(tmp_path: Path, server: Synapse) -> None:
    """Clocks go on, telephones ring, what was to be said waits and comes in order; votes and commands count."""
    async with night(tmp_path, server) as found:
        await found.play(f"{BEGIN}{OPENED}alice in inc-1: !scale realtime 9\n")
        said = len(found.records("#inc-1", "say"))
        await found.stage.stop_server()
        await found.play("alert alerts/tool_down.json\nwait 16m")  # nobody has acknowledged
        assert [r for r in found.records("", "page") if r.to == ("bob",)] != []
        assert found.records("#inc-1", "say")[said:] == []
        await found.stage.start_server()
        await found.play("wait 1m\nexpect in inc-1 @bob\nexpect in inc-2 @alice")
        await found.play(
            "bob in inc-1: !note it is back\nalice in inc-1: !scale realtime 7\n"
            "bob reacts ✅ to approval in inc-1\nwait 1m\nexpect replicas realtime 7"
        )
        in_order_and_once(found)


async def test_a_bot_that_starts_while_the_homeserver_is_away(tmp_path: Path, server: Synapse) -> None:
    """It begins when the homeserver comes: what was due meanwhile is said, what people wrote is taken in."""
    async with night(tmp_path, server) as found:
        await found.play(f"{BEGIN}{OPENED}")
        await found.stage.kill()
        await found.stage.stop_server()
        await found.stage.start()
        await found.play("wait 16m")  # nobody has acknowledged: the next one is paged, by telephone as well
        assert [r for r in found.records("", "page") if r.to == ("bob",)] != []
        await found.stage.start_server()
        await found.play(
            "wait 1m\nexpect in inc-1 @bob\nbob in inc-1: !ack\nexpect in inc-1 bob acknowledged"
        )
        in_order_and_once(found)


async def test_safety_28_the_gap_is_filled_and_old_commands_are_not_run(tmp_path: Path) -> None:
    """Cut off for five minutes, in which more is said than a sync tells: all is in the transcript, nothing is run."""
    async with night(tmp_path, shared()) as found:
        await found.play(f"{BEGIN}{OPENED}alice in inc-1: !scale realtime 9\n")
        room = await found.room(1)
        found.between.cut = True
        async with found.unheard():
            texts = [f"remark {number}" for number in range(MORE_THAN_A_SYNC)]
            for text in ("!ack", *texts, "!scale realtime 5", "!note seen"):
                await found.people.says("alice", room, text)
            await found.play("bob reacts ✅ to approval in inc-1\nwait 5m")
        found.between.cut = False
        await found.play("bob in inc-1: /note here again\nwait 1m\nexpect replicas realtime 9")
        in_order_and_once(found)
    log = await every_event(tmp_path)
    posted = [event for _, event in log if isinstance(event, e.MessagePosted)]
    assert [event.text for event in posted if event.text in texts] == texts
    assert {event.text for event in posted if event.late} >= {"!ack", "!scale realtime 5", "!note seen"}
    assert [event for _, event in log if isinstance(event, e.Acknowledged)] == []
    assert [event.text for _, event in log if isinstance(event, e.NoteAdded)] == ["here again"]


# -- a homeserver that makes the bot wait -------------------------------------------------------------

PATIENCE = 60.0  # seconds for what nobody waits for
WAIT = timedelta(seconds=5)  # Synapse's default: one message every five seconds, after ten at once
LIFE = """\
alice in inc-1: !ack
wait 1m
alice in inc-1: !update failing over eta=20m
alice in inc-1: !note the first replica is gone
alice in inc-1: !scale realtime 9
wait 1m
bob reacts ✅ to approval in inc-1
wait 2m
expect replicas realtime 9
alice in inc-1: !resolve it is back
wait 10m
"""


def reopened_by_tap(found: Night) -> bool:
    """Whether the bot's reaction for the button that came last is there."""
    (card, *_) = [post for post in found.posts() if post.tap("Reopen")]
    return (card.tap("Reopen"), found.people.bot.user) in card.reactions.values()


async def waiting(folder: Path) -> int:
    """How much the bot is still going to say."""
    _rows, left = await outbox(folder)
    return sum(1 for _op, why in left if why is None)


def paged(found: Night, channel: str) -> datetime:
    """When alice was told there first that Kafka is down."""
    said = found.records(channel, "page" if channel.startswith("@") else "say")
    return next(r.at for r in said if "Kafka" in (r.text or "") and "alice" in r.to)


async def test_a_whole_incident_within_the_default_limits(tmp_path: Path) -> None:
    """Nothing is lost or doubled; a page waits as long as the homeserver says at most, and for no cosmetics."""
    with Synapse(limits="default", quick=True) as server:
        async with night(tmp_path, server, people_of=Exempt) as found:
            await found.play(f"{BEGIN}{OPENED}")
            await found.play('carol in #ops: !incident open critical "Kafka is down" service=realtime')
            asked = found.stage.clock.now()
            await found.play("wait 2m")
            assert paged(found, "@alice") - asked <= 2 * WAIT  # that the room is made is one event as well
            assert paged(found, "#inc-2") - asked <= 8 * WAIT  # after the card, which stands above it
            await found.play(LIFE)
            in_order_and_once(found)
            assert found.between.limited["send"] > 0
            async with asyncio.timeout(PATIENCE):
                while await waiting(tmp_path) or not reopened_by_tap(found):  # buttons come last
                    await found.play("wait 1m")
        rows, left = await outbox(tmp_path)
        # A direct message that was put off four times has gone to the next one instead.
        assert [why for op, why in left if op != "direct"] == []
        assert rows
