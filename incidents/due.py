"""What falls due by itself: response clocks, escalation steps, repeated pages, reminders, ETAs, chasers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents import events as e
from incidents.incident import Incident, PageOut, fold
from incidents.oncall import Roster
from incidents.policy import Policy, Severity, Step

DAY = timedelta(days=1)
TEAM = "team"  # a step to the team's channel, without a mention
FALLBACK = "fallback"


@dataclass(frozen=True, slots=True, order=True)
class Timer:
    """Something that falls due; at the same instant the lower `order` goes first."""

    due: datetime
    order: int
    kind: str
    key: str = ""


def next_due(incident: Incident, policy: Policy) -> datetime | None:
    """When this incident needs attention next, or None."""
    return min((timer.due for timer in timers(incident, policy)), default=None)


def due(incident: Incident, policy: Policy, roster: Roster, now: datetime) -> list[e.Event]:
    """The events of everything due at or before `now`, in order; each happened at `now`, naming its due time."""
    found: list[e.Event] = []
    while True:
        first = min(timers(incident, policy), default=None)
        if first is None or first.due > now:
            return found
        for event in _fire(first, incident, policy, roster, now):
            found.append(event)
            incident = fold(incident, event) or incident


def timers(incident: Incident, policy: Policy) -> Iterator[Timer]:
    """Everything that will fall due if nothing else happens."""
    if incident.merged_into is not None:
        return
    for item in incident.items:
        if item.due is not None and not item.done:
            chase = item.chased_at + DAY if item.chased_at else item.due
            yield Timer(chase, 6, "item", str(item.number))
    severity = policy.severity(incident.severity)
    if not incident.open or severity is None:
        return
    for clock, passes in incident.clocks.items():
        if clock not in incident.missed and not incident.met(clock):
            yield Timer(passes, 0, "clock", clock)
    yield from _steps(incident, policy, severity)
    repeats = (_repeat_at(page, policy) for page in incident.pages)
    repeat = min((at for at in repeats if at is not None), default=None)
    if repeat is not None and incident.acknowledged_at is None:
        yield Timer(repeat, 3, "repeat")
    reminder = next_reminder(incident, severity)
    if reminder is not None:
        yield Timer(reminder, 4, "reminder")
    if incident.eta is not None and not incident.eta_passed:
        yield Timer(incident.eta, 5, "eta")


def next_reminder(incident: Incident, severity: Severity) -> datetime | None:
    """When the next reminder falls due; only a human update re-bases it, a snooze holds it once."""
    every = incident.cadence if incident.cadence_set else severity.remind_every
    if not every:
        return None
    cadence = timedelta(seconds=every)
    bases = (incident.round_at, incident.updated_at, incident.reminded_at)
    at = max(base for base in bases if base is not None) + cadence
    # A cadence changed in flight goes on from its own grid; what lies before the change is not made up for.
    changed = incident.cadence_at
    if changed is not None and at <= changed:
        at += cadence * ((changed - at) // cadence + 1)
    return max(at, incident.snoozed_until) if incident.snoozed_until else at


def _steps(incident: Incident, policy: Policy, severity: Severity) -> Iterator[Timer]:
    for key, step in severity.keyed_steps():
        if key in incident.fired or (step.major and not incident.major):
            continue
        if incident.held and policy.held(step.to):
            continue
        at = _step_at(incident, step)
        if at is not None:
            yield Timer(at, 1 if step.when == "late" else 2, "step", key)


def _step_at(incident: Incident, step: Step) -> datetime | None:
    after = timedelta(seconds=step.after)
    if step.when == "unresolved":
        return incident.round_at + after
    if step.when == "opened":
        return None if incident.met("acknowledged") else incident.round_at + after
    if incident.met(step.clock) or step.clock not in incident.clocks:
        return None
    return incident.clocks[step.clock] + after


def _repeat_at(page: PageOut, policy: Policy) -> datetime | None:
    if page.repeats >= policy.page_repeats:
        return None
    return page.at + timedelta(seconds=policy.page_every) * (page.repeats + 1)


def _fire(timer: Timer, incident: Incident, policy: Policy, roster: Roster, now: datetime) -> list[e.Event]:
    severity = policy.severity(incident.severity)
    assert severity is not None
    if timer.kind == "clock":
        allowed = int((timer.due - incident.round_at).total_seconds())
        within = severity.clocks.get(timer.key, allowed)
        return [e.ResponseLate(at=now, actor=e.BOT, clock=timer.key, due=timer.due, allowed=within)]
    if timer.kind == "step":
        return [_step(timer, incident, policy, severity, roster, now)]
    if timer.kind == "repeat":
        return _repeat(incident, policy, now)
    if timer.kind == "reminder":
        return _remind(timer.due, incident, policy, severity, roster, now)
    if timer.kind == "eta":
        return [e.EtaPassed(at=now, actor=e.BOT, eta=timer.due)]
    return [e.ActionItemChased(at=now, actor=e.BOT, item=int(timer.key), due=timer.due)]


def _step(
    timer: Timer, incident: Incident, policy: Policy, severity: Severity, roster: Roster, now: datetime
) -> e.EscalationDue:
    step = next(step for key, step in severity.keyed_steps() if key == timer.key)
    late = step.clock if step.when == "late" and step.after == 0 else ""
    people: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    if step.to == TEAM:
        rung = TEAM
    elif step.if_not_yet and set(roster.people(step.to, now)) & set(incident.paged):
        rung = step.to
    else:
        rung, people, skipped = choose(incident, policy, roster, step.to, now, page=step.do == "page")
    return e.EscalationDue(
        at=now,
        actor=e.BOT,
        key=timer.key,
        due=timer.due,
        do=step.do,
        rung=rung,
        people=people,
        skipped=skipped,
        late=late,
        why=step.when,
    )


def choose(
    incident: Incident, policy: Policy, roster: Roster, rung: str, now: datetime, *, page: bool = True
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The rung that a step lands on, its people, and why the rungs before it were passed over.

    An empty rung, and for pages one where everybody was paged already and is silent, gives way to the next filled
    one; below all stands the fallback. No people: everybody there is has been paged.
    """
    skipped: list[str] = []
    silent = incident.silent if page else frozenset()
    for candidate in (rung, *policy.above(rung)):
        people = roster.people(candidate, now)
        fresh = tuple(person for person in people if person not in silent)
        if fresh:
            return candidate, fresh, tuple(skipped)
        label = policy.label(candidate)
        skipped.append(
            f"{' and '.join(people)} ({label}) was paged already" if people else f"nobody is {label}"
        )
    if roster.fallback not in silent:
        return FALLBACK, (roster.fallback,), tuple(skipped)
    return FALLBACK, (), tuple(skipped)


def _repeat(incident: Incident, policy: Policy, now: datetime) -> list[e.Event]:
    """Each person's overdue repeats collapse into one; those who have had the same number are asked together."""
    every = timedelta(seconds=policy.page_every)
    groups: dict[tuple[datetime, int], list[str]] = {}
    for page in incident.pages:
        at = _repeat_at(page, policy)
        if at is not None and at <= now:
            count = min(policy.page_repeats, (now - page.at) // every)
            groups.setdefault((page.at + every * count, count), []).append(page.person)
    return [
        e.PageRepeated(at=now, actor=e.BOT, people=tuple(people), due=at, count=count)
        for (at, count), people in sorted(groups.items())
    ]


def _remind(
    at: datetime, incident: Incident, policy: Policy, severity: Severity, roster: Roster, now: datetime
) -> list[e.Event]:
    every = incident.cadence if incident.cadence_set else severity.remind_every
    cadence = timedelta(seconds=every or 1)
    last = at + cadence * ((now - at) // cadence)  # overdue ones collapse into one
    found: list[e.Event] = [e.ReminderDue(at=now, actor=e.BOT, due=last, unanswered=incident.unanswered + 1)]
    if severity.unanswered is not None and incident.unanswered == severity.unanswered:
        people = _unanswered_people(incident, severity, roster, now)
        key = f"unanswered:{last.isoformat()}"
        found.append(
            e.EscalationDue(
                at=now, actor=e.BOT, key=key, due=last, do="page", rung="", people=people, why="unanswered"
            )
        )
    return found


def _unanswered_people(
    incident: Incident, severity: Severity, roster: Roster, now: datetime
) -> tuple[str, ...]:
    people: list[str] = []
    for rung in severity.unanswered_page:
        if rung == "owner":
            people += [incident.owner] if incident.owner else roster.people("primary", now)
        else:
            people += roster.people(rung, now)
    return tuple(dict.fromkeys(people)) or (roster.fallback,)


def unreachable(
    incident: Incident, policy: Policy, roster: Roster, *, failed: e.PageFailed, rung: str, now: datetime
) -> list[e.Event]:
    """A person none of whose methods worked: the page goes at once to the next filled rung."""
    found: list[e.Event] = [failed]
    after = fold(incident, failed) or incident
    if not after.open or after.acknowledged_at is not None:
        return found
    above = policy.above(rung) if rung else policy.ladder
    start = above[0] if above else FALLBACK
    lands, people, skipped = choose(after, policy, roster, start, now)
    return [
        *found,
        e.EscalationDue(
            at=now,
            actor=e.BOT,
            key=f"{failed.key}/{failed.person}",
            due=now,
            do="page",
            rung=lands,
            people=people,
            skipped=(f"{failed.person} could not be reached", *skipped),
            why="unreachable",
        ),
    ]
