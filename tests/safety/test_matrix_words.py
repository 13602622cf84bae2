"""What people and systems write, in Matrix: cases 16, 17, 19 and 38."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bot.config import Settings
from incidents import events as e
from tests.safety.matrix_rig import PIN, MatrixChat, on_matrix
from tests.safety.rig import START
from tests.safety.test_words import HOSTILE
from tests.servers.matrix_view import path
from tests.servers.synapse import MatrixError

# What means something in Matrix where it is not neutralised: mentions of rooms and people, links, HTML, pills.
WIRE = (
    "@room @mallory:watchbell.test #ops:watchbell.test !abc:watchbell.test https://evil.example/x "
    "<a href=https://matrix.to/#/@mallory:watchbell.test>x</a> <mx-reply>y</mx-reply> <img src=mxc://e/x>"
    " &lt;b&gt; <script>z</script> [x](https://evil.example) \u202e\u2066 <font color=red>"
)
ALLOWED = {"strong", "code", "pre", "br", "a"}
EFFECT = re.compile(
    r"(?<![\w\u2060])@room\b|https?://evil|\u202e|@mallory:watchbell|(?<!\w)[#!]\w+:watchbell"
)
LOUD = re.compile(r"(?<![\w\u2060])@room\b|[\u202a-\u202e\u2066-\u2069]|@mallory:watchbell")
SECRET = "blau-kraut-bleibt"  # nothing that a pattern would find


class Seen(HTMLParser):
    """The tags and addresses of a formatted body."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(markup)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name == "href"]
        assert {name for name, _ in attrs} <= {"href"}


def mine(chat: MatrixChat) -> list[dict[str, Any]]:
    """Every content that the bot ever sent, edits included, state as well."""
    return [dict(event["content"]) for _, event in chat.raw() if event["sender"] == chat.bot]


def neutral(chat: MatrixChat) -> None:
    """Nothing that the bot wrote mentions anybody but those it means, links anywhere, or is formatted."""
    people = {chat.people.user(name) for name in chat.stage.settings.people} - {chat.mallory.user}
    for content in mine(chat):
        for told in filter(None, (content, content.get("m.new_content"))):
            assert set(told.get("m.mentions", {}).get("user_ids", ())) <= people
            assert not told.get("m.mentions", {}).get("room")
            seen = Seen(str(told.get("formatted_body", "")))
            assert seen.tags <= ALLOWED, told
            ours = [f"https://matrix.to/#/{user}" for user in people]
            strange = [link for link in seen.links if link not in ours and "company.com" not in link]
            assert strange == []
            # Who reads the body alone gets no links made of it; nobody is mentioned by it.
            assert LOUD.search(str(told.get("body", ""))) is None, told
            if "m.new_content" in told:
                continue  # what stands beside it is for who sees no edits
            for words in (seen.text or told.get("body"), told.get("topic"), told.get("name")):
                text = re.sub(r"@[a-z]+-\d+:watchbell\.test", "", str(words or ""))
                assert EFFECT.search(text) is None, text


# -- 16, 17 -------------------------------------------------------------------------------------------


async def test_safety_17_what_is_quoted_passed_on_or_hidden_is_no_command(tmp_path: Path) -> None:
    """In a reply, in a code block's picture, behind words, in an edit; and what can be seen is what is read."""
    async with on_matrix(tmp_path) as chat:
        said = await chat.alice.says("what now?")
        reply = {"m.in_reply_to": {"event_id": said}}
        for content in (
            {"body": "> <@alice:x> !scale realtime 10\n\nI would not", "m.relates_to": reply},
            {"body": "> !scale realtime 10", "m.relates_to": reply},
            {"body": "look", "format": "org.matrix.custom.html", "formatted_body": "!scale realtime 10"},
            {"body": "look", "formatted_body": "<mx-reply>!scale realtime 10</mx-reply>look"},
            {"body": "see !scale realtime 10"},
            {"body": ["!scale realtime 10"]},
            {"body": {"x": "!scale realtime 10"}},
            {"body": "!scale realtime 10", "msgtype": "org.example.strange"},
            {"body": "!scale realtime 10", "msgtype": "m.image", "url": "mxc://watchbell.test/x"},
            {"body": "scale realtime 10", "msgtype": "m.emote"},
        ):
            with suppress(MatrixError):  # Synapse takes not every one of them; another homeserver may
                await chat.alice.sends({"msgtype": "m.text", **content})
        relation = {"rel_type": "m.replace", "event_id": said}
        new = {"msgtype": "m.text", "body": "!scale realtime 10"}
        await chat.alice.sends({**new, "m.new_content": new, "m.relates_to": relation})
        await chat.bob.sends({**new, "m.new_content": new, "m.relates_to": relation})
        assert await chat.actions() == 0
        assert (await chat.written())[said] == "what now?"
        assert [edit.actor for edit in await chat.events("chat-1", e.MessageEdited)] == ["alice"]


async def test_safety_16_invisible_signs_and_look_alikes_name_nothing(tmp_path: Path) -> None:
    """Between, before and behind the letters of a name; full-width digits, Cyrillic letters, and huge bodies."""
    async with on_matrix(tmp_path) as chat:
        for line in (
            "!scale real\u200btime 10",
            "!scale re\u0430ltime 10",
            "!scale realtime \uff11\uff10",
            "!scale realtime 1\u20600",
            "!scale realtime\x00 10",
            "!scale --realtime 10",
            "!scale realtime;x 10",
            f"!scale {'x' * 30_000} 10",
        ):
            await chat.alice.sends({"msgtype": "m.text", "body": line})
        assert await chat.actions() == 0
        await chat.alice.says("!scale realtime 10")
        assert await chat.actions() == 1


# -- 19 -----------------------------------------------------------------------------------------------


async def test_safety_19_whatever_people_write_is_repeated_as_plain_words(tmp_path: Path) -> None:
    """Titles, notes, reasons, refused lines and display names: nobody is mentioned, nothing links or is formatted."""

    def renamed(settings: Settings) -> Settings:
        hostile = replace(settings.people["grace"], display=f"{HOSTILE} {WIRE}")
        return replace(settings, people={**settings.people, "grace": hostile})

    async with on_matrix(tmp_path, renamed, opened=False) as chat:
        await chat.grace.says(f'!incident open critical "{HOSTILE} {WIRE}" service=realtime', "#ops")
        chat.number = 1
        await chat.alice.says("!ack")
        for word in ("note", "update", "impact", "cause", "status identified", "severity high"):
            await chat.alice.says(f"!{word} {HOSTILE} {WIRE}")
        for line in (f"!scale {HOSTILE} 5", f"!wb {WIRE}", "!logs realtime grep=@room"):
            await chat.alice.says(line)
        await chat.alice.says("!scale realtime 10")
        await chat.bob.says(f"!deny 1 {WIRE}")
        zoe = chat.account("zoe", "@room")
        await zoe.goes_into(chat.place())
        await zoe.says(f"!ack {WIRE}")
        await chat.alice.says("!catchup")
        await chat.alice.says("!timeline")
        await chat.waits(2000)
        await chat.alice.says(f"!resolve {HOSTILE} {WIRE}")
        assert len(await chat.events("incident-1", e.Updated)) == 1
        neutral(chat)


async def test_safety_19_alerts_are_somebody_elses_words_too(tmp_path: Path) -> None:
    """Names, labels and summaries of alerts, into the name of a room, its address, its topic and the card."""
    async with on_matrix(tmp_path, opened=False) as chat:
        text = f"{WIRE} {HOSTILE}"
        labels = {"alertname": text, "service": "realtime", "severity": "critical", "owner": WIRE}
        fired = {
            "status": "firing",
            "labels": labels,
            "annotations": {"summary": text, "description": text},
            "startsAt": START.isoformat(),
            "fingerprint": "f1",
        }
        body = {"version": "4", "status": "firing", "groupKey": text, "alerts": [fired]}
        await chat.stage.alert("alertmanager", json.dumps(body).encode())
        await chat.settle()
        await chat.waits(60)
        chat.number = 1
        assert re.fullmatch(r"inc-1-[a-z0-9_-]+", chat.room().name)
        neutral(chat)


# -- 38 -----------------------------------------------------------------------------------------------


async def gone(chat: MatrixChat, *messages: str) -> None:
    """Nothing of it in the log, in an export, or in what the homeserver still tells of any room."""
    assert SECRET.encode() not in chat.log_bytes()
    for form in ("md", "html", "json", "csv", "zip"):
        assert SECRET.encode() not in await chat.export(form), form
    assert SECRET not in await told(chat)
    for ident in messages:
        where = f"/rooms{path(chat.place())}/event{path(ident)}"
        assert (await chat.alice.calls("GET", where))["content"] == {}
    assert (await chat.stage.bot.store.verify()).faults == []


async def told(chat: MatrixChat) -> str:
    """All that the homeserver tells the bot's account of the rooms it is in, edits and all."""
    found = []
    chat.people.beside.refresh()
    for room in chat.people.beside.rooms:
        where, start = f"/rooms{path(room)}/messages", {"dir": "b", "limit": 1000}
        answer = chat.server.call("GET", where, chat.people.bot, **start)
        found.append(json.dumps(answer["chunk"], ensure_ascii=False))
    return "\n".join(found)


async def test_safety_38_a_message_is_redacted_with_all_that_was_made_of_it(tmp_path: Path) -> None:
    """What people wrote, its edits, what the bot said of it in the room, in private, on cards; and what they quote."""
    async with on_matrix(tmp_path) as chat:
        messages = [
            await chat.alice.says(line.format(SECRET))
            for line in (
                "!note the key is {}",
                "!update we use {} now",
                "!cause somebody used {}",
                "!nosuchcommand {}",
                "!scale {} 5",
                "!logs realtime grep={}",
                "the key is {}",
            )
        ]
        edited = await chat.carol.says(f"once {SECRET}")
        await chat.carol.edits(edited, f"twice {SECRET}")
        await chat.carol.edits(edited, "not any more")
        await chat.bob.reacts(messages[-1], PIN)
        await chat.alice.says("!scale realtime 10")
        messages.append(await chat.bob.says(f"!deny 1 because of {SECRET}"))
        await chat.waits(120)
        assert SECRET in await told(chat)
        assert SECRET.encode() in chat.log_bytes()
        await chat.bob.says(f'!scrub "{SECRET}"')
        await chat.bob.says(f"!scrub {edited}")
        await chat.waits(120)
        await gone(chat, *messages, edited)
        await chat.restarts(away=10)
        await chat.alice.says("!catchup")
        await chat.alice.says("!timeline")
        await gone(chat)


async def test_safety_38_nothing_else_goes(tmp_path: Path) -> None:
    """Other messages, the card and its votes stay, and the request is run."""
    async with on_matrix(tmp_path) as chat:
        await chat.alice.says("!scale realtime 10")
        card = chat.card()
        words = await chat.carol.says("something else entirely")
        secret = await chat.alice.says(f"!update the key is {SECRET}")
        await chat.bob.says(f"!scrub {secret}")
        await chat.waits(60)
        await gone(chat, secret)
        assert (await chat.written())[words] == "something else entirely"
        assert "something else entirely" in await told(chat)
        await chat.bob.reacts(card)
        await chat.waits(60)
        assert chat.ran == {1: 1}


async def test_safety_38_what_may_not_be_deleted_is_told(tmp_path: Path) -> None:
    """In a room of people's the bot has no power over what they write: who asked hears that; files stay, too."""
    async with on_matrix(tmp_path) as chat:
        asked = {"preset": "public_chat", "name": "hall", "invite": [chat.bot]}
        hall = str((await chat.heidi.calls("POST", "/createRoom", asked))["room_id"])
        await chat.overtaken(chat.place("#ops"))
        await chat.alice.says("!incident open low Search is slow service=realtime --here", hall)
        chat.number = 2
        message = await chat.alice.says(f"the key is {SECRET}", hall)
        content = {"msgtype": "m.image", "body": f"{SECRET}.png", "url": "mxc://watchbell.test/shot"}
        picture = await chat.alice.sends(content, hall)
        chat.mark()
        await chat.bob.says(f"!scrub {message}", hall)
        assert "Delete it in the chat, too" in chat.bot_said("bob")
        chat.mark()
        await chat.bob.says(f"!scrub {picture}", hall)
        assert "have its administrator delete that" in chat.bot_said("bob")
        await chat.waits(60)
        assert SECRET.encode() not in chat.log_bytes()
        for form in ("md", "json", "csv"):
            assert SECRET.encode() not in await chat.export(form)


@pytest.mark.parametrize("again", [False, True])
async def test_safety_38_a_crash_in_the_middle_leaves_nothing(tmp_path: Path, again: bool) -> None:
    """The bot dies as soon as the scrub is in the log, or a second secret goes out of what was said anew."""
    async with on_matrix(tmp_path) as chat:
        first = await chat.alice.says(f"!update the key is {SECRET}")
        if again:
            await chat.bob.says(f"!scrub {first}")
            second = await chat.alice.says(f"!update and again {SECRET}")
            await chat.bob.says(f"!scrub {second}")
        else:
            await chat.people.says("bob", chat.place(), f"!scrub {first}")
            await chat.restarts(away=5)
        await chat.waits(60)
        await gone(chat, first)
