"""Slack's markup and blocks, without Slack: nothing from outside acts, nothing is lost, every limit holds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.chat import Button, Content, DeliveryError
from bot.platforms.slack_blocks import (
    ALL_BUTTONS,
    ALL_TEXT,
    BLOCK_ID,
    BLOCKS,
    BUTTONS,
    FALLBACK,
    LABEL,
    SECTION,
    SHORTENED,
    fallback,
    shown,
    size,
    split,
)
from bot.platforms.slack_text import SlackMarks, decode, emoji_in, emoji_out, escaped

PEOPLE = {"U1": "alice", "U2": "bob"}
BOT = "U0BOT"
marks = SlackMarks(ZoneInfo("Europe/Berlin"), PEOPLE)
AT = datetime(2026, 1, 3, 1, 45, tzinfo=UTC)

# What Slack's page "Formatting text" gives a meaning, and what people try.
HOSTILE = st.sampled_from(
    [
        "<!channel>",
        "<@U1>",
        "<https://evil.example|ok>",
        "@here ",
        "```",
        "`x`",
        "*b*",
        "_i_",
        "~s~",
        "&lt;!here&gt;",
        "&amp;",
        "https://evil.example/x",
        "\u202e",
        "\u2060",
        "\n> quote",
        " ",
        "\n",
        "a",
        "🔔",
    ]
)
OUTSIDE = st.lists(HOSTILE | st.text(max_size=6), max_size=12).map("".join)
EMPHASIS = re.compile(r"(?<!\w)([*_~])(?=\S)[^\n]*\S\1(?!\w)")


def parsed(text: str) -> str:
    """What Slack makes of escaped text: the three entities, nothing else."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


# -- out ------------------------------------------------------------------------------------------


@given(OUTSIDE)
def test_outside_text_makes_no_markup(text: str) -> None:
    """SAFETY 19: no mention, link, fence, quote or emphasis, and no character that hides or reorders."""
    told = marks.escape(text)
    assert not set(told) & set("<>`\u202e\u200b\r\t\x00")
    assert not re.search(r"&(?!amp;)", told)
    assert not re.search(r"@\w", told)
    assert "://" not in told
    assert not re.search(r"^(?:&gt;|>)", told, re.MULTILINE)
    assert not EMPHASIS.search(told)


@given(st.text(alphabet="abcdefgh ÄÖ日本.,;:%()[]/+-=#'\"\n0123456789🔔", max_size=300))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """What has no meaning in Slack is shown character by character."""
    assert marks.escape(text).replace("\u2060", "") == text


@pytest.mark.parametrize(
    "text", ["rm *.log *.txt", "*/5 * * * *", "snake_case_name", "a*b*c", "~/x", "2 * 3"]
)
def test_patterns_and_names_can_be_copied(text: str) -> None:
    """Only what Slack would show as bold, italic or struck is changed."""
    assert marks.escape(text) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<b>", "‹b›"),
        ("R&D", "R&amp;D"),
        ("a `b`", "a ʼbʼ"),
        ("@alice", "@\u2060alice"),
        ("http://x", "http:\u2060//x"),
        ("*b*", "\u2217b*"),
        ("see _this_ now", "see \u02cdthis_ now"),
        ("~$5 to ~$9", "\u223c$5 to ~$9"),
    ],
)
def test_escape(text: str, told: str) -> None:
    assert marks.escape(text) == told


def test_mentions() -> None:
    """A real one for people with a Slack account, a name for others."""
    assert marks.mention("alice") == "<@U1>"
    assert marks.mention("carol") == "carol"
    assert marks.mention("<!channel>") == "‹!channel›"


def test_times_are_told_in_the_readers_zone() -> None:
    """Slack shows the moment; what cannot show it has the team's time."""
    epoch = int(AT.timestamp())
    assert marks.time(AT, "clock") == f"<!date^{epoch}^{{time}}|02:45 CET>"
    assert marks.time(AT, "date") == f"<!date^{epoch}^{{date_short}} {{time}}|3 Jan 02:45 CET>"


def test_code_bold_and_links() -> None:
    assert marks.code("\na\nb\n") == "```\na\nb\n```"
    assert marks.bold("one\n\n two ") == "*one*\n\n*two*"
    assert marks.link("https://run.example/a?b=1&amp;c=2") == "<https://run.example/a?b=1&amp;c=2>"
    assert marks.link("https://run.example/a|b") == "https://run.example/a|b"
    assert marks.link("javascript:alert(1)") == "javascript:alert(1)"


# -- in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("a &lt;b&gt; &amp; c", "a <b> & c"),
        ("&amp;lt;", "&lt;"),
        ("<@U1> <@U2|bobby>", "@alice @bob"),
        ("<@U9> and <@U9|eve>", "@U9 and @U9"),
        ("<@U0BOT> help", "@watchbell help"),
        ("in <#C1|ops> and <#C2> and <#C3|>", "in #ops and #C2 and #C3"),
        ("<!channel> <!here> <!everyone>", "@channel @here @everyone"),
        ("<!subteam^S1|@sre> <!subteam^S2>", "@sre @S2"),
        ("<!date^1^{time}|02:45 CET>", "02:45 CET"),
        ("<https://x.example|the page>", "the page (https://x.example)"),
        ("<https://x.example>", "https://x.example"),
        ("<https://x.example|https://x.example>", "https://x.example"),
        ("<http://api.example.com|api.example.com>", "api.example.com"),
        ("<mailto:a@b.example|a@b.example> <mailto:a@b.example|Ann>", "a@b.example Ann (a@b.example)"),
        ("<https://x.example/?a=1&amp;b=2>", "https://x.example/?a=1&b=2"),
        ("日本語 🔔 עברית\r\n“smart”", "日本語 🔔 עברית\r\n“smart”"),
        ("", ""),
    ],
)
def test_decode(raw: str, text: str) -> None:
    assert decode(raw, PEOPLE, BOT) == text


@given(st.text(max_size=200))
def test_what_people_type_comes_in_as_it_is(text: str) -> None:
    """Slack escapes three characters of what is typed; reading takes exactly that back."""
    assert decode(escaped(text), PEOPLE, BOT) == text


def test_emoji() -> None:
    """Names and aliases, without skin tones; custom emoji mean nothing, and nothing is guessed."""
    assert [emoji_in(name) for name in ("white_check_mark", "x", "pushpin")] == ["✅", "❌", "📌"]
    assert emoji_in("+1") == emoji_in("thumbsup") == emoji_in("thumbsup::skin-tone-2") == "👍"
    assert emoji_in("heavy_check_mark") not in ("✅", "✔️✅")
    assert emoji_in("approved_by_boss") == ":approved_by_boss:"
    assert [emoji_out(emoji) for emoji in ("✅", "❌", "📌", "⚠️", ":parrot:")] == [
        "white_check_mark",
        "x",
        "pushpin",
        "warning",
        "parrot",
    ]
    with pytest.raises(DeliveryError, match="no name"):
        emoji_out("no emoji")


# -- blocks ---------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["word ", "\n", "x" * 700, "<@U1>", "&amp;", "🔔" * 90, "日本語 ", "<https://x.example/a>"]
)
LONG = st.lists(WORDS, max_size=40).map("".join)


def button(number: int, label: str = "Approve") -> Button:
    return Button(label, f"/approve {number}", "primary")


@given(LONG, st.integers(10, 3000))
def test_splitting_loses_nothing_and_keeps_within_the_limit(text: str, most: int) -> None:
    """Put together again the parts are the text, but for line ends and blanks at the cuts."""
    parts = split(text, most)
    assert all(0 < size(part) <= most for part in parts)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)


@given(LONG)
def test_nothing_that_belongs_together_is_cut_in_two(text: str) -> None:
    """A mention, a link or an entity stands in one part."""
    for part in split(text):
        assert part.count("<") == part.count(">")
        assert part.count("&") == part.count("&amp;")


@given(st.lists(st.text(alphabet="abc ", min_size=1, max_size=60), min_size=1, max_size=300))
def test_a_block_of_fixed_width_stays_one_in_every_part(lines: list[str]) -> None:
    """The fence is closed at the end of a part and opened again in the next; no line is lost."""
    text = f"before\n{marks.code(chr(10).join(lines))}\nafter"
    parts = split(text, 400)
    assert all(part.count("```") % 2 == 0 and size(part) <= 400 for part in parts)
    inside = [line for part in parts for line in part.split("\n") if line != "```"]
    assert [line for line in inside if line.strip()] == [
        line for line in ["before", *lines, "after"] if line.strip()
    ]


@given(LONG, LONG, st.lists(st.text(max_size=120), max_size=60), st.text(min_size=1, max_size=300))
def test_every_message_is_within_slacks_limits(text: str, plain: str, labels: list[str], key: str) -> None:
    """The limits of the pages "Block Kit" and chat.postMessage."""
    buttons = tuple(button(number, label) for number, label in enumerate(labels))
    what = shown(Content(text, plain, buttons), key)
    sections = [b["text"]["text"] for b in what.blocks if b["type"] == "section"]
    elements = [e for b in what.blocks if b["type"] == "actions" for e in b["elements"]]
    assert 1 <= len(what.blocks) <= BLOCKS
    assert all(0 < len(section) <= SECTION for section in sections)
    assert sum(map(len, sections)) + sum(len(e["text"]["text"]) for e in elements) <= ALL_TEXT
    assert all(len(b["elements"]) <= BUTTONS for b in what.blocks if b["type"] == "actions")
    assert all(0 < len(e["text"]["text"]) <= LABEL for e in elements)
    assert [e["action_id"] for e in elements] == [f"wb:{n}" for n in range(len(labels))]
    assert what.blocks[0]["block_id"] == key[:BLOCK_ID]
    assert 0 < len(what.text) <= FALLBACK


@given(LONG)
def test_what_does_not_fit_is_in_the_file(text: str) -> None:
    """Either the blocks have all of it, or the file has."""
    what = shown(Content(text, text))
    if what.whole is not None:
        assert what.whole.decode() == text
        assert len(what.blocks[0]["text"]["text"]) <= SHORTENED
    else:
        told = "".join(b["text"]["text"] for b in what.blocks)
        assert re.sub(r"\s", "", told) == (re.sub(r"\s", "", text) or "–")


@pytest.mark.parametrize(("length", "parts"), [(2_900, 1), (3_100, 2), (11_900, 4)])
def test_long_text_becomes_several_sections(length: int, parts: int) -> None:
    what = shown(Content("x" * length, "x"))
    assert (len(what.blocks), what.whole) == (parts, None)


@pytest.mark.parametrize(("length", "whole"), [(ALL_TEXT, False), (ALL_TEXT + 1, True)])
def test_very_long_text_becomes_a_file(length: int, whole: bool) -> None:
    """Both sides of the boundary."""
    assert (shown(Content("x" * length, "all of it")).whole == b"all of it") is whole


def test_buttons() -> None:
    """Twenty-five a row, Slack's two styles and no other, labels cut, what they carry never."""
    buttons = tuple(button(number) for number in range(BUTTONS + 1))
    rows = [b["elements"] for b in shown(Content("t", "t", buttons)).blocks[1:]]
    assert [len(row) for row in rows] == [BUTTONS, 1]
    plain, long = Button("No", "/no", "default"), Button("x" * (LABEL + 1), "v" * 2_000, "danger")
    first, second = shown(Content("t", "t", (plain, long))).blocks[1]["elements"]
    assert "style" not in first
    assert (second["style"], second["text"]["text"]) == ("danger", f"{'x' * (LABEL - 1)}…")
    with pytest.raises(DeliveryError, match="2000"):
        shown(Content("t", "t", (Button("x", "v" * 2_001),)))
    with pytest.raises(DeliveryError, match="buttons"):
        shown(Content("t", "t", tuple(button(number) for number in range(ALL_BUTTONS + 1))))


def test_the_text_for_notifications_acts_as_little() -> None:
    assert fallback("<!channel> R&D @alice") == "&lt;!channel&gt; R&amp;D @alice"
    assert fallback(" \n") == "–"
    assert parsed(fallback("&" * 2_000)).rstrip("…") == "&" * 599
