"""What the web pages show: plain data, filled by the bot and laid out by templates/web."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentView:
    """One row of the board.

    `rank` 0 is the worst severity. `next_text` says what `next_at` is without the time ("first response
    due", "team lead is paged"): the page adds "in 2 min". `late` is true where a response clock was missed
    and is still open; then `late_text` says which. `channel` is the id in the browser chat, if it is there.
    """

    number: int
    title: str
    severity: str
    rank: int
    status: str
    opened_at: datetime
    service: str | None = None
    owner: str | None = None
    commander: str | None = None
    resolved_at: datetime | None = None
    next_at: datetime | None = None
    next_text: str = ""
    late: bool = False
    late_text: str = ""
    eta: datetime | None = None
    alerts_firing: int = 0
    requests_waiting: int = 0
    break_glass: tuple[tuple[int, datetime], ...] = ()  # requests that run without approval, and when
    channel: str | None = None
    channel_name: str = ""
    private: bool = False
    drill: bool = False
    major: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One line of a timeline; `text` is a whole sentence.

    `category` is life, alert, page, clock, update, action, note, people or review.
    """

    at: datetime
    actor: str
    text: str
    category: str = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalView:
    """A change that waits for votes, `have` of `needed` approvals, or runs without at `runs_at` (break-glass)."""

    number: int
    text: str
    asked_by: str
    expires_at: datetime
    needed: int = 1
    have: int = 0
    runs_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPage:
    """Everything about one incident; `facts` are shown as they stand: impact, cause, time to acknowledge."""

    row: IncidentView
    timeline: tuple[TimelineRow, ...] = ()
    approvals: tuple[ApprovalView, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    exports: tuple[str, ...] = ("md", "html", "json", "csv", "zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceView:
    """A service on the status page; `state` is up, degraded or down."""

    name: str
    state: str = "up"
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicIncident:
    """An incident as customers may read of it."""

    title: str
    severity: str
    rank: int
    status: str
    since: datetime
    services: tuple[str, ...] = ()
    update: str = ""
    updated_at: datetime | None = None
    resolved_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusView:
    """The public status page: services, open incidents, and those resolved lately."""

    services: tuple[ServiceView, ...] = ()
    incidents: tuple[PublicIncident, ...] = ()
    recent: tuple[PublicIncident, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthView:
    """`ready`: takes commands and keeps the clocks; `parts` says how each part is, "ok" or a sentence."""

    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertReply:
    """What an alert's sender is answered."""

    status: int
    text: str
