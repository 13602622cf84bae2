"""Typed values: what a word must look like to be a service, a person, a number, a duration or a name."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from commands.catalogue import Catalogue, Service
from commands.registry import Argument, Duration, Name, Pattern, Person, Range, Size
from commands.words import DASHES
from incidents.ports import RefusedError
from incidents.wording import counted

LONGEST_DURATION = 90 * 86_400  # seconds
_AS_NEAR = 0.1  # how much less alike than the nearest name others may be, of 1
LONGEST_NAME = 253  # as Kubernetes and DNS have it
_ANY_NUMBER = Range(0, 1_000_000_000)
_NAME = re.compile(r"[A-Za-z0-9._:/][A-Za-z0-9._:/-]*", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9._:/*?\[\]][A-Za-z0-9._:/*?\[\]-]*", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,12}(?:b|kb|mb|gb)?", re.ASCII | re.IGNORECASE)
STOPS = ".,;:!?…"  # what people put after a word, and phones after two spaces
_REFERENCE = re.compile(rf"(?:#|inc-)?([0-9]{{1,12}})[{STOPS}]?", re.ASCII | re.IGNORECASE)
_DURATION = re.compile(
    r"(?:([0-9]+)d(?:ays?)?)?(?:([0-9]+)h(?:(?:ou)?rs?)?)?"
    r"(?:([0-9]+)m(?:in(?:ute)?s?)?)?(?:([0-9]+)s(?:ec(?:ond)?s?)?)?",
    re.ASCII,
)
_YES = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


@dataclass(frozen=True, slots=True)
class Names:
    """What words can name: services, people (name → display name), and the bot itself."""

    catalogue: Catalogue
    people: Mapping[str, str]
    bot: str = "watchbell"
    prefix: str = "wb"  # `/wb scale …`, for workspaces where a name is taken


def shown(word: str) -> str:
    """The word in quotation marks as a sentence can hold it: short, on one line, nothing invisible."""
    clean = "".join(c if c.isprintable() else "�" for c in word[:41])
    return f'"{clean[:40]}…"' if len(clean) > 40 else f'"{clean}"'


def nearest(word: str, known: Iterable[str], count: int = 1) -> str:
    """` Did you mean realtime?`, or nothing where no known name is near."""
    by_folded = {name.casefold(): name for name in known}
    plain = unicodedata.normalize("NFKD", word[:64]).encode("ascii", "ignore").decode().casefold()
    close = difflib.get_close_matches(plain, by_folded, n=count, cutoff=0.6)
    if close:  # what is much farther away than the nearest one was hardly meant
        least = _likeness(plain, close[0]) - _AS_NEAR
        close = [folded for folded in close if _likeness(plain, folded) >= least]
    found = [by_folded[folded] for folded in close]
    return f" Did you mean {' or '.join(found)}?" if found else ""


def _likeness(word: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, word).ratio()


def convert(argument: Argument, word: str, names: Names, *, quoted: bool = False) -> Any:
    """The typed value of `word`; RefusedError with a sentence where it is none."""
    if argument.choices:
        return _choice(argument, word)
    if argument.type is str:
        return _plain(argument, word)
    if quoted:
        raise RefusedError(f"Write {argument.name} as one word without quotation marks, not {shown(word)}.")
    reader = _READERS.get(argument.type)
    return reader(argument, word, names) if reader else _plain(argument, word)


def looks_like(argument: Argument, word: str, names: Names) -> bool:
    """Whether a word is meant for an optional argument, rather than being the first of the text after it."""
    if argument.choices:
        return word.rstrip(STOPS).casefold() in (choice.casefold() for choice in argument.choices)
    if argument.type is Person:
        return word.startswith("@") or known_person(word, names) is not None
    if argument.type is Duration:
        return is_duration(word)
    if argument.type is int:
        return bool(_REFERENCE.fullmatch(word))
    if argument.type is Service:
        return names.catalogue.service(word) is not None
    return True


def find_service(word: str, catalogue: Catalogue) -> Service:
    """The service of that name or alias; RefusedError naming the nearest one."""
    found = catalogue.service(word) or (catalogue.service(word.lower()) if word.isascii() else None)
    if found is None:
        every = [name for s in catalogue.services.values() for name in (s.name, *s.aliases)]
        look_alike = "" if word.isascii() else " It holds characters that only look like plain letters."
        hint = nearest(word, every) or ("" if look_alike else " `/health all` lists the services.")
        raise RefusedError(f"There is no service {shown(word)}.{look_alike}{hint}")
    return found


def is_duration(word: str) -> bool:
    """Whether the word has the form of a duration, within the bounds or not."""
    return 1 < len(word) <= 24 and _DURATION.fullmatch(word.lower()) is not None


def duration(word: str, what: str = "a duration") -> Duration:
    """Seconds of `90s`, `30m`, `1h30m`, `3d`; more than none and at most 90 days."""
    found = _DURATION.fullmatch(word.lower()) if is_duration(word) else None
    if found is None:
        raise RefusedError(
            f"{what} is a number and a unit, as in 90s, 30m, 2h, 3d or 1h30m; {shown(word)} is not."
        )
    parts = [int(part or 0) for part in found.groups()]
    seconds = sum(p * unit for p, unit in zip(parts, (86_400, 3_600, 60, 1), strict=True))
    if not 0 < seconds <= LONGEST_DURATION:
        raise RefusedError(f"{what} is more than 0 and at most 90 days; {shown(word)} is outside.")
    return Duration(seconds)


def spoken(seconds: int) -> str:
    """The duration as it is typed: `1h30m`."""
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def written(argument: Argument, value: Any) -> str:
    """The value as it is typed again."""
    if isinstance(value, Service):
        return value.name
    if isinstance(value, bool):
        return "yes" if value else "no"
    if argument.type is Duration:
        return spoken(value)
    if argument.type is Person:
        return f"@{value}"
    text = str(value)
    return f'"{text}"' if argument.type is str and (not text or " " in text) else text


def _choice(argument: Argument, word: str) -> str:
    for choice in argument.choices:
        if word.rstrip(STOPS).casefold() == choice.casefold():
            return choice
    listed = ", ".join(argument.choices)
    raise RefusedError(
        f"{argument.name} is one of {listed}; {shown(word)} is none.{nearest(word, argument.choices)}"
    )


def _plain(argument: Argument, word: str) -> str:
    if not word:
        raise RefusedError(f"{argument.name} has no value.")
    if word[0] in "-—–" or not word.isprintable() or len(word) > 1000:
        raise RefusedError(
            f"{argument.name} is one line of at most 1000 characters that does not begin with -; "
            f"{shown(word)} is not."
        )
    return word


def _number(argument: Argument, word: str, _names: Names) -> int:
    bounds = argument.range or _ANY_NUMBER
    found = (_DIGITS if argument.range else _REFERENCE).fullmatch(word)
    if found is None and argument.range is None:
        raise RefusedError(f"{argument.name} is in digits, as in 7, #7 or INC-7; {shown(word)} is not.")
    if found is None:
        raise RefusedError(
            f"{argument.name} is a whole number from {bounds.low} to {bounds.high} in plain digits; "
            f"{shown(word)} is not."
        )
    value = int(found.group(found.lastindex or 0))
    if not bounds.low <= value <= bounds.high:
        raise RefusedError(f"{argument.name} takes {bounds.low} to {bounds.high}; {value} is outside.")
    return value


def replica_count(word: str, service: Service) -> int:
    """How many replicas; the refusal names the service's bounds, which its target checks."""
    if not _DIGITS.fullmatch(word):
        below = _DIGITS.fullmatch(word[1:]) if word[:1] in DASHES else None
        what = f"{word} is outside" if below else f"{shown(word)} is no whole number in digits"
        raise RefusedError(f"{replicas_taken(service)}; {what}.")
    return int(word)


def replicas_taken(service: Service) -> str:
    """`realtime takes 0 to 20 replicas`, or the one number where there is no choice."""
    low, high = service.replicas
    if low == high:
        return f"{service.name} takes {counted(low, 'replica')}, no more and no fewer"
    return f"{service.name} takes {low} to {high} replicas"


def _bool(argument: Argument, word: str, _names: Names) -> bool:
    if word.casefold() not in _YES:
        raise RefusedError(f"{argument.name} is yes or no; {shown(word)} is neither.")
    return _YES[word.casefold()]


def known_person(word: str, names: Names) -> Person | None:
    """The person that `bob`, `@Bob` or `@bob,` names, or None."""
    for name in (word.removeprefix("@"), word.removeprefix("@").rstrip(STOPS)):
        for each in (name, name.lower() if name.isascii() else name):
            if each in names.people:
                return Person(each)
    return None


def _person(_argument: Argument, word: str, names: Names) -> Person:
    if (found := known_person(word, names)) is not None:
        return found
    name = word.removeprefix("@")
    hint = nearest(name, names.people) or " `/oncall` shows who is there."
    raise RefusedError(f"I know nobody called {shown(name)}.{hint}")


def _name(argument: Argument, word: str, _names: Names) -> Name:
    if len(word) > LONGEST_NAME or not _NAME.fullmatch(word):
        raise RefusedError(
            f"{argument.name} holds letters, digits and . _ : / - only and does not begin with -; "
            f"{shown(word)} does not fit."
        )
    return Name(word)


def _pattern(argument: Argument, word: str, _names: Names) -> Pattern:
    if len(word) > LONGEST_NAME or not _PATTERN.fullmatch(word):
        raise RefusedError(
            f"{argument.name} holds letters, digits and . _ : / - * ? [ ] only and does not begin with -; "
            f"{shown(word)} does not fit."
        )
    return Pattern(word)


def _size(argument: Argument, word: str, _names: Names) -> Size:
    if not _SIZE.fullmatch(word):
        raise RefusedError(
            f"{argument.name} is a number and a unit (kb, mb or gb), as in 512mb or 4gb; {shown(word)} is not."
        )
    return Size(word)


_READERS: Mapping[Any, Callable[[Argument, str, Names], Any]] = {
    int: _number,
    bool: _bool,
    Service: lambda _argument, word, names: find_service(word, names.catalogue),
    Person: _person,
    Duration: lambda argument, word, _names: duration(word, argument.name),
    Name: _name,
    Pattern: _pattern,
    Size: _size,
}
