"""What the tests of exports share: reading pages and archives."""

from __future__ import annotations

import io
import json
import zipfile
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

from bot.export import export
from bot.resources import resource
from incidents.timeline import Entry

BERLIN = ZoneInfo("Europe/Berlin")
PEOPLE = {"alice": "Alice <b>Adams</b>", "bob": "Bob | Brown"}
SCHEMA = json.loads(resource("templates", "export", "postmortem.schema.json").read_text(encoding="utf-8"))


def made(entries: list[Entry], form: str) -> str:
    """A text form of the incident."""
    return export(entries, form, zone=BERLIN, people=PEOPLE)[1].decode()


def unzipped(entries: list[Entry]) -> dict[str, str]:
    """The files of the archive, by their names within its folder."""
    data = export(entries, "zip", zone=BERLIN, people=PEOPLE)[1]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}


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
