"""The example configuration's policies and roster, and a shorthand for playing events on an incident."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.config import load
from incidents import events as e
from incidents.due import due
from incidents.incident import Incident, fold
from incidents.life import open_incident
from incidents.policy import Policy

SETTINGS = load(None, {})
ISH = SETTINGS.policies["ish"]
AIAAS = SETTINGS.policies["aiaas"]
ROSTER = SETTINGS.roster
START = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after the start."""
    return START + timedelta(minutes=minutes)


def play(incident: Incident | None, events: list[e.Event]) -> Incident:
    """The incident after these events."""
    for event in events:
        incident = fold(incident, event)
    assert incident is not None
    return incident


def opened(severity: str = "critical", policy: Policy = ISH) -> Incident:
    """An incident that grace opened at the start; nothing has fallen due yet."""
    found = policy.severity(severity)
    assert found is not None
    events = open_incident(
        number=1,
        title="Redis is down",
        severity=found,
        policy=policy,
        by="grace",
        now=START,
        service="realtime",
    )
    return play(None, events)


def pass_time(
    incident: Incident, until: datetime, *, step: timedelta = timedelta(minutes=1), policy: Policy = ISH
) -> tuple[Incident, list[e.Event]]:
    """Let everything fall due, looking every `step`; the incident and what fell due."""
    found: list[e.Event] = []
    now = incident.round_at
    while now <= until:
        fired = due(incident, policy, ROSTER, now)
        incident = play(incident, fired)
        found += fired
        now += step
    return incident, found
