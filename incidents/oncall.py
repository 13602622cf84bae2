"""Rotas, overrides and who stands on which rung at a given time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from incidents.events import Event, OverrideSet
from incidents.ports import RefusedError


@dataclass(frozen=True, slots=True)
class Rota:
    """People who take turns: at every `handover` (a cron line in `zone`) after `start` the next one is on."""

    name: str
    members: tuple[str, ...]
    handover: str = "0 9 * * mon"
    zone: str = "UTC"
    start: datetime | None = None

    def next_handover(self, after: datetime) -> datetime | None:
        """The first handover later than `after`, UTC-aware; None for a rota that never changes."""
        if len(self.members) < 2 or self.start is None:
            return None
        zone = ZoneInfo(self.zone)
        trigger = CronTrigger.from_crontab(self.handover, timezone=zone)
        local = after.astimezone(zone)
        found = trigger.get_next_fire_time(None, local + timedelta(microseconds=1))
        return found if isinstance(found, datetime) else None

    def member(self, at: datetime) -> str | None:
        """Who is on by the plan alone, overrides left out."""
        if not self.members:
            return None
        if len(self.members) == 1 or self.start is None or at < self.start:
            return self.members[0]
        turns, moment = 0, self.start
        while (following := self.next_handover(moment)) is not None and following <= at:
            turns, moment = turns + 1, following
        return self.members[turns % len(self.members)]


@dataclass(frozen=True, slots=True)
class Override:
    rota: str
    person: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of a ladder: a rota, or fixed people."""

    name: str
    rota: str | None = None
    people: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overrides:
    """The fold of the stream oncall-main."""

    entries: tuple[Override, ...] = ()


def fold(state: Overrides | None, event: Event) -> Overrides:
    """The overrides after `event`; those that ended before it are dropped."""
    state = state or Overrides()
    if not isinstance(event, OverrideSet):
        return state
    current = tuple(o for o in state.entries if o.end > event.at)
    return replace(state, entries=(*current, Override(event.rota, event.person, event.start, event.end)))


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody who can be paged, by rung; `fallback` stands below all and is never empty."""

    rungs: Mapping[str, Rung]
    rotas: Mapping[str, Rota]
    fallback: str
    overrides: tuple[Override, ...] = field(default=())

    def on_call(self, rota: str, at: datetime) -> str | None:
        """Who is on call on `rota` at `at`; the newest override that covers `at` wins."""
        for override in reversed(self.overrides):
            if override.rota == rota and override.start <= at < override.end:
                return override.person
        return self.rotas[rota].member(at) if rota in self.rotas else None

    def people(self, rung: str, at: datetime) -> tuple[str, ...]:
        """The people on a rung at `at`; empty where nobody is."""
        found = self.rungs.get(rung)
        if found is None:
            return ()
        if found.rota is not None:
            person = self.on_call(found.rota, at)
            return (person,) if person else ()
        return found.people

    def with_overrides(self, overrides: Overrides | None) -> Roster:
        """This roster with the overrides of the log."""
        return replace(self, overrides=overrides.entries if overrides else ())


def override(
    roster: Roster, *, rota: str, person: str, by: str, leads: bool, now: datetime, lasts: timedelta
) -> list[Event]:
    """Let `person` stand in for the next `lasts`; another's shift needs that person or the team lead."""
    if rota not in roster.rotas:
        known = ", ".join(sorted(roster.rotas))
        raise RefusedError(f"There is no rota {rota!r}; there are: {known}.")
    holder = roster.on_call(rota, now)
    if holder is not None and by != holder and not leads:
        raise RefusedError(
            f"The shift on {rota} is {holder}'s: {holder} or the team lead has to hand it over."
        )
    return [OverrideSet(at=now, actor=by, rota=rota, person=person, start=now, end=now + lasts)]
