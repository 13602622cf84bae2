"""Matrix's HTML in and out: neutral text, mentions, and a body as people read it ("m.room.message msgtypes")."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
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
    r"\[([^\[\]\n]{0,200})\]\(https?://matrix\.to/#/([^)?\s]{1,255})(?:\?[^)\s]{0,500})?\)"
)  # how some clients write pills
_TAG = re.compile(r"(/?)([A-Za-z][A-Za-z0-9-]*)")
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""", re.IGNORECASE)
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


def addressed(body: str, names: tuple[str, ...], *, called: bool = False) -> str:
    """A body that begins with one of the bot's own names begins with @watchbell.

    `called`: the sender says that the bot is mentioned, so that its name alone is meant for it.
    """
    begun = body.lstrip()
    for name in sorted(filter(None, names), key=len, reverse=True):
        bare = begun.removeprefix("@") if not name.startswith("@") else begun
        if bare[: len(name)].casefold() != name.casefold():
            continue
        rest = bare[len(name) :]
        if rest[:1] in (":", ","):
            return f"@{BOT} {rest[1:].lstrip()}"
        if (called or begun != bare) and (not rest or rest[0].isspace()):
            return f"@{BOT}{rest}"
        if name.startswith("@") and (not rest or rest[0].isspace()):
            return f"@{BOT}{rest}"
    return body


def decode(
    body: str,
    markup: str,
    people: Mapping[str, str],
    bot: str,
    names: tuple[str, ...] = (),
    *,
    called: bool = False,
) -> str:
    """A body as people read it: pills and user ids become @name of the configuration, the bot's @watchbell.

    `markup` is the formatted_body, or empty; `people` is user id → name; `names` are what the bot is called there;
    `called`: the sender says that it is mentioned.
    """
    known = {**people, bot: BOT}
    text = _MARKDOWN.sub(lambda found: _shown(found, known), body)
    text = _with_pills(text, markup, known)
    text = addressed(text, (bot, *names), called=called)
    return _MXID.sub(lambda found: _named(found[0], known), text)


def pills(markup: str) -> list[tuple[str, str]]:
    """User or room id and text of every matrix.to link of a formatted_body, in order; quotes left out."""
    reader = _Reader()
    reader.feed(markup)
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


class _Reader:
    """Text and pills of a piece of HTML; whatever it is made of, it raises nothing and takes time by its length.

    The standard library's parser goes over what is never closed again and again: minutes for what fits into an event.
    """

    def __init__(self) -> None:
        self.pills: list[tuple[str, str]] = []
        self._parts: list[str] = []
        self._pill: list[str] | None = None
        self._ident = ""
        self._quoted = 0  # how deep in a quote of another message

    def text(self) -> str:
        return "".join(self._parts).strip("\n")

    def feed(self, markup: str) -> None:
        """Read all of it: what stands between < and the next > is a tag, if it begins like one."""
        first, *rest = markup.split("<")
        self._data(first)
        for piece in rest:
            tag, closed, data = piece.partition(">")
            found = _TAG.match(tag)
            if closed and (found is not None or tag[:1] in ("!", "?")):
                if found is not None:
                    self._tag(found[2].casefold(), tag, ends=bool(found[1]))
                self._data(data)
            else:
                self._data(f"<{piece}")

    def _tag(self, name: str, whole: str, *, ends: bool) -> None:
        if name == "mx-reply":
            self._quoted = max(0, self._quoted - 1) if ends else self._quoted + 1
        elif name == "br":
            self._parts.append("\n")
        elif name in _BLOCKS:
            self._break()
        elif name == "a" and ends and self._pill is not None:
            self.pills.append((self._ident, "".join(self._pill)))
            self._pill = None
        elif name == "a" and not ends and not self._quoted:
            self._begin(whole)

    def _begin(self, whole: str) -> None:
        href = _HREF.search(whole)
        found = _TO.match(html.unescape(href[1] or href[2] or href[3] or "")) if href is not None else None
        if found is not None:
            self._pill, self._ident = [], unquote(found[1])

    def _data(self, data: str) -> None:
        if self._quoted or not data:
            return
        told = html.unescape(data)
        self._parts.append(told)
        if self._pill is not None:
            self._pill.append(told)

    def _break(self) -> None:
        if self._parts and not self._parts[-1].endswith("\n"):
            self._parts.append("\n")
