"""Watched execution: when a figure counts as worse, when that is said, and what nobody can compare."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents import approvals, watching
from incidents import events as e
from incidents.action import Action
from incidents.watching import Watch
from tests.incidents.test_approvals import NOW, after, proposed

MINUTE = timedelta(minutes=1)
TERMS: dict[str, Any] = {
    "query": "p95",
    "target": "",
    "label": "p95",
    "unit": "s",
    "window": 600,
    "better": "lower",
    "worse_by": 0.2,
    "relative": True,
    "before": 0.12,
}


def started(**terms: Any) -> Action:
    """alice's change runs, and a watch of it has begun."""
    return after(
        proposed(),
        [
            e.ActionApproved(at=NOW, actor="bob", voters=("bob",)),
            e.ActionStarted(at=NOW, actor=e.BOT, boot="boot-1", voters=("bob",)),
            e.WatchBegan(at=NOW, actor=e.BOT, **{**TERMS, **terms}),
        ],
    )


def done(**terms: Any) -> Action:
    """It has succeeded, at NOW."""
    running = started(**terms)
    return after(running, approvals.finish(running, text="done", after={}, now=NOW))


def watch_of(action: Action) -> Watch:
    assert action.watch is not None
    return action.watch


def looks(action: Action, *values: float | None) -> tuple[Action, list[e.WatchEnded]]:
    """A look a minute with these results; the action, and how the watch ended."""
    ends: list[e.WatchEnded] = []
    for minute, value in enumerate(values, 1):
        now = NOW + minute * MINUTE
        asked = approvals.due(action, now)
        action = after(action, asked)
        seen = watching.seen(watch_of(action), value=value, why="" if value else "no answer", now=now)
        action = after(action, seen)
        ends += [event for event in seen if isinstance(event, e.WatchEnded)]
    return action, ends


def test_ten_looks_over_the_window_and_none_after_it() -> None:
    """One a minute for ten minutes; the last at the very end, and then nothing is due any more."""
    action = done()
    assert approvals.next_due(action) == NOW + MINUTE
    action, ends = looks(action, *[0.1] * 10)
    assert [end.text for end in ends] == ["p95 120 → 100 ms: as good as before"]
    assert approvals.next_due(action) is None
    assert not watch_of(action).running


def test_three_worse_looks_in_a_row_are_told_early() -> None:
    """Two are not enough, and one good look between them begins anew."""
    action, ends = looks(done(), 0.4, 0.4, 0.1, 0.4, 0.4)
    assert ends == []
    action, ends = looks(done(), 0.1, 0.48, 0.4, 0.6)
    assert [(end.verdict, end.text) for end in ends] == [("worse", "worse than before: p95 120 → 480 ms")]
    assert approvals.next_due(action) is None


def test_at_the_end_the_middle_of_the_last_three_decides() -> None:
    """One spike at the end is none; two of three are."""
    assert [end.verdict for end in looks(done(), *[0.1] * 9, 0.9)[1]] == ["good"]
    assert [end.verdict for end in looks(done(), *[0.1] * 8, 0.9, 0.9)[1]] == ["worse"]


@pytest.mark.parametrize(
    ("terms", "value", "worse"),
    [
        ({"before": 100.0}, 120.0, False),
        ({"before": 100.0}, 120.1, True),
        ({"before": 100.0, "better": "higher"}, 80.0, False),
        ({"before": 100.0, "better": "higher"}, 79.9, True),
        ({"before": 100.0, "better": "higher"}, 500.0, False),
        ({"before": 0.0, "worse_by": 0.01, "relative": False}, 0.01, False),
        ({"before": 0.0, "worse_by": 0.01, "relative": False}, 0.011, True),
        ({"before": -10.0}, -8.0, False),
        ({"before": -10.0}, -7.9, True),
    ],
)
def test_how_much_worse_is_worse(terms: dict[str, Any], value: float, worse: bool) -> None:
    """More than the limit, which itself is none; a part of what was there before, or a plain difference."""
    assert watching.is_worse(watch_of(done(**terms)), value) is worse


def test_what_could_not_be_measured_before_is_said_once_it_is_done() -> None:
    """There is nothing to compare with, so there are no looks either."""
    action = started(before=None, why="no answer within 2 s")
    found = approvals.finish(action, text="done", after={}, now=NOW)
    assert isinstance(found[-1], e.WatchEnded)
    assert found[-1].text == "p95 cannot be compared: no answer within 2 s"
    assert approvals.next_due(after(action, found)) is None


def test_looks_without_a_value_are_none_and_three_at_the_end_are_told_once() -> None:
    """What was seen long before the end does not speak for it."""
    _, ends = looks(done(), *[0.1] * 7, None, None, None)
    assert [(end.verdict, end.text) for end in ends] == [("unmeasured", "p95 cannot be compared: no answer")]
    _, ends = looks(done(), *[0.1] * 7, None, 0.1, None)
    assert [end.verdict for end in ends] == ["good"]
    _, ends = looks(done(), 0.9, 0.9, None, 0.9)
    assert ends == []


def test_a_change_that_failed_is_not_followed() -> None:
    """Its window never begins."""
    for event in (
        e.ActionFailed(at=NOW, actor=e.BOT, text="no"),
        e.ActionUnknown(at=NOW, actor=e.BOT, text="?", observed={}),
    ):
        action = after(started(), [event])
        assert approvals.next_due(action) is None
        assert not watch_of(action).running


def test_what_was_stopped_while_it_ran_stays_so() -> None:
    """The end of the change begins no window any more, and a second reason changes nothing."""
    running = started()
    stopped = after(running, watching.stop(running.watch, "#8 changes realtime, too", NOW))
    assert watching.stop(stopped.watch, "INC-1 was closed", NOW) == []
    ended = after(stopped, approvals.finish(stopped, text="done", after={}, now=NOW))
    assert approvals.next_due(ended) is None
    assert watch_of(ended).text == "p95 is not watched any more: #8 changes realtime, too"


def test_missed_looks_collapse_and_a_window_long_gone_is_not_looked_at() -> None:
    """Back in time one look is taken; so long afterwards that it shows something else, none."""
    [look] = approvals.due(done(), NOW + 3.5 * MINUTE)
    assert isinstance(look, e.WatchDue)
    assert look.due == NOW + 3 * MINUTE
    [last] = approvals.due(done(), NOW + 19 * MINUTE)
    assert isinstance(last, e.WatchDue)
    assert last.due == NOW + 10 * MINUTE
    [gone] = approvals.due(done(), NOW + 20 * MINUTE)
    assert isinstance(gone, e.WatchEnded)
    assert gone.text == "p95 was not looked at in time: I was away"


def test_a_look_that_nobody_asked_for_counts_for_nothing() -> None:
    """A result that comes twice, after a restart, is one."""
    action = after(done(), approvals.due(done(), NOW + MINUTE))
    action = after(action, watching.seen(watch_of(action), value=0.1, why="", now=NOW + MINUTE))
    assert watching.seen(watch_of(action), value=0.1, why="", now=NOW + MINUTE) == []


def test_it_goes_back_by_itself_beside_being_watched() -> None:
    """Both have their time; the earlier one is due first."""
    running = replace(started(), revert_after=420)
    action = after(running, approvals.finish(running, text="done", after={}, now=NOW))
    kinds = [type(event).__name__ for event in approvals.due(action, NOW + 2 * MINUTE)]
    assert kinds == ["WatchDue", "RevertAnnounced"]


@pytest.mark.parametrize(
    ("unit", "values", "told"),
    [
        ("s", (0.12, 0.0951), "120 → 95.1 ms"),
        ("s", (0.9, 1.4), "0.9 → 1.4 s"),
        ("ratio", (0.001, 0.0234), "0.1 → 2.34 %"),
        ("", (12.0, 1234.5), "12 → 1,234"),
        ("req/s", (3.14159,), "3.14 req/s"),
        ("ms", (-0.0,), "0 ms"),
        ("ratio", (1e307,), "inf %"),
        ("", (1.7e308, 1e15), "1.7e+308 → 1e+15"),
    ],
)
def test_figures_are_told_in_one_unit(unit: str, values: tuple[float, ...], told: str) -> None:
    assert watching.figures(unit, *values) == told


@given(st.lists(st.none() | st.floats(0, 10), min_size=10, max_size=10), st.floats(0.001, 10))
def test_every_watch_ends_exactly_once(values: list[float | None], before: float) -> None:
    """Whatever is seen, there is one end, and it is the same however often the looks are folded again."""
    action, ends = looks(done(before=before), *values)
    assert len(ends) == 1
    assert watch_of(action).verdict == ends[0].verdict
    assert not watch_of(action).asked
