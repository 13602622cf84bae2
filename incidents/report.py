"""The post-mortem of one incident as data: what happened, what it took, and what is to be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from incidents import events as e
from incidents import findings, incident, timeline
from incidents.entries import Entry, cleaned
from incidents.findings import (
    AlertSeen,
    Change,
    Item,
    Participant,
    Phase,
    RunbookUpdate,
    Said,
    SeverityStep,
)
from incidents.metrics import Metrics, metrics
from incidents.ports import RefusedError
from incidents.rounds import ClockResult, Round
from incidents.timeline import AS_THEY_ARE, Row

__all__ = ["ClockResult", "Metrics", "Report", "Round", "metrics", "report"]

# What the review is to answer; the export prints them as headings to write under.
PROMPTS = {
    "What went well": ("What helped to notice, answer and repair this quickly?",),
    "What went badly": ("What cost time, or made it worse?",),
    "Preventive measures": (
        "Monitoring: which alert or dashboard would have told us earlier?",
        "Process: what would have made the response smoother?",
        "Technical: what change makes this failure impossible, or harmless?",
        "Training: what did somebody have to find out that all should know?",
    ),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the post-mortem says; times are UTC, outside text is as it came."""

    as_of: datetime
    number: int
    title: str
    state: str
    severity: str
    rank: int
    service: str | None
    services: tuple[str, ...]
    private: bool
    drill: bool
    major: bool
    opened_at: datetime
    opened_by: str
    owner: str | None
    since: datetime | None
    resolved_at: datetime | None
    closed_at: datetime | None
    merged_into: int | None
    linked: int | None
    unclear: tuple[str, ...]
    metrics: Metrics
    severities: tuple[SeverityStep, ...]
    phases: tuple[Phase, ...]
    alerts: tuple[AlertSeen, ...]
    impact: tuple[Said, ...]
    causes: tuple[Said, ...]
    resolutions: tuple[Said, ...]
    changes: tuple[Change, ...]
    items: tuple[Item, ...]
    participants: tuple[Participant, ...]
    runbook_updates: tuple[RunbookUpdate, ...]
    rows: tuple[Row, ...]

    @property
    def resolution_steps(self) -> tuple[Change, ...]:
        """The changes that were made and stayed."""
        return tuple(c for c in self.changes if c.state == "done" and not c.undone and c.undo_of is None)


def report(
    entries: Iterable[Entry],
    now: datetime,
    *,
    people: Mapping[str, str] = AS_THEY_ARE,
    zone: tzinfo = UTC,
) -> Report:
    """The post-mortem as of `now`; `people` and `zone` are for the sentences of its timeline.

    Raises RefusedError for entries without an opening.
    """
    found = cleaned(entries)
    state = _folded(found)
    figures = metrics(found, now)
    made = findings.made(found)
    return Report(
        as_of=now,
        number=state.number,
        title=state.title,
        state=state.state,
        severity=state.severity,
        rank=state.rank,
        service=state.service,
        services=state.services,
        private=state.private,
        drill=state.drill,
        major=state.major,
        opened_at=state.opened_at.astimezone(UTC),
        opened_by=state.opened_by,
        owner=state.owner,
        since=state.since,
        resolved_at=state.resolved_at,
        closed_at=state.closed_at,
        merged_into=state.merged_into,
        linked=state.linked,
        unclear=state.unclear,
        metrics=figures,
        severities=findings.severities(found),
        phases=findings.phases(found, figures.rounds),
        alerts=findings.alerts(found),
        impact=findings.said(found, e.ImpactRecorded),
        causes=findings.said(found, e.CauseRecorded),
        resolutions=findings.said(found, e.Resolved),
        changes=made,
        items=findings.items(found),
        participants=findings.participants(found, figures.people),
        runbook_updates=findings.runbook_updates(made),
        rows=timeline.rows(found, people=people, zone=zone),
    )


def _folded(entries: list[Entry]) -> incident.Incident:
    state: incident.Incident | None = None
    for entry in entries:
        state = incident.fold(state, entry.event)
    if state is None:
        raise RefusedError("Nothing was recorded about this incident, so there is nothing to report.")
    return state
