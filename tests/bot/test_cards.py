"""The two cards: first lines that alone will do, and a plan that reads alike in all states."""

from __future__ import annotations

from datetime import timedelta
from timeit import repeat
from typing import Any

import pytest

from bot.cards import action_card
from incidents import events as e
from incidents import life
from tests.bot.tale import NIGHT, PLAN, POLICY, Tale, proposed, roster
from tests.bot.test_announce import alert


def opened(severity: str = "critical", **more: Any) -> Tale:
    tale = Tale()
    tale.open(severity, **more)
    return tale


def lines(card: str) -> list[str]:
    return card.split("\n")


# -- the incident's card --------------------------------------------------------------------------


def test_the_card_of_a_new_incident() -> None:
    """MESSAGES: the sign and the word of the severity, who has it, what comes next and when."""
    tale = opened()
    assert lines(tale.card(requests=[asked().actions[7]])) == [
        "🔴 Critical · INC-42 Redis is down · realtime",
        "Not acknowledged, open since 02:30 CET · owner – · commander –",
        "Next: first response due 02:45 CET · team lead paged 03:00 CET",
        "ETA – · 1 request waiting · status page due [Acknowledge] [Update] [Runbook] [Escalate] [Resolve] [Catch up]",
    ]


def test_the_card_moves_on() -> None:
    """State, owner, commander, ETA and the last update."""
    tale = opened()
    tale.do(life.acknowledge, by="alice")
    tale.do(life.take_role, by="alice", role="commander", person="carol")
    tale.wait(minutes=5)
    tale.do(
        life.set_status,
        by="alice",
        status="identified",
        text="failover failed",
        eta=NIGHT + timedelta(hours=1),
    )
    assert lines(tale.card()) == [
        "🔴 Critical · INC-42 Redis is down · realtime",
        "Identified since 02:35 CET · owner alice · commander carol",
        "Next: team lead paged 03:00 CET · update due 03:05 CET",
        "ETA 03:30 CET · status page due",
        "Last update: failover failed [Acknowledge] [Update] [Runbook] [Escalate] [Resolve] [Catch up]",
    ]
    tale.wait(hours=1)
    assert "ETA 03:30 CET (passed)" in tale.card()


@pytest.mark.parametrize(
    ("severity", "sign"), [("critical", "🔴"), ("high", "🟠"), ("medium", "🟡"), ("low", "🔵")]
)
def test_each_severity_has_its_sign_and_its_word(severity: str, sign: str) -> None:
    """Colour never carries the meaning alone."""
    assert opened(severity).card().startswith(f"{sign} {severity.capitalize()} · INC-42")


def test_what_is_special_is_marked_on_the_first_line() -> None:
    tale = opened(private=True, drill=True, major=True)
    assert lines(tale.card())[0] == (
        "🔴 Critical, major outage, drill, private · INC-42 Redis is down · realtime"
    )


def test_the_card_names_what_fires() -> None:
    tale = opened()
    tale.record(
        *(alert(tale, name) for name in ("RedisDown", "HighErrorRate", "HighCPUUsage", "TIMEOUT", "WS"))
    )
    assert "5 alerts firing: RedisDown, HighErrorRate, HighCPUUsage and 2 more" in tale.card()


def test_a_resolved_incident_offers_what_comes_after() -> None:
    tale = opened()
    tale.do(life.acknowledge, by="alice")
    tale.wait(hours=1)
    tale.do(life.resolve, by="alice")
    assert lines(tale.card()) == [
        "🟢 Resolved, critical · INC-42 Redis is down · realtime",
        "Resolved at 03:30 CET · open since 02:30 CET · owner alice [Post-mortem draft] [Reopen]",
    ]
    tale.do(life.close, by="alice")
    assert lines(tale.card())[1].startswith("Closed at 03:30 CET")


def test_a_merged_incident_points_on() -> None:
    tale = opened()
    tale.record(e.MergedInto(at=tale.now, actor="bob", survivor=41))
    assert lines(tale.card())[1] == "Merged into INC-41: go on there."


def test_nobody_is_mentioned_by_a_card() -> None:
    """An edit notifies nobody, and shall not look as if it did."""
    tale = opened()
    tale.do(life.acknowledge, by="alice")
    assert "@" not in tale.card()


def test_a_hostile_title_is_only_a_title() -> None:
    """SAFETY 19."""
    tale = opened(title="<!channel> @room @alice `rm -rf` <b>\n\nnext", service=None)
    first = lines(tale.card())[0]
    assert "‹!channel›" in first
    assert "@alice" not in first
    assert "next" in first


# -- the card of a requested change ---------------------------------------------------------------


def asked(**more: Any) -> Tale:
    tale = opened()
    tale.do(life.acknowledge, by="alice")
    tale.act(7, proposed(tale.now, **more))
    return tale


def vote(person: str, choice: str = "approve") -> e.VoteCast:
    return e.VoteCast(at=NIGHT, actor=person, person=person, choice=choice, means="button", plan_hash="h")


def approved(tale: Tale, *voters: str) -> None:
    tale.act(7, e.ActionApproved(at=tale.now, actor=voters[-1], voters=voters))


def started(tale: Tale) -> None:
    approved(tale, "bob")
    tale.act(7, e.ActionStarted(at=tale.now, actor=e.BOT, boot="b", voters=("bob",)))


def test_asked() -> None:
    """MESSAGES: approval, asked."""
    tale = asked()
    assert lines(tale.card(7)) == [
        "🔐 #7 alice asks: scale realtime 3 → 10 · production",
        "CPU 92 % · HPA keeps 2–8 and will undo this",
        "Approve before 02:45 CET · one approval, not alice · covers one undo until 30 min after",
        "@bob ✅ or ❌ [Approve] [Deny] [Details]",
    ]


def test_asked_for_a_while_and_again() -> None:
    tale = asked(revert_after=1800, again_of=5)
    assert "#7 alice asks (again, after #5): scale realtime" in tale.card(7)
    assert "goes back by itself after 30 min" in tale.card(7)


def test_danger_counts_its_approvals() -> None:
    """Two people, and who has approved so far."""
    tale = asked(quorum=2, plan={**PLAN, "effect": "danger", "undo": None})
    assert lines(tale.card(7))[0].endswith("· production · danger")
    assert "approvals of 2 people, not alice" in tale.card(7)
    assert "covers" not in tale.card(7)
    tale.act(7, vote("bob"))
    assert "1 of 2: bob" in tale.card(7)
    assert "@bob" not in tale.card(7)


@pytest.mark.parametrize(
    ("eligible", "told"),
    [
        (("bob",), "Only bob can approve, 2 are needed"),
        (("alice",), "Nobody else can approve now"),
        ((), "Nobody else can approve now"),
    ],
)
def test_too_few_approvers_are_said_at_once(eligible: tuple[str, ...], told: str) -> None:
    """SAFETY 36."""
    tale = asked(quorum=2, eligible=eligible)
    assert told in tale.card(7)
    assert "/breakglass 7 REASON" in tale.card(7)


def test_everybody_is_asked_where_no_approver_is_on_call() -> None:
    tale = Tale(roster=roster(primary=("alice",), secondary=()))
    tale.open()
    tale.act(7, proposed(tale.now))
    assert "@bob, @carol and @dave ✅ or ❌" in tale.card(7)


def test_running_with_a_bar() -> None:
    """MESSAGES: running."""
    tale = asked()
    started(tale)
    assert lines(tale.card(7))[0] == (
        "⏳ #7 scale realtime 3 → 10 · production · approved by bob · running since 02:30 CET"
    )
    assert lines(tale.card(7, (6, 10, "ready")))[0] == (
        "⏳ #7 scale realtime 3 → 10 · production · approved by bob · ▓▓▓▓▓▓░░░░ 6 of 10 ready"
    )
    tale.act(7, e.CancelAsked(at=tale.now, actor="bob"))
    assert "asked to stop" in tale.card(7)


@pytest.mark.parametrize(
    ("progress", "bar"),
    [
        ((0, 10, "ready"), "░░░░░░░░░░ 0 of 10 ready"),
        ((3, 7, "ready"), "▓▓▓▓░░░░░░ 3 of 7 ready"),
        ((12, 10, "ready"), "▓▓▓▓▓▓▓▓▓▓ 10 of 10 ready"),
        ((-1, 10, "ready"), "░░░░░░░░░░ 0 of 10 ready"),
        ((0, 0, "waiting"), "░░░░░░░░░░ waiting"),
    ],
)
def test_bars(progress: tuple[int, int, str], bar: str) -> None:
    tale = asked()
    started(tale)
    assert bar in tale.card(7, progress)


def test_done_offers_its_undo() -> None:
    """MESSAGES: done."""
    tale = asked()
    started(tale)
    tale.now += timedelta(seconds=41)
    tale.act(7, e.ActionFinished(at=tale.now, actor=e.BOT, text="ok", after={"replicas": 10}, seconds=41))
    assert lines(tale.card(7))[0] == ("✅ #7 realtime runs 10 replicas · asked alice, approved by bob · 41 s")
    assert tale.card(7).endswith("[Undo → 3]")


def test_done_for_a_while_says_until_when() -> None:
    tale = asked()
    started(tale)
    until = tale.now + timedelta(minutes=30)
    tale.act(7, e.ActionFinished(at=tale.now, actor=e.BOT, text="ok", after={}, seconds=1, revert_at=until))
    assert "Goes back by itself at 03:00 CET; Keep stops that. [Undo → 3] [Keep]" in tale.card(7)
    tale.act(7, e.RevertKept(at=tale.now, actor="alice"))
    assert "Goes back" not in tale.card(7)


def test_an_undo_says_so_and_is_not_undone_again() -> None:
    tale = asked(undo_of=6)
    started(tale)
    tale.act(7, e.ActionFinished(at=tale.now, actor=e.BOT, text="ok", after={}, seconds=1))
    assert lines(tale.card(7))[0].startswith("✅ #7 (undo of #6) realtime runs 10 replicas")
    assert "[Undo" not in tale.card(7)


ENDS = [
    (e.ActionCancelled, {"actor": "alice", "why": "withdrawn by who asked"}, "❌ #7 withdrawn by alice"),
    (e.ActionCancelled, {"actor": "bob", "why": "cancelled by bob"}, "❌ #7 cancelled by bob"),
    (e.ActionExpired, {"actor": e.BOT}, "⏰ #7 expired at 02:30 CET: not enough approvals in time"),
    (e.ActionVoided, {"actor": e.BOT, "why": "replicas is 5 now"}, "⚠️ #7 not run: replicas is 5 now"),
    (e.ActionFailed, {"actor": e.BOT, "text": "no such deployment"}, "⚠️ #7 failed: no such deployment"),
    (
        e.ActionUnknown,
        {"actor": e.BOT, "text": "the connection broke", "observed": {}},
        "❓ #7 outcome unknown: the connection broke.",
    ),
]


@pytest.mark.parametrize(("kind", "values", "first"), ENDS)
def test_ends(kind: type[e.Event], values: dict[str, Any], first: str) -> None:
    """Each end has its own first line, and the plan below it."""
    tale = asked()
    tale.act(7, kind(at=tale.now, **values))
    assert lines(tale.card(7))[0] == first


def test_denied_names_who_and_why() -> None:
    tale = asked()
    tale.act(7, vote("bob", "deny"), e.ActionDenied(at=tale.now, actor="bob", why="the autoscaler does that"))
    assert lines(tale.card(7))[0] == "❌ #7 denied by bob: the autoscaler does that"


def test_break_glass_says_when_it_runs_and_who_stops_it() -> None:
    """SAFETY 31."""
    tale = asked()
    runs_at = tale.now + timedelta(minutes=5)
    tale.act(7, e.BreakGlassInvoked(at=tale.now, actor="alice", reason="x", runs_at=runs_at))
    assert lines(tale.card(7))[0] == (
        "🔐 #7 runs at 02:35 CET without approval (break-glass by alice): scale realtime 3 → 10 · production"
    )
    assert "[Stop] [Details]" in tale.card(7)


def test_broken_glass_waits_for_no_vote() -> None:
    """The incident's card says when it runs, and counts it among nothing that waits."""
    tale = asked()
    runs_at = tale.now + timedelta(minutes=5)
    tale.act(7, e.BreakGlassInvoked(at=tale.now, actor="alice", reason="x", runs_at=runs_at))
    told = tale.card(requests=[tale.actions[7]])
    assert "#7 runs at 02:35 CET, break-glass" in told
    assert "waiting" not in told


@pytest.mark.parametrize("unknown", [False, True])
def test_what_was_taken_back_says_by_which_number(unknown: bool) -> None:
    """And offers neither to take it back nor to keep it."""
    tale = asked()
    started(tale)
    if unknown:
        tale.act(7, e.ActionUnknown(at=tale.now, actor=e.BOT, text="the connection broke", observed={}))
    else:
        until = tale.now + timedelta(minutes=30)
        done = e.ActionFinished(at=tale.now, actor=e.BOT, text="", after={}, seconds=1, revert_at=until)
        tale.act(7, done)
    card = action_card(tale.actions[7], facts=tale.facts(), progress=None, taken_back_by=8)
    assert "Taken back by #8." in tale.plain(card.template, card.data)
    assert [b.label for b in card.buttons] == (["Follow"] if unknown else [])


def test_the_frozen_plan_reads_alike_in_every_state() -> None:
    """ARCHITECTURE: no edit changes a frozen plan's lines."""
    plan = ["scale realtime 3 → 10 · production", "CPU 92 % · HPA keeps 2–8 and will undo this"]

    def holds(tale: Tale) -> None:
        card = tale.card(7)
        assert all(line in card for line in plan), card

    tale = asked()
    holds(tale)
    started(tale)
    holds(tale)
    for kind, values, _ in ENDS:
        tale = asked()
        tale.act(7, kind(at=tale.now, **values))
        holds(tale)
    tale = asked()
    started(tale)
    tale.act(7, e.ActionFinished(at=tale.now, actor=e.BOT, text="ok", after={}, seconds=1))
    holds(tale)


def test_cards_render_fast() -> None:
    """At most 150 µs a card on a machine with nothing else to do; ten times that here."""
    tale = asked()
    for number in (None, 7):
        card = tale.made(number)
        data = {"now": tale.now, **card.data}

        def one(card: Any = card, data: Any = data) -> None:
            tale.renderer.render(card.template, data, tale.renderer.plain_marks)

        assert min(repeat(one, number=50, repeat=5)) / 50 < 1.5e-3


def test_a_severity_that_the_policy_forgot_breaks_no_card() -> None:
    tale = opened()
    tale.policy = type(POLICY)(name="other", severities=(), default_severity="", ladder=())
    assert tale.card().startswith("🔴 Critical")
