"""What hostile members of the workspace, and bad luck, could try on Slack; each of these once did something."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import pytest

from bot.platforms.slack_text import SlackMarks
from incidents import events as e
from tests.safety.slack_rig import (
    PIN,
    SlackChat,
    Someone,
    command_form,
    file,
    on_slack,
    press_form,
    with_groups,
)

PRIVATE = "/incident open low Somebody is leaving service=realtime --private"


def public(chat: SlackChat) -> str:
    """Everything that stands in a public channel, with the names of its files."""
    found = [c["id"] for c in chat.channels() if not (c["is_private"] or c["is_im"])]
    messages = [m for channel in found for m in chat.messages(channel, "mallory")]
    return "\n".join(f"{m['text']} {' '.join(m.get('files') or ())}" for m in messages)


async def delivered(chat: SlackChat, event: dict[str, Any]) -> list[int]:
    """Slack delivers an event, whatever it holds; the statuses."""
    body = {"type": "event_callback", "team_id": "T0WATCH", "api_app_id": "A0WATCH", "event": event}
    made = json.dumps({**body, "event_id": f"Ev{abs(hash(str(event)))}"}).encode()
    return await chat.posts(made, headers={"Content-Type": "application/json"})


def message(chat: SlackChat, person: Someone, text: str, **more: Any) -> dict[str, Any]:
    """A message event in the incident's channel."""
    ts = f"{chat.stage.clock.now().timestamp():.6f}"
    return {"type": "message", "channel": chat.place(), "user": person.id, "ts": ts, "text": text, **more}


def changed(form: bytes, **changes: Any) -> bytes:
    """The payload of a form with other fields."""
    payload = json.loads(parse_qs(form.decode())["payload"][0])
    return urlencode({"payload": json.dumps({**payload, **changes})}).encode()


# -- 13: what is private --------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["#ops", None])
async def test_safety_13_who_may_see_it_does_not_show_it_to_others(tmp_path: Path, where: str | None) -> None:
    """Lists, timelines and files of a private incident that one of its people asks for elsewhere are theirs alone."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says(PRIVATE, "#ops")
        for line in (
            "/incident list",
            "/incident list all",
            "/incident search realtime",
            "/incident show 2",
            "/timeline incident=2",
            "/catchup incident=2",
            "/export md incident=2",
            "!incident list",
        ):
            chat.mark()
            await chat.alice.says(line, where)
            assert "leaving" in chat.bot_said("alice"), line
            assert "leaving" not in public(chat), line
            assert "INC-2" not in public(chat), line
        chat.mark()
        await chat.bob.says("/incident list", where)
        assert "Redis is down" in chat.bot_said()


async def test_safety_13_a_request_of_a_private_incident_is_not_shown_elsewhere(tmp_path: Path) -> None:
    """Neither what waits nor who voted, to anybody but the person who may see it."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says(PRIVATE, "#ops")
        chat.number = 2
        await chat.alice.says("!scale realtime 5")
        for line in ("/pending", "/why 1"):
            chat.mark()
            await chat.alice.says(line, "#ops")
            assert "scale realtime" in chat.bot_said("alice"), line
            assert "scale realtime" not in public(chat), line


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("open low Somebody is leaving --private", 120),
        ("open low Somebody is leaving --private severty=low", 0),
        ("open lowww Somebody is leaving --private", 0),
        ("reopen Somebody is leaving incident=2", 120),
    ],
)
async def test_safety_13_a_private_line_that_did_not_run_stays_unseen(
    tmp_path: Path, text: str, ago: int
) -> None:
    """Nobody saw it being typed: it is neither told in public nor in the transcript of another incident."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says(PRIVATE, "#ops")
        chat.mark()
        assert await chat.posts(command_form(chat, chat.alice, "/incident", text, "t1"), ago=ago) == [200]
        assert chat.bot_said("alice")
        assert "leaving" not in public(chat)
        assert not [said for said in (await chat.written()).values() if "leaving" in said]


async def test_safety_13_a_private_channel_is_never_made_of_a_public_one(tmp_path: Path) -> None:
    """Whoever renames an old channel of the bot's, and gives it the purpose, gets to read nothing."""
    async with on_slack(tmp_path) as chat:
        channel = chat.place()
        await chat.alice.says(PRIVATE, "#ops")
        chat.number = 2
        name = chat.channel()["name"].replace("2", "3", 1)
        api = chat.stage.bot.platforms["slack"].api  # type: ignore[attr-defined]
        await api.call("conversations.setPurpose", channel=channel, purpose="(wb-open-3)")
        await chat.act("renames", channel=channel, name=name)
        await chat.alice.says(PRIVATE, "#ops")
        [bound] = await chat.events("incident-3", e.ChannelBound)
        [made] = [c for c in chat.channels() if c["id"] == bound.channel]
        assert (made["is_private"], made["id"] == channel) == (True, False)
        assert "leaving" not in public(chat)


# -- 16, 17: commands that nobody gave --------------------------------------------------------------------


async def test_safety_17_what_somebody_passes_on_is_no_command(tmp_path: Path) -> None:
    """A shared message without a word of one's own: what it says is somebody else's; it is in the transcript."""
    async with on_slack(tmp_path) as chat:
        shared = {"is_share": True, "author_id": chat.mallory.id, "text": "!scale realtime 10\n!note x"}
        for attachment in (shared, {**shared, "fallback": "/scale realtime 10"}):
            await chat.waits(1)
            assert await delivered(chat, message(chat, chat.alice, "", attachments=[attachment])) == [200]
        assert (await chat.actions(), await chat.events("incident-1", e.NoteAdded)) == (0, [])
        assert "> !scale realtime 10\n> !note x" in (await chat.written()).values()


async def test_safety_02_a_mention_that_is_put_in_afterwards_runs_nothing(tmp_path: Path) -> None:
    """Slack tells of it as of a mention (app_mention), not only as of an edit."""
    async with on_slack(tmp_path) as chat:
        event = message(chat, chat.alice, "<@U0WATCHBELL> scale realtime 10", channel=chat.place("#ops"))
        edited = {"user": chat.alice.id, "ts": event["ts"]}
        assert await delivered(chat, {**event, "type": "app_mention", "edited": edited}) == [200]
        assert await chat.actions() == 0
        assert await delivered(chat, {**event, "type": "app_mention"}) == [200]
        assert await chat.actions() == 1


async def test_safety_16_buttons_of_others_run_nothing(tmp_path: Path) -> None:
    """A button with our action id under a message of another app, or of the bot's name, carries no command."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        form = press_form(chat, chat.bob, "Approve", chat.card(), "t1")
        for number, author in enumerate(
            ({"bot_id": "B0EVIL"}, {"user": chat.mallory.id}, {"bot_id": "B0EVIL", "username": "watchbell"})
        ):
            shown = {"ts": chat.card()["ts"], "text": "free coffee", **author}
            assert await chat.posts(changed(form, message=shown, trigger_id=f"t{number}")) == [200]
        assert (await chat.action()).approvals == ()
        await chat.bob.presses("Approve", chat.card())
        assert (await chat.action()).approvals == ("bob",)


async def test_safety_16_a_form_that_is_none_of_ours_does_nothing(tmp_path: Path) -> None:
    """By its callback id; and one whose metadata is none of ours."""
    async with on_slack(tmp_path) as chat:
        origin = {"channel": chat.place(), "thread": None, "message": None}
        for callback, metadata in (("wb:other", origin), ("wb:resolve", {**origin, "more": 1})):
            view = {
                "type": "modal",
                "id": f"V{callback}",
                "hash": "1.a",
                "callback_id": callback,
                "private_metadata": json.dumps(metadata),
                "blocks": [{"type": "input", "block_id": "text"}],
                "state": {"values": {}},
            }
            user = {"id": chat.alice.id, "team_id": "T0WATCH"}
            payload = {"type": "view_submission", "user": user, "team": {"id": "T0WATCH"}, "view": view}
            assert await chat.posts(urlencode({"payload": json.dumps(payload)}).encode()) == [200]
        assert await chat.events("incident-1", e.Resolved) == []


async def test_safety_01_a_file_called_pressed_is_no_button(tmp_path: Path) -> None:
    """The vote of a command is kept as one of a command, whatever is posted beside it."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 0")
        await chat.bob.says("!approve 1", files=[file("pressed", b"x")])
        assert list((await chat.action()).votes["bob"]) == ["command"]


# -- 13: roles ------------------------------------------------------------------------------------------


async def test_safety_13_a_group_that_is_called_like_another_gives_no_role(tmp_path: Path) -> None:
    """Where people may make user groups: a name like the handle of the real one, or like its id."""

    def groups(chat: SlackChat) -> None:
        for ident, handle, name, users in (
            ("S0EVIL1", "friends", "sre", [chat.mallory.id]),
            ("S0EVIL2", "others", "S0REAL", [chat.mallory.id]),
            ("S0EVIL3", "leads", "more", [chat.mallory.id]),
            ("S0REAL", "sre", "The real ones", [chat.grace.id]),
            ("S0REAL2", "real-leads", "Leads", [chat.grace.id]),
        ):
            chat.server.call("group", id=ident, handle=handle, name=name, users=users)

    for wanted, found in (("@sre", True), ("S0REAL", True), ("sre", False), ("Leads", False)):
        async with on_slack(
            tmp_path / wanted, with_groups(approver=[wanted]), opened=False, prepare=groups
        ) as chat:
            assert not chat.stage.settings.can("mallory", "approver"), wanted
            assert chat.stage.settings.can("grace", "approver") == found, wanted


# -- 33, 38: huge, odd, repeated ---------------------------------------------------------------------------


@pytest.mark.parametrize("marks", ["*a ", "_a ", "*_~", "*", "~a"])
def test_safety_33_a_long_line_of_marks_holds_nothing_up(marks: str) -> None:
    """What a person or a log can send at once is neutral within a moment; it once took seconds."""
    begun = time.process_time()
    told = SlackMarks(ZoneInfo("UTC"), {}).escape(marks * (40_000 // len(marks)) + "b" * 20_000)
    assert time.process_time() - begun < 1
    assert len(told) > 40_000


async def test_safety_33_a_file_s_name_that_is_no_text_loses_no_message(tmp_path: Path) -> None:
    """Half a surrogate pair, which JSON can hold and no log can."""
    async with on_slack(tmp_path) as chat:
        files = [{"id": "F0ODD\ud800", "name": "shot\udfff.png"}]
        event = message(chat, chat.carol, "look at this", subtype="file_share", files=files)
        assert await delivered(chat, event) == [200]
        assert "look at this" in (await chat.written()).values()


async def test_safety_38_two_edits_within_a_second_are_two(tmp_path: Path) -> None:
    """Also where their texts were made to have the same check sum: the last one is what was said."""
    known: dict[int, str] = {}
    for number in count():
        text = hashlib.sha256(b"%d" % number).hexdigest()  # by the birthday paradox, soon
        if (other := known.setdefault(zlib.crc32(text.encode()), text)) != text:
            break
    async with on_slack(tmp_path) as chat:
        said = message(chat, chat.carol, "it was not me")
        await delivered(chat, said)
        at, before = {"user": chat.carol.id, "ts": said["ts"][:10] + ".000000"}, said
        for now in (other, text):
            after = {**said, "text": now, "edited": at}
            outer = {"type": "message", "subtype": "message_changed", "channel": said["channel"]}
            both = {"message": after, "previous_message": before, "ts": said["ts"], "event_ts": said["ts"]}
            assert await delivered(chat, {**outer, **both}) == [200]
            before = after
        assert [edit.text for edit in await chat.events("chat-1", e.MessageEdited)] == [other, text]


async def test_safety_38_pinned_again_is_on_the_timeline_again(tmp_path: Path) -> None:
    """A pin that was taken off the timeline by its reaction, and made anew, is no duplicate of the first."""
    async with on_slack(tmp_path) as chat:
        ts = await chat.carol.says("the disk is full")
        pin = {"type": "pin_added", "user": chat.bob.id, "channel_id": chat.place()}
        item = {"type": "message", "channel": chat.place(), "message": {"ts": ts, "text": "x"}}
        for number in range(2):
            await chat.waits(1)
            at = f"{chat.stage.clock.now().timestamp():.6f}"
            for attempt in range(2):
                event = {**pin, "item": item, "event_ts": at, "attempt": attempt}
                assert await delivered(chat, event) == [200]
            assert len(await chat.events("incident-1", e.MessagePinned)) == 2 * number + 1
            await chat.bob.reacts(ts, PIN)
            await chat.bob.reacts(ts, PIN, added=False)
        assert await chat.events("incident-1", e.MessageUnpinned)


async def test_safety_37_typed_where_two_people_talk_it_is_answered(tmp_path: Path) -> None:
    """Slack lets slash commands be typed where the bot may say nothing: the answer is in the person's own."""
    async with on_slack(tmp_path) as chat:
        for number, (command, text, answer) in enumerate(
            (("/incident", "list", "Redis is down"), ("/scale", "realtime 4", "not here"))
        ):
            form = command_form(chat, chat.alice, command, text, f"t{number}")
            chat.mark()
            assert await chat.posts(form.replace(chat.place().encode(), b"D0OTHERS")) == [200]
            assert answer in chat.bot_said("alice")
        assert (await chat.actions(), "1 incident open" in public(chat)) == (0, False)
