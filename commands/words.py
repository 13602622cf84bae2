"""Words of a line as people type them, on phones too: quoted, `key=value`, `--flag`, or bare."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass

QUOTES = "\"“”„‟«»'‘’‚‛"
DASHES = "-—–―"
_DOUBLE, _SINGLE = '"“”„‟«»', "'‘’‚‛"
_QUOTED = re.compile(
    rf"[{_DOUBLE}]([^{_DOUBLE}]*)[{_DOUBLE}](?!\S)|[{_SINGLE}]([^{_SINGLE}]*)[{_SINGLE}](?!\S)"
)
_WORD = re.compile(r"\S+")
_SPACE = re.compile(r"\s*")
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)=")
_FLAG = re.compile(r"(?:--|[—–―]-?)([A-Za-z][A-Za-z0-9_-]*)(?:=|(?!\S))")  # phones make one dash of two


@dataclass(frozen=True, slots=True)
class Token:
    """One word and where it stands; `key` is of `key=value` and `--key=value`, `flag` of `--flag`."""

    text: str
    start: int
    end: int
    quoted: bool = False
    key: str = ""
    flag: str = ""

    @property
    def unclosed(self) -> bool:
        """Whether it opens a quotation that never ends."""
        return not self.quoted and self.text[:1] != "" and self.text[0] in _DOUBLE

    @property
    def dashed(self) -> bool:
        """Whether it looks like an option; -1 is a number, if a wrong one."""
        return self.text[:1] != "" and self.text[0] in DASHES and not self.text[1:2].isdigit()


def token_at(text: str, start: int, keys: Container[str]) -> Token:
    """The word at `start`; `keys` are those that make a `key=value` one, elsewhere it is a bare word."""
    flag = _FLAG.match(text, start)
    if flag is not None and not flag[0].endswith("="):
        return Token(flag[0], start, flag.end(), flag=flag[1].lower())
    head = flag or _KEY.match(text, start)
    if head is not None and head is not flag and head[1].lower() not in keys:
        head = None
    at = head.end() if head else start
    quoted = quotation(text, at)
    word = _WORD.match(text, at)
    end = quoted.end() if quoted else word.end() if word else at
    value = inside(quoted) if quoted else text[at:end]
    return Token(value, start, end, quoted is not None, head[1].lower() if head else "")


def tokens(text: str, keys: Container[str], at: int = 0, limit: int = 0) -> list[Token]:
    """The words of `text` from `at`, at most `limit` of them where it is not 0."""
    found: list[Token] = []
    while (at := _skip(text, at)) < len(text) and not (limit and len(found) == limit):
        found.append(token_at(text, at, keys))
        at = found[-1].end
    return found


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def quotation(text: str, at: int = 0) -> re.Match[str] | None:
    """The quoted passage that begins at `at` and ends before a space or the end."""
    return _QUOTED.match(text, at) if text[at : at + 1] and text[at] in QUOTES else None


def inside(quoted: re.Match[str]) -> str:
    """What stands between the quotation marks."""
    return quoted[1] or quoted[2] or ""


def unquoted(text: str) -> str:
    """The text without the quotation marks that hold all of it."""
    whole = quotation(text)
    return inside(whole).strip() if whole is not None and whole.end() == len(text) else text


def protected(text: str) -> str:
    """The text in quotation marks that do not occur in it; as it stands where all do."""
    for mark, breaking in (('"', _DOUBLE), ("'", _SINGLE)):
        if not any(c in breaking for c in text):
            return f"{mark}{text}{mark}"
    return text


def option_like(word: str) -> str:
    """The key of an unknown `key=value`, or nothing."""
    found = _KEY.match(word)
    return found[1] if found else ""
