"""One incident on Slack and Matrix at once: one timeline, one set of votes, and no chat that holds up the other."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest

from incidents import events as e
from incidents.action import Action
from tests.scenarios.bridge_stage import Both, bridging
from tests.servers.synapse import Synapse


async def events(both: Both, stream: str) -> list[e.Event]:
    """The events of a stream, oldest first."""
    return [recorded.event for recorded in await both.stage.bot.store.events(stream)]


async def action(both: Both, number: int = 1) -> Action:
    """A request as the log has it."""
    found = await both.stage.bot.store.run(lambda unit: unit.state(f"action-{number}"))
    assert isinstance(found, Action)
    return found


async def test_an_incident_has_a_channel_and_a_room(tmp_path: Path) -> None:
    """alice opens it on Slack; bob acknowledges on Matrix, and Slack's card shows it."""
    async with bridging(tmp_path) as both:
        await both.opens()
        assert "Redis is down" in both.slack_card("incident").text
        assert "Redis is down" in (await both.matrix_card("incident")).text
        await both.on_matrix("bob", "!ack")
        for text in (both.slack_card("incident").text, (await both.matrix_card("incident")).text):
            assert "Acknowledged" in text
            assert "owner bob" in text
        assert (await both.slack_texts()).count("bob ran !ack") == 1
        assert not [text for text in await both.matrix_texts() if " ran " in text]
        bound = [event for event in await events(both, "incident-1") if isinstance(event, e.ChannelBound)]
        assert sorted(event.platform for event in bound) == ["matrix", "slack"]


async def test_alice_asks_on_slack_and_bob_approves_on_matrix(tmp_path: Path) -> None:
    """It runs once, and both cards tell of it."""
    async with bridging(tmp_path) as both:
        await both.opens()
        await both.on_slack("alice", "/scale realtime 10")
        card = await both.matrix_card("approval")
        await both._then(both.matrix.reacts("bob", card.id, "✅"))
        await both.stage.waits(60)
        assert both.stage.replicas("realtime") == 10
        assert both.stage.world.changes == {"wb-1": 1}
        found = await action(both)
        assert (found.state, found.voters) == ("done", ("bob",))
        for text in (both.slack_card("approval").text, (await both.matrix_card("approval")).text):
            assert "realtime runs 10 replicas" in text


async def test_safety_1_the_same_human_on_matrix_approves_nothing_of_their_own(tmp_path: Path) -> None:
    """SAFETY 1 and 35: alice asked on Slack; her ✅ on Matrix is refused there, bob's on either is one vote."""
    async with bridging(tmp_path) as both:
        await both.opens()
        await both.on_slack("alice", "/scale realtime 0")
        card, here = await both.matrix_card("approval"), both.slack_card("approval")
        await both._then(both.matrix.reacts("alice", card.id, "✅"))
        [refused] = [ev for ev in await events(both, "action-1") if isinstance(ev, e.VoteRefused)]
        assert (refused.person, refused.means) == ("alice", "reaction:matrix")
        assert any("somebody else has to approve #1" in text for text in await both.matrix_texts("@alice"))
        await both._then(both.matrix.reacts("bob", card.id, "✅"))
        await both._then(both.slack.reacts("bob", here.id, "✅"))
        await both.stage.waits(30)
        assert ((await action(both)).state, both.stage.world.changes) == ("pending", {})
        await both._then(both.slack.reacts("carol", here.id, "✅"))
        await both.stage.waits(60)
        assert both.stage.world.changes == {"wb-1": 1}
        assert set((await action(both)).voters) == {"bob", "carol"}


async def test_a_vote_taken_back_on_matrix_before_it_runs(tmp_path: Path) -> None:
    """The reactions of both cards are read again: carol's on Slack stands, bob's on Matrix does not."""
    async with bridging(tmp_path) as both:
        await both.opens()
        await both.on_slack("alice", "/scale realtime 0")
        card, here = await both.matrix_card("approval"), both.slack_card("approval")
        await both._then(both.matrix.reacts("bob", card.id, "✅"))
        await both._then(both.matrix.reacts("bob", card.id, "✅", added=False))
        await both._then(both.slack.reacts("carol", here.id, "✅"))
        await both.stage.waits(30)
        assert both.stage.world.changes == {}


async def test_messages_are_relayed_both_ways_and_never_back(tmp_path: Path) -> None:
    """With author and chat; edits and deletions change the copy; the transcript has each once."""
    async with bridging(tmp_path) as both:
        await both.opens()
        first = await both.on_slack("alice", "the failover hangs, see @bob")
        second = await both.on_matrix("bob", "I restart redis-0")
        assert (await both.matrix_texts())[-1].replace("\u2060", "") == (
            "alice (Slack): the failover hangs, see @bob"
        )
        assert (await both.slack_texts())[-1] == "bob (Matrix): I restart redis-0"
        assert (await both.matrix_posts())[-1].content.get("m.mentions", {}).get("user_ids", []) == []
        await both._then(both.slack.edits("alice", first, "the failover failed"))
        await both._then(both.matrix.edits("bob", second, "I restarted redis-0"))
        assert (await both.matrix_texts())[-1] == "alice (Slack): the failover failed (edited)"
        assert (await both.slack_texts())[-1] == "bob (Matrix): I restarted redis-0 (edited)"
        await both._then(both.matrix.deletes("bob", second))
        assert (await both.slack_texts())[-1] == "bob (Matrix): (deleted)"
        posted = [ev.text for ev in await events(both, "chat-1") if isinstance(ev, e.MessagePosted)]
        assert posted == ["the failover hangs, see @bob", "I restart redis-0"]


async def test_threads_pins_and_answers(tmp_path: Path) -> None:
    async with bridging(tmp_path) as both:
        await both.opens()
        message = await both.on_slack("alice", "who looks at it?")
        copy = (await both.matrix_posts())[-1]
        await both.on_matrix("bob", "I do", thread=copy.id)
        asked = {"channel": await both.slack_channel(), "reader": "U0WATCHBELL"}
        answer = both.stage._server.call("history", **asked)["messages"][-1]
        assert (answer["text"], answer["thread_ts"]) == ("bob (Matrix): I do", message.rpartition(":")[2])
        await both._then(both.matrix.reacts("carol", copy.id, "📌"))
        [pinned] = [ev for ev in await events(both, "incident-1") if isinstance(ev, e.MessagePinned)]
        assert (pinned.message_id, pinned.author) == (message.rpartition(":")[2], "alice")
        await both.on_matrix("bob", "!pods realtime")
        for texts in (await both.slack_texts(), await both.matrix_texts()):
            assert sum("3 of 3 ready" in text for text in texts) == 1


async def test_one_end_and_one_timeline(tmp_path: Path) -> None:
    """Resolved on one chat and closed on the other: both are archived, and the export has everything once."""
    async with bridging(tmp_path) as both:
        await both.opens()
        await both.on_slack("alice", "the failover hangs")
        await both.on_matrix("bob", "I restart redis-0")
        await both.on_matrix("bob", "!resolve failover repaired")
        await both.on_slack("alice", "/incident close")
        await both.stage.waits(5)
        channel = await both.slack_channel()
        found = next(c for c in both.stage._server.call("channels")["channels"] if c["id"] == channel)
        assert found["is_archived"]
        assert both.matrix.beside.rooms[await both.room()].archived
        with zipfile.ZipFile(io.BytesIO(await both.stage.export(1, "zip"))) as archive:
            [name] = [name for name in archive.namelist() if name.endswith("/transcript.md")]
            lines = archive.read(name).decode().splitlines()
        [hangs] = [line for line in lines if "the failover hangs" in line]
        [restarts] = [line for line in lines if "I restart redis" in line]
        assert "Alice" in hangs
        assert "(Slack):" in hangs
        assert "(Matrix):" in restarts


# -- a chat that is away ------------------------------------------------------------------------------


def once(texts: list[str], *wanted: str) -> None:
    """Each of these was said once, in this order."""
    found = [text for text in texts if any(part in text for part in wanted)]
    assert [next(part for part in wanted if part in text) for text in found] == list(wanted), found


async def test_with_the_homeserver_down_slack_goes_on(tmp_path: Path) -> None:
    """Pages and cards go out there at once; Matrix has it all, in order and once, when it is back."""
    with Synapse() as server:
        async with bridging(tmp_path, server=server) as both:
            await both.opens()
            server.stop()
            await both.on_slack("alice", "/update the failover hangs")
            await both.on_slack("bob", "I look at it")
            await both.on_slack("alice", "/page carol")
            await both.on_slack("bob", "/ack")
            once(await both.slack_texts(), "update by alice: the failover hangs")
            assert any("INC-1" in text for text in await both.slack_texts("@carol"))
            assert "owner bob" in both.slack_card("incident").text
            server.start()
            server.set_clock(both.stage.clock.now().timestamp())
            await both.stage.waits(120)
            wanted = ("alice ran /update", "update by alice", "bob (Slack): I look at it", "alice ran /page")
            once(await both.matrix_texts(), *wanted, "bob ran /ack")
            once(await both.slack_texts(), "update by alice: the failover hangs")
            assert "owner bob" in (await both.matrix_card("incident")).text


async def test_an_incident_opened_while_the_homeserver_is_down_gets_its_room(tmp_path: Path) -> None:
    """Though the room could not be made for a long time, it is one, and no thread of the operations room."""
    with Synapse() as server:
        async with bridging(tmp_path, server=server) as both:
            server.stop()
            await both.opens()
            await both.on_slack("alice", "the failover hangs")
            assert "Redis is down" in both.slack_card("incident").text
            await both.stage.waits(30)
            server.start()
            server.set_clock(both.stage.clock.now().timestamp())
            await both.stage.waits(120)
            once(await both.matrix_texts(), "Critical · INC-1", "alice (Slack): the failover hangs")


@pytest.mark.parametrize("kind", ["429", "500"])
async def test_with_slack_failing_matrix_goes_on(tmp_path: Path, kind: str) -> None:
    async with bridging(tmp_path) as both:
        await both.opens()
        both.stage._server.call("faults", kinds=[kind], count=1000)
        await both.on_matrix("bob", "!update the failover hangs")
        await both.on_matrix("bob", "I look at it")
        await both.on_matrix("bob", "!impact nobody can log in")
        once(await both.matrix_texts(), "update by bob: the failover hangs")
        assert "owner bob" in (await both.matrix_card("incident")).text
        assert not any("the failover hangs" in text for text in await both.slack_texts())
        both.stage._server.call("faults", kinds=[])
        await both.stage.waits(120)
        wanted = ("bob ran !update", "update by bob", "bob (Matrix): I look at it", "bob ran !impact")
        once(await both.slack_texts(), *wanted)
        assert "owner bob" in both.slack_card("incident").text


async def test_a_kill_repeats_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """Killed with copies in hand; and what was written on either chat meanwhile comes to the other, with its time."""
    async with bridging(tmp_path) as both:
        await both.opens()
        await both.slack.says("alice", await both.slack_channel(), "one")
        await both.matrix.says("bob", await both.room(), "two")
        await both.restarts()
        await both.stage.kill()
        await both.slack.says("alice", await both.slack_channel(), "three")
        await both.matrix.says("bob", await both.room(), "four")
        now = both.stage.clock.now() + timedelta(seconds=90)
        both.stage.clock.move(now)
        both.matrix.server.set_clock(now.timestamp())
        await both.stage.start()
        await both.stage.waits(5)
        await both.restarts()
        once(await both.matrix_texts(), "alice (Slack): one", "alice (Slack, 03:30 CET): three")
        once(await both.slack_texts(), "bob (Matrix): two", "bob (Matrix, 03:30 CET): four")
