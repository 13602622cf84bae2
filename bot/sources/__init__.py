"""Alert sources: one file each, found by name; here is what all of them read webhooks with."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from incidents.alerts import LONGEST_URL, MOST_LABELS, Notification, tidy

Parse = Callable[..., Notification]

_BOM = b"\xef\xbb\xbf"
_YEARS = range(1971, 2200)  # Go writes "no time" as year 1


class UnreadableError(Exception):
    """The body is no JSON, or no object; its text says so to the sender."""


def source(kind: str) -> Parse:
    """`parse(body, *, now)` of the file with that name; LookupError where there is none."""
    try:
        module = importlib.import_module(f"{__name__}.{kind}")
    except ModuleNotFoundError as error:
        raise LookupError(f"there is no kind of alert source called {kind}") from error
    parse: Parse = module.parse
    return parse


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in the body; UnreadableError where there is none.

    What is nearly JSON is read, too: bytes that are no UTF-8, half a surrogate pair, a control character.
    """
    body = body.removeprefix(_BOM)
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            data = json.loads(body.decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"This is no JSON that can be read: {tidy(str(error), 200)}.") from error
    if not isinstance(data, dict):
        raise UnreadableError("This is JSON, but no object: the body has to begin with {.")
    return data


class Fields:
    """Reads the fields of an object whatever they hold, and gathers in `unclear` what was not understood."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.unclear: list[str] = []

    def doubt(self, what: str) -> None:
        """Note something that was not understood."""
        if len(self.unclear) < 100:
            self.unclear.append(what)

    def text(self, name: str) -> str:
        """A text on one line, or a number as text; "" where there is none."""
        value = self.data.get(name)
        if value is None or isinstance(value, str | int | float):
            return tidy(plain(value))
        self.doubt(f"the {name} {shown(value)}")
        return ""

    def texts(self, name: str, *first: str) -> dict[str, str]:
        """An object of texts, such as labels: `first` ones first, not too many, other values as text."""
        value = self.data.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.doubt(f"the {name} {shown(value)}")
            return {}
        found: dict[str, str] = {}
        for key, item in sorted(value.items(), key=lambda pair: pair[0] not in first)[:MOST_LABELS]:
            if not isinstance(item, str):
                self.doubt(f"the {name.removesuffix('s')} {key} = {shown(item)}")
            found[tidy(key)] = tidy(plain(item))
        if len(value) > MOST_LABELS:
            self.doubt(f"more than {MOST_LABELS} {name}")
        return found

    def status(self, name: str, otherwise: bool) -> bool:
        """Whether it fires; a word that is neither firing nor resolved counts as `otherwise`."""
        value = self.data.get(name)
        word = value.strip().casefold() if isinstance(value, str) else ""
        if word in ("firing", "resolved"):
            return word == "firing"
        given = f"the {name} {shown(value)}" if name in self.data else f"no {name}"
        self.doubt(f"{given}, taken as {'firing' if otherwise else 'resolved'}")
        return otherwise

    def time(self, name: str) -> datetime | None:
        """A time in UTC (without a zone it is taken as UTC); None where it cannot be read."""
        value = self.data.get(name)
        if value is None:
            return None
        try:
            at = datetime.fromisoformat(value.strip())
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        except (AttributeError, TypeError, ValueError, OverflowError):
            self.doubt(f"the {name} {shown(value)}")
            return None
        if at.year not in _YEARS:
            if at.year != 1:
                self.doubt(f"the {name} {shown(value)}")
            return None
        return at

    def url(self, name: str) -> str:
        """An http address, whole; "" where it is none."""
        value = self.data.get(name)
        if not value:
            return ""
        if not isinstance(value, str) or not _is_web_address(value):
            self.doubt(f"the {name} {shown(value)}")
            return ""
        return value


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    whole = parts.scheme in ("http", "https") and bool(parts.netloc)
    return whole and len(text) <= LONGEST_URL and text.isprintable() and " " not in text


def plain(value: object) -> str:
    """A JSON value as text: a text as it stands, nothing for null, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # nested too deeply, a number of more than 64 bits, or half a surrogate pair
        try:
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        except RecursionError:
            return f"a {type(value).__name__}"


def shown(value: object) -> str:
    """A value as it is quoted to people: “catastrophic”, or 17."""
    text = tidy(plain(value), 1000)
    return f"“{text}”" if isinstance(value, str) else text or "null"
