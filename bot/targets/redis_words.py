"""What both a real Redis and the sandbox's is told by: which keys a pattern means, and sizes."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

GIB = 1024**3
_PLAIN = re.compile(r"[^*?\[\]\\]*")
# Wildcards and sets of characters, as Redis reads them: a set ends at the first bracket without a backslash.
_WILD = re.compile(r"(?:[*?]|\[(?:\\.|[^\]\\])*(?:\]|\\?$))*", re.DOTALL)
_SIZE = re.compile(r"([0-9]{1,12})(b|kb|mb|gb)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": GIB}


def fits(key: str, patterns: tuple[str, ...]) -> bool:
    """Whether a key fits one of the patterns (`*`, `?`, `[ab]`)."""
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def is_wild(pattern: str) -> bool:
    """Whether a pattern says nothing of a key for certain, as `*`, `?*` and `[^]*`."""
    return _WILD.fullmatch(pattern) is not None


def masked(key: str, refused: tuple[str, ...]) -> str:
    """A key as it may be shown: who knows the rest of a session's name has the session."""
    for pattern in refused:
        if fnmatchcase(key, pattern):
            plain = _PLAIN.match(pattern)
            return f"{key[: (plain.end() if plain else 0) + 4]}…"
    return key


def size(count: int) -> str:
    """Bytes exactly, as Redis takes them: `2gb`, `512mb`, `1500kb`, `1234567`; `0` is no limit."""
    for unit, each in (("gb", GIB), ("mb", 1024**2), ("kb", 1024)):
        if count >= each and count % each == 0:
            return f"{count // each}{unit}"
    return str(count)


def human(count: int) -> str:
    """Bytes roughly, as people read them: `1.4 GiB`."""
    if count >= GIB:
        return f"{count / GIB:.1f} GiB"
    return f"{count / 1024**2:.0f} MiB" if count >= 1024**2 else f"{count / 1024:.0f} KiB"


def bytes_of(words: str) -> int | None:
    """The bytes that `2gb`, `512mb` or `1048576` are; None for what is no size."""
    read = _SIZE.fullmatch(words)
    return int(read[1]) * _UNITS[(read[2] or "").lower()] if read is not None else None


def allowed(count: int) -> str:
    """A limit of memory as people read it: `2gb`, `no limit`."""
    return size(count) if count else "no limit"
