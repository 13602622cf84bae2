"""The contract of every operations target that changes things: SAFETY 2, 10, 14 and 33 stand on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from commands.actions import Plan, TargetError
from commands.dispatch import drift
from incidents.ports import RefusedError
from tests.contracts import (
    alertmanager_rig,
    compose_rig,
    http_rig,
    kubernetes_rig,
    mongo_rig,
    postgres_rig,
    redis_rig,
    target_rigs,
)
from tests.contracts.target_rigs import Change, Rig

RIGS = {
    **target_rigs.RIGS,
    "redis": redis_rig.redis,
    "postgres": postgres_rig.postgres,
    "mongo": mongo_rig.mongo,
    "http": http_rig.http,
    "alertmanager": alertmanager_rig.alertmanager,
    "kubernetes": kubernetes_rig.kubernetes,
    "compose": compose_rig.stand_in,
    "compose_podman": compose_rig.real,
}


class Makes:
    """Makes worlds of one kind, each as untouched as the first, and ends them all."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind, self._folder = kind, folder
        self.made: list[Rig] = []

    async def fresh(self) -> Rig:
        """Another world."""
        rig = await RIGS[self._kind](self._folder / f"world-{len(self.made)}.json").started()
        self.made.append(rig)
        return rig


@pytest.fixture(params=sorted(RIGS))
async def makes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Makes]:
    """For tests that need several worlds."""
    found = Makes(request.param, tmp_path)
    yield found
    for rig in found.made:
        await rig.close()


@pytest.fixture
async def rig(makes: Makes) -> Rig:
    """A fresh target."""
    return await makes.fresh()


def _alike(first: Change, rig: Rig) -> Change:
    """The same change in another world, where a client has another id."""
    return next(
        c
        for c in rig.changes
        if (c.verb, c.undone, c.effect) == (first.verb, first.undone, first.effect)
        and (c.verb in ("kill", "evict", "cancel", "terminate") or c.args == first.args)
    )


async def _plan(rig: Rig, change: Change) -> Plan:
    return await rig.target.plan(change.verb, **_alike(change, rig).args)


async def test_a_plan_says_everything_and_changes_nothing(rig: Rig) -> None:
    """Plain JSON, the same each time, and what was observed stays as it was."""
    for change in rig.changes:
        plan = await _plan(rig, change)
        assert plan == await _plan(rig, change)
        assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == plan
        assert Plan.from_data(plan.to_data()).hash == plan.hash
        assert (plan.target, plan.verb, plan.effect) == (rig.target.name, change.verb, change.effect)
        assert all((plan.subject, plan.identity, plan.summary, plan.line, plan.done))
        assert set(plan.after) == set(plan.before)
        assert (plan.undo is not None) == change.undone
        identity, state = await rig.target.observe(plan)
        assert drift(plan, identity, state) == []
    assert not rig.clock.parked


async def test_a_plan_can_be_made_again_from_its_own_arguments(rig: Rig) -> None:
    """So it is asked again after drift."""
    for change in rig.changes:
        plan = await _plan(rig, change)
        assert await rig.target.plan(plan.verb, **plan.args) == plan


async def test_a_change_runs_once_and_ends_within_thirty_seconds(makes: Makes) -> None:
    """It is accepted once, progress goes up to its end, and afterwards the world is as planned."""
    for number, change in enumerate((await makes.fresh()).changes):
        fresh = await makes.fresh()
        plan = await _plan(fresh, change)
        began = fresh.clock.now()
        outcome = await fresh.run(plan, f"wb-{number}")
        assert (outcome.kind, outcome.text) == ("done", plan.done)
        assert fresh.clock.now() - began <= timedelta(seconds=30)
        assert dict(outcome.after) == dict(plan.after)
        _, state = await fresh.target.observe(plan)
        assert dict(state) == dict(plan.after)
        assert fresh.count(f"wb-{number}") == 1
        counts = [done for done, _, _ in fresh.told]
        assert counts == sorted(counts)
        assert all(0 <= done <= total for done, total, _ in fresh.told)
        if fresh.told:
            assert fresh.told[-1][0] == fresh.told[-1][1]


async def test_an_undo_brings_back_what_was_before(makes: Makes) -> None:
    """The way back is planned anew from the plan's own words, and is a plan like any other."""
    for change in [c for c in (await makes.fresh()).changes if c.undone]:
        fresh = await makes.fresh()
        plan = await _plan(fresh, change)
        await fresh.run(plan, "wb-1")
        assert plan.undo is not None
        assert set(plan.undo) == {"line", "verb", "args", "label"}
        back = await fresh.target.plan(plan.undo["verb"], **plan.undo["args"])
        assert back.line == plan.undo["line"]
        assert (await fresh.run(back, "wb-2")).kind == "done"
        _, state = await fresh.target.observe(plan)
        assert dict(state) == dict(plan.before)


async def test_safety_14_what_moved_is_observed(makes: Makes) -> None:
    """Somebody else changed it: `observe` shows it, and `run` refuses to change anything."""
    for change in (await makes.fresh()).changes:
        if change.verb in ("kill", "del", "flush") or not change.proved:
            continue  # nothing tells what it was before
        fresh = await makes.fresh()
        plan = await _plan(fresh, change)
        fresh.move(change)
        identity, state = await fresh.target.observe(plan)
        assert drift(plan, identity, state)
        with pytest.raises(TargetError):
            await fresh.run(plan, "wb-1")
        assert fresh.count("wb-1") == 0


async def test_safety_14_another_thing_of_the_same_name_is_no_match(rig: Rig) -> None:
    plan = await _plan(rig, rig.changes[0])
    other = replace(plan, identity="another")
    identity, state = await rig.target.observe(other)
    assert drift(other, identity, state)
    with pytest.raises(TargetError):
        await rig.run(other, "wb-1")
    assert rig.count("wb-1") == 0


async def test_safety_10_a_change_cut_off_is_followed_to_its_end(makes: Makes) -> None:
    """The process dies right after the request: a mark or the state proves that it was accepted.

    What a target cannot prove it does not claim, and it does not do it again.
    """
    for change in (await makes.fresh()).changes:
        fresh = await makes.fresh()
        plan = await _plan(fresh, change)
        await fresh.cut(plan, "wb-1")
        survivor = fresh.again()
        following = asyncio.ensure_future(survivor.follow(plan, key="wb-1", progress=fresh.progress))
        outcome = await fresh.through(following)
        assert fresh.count("wb-1") == 1
        if not change.proved:
            assert outcome is None
            continue
        assert outcome is not None
        assert (outcome.kind, outcome.text, dict(outcome.after)) == ("done", plan.done, dict(plan.after))
        assert fresh.count("wb-1") == 1


async def test_safety_10_a_change_never_accepted_is_not_invented(rig: Rig) -> None:
    """No mark, or another's mark: nothing is proved, and nothing runs."""
    plan = await _plan(rig, rig.changes[0])
    assert await rig.target.follow(plan, key="wb-1", progress=rig.progress) is None
    await rig.run(await _plan(rig, rig.changes[-1]), "wb-2")
    assert await rig.target.follow(plan, key="wb-2", progress=rig.progress) is None
    assert rig.count("wb-1") == 0


async def test_safety_10_following_again_says_the_same(rig: Rig) -> None:
    """Long after the end, too, and without changing anything."""
    plan = await _plan(rig, rig.changes[0])
    first = await rig.run(plan, "wb-1")
    rig.clock.wake(rig.clock.now() + timedelta(hours=1))
    assert await rig.again().follow(plan, key="wb-1", progress=rig.progress) == first
    assert rig.count("wb-1") == 1


async def test_safety_33_an_error_changes_nothing(rig: Rig) -> None:
    """Plans, looks, reads and runs fail with a sentence; the change was not accepted."""
    plan = await _plan(rig, rig.changes[0])
    rig.breaks("error")
    verb, args = rig.reads[0]
    for attempt in (
        rig.target.plan(plan.verb, **plan.args),
        rig.target.observe(plan),
        rig.target.read(verb, **args),
        rig.target.run(plan, key="wb-1", progress=rig.progress),
    ):
        with pytest.raises(TargetError, match=r"\w+ .*\."):
            await attempt
    assert rig.count("wb-1") == 0


async def test_safety_33_a_dropped_connection_is_unknown_until_proved(rig: Rig) -> None:
    """The request went out and the answer never came: unknown, not run again; following proves it."""
    plan = await _plan(rig, rig.changes[0])
    rig.breaks("drop")
    outcome = await rig.run(plan, "wb-1")
    assert outcome.kind == "unknown"
    assert "connection broke" in outcome.text
    assert rig.count("wb-1") == 1
    followed = await rig.through(
        asyncio.ensure_future(rig.target.follow(plan, key="wb-1", progress=rig.progress))
    )
    assert followed is not None
    assert followed.kind == "done"
    assert rig.count("wb-1") == 1


async def test_safety_33_a_slow_answer_is_waited_for_on_the_clock(rig: Rig) -> None:
    """The change is accepted although the answer is late; a caller with less patience knows nothing."""
    plan = await _plan(rig, rig.changes[0])
    rig.breaks("slow")
    running = asyncio.ensure_future(rig.target.run(plan, key="wb-1", progress=rig.progress))
    await rig.accepted("wb-1")
    assert rig.count("wb-1") == 1
    assert not running.done()
    rig.release()
    assert (await rig.through(running)).kind == "done"


async def test_reads_answer(rig: Rig) -> None:
    """Every read has a headline and leaves everything as it was."""
    for verb, args in rig.reads:
        before = rig.state()
        answer = await rig.target.read(verb, **args)
        assert answer.headline
        again = await rig.target.read(verb, **args)
        assert (
            again == answer
            if rig.steady
            else again.headline.split(" · ")[0] == answer.headline.split(" · ")[0]
        )
        assert rig.state() == before


async def test_what_a_target_does_not_know_is_refused(rig: Rig) -> None:
    with pytest.raises(RefusedError):
        await rig.target.read("explode")
    with pytest.raises((RefusedError, TargetError)):
        await rig.target.plan("explode")
    assert await rig.target.cancel(await _plan(rig, rig.changes[0]), key="wb-1") is False
