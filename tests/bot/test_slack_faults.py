"""A Slack that fails now and then, and one that asks to wait: nothing is lost or said twice, and pages go first."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import store
from bot.chat import Content, Say
from bot.logbook import Logbook
from bot.platforms.slack_client import UnavailableError
from tests import EVERYTHING
from tests.bot.slack_faulty import BOT, START, Call, Night, Outcome, Trouble, night, played, story
from tests.servers.slack.people import slack_id

KINDS = ["429", "500", "reset", "after"]  # see tests/servers/slack/faults.py
STORY = story(3, 200 if EVERYTHING else 120)
HALF_A_MINUTE = timedelta(seconds=30)
BEGIN = f"at {START:%Y-%m-%dT%H:%M:%SZ}\n"


@pytest.fixture(scope="module")
def quiet() -> dict[str, Outcome]:
    """Filled by the first test: the story without faults, played once."""
    return {}


@pytest.mark.parametrize("seed", [1, 2, 3] if EVERYTHING else [2])
async def test_safety_11_a_tenth_of_all_calls_fails(
    seed: int, quiet: dict[str, Outcome], tmp_path: Path
) -> None:
    """The log is the same as without a fault, and Slack shows each message of the outbox once."""
    if not quiet:
        quiet["story"] = await played(tmp_path / "quiet", STORY, Trouble())
    expected = quiet["story"]
    faults = {"rate": 0.1, "seed": seed, "kinds": KINDS, "retry_after": 1}
    found = await played(tmp_path / "faults", STORY, Trouble(faults=faults))
    assert found.faults.total() > 50
    assert set(found.faults) == set(KINDS)
    assert found.left == expected.left == []
    assert found.log == expected.log
    assert max(found.posted.values()) == 1
    assert found.rows <= set(found.posted)
    assert found.said == expected.said


# -- pages beside messages that have to wait ---------------------------------------------------------

OPENED = 'grace in #ops: /incident open critical "Redis is down" service=realtime\nwait 1m\n'
SECOND = 'grace in #ops: /incident open critical "Kafka is down" service=realtime\n'


async def test_a_page_waits_for_no_other_channel(tmp_path: Path) -> None:
    """Slack takes nothing in one incident's channel for 30 s; the page of another goes out at once."""
    async with night(tmp_path, Trouble()) as found:
        await found.play(f"{BEGIN}{OPENED}alice in inc-1: /ack")
        asked = found.stage.clock.now()
        found.stage.limited[await found.channel(1)] = asked + HALF_A_MINUTE
        await found.play("alice in inc-1: /note this waits\nbob in inc-1: /note and this")
        assert [
            r for r in found.records("#inc-1", "say") if r.at == asked and "waits" in (r.text or "")
        ] == []
        await found.play(SECOND)
        assert found.stage.clock.now() == asked
        assert _paged(found, "#inc-2") == _paged(found, "@") == [asked]
        await found.play("wait 29s\nexpect nothing\nwait 1s\nexpect in inc-1 this waits")


async def test_a_page_that_has_to_wait_goes_before_cosmetics(tmp_path: Path) -> None:
    """When Slack takes messages again, the page is the first thing, and the mark on a note the last."""
    async with night(tmp_path, Trouble()) as found:
        await found.play(f"{BEGIN}{OPENED}wait 3m")
        due = found.stage.clock.now() + timedelta(minutes=1)  # the page is repeated five minutes after it
        found.stage.limited[await found.channel(1)] = due + HALF_A_MINUTE
        await found.play("wait 1m\nbob in inc-1: !note nobody is here\nbob in inc-1: !role comms")
        before = found.records("#inc-1", "say", "edit", "react")
        assert [r for r in before if r.at >= due] == []
        await found.play("wait 30s")
        after = found.records("#inc-1", "say", "edit", "react")[len(before) :]
        assert {r.at for r in after} == {due + HALF_A_MINUTE}
        assert (after[0].do, "alice" in after[0].to) == ("say", True)
        assert [r.do for r in after].index("react") == len(after) - 1


def _paged(found: Night, channel: str) -> list[object]:
    """When INC-2's page was said there."""
    said = found.records(channel, "page" if channel == "@" else "say")
    return [r.at for r in said if "Kafka" in (r.text or "") and r.to and r.card is None]


# -- what comes after a message, or after a channel ---------------------------------------------------


async def test_what_stands_under_a_request_comes_after_all(tmp_path: Path) -> None:
    """The card's answer is lost, and Slack then takes no reaction at once: both are there in the end."""
    async with night(tmp_path, Trouble()) as found:
        await found.play(f"{BEGIN}{OPENED}")
        await fail(found, kinds=["after"], methods=["chat.postMessage"], count=1)
        await found.play("alice in inc-1: !scale realtime 9")
        await fail(found, kinds=["reset"], methods=["reactions.add"], count=2)
        await found.play("wait 10s")
        (card,) = [m for m in await found.messages() if m["card"] == "approval"]
        assert card["reactions"] == {"white_check_mark": [BOT], "x": [BOT]}


async def test_a_channel_is_arranged_after_all_and_no_page_waits_for_it(tmp_path: Path) -> None:
    """Slack takes neither topic nor people for a while: the page is in the channel at once, they come later."""
    async with night(tmp_path, Trouble()) as found:
        await fail(found, kinds=["500"], methods=["conversations.setTopic"], count=3)
        await found.play(f"{BEGIN}{SECOND}expect in inc-1 @alice")
        assert [c["topic"] for c in await channels(found, "inc-1")] == [""]
        await found.play("wait 10s")
        (channel,) = await channels(found, "inc-1")
        assert "INC-1" in channel["topic"]
        assert slack_id("alice") in channel["members"]


async def test_one_look_answers_for_all_that_a_crash_left(tmp_path: Path) -> None:
    """Slack allows 50 looks a minute; what came without an answer after the look is found all the same."""
    async with night(tmp_path, Trouble()) as found:
        slack = found.stage.bot.platforms["slack"]
        (ops,) = [c["id"] for c in await channels(found, "ops")]
        assert [await slack.find(ops, f"wb-{number}") for number in range(900, 960)] == [None] * 60
        assert len([call for call in found.stage.calls if call.method == "conversations.history"]) == 1
        await fail(found, kinds=["after"], methods=["chat.postMessage"], count=1)
        with pytest.raises(UnavailableError):
            await slack.post(ops, Content("hello", "hello"), key="wb-901")
        (shown,) = [m for m in await found.messages() if m["text"] == "hello"]
        assert await slack.find(ops, "wb-901") == shown["ts"]


async def fail(found: Night, **faults: object) -> None:
    """Faults from now on, see tests/servers/slack/faults.py."""
    await found.server.act("faults", **faults)


async def channels(found: Night, name: str) -> list[Any]:
    """The channels whose names begin so."""
    every = (await found.server.act("channels"))["channels"]
    return [channel for channel in every if channel["name"].startswith(name)]


# -- Slack's own rate limits -------------------------------------------------------------------------


@pytest.mark.parametrize("pace", [0.0, 1.0])
async def test_a_burst_arrives_as_fast_as_slack_takes_it(pace: float, tmp_path: Path) -> None:
    """60 messages into one channel: all of them, in order, at about one a second, and no call too early."""
    async with night(tmp_path, Trouble(rate_limits=True, pace=pace)) as found:
        await found.play(f"{BEGIN}wait 2m")
        began = found.stage.clock.now()
        lines = [f"message {number}" for number in range(60)]
        await found.stage.bot.store.run(lambda unit: _say(unit, found, lines))
        calls = len(found.stage.calls)
        await found.play("wait 70s")
        said = [r for r in found.records("#ops", "say") if r.at >= began]
        assert [r.text for r in said] == lines
        assert said[-1].at - began <= timedelta(seconds=62)
        made = found.stage.calls[calls:]
        assert {call.method for call in made} == {"chat.postMessage"}  # what was not taken is not looked for
        assert too_early(made) == []
        limited = [call for call in made if call.retry_after]
        assert len(limited) > 10 if pace == 0 else limited == []


def _say(unit: store.Unit, found: Night, lines: list[str]) -> None:
    book = Logbook(unit, found.stage.bot.desk, found.stage.clock.now())
    for line in lines:
        book.say(Say("ops", template="sentence", data={"text": line}))
    book.finish()


def too_early(calls: list[Call]) -> list[Call]:
    """Calls that were made although Slack had asked to wait longer before the next of that kind."""
    until = START
    found: list[Call] = []
    for call in calls:
        if call.at < until:
            found.append(call)
        if call.retry_after:
            until = call.at + timedelta(seconds=call.retry_after)
    return found
