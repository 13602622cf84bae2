"""Templates into the text of a platform: everything from outside neutral, times and mentions its own way."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context

from bot.answers import laid_out
from bot.chat import Marks, Upload
from bot.resources import resource
from commands.actions import Answer
from incidents import wording
from incidents.events import BOT

_JOINER = "\u2060"  # a word joiner: invisible, and what follows @ is no name any more
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_CALL = re.compile(r"(?<!\w)@(?=(?:room|everyone|here|channel|all)\b)", re.IGNORECASE)
_BRACKETS = str.maketrans({"<": "‹", ">": "›"})
_LINK = re.compile(r"(https?://)([A-Za-z0-9._~:/?#\[\]!$&()*+,;=%-]{1,2000})")
_BLANKS = re.compile(r"[ \t]+(?=\n)")  # at the end of a line
_NEAR = timedelta(hours=12)  # times further away are told with their date
_LONGEST = 1500


class Marked(str):
    """Text in a platform's own markup; it is not escaped again."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """Text in the platform's markup, and the people really mentioned in it."""

    text: str
    mentions: tuple[str, ...] = ()


class PlainMarks:
    """No markup at all: for lock screens, text messages and logs."""

    def __init__(self, zone: str | tzinfo = UTC) -> None:
        self._zone = ZoneInfo(zone) if isinstance(zone, str) else zone

    def escape(self, text: str) -> str:
        """Without controls and angle brackets; nobody is mentioned by it."""
        if text.isascii() and text.isprintable() and "@" not in text and "<" not in text and ">" not in text:
            return text
        text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).translate(_BRACKETS)
        return _MENTION.sub("@" + _JOINER, _CALL.sub("@" + _JOINER, text))

    def mention(self, person: str) -> str:
        """@alice."""
        return f"@{person}"

    def time(self, at: datetime, form: str) -> str:
        """`clock`: 02:45 CET; `date`: 3 Jan 02:45 CET."""
        local = wording.local(at, self._zone)
        told = f"{local:%H:%M} {wording.abbreviation(local)}"
        return told if form == "clock" else f"{wording.day(local).rpartition(' ')[0]} {told}"

    def code(self, text: str) -> str:
        """The same text."""
        return text

    def bold(self, text: str) -> str:
        """The same text."""
        return text

    def link(self, url: str) -> str:
        """The same text."""
        return url


class Renderer:
    """Renders templates/chat; `zone` is the team's, for plain text."""

    def __init__(self, zone: str = "UTC") -> None:
        self.plain_marks = PlainMarks(zone)
        self._environment = _environment()
        self._templates: dict[str, Template] = {}

    def render(self, template: str, data: Mapping[str, Any], marks: Marks) -> Rendered:
        """The template `NAME.j2` filled with plain data; raises jinja2.UndefinedError for what is missing."""
        mentions: dict[str, None] = {}
        text = self.template(template).render({**data, "_marks": marks, "_mentions": mentions})
        return Rendered(_BLANKS.sub("", text).strip("\n "), tuple(mentions))

    def template(self, name: str) -> Template:
        """The template, translated at its first use."""
        found = self._templates.get(name)
        if found is None:
            found = self._templates[name] = self._environment.get_template(f"{name}.j2")
        return found

    def plain(self, template: str, data: Mapping[str, Any]) -> str:
        """The same as plain text."""
        return self.render(template, data, self.plain_marks).text

    def answer(self, answer: Answer, marks: Marks) -> tuple[str, Upload | None]:
        """An answer as text; what is long becomes a file, with the three lines that matter above it."""
        data, upload = laid_out(answer)
        return self.render("answer", data, marks).text, upload

    @property
    def names(self) -> list[str]:
        """Every template there is."""
        return sorted(path.stem for path in resource("templates", "chat").glob("[!_]*.j2"))


@cache
def _environment() -> Environment:
    """The templates, each translated into Python once."""
    made = Environment(
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=400,
        autoescape=False,  # noqa: S701  # no HTML here: `finalize` escapes for the platform at hand
    )
    made.filters.update(_FILTERS)
    return made


_INCLUDE = re.compile(r'\{% include "(_\w+)\.j2" %\}')


def _source(name: str) -> str | None:
    """A template with what it includes put in its place, which renders faster than an include does."""
    try:
        text = resource("templates", "chat", name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return _INCLUDE.sub(lambda found: (_source(f"{found[1]}.j2") or "").removesuffix("\n"), text)


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    if isinstance(value, Marked):
        return value
    if isinstance(value, int):
        return str(value)
    marks: Marks = context["_marks"]
    return marks.escape(str(value))


# -- filters --------------------------------------------------------------------------------------


def _moment(value: str | datetime) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)


@pass_context
def _mention(context: Context, people: str | Iterable[str]) -> Marked:
    """A real mention of each: @alice and @bob."""
    marks, mentions = context["_marks"], context["_mentions"]
    names = [people] if isinstance(people, str) else list(people)
    mentions.update(dict.fromkeys(names))
    return Marked(wording.listed(marks.mention(name) for name in names))


@pass_context
def _who(context: Context, people: str | Iterable[str] | None) -> Marked:
    """Names only shown: alice and bob; – for nobody."""
    marks: Marks = context["_marks"]
    names = [people] if isinstance(people, str) else list(people or ())
    told = [marks.escape(BOT.capitalize() if name == BOT else name) for name in names]
    return Marked(wording.listed(told) or "–")


@pass_context
def _clock(context: Context, at: str | datetime) -> Marked:
    """02:45 CET, with the date where that is far from now."""
    moment, marks = _moment(at), context["_marks"]
    now = context.get("now")
    far = now is not None and abs(moment - _moment(now)) >= _NEAR
    return Marked(marks.time(moment, "date" if far else "clock"))


@pass_context
def _due(context: Context, at: str | datetime) -> Marked:
    """02:45 CET, in 14 min."""
    seconds = (_moment(at) - _moment(context["now"])).total_seconds()
    told = _clock(context, at)
    if abs(seconds) < 1:
        return Marked(f"{told}, now")
    return Marked(f"{told}, in {_span(seconds)}" if seconds > 0 else f"{told}, {_span(-seconds)} ago")


def _span(seconds: float) -> Marked:
    """1 h 12 min; seconds are told below two minutes only."""
    whole = round(abs(seconds))
    return Marked(wording.span(whole if whole < 120 else (whole + 30) // 60 * 60))


@pass_context
def _bold(context: Context, text: str) -> Marked:
    marks: Marks = context["_marks"]
    return Marked(marks.bold(_finalize(context, text)))


@pass_context
def _code(context: Context, text: str) -> Marked:
    marks: Marks = context["_marks"]
    return Marked(marks.code(_finalize(context, text)))


@pass_context
def _link(context: Context, url: str) -> Marked:
    """An address of the configuration, to be followed; anything strange stays text."""
    marks: Marks = context["_marks"]
    found = _LINK.fullmatch(url)
    return Marked(marks.link(found[1] + marks.escape(found[2])) if found else marks.escape(url))


def _line(text: object, most: int = 300) -> str:
    """On one line, shortened."""
    told = " ".join(str(text).split())
    return told if len(told) <= most else f"{told[: most - 1]}…"


def _brief(text: object) -> str:
    """What somebody wrote, at most 1,500 characters of it."""
    told = str(text).strip()
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _told(text: object) -> str:
    """A sentence of ours: commands in it stand between quotes, for backticks never are markup."""
    return re.sub(r"`([^`\n]{1,200})`", "“\\1”", _brief(text))


def _stop(text: object) -> str:
    """With a full stop, where no other sign ends it."""
    told = str(text).rstrip()
    return told if not told or told[-1] in ".!?…:" else f"{told}."


def _first(text: object) -> str:
    """The first letter a capital."""
    told = str(text)
    return told[:1].upper() + told[1:]


def _listed(words: Iterable[str]) -> str:
    return wording.listed(str(word) for word in words)


def _by_comma(words: Iterable[str]) -> str:
    return ", ".join(str(word) for word in words)


_FILTERS = {
    "mention": _mention,
    "who": _who,
    "clock": _clock,
    "due": _due,
    "span": _span,
    "bold": _bold,
    "code": _code,
    "link": _link,
    "line": _line,
    "brief": _brief,
    "told": _told,
    "stop": _stop,
    "capital": _first,
    "listed": _listed,
    "listed_by_comma": _by_comma,
}
