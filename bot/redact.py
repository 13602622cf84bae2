"""Secrets taken out of text before it is stored or sent: known values, and what looks like a secret."""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_left
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
_NUMBERS = frozenset([int, float, bool, type(None)])
_SHORT, _REMEMBERED = 64, 4096  # characters of a text that is remembered, and how many are
_ENCODED = 8  # characters of a known value that is looked for in base64 as well
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_BETWEEN = " \n\t,;\"'{}[]()&<>|"  # what stands between words


class Redactor:
    """Takes secrets out; `patterns` are further regular expressions, `known_values` secrets of this process.

    Of a further pattern the first group, where it has one, is kept: `(pin=)\\d+`.
    """

    def __init__(self, patterns: Iterable[str] = (), known_values: Iterable[str] = ()) -> None:
        known = {v for v in known_values if len(v) >= 4}
        self._known = _Known(known)
        self._encoded = _Known({part for v in known if len(v) >= _ENCODED for part in _base64(v)})
        self._extra = tuple(re.compile(pattern) for pattern in patterns)

    def redact(self, text: str) -> str:
        """The text with each secret replaced by ‹redacted›; the same object where there is none."""
        for value in self._known.within(text):
            text = text.replace(value, REDACTED)
        for part in self._encoded.within(text):
            text = _without_words(text, part)
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
        return _Pass(self.redact).clean(value)


class _Known:
    """Texts to be found in others, the longest first; those that are longer than the other cannot be in it."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = sorted(texts, key=lambda text: (-len(text), text))
        self._lengths = [-len(text) for text in self._texts]

    def within(self, text: str) -> Iterator[str]:
        """Those that are in it; when it is longer than all, all have to be looked for."""
        for number in range(bisect_left(self._lengths, -len(text)), len(self._texts)):
            if self._texts[number] in text:
                yield self._texts[number]


def _base64(value: str) -> Iterator[str]:
    """What stands in every base64 of a text with this value in it, as of `user:password` (RFC 7617, 2).

    Three bytes become four letters, so there are three ways for it to begin; the first and the last letter may hold
    bits of what stands beside it, and are left out.
    """
    data = value.encode()
    for before, skipped in ((0, 0), (1, 2), (2, 3)):
        yield b64encode(b"\0" * before + data).decode()[skipped : (before + len(data)) * 8 // 6]


def _without_words(text: str, part: str) -> str:
    """The text without each word of base64 that `part` is in."""
    parts = text.split(part)
    ends = [parts[0].rstrip(_LETTERS), *(p.strip(_LETTERS) for p in parts[1:-1]), parts[-1].lstrip(_LETTERS)]
    return REDACTED.join(ends)


class _Pass:
    """One run over some data. A server's answer may hold a million numbers, or the same keys and words over and over:
    the former are let through at a glance, the latter are looked at once.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._texts: dict[str, str] = {}
        self._names: dict[str, bool] = {}

    def clean(self, value: Any) -> Any:
        """The value without secrets; what is no data stays as it is."""
        kind = type(value)
        if kind in _NUMBERS:
            return value
        if kind is list:
            return [item if type(item) in _NUMBERS else self.clean(item) for item in value]
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(self.clean, value))
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)(map(self.clean, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(
                value, **{f.name: self.clean(getattr(value, f.name)) for f in fields(value) if f.init}
            )
        return value

    def _mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        return {
            self.clean(key): REDACTED
            if self._hides(key, item) or (_values(key) and self._hides(_named(value), item))
            else self.clean(item)
            for key, item in value.items()
        }

    def _text(self, text: str) -> str:
        if len(text) > _SHORT:
            return self._redact(text)
        found = self._texts.get(text)
        if found is None:
            found = self._redact(text)
            if len(self._texts) < _REMEMBERED:
                self._texts[text] = found
        return found

    def _hides(self, key: Any, value: Any) -> bool:
        """As `hides`."""
        if not isinstance(key, str):
            return False
        names = self._names.get(key)
        if names is None:
            names = names_secret(key)
            if len(self._names) < _REMEMBERED:
                self._names[key] = names
        return names and _tells(key, value)


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


def _values(key: Any) -> bool:
    return isinstance(key, str) and len(key) == 5 and key.lower() == "value"


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
            cuts = [
                (found.end(1) if pattern.groups else found.start(), found.end(), REDACTED)
                for found in pattern.finditer(text)
            ]
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
