"""How names, times and durations read in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo

from incidents.events import BOT

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Wording:
    """The zone that times are told in, and how people are displayed, where not by their plain names."""

    people: Mapping[str, str] = field(default_factory=dict)
    zone: tzinfo = UTC

    def name(self, person: str) -> str:
        """The displayed name; the bot's own is capitalised."""
        return self.people.get(person) or (BOT.capitalize() if person == BOT else person)

    def names(self, people: Iterable[str]) -> str:
        """alice, bob and carol."""
        return listed([self.name(person) for person in people])

    def clock(self, at: datetime, beside: datetime | None = None) -> str:
        """02:45 CET; with the date where that is another day than `beside`."""
        time = local(at, self.zone)
        told = f"{time:%H:%M} {abbreviation(time)}"
        if beside is None or local(beside, self.zone).date() != time.date():
            return f"{day(time)} {told}"
        return told


def local(at: datetime, zone: tzinfo) -> datetime:
    """The time in the zone; in UTC at the very ends of the calendar, where zones do not reach."""
    try:
        return at.astimezone(zone)
    except (OverflowError, ValueError):
        return at.replace(tzinfo=UTC)


def abbreviation(at: datetime) -> str:
    """CET, UTC or, for zones that have no letters of their own, UTC+03."""
    name = at.tzname() or "UTC"
    return f"UTC{name}" if name[:1] in "+-" else name


def day(at: datetime) -> str:
    """3 Jan 2026, whatever the locale."""
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def span(seconds: float) -> str:
    """1 h 12 min: at most two units, the smaller one left out where it is zero."""
    rest = round(abs(seconds))
    for index, (unit, size) in enumerate(_UNITS):
        if rest >= size or unit == "s":
            count, below = divmod(rest, size)
            told = f"{count} {unit}"
            if unit in ("d", "h", "min") and (part := below // _UNITS[index + 1][1]):
                told += f" {part} {_UNITS[index + 1][0]}"
            return f"-{told}" if seconds < 0 and rest else told
    return "0 s"


def counted(count: int, one: str, many: str = "") -> str:
    """1 key, 2 keys; `many` where that is not `one` with an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def listed(words: Iterable[str]) -> str:
    """a, b and c."""
    *most, last = list(words) or [""]
    return f"{', '.join(most)} and {last}" if most else last
