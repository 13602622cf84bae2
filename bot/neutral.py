"""Outside text made neutral for files: no markup, no mention, no formula, no address that runs something."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any
from urllib.parse import quote, urlsplit

from incidents.events import Event
from incidents.timeline import Entry

_JOINER = "\u2060"  # a word joiner: invisible, and what follows @ or # is no name or number any more

# Control characters, halves of surrogate pairs, and what turns the direction of the text around it.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")

_MARKUP = re.compile(
    r"(?P<special>[\\`*\[\]~$|]|\#(?!\d))|(?P<html>[<>])|(?P<entity>&(?=[#\w]))|(?P<mention>@)|(?P<number>\#(?=\d))"
    r"|(?P<underscore>(?<!\w)_+|_+(?!\w))|(?P<scheme>:(?=//))|(?P<www>(?<=www)\.)",
    re.IGNORECASE,
)
_BLANKS = re.compile(r"\s+")  # four of them would begin a block of code
_LINE_START = re.compile(r" ?(?:[-+=]|\d+(?=[.)](?:\s|$)))")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


class Markdown(str):
    """Markdown of our own, or outside text that `markdown` made neutral."""

    __slots__ = ()


def tidy(text: str) -> str:
    """The text with line breaks as \\n, without controls, lone surrogates and direction overrides."""
    return _CONTROLS.sub("\ufffd", _BREAKS.sub("\n", text))


def tidied(value: Any) -> Any:
    """The same of every text in an event's field, however deep."""
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, Mapping):
        return {tidied(key): tidied(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(tidied(item) for item in value)
    return value


def tidied_entry(entry: Entry) -> Entry:
    """The entry with all its texts tidied."""
    event: Event = entry.event
    changes = {
        f.name: after for f in fields(event) if (after := tidied(before := getattr(event, f.name))) != before
    }
    return replace(entry, event=replace(event, **changes)) if changes else entry


def markdown(text: object) -> Markdown:
    """GitHub-flavoured Markdown that shows exactly this text, on one line, also in a table's cell."""
    lines = (_BLANKS.sub(" ", line) for line in tidy(str(text)).strip("\n").split("\n"))
    return Markdown("<br>".join(_line(line) for line in lines))


def _line(line: str) -> str:
    start = _LINE_START.match(line)
    escaped = _MARKUP.sub(_escape, line)
    if start is None:
        return escaped
    at = len(start[0]) if start[0][-1].isdigit() else len(start[0]) - 1
    return f"{escaped[:at]}\\{escaped[at:]}"


def _escape(found: re.Match[str]) -> str:
    text = found[0]
    match found.lastgroup:
        case "html":
            return "&lt;" if text == "<" else "&gt;"
        case "entity":
            return "&amp;"
        case "mention" | "number":
            return text + _JOINER
        case "underscore":
            return "\\_" * len(text)
        case _:
            return f"\\{text}"


def markdown_link(label: str, url: str) -> Markdown:
    """A link, or the label alone where the address is none that a browser should follow."""
    address = web_address(url)
    if address is None:
        return markdown(label)
    target = quote(address, safe="!#$%'()*+,/:;=?@~_-.&").replace("&", "&amp;")
    return Markdown(f"[{markdown(label)}](<{target}>)")


def web_address(url: str) -> str | None:
    """The address where it is plain http or https and names no user; else None."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    plain = parts.scheme in ("http", "https") and parts.netloc and "@" not in parts.netloc
    return url if plain and not re.search(r"[\s\x00-\x1f\ufffd]", url) else None


def cell(text: object) -> str:
    """A cell of a CSV file that no spreadsheet takes for a formula (OWASP, "CSV Injection")."""
    told = tidy(str(text))
    return f"'{told}" if told.lstrip().startswith(_FORMULA) or told[:1] in ("\t", "\n") else told
