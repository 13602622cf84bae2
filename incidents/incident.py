"""One incident as its events tell it: the state that decisions need, and the fold that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from incidents import events as e
from incidents.policy import STATUSES


@dataclass(frozen=True, slots=True)
class Channel:
    """Where an incident is talked about; `thread` where it lives in a thread of the operations channel."""

    platform: str
    id: str
    name: str
    thread: str | None = None
    borrowed: bool = False


@dataclass(frozen=True, slots=True)
class PageOut:
    """A page that nobody has answered: first sent at `at`, repeated `repeats` times."""

    person: str
    at: datetime
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class ActionItem:
    number: int
    text: str
    owner: str | None
    due: datetime | None
    done: bool = False
    chased_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class FiringAlert:
    name: str
    service: str | None
    starts_at: datetime
    firing: bool


@dataclass(frozen=True, slots=True)
class Incident:
    """The state of one incident; times are UTC. A round begins at opening and at each reopening.

    `round_at` is where this round's clocks and ladder count from; `fired` and `missed` are of this round.
    """

    number: int
    title: str
    severity: str
    rank: int
    policy: str
    opened_at: datetime
    opened_by: str
    round_at: datetime
    clocks: Mapping[str, datetime]
    service: str | None = None
    services: tuple[str, ...] = ()
    since: datetime | None = None
    private: bool = False
    drill: bool = False
    major: bool = False
    group_key: str | None = None
    linked: int | None = None
    unclear: tuple[str, ...] = ()
    channels: tuple[Channel, ...] = ()
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    owner: str | None = None
    status: str = ""
    status_at: datetime | None = None
    updated_at: datetime | None = None
    update_text: str = ""
    updates: int = 0
    reminded_at: datetime | None = None
    unanswered: int = 0
    cadence_set: bool = False
    cadence: int | None = None
    cadence_at: datetime | None = None
    snoozed_until: datetime | None = None
    eta: datetime | None = None
    eta_passed: bool = False
    fired: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    rung: str = ""
    pages: tuple[PageOut, ...] = ()
    paged: tuple[str, ...] = ()
    alerts: Mapping[tuple[str, str], FiringAlert] = field(default_factory=dict)
    held: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)
    people: tuple[str, ...] = ()
    items: tuple[ActionItem, ...] = ()
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    merged_into: int | None = None

    @property
    def open(self) -> bool:
        """Neither resolved, nor closed, nor merged."""
        return self.resolved_at is None and self.closed_at is None and self.merged_into is None

    @property
    def state(self) -> str:
        """In one word: merged, closed, resolved, a status, acknowledged, or open."""
        if self.merged_into is not None:
            return "merged"
        if self.closed_at is not None:
            return "closed"
        if self.resolved_at is not None:
            return "resolved"
        return self.status or ("acknowledged" if self.acknowledged_at else "open")

    @property
    def firing(self) -> int:
        """How many of its alerts fire."""
        return sum(alert.firing for alert in self.alerts.values())

    @property
    def silent(self) -> frozenset[str]:
        """Who was paged while nobody has answered."""
        return frozenset(self.paged) if self.acknowledged_at is None else frozenset()

    def visible_to(self, person: str, inside: bool = False) -> bool:
        """A private incident is seen by who takes part or was paged, and `inside` its own channel."""
        part = (self.opened_by, *self.people, *self.paged, *self.roles.values())
        return not self.private or inside or person in part

    def met(self, clock: str) -> bool:
        """Whether what a response clock waits for has come; a later status satisfies the earlier clocks."""
        if self.resolved_at is not None:
            return True
        if clock == "acknowledged":
            return self.acknowledged_at is not None or self.status != ""
        if clock == "updated":
            return self.updated_at is not None
        if clock == "resolved":
            return False
        reached = STATUSES.index(self.status) if self.status else -1
        return reached >= STATUSES.index(clock)


def fold(state: Incident | None, event: e.Event) -> Incident | None:
    """The incident after `event`; what changes nothing that decisions need gives the same object."""
    if isinstance(event, e.IncidentOpened):
        return _opened(event)
    rule = _RULES.get(type(event))
    if state is None or rule is None:
        return state
    return replace(state, **rule(state, event))


def _opened(event: e.IncidentOpened) -> Incident:
    services = event.services or ((event.service,) if event.service else ())
    return Incident(
        number=event.number,
        title=event.title,
        severity=event.severity,
        rank=event.rank,
        policy=event.policy,
        opened_at=event.at,
        opened_by=event.actor,
        round_at=event.at,
        clocks=event.clocks,
        service=event.service,
        services=services,
        since=event.since,
        private=event.private,
        drill=event.drill,
        major=event.major,
        group_key=event.group_key,
        linked=event.linked,
        unclear=event.unclear,
    )


Changes = dict[str, Any]


def _with(people: tuple[str, ...], *more: str | None) -> tuple[str, ...]:
    return people + tuple(p for p in dict.fromkeys(more) if p and p not in people)


def _bound(i: Incident, ev: e.ChannelBound) -> Changes:
    kept = tuple(c for c in i.channels if c.platform != ev.platform)
    return {"channels": (*kept, Channel(ev.platform, ev.channel, ev.name, ev.thread, ev.borrowed))}


def _acknowledged(i: Incident, ev: e.Acknowledged) -> Changes:
    return {
        "acknowledged_at": i.acknowledged_at or ev.at,
        "acknowledged_by": i.acknowledged_by or ev.actor,
        "owner": ev.actor,
        "pages": (),
        "people": _with(i.people, ev.actor),
    }


def _updated(i: Incident, ev: e.Updated | e.StatusChanged) -> Changes:
    changes: Changes = {
        "updated_at": ev.at,
        "updates": i.updates + 1,
        "update_text": ev.text or i.update_text,
        "unanswered": 0,
        "snoozed_until": None,
        "people": _with(i.people, ev.actor),
    }
    if isinstance(ev, e.StatusChanged):
        changes |= {"status": ev.status, "status_at": ev.at}
    return changes


def _severity(i: Incident, ev: e.SeverityChanged) -> Changes:
    return {"severity": ev.severity, "rank": ev.rank, "clocks": ev.clocks, "cadence_at": ev.at}


def _escalated(i: Incident, ev: e.EscalationDue) -> Changes:
    changes: Changes = {"fired": i.fired | {ev.key}}
    if ev.do == "page":
        changes |= _paged(i, ev.people, ev.at)
    if ev.rung:
        changes["rung"] = ev.rung
    return changes


def _paged(i: Incident, people: tuple[str, ...], at: datetime) -> Changes:
    changes: Changes = {"paged": _with(i.paged, *people)}
    if i.acknowledged_at is None and i.open:
        waiting = {page.person for page in i.pages}
        changes["pages"] = i.pages + tuple(PageOut(p, at) for p in people if p not in waiting)
    return changes


def _paged_by_hand(i: Incident, ev: e.Paged) -> Changes:
    changes = _paged(i, ev.people, ev.at)
    if ev.rung:
        changes["rung"] = ev.rung
    if ev.key:
        changes["fired"] = i.fired | {ev.key}
    return changes


def _repeated(i: Incident, ev: e.PageRepeated) -> Changes:
    return {
        "pages": tuple(
            replace(page, repeats=ev.count if page.person in ev.people else page.repeats) for page in i.pages
        )
    }


def _unreachable(i: Incident, ev: e.PageFailed) -> Changes:
    return {"pages": tuple(page for page in i.pages if page.person != ev.person)}


def _reminded(i: Incident, ev: e.ReminderDue) -> Changes:
    return {"reminded_at": ev.due, "unanswered": ev.unanswered, "snoozed_until": None}


def _resolved(i: Incident, ev: e.Resolved) -> Changes:
    return {
        "resolved_at": ev.at,
        "status": "resolved",
        "status_at": ev.at,
        "pages": (),
        "update_text": ev.text or i.update_text,
        "people": _with(i.people, ev.actor),
    }


def _reopened(i: Incident, ev: e.Reopened) -> Changes:
    return {
        "resolved_at": None,
        "closed_at": None,
        "round_at": ev.at,
        "clocks": ev.clocks,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "status": "",
        "status_at": None,
        "updated_at": None,
        "reminded_at": None,
        "unanswered": 0,
        "snoozed_until": None,
        "eta": None,
        "eta_passed": False,
        "fired": frozenset(),
        "missed": frozenset(),
        "rung": "",
        "pages": (),
        "paged": (),
        "held": False,
    }


def _merged_from(i: Incident, ev: e.MergedFrom) -> Changes:
    acknowledged = i.acknowledged_at
    by = i.acknowledged_by
    if ev.acknowledged_at and (acknowledged is None or ev.acknowledged_at < acknowledged):
        acknowledged, by = ev.acknowledged_at, ev.acknowledged_by
    return {
        "opened_at": min(i.opened_at, ev.opened_at),
        "round_at": min(i.round_at, ev.opened_at),
        "severity": ev.severity,
        "rank": ev.rank,
        "clocks": ev.clocks,
        "acknowledged_at": acknowledged,
        "acknowledged_by": by,
        "owner": i.owner or by,
        "pages": () if acknowledged else i.pages,
        "fired": i.fired | frozenset(ev.fired),
        "missed": i.missed | frozenset(ev.missed),
        "services": _with(i.services, *ev.services),
        "cadence_at": ev.at,
    }


def _alert(i: Incident, ev: e.AlertAttached) -> Changes:
    found = FiringAlert(ev.name, ev.service, ev.starts_at, firing=True)
    return {
        "alerts": {**i.alerts, (ev.source, ev.fingerprint): found},
        "held": False,
        "services": _with(i.services, ev.service),
    }


def _cleared(i: Incident, ev: e.AlertCleared) -> Changes:
    alert = i.alerts.get((ev.source, ev.fingerprint))
    alerts = dict(i.alerts)
    if alert is not None:
        alerts[ev.source, ev.fingerprint] = replace(alert, firing=False)
    return {"alerts": alerts, "held": ev.all_clear}


def _item(i: Incident, ev: e.ActionItemAdded) -> Changes:
    return {"items": (*i.items, ActionItem(ev.item, ev.text, ev.owner, ev.due))}


def _item_changed(i: Incident, ev: e.ActionItemDone | e.ActionItemChased) -> Changes:
    done = isinstance(ev, e.ActionItemDone)
    return {
        "items": tuple(
            replace(item, done=item.done or done, chased_at=item.chased_at if done else ev.due)  # type: ignore[union-attr]
            if item.number == ev.item
            else item
            for item in i.items
        )
    }


_RULES: Mapping[type[e.Event], Callable[[Incident, Any], Changes]] = {
    e.ChannelBound: _bound,
    e.Acknowledged: _acknowledged,
    e.Updated: _updated,
    e.StatusChanged: _updated,
    e.EtaSet: lambda i, ev: {"eta": ev.eta, "eta_passed": False},
    e.EtaPassed: lambda i, ev: {"eta_passed": True},
    e.SeverityChanged: _severity,
    e.MajorChanged: lambda i, ev: {"major": ev.on},
    e.RoleTaken: lambda i, ev: {
        "roles": {**i.roles, ev.role: ev.person},
        "people": _with(i.people, ev.person),
    },
    e.Joined: lambda i, ev: {"people": _with(i.people, ev.person)},
    e.Left: lambda i, ev: {
        "people": tuple(p for p in i.people if p != ev.person),
        "roles": {role: p for role, p in i.roles.items() if p != ev.person},
    },
    e.HandedOver: lambda i, ev: {"owner": ev.person, "people": _with(i.people, ev.person)},
    e.ResponseLate: lambda i, ev: {"missed": i.missed | {ev.clock}},
    e.EscalationDue: _escalated,
    e.Paged: _paged_by_hand,
    e.PageRepeated: _repeated,
    e.PageFailed: _unreachable,
    e.ReminderDue: _reminded,
    e.Snoozed: lambda i, ev: {"snoozed_until": ev.until},
    e.CadenceSet: lambda i, ev: {"cadence_set": True, "cadence": ev.seconds, "cadence_at": ev.at},
    e.Resolved: _resolved,
    e.Reopened: _reopened,
    e.Closed: lambda i, ev: {"closed_at": ev.at, "pages": ()},
    e.MergedInto: lambda i, ev: {"merged_into": ev.survivor, "pages": ()},
    e.MergedFrom: _merged_from,
    e.AlertAttached: _alert,
    e.AlertCleared: _cleared,
    e.ActionItemAdded: _item,
    e.ActionItemDone: _item_changed,
    e.ActionItemChased: _item_changed,
}


def clocks_from(start: datetime, allowed: Mapping[str, int]) -> dict[str, datetime]:
    """The due time of each response clock that starts at `start`."""
    return {clock: start + timedelta(seconds=seconds) for clock, seconds in allowed.items()}
