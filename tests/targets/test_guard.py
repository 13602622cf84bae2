"""Limits of every real target: so many at once, so long each, a rest for who is silent; and none delays another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.clock import VirtualClock
from bot.targets.guard import Guarded, Limits, UnreachableError
from bot.targets.router import Routed, by_database, by_service, by_target
from commands.actions import Answer, NoAnswerError, Outcome, Plan, TargetError
from commands.catalogue import Catalogue, Service
from incidents.ports import Clock, RefusedError
from tests.contracts.target_rigs import START
from tests.targets.conftest import progress

PLAN = Plan("x", "x", "x", "t", "x", {"name": "one"}, "x", "x", {}, {})


class Slow:
    """A target that answers when it is told to, and says what it is told to say."""

    name = "redis"

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.at_work = self.most = self.calls = 0
        self.error: Exception | None = None
        self.asked: list[Mapping[str, Any]] = []
        self.stopped = False

    async def read(self, verb: str, **args: Any) -> Answer:
        """Waits."""
        self.asked.append(args)
        self.calls += 1
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        try:
            await self.go.wait()
            if self.error is not None:
                raise self.error
            return Answer(verb)
        finally:
            self.at_work -= 1

    async def plan(self, verb: str, **args: Any) -> Plan:
        """As `read`."""
        await self.read(verb, **args)
        return PLAN

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """As `read`."""
        await self.read("observe")
        return "x", {}

    async def run(self, plan: Plan, *, key: str, progress: Any) -> Outcome:
        """At once."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        return Outcome("done", "done")

    async def follow(self, plan: Plan, *, key: str, progress: Any) -> Outcome | None:
        """At once."""
        return await self.run(plan, key=key, progress=progress)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """No."""
        return False

    async def stop(self) -> None:
        """It was told."""
        self.stopped = True


class Set:
    """A clock that is set by hand, also back."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        """As it was set."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Nobody waits by it."""
        raise NotImplementedError


def guarded(target: Slow, clock: Clock, **limits: Any) -> Guarded:
    return Guarded(target, title="Redis (main)", limits=replace(Limits(), **limits), clock=clock)


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_looks_at_once_and_a_change_does_not_wait_for_them() -> None:
    """The others wait their turn; beyond that it is said that it is too much."""
    slow, clock = Slow(), VirtualClock(START)
    target = guarded(slow, clock, at_once=2, waiting=3)
    looks = [asyncio.ensure_future(target.read("ping")) for _ in range(5)]
    await turn()
    assert slow.at_work == 2
    with pytest.raises(TargetError, match="asked too much at once"):
        await target.read("ping")
    assert (await target.run(PLAN, key="wb-1", progress=progress)).kind == "done"
    slow.go.set()
    assert [a.headline for a in await asyncio.gather(*looks)] == ["ping"] * 5
    assert slow.most == 2


async def test_a_look_ends_after_its_limit_and_the_wait_for_a_place_counts() -> None:
    """Nobody waits twice as long for being second."""
    slow, clock = Slow(), VirtualClock(START)
    target = guarded(slow, clock, at_once=1, look=0.05)
    found = await asyncio.gather(*(target.read("ping") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, UnreachableError) for error in found)
    assert "Nothing was changed" in str(found[0])
    assert slow.at_work == 0


@pytest.mark.parametrize("error", [UnreachableError("it is away."), NoAnswerError("it is late.")])
async def test_one_that_is_silent_is_left_alone_for_a_while(error: Exception) -> None:
    """After five calls without an answer nobody waits any more; one answer makes up for all."""
    slow, clock = Slow(), VirtualClock(START)
    slow.go.set()
    slow.error = error
    target = guarded(slow, clock)
    for _ in range(5):
        with pytest.raises(type(error)):
            await target.read("ping")
    for attempt in (target.read("ping"), target.plan("x"), target.observe(PLAN)):
        with pytest.raises(UnreachableError, match=r"5 times in a row, .* try again in 15 s"):
            await attempt
    with pytest.raises(UnreachableError, match="left alone"):
        await target.run(PLAN, key="wb-1", progress=progress)
    assert slow.calls == 5
    clock.wake(clock.now() + timedelta(seconds=15))
    with pytest.raises(type(error)):  # one may try, and it is silent still
        await target.read("ping")
    with pytest.raises(UnreachableError, match="6 times in a row"):
        await target.read("ping")
    clock.wake(clock.now() + timedelta(seconds=15))
    slow.error = None
    await target.read("ping")
    slow.error = error
    with pytest.raises(type(error)):
        await target.read("ping")
    assert slow.calls == 8


async def test_a_clock_that_is_put_back_makes_no_rest_longer() -> None:
    """By an hour, in the middle of a rest: it ends after its fifteen seconds, counted from the next look."""
    slow = Slow()
    slow.go.set()
    slow.error = UnreachableError("it is away.")
    clock = Set()
    target = guarded(slow, clock)
    for _ in range(5):
        with pytest.raises(UnreachableError, match="it is away"):
            await target.read("ping")
    clock.at -= timedelta(hours=1)
    slow.error = None
    with pytest.raises(UnreachableError, match="try again in 15 s"):
        await target.read("ping")
    clock.at += timedelta(seconds=14)
    with pytest.raises(UnreachableError, match="try again in 1 s"):
        await target.read("ping")
    clock.at += timedelta(seconds=1)
    assert (await target.read("ping")).headline == "ping"


async def test_who_says_no_is_there() -> None:
    """A refusal is an answer, and counts as one."""
    slow, clock = Slow(), VirtualClock(START)
    slow.go.set()
    target = guarded(slow, clock)
    for error in (RefusedError("no."), TargetError("no.")):
        slow.error = error
        for _ in range(8):
            with pytest.raises(type(error)):
                await target.read("ping")
    assert slow.calls == 16


async def test_safety_10_what_became_of_a_change_is_asked_even_of_one_that_rests() -> None:
    """Otherwise a crash and a hiccup together would make an unknown outcome of a known one."""
    slow, clock = Slow(), VirtualClock(START)
    slow.go.set()
    slow.error = UnreachableError("away.")
    target = guarded(slow, clock)
    for _ in range(6):
        with pytest.raises(UnreachableError):
            await target.read("ping")
    slow.error = None
    followed = await target.follow(PLAN, key="wb-1", progress=progress)
    assert followed is not None


async def test_one_slow_target_delays_no_other() -> None:
    """Two Redis behind one name: all places of the first are taken, and the second answers."""
    slow, quick, clock = Slow(), Slow(), VirtualClock(START)
    quick.go.set()
    parts = {"far": guarded(slow, clock, at_once=1), "near": guarded(quick, clock, at_once=1)}
    databases = {"one": {"target": "far"}, "two": {"target": "near"}}
    target = Routed("redis", parts, by_database("Redis", databases, parts))
    waiting = [asyncio.ensure_future(target.read("ping")) for _ in range(4)]
    await turn()
    assert [slow.at_work, quick.calls] == [1, 0]
    assert (await target.read("ping", name="two")).headline == "ping"
    assert not any(task.done() for task in waiting)
    slow.go.set()
    await asyncio.gather(*waiting)
    assert slow.asked[0] == {"name": "one"}
    await target.stop()
    assert slow.stopped
    assert quick.stopped


async def test_which_target_is_meant() -> None:
    """By the database, the service's cluster or the target's name; what is not there is refused."""
    parts = {"east": Slow(), "west": Slow()}
    choose = by_database("Redis", {"cache": {"target": "west"}}, parts)
    assert choose({"size": "1gb"}) == ("west", {"size": "1gb", "name": "cache"})
    with pytest.raises(RefusedError, match="Did you mean cache"):
        choose({"name": "cach"})
    catalogue = Catalogue(services={"api": Service("api", cluster="west")})
    choose = by_service(catalogue, parts)
    assert choose({"service": "api"}) == ("west", {"service": "api"})
    with pytest.raises(RefusedError, match='api is in west, not in "east"'):
        choose({"service": "api", "cluster": "east"})
    assert choose({"namespace": "x", "cluster": "west"}) == ("west", {"namespace": "x"})
    assert choose({"namespace": "x"}) == ("east", {"namespace": "x"})
    assert by_target(parts)({"target": "west"}) == ("west", {})
    with pytest.raises(RefusedError, match="reaches no Redis; east, west would"):
        await Routed("redis", parts, by_target(parts)).read("ping", target="north")
