"""What can be wrong with rotas and rungs: handovers that never come, people who cannot answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from bot.config_faults import Finding, KeyPath, each_text, mapping, quoted

_EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)  # turns are counted from the start
_SHORTEST = timedelta(hours=1)


def check_rotas(data: Any) -> Iterator[Finding]:
    """Faults of `rotas`, `rungs` and `fallback`."""
    for name, rota in mapping(data, "rotas").items():
        yield from _rota(("rotas", name), mapping(rota))
    for name, rung in mapping(data, "rungs").items():
        fields = mapping(rung)
        if rung is not None and not isinstance(rung, dict):
            continue
        if "rota" in fields and "people" in fields:
            yield Finding(("rungs", name), "has a rota and people; a rung is one of the two")
        elif "rota" not in fields and "people" not in fields:
            yield Finding(
                ("rungs", name),
                "has nobody: give it `rota:` or `people:` (`people: []` leaves it empty on purpose)",
            )
    yield from _responders(data)


def _rota(path: KeyPath, rota: dict[str, Any]) -> Iterator[Finding]:
    members = rota.get("members")
    if isinstance(members, list) and len(members) > 1 and not rota.get("start"):
        yield Finding(path, "takes turns, so it needs `start:`, when the first one's shift began")
    start = rota.get("start")
    if isinstance(start, str) and (moment := starting(start, "UTC")) is None:
        yield Finding((*path, "start"), f"{quoted(start)} is no time; write one like 2026-01-05T09:00")
    elif isinstance(start, str) and moment is not None and moment < _EARLIEST:
        yield Finding((*path, "start"), f"lies before {_EARLIEST:%Y}; take a later handover")
    handover = rota.get("handover")
    if isinstance(handover, str) and (why := _wrong_handover(handover)):
        yield Finding((*path, "handover"), why)


def starting(text: str, zone: str) -> datetime | None:
    """The moment that a rota's `start` names, in `zone` where it names none; None where it is no time."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _wrong_handover(line: str) -> str | None:
    """Why a cron line is no handover, or None."""
    fields = line.split()
    if len(fields) != 5:
        return f"{quoted(line)} is no cron line: minute hour day month weekday, such as 0 9 * * mon"
    if any(c.isdigit() for c in fields[4].partition("/")[0]):
        return "write the weekday as a word (mon … sun): programs disagree about the numbers"
    try:
        trigger = CronTrigger.from_crontab(line, timezone=UTC)
        times = _coming(trigger)
    except (ValueError, OverflowError) as error:
        return f"{quoted(line)} is no cron line: {error}"
    if not times:
        return f"{quoted(line)} never comes"
    if any(after - before < _SHORTEST for before, after in pairwise(times)):
        return f"{quoted(line)} hands over several times an hour; the first field is the minute, such as 0"
    return None


def _coming(trigger: CronTrigger) -> list[datetime]:
    found: list[datetime] = []
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    while len(found) < 3 and (following := trigger.get_next_fire_time(None, moment)) is not None:
        found.append(following)
        moment = following + timedelta(microseconds=1)
    return found


def _responders(data: Any) -> Iterator[Finding]:
    """Whoever is paged has to be allowed to acknowledge."""
    people = mapping(data, "people")
    paged = [
        *each_text(data, "rotas.*.members.*"),
        *each_text(data, "rungs.*.people.*"),
        *each_text(data, "fallback"),
    ]
    for path, person in paged:
        roles = mapping(people.get(person)).get("roles", [])
        if person in people and isinstance(roles, list) and "responder" not in roles:
            yield Finding(path, f"{person} would be paged but is no responder, so could not acknowledge")
