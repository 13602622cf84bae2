"""Secrets taken out of text before it is stored or sent: known values, and what looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

REDACTED = "‹redacted›"

# A text without any of these words holds nothing that a pattern below could find.
_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "authoriz",
    "bearer",
    "://",
    "masterauth",
    "akia",
    "asia",
    "eyj",
    "-----begin",
    "xox",
    "xapp-",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-",
    "sk_",
    "rk_",
    "aiza",
    "syt_",
    "auth ",
)

_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")

_SECRET_WORD = (
    r"(?:pass(?:word|wd|phrase)|\bpwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
    r"|_key|_pass|redis_?auth)"
)
_VALUE = r"(?P<value>\"[^\"\n]{1,500}\"|'[^'\n]{1,500}'|[^\s,;\"'}&<>]{1,2000})"
_ASSIGNED = re.compile(
    rf"(?P<name>{_SECRET_WORD}[\w.-]{{0,40}}[\"']?)(?P<sign>\s{{0,3}}(?:[:=]|=>)\s{{0,3}}){_VALUE}", re.IGNORECASE
)
# Values that are no secret although a word like "token" stands before them: counts, switches, nothing.
_HARMLESS = re.compile(
    r"[\"']?(?:\d{1,6}(?:\.\d+)?[a-z%]{0,3}|true|false|yes|no|null|none|on|off|\*+|‹redacted›|–|-)[\"']?",
    re.IGNORECASE,
)

# Each keeps what group 1 holds and takes the rest away. No pattern has nested repetition or starts twice in one
# run of letters, so that the time is linear in the length of the text.
_PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?i)(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:bearer|basic|digest|token)\s{1,3})?)[^\s\"']{4,4000}",
        r"(?i)(\bbearer\s{1,3})(?=[^\s\"']{0,200}\d)[\w.~+/=-]{8,4000}",
        r"(?i)((?<![\w-])--?(?:password|passwd|pass|token|secret|api-key)[ =]{1,3})[^\s\"']{1,500}",
        r"(?i)(\b(?:requirepass|masterauth)[\"']?\s{1,3}[\"']?)[^\s\"']{1,500}",
        r"(?i)(^\s{0,8}auth\s{1,3})[^\s\"']{4,500}$",
        r"(?i)(\b(?:password|passphrase|passwd|token)\s{1,3}is\s{1,3})(?=[^\s]{0,100}[\d!#$%^*])[^\s]{6,500}",
        r"(?<=:)(//)[^\s/:@'\"<>]{0,256}:(?!\d{1,5}(?:[/?#]|$))[^\s'\"<>]{1,256}@",
        r"(?<=:)(//)[^\s/:@'\"<>]{20,256}@",
        r"()\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"()(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,4000}(?:\.[\w-]{0,4000}){0,3}",
        r"()xox[abeoprs]-[\w-]{8,500}",
        r"()xapp-[\w-]{8,500}",
        r"(hooks\.slack\.com/(?:services|workflows)/)[\w/]{8,200}",
        r"()\bgh[pousr]_[A-Za-z0-9]{20,255}",
        r"()\bgithub_pat_\w{20,255}",
        r"()\bglpat-[\w-]{16,255}",
        r"()(?<![\w-])sk-[\w-]{16,255}",
        r"()\b[sr]k_(?:live|test)_\w{10,255}",
        r"()\bAIza[\w-]{30,60}",
        r"()\bsyt_\w{8,500}",
    )
)


class Redactor:
    """Takes secrets out; `patterns` are further regular expressions, `known_values` secrets of this process.

    A further pattern's first group, where it has one, is kept: `(pin=)\\d+`.
    """

    def __init__(self, patterns: Iterable[str] = (), known_values: Iterable[str] = ()) -> None:
        self._known = tuple(sorted({value for value in known_values if len(value) >= 4}, key=len, reverse=True))
        self._extra = tuple(re.compile(pattern) for pattern in patterns)

    def redact(self, text: str) -> str:
        """The text with each secret replaced by ‹redacted›; the same object where there is none."""
        for value in self._known:
            if value in text:
                text = text.replace(value, REDACTED)
        for pattern in self._extra:
            text = pattern.sub(_kept, text)
        lowered = text.lower()
        for hint in _HINTS:
            if hint in lowered:
                return _thorough(text)
        return text

    def redact_data(self, value: Any) -> Any:
        """The same of every text in plain data, however deep; a value whose key names a secret goes whole."""
        return _deep(value, self.redact)


def _deep(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            (redact(key) if isinstance(key, str) else key): (
                REDACTED if _names_secret(key, item) else _deep(item, redact)
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_deep(item, redact) for item in value)
    return value


_SECRET_NAME = re.compile(_SECRET_WORD + "$", re.IGNORECASE)


def _names_secret(key: Any, value: Any) -> bool:
    if not isinstance(key, str) or not isinstance(value, str) or not value:
        return False
    return _SECRET_NAME.search(key) is not None and _HARMLESS.fullmatch(value) is None


def _thorough(text: str) -> str:
    if "-----BEGIN" in text:
        text = _without_private_keys(text)
    for pattern in _PATTERNS:
        text = pattern.sub(_kept, text)
    return _ASSIGNED.sub(_assigned, text)


def _kept(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{REDACTED}" if found.re.groups else REDACTED


def _assigned(found: re.Match[str]) -> str:
    value, name = found["value"], found["name"].lower()
    if _HARMLESS.fullmatch(value) and (not name.startswith(("pass", "pwd")) or not any(c.isdigit() for c in value)):
        return found[0]
    if REDACTED in value:
        return found[0]
    quote = value[0] if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1 else ""
    return f"{found['name']}{found['sign']}{quote}{REDACTED}{quote}"


def _without_private_keys(text: str) -> str:
    """Private keys as a whole; one without an end goes up to the end of the text."""
    parts: list[str] = []
    at = 0
    while (begin := _BEGIN.search(text, at)) is not None:
        parts += [text[at : begin.start()], REDACTED]
        end = _END.search(text, begin.end())
        at = end.end() if end is not None else len(text)
    return "".join([*parts, text[at:]])
