"""The decisions in the life of an incident: each returns the events, or refuses with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from incidents import events as e
from incidents.due import choose, next_reminder
from incidents.incident import Incident, clocks_from
from incidents.oncall import Roster
from incidents.policy import STATUSES, Policy, Severity, digest
from incidents.ports import RefusedError
from incidents.wording import span

TITLE_LIMIT = 200
FIRST_RESPONSE = ("acknowledged", "investigating", "updated")
ANSWERS = {"nochange": "No change.", "mitigating": "Mitigating.", "help": "Needs help."}


def open_incident(
    *,
    number: int,
    title: str,
    severity: Severity,
    policy: Policy,
    by: str,
    now: datetime,
    service: str | None = None,
    services: tuple[str, ...] = (),
    since: datetime | None = None,
    private: bool = False,
    drill: bool = False,
    major: bool = False,
    group_key: str | None = None,
    linked: int | None = None,
    unclear: tuple[str, ...] = (),
    asked_in: str = "",
    here: bool = False,
) -> list[e.Event]:
    """Open an incident; the clocks start now, whatever `since` says."""
    title = " ".join(title.split())[:TITLE_LIMIT]
    if not title:
        raise RefusedError("An incident needs a title: `/incident open critical Redis is down`.")
    return [
        e.IncidentOpened(
            at=now,
            actor=by,
            number=number,
            title=title,
            severity=severity.name,
            rank=severity.rank,
            policy=digest(policy),
            clocks=clocks_from(now, severity.clocks),
            service=service,
            services=services,
            since=since,
            private=private,
            drill=drill,
            major=major,
            group_key=group_key,
            linked=linked,
            unclear=unclear,
            asked_in=asked_in,
            here=here,
        )
    ]


def _must_be_open(i: Incident) -> None:
    if i.merged_into is not None:
        raise RefusedError(f"INC-{i.number} was merged into INC-{i.merged_into}; go on there.")
    if i.closed_at is not None:
        raise RefusedError(f"INC-{i.number} is closed; `/incident reopen` opens it again.")
    if i.resolved_at is not None:
        raise RefusedError(f"INC-{i.number} is resolved; `/incident reopen` opens it again.")


def _must_live(i: Incident) -> None:
    if i.merged_into is not None:
        raise RefusedError(f"INC-{i.number} was merged into INC-{i.merged_into}; go on there.")


def acknowledge(
    i: Incident, *, by: str, now: datetime, text: str = "", eta: datetime | None = None
) -> list[e.Event]:
    """Acknowledge and own it; this stops the not-acknowledged steps only."""
    _must_be_open(i)
    if i.acknowledged_at is not None and i.owner == by and not text and eta is None:
        raise RefusedError(f"You have acknowledged INC-{i.number} already; it is yours.")
    return [e.Acknowledged(at=now, actor=by, text=text), *set_eta(i, by=by, now=now, eta=eta)]


def _implied(i: Incident, by: str, now: datetime) -> list[e.Event]:
    return [] if i.acknowledged_at is not None else [e.Acknowledged(at=now, actor=by)]


def set_eta(i: Incident, *, by: str, now: datetime, eta: datetime | None) -> list[e.Event]:
    """The new ETA, where one is given and it differs."""
    if eta is None or eta == i.eta:
        return []
    return [e.EtaSet(at=now, actor=by, eta=eta, before=i.eta)]


def update(
    i: Incident, *, by: str, now: datetime, text: str, eta: datetime | None = None, answer: str = ""
) -> list[e.Event]:
    """A human update: acknowledges where nobody has, and re-bases the reminder."""
    _must_be_open(i)
    if not text.strip():
        raise RefusedError("Say what is new: `/update failover is running eta=30m`.")
    said = e.Updated(at=now, actor=by, text=text.strip(), answer=answer)
    return [*_implied(i, by, now), said, *set_eta(i, by=by, now=now, eta=eta)]


def answer_reminder(
    i: Incident, *, by: str, now: datetime, answer: str, policy: Policy, roster: Roster
) -> list[e.Event]:
    """A one-tap answer; "help" also pages the next rung."""
    found = update(i, by=by, now=now, text=ANSWERS[answer], answer=answer)
    if answer == "help":
        found += escalate(i, by=by, now=now, policy=policy, roster=roster, why=f"{by} needs help")
    return found


def set_status(
    i: Incident, *, by: str, now: datetime, status: str, text: str = "", eta: datetime | None = None
) -> list[e.Event]:
    """Move on (or back) among the statuses; `resolved` resolves."""
    if status == STATUSES[-1]:
        return resolve(i, by=by, now=now, text=text)
    _must_be_open(i)
    if status == i.status and not text and eta is None:
        raise RefusedError(f"INC-{i.number} is {status} already; say what is new with `/update TEXT`.")
    changed = e.StatusChanged(at=now, actor=by, status=status, text=text)
    return [*_implied(i, by, now), changed, *set_eta(i, by=by, now=now, eta=eta)]


def change_severity(
    i: Incident, *, by: str, now: datetime, severity: Severity, policy: Policy, why: str = ""
) -> list[e.Event]:
    """Raise or lower; a raise starts the first-response clocks anew, never later than they were."""
    _must_be_open(i)
    if severity.name == i.severity:
        raise RefusedError(f"INC-{i.number} is {severity.name} already.")
    raised = severity.rank < i.rank
    return [
        e.SeverityChanged(
            at=now,
            actor=by,
            severity=severity.name,
            rank=severity.rank,
            before=i.severity,
            raised=raised,
            clocks=_clocks_after(i, severity, raised=raised, now=now),
            why=why,
        )
    ]


def _clocks_after(i: Incident, severity: Severity, *, raised: bool, now: datetime) -> dict[str, datetime]:
    fresh = clocks_from(i.round_at, severity.clocks)
    if not raised:
        return fresh
    for clock in FIRST_RESPONSE:
        if clock in fresh:
            counted = now + timedelta(seconds=severity.clocks[clock])
            fresh[clock] = min(counted, i.clocks.get(clock, counted))
    return fresh


def resolve(i: Incident, *, by: str, now: datetime, text: str = "") -> list[e.Event]:
    """Resolve; reminders and steps stop."""
    _must_be_open(i)
    return [*_implied(i, by, now), e.Resolved(at=now, actor=by, text=text.strip())]


def reopen(i: Incident, *, by: str, now: datetime, policy: Policy, why: str = "") -> list[e.Event]:
    """Open again: clocks and ladder start anew, the metrics keep both rounds."""
    _must_live(i)
    if i.open:
        raise RefusedError(f"INC-{i.number} is open.")
    severity = policy.severity(i.severity) or policy.default
    return [e.Reopened(at=now, actor=by, clocks=clocks_from(now, severity.clocks), why=why)]


def close(i: Incident, *, by: str, now: datetime, text: str = "") -> list[e.Event]:
    """Close a resolved incident for good; its channel is archived."""
    _must_live(i)
    if i.closed_at is not None:
        raise RefusedError(f"INC-{i.number} is closed already.")
    if i.resolved_at is None:
        raise RefusedError(f"INC-{i.number} is not resolved yet: `/resolve` first, then close it.")
    return [e.Closed(at=now, actor=by, text=text)]


def merge(
    survivor: Incident, other: Incident, *, by: str, now: datetime, policy: Policy
) -> tuple[list[e.Event], list[e.Event]]:
    """Events of the survivor and of the other, whose timers stop."""
    _must_be_open(survivor)
    _must_live(other)
    if survivor.number == other.number:
        raise RefusedError("An incident cannot be merged into itself.")
    if other.closed_at is not None:
        raise RefusedError(f"INC-{other.number} is closed; only open incidents are merged.")
    raised = other.rank < survivor.rank
    severity = policy.severity(other.severity if raised else survivor.severity) or policy.default
    taken = e.MergedFrom(
        at=now,
        actor=by,
        other=other.number,
        title=other.title,
        opened_at=other.round_at,
        severity=severity.name,
        rank=severity.rank,
        clocks=_merged_clocks(survivor, other),
        acknowledged_at=other.acknowledged_at,
        acknowledged_by=other.acknowledged_by,
        fired=tuple(sorted(other.fired)),
        missed=tuple(sorted(other.missed)),
        services=other.services,
    )
    return [taken], [e.MergedInto(at=now, actor=by, survivor=survivor.number)]


def _merged_clocks(survivor: Incident, other: Incident) -> dict[str, datetime]:
    """The earlier of both due times of each clock."""
    clocks = dict(survivor.clocks)
    for clock, at in other.clocks.items():
        clocks[clock] = min(at, clocks.get(clock, at))
    return clocks


def declare_major(
    i: Incident, *, by: str, now: datetime, on: bool, why: str, policy: Policy, roster: Roster
) -> list[e.Event]:
    """Declare a major outage and page the executives, or take it back."""
    _must_be_open(i)
    if i.major == on:
        raise RefusedError(f"INC-{i.number} is {'a' if on else 'no'} major outage already.")
    if on and not why.strip():
        raise RefusedError("Say why it is a major outage: `/major on customers cannot log in`.")
    changed: list[e.Event] = [e.MajorChanged(at=now, actor=by, on=on, why=why.strip())]
    people = dict.fromkeys(p for rung in policy.executives for p in roster.people(rung, now))
    if on and people:
        changed.append(e.Paged(at=now, actor=by, people=tuple(people), why=f"major outage: {why.strip()}"))
    return changed


def escalate(
    i: Incident, *, by: str, now: datetime, policy: Policy, roster: Roster, rung: str = "", why: str = ""
) -> list[e.Event]:
    """Page the next rung (or `rung`); executives only when named."""
    _must_be_open(i)
    if rung and rung not in policy.ladder:
        levels = ", ".join(policy.label(r) for r in policy.ladder)
        raise RefusedError(f"There is no level {rung!r}; there are: {levels}.")
    target = rung or _next_rung(i, policy, roster, now)
    lands, people, skipped = choose(i, policy, roster, target, now)
    people = tuple(p for p in people if p != by) or people
    if not people:
        raise RefusedError("Everybody on the ladder has been paged already; `/page @person` pages anybody.")
    key = _step_key(i, policy, lands)
    return [e.Paged(at=now, actor=by, people=people, rung=lands, why=why.strip(), key=key, skipped=skipped)]


def _next_rung(i: Incident, policy: Policy, roster: Roster, now: datetime) -> str:
    """The rung after the highest that was paged, else one below it whose people were not; executives are the end."""
    above = policy.above(i.rung) if i.rung in policy.ladder else policy.above("")
    if i.rung not in policy.ladder and i.rung:
        above = ()
    below = (r for r in policy.above("") if set(roster.people(r, now)) - {*i.paged, i.owner})
    if not above and not (above := tuple(below)):
        executives = " or ".join(policy.label(r) for r in policy.executives)
        more = f" `/escalate {policy.executives[0]}` pages the {executives}." if executives else ""
        raise RefusedError(f"The ladder ends here: everybody below the executives has been paged.{more}")
    return above[0]


def _step_key(i: Incident, policy: Policy, rung: str) -> str:
    """The unresolved step to that rung, which a page by hand does away with."""
    severity = policy.severity(i.severity)
    steps = severity.keyed_steps() if severity else ()
    return next((key for key, step in steps if step.to == rung and step.do == "page"), "")


def page(i: Incident, *, by: str, now: datetime, people: Sequence[str], why: str = "") -> list[e.Event]:
    """Page people by name."""
    _must_be_open(i)
    return [e.Paged(at=now, actor=by, people=tuple(people), why=why.strip())]


def cannot(i: Incident, *, by: str, now: datetime, policy: Policy, roster: Roster) -> list[e.Event]:
    """The paged person cannot: the next rung is paged at once, and this person no more."""
    _must_be_open(i)
    if by not in i.paged or i.acknowledged_at is not None:
        raise RefusedError(f"Nobody waits for you on INC-{i.number}.")
    found = escalate(i, by=by, now=now, policy=policy, roster=roster, why=f"{by} cannot")
    return [e.PageFailed(at=now, actor=by, person=by, key="cannot", detail="said: I can't"), *found]


def snooze(i: Incident, *, by: str, now: datetime, lasts: timedelta, severity: Severity) -> list[e.Event]:
    """Hold the next reminder once, never an escalation."""
    _must_be_open(i)
    following = next_reminder(i, severity)
    if following is None:
        raise RefusedError(f"INC-{i.number} has no reminders to hold.")
    if following >= now + lasts:
        raise RefusedError(
            f"The next reminder comes in {span((following - now).total_seconds())} only; nothing to hold."
        )
    return [e.Snoozed(at=now, actor=by, until=now + lasts)]


def remind_every(i: Incident, *, by: str, now: datetime, lasts: timedelta | None) -> list[e.Event]:
    """Set this incident's cadence of reminders; None is off."""
    _must_be_open(i)
    if lasts is not None and lasts < timedelta(minutes=1):
        raise RefusedError("Reminders come at most once a minute.")
    return [e.CadenceSet(at=now, actor=by, seconds=int(lasts.total_seconds()) if lasts else None)]


def note(i: Incident, *, by: str, now: datetime, text: str, message_id: str | None = None) -> list[e.Event]:
    """A note for the timeline; allowed after the end, too."""
    _must_live(i)
    text = text.strip()
    if not text:
        raise RefusedError("Say what to note: `/note failover started`.")
    return [e.NoteAdded(at=now, actor=by, text=text, message_id=message_id)]


def take_role(i: Incident, *, by: str, now: datetime, role: str, person: str) -> list[e.Event]:
    """Give a role to somebody."""
    _must_live(i)
    if i.roles.get(role) == person:
        raise RefusedError(f"{person} is {role} already.")
    return [e.RoleTaken(at=now, actor=by, role=role, person=person)]


def join(i: Incident, *, by: str, now: datetime) -> list[e.Event]:
    """Take part."""
    _must_live(i)
    if by in i.people:
        raise RefusedError(f"You take part in INC-{i.number} already.")
    return [e.Joined(at=now, actor=by, person=by)]


def leave(i: Incident, *, by: str, now: datetime) -> list[e.Event]:
    """Take part no more; an owner hands over first."""
    _must_live(i)
    if by == i.owner and i.open:
        raise RefusedError("It is yours: hand it over first with `/incident handover @person`.")
    if by not in i.people:
        raise RefusedError(f"You do not take part in INC-{i.number}.")
    return [e.Left(at=now, actor=by, person=by)]


def hand_over(i: Incident, *, by: str, now: datetime, person: str) -> list[e.Event]:
    """Make somebody else the owner."""
    _must_be_open(i)
    if person == i.owner:
        raise RefusedError(f"INC-{i.number} is {person}'s already.")
    return [*_implied(i, by, now), e.HandedOver(at=now, actor=by, person=person, before=i.owner)]


def add_item(
    i: Incident, *, by: str, now: datetime, text: str, owner: str | None, due: datetime | None
) -> list[e.Event]:
    """An action item, chased daily from its due time until it is done."""
    _must_live(i)
    if not text.strip():
        raise RefusedError("Say what is to be done: `/incident action raise the memory limit @bob due=3d`.")
    number = len(i.items) + 1
    return [e.ActionItemAdded(at=now, actor=by, item=number, text=text.strip(), owner=owner, due=due)]


def finish_item(i: Incident, *, by: str, now: datetime, number: int) -> list[e.Event]:
    """Tick an action item off."""
    _must_live(i)
    item = next((item for item in i.items if item.number == number), None)
    if item is None:
        known = ", ".join(str(item.number) for item in i.items) or "none yet"
        raise RefusedError(f"There is no action item {number}; there are: {known}.")
    if item.done:
        raise RefusedError(f"Action item {number} is done already.")
    return [e.ActionItemDone(at=now, actor=by, item=number)]
