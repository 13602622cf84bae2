"""Exports: the same bytes each time, and whole in every form."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator

from bot.charts import timeline_svg
from bot.export import MIMES, export, prepared
from incidents import events as e
from incidents.ports import RefusedError
from incidents.timeline import Entry
from tests.bot.exports import BERLIN, PEOPLE, SCHEMA, Page, made, unzipped
from tests.incidents.incident_log import Log, at, story


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
