"""Exports of one incident: the same bytes for the same entries, whichever way they are asked for."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from functools import cache, partial
from itertools import groupby
from typing import Any

import jinja2
from markupsafe import Markup

from bot import export_data, neutral
from bot.charts import timeline_svg
from bot.resources import resource
from bot.ways import chat_name
from incidents.entries import Entry
from incidents.ports import RefusedError
from incidents.report import PROMPTS, Report, report
from incidents.timeline import Message, Row, transcript
from incidents.wording import Wording, abbreviation, day, local, span

MIMES = {
    "md": "text/markdown",
    "html": "text/html",
    "json": "application/json",
    "csv": "text/csv",
    "zip": "application/zip",
}
_COLUMNS = ("time_utc", "time_local", "kind", "category", "actor", "text", "with", "links", "position")


@dataclass(frozen=True, slots=True)
class Export:
    """One incident, made ready for every form."""

    report: Report
    messages: tuple[Message, ...]
    wording: Wording
    files: Mapping[str, bytes] = field(
        default_factory=dict
    )  # what people posted: name in the archive → content

    @property
    def name(self) -> str:
        """INC-42: what the files are named after."""
        return f"INC-{self.report.number}"

    @property
    def zone(self) -> str:
        """Europe/Berlin, or the abbreviation of a zone without such a name."""
        return getattr(self.wording.zone, "key", None) or abbreviation(
            local(self.report.as_of, self.wording.zone)
        )


def export(
    entries: Iterable[Entry],
    form: str,
    *,
    zone: tzinfo,
    people: Mapping[str, str],
    now: datetime | None = None,
    files: Mapping[str, bytes] | None = None,
) -> tuple[str, bytes, str]:
    """File name, content and MIME type of one incident as md, html, json, csv or zip.

    `files` go into the zip beside the rest. `now` changes nothing: an export is as of the last event, so that it
    is the same whenever it is made.
    Raises RefusedError for another form, or where there is no incident.
    """
    if form not in MIMES:
        raise RefusedError(f"There is no export called {form!r}; there are: {', '.join(MIMES)}.")
    ready = prepared(entries, zone=zone, people=people)
    ready = replace(ready, files=files or {})
    suffix = {"csv": "-timeline.csv", "zip": ".zip"}.get(form, f"-post-mortem.{form}")
    return ready.name + suffix, _FORMS[form](ready), MIMES[form]


def prepared(entries: Iterable[Entry], *, zone: tzinfo, people: Mapping[str, str]) -> Export:
    """The report and the transcript as of the last event."""
    found = [neutral.tidied_entry(entry) for entry in entries]
    wording = Wording({name: neutral.tidy(display) for name, display in people.items()}, zone)
    as_of = max((entry.at for entry in found), default=datetime.min.replace(tzinfo=UTC))
    post_mortem = report(found, as_of, people=wording.people, zone=zone)
    return Export(post_mortem, transcript(found), wording)


# -- text -------------------------------------------------------------------------------------------


def _finalize(value: Any) -> Any:
    """What a Markdown template prints is neutral unless it is Markdown already."""
    if value is None:
        return ""
    return value if isinstance(value, neutral.Markdown) else neutral.markdown(value)


@cache
def _templates(form: str) -> jinja2.Environment:
    """The environment of a form: outside text is escaped by default in both."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates", "export")),
        autoescape=form == "html",  # noqa: S701 - `finalize` makes Markdown neutral
        finalize=None if form == "html" else _finalize,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["span"] = span
    environment.filters["code"] = code
    return environment


def code(text: str) -> neutral.Markdown:
    """A span of code, with a fence that the text cannot close; a pipe would end the cell of a table."""
    plain = " ".join(neutral.tidy(text).split()).replace("|", "¦")
    if not plain:
        return neutral.Markdown("")
    longest = max((len(list(run)) for char, run in groupby(plain) if char == "`"), default=0)
    fence = "`" * (longest + 1)
    pad = " " if plain[:1] == "`" or plain[-1:] == "`" else ""
    return neutral.Markdown(f"{fence}{pad}{plain}{pad}{fence}")


def _view(ready: Export) -> dict[str, Any]:
    """What the templates know."""
    wording = ready.wording
    return {
        "r": ready.report,
        "m": ready.report.metrics,
        "prompts": PROMPTS,
        "zone": ready.zone,
        "utc_beside": ready.zone not in ("UTC", "Etc/UTC"),
        "name": wording.name,
        "names": wording.names,
        "local": partial(_told, zone=wording.zone),
        "utc": partial(_told, zone=UTC),
        "near": partial(wording.clock, beside=ready.report.opened_at),
        "iso": export_data.moment,
        "days": partial(_days, zone=wording.zone),
        "address": neutral.web_address,
        "chat": partial(_chat, several=_several(ready.messages)),
    }


def _several(messages: Sequence[Message]) -> bool:
    """Whether people wrote in more than one chat."""
    written = [m for message in messages for m in (message, *message.replies)]
    return len({message.channel.partition(":")[0] for message in written}) > 1


def _chat(message: Message, *, several: bool) -> str:
    """Where it was written, in brackets; nothing where all of it was written in one chat."""
    return f" ({chat_name(message.channel.partition(':')[0])})" if several else ""


def _told(at: datetime, form: str = "full", *, zone: tzinfo) -> str:
    """full: 3 Jan 2026 02:45 CET; clock: 02:45:10; short: 02:45 CET; zone: CET."""
    time = local(at, zone)
    if form == "zone":
        return abbreviation(time)
    if form == "clock":
        return f"{time:%H:%M:%S}"
    short = f"{time:%H:%M} {abbreviation(time)}"
    return short if form == "short" else f"{day(time)} {short}"


def _days(items: Iterable[Row | Message], zone: tzinfo) -> list[tuple[str, list[Row | Message]]]:
    """Rows or messages by their local date."""
    return [(date, list(group)) for date, group in groupby(items, lambda item: day(local(item.at, zone)))]


def _markdown(ready: Export, template: str = "postmortem.md") -> bytes:
    view = _view(ready) | {"link": neutral.markdown_link, "messages": ready.messages}
    return _templates("md").get_template(template).render(view).encode()


def _html(ready: Export) -> bytes:
    charts = {
        width: Markup(timeline_svg(ready.report, ready.wording, wide=width == "wide", ident=width))  # noqa: S704
        for width in ("wide", "narrow")
    }
    return (
        _templates("html").get_template("postmortem.html").render(_view(ready) | {"charts": charts}).encode()
    )


# -- data -------------------------------------------------------------------------------------------


def _json(ready: Export) -> bytes:
    return _dumped(export_data.post_mortem(ready.report, ready.wording, ready.zone))


def _dumped(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def _csv(ready: Export) -> bytes:
    """RFC 4180, every cell quoted, so that a semicolon begins no cell either."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for row in ready.report.rows:
        links = " ".join(url for _, url in row.links)
        at = local(row.at, ready.wording.zone).isoformat()
        values = (row.kind, row.category, row.actor, row.text, " ".join(row.who), links, row.position)
        writer.writerow([export_data.moment(row.at), at, *map(neutral.cell, values)])
    return out.getvalue().encode()


def _zip(ready: Export) -> bytes:
    talk = export_data.conversation(ready.report, ready.messages, ready.zone)
    style = resource("templates", "export", "chart.css").read_text(encoding="utf-8")
    files = {
        "post-mortem.md": _markdown(ready),
        "post-mortem.html": _html(ready),
        "post-mortem.json": _json(ready),
        "timeline.csv": _csv(ready),
        "timeline.svg": timeline_svg(ready.report, ready.wording, style=style).encode(),
        "transcript.md": _markdown(ready, "transcript.md"),
        "transcript.json": _dumped(talk),
        **{f"files/{name}": data for name, data in ready.files.items()},
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(_zip_entry(f"{ready.name}/{name}", ready.report.as_of), data)
    return out.getvalue()


def _zip_entry(name: str, at: datetime) -> zipfile.ZipInfo:
    """An entry dated by the last event (ZIP knows the years 1980 to 2107 and even seconds)."""
    year = min(max(at.year, 1980), 2107)
    entry = zipfile.ZipInfo(name, (year, at.month, at.day, at.hour, at.minute, at.second // 2 * 2))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever this runs
    entry.external_attr = 0o100644 << 16
    return entry


_FORMS: Mapping[str, Callable[[Export], bytes]] = {
    "md": _markdown,
    "html": _html,
    "json": _json,
    "csv": _csv,
    "zip": _zip,
}
