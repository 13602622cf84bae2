"""Exports: the same bytes each time, whole in every form, and neutral whatever people and alerts wrote."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser
from typing import Any, get_type_hints
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

from bot import neutral
from bot.charts import timeline_svg
from bot.export import MIMES, code, export, prepared
from bot.resources import resource
from incidents import events as e
from incidents.ports import RefusedError
from incidents.timeline import Entry
from tests.incidents.incident_log import Log, at, story

BERLIN = ZoneInfo("Europe/Berlin")
PEOPLE = {"alice": "Alice <b>Adams</b>", "bob": "Bob | Brown"}
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
SCHEMA = json.loads(resource("templates", "export", "postmortem.schema.json").read_text(encoding="utf-8"))


def made(entries: list[Entry], form: str) -> str:
    """A text form of the incident."""
    return export(entries, form, zone=BERLIN, people=PEOPLE)[1].decode()


def unzipped(entries: list[Entry]) -> dict[str, str]:
    """The files of the archive, by their names within its folder."""
    data = export(entries, "zip", zone=BERLIN, people=PEOPLE)[1]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


# -- any text anywhere ------------------------------------------------------------------------------

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


class Page(HTMLParser):
    """The tags, attributes and words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def known() -> tuple[set[str], set[str]]:
    """The tags and attributes of a page without outside markup."""
    tags = Page(made(story(), "html")).tags
    return {tag for tag, _ in tags}, {name for _, attributes in tags for name in attributes}


anything = settings(
    max_examples=60,
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


# -- whole and fixed --------------------------------------------------------------------------------


def test_names_and_types() -> None:
    """What the file is called and what it is."""
    found = {form: export(story(), form, zone=BERLIN, people={})[::2] for form in MIMES}
    assert found == {
        "md": ("INC-42-post-mortem.md", "text/markdown"),
        "html": ("INC-42-post-mortem.html", "text/html"),
        "json": ("INC-42-post-mortem.json", "application/json"),
        "csv": ("INC-42-timeline.csv", "text/csv"),
        "zip": ("INC-42.zip", "application/zip"),
    }


def test_an_unknown_form_and_an_empty_incident_are_refused() -> None:
    """Each with a sentence for the person."""
    with pytest.raises(RefusedError, match="there are: md, html, json, csv, zip"):
        export(story(), "pdf", zone=BERLIN, people={})
    with pytest.raises(RefusedError, match="Nothing was recorded"):
        export((), "md", zone=BERLIN, people={})


@pytest.mark.parametrize("form", MIMES)
def test_an_incident_of_one_event(form: str) -> None:
    """Opened and exported at once."""
    log = Log()
    log.opened(0, "grace", clocks={}, since=None)
    assert export(log.entries, form, zone=UTC, people={})[1]


def test_the_zip_holds_the_same_files_and_the_transcript() -> None:
    """Each with the bytes of its own export; dated by the last event."""
    files = unzipped(story())
    assert set(files) == {
        *("post-mortem.md", "post-mortem.html", "post-mortem.json", "timeline.csv", "timeline.svg"),
        *("transcript.md", "transcript.json"),
    }
    for form, name in (("md", "post-mortem.md"), ("html", "post-mortem.html"), ("csv", "timeline.csv")):
        assert files[name] == made(story(), form)
    with zipfile.ZipFile(io.BytesIO(export(story(), "zip", zone=UTC, people={})[1])) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 1, 6, 2, 51, 0)}


def test_the_transcript_has_threads_edits_and_tombstones() -> None:
    """As Markdown, replies indented under what they answer, and as JSON."""
    files = unzipped(story())
    text = files["transcript.md"]
    assert "- **02:47:00** grace: customers say the chat is frozen\n  - **02:47:30** Bob" in text
    assert "_before, 02:50:00:_ !note memory was at 100 % since 02:19" in text
    assert "mallory: _scrubbed by carol, 3 Jan 2026 03:14 CET_" in text
    assert "_deleted by Alice" in text
    assert "wrong channel" not in text
    data = json.loads(files["transcript.json"])
    assert data["messages"][0]["replies"][0]["author"] == "bob"


@pytest.mark.parametrize("form", ["md", "html", "json", "csv"])
def test_38_scrubbed_text_is_in_no_form(form: str) -> None:
    """Nor in the archive with the transcript."""
    assert "customers" in "".join(unzipped(story()).values())
    assert "hunter2" not in made(story(), form)
    assert not any("hunter2" in text for text in unzipped(story()).values())


def test_what_the_post_mortem_says() -> None:
    """The parts that a reader looks for."""
    text = made(story(), "md")
    for part in (
        "# Post-mortem INC-42: Redis is down",
        "3 Jan 2026 02:31 CET (01:31 UTC)",
        "after 17 min, resolved after 1 h 12 min.",
        "| Severity | critical → high |",
        "| first response | 15 min | 17 min | missed |",
        "| 02:46:00 | 01:46:00 | First response is late: 15 min allowed, due 02:46 CET |",
        "- [x] Run three sentinels (owner Bob \\| Brown",
        "- [ ] Alert on fewer than three sentinels (owner not named)",
        "- [ ] `/restart redis` helped: add it to the runbook (#\u20607)",
        "## Preventive measures",
        "- carol (commander)",
    ):
        assert part in text


def test_the_schema_is_a_schema() -> None:
    """Valid itself, and what it describes is what the story gives."""
    Draft202012Validator.check_schema(SCHEMA)
    data = json.loads(made(story(), "json"))
    Draft202012Validator(SCHEMA).validate(data)
    assert data["generated_at"] == "2026-01-06T02:51:00Z"
    assert data["metrics"]["mtta"] == 9.5 * 60


def test_the_page_needs_nothing_else() -> None:
    """No script, no file, no font, no picture from elsewhere."""
    page = Page(made(story(), "html"))
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    text = made(story(), "html")
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize("wide", [True, False])
def test_the_drawing_holds_what_happened(wide: bool) -> None:
    """Bands, a marker for each kind of fact, the moments by name, and the same in words."""
    ready = prepared(story(), zone=BERLIN, people=PEOPLE)
    drawn = timeline_svg(ready.report, ready.wording, wide=wide, ident="x")
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own XML
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"critical", "high", "Pages", "Late", "Changes", "opened", "resolved"} <= set(words)
    assert 'class="late"' in drawn
    assert root.get("aria-labelledby") == "x-title x-desc"
    assert "then high; detect 12 min; acknowledge 17 min" in drawn


def _marked(log: Log, minutes: list[float]) -> str:
    for minute in minutes:
        log.add(e.NoteAdded, minute, "bob", text="x")
    log.add(e.Resolved, 100, "bob")
    ready = prepared(log.entries, zone=UTC, people={})
    return timeline_svg(ready.report, ready.wording)


def test_markers_that_would_overlap_become_one_with_a_count() -> None:
    """Near ones are counted, distant ones stand alone."""
    near, far = Log(), Log()
    near.opened()
    far.opened()
    assert ">3×<" in _marked(near, [10, 10.1, 10.2])
    assert "×<" not in _marked(far, [10, 40, 70])


@pytest.mark.parametrize("minutes", [0, 0.01, 3, 90, 60 * 30, 60 * 24 * 20, 60 * 24 * 9000])
def test_the_axis_has_a_few_hours_or_days(minutes: float) -> None:
    """From an instant to twenty-five years."""
    log = Log()
    log.opened()
    log.add(e.Resolved, minutes, "bob")
    ready = prepared(log.entries, zone=BERLIN, people={})
    for wide in (True, False):
        assert timeline_svg(ready.report, ready.wording, wide=wide).count('class="line"') <= 12


def test_ten_thousand_rows_take_seconds() -> None:
    """And the drawing stays small."""
    log = Log()
    log.opened()
    for index in range(10_000):
        log.add(e.NoteAdded, index / 10, "bob", text=f"step {index} <b>", message_id=f"m{index}")
        log.said(index / 10, "bob", f"!note step {index}", f"m{index}")
    log.add(e.Resolved, 1001, "bob")
    begun = time.process_time()
    data = {form: export(log.entries, form, zone=BERLIN, people={})[1] for form in ("csv", "zip")}
    assert time.process_time() - begun < 12  # seconds of this process alone; it takes about four
    assert data["csv"].count(b"\r\n") == 10_003
    assert len(timeline_svg(*_ready(log.entries))) < 100_000


def _ready(entries: list[Entry]) -> tuple[Any, Any]:
    ready = prepared(entries, zone=BERLIN, people={})
    return ready.report, ready.wording


def test_a_zone_without_a_name() -> None:
    """A fixed offset is told by what it is."""
    zone = datetime.fromisoformat("2026-01-01T00:00:00+03:00").tzinfo
    assert zone is not None
    text = export(story(), "md", zone=zone, people={})[1].decode()
    assert "04:31 UTC+03:00 (01:31 UTC)" in text


def test_the_log_may_know_more_than_this_version() -> None:
    """Statuses and roles of a later version are told as they are."""
    entries = story()
    changed = replace(entries[20], event=e.StatusChanged(at=at(50), actor="bob", status="monitoring"))
    check: Callable[[str], bool] = made([*entries[:20], changed, *entries[21:]], "md").__contains__
    assert check("set the status to monitoring")
