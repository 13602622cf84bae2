"""An engine, or a gateway before it, that answers a change with an error: what the engine shows afterwards counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from commands.actions import Target
from tests.servers.engine_api import Wanted
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import ONE, TWO, Reach, fresh

# The request that is answered with an error → the change that it is a part of.
REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "POST .*/restart": ("restart", ONE),
    "POST .*/update": ("memory", {**ONE, "size": "128m"}),
    "POST .*/create": ("scale", {**ONE, "replicas": 2}),
    "POST .*/connect": ("scale", {**ONE, "replicas": 2}),
    "POST .*/start": ("scale", {**ONE, "replicas": 2}),
    "POST .*/stop": ("scale", {**TWO, "replicas": 1}),
    "DELETE .*": ("scale", {**TWO, "replicas": 1}),
    "POST .*/stop$": ("scale", {**ONE, "replicas": 0}),
}
# The error → whether it is the engine's own, which has ended its work by then.
ERRORS = {(500, False): True, (500, True): False, (504, False): False}


@pytest.fixture
def server() -> EngineServer:
    """A project as untouched as a new one, one service of which is in two networks."""
    found = fresh()
    networks = {"stack_default": {"Aliases": ["instance-manager"]}}
    found.ask("DELETE", f"/containers/{found.named('instance-manager')['Id']}", force="1")
    first = found.make("instance-manager", 1, Wanted(networks=networks))
    found.ask("POST", "/networks/stack_back/connect", {"Container": first, "EndpointConfig": {}})
    return found


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


@pytest.mark.parametrize("request_", REQUESTS)
async def test_safety_33_what_was_done_before_the_error_is_done(
    server: EngineServer, reach: Reach, target: Target, request_: str
) -> None:
    """Whoever sent the error: the engine shows it, the change goes on, and nothing is sent again."""
    verb, args = REQUESTS[request_]
    for status, plain in ERRORS:
        plan = await target.plan(verb, **args)
        server.fail(request_, status, "upstream timed out", done=True, plain=plain)
        sent = len(server.sent())
        outcome = await reach.ran(target, plan)
        assert outcome.kind == "done", outcome.text
        assert outcome.text.startswith(f"{plan.done}; the engine answers {status} ")
        assert outcome.text.endswith(": upstream timed out, but it was done")
        assert dict(outcome.after) == dict(plan.after)
        assert len([line for line in server.sent()[sent:] if re.search(request_, line)]) == 1
        if verb == "memory":
            server.ask(
                "POST", f"/containers/{server.named('instance-manager')['Id']}/update", {"Memory": 64 << 20}
            )
        elif verb == "scale":
            back = {"service": args["service"], "replicas": plan.before["replicas"]}
            assert (await reach.ran(target, await target.plan("scale", **back), "wb-2")).kind == "done"


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("error", ERRORS)
async def test_safety_33_what_was_not_done_is_failed_only_where_the_engine_says_so(
    server: EngineServer, reach: Reach, target: Target, request_: str, error: tuple[int, bool]
) -> None:
    """A gateway's error does not end the engine's work: that nothing has been changed yet proves nothing."""
    verb, args = REQUESTS[request_]
    status, plain = error
    plan = await target.plan(verb, **args)
    server.fail(request_, status, "password=hunter2-xyz is wrong", plain=plain)
    outcome = await reach.ran(target, plan)
    assert outcome.kind == ("failed" if ERRORS[error] else "unknown"), outcome.text
    assert f"the engine answers {status} " in outcome.text
    assert ("nothing proves whether it is done" in outcome.text) == (outcome.kind == "unknown")
    assert "Docker shows " in outcome.text
    assert "hunter2" not in outcome.text


async def test_safety_33_whoever_cannot_look_again_knows_nothing(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """The engine's own error, and then no answer to what came of it."""
    plan = await target.plan("restart", **ONE)

    async def progress(done: int, _total: int, _what: str) -> None:
        if done == 0:
            server.fail("POST .*/restart", 500, "it broke")
            server.fail("GET .*/containers/.*", 500, "it is broken", count=3)

    outcome = await reach.through(asyncio.ensure_future(target.run(plan, key="wb-1", progress=progress)))
    assert outcome.kind == "unknown"
    assert "what came of it does not show" in outcome.text


async def test_safety_33_a_container_that_is_gone_after_the_error_is_unknown(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """Neither restarted nor as it was."""
    plan = await target.plan("restart", **ONE)

    async def progress(done: int, _total: int, _what: str) -> None:
        if done == 0:
            server.fail("POST .*/restart", 500, "it broke")
            server.ask("DELETE", f"/containers/{server.named('instance-manager')['Id']}", force="1")

    outcome = await reach.through(asyncio.ensure_future(target.run(plan, key="wb-1", progress=progress)))
    assert outcome.kind == "unknown"
    assert "Docker shows no container of it" in outcome.text


async def test_safety_33_a_limit_that_is_another_one_after_the_error_is_unknown(
    server: EngineServer, reach: Reach, target: Target
) -> None:
    """Neither the planned one nor the former."""
    plan = await target.plan("memory", **ONE, size="128m")

    async def progress(done: int, _total: int, _what: str) -> None:
        if done == 0:
            server.fail("POST .*/update", 500, "it broke", count=2)
            ident = server.named("instance-manager")["Id"]
            host = server.inspect(ident)["HostConfig"] | {"Memory": 96 << 20, "MemorySwap": 96 << 20}
            server.call("set", container=ident, fields={"host": host})

    outcome = await reach.through(asyncio.ensure_future(target.run(plan, key="wb-1", progress=progress)))
    assert outcome.kind == "unknown"
    assert outcome.text.endswith("memory 96m.")
