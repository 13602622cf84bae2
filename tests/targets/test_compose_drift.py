"""What moved between a plan of a compose service and its run, and what a crash leaves: nothing else is touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from commands.actions import Plan, Target, TargetError
from commands.dispatch import drift
from tests.contracts.compose_rig import MIB
from tests.servers.cable import Cable
from tests.servers.engine_api import Json, Wanted, of
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import ONE, TWO, Reach, chatting, fresh

LIMITED = Wanted(host={"Memory": 64 * MIB, "MemorySwap": 128 * MIB})


@pytest.fixture
def server() -> EngineServer:
    """A project as untouched as a new one."""
    return fresh()


@pytest.fixture
async def reach(tmp_path: Path) -> AsyncIterator[Reach]:
    """Makes targets."""
    found = Reach(tmp_path)
    yield found
    await found.stop()


@pytest.fixture
def target(reach: Reach, server: EngineServer) -> Target:
    """The target of the project."""
    return reach.target(server.socket)


def clear(server: EngineServer) -> int:
    """How many requests were sent that change something, so far."""
    return len(server.sent("POST", "DELETE"))


def uses(server: EngineServer, service: str, count: int, usage: int) -> None:
    """A container uses so many bytes."""
    ident = server.named(service, count)["Id"]
    server.call("set", container=ident, fields={"usage": usage})


def own(server: EngineServer, service: str) -> list[Json]:
    """The containers of a service."""
    return [each for each in server.containers() if of(each) == service]


# -- what moved -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "args"),
    [("memory", {"size": "128m"}), ("restart", {}), ("scale", {"replicas": 3}), ("scale", {"replicas": 0})],
)
async def test_safety_14_a_container_that_came_after_the_plan_is_left_alone(
    server: EngineServer, reach: Reach, target: Target, verb: str, args: dict[str, object]
) -> None:
    """Whatever its number: it shows as drift, and a run that was begun nevertheless touches none of them."""
    for number in (2, 1, 7):
        plan = await target.plan(verb, **ONE, **args)
        made = server.make("instance-manager", 8, LIMITED)
        server.call("set", container=made, fields={"name": "elsewhere"})
        labels = {
            **server.inspect(made)["Config"]["Labels"],
            "com.docker.compose.container-number": str(number),
        }
        server.call(
            "set", container=made, fields={"config": {**server.inspect(made)["Config"], "Labels": labels}}
        )
        before, sent = own(server, "instance-manager"), clear(server)
        assert any("containers is" in told for told in drift(plan, *await target.observe(plan)))
        with pytest.raises(TargetError, match="no longer as it was planned, so nothing was changed"):
            await reach.ran(target, plan)
        assert (own(server, "instance-manager"), clear(server)) == (before, sent)
        server.ask("DELETE", f"/containers/{made}", force="1")


@pytest.mark.parametrize("remade", [1, 2])
async def test_safety_14_one_of_two_with_the_same_number_made_anew_is_drift(
    server: EngineServer, reach: Reach, target: Target, remade: int
) -> None:
    """Compose leaves two of a number behind when it is interrupted: each of them is told apart by its id."""
    one, two = (each["Id"] for each in own(server, "intelligent-router"))
    config = {**server.inspect(two)["Config"], "Labels": server.inspect(one)["Config"]["Labels"]}
    server.call("set", container=two, fields={"config": config})
    server.call("set", container=one, fields={"name": "interrupted"})
    plan = await target.plan("restart", **TWO)
    assert plan.before["containers"] == "1, 1"
    assert drift(plan, *await target.observe(plan)) == []
    server.ask("DELETE", f"/containers/{(one, two)[remade - 1]}", force="1")
    third = server.make("intelligent-router", 3, Wanted())
    server.call("set", container=third, fields={"config": config})
    assert drift(plan, *await target.observe(plan))
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await reach.ran(target, plan)


async def test_safety_14_what_was_to_go_is_what_goes(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The second was to go; the third was started and the second stopped meanwhile: as many, but not the same."""
    third = server.make("intelligent-router", 3, Wanted())
    server.ask("POST", f"/containers/{third}/stop")
    plan = await target.plan("scale", **TWO, replicas=1)
    assert "intelligent-router-2 will be stopped and removed, with what is in no volume" in plan.notes
    server.ask("POST", f"/containers/{third}/start")
    server.ask("POST", f"/containers/{server.named('intelligent-router', 2)['Id']}/stop")
    assert drift(plan, *await target.observe(plan)) == ["stopped is 2 now, it was 3"]
    sent = clear(server)
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await reach.ran(target, plan)
    assert clear(server) == sent
    assert server.running("intelligent-router") == [1, 3]


async def test_safety_14_what_somebody_stopped_is_not_started_by_a_restart(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The card did not say so; asked again, it does."""
    plan = await target.plan("restart", **TWO)
    server.ask("POST", f"/containers/{server.named('intelligent-router', 2)['Id']}/stop")
    assert drift(plan, *await target.observe(plan)) == ["stopped is 2 now, it was none"]
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await reach.ran(target, plan)
    again = await target.plan("restart", **TWO)
    assert again.notes == ("1 of them does not run, and will",)
    assert (await reach.ran(target, again)).kind == "done"
    assert server.running("intelligent-router") == [1, 2]


# -- whether it is a danger by now ----------------------------------------------------------------


async def test_memory_that_became_a_danger_changes_nothing(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """48m while 40m were in use; with 60m it takes two approvals, which it did not get."""
    plan = await target.plan("memory", **ONE, size="48m")
    assert plan.effect == "change"
    uses(server, "instance-manager", 1, 60 * MIB)
    assert drift(plan, *await target.observe(plan)) == []
    sent = clear(server)
    with pytest.raises(TargetError, match=r"Nothing was changed: 60m are in use now, so 48m .*; ask again\."):
        await reach.ran(target, plan)
    assert clear(server) == sent
    again = await target.plan("memory", **ONE, size="48m")
    assert again.effect == "danger"
    assert (await reach.ran(target, again)).kind == "done", "what was approved as a danger is run as one"
    uses(server, "instance-manager", 1, 48 * MIB)
    assert (await target.plan("memory", **ONE, size="50m")).effect == "change", "just as much as is in use"


async def test_memory_is_looked_at_again_before_each_container(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The second one grew while the first was changed: it is left alone."""
    plan = await target.plan("memory", **TWO, size="48m")

    async def progress(done: int, _total: int, _what: str) -> None:
        if done == 1:
            uses(server, "intelligent-router", 2, 60 * MIB)

    outcome = await reach.through(asyncio.ensure_future(target.run(plan, key="wb-1", progress=progress)))
    assert outcome.kind == "failed"
    assert outcome.text.startswith("intelligent-router-2: Nothing was changed: 60m are in use now")
    assert "1 of 2 were done before" in outcome.text
    assert [c["HostConfig"]["Memory"] for c in own(server, "intelligent-router")] == [48 * MIB, 0]


async def test_memory_that_nothing_measures_is_no_less_without_two(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """Less than it may use now is a danger then; more is none."""
    server.fail("GET .*/stats", 500, "no cgroup", count=2)
    plan = await target.plan("memory", **ONE, size="48m")
    assert plan.effect == "danger"
    assert plan.notes[0].startswith("nothing shows how much instance-manager-1 uses")
    assert (await target.plan("memory", **ONE, size="128m")).effect == "change"
    plan = await target.plan("memory", **ONE, size="48m")
    assert plan.effect == "change"
    server.fail("GET .*/stats", 500, "no cgroup")
    with pytest.raises(
        TargetError, match="Nothing was changed: nothing shows how much instance-manager-1 uses"
    ):
        await reach.ran(target, plan)


async def test_the_votes_for_a_change_do_for_no_other(server: EngineServer, tmp_path: Path) -> None:
    """From chat: what became a danger fails; where others would be stopped it is asked again; nothing is sent."""
    with capture_logs():
        async with chatting(tmp_path, server) as chat:
            card = await chat.asks("/compose memory instance-manager 48m")
            uses(server, "instance-manager", 1, 60 * MIB)
            await chat.bob.reacts(card, "✅")
            await chat.ended()
            assert (await chat.action(1)).state == "failed"
            assert "Nothing was changed: 60m are in use now" in chat.card(1).plain
            third = server.make("intelligent-router", 3, Wanted())
            server.ask("POST", f"/containers/{third}/stop")
            card = await chat.asks("/compose scale intelligent-router 1")
            server.ask("POST", f"/containers/{third}/start")
            server.ask("POST", f"/containers/{server.named('intelligent-router', 2)['Id']}/stop")
            await chat.bob.reacts(card, "✅")
            await chat.ended()
            assert (await chat.action(2)).state == "void"
            assert "intelligent-router-3 will be stopped and removed" in chat.card(3).plain
            assert chat.changes == 0


# -- another one of the same name, and a crash ----------------------------------------------------


async def test_safety_14_what_was_made_anew_is_another_one(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The same name and number, another container: nothing is done to it."""
    plans: list[Plan] = [
        await target.plan("restart", **ONE),
        await target.plan("scale", **ONE, replicas=2),
        await target.plan("memory", **ONE, size="128m"),
    ]
    server.ask("DELETE", f"/containers/{server.named('instance-manager')['Id']}", force="1")
    server.make("instance-manager", 1, Wanted(host={"Memory": 64 * MIB}))
    sent = clear(server)
    for plan in plans:
        assert drift(plan, *(await target.observe(plan)))
        with pytest.raises(TargetError, match="is no longer as it was planned"):
            await reach.ran(target, plan)
    assert clear(server) == sent


@pytest.mark.parametrize(
    ("verb", "args", "when", "told"),
    [
        ("restart", {}, b"/restart", "1 of 2 containers have been started since"),
        ("memory", {"size": "1g"}, b"/update", "in the middle of it. Docker shows"),
        ("scale", {"replicas": 4}, b"/start", "intelligent-router-3 running"),
        ("scale", {"replicas": 3}, b"/create", "intelligent-router-3 created"),
        ("scale", {"replicas": 1}, b"/stop", "intelligent-router-2 exited"),
    ],
)
async def test_safety_10_what_was_done_in_part_is_unknown(
    server: EngineServer, reach: Reach, verb: str, args: dict[str, object], when: bytes, told: str
) -> None:
    """The process died after the first of several requests: nothing more is sent, and what there is, is said."""
    async with Cable(server.socket) as cable:
        target = reach.target(cable.socket)
        plan = await target.plan(verb, **TWO, **args)
        cable.fault("hold", when)
        task = asyncio.ensure_future(target.run(plan, key="wb-1", progress=reach.progress))
        await cable.answered()
        task.cancel()
        await asyncio.wait([task])
        cable.heal()
        sent = clear(server)
        outcome = await reach.target(cable.socket).follow(plan, key="wb-1", progress=reach.progress)
        assert outcome is not None
        assert outcome.kind == "unknown"
        assert told in outcome.text
        assert clear(server) == sent


async def test_safety_10_what_never_began_is_not_invented(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """All is as it was: nothing is proved."""
    for plan in (
        await target.plan("restart", **TWO),
        await target.plan("scale", **TWO, replicas=3),
        await target.plan("memory", **TWO, size="1g"),
    ):
        assert await target.follow(plan, key="wb-1", progress=reach.progress) is None
