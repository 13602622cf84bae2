"""What a policy would do if nobody did anything: a hypothetical incident through virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents import due, life
from incidents import events as e
from incidents.incident import fold
from incidents.oncall import Roster
from incidents.policy import CLOCK_LABELS, Policy, Severity
from incidents.wording import span

_AT_LEAST = timedelta(hours=2)
_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that would happen; `people` are paged or mentioned, `skipped` says who was missing."""

    at: datetime
    what: str
    people: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


def simulate(
    policy: Policy, severity: Severity, roster: Roster, start: datetime, service: str | None = None
) -> list[Moment]:
    """Every page, late clock and first reminder of an incident that nobody answers."""
    [opened] = life.open_incident(
        number=1, title="Simulated", severity=severity, policy=policy, by=e.BOT, now=start, service=service
    )
    incident = fold(None, opened)
    assert incident is not None
    end = start + _horizon(severity)
    found: list[Moment] = []
    seen: set[str] = set()
    while (at := due.next_due(incident, policy)) is not None and at <= end:
        for event in due.due(incident, policy, roster, at):
            found += _moments(event, policy, severity, seen)
            incident = fold(incident, event) or incident
    return found


def _horizon(severity: Severity) -> timedelta:
    """Until after the last clock and the last step, two hours at least."""
    late = [
        severity.clocks.get(s.clock, 0) + s.after if s.when == "late" else s.after for s in severity.steps
    ]
    last = timedelta(seconds=max([*severity.clocks.values(), *late], default=0))
    return max(last + _MARGIN, _AT_LEAST)


def _moments(event: e.Event, policy: Policy, severity: Severity, seen: set[str]) -> Iterator[Moment]:
    if isinstance(event, e.ResponseLate):
        yield Moment(event.due, f"late: {CLOCK_LABELS.get(event.clock, event.clock)}")
    elif isinstance(event, e.EscalationDue):
        yield _step(event, policy)
    elif isinstance(event, e.ReminderDue) and "reminder" not in seen:
        seen.add("reminder")
        yield Moment(event.due, f"reminder every {span(severity.remind_every or 0)}")
    elif isinstance(event, e.PageRepeated) and "repeat" not in seen:
        seen.add("repeat")
        every, times = span(policy.page_every), policy.page_repeats
        yield Moment(event.due, f"page again, {times} times every {every}", event.people)


def _step(event: e.EscalationDue, policy: Policy) -> Moment:
    if event.do == "message":
        return Moment(event.due, "message to the team's channel", event.people, event.skipped)
    label = policy.label(event.rung).partition(" (")[0]
    if not event.rung:
        return Moment(event.due, f"{event.do}: reminders unanswered", event.people, event.skipped)
    what = f"{event.do} {label}" if event.people else f"{label}: paged before"
    return Moment(event.due, what, event.people, event.skipped)


def everybody(moments: list[Moment]) -> tuple[str, ...]:
    """Everybody who is mentioned, once."""
    return tuple(dict.fromkeys(person for moment in moments for person in moment.people))


def missing(moments: list[Moment]) -> list[str]:
    """Why rungs were passed over, once each."""
    return list(dict.fromkeys(reason for moment in moments for reason in moment.skipped))
