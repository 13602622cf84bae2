"""Matrix's markup, contents and events, without Matrix: nothing from outside acts, and a tap is what was seen."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Button, Content
from bot.platforms import matrix_decode as decode
from bot.platforms.matrix_client import place
from bot.platforms.matrix_content import (
    BUTTONS,
    LARGEST,
    MARK,
    RETIRED,
    Taps,
    is_tap,
    numbered,
    related,
    replacing,
    shown,
    size,
    taps_of,
)
from bot.platforms.matrix_events import current, key_of, root_of, transaction
from bot.platforms.matrix_text import MatrixMarks, addressed, formatted, pills, plain, without_quote
from bot.platforms.matrix_text import decode as read

ALICE, BOB, BOT = "@alice:hs.test", "@bob:hs.test", "@watchbell:hs.test"
PEOPLE = {ALICE: "alice", BOB: "bob"}
marks = MatrixMarks(ZoneInfo("Europe/Berlin"), PEOPLE)
AT = datetime(2026, 1, 3, 1, 45, tzinfo=UTC)
# What clients make something of, and what people try.
HOSTILE = st.sampled_from(
    [
        "<script>",
        "</code></pre>",
        '<a href="https://matrix.to/#/@alice:hs.test">x</a>',
        "@room ",
        "@alice:hs.test",
        "#ops:hs.test",
        "!id:hs.test",
        "&lt;b&gt;",
        "https://evil.example/x",
        "mxc://hs.test/x",
        '" onclick="',
        "```",
        "\u202e",
        "\u2060",
        "\n> quote",
        " ",
        "a",
        "🔔",
    ]
)
OUTSIDE = st.lists(HOSTILE | st.text(max_size=6), max_size=12).map("".join)


class Tags(HTMLParser):
    """The elements and the text of a piece of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def tags_of(markup: str) -> Tags:
    found = Tags()
    found.feed(markup)
    found.close()
    return found


# -- out ------------------------------------------------------------------------------------------


@given(OUTSIDE)
def test_outside_text_makes_no_markup(text: str) -> None:
    """SAFETY 19: no element, mention, alias or link, and no character that hides or reorders."""
    told = marks.escape(text)
    found = tags_of(told)
    assert found.tags == []
    assert not set(told) & set("<>`\u202e\u200b\r\t\x00")
    assert not re.search(r"&(?!amp;)", told)
    assert not re.search(r"@\w", found.text)
    assert "://" not in found.text
    assert not re.search(r"[#!][^\s:\u2060]+:\w", found.text)


@given(OUTSIDE)
def test_outside_text_stays_in_its_element(text: str) -> None:
    """SAFETY 19: what is bold or in a block does not get out of it."""
    told = formatted(marks.bold(marks.escape(text)) + "\n" + marks.code(marks.escape(text)))
    assert set(tags_of(told).tags) <= {"strong", "pre", "code", "br"}
    assert tags_of(told).tags.count("pre") == 1


@given(st.text(alphabet="abcdefgh ÄÖ日本.,;%()[]/+-='\"\n0123456789🔔&#!*_~", max_size=300))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """What has no meaning on Matrix is shown character by character."""
    shown_text = plain(formatted(marks.escape(text))).replace("\u2060", "")
    assert shown_text == text.strip("\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<b>", "‹b›"),
        ("R&D", "R&amp;D"),
        ("@alice", "@\u2060alice"),
        ("http://x", "http:\u2060//x"),
        ("#ops:hs.test", "#\u2060ops:hs.test"),
        ("INC #42: down", "INC #42: down"),
        ("*.log", "*.log"),
    ],
)
def test_escape(text: str, told: str) -> None:
    assert marks.escape(text) == told


def test_marks() -> None:
    """A pill for people with an account, times in the team's zone, links only to the web."""
    assert marks.mention("alice") == '<a href="https://matrix.to/#/@alice:hs.test">@alice</a>'
    assert marks.mention("<carol>") == "‹carol›"
    assert (marks.time(AT, "clock"), marks.time(AT, "date")) == ("02:45 CET", "3 Jan 02:45 CET")
    assert marks.code("\na\nb\n") == "<pre><code>a\nb</code></pre>"
    assert marks.bold("one\n\n two ") == "<strong>one</strong>\n\n<strong>two</strong>"
    url = "https://run.example/a?b=1&amp;c=2"
    assert marks.link(url) == f'<a href="{url}">{url}</a>'
    assert marks.link("javascript:alert(1)") == "javascript:alert(1)"
    assert marks.link('https://x" onclick="y') == 'https://x" onclick="y'


def test_line_ends_become_breaks_but_not_in_blocks() -> None:
    told = formatted("a\nb\n<pre><code>c\nd</code></pre>\ne")
    assert told == "a<br/>b<pre><code>c\nd</code></pre>e"
    assert plain(told) == "a\nb\nc\nd\ne"


# -- contents -------------------------------------------------------------------------------------


def test_a_page_is_text_and_the_rest_a_notice() -> None:
    """Clients are silent at m.notice, so who is paged gets m.text, and is mentioned for real."""
    page = shown(Content("<strong>x</strong>", "x", mentions=("alice",)), key="k", mentioned=[ALICE]).content
    assert (page["msgtype"], page["m.mentions"]) == ("m.text", {"user_ids": [ALICE]})
    assert (page["body"], page["formatted_body"]) == ("x", "<strong>x</strong>")
    note = shown(Content("x", "x", card="incident"), key="k").content
    assert (note["msgtype"], note["m.mentions"], note[MARK]) == (
        "m.notice",
        {},
        {"key": "k", "card": "incident"},
    )
    assert "formatted_body" not in note
    assert shown(Content("x", "x"), loud=True).content["msgtype"] == "m.text"


def test_buttons_are_numbered_and_can_be_typed() -> None:
    what = shown(Content("card", "card", (Button("Acknowledge", "/ack", "primary"), Button("Go <on>", "/x"))))
    assert what.content["body"] == "card\n1️⃣ Acknowledge (!ack) · 2️⃣ Go <on> (!x)"
    assert "Go &lt;on&gt; (<code>!x</code>)" in what.content["formatted_body"]
    assert what.content[BUTTONS][0] == {
        "label": "Acknowledge",
        "value": "/ack",
        "style": "primary",
        "emoji": "1️⃣",
    }
    assert what.taps.seeds == ("1️⃣", "2️⃣")
    assert is_tap("1\u20e3")
    assert not is_tap("1")


def test_a_tap_on_what_somebody_still_sees_is_never_another_button() -> None:
    """Buttons keep their numbers over edits; what an edit took away still is what it was."""
    first = numbered((Button("Acknowledge", "/ack"), Button("Update", "/update")), Taps())
    after = numbered((Button("Resolve", "/resolve"), Button("Update", "/update")), first)
    assert [(tap.value, tap.emoji) for tap in after.shown] == [("/resolve", "3️⃣"), ("/update", "2️⃣")]
    pressed = [after.pressed(emoji) for emoji in ("1️⃣", "2⃣", "3️⃣", "4️⃣")]
    assert [tap.value if tap else None for tap in pressed] == ["/ack", "/update", "/resolve", None]
    content = shown(Content("x", "x", (Button("Resolve", "/resolve"),)), before=first).content
    assert taps_of(content).pressed("1️⃣") is not None
    assert {tap["value"] for tap in content[RETIRED]} == {"/ack", "/update"}


@given(st.lists(st.lists(st.sampled_from("abcdefghijklmno"), max_size=7, unique=True), max_size=8))
def test_no_number_ever_means_two_things(edits: list[list[str]]) -> None:
    """However often a card is edited; when the numbers run out, further buttons are typed."""
    meant: dict[str, str] = {}
    taps = Taps()
    for values in edits:
        taps = numbered([Button(value, value) for value in values], taps)
        assert [tap.value for tap in taps.shown] == values
        for tap in taps.shown:
            if tap.emoji:
                assert meant.setdefault(tap.emoji, tap.value) == tap.value


@pytest.mark.parametrize("found", [None, "x", [1], [{"value": 3}], {"value": "x"}])
def test_malformed_buttons_are_none(found: object) -> None:
    assert taps_of({BUTTONS: found}) == Taps()


def test_what_is_too_long_is_cut_and_kept_whole() -> None:
    what = shown(Content("y" * 50_000, "y" * 50_000, (Button("Go", "/go"),)), key="k")
    assert size(what.content) < LARGEST
    assert what.content["body"].endswith("…\n1️⃣ Go (!go)")
    assert what.whole == b"y" * 50_000


def test_relations() -> None:
    """A thread with a reply for other clients; an edit that mentions nobody anew."""
    content = related({"body": "x"}, "$root")
    assert root_of({"content": content}) == "$root"
    assert content["m.relates_to"]["is_falling_back"] is True
    edit = replacing("$m", shown(Content("x", "x", mentions=("alice",)), mentioned=[ALICE]).content)
    assert edit["m.mentions"] == {}
    assert edit["m.new_content"]["m.mentions"] == {"user_ids": [ALICE]}
    assert edit["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$m"}


def test_keys_are_transactions_and_paths_are_quoted() -> None:
    assert transaction("wb-1") == transaction("wb-1") != transaction("wb-2")
    assert re.fullmatch(r"wb-[0-9a-f]{40}", transaction("wb-answer-$x/../y"))
    assert place("/v3", "rooms", "!a/b:hs", "state", "") == "/v3/rooms/%21a%2Fb%3Ahs/state/"
    asked = place("/v3", query={"a": None, "b": {"c": 1}, "d": "e f"})
    assert asked == "/v3?b=%7B%22c%22%3A+1%7D&d=e+f"


# -- in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "markup", "text"),
    [
        ("hello", "", "hello"),
        (
            "assign Alice A and Bob",
            (
                'assign <a href="https://matrix.to/#/@alice:hs.test">Alice A</a> and '
                '<a href="https://matrix.to/#/%40bob%3Ahs.test">Bob</a>'
            ),
            "assign @alice and @bob",
        ),
        ("@Eve hi", '<a href="https://matrix.to/#/@eve:hs.test">@Eve</a> hi', "@Eve hi"),
        ("@alice:hs.test, look", "", "@alice, look"),
        ("mail @alice:hs.test.", "", "mail @alice."),
        ("@alice:hs.test.evil.example", "", "@alice:hs.test.evil.example"),
        ("[Alice](https://matrix.to/#/@alice:hs.test) hi", "", "@alice hi"),
        ("Watchbell: help", "", "@watchbell help"),
        ("@Watchbell help", "", "@watchbell help"),
        ("watchbell is slow", "", "watchbell is slow"),
        ("@watchbell:hs.test: help", "", "@watchbell help"),
        ("@watchbell:hs.test help", "", "@watchbell help"),
        (
            "Watchbell help",
            '<a href="https://matrix.to/#/@watchbell:hs.test">Watchbell</a> help',
            "@watchbell help",
        ),
        ("/ack now", "", "/ack now"),
        ("!ack", "", "!ack"),
        ("日本語 🔔 עברית “smart”", "", "日本語 🔔 עברית “smart”"),
        ("", "", ""),
    ],
)
def test_text_in(body: str, markup: str, text: str) -> None:
    assert read(body, markup, PEOPLE, BOT, ("Watchbell",)) == text


@given(OUTSIDE, OUTSIDE)
def test_reading_raises_nothing(body: str, markup: str) -> None:
    told = read(body, markup + '<a href="https://matrix.to/#/@alice:hs.test">', PEOPLE, BOT, ("W",))
    assert isinstance(told, str)
    assert all(len(pair) == 2 for pair in pills(markup))


def test_quotes_of_replies_are_left_out() -> None:
    assert without_quote("> <@bob:hs.test> !approve 7\n> more\n\n!ack") == "!ack"
    assert without_quote("!ack\n> not a quote") == "!ack\n> not a quote"
    assert pills('<mx-reply><a href="https://matrix.to/#/@bob:hs.test">b</a></mx-reply>x') == []
    assert addressed("> x", ("x",)) == "> x"


def reading(**changes: Any) -> decode.Reading:
    told: dict[str, Any] = {
        "people": PEOPLE,
        "bot": BOT,
        "names": ("Watchbell",),
        "directs": {"!dm:hs"},
        "barred": lambda user: "" if user.endswith(":hs.test") else "an account of another homeserver",
        "now": 1_000.0,
    }
    return decode.Reading(**{**told, **changes})


def event(content: dict[str, Any], **changes: Any) -> dict[str, Any]:
    told = {
        "type": "m.room.message",
        "event_id": "$e",
        "sender": ALICE,
        "origin_server_ts": 990_000,
        "content": content,
        "unsigned": {"age": 7_000},
    }
    return {**told, **changes}


def test_a_message_is_a_request() -> None:
    """Its age is the homeserver's own account of it, else the clock's, and never below nothing."""
    content = {
        "msgtype": "m.text",
        "body": "!ack",
        "m.relates_to": {"rel_type": "m.thread", "event_id": "$r"},
    }
    made = decode.message(event(content), "!r:hs", reading())
    assert made is not None
    assert (made.event_id, made.message_id, made.thread, made.user) == ("$e", "$e", "$r", ALICE)
    assert (made.text, made.age, made.direct, made.barred) == ("!ack", 7.0, False, "")
    assert decode.age(event({}, unsigned={}), 1_000.0) == 10.0
    assert decode.age(event({}, unsigned={"age": -5}), 1_000.0) == 0.0
    assert decode.age(event({}, unsigned={}), 900.0) == 0.0
    direct = decode.message(event(content), "!dm:hs", reading())
    assert direct is not None
    assert direct.direct


@pytest.mark.parametrize(
    ("sender", "content", "why", "barred"),
    [
        ("@alice:other.test", {"msgtype": "m.text"}, "", "an account of another homeserver"),
        (ALICE, {"msgtype": "m.notice"}, "", "a bot"),
        (ALICE, {"msgtype": "m.text"}, decode.IN_THE_CLEAR, decode.IN_THE_CLEAR),
        (ALICE, {"msgtype": "m.text"}, "", ""),
    ],
)
def test_who_may_not(sender: str, content: dict[str, Any], why: str, barred: str) -> None:
    """SAFETY 22, 23: other homeservers, bots, and what is written in the clear in an encrypted room."""
    made = decode.message(event({**content, "body": "!ack"}, sender=sender), "!r", reading(), why)
    assert made is not None
    assert made.barred == barred


def test_an_emote_is_no_command() -> None:
    made = decode.message(event({"msgtype": "m.emote", "body": "/ack"}), "!r", reading())
    assert made is not None
    assert made.text == "* /ack"


def test_files() -> None:
    """A caption is text, a file's name alone is none; an encrypted file is found by its event."""
    whole = {"msgtype": "m.file", "body": "see", "filename": "a.log", "url": "mxc://hs/1"}
    made = decode.message(event(whole), "!r", reading())
    assert made is not None
    assert (made.text, made.files, made.file_ids) == ("see", ("a.log",), ("mxc://hs/1",))
    bare = decode.message(
        event({"msgtype": "m.image", "body": "a.png", "url": "mxc://hs/2"}), "!r", reading()
    )
    assert bare is not None
    assert (bare.text, bare.files) == ("", ("a.png",))
    sealed = {"msgtype": "m.file", "body": "a", "filename": "a", "file": {"url": "mxc://hs/3"}}
    hidden = decode.message(event(sealed), "!r", reading())
    assert hidden is not None
    assert hidden.file_ids == ("!r $e",)
    assert decode.file_of(event(sealed)) == ("mxc://hs/3", {"url": "mxc://hs/3"})


@pytest.mark.parametrize(
    "found",
    [
        event({}),
        event({"msgtype": "m.text"}),
        event({"msgtype": "m.key.verification.request", "body": "x"}),
        event({"msgtype": "m.text", "body": "x"}, unsigned={"redacted_because": {}}),
        event({"msgtype": "m.text", "body": 3}),
    ],
)
def test_what_nobody_said_is_nothing(found: dict[str, Any]) -> None:
    assert decode.message(found, "!r", reading()) is None


def test_reactions_edits_and_deletions() -> None:
    relation = {"rel_type": "m.annotation", "event_id": "$m", "key": "✅"}
    added = decode.reaction(event({"m.relates_to": relation}), "!r", reading())
    assert added is not None
    assert (added.message_id, added.emoji, added.added, added.event_id) == ("$m", "✅", True, "$e")
    assert decode.reaction(event({"m.relates_to": {**relation, "key": 1}}), "!r", reading()) is None
    assert decode.reaction(event({"m.relates_to": []}), "!r", reading()) is None
    new = {"m.new_content": {"msgtype": "m.text", "body": "now @bob:hs.test"}}
    edited = decode.edit(event({**new, "m.relates_to": {"event_id": "$m"}}), "!r", reading())
    assert edited is not None
    assert (edited.message_id, edited.text) == ("$m", "now @bob")
    for found in (event({"redacts": "$m"}), event({}, redacts="$m")):  # version 11 of rooms, and before
        assert decode.deletion(found, "!r", reading()).message_id == "$m"


def test_what_a_message_shows_is_its_authors_newest_edit() -> None:
    edit = {"sender": BOT, "content": {"m.new_content": {"body": "new"}}}
    told = event(
        {"body": "old", MARK: {"key": "k"}}, sender=BOT, unsigned={"m.relations": {"m.replace": edit}}
    )
    assert current(told) == {"body": "new"}
    assert key_of(told) == "k"
    forged = event({"body": "old"}, unsigned={"m.relations": {"m.replace": edit}})
    assert current(forged) == {"body": "old"}
    assert json.dumps(current(event({"body": "x"}))) == '{"body": "x"}'
