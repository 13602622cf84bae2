"""A private incident in Slack is never told of in public: case 13, where Slack refuses what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from incidents import events as e
from tests.safety.slack_rig import SlackChat, on_slack
from tests.servers.slack.people import slack_id

PRIVATE = "/incident open low Somebody is leaving service=realtime --private"


def public(chat: SlackChat) -> str:
    """Everything that stands in a public channel."""
    found = [c["id"] for c in chat.channels() if not (c["is_private"] or c["is_im"])]
    return "\n".join(m["text"] for channel in found for m in chat.messages(channel, "mallory"))


@pytest.mark.parametrize("restarts", [False, True])
async def test_safety_13_a_private_incident_opens_again_in_private(tmp_path: Path, restarts: bool) -> None:
    """Slack lets no bot unarchive its channel: another private one is made for those who were in it."""
    async with on_slack(tmp_path, opened=False) as chat:
        await chat.alice.says(PRIVATE, "#ops")
        chat.number = 1
        before = chat.channel()
        await chat.alice.says("/resolve done")
        await chat.alice.says("/incident close")
        if restarts:
            await chat.restarts(away=90)
        direct = (await chat.act("direct", user=chat.alice.id))["channel"]
        await chat.alice.says("/incident reopen it is back incident=1", direct)
        bound = (await chat.events("incident-1", e.ChannelBound))[-1]
        [after] = [c for c in chat.channels() if c["id"] == bound.channel]
        assert (after["is_private"], bound.thread, after["id"] != before["id"]) == (True, None, True)
        assert set(after["members"]) == set(before["members"]) >= {slack_id("alice")}
        await chat.alice.says("!note goes on", after["id"])
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["goes on"]
        assert "leaving" not in public(chat)
        assert "INC-1" not in public(chat)


async def test_safety_13_without_a_channel_of_its_own_it_stays_untold(tmp_path: Path) -> None:
    """Whoever opened it is told why it has no place."""
    async with on_slack(tmp_path, opened=False) as chat:
        await chat.act("faults", kinds=["error:restricted_action"], methods=["conversations.create"])
        chat.mark()
        await chat.alice.says(PRIVATE, "#ops")
        await chat.waits(120)
        assert "INC-1 is private, so it has no place" in chat.bot_said("alice")
        assert "leaving" not in public(chat)
