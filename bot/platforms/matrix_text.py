"""Matrix's HTML in and out: neutral text, mentions, and a body as people read it ("m.room.message msgtypes")."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from html.parser import HTMLParser
from urllib.parse import quote, unquote

from bot.platforms.console_text import neutral
from incidents import wording
from incidents.events import BOT

_JOINER = "\u2060"  # a word joiner: shows nothing, and what stands beside it is no link any more
_ADDRESS = re.compile(r"https?://[^\s<>\"'|]+")
_TO = re.compile(r"https?://matrix\.to/#/([^?]+)")
# What clients make a link of: an alias or a room id with its server. Other signs stay, so that they can be copied.
_ROOM = re.compile(r"([#!+])(?=[^\s:]{1,255}:\w)")
_PRE = re.compile(r"(<pre>.*?</pre>)", re.DOTALL)
_QUOTED = re.compile(r"(?:>[^\n]*(?:\n|\Z))+\n?")
_MXID = re.compile(r"@[^:@\s]{1,200}:[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?(?::\d{1,5})?")
_MARKDOWN = re.compile(
    r"\[([^\]\n]*)\]\(https?://matrix\.to/#/([^)?\s]+)[^)\s]*\)"
)  # how some clients write pills
_BLOCKS = frozenset(
    {"p", "div", "pre", "blockquote", "ul", "ol", "li", "table", "tr", "h1", "h2", "h3", "h4"}
)


class MatrixMarks:
    """How Matrix writes what templates ask for; `people` is user id → name of the configuration."""

    def __init__(self, zone: tzinfo, people: Mapping[str, str]) -> None:
        self._zone = zone
        self._ids = {name: user for user, name in reversed(list(people.items()))}

    def escape(self, text: str) -> str:
        """Text from outside, neutral: no markup, no mention, no link, nothing hidden."""
        told = neutral(text.replace(_JOINER, ""))
        return _ROOM.sub(lambda found: found[1] + _JOINER, told).replace("&", "&amp;")

    def mention(self, person: str) -> str:
        """A real mention ("User, room, and group mentions"); of somebody without an account only the name."""
        user = self._ids.get(person)
        if user is None:
            return self.escape(person)
        return f'<a href="{permalink(user)}">@{self.escape(person)}</a>'

    def time(self, at: datetime, form: str) -> str:
        """`clock`: 02:45 CET; `date`: 3 Jan 02:45 CET; in the team's zone, for Matrix has no dates of its own."""
        local = wording.local(at, self._zone)
        told = f"{local:%H:%M} {wording.abbreviation(local)}"
        return told if form == "clock" else f"{wording.day(local).rpartition(' ')[0]} {told}"

    def code(self, text: str) -> str:
        """A block of fixed width (the text is already neutral)."""
        return f"<pre><code>{text.strip(chr(10))}</code></pre>"

    def bold(self, text: str) -> str:
        """Strong, line by line (the text is already neutral)."""
        return "\n".join(
            f"<strong>{line.strip()}</strong>" if line.strip() else line for line in text.split("\n")
        )

    def link(self, url: str) -> str:
        """An address of the configuration, to be followed (already neutral); anything strange stays text."""
        return f'<a href="{url}">{url}</a>' if _ADDRESS.fullmatch(url) else url

    def user_of(self, person: str) -> str | None:
        """The account of a person of the configuration, or None."""
        return self._ids.get(person)


def permalink(ident: str) -> str:
    """The matrix.to address of a user or a room ("matrix.to navigation")."""
    return f"https://matrix.to/#/{quote(ident, safe='@!#:$.-_')}"


def formatted(text: str) -> str:
    """Our markup as `formatted_body`: line ends become breaks, but for those in blocks of code."""
    parts = _PRE.split(text)
    for index in range(0, len(parts), 2):  # the odd ones are the blocks, which stand alone on their lines
        part = parts[index]
        part = part.removeprefix("\n") if index else part
        part = part.removesuffix("\n") if index + 1 < len(parts) else part
        parts[index] = part.replace("\n", "<br/>")
    return "".join(parts)


def plain(text: str) -> str:
    """Our own markup as plain text."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.text()


def told_plainly(text: str) -> str:
    """Escaped text without its entities, for where Matrix takes plain text: topics and names."""
    return html.unescape(text)


def as_markup(text: str) -> str:
    """Our own plain text as HTML."""
    return html.escape(text, quote=False)


def without_quote(body: str) -> str:
    """A reply without the lines of the message that it answers ("Rich replies", fallbacks)."""
    return body[found.end() :] if (found := _QUOTED.match(body)) else body


def addressed(body: str, names: tuple[str, ...]) -> str:
    """A body that begins with one of the bot's own names begins with @watchbell."""
    begun = body.lstrip()
    for name in sorted(filter(None, names), key=len, reverse=True):
        bare = begun.removeprefix("@") if not name.startswith("@") else begun
        if bare[: len(name)].casefold() != name.casefold():
            continue
        rest = bare[len(name) :]
        if rest[:1] in (":", ","):
            return f"@{BOT} {rest[1:].lstrip()}"
        if begun != bare and (not rest or rest[0].isspace()):
            return f"@{BOT}{rest}"
        if name.startswith("@") and (not rest or rest[0].isspace()):
            return f"@{BOT}{rest}"
    return body


def decode(body: str, markup: str, people: Mapping[str, str], bot: str, names: tuple[str, ...] = ()) -> str:
    """A body as people read it: pills and user ids become @name of the configuration, the bot's @watchbell.

    `markup` is the formatted_body, or empty; `people` is user id → name; `names` are what the bot is called there.
    """
    known = {**people, bot: BOT}
    text = _MARKDOWN.sub(lambda found: _shown(found, known), body)
    text = _with_pills(text, markup, known)
    text = addressed(text, (bot, *names))
    return _MXID.sub(lambda found: _named(found[0], known), text)


def pills(markup: str) -> list[tuple[str, str]]:
    """User or room id and text of every matrix.to link of a formatted_body, in order; quotes left out."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader.pills


def _named(user: str, known: Mapping[str, str]) -> str:
    return f"@{known[user]}" if user in known else user


def _shown(found: re.Match[str], known: Mapping[str, str]) -> str:
    ident = unquote(found[2])
    return f"@{known[ident]}" if ident in known else found[1]


def _with_pills(body: str, markup: str, known: Mapping[str, str]) -> str:
    """The body with what stands for a pill replaced, from left to right; what is not found there stays."""
    told, rest = "", body
    for ident, shown in pills(markup) if "matrix.to" in markup else ():
        before, found, after = rest.partition(shown) if shown else (rest, "", "")
        if found and ident in known:
            told, rest = f"{told}{before.removesuffix('@')}@{known[ident]}", after
    return told + rest


class _Reader(HTMLParser):
    """Text and pills of a piece of HTML; whatever it is made of, it raises nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pills: list[tuple[str, str]] = []
        self._parts: list[str] = []
        self._pill: list[str] | None = None
        self._ident = ""
        self._quoted = 0  # how deep in a quote of another message

    def text(self) -> str:
        return "".join(self._parts).strip("\n")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "mx-reply":
            self._quoted += 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag in _BLOCKS:
            self._break()
        found = _TO.match(dict(attrs).get("href") or "") if tag == "a" else None
        if found is not None and not self._quoted:
            self._pill, self._ident = [], unquote(found[1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "mx-reply":
            self._quoted = max(0, self._quoted - 1)
        elif tag in _BLOCKS:
            self._break()
        elif tag == "a" and self._pill is not None:
            self.pills.append((self._ident, "".join(self._pill)))
            self._pill = None

    def handle_data(self, data: str) -> None:
        if self._quoted:
            return
        self._parts.append(data)
        if self._pill is not None:
            self._pill.append(data)

    def _break(self) -> None:
        if self._parts and not self._parts[-1].endswith("\n"):
            self._parts.append("\n")
