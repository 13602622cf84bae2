"""The figures and findings of the post-mortem: rounds, clocks, changes, people, proposals."""

from __future__ import annotations

import pytest

from incidents import events as e
from incidents.ports import RefusedError
from incidents.report import Report, metrics, report
from incidents.rounds import ClockResult
from tests.incidents.incident_log import Log, at, story


def whole() -> Report:
    """The report of the story, long after."""
    return report(story(), at(5000))


def clocks(log: Log, minutes: float = 600) -> dict[str, ClockResult]:
    """The clocks of the last round by name."""
    return {clock.clock: clock for clock in metrics(log.entries, at(minutes)).rounds[-1].clocks}


def test_no_incident_no_report() -> None:
    """An empty log has no figures; there is nothing to write a post-mortem of."""
    figures = metrics((), at(0))
    assert (figures.rounds, figures.mtta, figures.impact_seconds) == ((), None, None)
    with pytest.raises(RefusedError, match="nothing to report"):
        report((), at(0))


def test_an_incident_just_opened() -> None:
    """Everything is open, and the impact counts to now."""
    log = Log()
    log.opened(0, "grace")
    found = report(log.entries, at(3))
    assert (found.state, found.metrics.mtta, found.metrics.mttr) == ("open", None, None)
    assert found.metrics.impact_seconds == 180
    assert clocks(log, 3)["acknowledged"].outcome == "running"
    assert [(phase.name, phase.end) for phase in found.phases] == [("acknowledge", None)]


def test_a_reopened_incident_keeps_both_rounds() -> None:
    """Times per round from its own opening; the mean beside them; the impact from its dated begin."""
    figures = whole().metrics
    first, second = figures.rounds
    assert (first.to_acknowledge, first.to_resolve) == (17 * 60, 72 * 60)
    assert (second.to_acknowledge, second.to_resolve) == (2 * 60, 67 * 60)
    assert (first.acknowledged_by, second.acknowledged_by) == ("bob", "alice")
    assert (figures.mtta, figures.mttr) == (9.5 * 60, 69.5 * 60)
    assert figures.impact_seconds == (12 + 72 + 67) * 60
    assert [(c.outcome, c.allowed, c.taken) for c in first.clocks] == [("missed", 900, 1020)]
    assert [(c.outcome, c.allowed, c.taken) for c in second.clocks] == [("met", 900, 120)]
    assert (figures.clocks_met, figures.clocks_missed) == (1, 1)


def test_counts() -> None:
    """Each count of the story."""
    figures = whole().metrics
    assert (figures.pages, figures.pages_repeated, figures.pages_failed) == (4, 2, 0)
    assert (figures.reminders_sent, figures.reminders_answered) == (1, 1)
    assert (figures.updates, figures.alerts, figures.messages) == (5, 3, 6)
    assert (figures.changes_asked, figures.changes_run, figures.changes_undone) == (4, 3, 1)
    assert (figures.changes_denied, figures.changes_failed, figures.changes_unknown) == (1, 0, 0)
    assert figures.people == ("grace", "bob", "carol", "mallory", "alice")


def test_a_reminder_without_an_update_stays_unanswered() -> None:
    """An acknowledgement, a note or chat is no answer."""
    log = Log()
    log.opened()
    log.add(e.ReminderDue, 30, due=at(30), unanswered=1)
    log.add(e.Acknowledged, 31, "bob")
    log.add(e.NoteAdded, 32, "bob", text="x")
    log.add(e.ReminderDue, 60, due=at(60), unanswered=2)
    log.add(e.Resolved, 61, "bob")
    figures = metrics(log.entries, at(90))
    assert (figures.reminders_sent, figures.reminders_answered) == (2, 1)


def test_a_later_status_satisfies_the_earlier_clocks() -> None:
    """`identified` meets acknowledged, investigating and updated, not resolved."""
    log = Log()
    due = {name: at(10) for name in ("acknowledged", "investigating", "updated", "resolved")}
    log.opened(clocks=due)
    log.add(e.StatusChanged, 5, "bob", status="identified")
    found = clocks(log, 6)
    assert {name for name, clock in found.items() if clock.outcome == "met"} == set(due) - {"resolved"}
    assert found["resolved"].outcome == "running"
    log.add(e.Resolved, 9, "bob")
    assert {clock.outcome for clock in clocks(log).values()} == {"met"}


def test_an_acknowledgement_is_not_investigating() -> None:
    """It meets its own clock only; an update meets that for the first update as well."""
    log = Log()
    log.opened(clocks={name: at(10) for name in ("acknowledged", "investigating", "updated")})
    log.add(e.Acknowledged, 1, "bob")
    assert [clock.outcome for clock in clocks(log, 2).values()] == ["met", "running", "running"]
    log.add(e.Updated, 3, "bob", text="x")
    assert [clock.outcome for clock in clocks(log, 4).values()] == ["met", "running", "met"]


@pytest.mark.parametrize(("minutes", "outcome"), [(14.9, "met"), (15, "met"), (15.1, "missed")])
def test_both_sides_of_the_deadline(minutes: float, outcome: str) -> None:
    """Without a recorded miss the clock is met up to its due time."""
    log = Log()
    log.opened()
    log.add(e.Acknowledged, minutes, "bob")
    assert clocks(log)["acknowledged"].outcome == outcome


def test_a_deadline_at_the_same_instant_comes_first() -> None:
    """The miss is recorded before the acknowledgement at exactly that time."""
    log = Log()
    log.opened()
    log.add(e.ResponseLate, 15, clock="acknowledged", due=at(15), allowed=900)
    log.add(e.Acknowledged, 15, "bob")
    assert clocks(log)["acknowledged"].outcome == "missed"


def test_a_raised_severity_counts_from_the_raise() -> None:
    """Allowed and taken are those of the new clock."""
    log = Log()
    log.opened(severity="medium", rank=2, clocks={"acknowledged": at(240)})
    raised = {"severity": "critical", "rank": 0, "before": "medium", "raised": True}
    log.add(e.SeverityChanged, 60, "bob", clocks={"acknowledged": at(75)}, **raised)
    log.add(e.Acknowledged, 70, "bob")
    clock = clocks(log)["acknowledged"]
    assert (clock.started, clock.allowed, clock.taken, clock.outcome) == (at(60), 900, 600, "met")


def test_a_raise_that_leaves_no_more_time_keeps_the_earlier_deadline() -> None:
    """Never later than before: then it counts from the opening still."""
    log = Log()
    log.opened(severity="high", rank=1, clocks={"acknowledged": at(60)})
    raised = {"severity": "critical", "rank": 0, "before": "high", "raised": True}
    log.add(e.SeverityChanged, 50, "bob", clocks={"acknowledged": at(60)}, **raised)
    log.add(e.Acknowledged, 55, "bob")
    clock = clocks(log)["acknowledged"]
    assert (clock.allowed, clock.taken, clock.outcome) == (3600, 3300, "met")


def test_an_acknowledgement_before_the_raise_counts() -> None:
    """The clock that it met stays met, with the time that it had."""
    log = Log()
    log.opened(severity="medium", rank=2, clocks={"acknowledged": at(240)})
    log.add(e.Acknowledged, 30, "bob")
    raised = {"severity": "critical", "rank": 0, "before": "medium", "raised": True}
    log.add(e.SeverityChanged, 60, "bob", clocks={"acknowledged": at(75), "resolved": at(100)}, **raised)
    found = clocks(log, 61)
    assert (found["acknowledged"].outcome, found["acknowledged"].allowed) == ("met", 240 * 60)
    assert found["resolved"].outcome == "running"


def test_lowering_erases_no_miss() -> None:
    """The missed clock stays; one that the lower severity does not have is gone."""
    log = Log()
    log.opened(clocks={"acknowledged": at(15), "investigating": at(60)})
    log.add(e.ResponseLate, 15, clock="acknowledged", due=at(15), allowed=900)
    lowered = {"severity": "low", "rank": 3, "before": "critical", "raised": False}
    log.add(e.SeverityChanged, 20, "bob", clocks={"acknowledged": at(1440)}, **lowered)
    log.add(e.Acknowledged, 30, "bob")
    found = clocks(log)
    assert set(found) == {"acknowledged"}
    assert (found["acknowledged"].outcome, found["acknowledged"].allowed) == ("missed", 900)


def test_the_survivor_of_a_merge_takes_the_earliest() -> None:
    """Earliest opening and acknowledgement; what the other missed stays missed."""
    log = Log()
    log.opened(20, clocks={"acknowledged": at(35), "investigating": at(50)})
    log.add(
        e.MergedFrom,
        30,
        "bob",
        other=41,
        title="Sockets drop",
        opened_at=at(0),
        severity="critical",
        rank=0,
        clocks={"acknowledged": at(15), "investigating": at(30)},
        acknowledged_at=at(16),
        acknowledged_by="carol",
        fired=(),
        missed=("acknowledged",),
        services=("realtime",),
    )
    [r] = metrics(log.entries, at(31)).rounds
    assert (r.started, r.to_acknowledge, r.acknowledged_by) == (at(0), 16 * 60, "carol")
    assert clocks(log, 31)["acknowledged"].outcome == "missed"
    assert clocks(log, 31)["investigating"].allowed == 30 * 60


def test_a_merged_incident_stops() -> None:
    """Its running clocks neither met nor missed, its round over, not resolved."""
    log = Log()
    log.opened()
    log.add(e.MergedInto, 5, "bob", survivor=7)
    found = report(log.entries, at(60))
    assert (found.state, found.metrics.mttr, found.metrics.impact_seconds) == ("merged", None, 300)
    assert clocks(log)["acknowledged"].outcome == "stopped"


def test_phases() -> None:
    """Detection from the dated impact, then acknowledgement, identification and repair of each round."""
    told = [(phase.round, phase.name, phase.seconds) for phase in whole().phases]
    assert told == [
        (1, "detect", 720),
        (1, "acknowledge", 17 * 60),
        (1, "identify", 16 * 60),
        (1, "resolve", 39 * 60),
        (2, "acknowledge", 2 * 60),
        (2, "identify", 10 * 60),
        (2, "resolve", 55 * 60),
    ]


def test_detection_from_the_alert() -> None:
    """Without `--since` it counts from when the alert began to fire, unless that is days ago."""
    log = Log()
    log.opened()
    body = {"source": "s", "name": "A", "labels": {}}
    log.add(e.AlertAttached, 0, "s", fingerprint="1", starts_at=at(-3000), **body)
    assert report(log.entries, at(1)).phases[0].name == "acknowledge"
    log.add(e.AlertAttached, 0, "s", fingerprint="2", starts_at=at(-4), **body)
    assert report(log.entries, at(1)).phases[0].seconds == 240


def test_what_was_done_and_proposed() -> None:
    """Resolution steps are the changes that stayed; proposals say what came of each line."""
    found = whole()
    assert [change.number for change in found.resolution_steps] == [7, 11]
    assert [(update.line, update.outcome) for update in found.runbook_updates] == [
        ("restart redis", "helped"),
        ("scale realtime 10", "undone"),
        ("restart redis-sentinel", "helped"),
    ]
    assert found.runbook_updates[0].text == "`/restart redis` helped: add it to the runbook"
    changed = {change.number: change for change in found.changes}
    assert (changed[8].approved_by, changed[8].undone, changed[10].undo_of) == (("carol",), True, 8)
    assert changed[9].state == "denied"


@pytest.mark.parametrize(
    ("kind", "body", "count"),
    [
        (e.ActionFailed, {"text": "forbidden"}, "changes_failed"),
        (e.ActionUnknown, {"text": "the connection broke", "observed": {}}, "changes_unknown"),
    ],
)
def test_changes_that_did_not_end_well(kind: type[e.Event], body: dict[str, object], count: str) -> None:
    """Failed and unknown ones are counted as such; neither is a step of the resolution."""
    log = Log()
    log.opened()
    log.asked(7, 1, "bob", "/scale realtime 10", "scale realtime 3 → 10")
    log.add(e.ActionStarted, 2, e.BOT, "action-7", boot="b", voters=("carol",))
    log.add(kind, 3, e.BOT, "action-7", **body)
    found = report(log.entries, at(9))
    assert getattr(found.metrics, count) == 1
    assert found.resolution_steps == ()


def test_material_for_the_review() -> None:
    """Impact, causes, resolutions, action items and who is invited with which role."""
    found = whole()
    assert [said.by for said in found.impact] == ["grace"]
    assert [said.text for said in found.resolutions] == [
        "failover repaired",
        "sentinel has three members again",
    ]
    assert [(item.number, item.owner, item.done_at) for item in found.items] == [
        (1, "bob", at(4400)),
        (2, None, None),
    ]
    assert [(p.person, p.roles) for p in found.participants] == [
        ("grace", ()),
        ("bob", ("owner",)),
        ("carol", ("commander",)),
        ("mallory", ()),
        ("alice", ("owner",)),
    ]
    assert [step.severity for step in found.severities] == ["critical", "high"]
    assert [(alert.name, alert.times, alert.cleared_at) for alert in found.alerts] == [
        ("RedisDown", 2, None),
        ("WS_OVERLOAD", 1, at(66)),
    ]
