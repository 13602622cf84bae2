"""Every fact that Watchbell records: frozen, in the past tense, with the time and whose doing it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any, get_type_hints

BOT = "watchbell"  # the actor of what falls due by itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact; `at` is UTC, `actor` a person of the configuration, an alert source, or the bot."""

    at: datetime
    actor: str


# -- the life of an incident: stream incident-N ---------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentOpened(Event):
    """`clocks` are the due times of the first round; `since` dates the impact, never the clocks.

    `asked_in` is the channel where somebody asked for it; with `here` it becomes the incident's own.
    """

    number: int
    title: str
    severity: str
    rank: int
    policy: str
    clocks: dict[str, datetime]
    service: str | None = None
    services: tuple[str, ...] = ()
    since: datetime | None = None
    private: bool = False
    drill: bool = False
    major: bool = False
    group_key: str | None = None
    linked: int | None = None
    unclear: tuple[str, ...] = ()
    asked_in: str = ""
    here: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelBound(Event):
    """The incident's channel, by id; `thread` is one of the operations channel, in place of a channel.

    `borrowed` says that people had the channel before: it keeps its topic and is never archived.
    """

    platform: str
    channel: str
    name: str
    thread: str | None = None
    borrowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged(Event):
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged(Event):
    status: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated(Event):
    text: str
    answer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtaSet(Event):
    eta: datetime
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityChanged(Event):
    severity: str
    rank: int
    before: str
    raised: bool
    clocks: dict[str, datetime]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MajorChanged(Event):
    on: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleTaken(Event):
    role: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(Event):
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Left(Event):
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver(Event):
    person: str
    before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteAdded(Event):
    text: str
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePinned(Event):
    """Somebody put a message on the timeline with 📌; `author` wrote it, at `written_at`."""

    message_id: str
    author: str
    text: str
    written_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageUnpinned(Event):
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved(Event):
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened(Event):
    clocks: dict[str, datetime]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Event):
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedInto(Event):
    survivor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedFrom(Event):
    """What the survivor takes over; `clocks` are recomputed for the severity and opening it has now."""

    other: int
    title: str
    opened_at: datetime
    severity: str
    rank: int
    clocks: dict[str, datetime]
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    fired: tuple[str, ...]
    missed: tuple[str, ...]
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snoozed(Event):
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CadenceSet(Event):
    """Seconds between reminders of this incident; None is off."""

    seconds: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpactRecorded(Event):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseRecorded(Event):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionItemAdded(Event):
    item: int
    text: str
    owner: str | None
    due: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionItemDone(Event):
    item: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAttached(Event):
    """One status change of one alert; `fires_again` names an episode after all had been resolved."""

    source: str
    fingerprint: str
    starts_at: datetime
    name: str
    summary: str = ""
    severity: str = ""
    service: str | None = None
    labels: dict[str, str]
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertCleared(Event):
    source: str
    fingerprint: str
    starts_at: datetime
    name: str
    all_clear: bool


# -- what fell due: stream incident-N -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseLate(Event):
    """A response clock passed unmet; `due` is when, `allowed` the seconds it had."""

    clock: str
    due: datetime
    allowed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalationDue(Event):
    """A step fired: `do` is page, notify or message; `skipped` says which rungs were passed over, why."""

    key: str
    due: datetime
    do: str
    rung: str
    people: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    late: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged(Event):
    """Somebody paged people by hand: `page`, `escalate`, or `major on`."""

    people: tuple[str, ...]
    rung: str = ""
    why: str = ""
    key: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRepeated(Event):
    people: tuple[str, ...]
    due: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFailed(Event):
    """No contact method of a person could be reached; `key` is the page it belongs to."""

    person: str
    key: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderDue(Event):
    """`unanswered` counts the reminders since the last human update, this one included."""

    due: datetime
    unanswered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EtaPassed(Event):
    eta: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionItemChased(Event):
    item: int
    due: datetime


# -- what people wrote: stream chat-N -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePosted(Event):
    channel: str
    message_id: str
    text: str
    thread: str | None = None
    files: tuple[str, ...] = ()
    file_ids: tuple[str, ...] = ()
    late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited(Event):
    channel: str
    message_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDeleted(Event):
    channel: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageScrubbed(Event):
    """The bodies at `positions` were erased; the hash chain holds over their digests."""

    message_id: str
    positions: tuple[int, ...]
    why: str = ""


# -- approvals and execution: stream action-N -----------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionProposed(Event):
    """A frozen plan waits for votes on exactly `plan_hash`; `covers` an earlier approval, where one does.

    `guarded`: asked for where only messages prove who wrote them, so that what proves nothing approves no danger.
    `evidence` is what was known beside the plan: `sli` its service's figure in words, `runs` the last of its kind.
    """

    number: int
    incident: int | None
    channel: str
    plan: dict[str, Any]
    plan_hash: str
    quorum: int
    eligible: tuple[str, ...]
    expires_at: datetime
    widen_at: datetime | None = None
    undo_of: int | None = None
    revert_of: int | None = None
    again_of: int | None = None
    revert_after: int | None = None
    undo_within: int = 1800
    guarded: bool = False
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCast(Event):
    person: str
    choice: str
    means: str
    plan_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteWithdrawn(Event):
    person: str
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRefused(Event):
    """A vote that did not count, and the sentence that said why."""

    person: str
    means: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproversWidened(Event):
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionApproved(Event):
    voters: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDenied(Event):
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCancelled(Event):
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionExpired(Event):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionVoided(Event):
    why: str
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlassInvoked(Event):
    reason: str
    runs_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionStarted(Event):
    """The claim and the start in one: the boot that holds it, and who had approved, checked again."""

    boot: str
    voters: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked(Event):
    """Somebody asked to stop what runs already; the target stops where it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFinished(Event):
    text: str
    after: dict[str, Any]
    seconds: float
    revert_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionFailed(Event):
    """It did not work; `after` is what stands of it all the same, as a rollout that got stuck."""

    text: str
    after: dict[str, Any] = field(default_factory=dict)
    revert_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionUnknown(Event):
    text: str
    observed: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertAnnounced(Event):
    revert_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertKept(Event):
    why: str = ""  # of the bot: what makes the way back needless


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertDue(Event):
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertBlocked(Event):
    """The way back could not be asked for: `why`, and when it is tried again; an empty `why` when it was, after all."""

    why: str
    again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchBegan(Event):
    """A change that starts will be followed: the terms, and the figure just before; None with `why` without one.

    `worse_by` is a part of the figure where it is `relative`, else a difference in its own unit.
    """

    query: str
    target: str
    label: str
    unit: str
    window: int
    better: str
    worse_by: float
    relative: bool
    before: float | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchDue(Event):
    due: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchMeasured(Event):
    value: float | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnded(Event):
    """`verdict` is good, worse, unmeasured or stopped; `text` says it."""

    verdict: str
    value: float | None
    text: str


# -- everything else ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyAdopted(Event):
    """Stream policy-HASH: the snapshot that incidents point at."""

    policy: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideSet(Event):
    """Stream oncall-main: `person` stands in on `rota` from `start` until `end`."""

    rota: str
    person: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HandoverDue(Event):
    rota: str
    due: datetime
    before: str | None
    person: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandRefused(Event):
    """Stream audit-main: a request to change something that was not even proposed."""

    command: str
    channel: str
    why: str


# -- to and from rows -----------------------------------------------------------------------------


def kinds() -> Iterator[type[Event]]:
    """Every event class, in the order of this file."""
    # slots=True makes each class anew, and the first one may still be in memory.
    yield from (cls for cls in Event.__subclasses__() if globals().get(cls.__name__) is cls)


def encode(event: Event) -> tuple[str, datetime, str, dict[str, Any]]:
    """Kind, time, actor and a body of what JSON has, tuples and times (orjson writes both)."""
    kind = type(event).__name__
    names, values = _fields_of(kind)
    return kind, event.at, event.actor, dict(zip(names, values(event), strict=True))


def decode(kind: str, at: datetime, actor: str, body: Mapping[str, Any]) -> Event:
    """The event of a row; fields that this version does not know are left out, KeyError for a strange kind."""
    cls = _classes()[kind]
    values = {
        name: read(body[name]) if read is not None and body[name] is not None else body[name]
        for name, read in _readers(kind)
        if name in body
    }
    return cls(at=at, actor=actor, **values)


@cache
def _classes() -> dict[str, type[Event]]:
    return {cls.__name__: cls for cls in kinds()}


def _times_in(value: Mapping[str, str]) -> dict[str, datetime]:
    return {key: datetime.fromisoformat(time) for key, time in value.items()}


@cache
def _fields_of(kind: str) -> tuple[tuple[str, ...], Callable[[Event], tuple[Any, ...]]]:
    """The names of a body's fields, and a function that reads them all at once."""
    names = tuple(name for name, _ in _body_fields(_classes()[kind]))
    if len(names) > 1:
        return names, attrgetter(*names)
    return names, lambda event: tuple(getattr(event, name) for name in names)


@cache
def _readers(kind: str) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    return tuple((name, _reader(hint)) for name, hint in _body_fields(_classes()[kind]))


def _body_fields(cls: type[Event]) -> list[tuple[str, str]]:
    hints = get_type_hints(cls)
    return [(f.name, str(hints[f.name])) for f in fields(cls) if f.name not in ("at", "actor")]


def _reader(hint: str) -> Callable[[Any], Any] | None:
    if hint.startswith("dict[str, datetime"):
        return _times_in
    if "datetime" in hint:
        return datetime.fromisoformat
    return tuple if hint.startswith("tuple") else None
