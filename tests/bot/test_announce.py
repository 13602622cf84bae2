"""What is said because of each event: new facts are new messages, state changes edit the one card."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from timeit import repeat
from typing import Any

import pytest

from bot import announce
from bot.announce_actions import way_back
from bot.chat import Say
from bot.resources import resource
from incidents import due, life
from incidents import events as e
from incidents.policy import Step
from tests.bot.tale import NIGHT, PLAN, POLICY, Somebody, Tale, proposed, roster

SEVERITY = {severity.name: severity for severity in POLICY.severities}


def alert(tale: Tale, name: str, service: str | None = "realtime", summary: str = "") -> e.AlertAttached:
    return e.AlertAttached(
        at=tale.now,
        actor="alertmanager",
        source="alertmanager",
        fingerprint=name,
        starts_at=tale.now,
        name=name,
        summary=summary,
        service=service,
        labels={},
    )


def cleared(tale: Tale, name: str, *, all_clear: bool) -> e.AlertCleared:
    return e.AlertCleared(
        at=tale.now,
        actor="alertmanager",
        source="alertmanager",
        fingerprint=name,
        starts_at=tale.now,
        name=name,
        all_clear=all_clear,
    )


def first_lines(says: list[Say], tale: Tale) -> list[str]:
    return [tale.plain(say.template, say.data).split("\n")[0] for say in says if say.op == "say"]


def opened(severity: str = "critical", **more: Any) -> Tale:
    tale = Tale()
    tale.open(severity, **more)
    return tale


def acknowledged() -> Tale:
    tale = opened()
    tale.do(life.acknowledge, by="alice")
    return tale


# -- every event ----------------------------------------------------------------------------------


def test_every_event_is_announced_or_silent_with_a_reason() -> None:
    """No event is forgotten, none is both."""
    for kind in e.kinds():
        assert (kind in announce.RULES) != (kind in announce.SILENT), kind.__name__
    assert all(len(reason) > 10 for reason in announce.SILENT.values())


def test_every_template_is_used() -> None:
    """A template that nobody names is dead."""
    root = Path(announce.__file__).parent.parent
    sources = [p for folder in ("bot", "commands") for p in (root / folder).rglob("*.py")]
    code = "\n".join(path.read_text() for path in sources)
    templates = resource("templates", "chat")
    included = "\n".join(path.read_text() for path in templates.glob("*.j2"))
    for path in templates.glob("*.j2"):
        if path.stem.startswith("_"):
            assert f'include "{path.stem}.j2"' in included, path.stem
        else:
            assert path.stem in _FOR_LATER or f'"{path.stem}"' in code, path.stem


_FOR_LATER = {"who_ran"}  # for chats that show no message of a command, such as Slack

# Said by a person through a command or by the machinery, not by an event.
_NOT_BY_EVENTS = {
    "home_incidents",
    "home_on_call",
    "home_quiet",
    "home_request",
    "log_away",
    "log_back",
    "already_waiting",
    "answer",
    "answer_elsewhere",
    "away",
    "dry_run",
    "error",
    "handover_due",
    "late_command",
    "no_channel",
    "refused",
    "relayed",
    "runbook",
    "who_ran",
}


def everything() -> list[tuple[Tale, list[Say]]]:
    """A long night in which everything that can be said is said."""
    found: list[tuple[Tale, list[Say]]] = []

    def keep(tale: Tale, says: list[Say]) -> None:
        found.append((replace(tale, actions=dict(tale.actions)), says))

    t = Tale()
    keep(t, t.open(unclear=('severity "catastrophic"',), services=("realtime", "redis"), linked=31))
    keep(t, t.record(alert(t, "RedisDown", summary="it is")))
    keep(t, t.record(alert(t, "A"), alert(t, "B")))
    keep(t, t.wait(minutes=31))
    keep(t, t.do(life.acknowledge, by="alice", text="looking"))
    keep(t, t.do(life.acknowledge, by="bob"))
    keep(t, t.do(life.acknowledge, by="bob", text="still", eta=t.now + timedelta(minutes=20)))
    keep(t, t.do(life.set_eta, by="bob", eta=t.now + timedelta(minutes=30)))
    keep(t, t.do(life.update, by="bob", text="failover runs", eta=t.now + timedelta(minutes=40)))
    keep(t, t.do(life.answer_reminder, by="bob", answer="nochange", policy=t.policy, roster=t.roster))
    keep(t, t.do(life.set_status, by="bob", status="identified", text="failover failed"))
    keep(t, t.do(life.snooze, by="bob", lasts=timedelta(hours=1), severity=SEVERITY["critical"]))
    keep(t, t.do(life.remind_every, by="bob", lasts=timedelta(minutes=10)))
    keep(t, t.wait(minutes=95))
    keep(t, t.do(life.remind_every, by="bob", lasts=None))
    keep(t, t.do(life.take_role, by="bob", role="commander", person="carol"))
    keep(t, t.do(life.join, by="heidi"))
    keep(t, t.do(life.leave, by="carol"))
    keep(t, t.do(life.hand_over, by="bob", person="alice"))
    keep(t, t.do(life.change_severity, by="bob", severity=SEVERITY["medium"], policy=t.policy, why="cold"))
    keep(t, t.do(life.change_severity, by="bob", severity=SEVERITY["critical"], policy=t.policy))
    keep(t, t.do(life.declare_major, by="bob", on=True, why="regions", policy=t.policy, roster=t.roster))
    keep(t, t.do(life.declare_major, by="bob", on=False, why="", policy=t.policy, roster=t.roster))
    keep(t, t.do(life.note, by="bob", text="a note"))
    keep(t, t.record(e.ImpactRecorded(at=t.now, actor="bob", text="40 %")))
    keep(t, t.record(e.CauseRecorded(at=t.now, actor="bob", text="no permission")))
    keep(t, t.do(life.add_item, by="bob", text="give it", owner="bob", due=t.now + timedelta(days=3)))
    keep(t, t.do(life.add_item, by="bob", text="write it", owner=None, due=None))
    keep(t, t.do(life.finish_item, by="bob", number=2))
    keep(t, t.record(*(cleared(t, name, all_clear=name == "B") for name in ("RedisDown", "A", "B"))))
    keep(t, t.record(alert(t, "A")))
    keep(t, t.do(life.resolve, by="bob", text="repaired"))
    keep(t, t.do(life.reopen, by="bob", policy=t.policy, why="drops again"))
    keep(t, t.do(life.resolve, by="bob"))
    keep(t, t.do(life.close, by="bob"))
    keep(t, t.wait(days=4))
    t = opened()
    keep(t, t.record(e.PageFailed(at=t.now, actor=e.BOT, person="alice", key="k", detail="no route")))
    keep(t, t.record(e.MergedInto(at=t.now, actor="bob", survivor=41)))
    keep(t, opened("low").says)
    t = Tale(roster=roster(primary=("dave",), secondary=(), team_lead=(), manager=()))
    keep(t, t.open())
    keep(t, t.wait(minutes=15))
    t = opened("medium")
    keep(t, t.says)
    keep(t, t.record(e.ResponseLate(at=t.now, actor=e.BOT, clock="investigating", due=t.now, allowed=60)))
    keep(t, t.record(_merged(t)))
    now = t.now
    keep(
        t,
        t.record_oncall(
            e.OverrideSet(at=now, actor="carol", rota="primary", person="bob", start=now, end=now)
        ),
    )
    for kind in (
        e.ApproversWidened(at=now, actor=e.BOT, people=("bob", "carol", "dave")),
        e.VoteRefused(at=now, actor="alice", person="alice", means="button", why="somebody else has to"),
        e.ActionExpired(at=now, actor=e.BOT),
        e.ActionVoided(at=now, actor=e.BOT, why="replicas is 5 now, it was 3", again=True),
        e.ActionFailed(at=now, actor=e.BOT, text="no"),
        e.ActionUnknown(at=now, actor=e.BOT, text="it broke", observed={"wanted": 10}),
        e.ActionDenied(at=now, actor="bob", why="no"),
        e.BreakGlassInvoked(at=now, actor="alice", reason="nobody awake", runs_at=now + timedelta(minutes=1)),
        e.CancelAsked(at=now, actor="bob"),
        e.ActionApproved(at=now, actor="bob", voters=("bob",)),
        e.ActionFinished(at=now, actor=e.BOT, text="done", after={}, seconds=4),
        e.RevertAnnounced(at=now, actor=e.BOT, revert_at=now + timedelta(minutes=5)),
        e.RevertDue(at=now, actor=e.BOT, due=now),
        e.RevertBlocked(at=now, actor=e.BOT, why="it is away", again_at=now + timedelta(minutes=1)),
        e.WatchEnded(at=now, actor=e.BOT, verdict="worse", value=0.5, text="worse than before: p95 1 → 2 s"),
        e.WatchEnded(at=now, actor=e.BOT, verdict="unmeasured", value=None, text="p95 cannot be compared"),
    ):
        t.actions.clear()
        keep(t, t.act(7, proposed(now)))
        keep(t, t.act(7, kind))
    t.actions.clear()
    keep(t, t.act(7, proposed(now)))
    keep(t, t.act(7, e.BreakGlassInvoked(at=now, actor="alice", reason="nobody awake", runs_at=now)))
    keep(t, t.act(7, e.ActionApproved(at=now, actor=e.BOT, voters=(), why="break-glass by alice")))
    return found


def _merged(tale: Tale) -> e.MergedFrom:
    return e.MergedFrom(
        at=tale.now,
        actor="bob",
        other=41,
        title="Sockets drop",
        opened_at=NIGHT - timedelta(minutes=10),
        severity="critical",
        rank=0,
        clocks={"acknowledged": NIGHT + timedelta(minutes=5)},
        acknowledged_at=NIGHT,
        acknowledged_by="alice",
        fired=(),
        missed=(),
        services=(),
    )


def test_every_template_renders_and_keeps_the_rules_of_style() -> None:
    """No exclamation marks, at most one sign a line, no empty line, a first line that says what it is about."""
    seen = set()
    signs = re.compile("[🔴🟠🟡🔵🟢🔔⏰🛎🔐⏳✅❌❓📌]|⚠️")
    for tale, says in everything():
        for say in says:
            if say.op not in ("say", "direct", "contact", "whisper", "edit"):
                continue
            seen.add(say.template)
            text = tale.plain(say.template, say.data)
            lines = text.split("\n")
            assert all(line.strip() for line in lines), (say.template, text)
            assert "!" not in text, text
            if say.template not in ("sentence", "override"):
                assert re.search(r"INC-\d+|#7", lines[0]), text
            for line in lines:
                assert len(signs.findall(line)) <= (2 if "✅ or ❌" in line else 1), line
    templates = {path.stem for path in resource("templates", "chat").glob("[!_]*.j2")}
    cards = {name for name in templates if name.startswith("card_")}
    assert templates - seen - cards == _NOT_BY_EVENTS


def test_nothing_but_the_log_reaches_the_outbox() -> None:
    """Whatever is said can be kept as JSON and rendered from it."""
    for tale, says in everything():
        for say in says:
            assert say.op in (
                "say",
                "card",
                "open",
                "arrange",
                "archive",
                "direct",
                "contact",
                "react",
                "whisper",
                "edit",
            )
            if say.op == "card":
                assert say.lane == 2
                assert say.ref is not None
            if say.template:
                tale.plain(say.template, say.data)


def test_notes_and_messages_are_fast() -> None:
    """They are on the way of every message: no rendering, no looking up."""
    tale = opened()
    facts, state = tale.facts(), tale.i
    note = e.NoteAdded(at=tale.now, actor="alice", text="x", message_id="m1")
    posted = e.MessagePosted(at=tale.now, actor="alice", channel="console:C3", message_id="m1", text="hello")

    def both() -> None:
        announce.announce(note, state, state, batch=[note], facts=facts)
        announce.announce(posted, None, None, batch=[posted], facts=facts)

    assert (
        min(repeat(both, number=2000, repeat=5)) / 2000 < 30e-6
    )  # 3 µs on a machine with nothing else to do


# -- opening --------------------------------------------------------------------------------------


def test_opening_makes_channel_and_card_and_pages() -> None:
    """The channel first, then the card, then the page: and pages wait for nobody."""
    tale = opened()
    channel, card = tale.says[0], tale.says[1]
    assert (channel.op, channel.channel, channel.lane) == ("open", "incident:42", 0)
    assert channel.data["name"] == "inc-42-redis-is-down"
    assert channel.data["invite"] == ["grace", "alice"]
    assert (card.card, card.ref, card.data["pin"]) == ("incident", "incident:42", True)
    assert [b.label for b in card.buttons] == [
        "Acknowledge",
        "Update",
        "Runbook",
        "Escalate",
        "Resolve",
        "Catch up",
    ]
    assert "🔴 INC-42 critical: Redis is down (realtime)" in tale.told(channel="team:realtime")[0]
    [page] = [say for say in tale.says if say.template == "page"]
    assert page.lane == 0
    assert tale.told([page])[0].split("\n") == [
        "incident:42: 🔔 @alice INC-42 critical: Redis is down (realtime). You are on call.",
        (
            "Nobody has acknowledged. I ask again at 02:35 CET, bob is next at 02:45 CET. "
            "[Acknowledge] [I can't, page bob]"
        ),
    ]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Redis is down", "inc-42-redis-is-down"),
        ("Ärger: Größe > 90 % (<!channel>)", "inc-42-arger-groe-90-channel"),
        ("数据库", "inc-42"),
        ("x" * 200, "inc-42-" + "x" * 73),
    ],
)
def test_channel_names_are_clean(title: str, name: str) -> None:
    tale = opened(title=title)
    assert tale.says[0].data["name"] == name


def test_a_page_goes_by_every_means() -> None:
    """A message that mentions, a direct message, and each contact method once, with what a failure needs."""
    tale = Tale()
    tale.people["alice"] = Somebody("Alice", (("sms", "+491"), ("phone", "+491"), ("sms", "+492")))
    tale.open()
    pages = [say for say in tale.says if say.op in ("direct", "contact")]
    assert [say.channel for say in pages] == ["person:alice", "person:alice:sms", "person:alice:phone"]
    for say in pages:
        assert say.lane == 0
        assert (say.data["incident"], say.data["person"], say.data["rung"]) == (42, "alice", "primary")
        assert say.data["key"] == "opened::page:primary"
    assert tale.told(pages)[1].endswith(
        "INC-42 critical: Redis is down (realtime). You are on call. Acknowledge in #inc-42-redis-is-down."
    )


def test_a_drill_says_so_on_every_page() -> None:
    tale = opened(drill=True)
    for text in tale.told():
        assert "drill" in text


def test_a_private_incident_is_told_nowhere_else() -> None:
    """No line for the team, and the channel is private."""
    tale = opened("low", private=True, title="Keys were leaked")
    assert tale.says[0].data["private"] is True
    assert {say.channel for say in tale.says} == {"incident:42"}


def test_what_was_not_understood_is_said() -> None:
    """DOMAIN: an alert is never lost, and says what was not understood."""
    tale = opened("high", unclear=('severity "catastrophic"', "17 alerts were cut off"))
    assert 'not understood of the alert: severity "catastrophic" and 17 alerts were cut off.' in tale.here()


def test_low_ones_are_one_message_for_the_team() -> None:
    """A message mentions nobody, and the team hears of it once."""
    tale = opened("low", title="Certificate renews next month")
    team = tale.told(channel="team:realtime")
    assert len(team) == 1
    assert "Certificate renews next month" in team[0]
    assert tale.mentioned() == set()


def test_a_notification_is_one_mention() -> None:
    tale = opened("medium", title="Search is slow")
    assert tale.mentioned() == {"alice"}
    assert not [say for say in tale.says if say.op in ("direct", "contact")]
    assert "🟡 @alice INC-42 medium: Search is slow (realtime). For you to look at" in tale.here()


# -- clocks, steps, pages -------------------------------------------------------------------------


def test_a_late_clock_and_its_step_are_one_message() -> None:
    """MESSAGES: late clock."""
    tale = opened()
    tale.wait(minutes=14, seconds=59)
    assert "is late" not in tale.here()
    tale.wait(seconds=1)
    [late] = [text for text in tale.told(channel="incident:42") if "late" in text]
    assert late.split("\n")[0] == (
        "incident:42: ⏰ INC-42: first response is late (15 min passed at 02:45 CET). @bob you are next on call."
    )
    assert {say.channel for say in tale.says if say.op == "direct" and say.data["person"] == "bob"} == {
        "person:bob"
    }


def test_a_late_clock_without_a_step_is_said_alone() -> None:
    tale = opened()
    late = e.ResponseLate(at=tale.now, actor=e.BOT, clock="investigating", due=tale.now, allowed=600)
    step = e.EscalationDue(
        at=tale.now,
        actor=e.BOT,
        key="k",
        due=tale.now,
        do="page",
        rung="secondary",
        people=(),
        late="investigating",
    )
    tale.record(late, step)
    assert tale.here().split("\n")[0] == (
        "⏰ INC-42: start of the investigation is late (10 min passed at 02:30 CET)."
    )
    assert tale.mentioned() == set()


def test_the_ladder_is_climbed_by_its_words() -> None:
    """Unresolved steps say for how long, and what the person is."""
    tale = opened()
    tale.wait(minutes=15)
    tale.wait(minutes=15)
    assert (
        "🔔 @carol INC-42 critical: Redis is down (realtime). Unresolved for 30 min; you are team lead."
        in tale.here()
    )
    tale.do(life.acknowledge, by="bob")
    tale.wait(minutes=30)
    assert "Unresolved for 1 h; you are engineering manager.\nbob owns it." in tale.here()


def test_a_step_that_will_be_silent_is_not_foretold() -> None:
    """aiaas: level 2 is paged for the late investigation only if not yet."""
    twice = Step("late", "page", "secondary", clock="investigating", if_not_yet=True)
    critical = replace(
        SEVERITY["critical"],
        clocks={"acknowledged": 300, "investigating": 600},
        steps=(*SEVERITY["critical"].steps, twice),
    )
    tale = Tale(policy=replace(POLICY, severities=(critical,)))
    tale.open()
    assert "bob is next at 02:35 CET" in tale.here()
    tale.wait(minutes=5)
    assert "@bob" in tale.here()
    assert "carol is next at 03:00 CET" in tale.here()


def test_what_a_phone_shows_says_why() -> None:
    """Direct messages and contact methods are read without the channel."""
    tale = opened()
    tale.wait(minutes=15)
    late = [say for say in tale.says if say.channel == "person:bob:sms"]
    assert "First response is late; you are next on call." in tale.told(late)[0]
    tale.wait(minutes=15)
    lead = [say for say in tale.says if say.channel == "person:carol:sms"]
    assert "Unresolved for 30 min; you are team lead." in tale.told(lead)[0]


def test_an_empty_rung_is_said() -> None:
    """Nobody there: the next filled one, and it says so."""
    tale = Tale(roster=roster(primary=()))
    tale.open()
    assert "@bob" in tale.here()
    assert "Nobody is primary: bob (secondary) instead." in tale.here()


def test_everybody_paged_already_is_said() -> None:
    """Only the fallback is there, and has been paged."""
    tale = Tale(roster=roster(primary=("dave",), secondary=(), team_lead=(), manager=()))
    tale.open()
    tale.wait(minutes=15)
    assert "Everybody on the ladder was paged already." in tale.here()
    assert "first response is late" in tale.here()


def test_an_unreachable_person_gives_way() -> None:
    """Said in one message with the page that goes on, with the reason."""
    tale = opened()
    failed = e.PageFailed(at=tale.now, actor=e.BOT, person="alice", key="k", detail="sms: no route")
    found = due.unreachable(tale.i, tale.policy, tale.roster, failed=failed, rung="primary", now=tale.now)
    tale.record(*found)
    assert len(tale.told(channel="incident:42")) == 1
    assert "alice could not be reached (sms: no route): bob (secondary) instead." in tale.here()
    assert tale.mentioned() == {"bob"}


def test_a_failed_page_after_the_acknowledgement_pages_nobody() -> None:
    tale = acknowledged()
    tale.record(e.PageFailed(at=tale.now, actor=e.BOT, person="bob", key="k", detail="no route"))
    assert "bob could not be reached (no route). alice has acknowledged" in tale.here()
    assert tale.mentioned() == set()


def test_who_cannot_hands_on() -> None:
    """One message: who cannot, and whose it is."""
    tale = opened()
    tale.do(life.cannot, by="alice", policy=tale.policy, roster=tale.roster)
    assert first_lines(tale.says, tale) == [
        "🔔 @bob INC-42 critical: Redis is down (realtime). alice cannot; you are next on call."
    ]


def test_pages_are_repeated_by_every_means() -> None:
    tale = opened("high", title="Search is slow")
    tale.wait(minutes=5)
    assert (
        "🔔 @alice INC-42 high: Search is slow (realtime). Still not acknowledged, asked 2 times."
        in tale.here()
    )
    assert {say.channel for say in tale.says if say.op == "contact"} == {
        "person:alice:sms",
        "person:alice:phone",
    }
    assert not [say for say in tale.says if say.op == "card"]
    tale.wait(minutes=20)
    assert "asked 6 times" in tale.here()
    assert "I do not ask again; carol is next at 03:00 CET." in tale.here()


def test_what_fires_late_names_its_due_time() -> None:
    """After downtime each overdue step is said once, naming when it was due."""
    tale = opened()
    tale.away(minutes=42)
    here = tale.here()
    assert "first response is late (15 min passed at 02:45 CET). @bob" in here
    assert "you are team lead. This was due 03:00 CET." in here
    assert "This was due 03:00 CET." in here.partition("🛎")[2]
    assert here.count("🛎") == 1


def test_a_page_by_hand_says_who_asks_and_why() -> None:
    tale = acknowledged()
    tale.do(life.page, by="alice", people=["heidi"], why="we need a second pair of eyes")
    assert first_lines(tale.says, tale) == [
        "🔔 @heidi INC-42 critical: Redis is down (realtime). alice asks for you: we need a second pair of eyes."
    ]
    assert [say.channel for say in tale.says if say.op == "direct"] == ["person:heidi"]


def test_a_call_for_help_is_one_message() -> None:
    tale = acknowledged()
    tale.do(life.answer_reminder, by="alice", answer="help", policy=tale.policy, roster=tale.roster)
    assert first_lines(tale.says, tale) == [
        "🔔 @bob INC-42 critical: Redis is down (realtime). alice needs help."
    ]


# -- reminders ------------------------------------------------------------------------------------


def test_a_reminder_asks_the_owner() -> None:
    """MESSAGES: reminder; critical ones remember customers and executives."""
    tale = acknowledged()
    tale.wait(minutes=30)
    [reminder] = [say for say in tale.says if say.card == "reminder"]
    assert tale.told([reminder])[0].split("\n") == [
        "incident:42: 🛎 INC-42: no update for 30 min. @alice how is it going?",
        (
            "Customers and executives expect to hear every 30 min. "
            "[No change] [Mitigating] [Need help] [Snooze 30 min]"
        ),
    ]
    assert [b.value for b in reminder.buttons] == [
        "/answer nochange",
        "/answer mitigating",
        "/answer help",
        "/snooze 30m",
    ]


def test_a_reminder_asks_who_is_on_call_where_nobody_owns_it() -> None:
    tale = Tale()
    tale.open("high")
    tale.wait(hours=1)
    [reminder] = [say for say in tale.says if say.card == "reminder"]
    assert tale.mentioned([reminder]) == {"alice"}


def test_unanswered_reminders_page() -> None:
    tale = acknowledged()
    tale.wait(minutes=90)
    pages = [say for say in tale.says if say.template == "page" and "unanswered" in str(say.data["reason"])]
    assert tale.mentioned(pages) == {"alice", "bob"}


def test_a_passed_eta_asks_for_a_new_one() -> None:
    tale = acknowledged()
    tale.do(life.update, by="alice", text="reindexing", eta=tale.now + timedelta(minutes=20))
    tale.wait(minutes=20)
    assert "⏰ INC-42: the ETA 02:50 CET has passed. @alice what is the new one?" in tale.here()


# -- the life of an incident ----------------------------------------------------------------------


def test_an_acknowledgement_tells_who_was_paged() -> None:
    tale = opened()
    tale.wait(minutes=16)
    tale.do(life.acknowledge, by="alice", text="looking at it")
    assert tale.here().split("\n") == [
        "alice acknowledged INC-42 after 16 min (late, 15 min allowed) and owns it: looking at it.",
        "@bob nothing to do for you unless alice asks.",
        "Next: a first assessment and an ETA, as in /update failover is running eta=30m",
    ]


def test_taking_over_tells_the_owner_before() -> None:
    tale = acknowledged()
    tale.do(life.acknowledge, by="bob")
    assert tale.here().split("\n")[:2] == [
        "bob takes INC-42 over and owns it now.",
        "@alice nothing to do for you unless bob asks.",
    ]


@pytest.mark.parametrize("how", ["update", "status", "resolve"])
def test_an_implied_acknowledgement_is_no_message_of_its_own(how: str) -> None:
    tale = opened()
    tale.wait(minutes=4)
    if how == "update":
        tale.do(life.update, by="bob", text="failover runs")
    elif how == "status":
        tale.do(life.set_status, by="bob", status="investigating")
    else:
        tale.do(life.resolve, by="bob", text="it came back")
    assert len(tale.told(channel="incident:42")) == 1
    if how != "resolve":
        assert "bob owns it now; @alice nothing to do for you unless asked." in tale.here()


def test_an_update_tells_its_eta() -> None:
    """A new one, and a changed one with what it was."""
    tale = acknowledged()
    tale.do(life.update, by="alice", text="failover is running", eta=tale.now + timedelta(minutes=40))
    assert tale.here().split("\n") == [
        "INC-42 update by alice: failover is running",
        "ETA 03:10 CET, in 40 min.",
    ]
    tale.do(life.set_eta, by="alice", eta=tale.now + timedelta(minutes=50))
    assert tale.here().split("\n")[0] == "INC-42: ETA 03:20 CET, in 50 min (was 03:10 CET)."


def test_going_back_is_said() -> None:
    tale = acknowledged()
    tale.do(life.set_status, by="alice", status="identified", text="failover failed")
    assert tale.here() == "INC-42 is identified, says alice: failover failed"
    tale.do(life.set_status, by="alice", status="investigating")
    assert tale.here() == "INC-42 is investigating (was identified), says alice."


def test_a_changed_severity_says_what_it_does_to_the_clocks() -> None:
    tale = opened("medium")
    tale.wait(minutes=20)
    tale.do(
        life.change_severity,
        by="carol",
        severity=SEVERITY["critical"],
        policy=tale.policy,
        why="log-ins fail",
    )
    assert tale.here().split("\n")[:3] == [
        "🔴 INC-42 is critical now, raised from medium by carol: log-ins fail.",
        "Steps for unresolved incidents count from the opening; those overdue are taken now.",
        "First response due 03:05 CET, in 15 min. Reminders every 30 min.",
    ]
    tale.do(life.change_severity, by="carol", severity=SEVERITY["low"], policy=tale.policy)
    assert "lowered from critical by carol." in tale.here()


def test_resolved_as_it_reads() -> None:
    """MESSAGES: resolved."""
    tale = opened()
    tale.wait(minutes=4)
    tale.do(life.acknowledge, by="alice")
    tale.do(life.update, by="alice", text="failover")
    tale.wait(minutes=68)
    tale.do(life.resolve, by="alice", text="failover repaired")
    assert tale.told(channel="incident:42") == [
        (
            "incident:42: 🟢 INC-42 resolved after 1 h 12 min: failover repaired.\n"
            "Acknowledged in 4 min (15 min allowed) · 1 update · 2 changes, 1 undone · 5 people"
            " [Post-mortem draft] [Reopen]"
        )
    ]


def test_reopened_starts_anew() -> None:
    tale = acknowledged()
    tale.do(life.resolve, by="alice")
    tale.do(life.reopen, by="bob", policy=tale.policy, why="it drops again")
    assert tale.here().split("\n")[:2] == [
        "🔴 INC-42 critical: Redis is down (realtime) is open again, says bob: it drops again.",
        "Clocks and escalation start anew: first response due 02:45 CET, in 15 min. [Acknowledge]",
    ]
    assert tale.mentioned() == {"alice"}


def test_closing_archives_the_channel_last() -> None:
    tale = acknowledged()
    tale.do(life.resolve, by="alice")
    tale.do(life.close, by="alice")
    assert [say.op for say in tale.says if say.op != "card"][-1] == "archive"
    assert tale.says[0].op == "say"


def test_chasers_reach_owners_when_the_channel_is_archived() -> None:
    tale = acknowledged()
    tale.do(life.add_item, by="alice", text="permission", owner="bob", due=tale.now + timedelta(days=3))
    assert tale.mentioned() == {"bob"}
    tale.do(life.resolve, by="alice")
    tale.do(life.close, by="alice")
    tale.wait(days=3)
    assert {say.channel for say in tale.says} == {"person:bob"}


def test_a_merged_incident_points_to_the_survivor() -> None:
    tale = opened("medium")
    tale.record(_merged(tale))
    assert tale.here().split("\n") == [
        "🔴 INC-42 takes over INC-41: Sockets drop",
        "It is critical now. It counts as open since 02:20 CET. alice had acknowledged it.",
    ]
    tale.record(e.MergedInto(at=tale.now, actor="bob", survivor=40))
    assert tale.here().startswith("INC-42 was merged into INC-40 by bob: go on there.")


def test_handing_over_mentions_the_new_owner() -> None:
    tale = acknowledged()
    tale.do(life.hand_over, by="alice", person="bob")
    assert tale.here().startswith("@bob INC-42 is yours now; alice handed it over.")
    assert tale.mentioned() == {"bob"}


def test_a_note_is_marked_and_not_repeated() -> None:
    """The bot's reaction on it, and no message; a line only where the chat shows none."""
    tale = acknowledged()
    tale.do(life.note, by="alice", text="failover started", message_id="m7")
    assert tale.says == [Say("incident:42", op="react", data={"message_id": "m7", "emoji": "📌"}, lane=2)]
    tale.do(life.note, by="alice", text="failover started")
    assert tale.told() == ["incident:42: 📌 INC-42: alice noted: failover started"]


# -- alerts ---------------------------------------------------------------------------------------


def test_alerts_that_come_together_are_one_message() -> None:
    tale = opened()
    tale.record(alert(tale, "RedisDown", summary="no <!channel> answer"))
    assert tale.here() == "INC-42: alert RedisDown fires: no ‹!channel› answer (realtime)"
    tale.record(alert(tale, "A"), alert(tale, "B"), alert(tale, "C"))
    assert tale.here() == "INC-42: 3 more alerts fire: A, B and C"


def test_alerts_of_the_opening_are_on_the_card() -> None:
    tale = Tale()
    events = life.open_incident(
        number=42,
        title="RedisDown",
        severity=SEVERITY["critical"],
        policy=POLICY,
        by="alertmanager",
        now=NIGHT,
    )
    tale.record(*events, alert(tale, "RedisDown"), alert(tale, "HighErrorRate"))
    assert "2 alerts firing: RedisDown and HighErrorRate" in tale.told()[0]
    assert "fires" not in tale.here()


def test_no_alert_any_more_offers_to_resolve() -> None:
    """It stays open, and the steps above the secondary wait."""
    tale = opened()
    tale.record(alert(tale, "A"), alert(tale, "B"))
    tale.record(cleared(tale, "A", all_clear=False))
    assert tale.told() == []
    tale.record(cleared(tale, "B", all_clear=True))
    assert tale.here() == (
        "INC-42: all 2 alerts are resolved. It stays open until somebody resolves it.\n"
        "Steps above secondary wait; they are taken if an alert fires again. [Resolve]"
    )
    tale.record(alert(tale, "A"))
    assert tale.here().startswith("INC-42: alert A fires again")


def test_several_services_offer_a_major_outage_once() -> None:
    """Nobody is paged for it before somebody declares it."""
    tale = opened()
    tale.record(alert(tale, "A", service="redis"))
    assert "2 services are affected (realtime and redis). Is it a major outage?" in tale.here()
    assert tale.mentioned() == set()
    tale.record(alert(tale, "B", service="postgres"))
    assert "major" not in tale.here()


# -- requested changes ----------------------------------------------------------------------------


def asked(**more: Any) -> Tale:
    tale = acknowledged()
    tale.act(7, proposed(tale.now, **more))
    return tale


def test_an_approval_is_asked_of_who_is_on_call() -> None:
    """A card with the two reactions under it; the others are asked later."""
    tale = asked()
    [card] = tale.says
    assert (card.card, card.ref, card.seeds, card.lane) == ("approval", "action:7", ("✅", "❌"), 1)
    assert [b.value for b in card.buttons] == ["/approve 7", "/deny 7", "/why 7"]
    assert tale.mentioned() == {"bob"}
    tale.act(7, e.ApproversWidened(at=tale.now, actor=e.BOT, people=("bob", "carol", "dave")))
    assert tale.mentioned() == {"carol", "dave"}
    assert tale.says[-1].op == "card"


def test_an_approval_is_asked_where_it_was_wanted() -> None:
    tale = asked(incident=None)
    assert tale.says[0].channel == "console:C3"


def test_what_is_covered_asks_nobody() -> None:
    """An undo within its time runs at once: no votes, no reactions to tap."""
    tale = acknowledged()
    approved = e.ActionApproved(at=tale.now, actor="alice", voters=(), why="covered by the approval of #6")
    tale.act(7, proposed(tale.now, undo_of=6), approved)
    card = tale.says[0]
    assert card.seeds == ()
    assert not any(b.value.startswith("/approve") for b in card.buttons)
    assert tale.mentioned() == set()
    assert "covered by the approval of #6" in tale.here()


@pytest.mark.parametrize(
    "event",
    [
        e.VoteCast(at=NIGHT, actor="bob", person="bob", choice="approve", means="button", plan_hash="h"),
        e.VoteWithdrawn(at=NIGHT, actor="bob", person="bob", means="button"),
        e.ActionApproved(at=NIGHT, actor="bob", voters=("bob",)),
        e.ActionDenied(at=NIGHT, actor="bob", why="no"),
        e.ActionCancelled(at=NIGHT, actor="alice", why="withdrawn by who asked"),
        e.ActionStarted(at=NIGHT, actor=e.BOT, boot="b", voters=("bob",)),
        e.ActionFinished(at=NIGHT, actor=e.BOT, text="done", after={}, seconds=3),
        e.RevertKept(at=NIGHT, actor="alice"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_only_changes_the_card_is_no_message(event: e.Event) -> None:
    tale = asked()
    tale.act(7, event)
    assert [(say.op, say.ref, say.lane) for say in tale.says] == [("card", "action:7", 2)]


def test_a_vote_that_does_not_count_is_told_to_the_voter_alone() -> None:
    """SAFETY 1."""
    tale = asked()
    why = "alice, that one is yours: somebody else has to approve #7 (bob can)."
    tale.act(7, e.VoteRefused(at=tale.now, actor="alice", person="alice", means="button", why=why))
    [whisper] = tale.says
    assert (whisper.op, whisper.channel, whisper.data["person"]) == ("whisper", "incident:42", "alice")
    assert tale.told() == [f"incident:42: {why}"]


def test_a_moved_target_is_said() -> None:
    """SAFETY 14: void, with what moved, and whether it is asked again."""
    tale = asked()
    tale.act(7, e.ActionVoided(at=tale.now, actor=e.BOT, why="replicas is 5 now, it was 3", again=True))
    assert tale.here().split("\n") == [
        "⚠️ #7 not run: replicas is 5 now, it was 3.",
        "I ask again on a new card, with what is there now; no vote carries over.",
    ]


def test_what_was_merged_away_is_void_without_a_word() -> None:
    tale = asked()
    tale.record(e.MergedInto(at=tale.now, actor="bob", survivor=41))
    tale.act(7, e.ActionVoided(at=tale.now, actor=e.BOT, why="INC-42 was merged into INC-41"))
    assert [say.op for say in tale.says] == ["card"]


def test_an_unknown_outcome_is_said_with_what_is_seen() -> None:
    tale = asked()
    broke = "the connection broke after the request was sent"
    tale.act(7, e.ActionUnknown(at=tale.now, actor=e.BOT, text=broke, observed={"wanted": 10, "ready": 7}))
    assert tale.here().split("\n")[:2] == [
        "❓ #7 outcome unknown: the connection broke after the request was sent.",
        "The target shows: wanted 10 and ready 7.",
    ]
    assert [b.label for b in tale.says[0].buttons] == ["Follow", "Undo"]


def test_break_glass_pages_the_team_lead_who_can_stop_it() -> None:
    """SAFETY 31."""
    tale = asked()
    tale.act(
        7,
        e.BreakGlassInvoked(
            at=tale.now, actor="alice", reason="nobody else is awake", runs_at=tale.now + timedelta(minutes=1)
        ),
    )
    assert tale.here().split("\n")[0] == (
        "🔔 @carol alice runs #7 without approval at 02:31 CET, in 1 min: nobody else is awake."
    )
    assert [say.channel for say in tale.says if say.op == "direct"] == ["person:carol"]
    assert tale.says[1].buttons[0].value == "/deny 7"


def test_what_was_said_of_broken_glass_ends_with_its_delay() -> None:
    """Nobody is offered to stop what runs already, nor called again."""
    tale = asked()
    runs_at = tale.now + timedelta(minutes=1)
    tale.act(
        7, e.BreakGlassInvoked(at=tale.now, actor="alice", reason="nobody else is awake", runs_at=runs_at)
    )
    [said] = [say for say in tale.says if say.op == "say"]
    tale.act(7, e.ActionApproved(at=runs_at, actor=e.BOT, voters=(), why="break-glass by alice"))
    [edit] = [say for say in tale.says if say.op == "edit"]
    assert (edit.ref, edit.channel, edit.buttons) == (said.ref, said.channel, ())
    assert tale.plain(edit.template, edit.data).split("\n") == [
        "🔐 alice broke the glass for #7: nobody else is awake.",
        "scale realtime 3 → 10",
        "The time to stop it is over; the card of #7 says what comes of it.",
    ]


def test_broken_glass_that_was_stopped_says_so() -> None:
    tale = asked()
    tale.act(7, e.BreakGlassInvoked(at=tale.now, actor="alice", reason="x", runs_at=tale.now))
    tale.act(7, e.ActionDenied(at=tale.now, actor="bob", why="no"))
    [edit] = [say for say in tale.says if say.op == "edit"]
    assert "It did not run; the card of #7 says why." in tale.plain(edit.template, edit.data)


def test_a_phone_is_told_of_broken_glass_in_the_zone_of_the_team() -> None:
    """As on the pages, and with what the number stands for."""
    tale = asked()
    runs_at = tale.now + timedelta(minutes=1)
    tale.act(7, e.BreakGlassInvoked(at=tale.now, actor="alice", reason="nobody is awake", runs_at=runs_at))
    phone = next(say for say in tale.says if say.op == "direct")
    told = tale.plain("page_contact", phone.data)
    assert "alice runs #7 (scale realtime 3 → 10) without approval at 02:31 CET: nobody is awake." in told
    assert "UTC" not in told


def test_break_glass_outside_of_incidents_still_tells_the_team_lead() -> None:
    tale = Tale()
    tale.act(7, proposed(tale.now, incident=None))
    tale.act(
        7,
        e.BreakGlassInvoked(at=tale.now, actor="alice", reason="x", runs_at=tale.now + timedelta(minutes=5)),
    )
    assert {(say.channel, say.op) for say in tale.says} == {
        ("console:C3", "say"),
        ("person:carol", "say"),
        ("console:C3", "card"),
    }


def test_going_back_is_announced_with_a_way_to_keep_it() -> None:
    tale = asked()
    tale.act(7, e.RevertAnnounced(at=tale.now, actor=e.BOT, revert_at=tale.now + timedelta(minutes=5)))
    assert tale.here() == (
        "⏳ #7 goes back by itself at 02:35 CET, in 5 min: scale realtime 10 → 3\n@alice Keep stops that. [Keep]"
    )
    assert tale.says[0].buttons[0].value == "/keep 7"


@pytest.mark.parametrize(
    ("plan", "back"),
    [
        (
            {
                "summary": "redis cache maxmemory no limit → 512mb",
                "before": {"maxmemory": "no limit"},
                "after": {"maxmemory": "512mb"},
            },
            "redis cache maxmemory 512mb → no limit",
        ),
        (
            {"summary": "redis maxmemory 64mb → 4gb", "before": {"maxmemory": 64}, "after": {"maxmemory": 4}},
            "redis maxmemory 4gb → 64mb",
        ),
        (
            {
                "summary": "rollback web v2 → v1 (revision 4 → 3)",
                "before": {"revision": 4},
                "after": {"revision": 3},
            },
            "rollback web v1 → v2 (revision 3 → 4)",
        ),
        ({"summary": "restart realtime", "before": {}, "after": {}}, "restart realtime"),
    ],
)
def test_the_way_back_turns_whole_values_around(plan: dict[str, Any], back: str) -> None:
    """Values of several words too."""
    action = asked().actions[7]
    assert way_back(replace(action, plan={**action.plan, **plan})) == back


def test_an_expired_request_mentions_who_asked() -> None:
    tale = asked()
    tale.act(7, e.ActionExpired(at=tale.now, actor=e.BOT))
    assert "⏰ #7 expired" in tale.here()
    assert tale.mentioned() == {"alice"}


def test_outside_text_in_a_plan_is_neutral() -> None:
    """SAFETY 19: titles, notes and summaries of others are no markup and mention nobody."""
    plan = {**PLAN, "summary": "get <!channel> @room", "notes": ["@bob `x` <b>"]}
    tale = asked(plan=plan)
    text = tale.told()[0]
    assert "<" not in text
    assert tale.mentioned() == {"bob"}
    assert text.count("@bob") == 1


# -- watched changes ------------------------------------------------------------------------------


def watched(verdict: str, text: str) -> Tale:
    """#7 is done and has been followed to its end."""
    tale = asked()
    now = tale.now
    terms: dict[str, Any] = {"query": "q", "target": "", "label": "p95", "unit": "s", "window": 600}
    tale.act(
        7,
        e.ActionStarted(at=now, actor=e.BOT, boot="b", voters=("bob",)),
        e.WatchBegan(at=now, actor=e.BOT, **terms, better="lower", worse_by=0.2, relative=True, before=0.12),
        e.ActionFinished(at=now, actor=e.BOT, text="done", after={}, seconds=41),
    )
    tale.act(7, e.WatchEnded(at=now, actor=e.BOT, verdict=verdict, value=0.48, text=text))
    return tale


def test_worse_than_before_is_told_to_who_asked_with_the_way_back() -> None:
    """One message; the button does what `undo 7` does, and nothing is done by itself."""
    tale = watched("worse", "worse than before: p95 120 → 480 ms")
    assert tale.here() == (
        "⚠️ #7 worse than before: p95 120 → 480 ms\n"
        "@alice that is since scale realtime 3 → 10; nothing is taken back by itself. [Undo → 3]"
    )
    assert [button.value for button in tale.says[0].buttons] == ["/undo 7"]


@pytest.mark.parametrize("verdict", ["good", "stopped"])
def test_what_needs_nobody_is_only_on_the_card(verdict: str) -> None:
    """No message: an edit wakes nobody."""
    tale = watched(verdict, "p95 120 → 95 ms: as good as before")
    assert [say.op for say in tale.says if say.ref == "action:7" or say.op == "say"] == ["card"]


def test_what_nobody_can_compare_is_said_once() -> None:
    """With the reason, which may come from outside."""
    tale = watched("unmeasured", "p95 cannot be compared: <!channel> @room did not answer")
    assert "p95 cannot be compared: ‹!channel›" in tale.here()
    assert "@room" not in tale.here()
