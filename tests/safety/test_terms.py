"""Under which terms an approved change still runs: cases 13, 14 and 31."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from incidents import events as e
from tests.safety.rig import Chat, with_approvals, with_roles

PRIVATE = "/incident open low Somebody is leaving service=realtime --private"

# -- 13 ---------------------------------------------------------------------------------------------


async def half_approved(chat: Chat) -> None:
    """A danger that bob has approved; one more is needed."""
    await chat.alice.says("/scale realtime 0")
    await chat.bob.says("/approve 1")


async def not_run(chat: Chat, who: str = "bob") -> None:
    """carol's vote made a quorum, but `who` no longer counts: void, said, recorded."""
    chat.mark()
    await chat.carol.says("/approve 1")
    await chat.waits(60)
    assert (chat.ran, chat.replicas()) == ({}, 3)
    assert (await chat.action()).state == "void"
    assert f"approval of {who} no longer counts" in chat.bot_said()


async def test_safety_13_an_approver_lost_the_role(chat: Chat) -> None:
    """Voted, then another configuration: the vote was an approver's, the person is none any more."""
    await half_approved(chat)
    await chat.restarts(with_roles(bob=["responder"]))
    await not_run(chat)


async def test_safety_13_an_approver_left_the_configuration(chat: Chat) -> None:
    """Removed from `people` altogether."""
    await half_approved(chat)
    await chat.restarts(
        lambda s: replace(
            s,
            people={name: p for name, p in s.people.items() if name != "dave"},
        )
    )
    await chat.carol.says("/approve 1")
    await chat.waits(60)
    assert chat.ran == {1: 1}  # dave had not voted: the other side

    await chat.alice.says("/scale realtime 3")
    await chat.bob.says("/approve 2")
    await chat.waits(60)
    await chat.alice.says("/scale realtime 0")
    await chat.carol.says("/approve 3")
    await chat.restarts(
        lambda s: replace(
            s,
            people={
                name: replace(p, roles=frozenset(["approver"])) if name == "erin" else p
                for name, p in s.people.items()
                if name != "carol"
            },
        )
    )
    await chat.bob.says("/approve 3")
    await chat.waits(60)
    assert chat.ran == {1: 1, 2: 1}
    assert (await chat.action(3)).state == "void"


async def test_safety_13_an_approver_was_deactivated(chat: Chat) -> None:
    """The account is closed between the vote and the run."""
    await half_approved(chat)
    chat.console.deactivate("bob")
    await not_run(chat)


async def test_safety_13_deactivated_while_the_target_is_asked(chat: Chat) -> None:
    """The check comes last, right before it runs."""
    await half_approved(chat)
    chat.stage.world.set("realtime", slow=30)
    await chat.carol.says("/approve 1")
    await chat.waits(10)
    chat.console.deactivate("bob")
    await chat.waits(60)
    assert chat.ran == {}
    assert (await chat.action()).state == "void"


@pytest.mark.parametrize("leaves", [False, True])
async def test_safety_13_a_private_channel_is_its_members(new_chat: Callable[..., Any], leaves: bool) -> None:
    """Who was removed from it no longer counts; who is still in it does."""
    chat: Chat = await new_chat(opened=False)
    await chat.opens(PRIVATE)
    await chat.stage.chat.arrange(chat.channel, invite=("bob", "carol"))
    await half_approved(chat)
    if leaves:
        chat.console.leaves("bob", chat.channel)
        await not_run(chat)
        return
    await chat.carol.says("/approve 1")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_13_a_public_channel_is_open_to_everybody(chat: Chat) -> None:
    """Joined or not: bob leaves, and his vote stands."""
    await half_approved(chat)
    chat.console.leaves("bob", chat.channel)
    await chat.carol.says("/approve 1")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_13_a_failed_look_up_denies(chat: Chat) -> None:
    """The chat does not say who is there: nobody counts, and nothing runs when it answers again."""
    await half_approved(chat)
    chat.stage.chat.lookups_fail = True
    await not_run(chat, "bob, carol")
    chat.stage.chat.lookups_fail = False
    await chat.restarts()
    await chat.waits(120)
    assert chat.ran == {}


# -- 14 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "runs"), [(899, True), (900, False)])
async def test_safety_14_a_request_expires(chat: Chat, after: float, runs: bool) -> None:
    """Fifteen minutes, both sides; what is void is never asked again by itself."""
    await chat.alice.says("/scale realtime 10")
    card = chat.card()
    await chat.waits(after)
    chat.mark()
    await chat.bob.reacts(card, "✅")
    await chat.waits(60)
    assert (chat.ran == {1: 1}) == runs
    assert ((await chat.action()).state == "expired") != runs
    assert ("expired" in chat.bot_said_to("bob")) != runs
    await chat.waits(3600)
    assert (await chat.actions(), chat.cards()) == (1, 1)


async def test_safety_14_as_long_as_is_configured(new_chat: Callable[..., Any]) -> None:
    """Another expiry holds as well."""
    chat: Chat = await new_chat(with_approvals(expires=timedelta(minutes=2)))
    await chat.alice.says("/scale realtime 10")
    await chat.waits(120)
    await chat.bob.reacts(chat.card(), "✅")
    await chat.waits(60)
    assert chat.ran == {}


@pytest.mark.parametrize(("away", "runs"), [(890, True), (910, False)])
async def test_safety_14_an_approval_does_not_outlive_its_time(chat: Chat, away: float, runs: bool) -> None:
    """Approved, then the bot is gone: back after less than the expiry it runs, later it is void."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(), "✅", settle=False)
    await chat.stage.kill()
    chat.stage.clock.move(chat.stage.clock.now() + timedelta(seconds=away))
    chat.mark()
    await chat.restarts()
    await chat.waits(120)
    assert (chat.ran == {1: 1}) == runs
    assert ((await chat.action()).state == "void") != runs
    assert ("not run" in chat.bot_said()) != runs


DRIFTS = [
    ({"replicas": 5}, "replicas is 5 now, it was 3", "5 → 10"),
    ({"image": "registry.company.com/realtime:9.9.9"}, "image is registry", "3 → 10"),
    ({"recreated": True}, "another one now", "3 → 10"),
]


@pytest.mark.parametrize(("knobs", "said", "shown"), DRIFTS)
async def test_safety_14_what_drifted_is_asked_again_once(
    chat: Chat, knobs: dict[str, Any], said: str, shown: str
) -> None:
    """Void, then one new card with the difference, by the same requester, with no vote on it; then no more."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", **knobs)
    chat.mark()
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert chat.ran == {}
    assert said in chat.bot_said()
    assert (await chat.action(1)).state == "void"
    again = await chat.action(2)
    assert (again.state, again.requester, again.votes, again.again_of) == ("pending", "alice", {}, 1)
    assert shown in chat.card(2).plain
    assert "somebody else" not in chat.bot_said()

    chat.mark()
    await chat.alice.reacts(chat.card(2), "✅")  # still the requester
    assert "somebody else has to approve #2" in chat.bot_said_to("alice")
    await chat.bob.reacts(chat.card(1), "❌")  # the old card has no say
    await chat.waits(60)
    assert chat.ran == {}

    chat.stage.world.set("realtime", replicas=6)
    await chat.bob.reacts(chat.card(2), "✅")
    await chat.waits(60)
    assert (chat.ran, await chat.actions(), chat.cards()) == ({}, 2, 2)


async def test_safety_14_asked_again_it_runs_with_a_new_vote(chat: Chat) -> None:
    """The other side: nothing moves after the second card."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", replicas=5)
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.bob.reacts(chat.card(2), "✅")
    await chat.waits(60)
    assert (chat.ran, chat.replicas()) == ({2: 1}, 10)


async def test_safety_14_the_rules_changed(chat: Chat) -> None:
    """It takes two approvals now: one under the old rules is not enough, and it is asked again under the new."""
    await chat.alice.says("/scale realtime 10")
    await chat.restarts(with_approvals(quorum={"change": 2, "danger": 2}))
    chat.mark()
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert chat.ran == {}
    assert "it takes 2 approvals now, it took 1" in chat.bot_said()
    assert (await chat.action(2)).quorum == 2
    await chat.bob.reacts(chat.card(2), "✅")
    await chat.waits(60)
    assert chat.ran == {}
    await chat.carol.reacts(chat.card(2), "✅")
    await chat.waits(60)
    assert chat.ran == {2: 1}


async def test_safety_14_what_drifted_for_a_moment_only(chat: Chat) -> None:
    """At the run the target is as it was when it was asked: nothing to ask again."""
    await chat.alice.says("/scale realtime 10")
    chat.stage.world.set("realtime", replicas=5)
    chat.stage.world.set("realtime", replicas=3)
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert (chat.ran, await chat.actions()) == ({1: 1}, 1)


async def test_safety_14_a_plan_that_was_tampered_with_does_not_run(chat: Chat) -> None:
    """The votes are on the hash of what was frozen: another plan in its place is none that anybody approved."""
    await chat.alice.says("/scale realtime 10")
    await chat.stage.kill()
    with closing(sqlite3.connect(chat.stage.data / "watchbell.db")) as log:
        log.execute("""UPDATE events SET body = replace(body, '"replicas":10', '"replicas":0')""")
        log.commit()
    await chat.restarts()
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    assert (chat.ran, (await chat.action()).state) == ({}, "void")
    assert (await chat.stage.bot.store.verify()).faults


# -- 31 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "delay"), [("/scale realtime 10", 60), ("/scale realtime 0", 300)])
async def test_safety_31_it_runs_when_its_delay_is_over(chat: Chat, line: str, delay: float) -> None:
    """A minute for a change, five for a danger, to the second; paged, noted for review, with its reason."""
    await chat.alice.says(line)
    chat.mark()
    await chat.alice.says("/breakglass 1 nobody else is awake")
    said = chat.bot_said()
    assert "without approval" in said
    assert "nobody else is awake" in said
    assert "@carol" in said
    assert {page.person for page in chat.console.store.pages.values()} >= {"carol"}
    assert [m for m in chat.messages() if m.channel == chat.console.channel_named("@carol")]
    [item] = await chat.events("incident-1", e.ActionItemAdded)
    assert "Review the break-glass of #1: nobody else is awake" in item.text
    assert item.owner == "carol"
    await chat.waits(delay - 1)
    assert chat.ran == {}
    await chat.waits(1)
    assert chat.ran == {1: 1}
    await chat.waits(60)
    assert "break-glass by alice" in (await chat.action()).why
    assert "break-glass by alice" in chat.card(1).plain


@pytest.mark.parametrize("how", ["reaction", "button", "command"])
async def test_safety_31_any_approvers_cross_stops_it(chat: Chat, how: str) -> None:
    """Up to the last second, by any means; and it stays stopped."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    await chat.waits(59)
    if how == "reaction":
        await chat.dave.reacts(chat.card(1), "❌")
    elif how == "button":
        await chat.dave.presses("Stop", chat.card(1))
    else:
        await chat.dave.says("/deny 1 wait for me")
    await chat.waits(600)
    assert (chat.ran, (await chat.action()).state) == ({}, "denied")


async def test_safety_31_a_cross_that_the_chat_did_not_tell_of(chat: Chat) -> None:
    """It stands on the card when the delay is over: it is read again, and stops it."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    chat.card(1).reactions["❌"].append("dave")
    await chat.waits(120)
    assert (chat.ran, (await chat.action()).state) == ({}, "denied")


async def test_safety_31_who_is_no_approver_stops_nothing(chat: Chat) -> None:
    """heidi's cross is none."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    await chat.heidi.reacts(chat.card(1), "❌")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_31_only_who_is_on_call_or_in_command(chat: Chat) -> None:
    """heidi is neither; as commander she may; without a reason nobody may."""
    await chat.heidi.says("/scale realtime 10")
    chat.mark()
    await chat.erin.says("/breakglass 1 I want it")
    assert "breaking the glass is for" in chat.bot_said_to("erin")
    await chat.alice.says("/breakglass 1")
    assert "needs REASON" in chat.bot_said_to("alice")
    await chat.waits(300)
    assert (chat.ran, (await chat.action()).break_glass_at) == ({}, None)
    await chat.erin.says("/role commander")
    await chat.erin.says("/breakglass 1 I want it")
    await chat.waits(60)
    assert chat.ran == {1: 1}


async def test_safety_31_never_a_silent_zero_quorum(new_chat: Callable[..., Any]) -> None:
    """Nobody else can approve: it waits and expires all the same, and says what can be done."""
    chat: Chat = await new_chat(with_roles(bob=["responder"], carol=["responder"], dave=["responder"]))
    await chat.alice.says("/scale realtime 10")
    await chat.alice.reacts(chat.card(), "✅")
    await chat.waits(900)
    assert (chat.ran, (await chat.action()).state) == ({}, "expired")


async def test_safety_31_the_delay_outlives_the_process(chat: Chat) -> None:
    """Killed during the delay, it runs at its time; away for long, it does not run when nobody expects it."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    await chat.waits(30)
    await chat.restarts()
    await chat.waits(29)
    assert chat.ran == {}
    await chat.waits(1)
    assert chat.ran == {1: 1}
    await chat.waits(60)
    await chat.alice.says("/scale realtime 3")
    await chat.alice.says("/breakglass 2 nobody else is awake")
    await chat.stage.kill()
    chat.stage.clock.move(chat.stage.clock.now() + timedelta(hours=2))
    await chat.restarts()
    await chat.waits(60)
    assert (chat.ran, (await chat.action(2)).state) == ({1: 1}, "void")


async def test_safety_31_what_moved_during_the_delay_does_not_run(chat: Chat) -> None:
    """It is checked like every other approved change."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    chat.stage.world.set("realtime", replicas=6)
    await chat.waits(60)
    assert (chat.ran, (await chat.action()).state) == ({}, "void")
