"""Templates into text: times, people, durations, and everything from outside neutral."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from bot.answers import table_lines
from bot.platforms.console_text import ConsoleMarks
from bot.render import PlainMarks, Renderer
from commands.actions import Answer, Table

NOW = datetime(2026, 1, 3, 1, 31, tzinfo=UTC)
RENDERER = Renderer("Europe/Berlin")


class HtmlMarks:
    """Marks of a chat that takes HTML: whatever is not escaped shows at once."""

    def escape(self, text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "(at)")

    def mention(self, person: str) -> str:
        return f"<a@{person}>"

    def time(self, at: datetime, form: str) -> str:
        return f"<time {form}>"

    def code(self, text: str) -> str:
        return f"<pre>{text}</pre>"

    def bold(self, text: str) -> str:
        return f"<b>{text}</b>"

    def link(self, url: str) -> str:
        return url


def filled(source: str, marks: object = RENDERER.plain_marks, **data: object) -> str:
    """A template given as text."""
    template = RENDERER._environment.from_string(source)
    return template.render({"now": NOW.isoformat(), **data, "_marks": marks, "_mentions": {}})


# -- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (14, "02:45 CET, in 14 min"),
        (0, "02:31 CET, now"),
        (-3, "02:28 CET, 3 min ago"),
        (72, "03:43 CET, in 1 h 12 min"),
        (24 * 60, "4 Jan 02:31 CET, in 1 d"),
    ],
)
def test_due_says_when_and_how_long(minutes: int, told: str) -> None:
    """An absolute time with zone plus a duration; with the date where it is far."""
    at = NOW + timedelta(minutes=minutes)
    assert filled("{{ at|due }}", at=at) == told
    assert filled("{{ at|due }}", at=at.isoformat()) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (41, "41 s"),
        (90, "1 min 30 s"),
        (720, "12 min"),
        (735, "12 min"),
        (4320, "1 h 12 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations(seconds: int, told: str) -> None:
    """Seconds are told below two minutes only."""
    assert filled("{{ s|span }}", s=seconds) == told


def test_mentions_are_collected_and_names_are_not() -> None:
    """Only `mention` mentions; `who` displays."""
    found = RENDERER.render(
        "reminder",
        {
            "number": 1,
            "people": ["alice", "bob"],
            "stakeholders_every": None,
            "lasted": 60,
            "last": "",
            "due": None,
        },
        RENDERER.plain_marks,
    )
    assert found.mentions == ("alice", "bob")
    assert "@alice and @bob" in found.text
    found = RENDERER.render("who_ran", {"person": "alice", "line": "/pods realtime"}, RENDERER.plain_marks)
    assert found.mentions == ()
    assert found.text == "alice ran /pods realtime"


def test_the_bot_has_a_name() -> None:
    assert filled("{{ 'watchbell'|who }} {{ none|who }} {{ []|who }}", none=None) == "Watchbell – –"


def test_commands_in_our_sentences_stand_between_quotes() -> None:
    """Backticks never are markup, so that those of outside text are none either."""
    assert RENDERER.plain("sentence", {"text": "Say why: `/major on WHY`."}) == "Say why: “/major on WHY”."


def test_what_is_missing_is_an_error() -> None:
    """A template that lacks data fails in the tests, and not silently at night."""
    with pytest.raises(UndefinedError):
        RENDERER.plain("sentence", {})


def test_only_plain_addresses_are_links() -> None:
    """An address of the configuration can be followed; a strange one stays text."""
    marks = HtmlMarks()
    assert (
        filled("{{ u|link }}", marks, u="https://grafana.example/d?a=1&b=2")
        == "https://grafana.example/d?a=1&amp;b=2"
    )
    assert filled("{{ u|link }}", marks, u="https://x/<script>") == "https://x/&lt;script&gt;"
    assert filled("{{ u|link }}", marks, u="https://user@host/") == "https://user(at)host/"
    assert "javascript" in filled("{{ u|link }}", marks, u="javascript:alert(1)")


def test_zones_without_letters() -> None:
    """A zone whose name is a number is told as an offset."""
    assert PlainMarks("Asia/Dubai").time(NOW, "clock") == "05:31 UTC+04"
    assert PlainMarks("America/New_York").time(NOW, "date") == "2 Jan 20:31 EST"


# -- outside text ---------------------------------------------------------------------------------

HOSTILE = "<!channel> @room @alice <b>x</b> `rm` ```\nfence``` [a](http://b) &lt; {{ 7*7 }}"


def test_outside_text_is_neutral_everywhere() -> None:
    """SAFETY 19: no markup, no mention, no template in what somebody else wrote."""
    for template, data in SAMPLES.items():
        marks = HtmlMarks()
        told = RENDERER.render(template, {"now": NOW, **data(HOSTILE)}, marks).text
        ours = re.sub(r"<a@\w+>|<time \w+>|</?(?:pre|b)>", "", told)
        assert "<" not in ours, template
        assert "@" not in ours, template
        assert "49" not in ours, template


SAMPLES = {
    "sentence": lambda text: {"text": text},
    "refused": lambda text: {"text": text},
    "who_ran": lambda text: {"person": text, "line": text},
    "late_command": lambda text: {"person": text, "line": text, "age": 90},
    "no_channel": lambda text: {"number": 1, "why": text},
    "already_waiting": lambda text: {"number": 1, "summary": text, "person": "alice"},
    "dry_run": lambda text: {
        "plan": {
            "summary": text,
            "environment": text,
            "effect": "danger",
            "notes": [text],
            "undo": {"label": text},
        }
    },
    "answer": lambda text: {
        "headline": text,
        "block": text,
        "lines": [text],
        "links": [{"label": text, "url": text}],
        "file": text,
        "total": 3,
    },
    "answer_elsewhere": lambda text: {
        "headline": text,
        "block": text,
        "lines": [text],
        "links": [{"label": text, "url": text}],
        "file": text,
        "chat": "Slack",
    },
    "relayed": lambda text: {
        "author": text,
        "about": ["Slack", text],
        "at": None,
        "text": text,
        "files": [text],
        "changed": "edited",
    },
    "updated": lambda text: {
        "number": 1,
        "actor": text,
        "text": text,
        "answer": "",
        "eta": None,
        "acknowledged": False,
        "tell": [],
    },
    "alerts": lambda text: {
        "number": 1,
        "count": 1,
        "alerts": [text],
        "again": False,
        "too": True,
        "held": False,
        "summary": text,
        "service": text,
    },
}


@given(st.text())
def test_plain_text_mentions_nobody_and_has_no_brackets(text: str) -> None:
    """Whatever somebody writes: nobody is mentioned by it, and it holds no markup."""
    told = RENDERER.plain("sentence", {"text": text})
    assert "<" not in told
    assert ">" not in told
    assert not re.search(r"(?<!\w)@\w", told)


@given(st.text())
def test_the_browser_chat_takes_any_text(text: str) -> None:
    """Nothing breaks the rendering, and no fence is opened by outside text."""
    marks = ConsoleMarks(ZoneInfo("Europe/Berlin"))
    for template, data in SAMPLES.items():
        told = RENDERER.render(template, {"now": NOW, **data(text)}, marks).text
        assert told.count("`") % 3 == 0
        assert "<" not in told


def test_long_words_of_others_are_cut() -> None:
    """A headline is one line, and nothing is longer than 1,500 characters."""
    assert len(RENDERER.plain("refused", {"text": "x" * 9999})) <= 1500
    assert RENDERER.plain("no_channel", {"number": 1, "why": "a\n\nb" * 999}).count("\n") == 0


# -- answers --------------------------------------------------------------------------------------

PODS = Table(
    ("POD", "READY", "RESTARTS", "CPU"),
    (
        ("realtime-5d8c7f9b6d-8f54b", "1/1", "0", "410m"),
        ("realtime-5d8c7f9b6d-fgntl", "0/1", "17", "980m"),
    ),
    right=(1, 2, 3),
    remarks=("", "OOMKilled 02:29"),
)


def test_a_table_reads_as_one() -> None:
    """Numbers stand right, remarks beside their row."""
    text, upload = RENDERER.answer(Answer("realtime · 1 of 2 ready", PODS), RENDERER.plain_marks)
    assert upload is None
    assert text.splitlines() == [
        "realtime · 1 of 2 ready",
        "POD                        READY  RESTARTS   CPU",
        "realtime-5d8c7f9b6d-8f54b    1/1         0  410m",
        "realtime-5d8c7f9b6d-fgntl    0/1        17  980m",
        "  ← OOMKilled 02:29",
    ]


def test_tables_are_at_most_60_wide() -> None:
    """Long names give way at the front, where they are all alike; other columns at the end."""
    rows = (("customizable-chatbot-realtime-websocket-gateway-5d8c7f9b6d-8f54b", "z" * 80, "12"),)
    lines = table_lines(Table(("POD", "MESSAGE", "N"), rows, right=(2,)))
    assert max(len(line) for line in lines) <= 60
    assert lines[1].startswith("…")
    assert "8f54b" in lines[1]
    assert lines[1].endswith("12")


cells = st.text(max_size=90)


@given(st.lists(st.tuples(cells, cells, cells), max_size=6), st.sets(st.integers(0, 2)))
def test_any_table_fits(rows: list[tuple[str, str, str]], right: set[int]) -> None:
    """Whatever is in the cells, every row is one line of at most 60 columns."""
    lines = table_lines(Table(("A", "B", "C"), tuple(rows), right=tuple(right)))
    assert len(lines) == len(rows) + 1
    assert all("\n" not in line for line in lines)
    assert all(len(line) <= 60 for line in lines)


def test_long_output_is_a_file_below_the_lines_that_matter() -> None:
    """Logs: the last three lines that tell of trouble, and the whole in a file."""
    log = [f"{n} fine" for n in range(200)]
    log[20], log[50], log[70], log[90] = "20 ERROR a", "50 timeout", "70 OOMKilled", "90 connection refused"
    answer = Answer("realtime · logs, 10 min", text="\n".join(log), file_name="realtime.log")
    text, upload = RENDERER.answer(answer, RENDERER.plain_marks)
    assert upload is not None
    assert upload.name == "realtime.log"
    assert upload.data.decode().count("\n") == 202
    assert text.splitlines() == [
        "realtime · logs, 10 min",
        "50 timeout",
        "70 OOMKilled",
        "90 connection refused",
        "All 200 lines are in realtime.log.",
    ]


def test_a_long_table_shows_its_remarked_rows() -> None:
    rows = tuple((f"pod-{n}", "1/1") for n in range(30))
    remarks = tuple("OOMKilled" if n == 17 else "" for n in range(30))
    text, upload = RENDERER.answer(
        Answer("30 pods", Table(("POD", "READY"), rows, remarks=remarks)), RENDERER.plain_marks
    )
    assert upload is not None
    assert upload.data.decode().count("pod-") == 30
    assert text.splitlines()[1:3] == ["POD     READY", "pod-17  1/1    ← OOMKilled"]


def test_a_remark_without_room_stays_with_its_row() -> None:
    rows = tuple((f"realtime-gateway-5d8c7f9b6d-{n:05}", "1/1") for n in range(30))
    remarks = tuple("CrashLoopBackOff since 02:19 CET" if n == 17 else "" for n in range(30))
    text, _ = RENDERER.answer(
        Answer("30 pods", Table(("POD", "READY"), rows, remarks=remarks)), RENDERER.plain_marks
    )
    assert text.splitlines()[2].startswith("realtime-gateway-5d8c7f9b6d-00017")
    assert text.splitlines()[3] == "  ← CrashLoopBackOff since 02:19 CET"


def test_short_text_and_links_are_shown_whole() -> None:
    answer = Answer(
        "links of realtime", lines=("see also",), links={"Grafana": "https://grafana.example/d/1"}
    )
    text, upload = RENDERER.answer(answer, RENDERER.plain_marks)
    assert upload is None
    assert text.splitlines() == ["links of realtime", "see also", "Grafana: https://grafana.example/d/1"]


@given(st.text(max_size=3000))
def test_any_output_can_be_answered(output: str) -> None:
    """Whatever a target sends back."""
    text, upload = RENDERER.answer(Answer("output", text=output, file_name=output[:20]), RENDERER.plain_marks)
    assert text.startswith("output")
    assert len(text) < 2500
    if upload is not None:
        assert re.fullmatch(r"[\w.-]+", upload.name)


def test_the_remaining_templates_of_the_machinery() -> None:
    """What the machinery says by itself."""
    plain = RENDERER.plain
    assert "reference 8F3K" in plain("error", {"reference": "8F3K"})
    assert plain("handover_due", {"rota": "primary", "person": "bob"}).startswith("@bob you are on call now")
    assert "Nobody is on call" in plain("handover_due", {"rota": "primary", "person": None})
    away = {"now": NOW, "start": NOW - timedelta(minutes=21), "end": NOW - timedelta(minutes=8)}
    told = plain(
        "away", away | {"read": ["2 messages", "1 acknowledgement"], "late": ["INC-42 update (due 02:15)"]}
    )
    assert told.splitlines() == [
        (
            "I was away from 02:10 CET to 02:23 CET. "
            "I have read what you wrote meanwhile (2 messages, 1 acknowledgement)."
        ),
        "Now late: INC-42 update (due 02:15). Nothing else was missed.",
    ]
    assert plain("away", away | {"read": [], "late": []}).endswith("Nothing was missed.")
