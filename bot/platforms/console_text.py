"""How the built-in chat writes: plain text, ``` fences for fixed width, @name for a mention."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, tzinfo

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_JOINER = "\u2060"  # shows nothing and breaks a mention or a link in two
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u2800\u3164\uffa0")
_NEUTRAL = str.maketrans({"<": "‹", ">": "›", "`": "ʼ", "@": "@" + _JOINER, "\u2028": "\n", "\u2029": "\n"})


def storable(text: str) -> str:
    """`text` without what no file and no page can hold: lone surrogates and NUL."""
    return re.sub("[\ud800-\udfff\x00]", "\ufffd", text)


def neutral(text: str) -> str:
    """Text from outside without markup, mention, link, and without characters that hide or reorder others."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ").translate(_NEUTRAL)
    return "".join(c for c in text.replace("://", ":" + _JOINER + "//") if _visible(c))


def channel_name(wanted: str) -> str:
    """`wanted` as a name of a channel: small letters, digits, - and _, at most 80 of them."""
    folded = unicodedata.normalize("NFKC", wanted).casefold()
    words = re.sub(r"[^\w]+", "-", folded).strip("-_")
    return words[:80].rstrip("-_") or "channel"


def _visible(c: str) -> bool:
    if c in "\n" + _JOINER:
        return True
    return c not in _INVISIBLE and unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn")


class ConsoleMarks:
    """The marks of the built-in chat; `zone` is the one that times are told in."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone

    def escape(self, text: str) -> str:
        """Text from outside, neutral: no markup, no mention, no link."""
        return neutral(text.replace(_JOINER, ""))

    def mention(self, person: str) -> str:
        """A real mention of a person of the configuration."""
        return f"@{person}"

    def time(self, at: datetime, form: str) -> str:
        """`clock`: 02:45 CET; `date`: 3 Jan 02:45 CET."""
        local = at.astimezone(self._zone)
        clock = f"{local:%H:%M} {local.tzname()}"
        return clock if form == "clock" else f"{local.day} {MONTHS[local.month - 1]} {clock}"

    def code(self, text: str) -> str:
        """A block of fixed width (the text is already neutral)."""
        return f"```\n{text.strip(chr(10))}\n```"

    def link(self, url: str) -> str:
        """The address itself: the page makes it one that can be followed."""
        return url

    def bold(self, text: str) -> str:
        """The same text: the first line of a card stands out by itself."""
        return text
