"""A message's text as HTML: blocks of fixed width, links, mentions; everything else escaped."""

from __future__ import annotations

import re
from collections.abc import Collection

from markupsafe import Markup, escape

_FENCE = re.compile(r"```[^\S\n]*\n?(.*?)\n?[^\S\n]*```", re.DOTALL)
_INLINE = re.compile(
    r"(?P<url>https?://[^\s<>\"'‹›`]+[^\s<>\"'‹›`.,;:!?)\]])"
    r"|(?<![\w@.`])@(?P<name>\w(?:[\w.-]*\w)?)"
    r"|`(?P<code>[^`\n]{1,200})`"
)

# The first sign of a card says what it is (see the message templates); colour only repeats it.
TONES = {
    "🔴": "rank-0",
    "🟠": "rank-1",
    "🟡": "rank-2",
    "🔵": "rank-3",
    "🟢": "good",
    "✅": "good",
    "🔐": "ask",
    "⏳": "ask",
    "⏰": "late",
    "🔔": "late",
    "⚠": "warn",
    "❓": "warn",
    "❌": "warn",
    "🛎": "warn",
}


def tone(text: str) -> str:
    """The accent of a card, by its first sign; "" for any other text."""
    return TONES.get(text.lstrip()[:1], "")


def markup(text: str, mentionable: Collection[str], me: str = "", *, lead: bool = False) -> Markup:
    """The text as HTML; `mentionable` names are marked, `me` more so. `lead`: the first line stands out."""
    parts: list[Markup] = []
    at = 0
    for fence in _FENCE.finditer(text):
        parts.append(_prose(text[at : fence.start()], mentionable, me, lead=lead and not parts))
        parts.append(Markup('<pre tabindex="0">{}</pre>').format(fence[1].strip("\n")))
        at = fence.end()
    parts.append(_prose(text[at:], mentionable, me, lead=lead and not parts))
    return Markup("").join(parts)


def _prose(text: str, mentionable: Collection[str], me: str, *, lead: bool) -> Markup:
    text = text.strip("\n")
    if not text.strip():
        return Markup("")
    first, newline, rest = text.partition("\n")
    if not lead:
        return Markup("<p>{}</p>").format(_inline(text, mentionable, me))
    head = Markup('<p class="lead">{}</p>').format(_inline(first, mentionable, me))
    return head + _prose(rest, mentionable, me, lead=False) if newline else head


def _inline(text: str, mentionable: Collection[str], me: str) -> Markup:
    parts: list[Markup] = []
    at = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[at : found.start()]))
        parts.append(_piece(found, mentionable, me))
        at = found.end()
    parts.append(escape(text[at:]))
    return Markup("").join(parts)


def _piece(found: re.Match[str], mentionable: Collection[str], me: str) -> Markup:
    if url := found["url"]:
        return Markup('<a href="{}" target="_blank" rel="noopener noreferrer nofollow">{}</a>').format(
            url, url
        )
    if code := found["code"]:
        return Markup("<code>{}</code>").format(code)
    name = found["name"]
    if name not in mentionable:
        return escape(found[0])
    kind = "mention me" if name == me else "mention"
    return Markup('<span class="{}">@{}</span>').format(kind, name)
