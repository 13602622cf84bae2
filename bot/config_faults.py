"""Faults of a configuration: where each one is, what is wrong in one line, and what was probably meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

KeyPath = tuple[str | int, ...]

_LONGEST_LIST = 8  # so many names are listed where none is near
_LONGEST_WORD = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong; `line` counts from 1 and is None where no file is to blame."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.key, self.message) if part)


class ConfigError(Exception):
    """A configuration cannot be used; its text has one line for every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = list(faults)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault before it has a file: `line` is given where it is not that of the key."""

    path: KeyPath
    message: str
    line: int | None = None


def dotted(path: KeyPath) -> str:
    """A path as people write it: policies.ish.severities.critical.steps[1].to"""
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words.append(f"[{part}]")
        else:
            word = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else quoted(part)
            words.append(f".{word}" if words else word)
    return "".join(words)


def quoted(text: str) -> str:
    """A text out of the file in quotes, on one line, cut where it is long."""
    short = text if len(text) <= _LONGEST_WORD else f"{text[: _LONGEST_WORD - 1]}…"
    return json.dumps(short, ensure_ascii=not short.isprintable())


def printable(text: str) -> str:
    """The text on one line, without control characters: names out of the file may hold any."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """There is no such thing, and the nearest one that there is."""
    return f"there is no {what} {quoted(word)}{meant(word, known)}"


def meant(word: str, known: Iterable[str]) -> str:
    """What follows an unknown word: the nearest known one, or all where they are few, or nothing."""
    names = {_folded(name): name for name in known if name}
    if len(word) <= _LONGEST_WORD:
        near = get_close_matches(_folded(word), names, n=1, cutoff=0.7)
        if near:
            return f"; did you mean {names[near[0]]}?"
    if 0 < len(names) <= _LONGEST_LIST:
        return f"; there are: {', '.join(names.values())}"
    return ""


def _folded(word: str) -> str:
    return re.sub(r"[\s-]", "_", word.casefold())


# -- reading a tree that may have any shape ---------------------------------------------------------


def each(data: Any, pattern: str) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that a pattern such as `rotas.*.members.*` names; other shapes are passed over."""
    found: list[tuple[KeyPath, Any]] = [((), data)]
    for word in pattern.split("."):
        if word == "*":
            found = [((*path, key), item) for path, value in found for key, item in _items(value)]
        else:
            found = [
                ((*path, word), value[word])
                for path, value in found
                if isinstance(value, dict) and word in value
            ]
    yield from found


def each_text(data: Any, pattern: str) -> Iterator[tuple[KeyPath, str]]:
    """As `each`, texts only."""
    return ((path, value) for path, value in each(data, pattern) if isinstance(value, str))


def leaves(data: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is neither a mapping nor a list, with its path."""
    if isinstance(data, dict | list):
        for key, item in _items(data):
            yield from leaves(item, (*path, key))
    else:
        yield path, data


def mapping(data: Any, *keys: str) -> dict[str, Any]:
    """The mapping at `keys`, empty where there is none."""
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def texts(value: Any) -> list[str]:
    """The texts of a list, empty for anything else."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _items(value: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()
