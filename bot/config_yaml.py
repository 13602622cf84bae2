"""YAML as plain data with the line of every key: bounded, and without the surprises of YAML 1.1."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from bot.config_faults import Finding, KeyPath, quoted

MOST_BYTES = 1_000_000
DEEPEST = 24  # levels; libyaml takes quadratic time for deep ones

# libyaml parses as a stream of events and many times faster; a PyYAML built without it works too.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Of YAML 1.2's core schema what people mean. `yes`, `on`, 0x1f, 012, 1:30, +49… and dates stay text.
_NULL = frozenset(["", "~", "null", "Null", "NULL"])
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?[0-9]{1,17}\.[0-9]{1,17}")


class UnreadableError(Exception):
    """A file is no YAML that can be read; `line` counts from 1."""

    def __init__(self, line: int | None, why: str) -> None:
        super().__init__(why)
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says: plain data, the line of every key and list item, and what is wrong with the YAML."""

    data: Any
    lines: Mapping[KeyPath, int]
    findings: tuple[Finding, ...]

    def line(self, path: KeyPath) -> int | None:
        """The line of a path, or of the nearest thing around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 1


def read(raw: bytes) -> Document:
    """The document in a file's bytes (UTF-8); UnreadableError where nothing can be made of it."""
    if len(raw) > MOST_BYTES:
        raise UnreadableError(None, f"the file is larger than {MOST_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UnreadableError(line, "this is no text in UTF-8") from error
    # YAML takes these for ends of a line and editors do not: they hide things, and no number would be right.
    if hidden := re.search("[\x85\u2028\u2029]", text):
        line = len(re.findall(r"\r\n|\r|\n", text[: hidden.start()])) + 1
        raise UnreadableError(line, f"there is a control character (U+{ord(hidden[0]):04X}) here")
    composer = _Composer(yaml.parse(text, Loader=_LOADER))
    try:
        data = composer.document()
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(error, text) from error
    except yaml.reader.ReaderError as error:
        line = text.encode().count(b"\n", 0, error.position) + 1
        raise UnreadableError(line, f"there is a control character (U+{_code(error):04X}) here") from error
    return Document(data, composer.lines, tuple(composer.findings))


def _code(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character[:1] or "\0")


def _not_yaml(error: yaml.MarkedYAMLError, text: str) -> UnreadableError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else None
    why = f"this is not YAML: {error.problem or error.context}"
    if error.problem and "cannot start any token" in error.problem and line is not None:
        source = text.split("\n")[line - 1 : line]
        tabbed = any("\t" in s[: len(s) - len(s.lstrip())] for s in source)
        why += (
            "; indent with spaces, not tabs" if tabbed else "; put text that begins with @, ` or % in quotes"
        )
    return UnreadableError(line, why)


def _too_deep(event: Any) -> UnreadableError:
    return UnreadableError(event.start_mark.line + 1, f"this is nested more than {DEEPEST} levels deep")


class _Composer:
    """Builds data from YAML's events and keeps the line of everything."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self.lines: dict[KeyPath, int] = {}
        self.findings: list[Finding] = []

    def document(self) -> Any:
        """The first document; a second one is a fault."""
        next(self._events)  # the stream starts
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._node(next(self._events), ())
        next(self._events)  # the document ends
        following = next(self._events)
        if isinstance(following, yaml.DocumentStartEvent):
            self._fault((), following, "a second document begins here; a configuration is one")
        return data

    def _fault(self, path: KeyPath, event: Any, message: str) -> None:
        self.findings.append(Finding(path, message, event.start_mark.line + 1))

    def _node(self, event: Any, path: KeyPath) -> Any:
        if len(path) > DEEPEST:
            raise _too_deep(event)
        if isinstance(event, yaml.AliasEvent):
            self._fault(path, event, "aliases (*name) are not read; write it out")
            return None
        if event.tag is not None:
            self._fault(path, event, f"tags are not read; leave out {quoted(event.tag)}")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        return _scalar(event.value) if event.implicit[0] else event.value

    def _sequence(self, path: KeyPath) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(found))
            self.lines[here] = event.start_mark.line + 1
            found.append(self._node(event, here))
        return found

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is None or key in found:
                self._skip(next(self._events))
                continue
            self.lines[(*path, key)] = event.start_mark.line + 1
            found[key] = self._node(next(self._events), (*path, key))
        return found

    def _key(self, event: Any, path: KeyPath) -> str | None:
        """A key is text, whatever it looks like: 8009 and yes are names here."""
        if isinstance(event, yaml.ScalarEvent) and event.tag is None:
            first = self.lines.get((*path, event.value))
            if first is not None:
                self._fault((*path, event.value), event, f"this key is here twice, first in line {first}")
            return str(event.value)
        self._fault(path, event, "a key has to be a plain word")
        self._skip(event)
        return None

    def _skip(self, event: Any) -> None:
        """Read over a node."""
        depth = 0
        while True:
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise _too_deep(event)
            if depth == 0:
                return
            event = next(self._events)


def _scalar(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
