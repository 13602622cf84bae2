"""One parser for every platform: a line of chat becomes a command and its typed values, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from commands.arguments import Line
from commands.registry import Argument, Command, Registry, Text
from commands.values import STOPS, Names, convert, nearest, shown
from commands.words import QUOTES, protected, unquoted
from incidents.ports import RefusedError

__all__ = ["Names", "Parsed", "is_command", "parse", "without_sign"]

LONGEST = 10_000  # characters of one command
# Phones put a space after the sign and a full stop after the word; other keyboards have wide signs.
_START = re.compile(r"(?:[/／]{1,2}|[!！])[ \t]?(?=[^\W\d_])")
_UNSEEN = "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"  # in front they are left out, behind they are said
_FIRST = re.compile(rf"[\w-]+(?:[{_UNSEEN}]|[{STOPS}]*(?!\S))")
_BEFORE = re.compile(rf"[\s{_UNSEEN}]*")
_FAMILY = "incident"
_HELP = " /help lists the commands."


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command with its typed values, by the names of the function's parameters; `line` is typed again."""

    command: Command
    values: dict[str, Any]
    dry_run: bool = False
    for_seconds: int | None = None
    line: str = ""


def is_command(text: str, bot: str = "watchbell") -> bool:
    """Whether a message is meant for the bot: `/name`, `!name` or `@watchbell …`."""
    text = _begun_at(text)
    if (start := _START.match(text)) is not None:
        return _FIRST.match(text, start.end()) is not None
    return _mention(bot).match(text) is not None


def parse(text: str, registry: Registry, names: Names) -> Parsed:
    """The command that a message is; RefusedError with one sentence, whatever is wrong with it."""
    if len(text) > LONGEST:
        raise RefusedError(f"That is {len(text)} characters; a command takes at most {LONGEST}.")
    if not text.isprintable():
        _check_characters(text)
    command, rest, values = _command(_body(_begun_at(text).rstrip(), names), registry, names)
    arguments = command.arguments
    if len(arguments) == 1 and arguments[0].type is Text and command.effect in ("incident", "read"):
        return _just_text(command, arguments[0], rest)
    line = Line(command, names, values)
    typed = line.read(rest)
    return Parsed(command, typed, line.dry_run, line.for_seconds, line.written())


def without_sign(text: str, registry: Registry, names: Names) -> str:
    """The line that a message is but for the sign in front, as in `ack` or `approve 7`; else nothing."""
    words = text.split() if len(text) < 40 else []
    if not 0 < len(words) < 3 or not all(word.isascii() for word in words):
        return ""
    if len(words) == 2 and not words[1].strip(f"#{STOPS}").isdigit():
        return ""
    try:
        return parse(f"/{' '.join(words)}", registry, names).line
    except RefusedError:
        return ""


@cache
def _mention(bot: str) -> re.Pattern[str]:
    return re.compile(rf"@{re.escape(bot)}[:,]?(?!\S)", re.IGNORECASE)


def _check_characters(text: str) -> None:
    for c in text:
        if (c < " " and c not in "\n\t\r") or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff":
            raise RefusedError(
                f"That holds a character that is no text (U+{ord(c):04X}); send it as plain text."
            )


def _body(text: str, names: Names) -> str:
    if (start := _START.match(text)) is not None:
        return text[start.end() :]
    if (mention := _mention(names.bot).match(text)) is not None:
        return text[mention.end() :].lstrip(" \t/!")
    raise RefusedError("A command begins with / or !, as in /help.")


def _command(body: str, registry: Registry, names: Names) -> tuple[Command, str, dict[str, Any]]:
    """The command, the rest of the line, and what its name already said: `redis cache info`."""
    known = registry.commands
    first, rest = _word(body)
    if first in (names.prefix, names.bot) and first not in known:
        first, rest = _word(rest)
    if first == "inc" and first not in known:
        first = _FAMILY
    second, after = _word(rest)
    if (found := known.get(f"{first} {second}")) is not None:
        return found, after, {}
    if first == _FAMILY and second and first not in known:  # `/incident status …` is `/status …`
        first, rest = second, after
        second, after = _word(rest)
        if (found := known.get(f"{first} {second}")) is not None:
            return found, after, {}
    if (found := known.get(first) or known.get(f"{_FAMILY} {first}")) is not None:
        return found, rest, {}
    third, last = _word(after)
    found = known.get(f"{first} {third}")
    named = next((a for a in found.arguments if a.name == "name" and a.keyword), None) if found else None
    if found is not None and named is not None:
        typed = rest.split(None, 1)[0]  # names keep their case
        return found, last, {"name": convert(named, typed, names)}
    raise _unknown(first, second, known)


def _word(text: str) -> tuple[str, str]:
    parts = text.split(None, 1)
    return (parts[0].casefold().rstrip(STOPS), parts[1] if len(parts) > 1 else "") if parts else ("", "")


def _unknown(first: str, second: str, known: Mapping[str, Command]) -> RefusedError:
    if not first:
        return RefusedError(f"Say what to do;{_HELP}")
    family = sorted(name for name in known if name.startswith(f"{first} "))
    if family and not second:
        return RefusedError(f"{first} needs to know what: {', '.join(family)}.")
    if family:
        members = {name.partition(" ")[2]: name for name in family}
        hint = nearest(second, members).replace("mean ", f"mean {first} ")
        return RefusedError(f"There is no command {shown(f'{first} {second}')}.{hint or _HELP}")
    short = [name.removeprefix(f"{_FAMILY} ") for name in known]
    hint = nearest(first, [*known, *short], 3) or _begun(first, short)
    return RefusedError(f"There is no command {shown(first)}.{hint or _HELP}")


def _begun_at(text: str) -> str:
    """The text without what cannot be seen in front of it."""
    found = _BEFORE.match(text)
    return text[found.end() :] if found else text


def _begun(first: str, known: list[str]) -> str:
    """The commands that a word is the beginning of, or whose name it begins with: `acknowledge`, `esc`."""
    near = [n for n in known if first.startswith(n) or n.startswith(first)]
    found = list(dict.fromkeys(n for n in near if min(len(n), len(first)) >= 3))
    return f" Did you mean {' or '.join(found[:3])}?" if found else ""


def _just_text(command: Command, argument: Argument, rest: str) -> Parsed:
    text = rest.strip()
    if text and text[0] in QUOTES:
        text = unquoted(text)
    if not text:
        if argument.required:
            raise RefusedError(command.needs(argument.name.upper()))
        return Parsed(command, {}, line=command.name)
    line = f"{command.name} {protected(text) if text[0] in QUOTES else text}"
    return Parsed(command, {argument.parameter or argument.name: text}, line=line)
