"""Where and when things are asked in Slack: cases 25 to 27, 29 and 37, forms, App Home, shortcuts and threads."""

from __future__ import annotations

import json
import time
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from incidents import events as e
from tests.safety.slack_rig import PIN, SlackChat, command_form, file, on_slack
from tests.servers.slack.people import slack_id

HERE = "/incident open high Search is slow service=realtime --here"


def lunch(chat: SlackChat, *, bot: bool = False, private: bool = False, name: str = "lunch") -> str:
    """A channel that nobody configured, with everybody in it but the bot."""
    members = [slack_id(each) for each in chat.stage.settings.people]
    made = chat.server.call("add_channel", name=name, members=members, bot=bot, is_private=private)
    return str(made["id"])


def members(chat: SlackChat, channel: str) -> list[str]:
    return next(c["members"] for c in chat.channels() if c["id"] == channel)


# -- 25 -----------------------------------------------------------------------------------------------


async def test_safety_25_only_what_slack_signed_and_only_once(tmp_path: Path) -> None:
    """A wrong secret, an old or future stamp, a changed body, a replay: 401, logged, without effect."""
    async with on_slack(tmp_path) as chat:
        body = command_form(chat, chat.alice, "/note", "forged", "1.2.a")
        other = command_form(chat, chat.alice, "/note", "other", "1.2.b")
        with capture_logs() as logged:
            assert await chat.posts(body, secret="shh2") == [401]
            assert await chat.posts(body, secret="") == [401]
            assert await chat.posts(body, ago=301) == [401]
            assert await chat.posts(body, ago=-302) == [401]
            for name in ("X-Slack-Signature", "X-Slack-Request-Timestamp"):
                assert await chat.posts(body, headers={name: ""}) == [401]
            assert await chat.posts(other, signed=body) == [401]
        assert not await chat.events("incident-1", e.NoteAdded)
        refused = [entry for entry in logged if "refused" in entry["event"]]
        assert len(refused) == 7
        assert "forged" not in str(logged)
        at = time.time() - 5
        assert await chat.posts(body, at=at) == [200]
        assert await chat.posts(body, at=at) == [401]
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["forged"]


# -- 26, 37 -------------------------------------------------------------------------------------------


async def test_safety_26_elsewhere_it_does_not_join_and_says_where_to_go(tmp_path: Path) -> None:
    """Where it is no member, and where it was invited: no system is told of; what is allowed is told privately."""
    async with on_slack(tmp_path) as chat:
        channel = lunch(chat)
        for line, answer in (
            ("/scale realtime 10", "in an incident's channel or in #ops, not here"),
            ("/logs realtime", "in an incident's channel, in #ops, or to me directly"),
            ("/ack", "no incident's"),
            ("/incident list", "1 incident open"),
            ("/incident open low Lunch is late", ""),
        ):
            chat.mark()
            await chat.alice.says(line, channel)
            assert answer in chat.bot_said("alice"), line
        assert (await chat.actions(), "U0WATCHBELL" in members(chat, channel)) == (0, False)
        assert len(await chat.events("incident-2", e.IncidentOpened)) == 1
        invited = lunch(chat, bot=True, name="dinner")
        chat.mark()
        await chat.alice.says("!scale realtime 10", invited)
        await chat.bob.says("@watchbell logs realtime", invited)
        assert "not here" in chat.bot_said("alice")
        assert "to me directly" in chat.bot_said("bob")
        assert (chat.bot_said(), await chat.actions()) == ("", 0)


async def test_safety_26_a_channel_that_people_have_becomes_an_incident_s(tmp_path: Path) -> None:
    """With --here: it joins there, keeps the topic, and leaves the channel open; not where it cannot come in."""
    async with on_slack(tmp_path, opened=False) as chat:
        channel = lunch(chat)
        await chat.alice.says(HERE, channel)
        await chat.alice.says("!ack", channel)
        assert len(await chat.events("incident-1", e.Acknowledged)) == 1
        await chat.alice.says("/resolve a full disk", channel)
        await chat.alice.says("/incident close", channel)
        assert len(await chat.events("incident-1", e.Closed)) == 1
        found = next(c for c in chat.channels() if c["id"] == channel)
        assert (found["is_archived"], found["topic"]) == (False, "")
        assert not [c for c in chat.channels() if c["name"].startswith("inc-")]
        [bound] = await chat.events("incident-1", e.ChannelBound)
        assert (bound.channel, bound.borrowed) == (channel, True)
        closed = lunch(chat, private=True, name="board")
        await chat.alice.says(HERE, closed)
        [bound] = await chat.events("incident-2", e.ChannelBound)
        assert (bound.channel, bound.thread is not None) == (chat.place("#ops"), True)


async def test_safety_37_no_changes_in_direct_messages(tmp_path: Path) -> None:
    """Refused with where to go, as a message and as a slash command; reading is allowed."""
    async with on_slack(tmp_path) as chat:
        direct = (await chat.act("direct", user=chat.alice.id))["channel"]
        for line in ("/scale realtime 10", "scale realtime 10", "!restart realtime", "/undo 1"):
            chat.mark()
            await chat.alice.says(line, direct)
            said = chat.bot_said("alice")
            assert "not here" in said or "begins with /" in said, line
        assert await chat.actions() == 0
        chat.mark()
        await chat.alice.says("/pods realtime", direct)
        assert "READY" in chat.bot_said("alice")
        assert chat.bot_said() == ""


# -- 27 -----------------------------------------------------------------------------------------------


async def test_safety_27_bound_by_id_whatever_it_is_called(tmp_path: Path) -> None:
    """Renamed it stays the incident's; another channel that takes its name, or that of #ops, is nobody's."""
    async with on_slack(tmp_path) as chat:
        name = chat.channel()["name"]
        for old in (name, "ops"):
            await chat.act("renames", channel=chat.place(old), name=f"{old}-old")
            lunch(chat, bot=True, name=old)
        for _ in range(2):
            for taken in (name, "ops"):
                chat.mark()
                await chat.alice.says("/note in the wrong place", taken)
                await chat.alice.says("!scale realtime 10", taken)
                assert chat.bot_said("alice").count("not here") == 1
            await chat.restarts()
        assert (await chat.actions(), await chat.events("incident-1", e.NoteAdded)) == (0, [])
        await chat.alice.says("/note in the right place")
        await chat.alice.says("!scale realtime 10", "ops-old")
        await chat.bob.reacts(chat.card())
        await chat.waits(60)
        assert chat.ran == {1: 1}
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["in the right place"]
        assert not [m for m in chat.messages(name) + chat.messages("ops") if m["user"] == "U0WATCHBELL"]


async def test_safety_27_an_archived_channel_holds_nothing_up(tmp_path: Path) -> None:
    """What cannot be said there is not; pages go on to the people, and once it is back it is the incident's."""
    async with on_slack(tmp_path) as chat:
        await chat.act("archives", channel=chat.place())
        chat.mark()
        await chat.waits(1800)
        assert "INC-1" in chat.bot_said("carol")
        await chat.act("archives", channel=chat.place(), archived=False)
        await chat.alice.says("!note back again")
        assert len(await chat.events("incident-1", e.NoteAdded)) == 1


async def test_safety_27_a_closed_incident_opens_again_in_a_thread(tmp_path: Path) -> None:
    """Slack lets no bot unarchive: it goes on in a thread of #ops, where commands and answers stay together."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/resolve a full disk")
        await chat.alice.says("/incident close")
        assert chat.channel()["is_archived"]
        await chat.bob.says("/incident reopen it is back incident=1", "#ops")
        bound = (await chat.events("incident-1", e.ChannelBound))[-1]
        assert (bound.channel, bound.thread is not None) == (chat.place("#ops"), True)
        assert "Slack lets no bot bring" in chat.newest(containing="lives in this thread")["text"]
        await chat.bob.says("!note in the thread", "#ops", bound.thread)
        words = await chat.carol.says("and some words", "#ops", bound.thread)
        await chat.act("edits", user=chat.carol.id, channel=bound.channel, ts=words, text="other words")
        await chat.bob.reacts({"channel": bound.channel, "ts": words}, PIN)
        assert [edit.text for edit in await chat.events("chat-1", e.MessageEdited)] == ["other words"]
        assert [p.message_id for p in await chat.events("incident-1", e.MessagePinned)] == [words]
        await chat.bob.presses("Acknowledge", chat.newest(button="Acknowledge"))
        assert (await chat.events("incident-1", e.Acknowledged))[-1].actor == "bob"
        await chat.bob.says("!scale realtime 10", "#ops", bound.thread)
        card = chat.card()
        assert (card["channel"], card["thread_ts"]) == (bound.channel, bound.thread)
        await chat.carol.reacts(card)
        await chat.waits(60)
        assert chat.ran == {1: 1}
        assert [n.text for n in await chat.events("incident-1", e.NoteAdded)] == ["in the thread"]
        assert "and some words" in (await chat.written()).values()


# -- 29 -----------------------------------------------------------------------------------------------


# -- forms, App Home, shortcuts, files ------------------------------------------------------------------


@pytest.mark.parametrize("socket", [False, True])
async def test_safety_16_forms_are_lines_of_the_one_grammar(tmp_path: Path, socket: bool) -> None:
    """Open, update, resolve: what cannot be read is said beside its field; what was typed is what is recorded."""
    async with on_slack(tmp_path, socket=socket, opened=False) as chat:
        await chat.act("shortcut", user=chat.alice.id, callback_id="open_incident")
        typed = 'Redis "is down" --private `$(reboot)`'
        wrong = await chat.alice.fills_in(title=typed, severity="critical", since="soon", service="realtime")
        assert list(wrong) == ["since"]
        assert await chat.alice.fills_in(title=typed, severity="critical", since="40m") == {}
        assert chat.views(chat.alice)["modal"] is None
        chat.number = 1
        [opened] = await chat.events("incident-1", e.IncidentOpened)
        assert (opened.title, opened.severity, opened.private, opened.actor) == (
            typed,
            "critical",
            False,
            "alice",
        )
        await chat.alice.says("/update")
        await chat.alice.fills_in(text="—eta=5m is no option & <b>", eta="30m")
        [update] = await chat.events("incident-1", e.Updated)
        assert update.text == "—eta=5m is no option & <b>"
        assert len(await chat.events("incident-1", e.EtaSet)) == 1
        await chat.alice.says("/resolve")
        assert not await chat.events("incident-1", e.Resolved)
        await chat.alice.fills_in(text="a disk")
        assert [r.actor for r in await chat.events("incident-1", e.Resolved)] == ["alice"]


async def test_safety_22_forms_are_for_those_who_may_fill_them_in(tmp_path: Path) -> None:
    """A guest gets none; who became one while it was open, and who has no role, is refused when it is sent."""
    async with on_slack(tmp_path) as chat:
        guest = chat.account("gast", is_restricted=True)
        await chat.act("joins", user=guest.id, channel=chat.place())
        await guest.says("/update")
        assert chat.views(guest)["modal"] is None
        for somebody, why in ((chat.bob, "You are a guest here"), (chat.mallory, "You have no role here")):
            await somebody.says("/update")
            if somebody is chat.bob:
                await chat.act("changes", user=somebody.id, is_restricted=True)
            chat.mark()
            await somebody.fills_in(text="not mine to send")
            assert why in chat.bot_said(somebody.name)
        assert not await chat.events("incident-1", e.Updated)


async def test_safety_35_the_app_home_shows_and_approves(tmp_path: Path) -> None:
    """One's incidents, what waits for one's vote, who is on call; a vote there counts once, the requester's not."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 0")
        await chat.alice.says("/incident open low Somebody is leaving --private", "#ops")
        for person, sees in ((chat.bob, True), (chat.alice, False), (chat.mallory, False)):
            await chat.act("home", user=person.id)
            home = json.dumps(chat.views(person)["home"], ensure_ascii=False)
            assert ("#1" in home and "Approve" in home) == sees, person.name
            assert ("Redis is down" in home) == (person is not chat.mallory)
            assert ("Somebody is leaving" in home) == (person is chat.alice), person.name
        zoe = chat.account("zoe")
        await chat.act("home", user=zoe.id)
        assert "I do not know you" in str(chat.views(zoe)["home"])
        view = chat.views(chat.bob)["home"]["id"]
        for _ in range(2):
            await chat.act("presses", user=chat.bob.id, view_id=view, label="Approve")
        await chat.waits(60)
        assert ((await chat.action()).approvals, chat.ran) == (("bob",), {})
        await chat.carol.reacts(chat.card())
        await chat.waits(60)
        assert chat.ran == {1: 1}


async def test_safety_38_pins_and_shortcuts_put_a_message_on_the_timeline(tmp_path: Path) -> None:
    """By 📌, by pinning, by the message's shortcut; not by somebody without the role; once, until it is taken off."""
    async with on_slack(tmp_path) as chat:
        message = await chat.carol.says("the disk is full")
        await chat.grace.reacts(message, PIN)
        asked = {"channel": chat.place(), "ts": message}
        await chat.act("shortcut", user=chat.mallory.id, callback_id="add_to_timeline", **asked)
        assert not await chat.events("incident-1", e.MessagePinned)
        await chat.act("shortcut", user=chat.bob.id, callback_id="add_to_timeline", **asked)
        await chat.act("pins", user=chat.bob.id, **asked)
        await chat.bob.reacts(message, PIN)
        pinned = await chat.events("incident-1", e.MessagePinned)
        assert {(p.message_id, p.author, p.text) for p in pinned} == {(message, "carol", "the disk is full")}
        assert (await chat.export("csv")).count(b"the disk is full") == 1


async def test_safety_19_files_of_people_are_in_the_export(tmp_path: Path) -> None:
    """Names that mean something to a file system mean nothing; what is gone is listed as such."""
    async with on_slack(tmp_path) as chat:
        data = b"\x00\x01 a screenshot"
        files = [file("..;$(reboot) <b>.png", data), file("log.txt", b"line")]
        await chat.carol.says("look at this", files=files)
        packed = zipfile.ZipFile(BytesIO(await chat.export("zip")))
        found = {name: packed.read(name) for name in packed.namelist()}
        assert data in found.values()
        assert b"line" in found.values()
        assert not [name for name in found if ".." in name or name.startswith("/")]
        await chat.act("faults", kinds=["error:file_not_found"], methods=["files.info"])
        packed = zipfile.ZipFile(BytesIO(await chat.export("zip")))
        assert any("not-fetched" in name for name in packed.namelist())
