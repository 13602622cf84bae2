"""A real engine: containers that docker-compose made itself, looked at, restarted, scaled, and taken back by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from commands.actions import Target, TargetError
from commands.dispatch import drift
from tests.servers import podman
from tests.servers.engine.gateway import Gateway
from tests.servers.engine_api import SHELL, Wanted
from tests.servers.podman import Podman
from tests.targets.compose_stage import ONE, TWO, Reach

PROJECT = "real"
SECRET = "planted-in-the-environment-4711"
FILE = f"""
version: "3"
services:
  instance-manager:
    image: local/stack:1
    network_mode: none
    mem_limit: 64m
    stop_grace_period: 1s
    environment: {{API_KEY: {SECRET}}}
    command: ["/bin/sh", "-c", "echo connecting with password=hunter2-real; {SHELL.replace("$", "$$")}"]
  intelligent-router:
    image: local/stack:1
    network_mode: none
    tty: true
    stop_grace_period: 1s
    command: ["/bin/sh", "-c", "{SHELL.replace("$", "$$")}"]
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project that is up."""
    folder = tmp_path_factory.mktemp("stack")
    (folder / "docker-compose.yml").write_text(FILE)
    podman.shared().compose(folder, "-p", PROJECT, "up", "-d")
    return folder


@pytest.fixture
def server(stack: Path) -> Podman:
    """The engine, with one container of each service."""
    assert stack.exists()
    return podman.shared()


@pytest.fixture
async def reach(tmp_path: Path) -> AsyncIterator[Reach]:
    """Makes targets."""
    found = Reach(tmp_path)
    yield found
    await found.stop()


@pytest.fixture
def target(reach: Reach, server: Podman) -> Target:
    """The target of that project."""
    return reach.target(server.socket, project=PROJECT)


async def test_what_docker_compose_made_is_seen(server: Podman, target: Target) -> None:
    """Containers, figures and both kinds of logs; nothing of the environment, no password."""
    found = await target.read("ps")
    assert found.headline == "real · 2 of 2 running"
    assert found.table is not None
    assert [row[0] for row in found.table.rows] == ["instance-manager-1", "intelligent-router-1"]
    figures = await target.read("stats")
    assert figures.table is not None
    assert figures.table.rows[0][3] == "64m"
    assert figures.lines == ("This engine does not measure CPU twice, so there is no share of it.",)
    lines = await target.read("logs", **ONE)
    assert lines.text.splitlines()[0].startswith("connecting with password=")
    assert lines.text.splitlines()[1] == "started"
    assert (await target.read("logs", **TWO)).text == "started"
    assert "hunter2" not in str(lines)
    assert SECRET not in str((found, figures, lines))


async def test_a_restart_is_one(server: Podman, reach: Reach, target: Target) -> None:
    """The same container, started later."""
    before = server.named("instance-manager", 1, PROJECT)
    assert (await reach.ran(target, await target.plan("restart", **ONE))).kind == "done"
    after = server.named("instance-manager", 1, PROJECT)
    assert after["Id"] == before["Id"]
    assert after["State"]["StartedAt"] > before["State"]["StartedAt"]


async def test_copies_are_compose_s_own(server: Podman, reach: Reach, target: Target, stack: Path) -> None:
    """docker-compose counts them as its containers, and `up` takes back what its file does not say."""
    plan = await target.plan("scale", **ONE, replicas=3)
    assert SECRET not in str(plan.to_data())
    assert (await reach.ran(target, plan)).text == "instance-manager runs 3 replicas"
    copy = server.named("instance-manager", 3, PROJECT)
    first = server.named("instance-manager", 1, PROJECT)
    assert copy["Name"] == "/real_instance-manager_3"
    assert f"API_KEY={SECRET}" in copy["Config"]["Env"]
    assert copy["Config"]["Cmd"] == first["Config"]["Cmd"]
    assert copy["HostConfig"]["Memory"] == first["HostConfig"]["Memory"]
    assert len(server.compose(stack, "-p", PROJECT, "ps", "-q", "instance-manager").split()) == 3
    server.compose(stack, "-p", PROJECT, "up", "-d", "--no-recreate")
    assert server.running("instance-manager", PROJECT) == [1]
    assert server.named("instance-manager", 1, PROJECT)["Id"] == first["Id"]


async def test_fewer_and_none(server: Podman, reach: Reach, target: Target) -> None:
    """The newest goes; of the last one the container stays, and is started again."""
    await reach.ran(target, await target.plan("scale", **TWO, replicas=2), "wb-1")
    assert server.running("intelligent-router", PROJECT) == [1, 2]
    await reach.ran(target, await target.plan("scale", **TWO, replicas=1), "wb-2")
    assert server.running("intelligent-router", PROJECT) == [1]
    await reach.ran(target, await target.plan("scale", **ONE, replicas=0), "wb-3")
    assert server.running("instance-manager", PROJECT) == []
    assert (await target.read("ps", **ONE)).headline == "instance-manager · production · 0 of 1 running"
    await reach.ran(target, await target.plan("scale", **ONE, replicas=1), "wb-4")
    assert server.running("instance-manager", PROJECT) == [1]


async def test_limits_of_what_runs_are_not_podman_s(server: Podman, reach: Reach, target: Target) -> None:
    """Version 4 has no such call: a sentence, and nothing was changed."""
    plan = await target.plan("memory", **ONE, size="128m")
    if server.ask("GET", "/version")["Version"].startswith("4."):
        with pytest.raises(TargetError, match="cannot change the limit of a container that is there already"):
            await reach.ran(target, plan)
        assert server.named("instance-manager", 1, PROJECT)["HostConfig"]["Memory"] == 64 * 1024**2
    else:
        assert (await reach.ran(target, plan)).kind == "done"


async def test_safety_14_only_the_containers_of_the_plan(
    server: Podman, reach: Reach, target: Target
) -> None:
    """One that came, and one that is no longer the one to go: drift, and a run touches none of them."""
    stale = [await target.plan("restart", **TWO), await target.plan("scale", **TWO, replicas=2)]
    for number in (2, 3):
        server.make("intelligent-router", number, Wanted(), PROJECT)
    second, third = (server.named("intelligent-router", number, PROJECT)["Id"] for number in (2, 3))
    server.ask("POST", f"/containers/{third}/stop")
    stale.append(await target.plan("scale", **TWO, replicas=1))
    assert any(
        note.startswith("intelligent-router-2 will be stopped and removed") for note in stale[-1].notes
    )
    server.ask("POST", f"/containers/{third}/start")
    server.ask("POST", f"/containers/{second}/stop")
    before = [(each["Id"], each["State"]["StartedAt"]) for each in server.containers(PROJECT)]
    for plan in stale:
        assert drift(plan, *await target.observe(plan))
        with pytest.raises(TargetError, match="no longer as it was planned, so nothing was changed"):
            await reach.ran(target, plan)
    assert [(each["Id"], each["State"]["StartedAt"]) for each in server.containers(PROJECT)] == before
    for ident in (second, third):
        server.ask("DELETE", f"/containers/{ident}", force="1")


async def test_safety_33_a_gateway_that_does_not_wait(server: Podman, reach: Reach, tmp_path: Path) -> None:
    """504 to everything, after Podman has done it: Podman shows it, and every request is sent once."""
    async with Gateway(server.socket, tmp_path / "gateway.sock") as gateway:
        target = reach.target(gateway.socket, project=PROJECT)
        gateway.late = ("/restart", "/create", "/start", "/stop")
        for verb, more, requests in (("restart", {}, 1), ("scale", {"replicas": 2}, 2)):
            gateway.sent.clear()
            plan = await target.plan(verb, **TWO, **more)
            outcome = await reach.ran(target, plan)
            assert (outcome.kind, dict(outcome.after)) == ("done", dict(plan.after)), outcome.text
            assert outcome.text.count("the engine answers 504 Gateway Timeout") == requests
            assert len(gateway.sent) == requests
        gateway.sent.clear()
        gone = server.named("intelligent-router", 2, PROJECT)["Id"]
        gateway.late = ("/stop", gone)
        outcome = await reach.ran(target, await target.plan("scale", **TWO, replicas=1))
        assert outcome.kind == "done", outcome.text
        assert [sent.rpartition("/")[2] for sent in gateway.sent] == ["stop", gone]
    assert server.running("intelligent-router", PROJECT) == [1]
