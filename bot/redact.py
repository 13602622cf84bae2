"""Secrets taken out of text before it is stored or sent: known values, and what looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

REDACTED = "‹redacted›"

_WORDS = (
    r"(?:pass(?:word|wd|phrase)|\bpwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
    r"|(?<!group)(?<!primary)(?<!foreign)(?<!routing)(?<!public)_key|_pass|redis_?auth)"
)
_WORD_HINTS = ("pass", "pwd", "secret", "token", "key", "credential", "redisauth", "redis_auth")
_VALUE = r"(?P<value>\"[^\"\n]{1,500}\"|'[^'\n]{1,500}'|[^\s,;\"'}&<>]{1,2000})"
_ASSIGNED = re.compile(
    rf"(?P<name>{_WORDS}[\w.-]{{0,40}}[\"']?)(?P<sign>\s{{0,3}}(?:[:=]|=>)\s{{0,3}}){_VALUE}", re.IGNORECASE
)
_NAME = re.compile(_WORDS + "$", re.IGNORECASE)
# Values that are no secret although a word like "token" stands before them: counts, switches, nothing.
_HARMLESS = re.compile(
    r"[\"']?(?:\d{1,6}(?:\.\d+)?[a-z%]{0,3}|true|false|yes|no|null|none|on|off|\*+|‹redacted›|–|-)[\"']?",
    re.IGNORECASE,
)

# Each pattern stands beside small letters of which a text holds some where it may match. What group 1 matches
# is kept, the rest goes. No pattern repeats what repeats, and each begins with letters of its own or looks
# behind, so that the time is linear in the length of the text.
_PATTERNS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (hints, re.compile(pattern))
    for hints, pattern in (
        (
            ("authoriz",),
            r"(?i)(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:[a-z]{1,10}\s{1,3})?+)(?!‹)[^\s\"']{4,4000}",
        ),
        (("bearer",), r"(?i)(\bbearer\s{1,3})(?=[^\s\"']{0,200}\d)[\w.~+/=-]{8,4000}"),
        (
            ("--pass", "-pass", "-token", "-secret", "-api-key"),
            r"(?i)((?<![\w-])--?(?:password|passwd|pass|token|secret|api-key)[ =]{1,3})(?!‹)[^\s\"']{1,500}",
        ),
        (
            ("requirepass", "masterauth"),
            # On the next line only where it stands alone there, as in an answer of Redis's own client.
            (
                r"(?im)(\b(?:requirepass|masterauth)[\"']?"
                r"(?:[^\S\n]{1,3}|\s{0,2}\n\s{0,2}(?:\d{1,3}\)\s)?(?=\S{1,500}$))[\"']?)[^\s\"']{1,500}"
            ),
        ),
        (("auth ",), r"(?im)(^\s{0,8}auth\s{1,3})[^\s\"']{4,500}$"),
        (
            ("passwor", "passphrase", "passwd", "token"),
            r"(?i)(\b(?:password|passphrase|passwd|token)\s{1,3}is\s{1,3})(?=[^\s]{0,100}[\d!#$%^*])[^\s]{6,500}",
        ),
        (("://",), r"(?<=:)(//)[^\s/:@'\"<>]{0,256}:(?!\d{1,5}(?:[/?#]|$))[^\s'\"<>]{1,256}@"),
        (("://",), r"(?<=:)(//)[^\s/:@'\"<>]{20,256}@"),
        (("akia", "asia"), r"()\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        (("eyj",), r"()(?<![\w-])eyJ[\w-]{8,4000}\.[\w-]{8,4000}(?:\.[\w-]{0,4000}){0,3}"),
        (("xox",), r"()xox[abeoprs]-[\w-]{8,500}"),
        (("xapp-",), r"()xapp-[\w-]{8,500}"),
        (("hooks.slack.com",), r"(hooks\.slack\.com/(?:services|workflows)/)[\w/]{8,200}"),
        (("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"()\bgh[pousr]_[A-Za-z0-9]{20,255}"),
        (("github_pat_",), r"()\bgithub_pat_\w{20,255}"),
        (("glpat-",), r"()\bglpat-[\w-]{16,255}"),
        (("sk-",), r"()(?<![\w-])sk-[\w-]{16,255}"),
        (("k_live_", "k_test_"), r"()\b[sr]k_(?:live|test)_\w{10,255}"),
        (("aiza",), r"()\bAIza[\w-]{30,60}"),
        (("syt_",), r"()\bsyt_\w{8,500}"),
    )
)
# A text without any of these holds nothing to be found; those that hold a shorter one are left out.
_HINTS = tuple(
    hint
    for hint in dict.fromkeys(
        ["-----begin", *_WORD_HINTS, *(hint for hints, _ in _PATTERNS for hint in hints)]
    )
    if not any(other != hint and other in hint for other in _WORD_HINTS)
)
_WORD = 500  # characters; what is longer is a document, not a secret
_BETWEEN = " \n\t,;\"'{}[]()&<>|"  # what stands between words
_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


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
        lowered = text.lower()
        for hint in _HINTS:
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

        A text whose key names a secret goes as a whole.
        """
        return _deep(value, self.redact)


def _deep(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            _deep(key, redact): REDACTED if _names_secret(key, item) else _deep(item, redact)
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


def _names_secret(key: Any, value: Any) -> bool:
    if not isinstance(key, str) or not isinstance(value, str) or not value:
        return False
    return _NAME.search(key) is not None and _HARMLESS.fullmatch(value) is None


def _thorough(text: str, lowered: str) -> str:
    if "-----begin" in lowered:
        text = _without_private_keys(text)
    for hints, pattern in _PATTERNS:
        for hint in hints:
            if hint in lowered:
                text = pattern.sub(_kept, text)
                break
    return _ASSIGNED.sub(_assigned, text)


def _kept(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{REDACTED}" if found.re.groups else REDACTED


def _assigned(found: re.Match[str]) -> str:
    value, name = found["value"], found["name"].lower()
    number_for_password = name.startswith(("pass", "pwd")) and any(c.isdigit() for c in value)
    if REDACTED in value or (_HARMLESS.fullmatch(value) and not number_for_password):
        return found[0]
    quote = value[0] if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0] else ""
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
