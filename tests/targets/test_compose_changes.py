"""Changes of a compose service: what is planned, what is asked of the engine, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commands.actions import Target, TargetError
from incidents.ports import RefusedError
from tests.contracts.compose_rig import MIB
from tests.servers.engine_api import LABEL, PROJECT, Wanted, number
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import ONE, TWO, Reach, fresh

CHECK = {"Healthcheck": {"Test": ["CMD", "true"], "Interval": 5_000_000_000, "Retries": 3}}


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


def writes(server: EngineServer) -> list[str]:
    """What was asked for that changes something, without versions and ids."""
    return [sent.split()[0] + " " + sent.rpartition("/")[2][:10] for sent in server.sent("POST", "DELETE")]


def clear(server: EngineServer) -> int:
    """How many requests were sent that change something, so far."""
    return len(writes(server))


# -- restart --------------------------------------------------------------------------------------


async def test_a_restart_goes_one_by_one_and_is_told(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The lowest number first; each one is new, none is another one."""
    before, sent = server.containers(), clear(server)
    outcome = await reach.ran(target, await target.plan("restart", **TWO))
    assert (outcome.kind, outcome.text) == ("done", "intelligent-router was restarted, 2 of 2 running")
    after = server.containers()
    assert [c["Id"] for c in after] == [c["Id"] for c in before]
    assert after[0]["State"] == before[0]["State"], "the other service is left alone"
    assert before[1]["State"]["StartedAt"] < after[1]["State"]["StartedAt"] < after[2]["State"]["StartedAt"]
    assert writes(server)[sent:] == ["POST restart", "POST restart"]
    assert reach.told == [(0, 2, "restarted"), (1, 2, "restarted"), (2, 2, "restarted")]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"dies": ["intelligent-router"]}, "it was started, and ended with exit code 1"),
        ({"health_after": "unhealthy"}, "it was started, and is unhealthy"),
        ({"health_after": "starting"}, "it was started, and is not healthy after 1 min"),
    ],
)
async def test_a_container_that_is_not_well_again_ends_the_restart(
    server: EngineServer, reach: Reach, target: Target, fault: dict[str, object], told: str
) -> None:
    """The others go on as they did; the card says what Docker shows."""
    for n in (1, 2):
        server.ask("DELETE", f"/containers/{server.named('intelligent-router', n)['Id']}", force="1")
        server.make("intelligent-router", n, Wanted(config=CHECK))
    second = server.named("intelligent-router", 2)["State"]
    plan = await target.plan("restart", **TWO)
    server.call("engine", **fault)
    outcome = await reach.ran(target, plan)
    assert outcome.kind == "failed"
    assert outcome.text.startswith(f"intelligent-router-1: {told}; 0 of 2 were done before. Docker shows ")
    assert server.named("intelligent-router", 2)["State"] == second


async def test_a_container_that_becomes_healthy_is_waited_for(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """Then the next one."""
    for n in (1, 2):
        server.ask("DELETE", f"/containers/{server.named('intelligent-router', n)['Id']}", force="1")
        server.make("intelligent-router", n, Wanted(config=CHECK))
    plan = await target.plan("restart", **TWO)
    server.call("engine", health_after="starting")
    task = asyncio.ensure_future(target.run(plan, key="wb-1", progress=reach.progress))
    while not reach.clock.parked:
        await asyncio.wait([task], timeout=0.005)
    assert reach.told == [(0, 2, "restarted")]
    server.call("engine", health_after="healthy")
    server.call("set", container=server.named("intelligent-router", 1)["Id"], fields={"health": "healthy"})
    assert (await reach.through(task)).kind == "done"


async def test_a_change_of_several_is_stopped_between_two(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """Cancelled: the one at work comes to its end, no other begins; nothing that does not run is cancelled."""
    plan = await target.plan("restart", **TWO)
    assert plan.stoppable
    assert not (await target.plan("restart", **ONE)).stoppable
    second = server.named("intelligent-router", 2)["State"]
    task = asyncio.ensure_future(target.run(plan, key="wb-1", progress=reach.progress))
    while not reach.clock.parked:
        await asyncio.wait([task], timeout=0.005)
    assert await target.cancel(plan, key="wb-1")
    outcome = await reach.through(task)
    assert outcome.kind == "failed"
    assert outcome.text.startswith(
        "stopped after 1 of 2, as asked. Docker shows intelligent-router-1 running and"
    )
    assert server.named("intelligent-router", 2)["State"] == second
    assert not await target.cancel(plan, key="wb-1")


# -- scale ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "wanted", "told"),
    [
        (1, 3, "instance-manager-1 running and instance-manager-2 running."),
        (14, 5, "instance-manager-10 running and 3 more, so that 13 of 13 run."),
    ],
)
async def test_a_scaling_that_is_stopped_says_how_many_run(
    server: EngineServer, reach: Reach, target: Target, there: int, wanted: int, told: str
) -> None:
    """Between two containers: what was made stays, what was not stopped goes on, and the outcome counts them."""
    server.furnish({"instance-manager": Wanted(there)})
    plan = await target.plan("scale", **ONE, replicas=wanted)

    async def progress(done: int, total: int, what: str) -> None:
        if done:
            assert await target.cancel(plan, key="wb-1")

    task = asyncio.ensure_future(target.run(plan, key="wb-1", progress=progress))
    outcome = await reach.through(task)
    assert outcome.kind == "failed"
    assert outcome.text.startswith(
        f"stopped after 1 of {abs(wanted - there)}, as asked. Docker shows instance-manager-1 "
    )
    assert outcome.text.endswith(told)
    assert len(server.running("instance-manager")) == (2 if there == 1 else 13)


async def test_a_copy_is_what_compose_would_have_made(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The next number and name; everything else as it is, secrets included, in every network; marked by the change."""
    env = ["PATH=/bin", "API_KEY=not-to-be-seen-4711"]
    wanted = Wanted(
        config={"Env": env, "Labels": {"team": "chat"}, **CHECK},
        host={
            "Memory": 96 * MIB,
            "MemorySwap": -1,
            "Binds": ["data:/data"],
            "RestartPolicy": {"Name": "always"},
        },
        networks={"stack_default": {"Aliases": ["instance-manager"]}},
    )
    server.ask("DELETE", f"/containers/{server.named('instance-manager')['Id']}", force="1")
    first = server.make("instance-manager", 1, wanted)
    server.ask(
        "POST", "/networks/stack_back/connect", {"Container": first, "EndpointConfig": {"Aliases": ["im"]}}
    )
    plan = await target.plan("scale", **ONE, replicas=2)
    assert "API_KEY" not in str(plan.to_data())
    assert "a copy writes to the same data: data" in plan.notes
    outcome = await reach.ran(target, plan)
    assert (outcome.kind, outcome.text) == ("done", "instance-manager runs 2 replicas")
    old, new = server.named("instance-manager", 1), server.named("instance-manager", 2)
    assert new["Name"] == f"/{PROJECT}-instance-manager-2"
    assert new["Config"]["Env"] == env
    empty = {"Mounts": [], "Ulimits": []}
    assert new["HostConfig"] == {**empty, **old["HostConfig"]}
    assert new["Config"]["Hostname"] == new["Id"][:12]
    labels = dict(new["Config"]["Labels"])
    assert labels.pop("watchbell.change") == f"wb-1-{plan.hash[:10]}"
    assert labels == {**old["Config"]["Labels"], f"{LABEL}container-number": "2"}
    networks = new["NetworkSettings"]["Networks"]
    assert networks["stack_default"]["Aliases"] == [
        "instance-manager",
        f"{PROJECT}-instance-manager-2",
        new["Id"][:12],
    ]
    assert networks["stack_back"]["Aliases"] == ["im", f"{PROJECT}-instance-manager-2", new["Id"][:12]]


async def test_a_copy_has_volumes_without_a_name_of_its_own(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """What was one container's alone stays so; what is named, and what masks the system's paths, is the same."""
    binds = ["data:/data", f"{'a' * 64}:/cache"]
    mounts = [{"Type": "volume", "Source": "b" * 64, "Target": "/x"}, {"Type": "tmpfs", "Target": "/y"}]
    host = {"Binds": binds, "Mounts": mounts, "MaskedPaths": []}
    server.ask("DELETE", f"/containers/{server.named('instance-manager')['Id']}", force="1")
    server.make("instance-manager", 1, Wanted(config={"Volumes": {"/cache": {}}}, host=host))
    plan = await target.plan("scale", **ONE, replicas=2)
    assert "a copy writes to the same data: data" in plan.notes
    await reach.ran(target, plan)
    copy = server.named("instance-manager", 2)
    assert (copy["HostConfig"]["Binds"], copy["HostConfig"]["Mounts"]) == (binds[:1], mounts[1:])
    assert copy["HostConfig"]["MaskedPaths"] == []
    assert copy["Config"]["Volumes"] == {"/cache": {}}


async def test_a_tag_that_means_another_image_is_not_followed(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The copy is what the others are, and the card says so."""
    old = server.named("instance-manager")["Image"]
    server.call("engine", images={"local/stack:1": f"sha256:{'2' * 64}", old: old})
    plan = await target.plan("scale", **ONE, replicas=2)
    assert "the tag means another image by now; a copy has the one that the others have" in plan.notes
    await reach.ran(target, plan)
    assert server.named("instance-manager", 2)["Image"] == old


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            Wanted(host={"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}}),
            "publishes the port 8080 of the host",
        ),
        (Wanted(host={"NetworkMode": "host"}), "uses the host's network"),
        (
            Wanted(networks={"stack_default": {"IPAMConfig": {"IPv4Address": "10.1.2.3"}}}),
            "has a fixed address in its network",
        ),
    ],
)
async def test_what_cannot_be_there_twice_is_refused(
    server: EngineServer, target: Target, wanted: Wanted, told: str
) -> None:
    """Nothing is asked for; fewer of it are allowed."""
    server.make("intelligent-router", 3, wanted)
    sent = clear(server)
    with pytest.raises(RefusedError, match=told):
        await target.plan("scale", **TWO, replicas=4)
    assert clear(server) == sent
    assert (await target.plan("scale", **TWO, replicas=2)).after["containers"] == "1, 2"


async def test_ranges_of_ports_and_free_ports_are_no_obstacle(server: EngineServer, target: Target) -> None:
    """The engine chooses among them."""
    ports = {"80/tcp": [{"HostPort": "8000-8010"}], "81/tcp": [{"HostPort": ""}], "82/tcp": None}
    server.make("intelligent-router", 3, Wanted(host={"PortBindings": ports}))
    assert (await target.plan("scale", **TWO, replicas=4)).after["containers"] == "1, 2, 3, 4"


async def test_a_container_with_a_name_of_its_own_is_the_only_one(
    server: EngineServer, target: Target
) -> None:
    """As docker compose refuses it."""
    server.call("set", container=server.named("instance-manager")["Id"], fields={"name": "the-manager"})
    with pytest.raises(RefusedError, match=r"has a `container_name` \(the-manager\)"):
        await target.plan("scale", **ONE, replicas=2)
    assert (await target.plan("restart", **ONE)).summary == "restart instance-manager: 1 container"


@pytest.mark.parametrize(("replicas", "within"), [(0, False), (1, True), (4, True), (5, False), (2, False)])
async def test_safety_18_bounds_are_those_of_the_catalogue(
    target: Target, replicas: int, within: bool
) -> None:
    """Both ends, and the number that runs already."""
    if within:
        assert (await target.plan("scale", **TWO, replicas=replicas)).effect == "change"
    else:
        with pytest.raises(RefusedError, match=r"takes 1 to 4 replicas|already runs 2"):
            await target.plan("scale", **TWO, replicas=replicas)


async def test_fewer_are_the_newest_stopped_and_removed(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """In that order, and what does not run is left alone."""
    server.make("intelligent-router", 3, Wanted())
    server.ask("POST", f"/containers/{server.named('intelligent-router', 1)['Id']}/stop")
    sent = clear(server)
    plan = await target.plan("scale", **TWO, replicas=1)
    assert "intelligent-router-3 will be stopped and removed, with what is in no volume" in plan.notes
    assert (await reach.ran(target, plan)).kind == "done"
    assert [number(c) for c in server.containers()[1:]] == [1, 2]
    assert [w.split()[0] for w in writes(server)[sent:]] == ["POST", "DELETE"]
    back = await target.plan("scale", **TWO, replicas=2)
    assert "1 that does not run will be started" in back.notes
    await reach.ran(target, back, "wb-2")
    assert server.running("intelligent-router") == [1, 2]


async def test_zero_is_a_danger_and_leaves_one_to_begin_with(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The last container is stopped only, so that the way back has something to start."""
    server.make("instance-manager", 2, Wanted())
    plan = await target.plan("scale", **ONE, replicas=0)
    assert plan.effect == "danger"
    assert plan.after == {"replicas": 0, "containers": "1", "stopped": "1"}
    assert (await reach.ran(target, plan)).kind == "done"
    assert server.running("instance-manager") == []
    assert plan.undo is not None
    await reach.ran(target, await target.plan("scale", **plan.undo["args"]), "wb-2")
    assert server.running("instance-manager") == [1, 2]


async def test_a_copy_that_does_not_start_is_named(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """It was made: the card says what is there now."""
    plan = await target.plan("scale", **TWO, replicas=3)
    server.fail("POST .*/start", 500, "no space left on device")
    outcome = await reach.ran(target, plan)
    assert outcome.kind == "failed"
    assert "intelligent-router-3: it was made, but does not start" in outcome.text
    assert "no space left on device" in outcome.text
    assert "intelligent-router-3 created" in outcome.text


async def test_a_name_that_is_taken_changes_nothing(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """409 to the first request: refused, nothing was changed."""
    plan = await target.plan("scale", **TWO, replicas=3)
    server.fail("POST .*/create", 409, "Conflict. The container name is already in use")
    with pytest.raises(TargetError, match=r"409 Conflict: Conflict\. The container name is already in use"):
        await reach.ran(target, plan)
    assert len(server.containers()) == 3


# -- memory ---------------------------------------------------------------------------------------


async def test_memory_keeps_what_may_be_swapped(server: EngineServer, reach: Reach, target: Target) -> None:
    """64m of memory and 64m of swap become 128m and 64m; the way back is exact."""
    plan = await target.plan("memory", **ONE, size="128M")
    assert plan.summary == "memory of instance-manager 64m → 128m"
    assert plan.line == "compose memory instance-manager 128m"
    assert (await reach.ran(target, plan)).text == "instance-manager may use 128m"
    host = server.named("instance-manager")["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (128 * MIB, 192 * MIB)
    assert plan.undo is not None
    await reach.ran(target, await target.plan("memory", **plan.undo["args"]), "wb-2")
    host = server.named("instance-manager")["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 * MIB, 128 * MIB)


async def test_memory_of_what_had_no_limit_cannot_be_undone(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """An engine takes no limit away again; every container has the new one."""
    plan = await target.plan("memory", **TWO, size="1g")
    assert plan.undo is None
    assert plan.before == {"memory": "no limit", "containers": "1, 2"}
    assert any("there was no limit" in note for note in plan.notes)
    assert (await reach.ran(target, plan)).text == "intelligent-router may use 1g a container"
    assert {c["HostConfig"]["Memory"] for c in server.containers()[1:]} == {1024 * MIB}


async def test_less_memory_than_is_used_is_a_danger(target: Target) -> None:
    """40m are in use: what does not fit is killed."""
    plan = await target.plan("memory", **ONE, size="32m")
    assert plan.effect == "danger"
    assert plan.notes[0] == "40m are in use: what does not fit is killed by the system"
    assert (await target.plan("memory", **ONE, size="40m")).effect == "change"


@pytest.mark.parametrize(
    "size", ["5m", "9g", "0", "4", "-4g", "4e9", "4tb", "4 g", "４g", "NaN", "99999999999999g", "64m"]
)
async def test_safety_18_limits_that_are_none(target: Target, size: str) -> None:
    """Without a unit, below 6m, above what the host has, or the one that it has."""
    with pytest.raises(RefusedError, match=r"is none\.|is outside\.|may use 64m already"):
        await target.plan("memory", **ONE, size=size)
    assert (await target.plan("memory", **ONE, size="6m")).after["memory"] == "6m"
    assert (await target.plan("memory", **ONE, size="8g")).after["memory"] == "8g"
