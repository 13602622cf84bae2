"""What falls due when: both policies' tables, and the rules that hold whatever happens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import events as e
from incidents import life
from incidents.due import due, next_due, next_reminder
from incidents.incident import Incident
from incidents.policy import Policy
from incidents.ports import RefusedError
from tests.incidents.example import AIAAS, ISH, ROSTER, START, at, opened, pass_time, play


def pages(events: list[e.Event]) -> list[tuple[float, tuple[str, ...]]]:
    """(minutes after the start, people) of every step that paged."""
    return [
        ((ev.due - START).total_seconds() / 60, ev.people)
        for ev in events
        if isinstance(ev, e.EscalationDue) and ev.do == "page" and ev.people and ev.why != "unanswered"
    ]


@pytest.mark.parametrize(
    ("policy", "severity", "expected"),
    [
        (ISH, "critical", [(0, ("alice",)), (15, ("bob",)), (30, ("carol",)), (60, ("dave",))]),
        (ISH, "high", [(0, ("alice",)), (30, ("carol",)), (60, ("bob",))]),
        (ISH, "medium", [(240, ("alice",)), (300, ("bob",))]),
        (ISH, "low", []),
        (AIAAS, "P0", [(0, ("alice",)), (5, ("heidi",)), (30, ("dave",))]),
        (AIAAS, "P1", [(0, ("alice",)), (15, ("heidi",))]),
        (AIAAS, "P2", [(0, ("alice",)), (60, ("heidi",))]),
    ],
)
def test_an_unacknowledged_incident_pages_by_the_table(
    policy: Policy, severity: str, expected: list[tuple[float, tuple[str, ...]]]
) -> None:
    """Nobody does anything: each rung is paged at its minute, once."""
    _, found = pass_time(opened(severity, policy), at(1500), policy=policy)
    assert pages(found) == expected


@pytest.mark.parametrize(
    ("severity", "every"), [("critical", 30), ("high", 60), ("medium", 240), ("low", None)]
)
def test_reminders_come_at_the_severity_s_cadence(severity: str, every: int | None) -> None:
    """Without a human update a reminder falls due every so many minutes; low has none."""
    _, found = pass_time(opened(severity), at(500))
    times = [(ev.due - START).total_seconds() / 60 for ev in found if isinstance(ev, e.ReminderDue)]
    assert times == ([] if every is None else [float(m) for m in range(every, 501, every)])


def test_a_page_is_repeated_five_times() -> None:
    """The first person is asked again every five minutes, five times, while nobody acknowledges."""
    _, found = pass_time(opened(), at(120))
    repeats = [ev for ev in found if isinstance(ev, e.PageRepeated) and "alice" in ev.people]
    assert [(ev.due - START).total_seconds() / 60 for ev in repeats] == [5, 10, 15, 20, 25]


def test_overdue_repeats_and_reminders_collapse() -> None:
    """After 23 minutes away there is one more page to each and no pile of repeats; each step fires once."""
    incident = play(opened(), due(opened(), ISH, ROSTER, START))
    found = due(incident, ISH, ROSTER, at(23))
    assert [type(ev).__name__ for ev in found] == ["PageRepeated", "ResponseLate", "EscalationDue"]
    late = due(incident, ISH, ROSTER, at(200))
    assert sum(isinstance(ev, e.ReminderDue) for ev in late) == 1
    assert [people for _, people in pages(late)] == [("bob",), ("carol",), ("dave",)]


def test_what_became_moot_does_not_fire() -> None:
    """Acknowledged before the overdue page was sent: it is not sent."""
    incident = play(opened(), due(opened(), ISH, ROSTER, START))
    incident = play(incident, life.acknowledge(incident, by="alice", now=at(14)))
    assert pages(due(incident, ISH, ROSTER, at(20))) == []


def test_two_unanswered_reminders_page_owner_and_secondary() -> None:
    """Reminders at 30 and 60 stay unanswered: at 90 the owner and the secondary are paged, once."""
    incident = play(opened(), due(opened(), ISH, ROSTER, START))
    incident = play(incident, life.acknowledge(incident, by="alice", now=at(1)))
    _, found = pass_time(incident, at(130))
    unanswered = [ev for ev in found if isinstance(ev, e.EscalationDue) and ev.why == "unanswered"]
    assert [(ev.due, ev.people) for ev in unanswered] == [(at(90), ("alice", "bob"))]


def test_a_snooze_holds_the_next_reminder_once() -> None:
    """Held from 30 to 55; the one after that comes a whole cadence later."""
    severity = ISH.severity("critical")
    assert severity is not None
    incident = opened()
    held = life.snooze(incident, by="alice", now=at(25), lasts=timedelta(minutes=30), severity=severity)
    incident = play(incident, held)
    assert next_reminder(incident, severity) == at(55)
    incident = play(incident, [e.ReminderDue(at=at(55), actor=e.BOT, due=at(55), unanswered=1)])
    assert next_reminder(incident, severity) == at(85)


def test_a_cadence_set_in_flight_goes_on_from_its_own_grid() -> None:
    """Every 15 minutes, said at minute 20, means 30, 45, …; not a pile of missed ones."""
    severity = ISH.severity("critical")
    assert severity is not None
    incident = opened()
    incident = play(
        incident, life.remind_every(incident, by="alice", now=at(20), lasts=timedelta(minutes=15))
    )
    assert next_reminder(incident, severity) == at(30)


def test_a_step_passes_over_who_was_paged_and_is_silent() -> None:
    """bob, paged because alice could not be reached, is not what the late clock lands on: carol is."""
    incident = play(opened(), due(opened(), ISH, ROSTER, START))
    failed = e.PageFailed(
        at=START, actor=e.BOT, person="alice", key="opened::page:primary", detail="no answer"
    )
    from incidents.due import unreachable

    moved = unreachable(incident, ISH, ROSTER, failed=failed, rung="primary", now=START)
    assert pages(moved) == [(0, ("bob",))]
    incident = play(incident, moved)
    later = due(incident, ISH, ROSTER, at(15))
    assert [people for _, people in pages(later)] == [("carol",)]


def test_all_alerts_resolved_holds_the_steps_above_the_secondary() -> None:
    """The team lead waits until an alert fires again, and is then paged at once."""
    labels: dict[str, Any] = {
        "source": "alertmanager",
        "fingerprint": "f1",
        "starts_at": START,
        "name": "RedisDown",
    }
    incident = play(opened(), due(opened(), ISH, ROSTER, START))
    incident = play(incident, [e.AlertAttached(at=START, actor="alertmanager", labels={}, **labels)])
    incident = play(incident, [e.AlertCleared(at=at(10), actor="alertmanager", all_clear=True, **labels)])
    fired = due(incident, ISH, ROSTER, at(45))
    assert [people for _, people in pages(fired)] == [("bob",)]
    incident = play(incident, fired)
    again = e.AlertAttached(at=at(46), actor="alertmanager", labels={}, **{**labels, "starts_at": at(46)})
    assert [people for _, people in pages(due(play(incident, [again]), ISH, ROSTER, at(46)))] == [("carol",)]


def test_a_raise_counts_first_response_from_the_raise() -> None:
    """Medium raised to critical at 50: late at 65, the overdue steps to team lead fire at once."""
    incident = play(opened("medium"), due(opened("medium"), ISH, ROSTER, START))
    critical = ISH.severity("critical")
    assert critical is not None
    raised = life.change_severity(incident, by="bob", now=at(50), severity=critical, policy=ISH)
    incident = play(incident, raised)
    assert incident.clocks["acknowledged"] == at(65)
    assert [people for _, people in pages(due(incident, ISH, ROSTER, at(50)))] == [("alice",), ("carol",)]


def test_a_raise_never_gives_more_time() -> None:
    """High raised at minute 55: its first response stays due at 60, not 70."""
    critical = ISH.severity("critical")
    assert critical is not None
    raised = life.change_severity(opened("high"), by="bob", now=at(55), severity=critical, policy=ISH)
    assert play(opened("high"), raised).clocks["acknowledged"] == at(60)


DECISIONS = (
    "acknowledge",
    "update",
    "identified",
    "high",
    "critical",
    "resolve",
    "reopen",
    "snooze",
    "nothing",
)


def decide(incident: Incident, name: str, now: datetime) -> list[e.Event]:
    """One thing that a person does."""
    try:
        if name == "acknowledge":
            return life.acknowledge(incident, by="bob", now=now)
        if name == "update":
            return life.update(
                incident, by="bob", now=now, text="still looking", eta=now + timedelta(minutes=7)
            )
        if name == "identified":
            return life.set_status(incident, by="bob", now=now, status="identified")
        if name in ("high", "critical"):
            severity = ISH.severity(name)
            assert severity is not None
            return life.change_severity(incident, by="bob", now=now, severity=severity, policy=ISH)
        if name == "resolve":
            return life.resolve(incident, by="bob", now=now)
        if name == "reopen":
            return life.reopen(incident, by="bob", now=now, policy=ISH)
        if name == "snooze":
            severity = ISH.severity(incident.severity) or ISH.default
            return life.snooze(incident, by="bob", now=now, lasts=timedelta(minutes=11), severity=severity)
    except RefusedError:
        return []
    return []


scripts = st.lists(st.tuples(st.integers(0, 90), st.sampled_from(DECISIONS)), max_size=8)


def run(script: list[tuple[int, str]], *, step: int) -> tuple[Incident, list[e.Event]]:
    """The script, with what falls due looked at every `step` minutes and before each decision."""
    incident = opened()
    log: list[e.Event] = []

    def look(now: datetime) -> None:
        nonlocal incident
        fired = due(incident, ISH, ROSTER, now)
        incident = play(incident, fired)
        log.extend(fired)

    now = START
    for wait, name in script:
        target = now + timedelta(minutes=wait)
        while now < target:
            now = min(target, now + timedelta(minutes=step))
            look(now)
        look(now)
        done = decide(incident, name, now)
        incident = play(incident, done)
        log.extend(done)
        look(now)
    return incident, log


@given(scripts)
def test_no_step_fires_twice_in_a_round(script: list[tuple[int, str]]) -> None:
    """Whatever people do, a step and a missed clock come at most once between opening and reopening."""
    seen: set[str] = set()
    for event in run(script, step=1)[1]:
        if isinstance(event, e.Reopened):
            seen.clear()
        key = event.key if isinstance(event, e.EscalationDue) else ""
        key = f"late {event.clock}" if isinstance(event, e.ResponseLate) else key
        assert key not in seen or not key
        seen |= {key} if key else set()


@given(scripts)
def test_nothing_stays_due(script: list[tuple[int, str]]) -> None:
    """After everything due has fired, the next due time lies ahead."""
    incident, log = run(script, step=5)
    now = max((ev.at for ev in log), default=START)
    incident = play(incident, due(incident, ISH, ROSTER, now))
    following = next_due(incident, ISH)
    assert following is None or following > now


@given(scripts)
def test_looking_more_often_changes_no_step(script: list[tuple[int, str]]) -> None:
    """Steps and missed clocks do not depend on when somebody looked, only reminders and repeats collapse."""

    def steps(log: list[e.Event]) -> list[tuple[str, object]]:
        return [
            (ev.key, ev.people) for ev in log if isinstance(ev, e.EscalationDue) and ev.why != "unanswered"
        ]

    assert steps(run(script, step=1)[1]) == steps(run(script, step=90)[1])


@given(scripts)
def test_a_resolved_incident_is_quiet(script: list[tuple[int, str]]) -> None:
    """Nothing falls due between resolved and reopened."""
    resolved = False
    for event in run(script, step=1)[1]:
        if isinstance(event, e.Resolved):
            resolved = True
        elif isinstance(event, e.Reopened):
            resolved = False
        assert not (
            resolved and isinstance(event, e.EscalationDue | e.ReminderDue | e.ResponseLate | e.PageRepeated)
        )
