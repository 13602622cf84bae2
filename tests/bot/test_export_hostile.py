"""Whatever people, alerts and commands wrote, it is shown as text and does nothing, in every form."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from html import unescape
from typing import Any, get_type_hints
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

from bot import neutral
from bot.charts import timeline_svg
from bot.export import MIMES, code, export, prepared
from incidents import events as e
from incidents.timeline import Entry
from tests import examples
from tests.bot.exports import BERLIN, PEOPLE, SCHEMA, Page, made, unzipped
from tests.incidents.incident_log import at, story

NASTY = (
    "<script>alert(1)</script>",
    "</style></svg><img src=x onerror=alert(1)>",
    "|---|\n|x|",
    "=cmd|'/c calc'!A1",
    "@everyone <!channel> @room #12 GH-1",
    "[x](javascript:alert(1)) ![y](https://evil.example/p.png)",
    "https://evil.example www.evil.example a@evil.example",
    "``` `` ` ~~~ **b** __u__ $x$ &lt; &amp; <!-- --> \\",
    "# head\n> quote\n- item\n1. one\n    code\n***\n===",
    "{{ 7 * 7 }} {% raw %}",
    "\x00\x1b[31m\u202eevil\u2066 \ud800",
    "a\r\nb\rc\u2028d",
    "",
)
OWN = {"h1", "h2", "h3", "p", "strong", "em", "br", "ul", "li", "code", "a"} | {
    *("table", "thead", "tbody", "tr", "th", "td")
}

_texts = st.sampled_from(NASTY) | st.text(st.characters(), max_size=40)
_times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_json = st.recursive(
    _texts | st.none() | st.integers(0, 99), lambda inner: st.dictionaries(_texts, inner), max_leaves=4
)


def _values(hint: str, name: str) -> st.SearchStrategy[Any]:
    """Anything that the field of an event may hold."""
    if hint.startswith("dict[str, datetime"):
        return st.dictionaries(
            st.sampled_from(["acknowledged", "updated", "mine"]) | _texts, _times, max_size=2
        )
    if hint.startswith("dict"):
        labels = st.dictionaries(_texts, _texts, max_size=2)
        plans = st.fixed_dictionaries(
            {}, optional={"summary": _texts, "line": _texts, "service": _texts, "x": _json}
        )
        return plans if name == "plan" else labels
    for word, strategy in (
        ("tuple[int", st.lists(st.integers(1, 9), max_size=2).map(tuple)),
        ("tuple", st.lists(_texts, max_size=2).map(tuple)),
        ("datetime", _times),
        ("bool", st.booleans()),
        ("int", st.integers(0, 9)),
        ("float", st.floats(0, 1e6)),
    ):
        if word in hint:
            return strategy | st.none() if "None" in hint else strategy
    return _texts | st.sampled_from(["alice", "m1", "page", "https://x.example/?a=1&copy=2|<>"])


def _built(kind: type[e.Event]) -> st.SearchStrategy[e.Event]:
    hints = get_type_hints(kind)
    return st.builds(
        kind, **{name: _values(str(hint).replace("<class '", ""), name) for name, hint in hints.items()}
    )


_STREAMS = st.sampled_from(["incident-1", "action-1", "action-2", "chat-1"])
_KINDS = {kind.__name__: kind for kind in e.kinds()}
_events = st.one_of([_built(kind) for kind in _KINDS.values()])


@st.composite
def incidents(draw: st.DrawFn) -> list[Entry]:
    """An opening, and then any events in any stream, with any text in every field."""
    first = draw(_built(_KINDS["IncidentOpened"]))
    more = draw(st.lists(st.tuples(_STREAMS, _events), max_size=8))
    return [
        Entry(position, stream, event)
        for position, (stream, event) in enumerate([("incident-1", first), *more], 1)
    ]


@pytest.fixture(scope="module")
def known() -> tuple[set[str], set[str]]:
    """The tags and attributes of a page without outside markup."""
    tags = Page(made(story(), "html")).tags
    return {tag for tag, _ in tags}, {name for _, attributes in tags for name in attributes}


anything = settings(
    max_examples=examples(100),
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)


@anything
@given(incidents())
def test_any_text_gives_valid_json(entries: list[Entry]) -> None:
    """It parses, and it is what the published schema says."""
    data = json.loads(made(entries, "json"))
    Draft202012Validator(SCHEMA).validate(data)


@anything
@given(incidents())
def test_19_any_text_gives_a_page_without_outside_markup(
    known: tuple[set[str], set[str]], entries: list[Entry]
) -> None:
    """No tag, attribute, address or style but the page's own; the drawing is well-formed XML."""
    text = made(entries, "html")
    for tag, attributes in Page(text).tags:
        assert tag in known[0] | {"polygon", "circle", "ol"}
        assert set(attributes) <= known[1] | {"points", "transform", "stroke"}
        assert (attributes.get("href") or "#").startswith(("#", "http://", "https://"))
    assert text.count("<style>") == text.count("</style>") == 1
    for wide in (True, False):
        ready = prepared(entries, zone=BERLIN, people=PEOPLE)
        ElementTree.fromstring(timeline_svg(ready.report, ready.wording, wide=wide))  # noqa: S314 - our own XML


@anything
@given(incidents())
def test_19_any_text_gives_markdown_without_outside_markup(entries: list[Entry]) -> None:
    """Rendered, post-mortem and transcript hold our own elements only; every table keeps its columns."""
    files = unzipped(entries)
    for name in ("post-mortem.md", "transcript.md"):
        rendered = MarkdownIt("commonmark").enable("table").enable("strikethrough").render(files[name])
        page = Page(rendered)
        own = [
            "h1",
            "h2",
            "h3",
            "p",
            "strong",
            "em",
            "br",
            "ul",
            "li",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "code",
            "a",
        ]
        assert {tag for tag, _ in page.tags} <= set(own)
        for tag, attributes in page.tags:
            assert tag != "a" or (attributes["href"] or "").startswith(("http://", "https://"))
        assert rendered.count("<h1>") == 1
        headings = [line for line in files[name].splitlines() if line.startswith("#")]
        assert len(headings) == sum(tag in ("h1", "h2", "h3") for tag, _ in page.tags)


@anything
@given(incidents())
def test_any_text_gives_csv_that_reads_back(entries: list[Entry]) -> None:
    """One record a row, its text whole, and no cell that a spreadsheet would run."""
    report = prepared(entries, zone=BERLIN, people=PEOPLE).report
    text = made(entries, "csv")
    header, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert text.endswith("\r\n")
    assert len(records) == len(report.rows)
    for record, row in zip(records, report.rows, strict=True):
        cells = dict(zip(header, record, strict=True))
        assert cells["text"] in (row.text, f"'{row.text}")
        assert not any(cell.lstrip()[:1] in ("=", "+", "-", "@", "\t") for cell in record if cell)


@anything
@given(incidents())
def test_the_same_entries_give_the_same_bytes(entries: list[Entry]) -> None:
    """Whatever the order in which they are handed over, and whenever."""
    for form in MIMES:
        later = at(1e6)
        assert export(entries, form, zone=BERLIN, people=PEOPLE) == export(
            entries[::-1], form, zone=BERLIN, people=dict(reversed(PEOPLE.items())), now=later
        )


@given(_texts)
def test_19_markdown_shows_exactly_the_text(text: str) -> None:
    """Rendered and read back it is the same, white space and invisible joiners aside."""
    renderer = MarkdownIt("commonmark").enable("table").enable("strikethrough")
    html = renderer.render(f"| a |\n| --- |\n| x{neutral.markdown(text)}x |\n")
    shown = Page(html.partition("<td>")[2].rpartition("</td>")[0].replace("<br>", " "))
    assert shown.tags == []
    wanted = f"x{neutral.tidy(text).strip(chr(10))}x"
    assert _words(shown.words) == _words([wanted])


def _words(parts: list[str]) -> list[str]:
    return "".join(parts).replace("\u2060", "").split()


@given(_texts)
def test_19_markdown_at_the_start_of_a_line_begins_no_block(text: str) -> None:
    """No heading, list, quote, fence or rule."""
    page = Page(MarkdownIt("commonmark").render(neutral.markdown(text)))
    assert {tag for tag, _ in page.tags} <= {"p", "br"}


@given(_texts)
def test_code_cannot_be_closed_from_inside(text: str) -> None:
    """The fence is longer than any run of backticks in it."""
    html = MarkdownIt("commonmark").render(f"x {code(text)} x")
    page = Page(html)
    assert [tag for tag, _ in page.tags] == (["p", "code"] if neutral.tidy(text).strip() else ["p"])
    assert " ".join(neutral.tidy(text).split()).replace("|", "¦") in unescape(html)


@pytest.mark.parametrize("text", ["@alice", "a@b.example", "#12", "see #12"])
def test_19_mentions_and_numbers_lose_their_effect(text: str) -> None:
    """A code host would notify somebody, or link a strange issue."""
    assert "\u2060" in neutral.markdown(text)


@pytest.mark.parametrize(
    "text", ["redis_memory_used", "3.10", "2026-01-03", "a-b", "50 %", "x & y", "it's fine: yes"]
)
def test_plain_text_stays_readable(text: str) -> None:
    """Nothing is escaped that needs no escape."""
    assert neutral.markdown(text) == text


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        ("https://grafana.company.com/d/1?a=1&b=2", True),
        ("http://10.0.0.1:9090/graph", True),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("//evil.example", False),
        ("https://grafana.company.com@evil.example/", False),
        ("https://x.example/a b", False),
        ("https://[", False),
        ("", False),
    ],
)
def test_which_addresses_are_links(url: str, followed: bool) -> None:
    """Plain http and https that name no user."""
    assert (neutral.web_address(url) == url) is followed
    assert neutral.markdown_link("x", url).startswith("[") is followed


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "＝1", "\n=1"])
def test_csv_formulas_are_neutral(text: str) -> None:
    """OWASP's list, full-width forms and leading blanks included."""
    assert neutral.cell(text) == f"'{text}"
