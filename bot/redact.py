"""Secrets taken out of text before it is stored or sent: known values, and what looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from bot.redact_shapes import (
    ASSIGNED,
    CASED,
    ELEMENT,
    HINTS,
    LOWER,
    REDACTED,
    WORD_HINTS,
    harmless,
    names_password,
    names_secret,
    replaced,
)

__all__ = ["REDACTED", "Redactor", "hides"]

_WORD = 500  # characters; what is longer is a document, not a secret
_BETWEEN = " \n\t,;\"'{}[]()&<>|"  # what stands between words


class Redactor:
    """Takes secrets out; `patterns` are further regular expressions, `known_values` secrets of this process.

    Of a further pattern the first group, where it has one, is kept: `(pin=)\\d+`.
    """

    def __init__(self, patterns: Iterable[str] = (), known_values: Iterable[str] = ()) -> None:
        self._known = tuple(sorted({v for v in known_values if len(v) >= 4}, key=len, reverse=True))
        self._extra = tuple(re.compile(pattern) for pattern in patterns)

    def redact(self, text: str) -> str:
        """The text with each secret replaced by ‹redacted›; the same object where there is none."""
        for value in self._known:
            if value in text:
                text = text.replace(value, REDACTED)
        for pattern in self._extra:
            text = pattern.sub(_kept, text)
        lowered = _lowered(text)
        for hint in HINTS:
            if hint in lowered:
                return _thorough(text, lowered)
        return text

    def beginning(self, text: str) -> str:
        """The beginning of a text that somebody else has cut off, without its secrets.

        The last word goes as well, for half of a secret looks like any other text; one of over 500 characters stays.
        """
        end = max(text.rfind(sign) for sign in _BETWEEN) + 1
        return self.redact(text[:end] if len(text) - end <= _WORD else text)

    def redact_data(self, value: Any) -> Any:
        """The same of every text in plain data or a dataclass, however deep.

        What stands under a key that names a secret goes as a whole, be it a text, a list or an object; counts and
        switches stay.
        """
        return _deep(value, self.redact)


def _deep(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        pair = _named(value)
        return {
            _deep(key, redact): REDACTED
            if hides(key, item) or (pair and str(key).lower() == "value" and hides(pair, item))
            else _deep(item, redact)
            for key, item in value.items()
        }
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_deep(item, redact) for item in value))
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_deep(item, redact) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: _deep(getattr(value, f.name), redact) for f in fields(value) if f.init}
        )
    return value


def hides(key: Any, value: Any) -> bool:
    """Whether a value goes as a whole because its key names a secret: a text, a list, an object, bytes, a PIN.

    Counts, switches and what is empty stay, and so does what holds nothing else.
    """
    return isinstance(key, str) and names_secret(key) and _tells(key, value)


def _tells(key: str, value: Any) -> bool:
    if isinstance(value, str):
        return not harmless(key, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return names_password(key) and not harmless(key, str(value))
    if isinstance(value, Mapping):
        return any(_tells(key, item) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_tells(key, item) for item in value)
    return isinstance(value, bytes) and bool(value)


def _named(pair: Mapping[Any, Any]) -> Any:
    """What the value of `{"name": "DB_PASSWORD", "value": "x"}` is called; None where this is no such pair."""
    return next((item for key, item in pair.items() if str(key).lower() in ("name", "key")), None)


def _lowered(text: str) -> str:
    """In small letters, each at its place: İ is the only letter that becomes two."""
    found = text.lower()
    return found if len(found) == len(text) else text.replace("İ", "i").lower()


def _thorough(text: str, lowered: str) -> str:
    for hints, pattern in LOWER:
        if any(hint in lowered for hint in hints):
            cuts = [(found.end(1), found.end(), REDACTED) for found in pattern.finditer(lowered)]
            text, lowered = _cut(text, cuts), _cut(lowered, cuts)
    for hints, pattern in CASED:
        if any(hint in lowered for hint in hints):
            cuts = [(*found.span(), REDACTED) for found in pattern.finditer(text)]
            text, lowered = _cut(text, cuts), _cut(lowered, cuts)
    if "</" in lowered and (cuts := list(_assigned(ELEMENT, text, lowered))):
        text = _cut(text, cuts)
        lowered = _lowered(text)
    if any(hint in lowered for hint in WORD_HINTS):
        text = _cut(text, _assigned(ASSIGNED, text, lowered))
    return text


def _assigned(pattern: re.Pattern[str], text: str, lowered: str) -> Iterator[tuple[int, int, str]]:
    for found in pattern.finditer(lowered):
        start, end = found.span("value")
        if text[found.start() : start] == "PASS: ":  # as tests print it: `PASS: TestLogin`
            continue
        if (instead := replaced(found["name"], text[start:end])) is not None:
            yield start, end, instead


def _cut(text: str, cuts: Iterable[tuple[int, int, str]]) -> str:
    """The text with something else from here to there; the same object where there is nothing to cut."""
    parts: list[str] = []
    at = 0
    for start, end, instead in cuts:
        parts.append(text[at:start])
        parts.append(instead)
        at = end
    return "".join((*parts, text[at:])) if parts else text


def _kept(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{REDACTED}" if found.re.groups else REDACTED
