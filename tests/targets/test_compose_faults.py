"""An engine at the end of a bad cable: every fault has its outcome, nothing hangs, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from bot.redact import Redactor
from bot.targets.compose_link import Engine
from bot.targets.guard import UnreachableError
from commands.actions import Target, TargetError
from tests.servers.cable import Cable, Fault
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import ONE, TWO, Reach, fresh

TIMEOUT = 0.4  # seconds for a request
BOUND = 20.0  # seconds within which whatever happens has ended, on a busy machine

# Fault → what a look says.
LOOKS: dict[Fault, str] = {
    "silent": "did not answer within",
    "half": "did not answer within",
    "cut": "does not answer: the connection broke|half of one",
    "huge": "no HTTP, or half of one",
    "garbage": "no HTTP, or half of one",
}
# Fault → what is said of a change whose request was sent, and whether it arrived.
CHANGES: dict[Fault, tuple[str, bool]] = {
    "silent": ("no answer came after the request was sent", False),
    "half": ("no answer came after the request was sent", True),
    "cut": ("the connection broke after the request was sent", True),
    "huge": ("an answer came that is no HTTP after the request was sent", False),
    "garbage": ("an answer came that is no HTTP after the request was sent", False),
}


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
async def cable(server: EngineServer) -> AsyncIterator[Cable]:
    """To be cut."""
    async with Cable(server.socket) as found:
        yield found


@pytest.fixture
def far(reach: Reach, cable: Cable) -> Target:
    """The target behind the cable."""
    return reach.target(cable.socket, timeout=TIMEOUT)


async def bounded(call: Awaitable[object]) -> object:
    """What it gives, within the bound."""
    async with asyncio.timeout(BOUND):
        return await call


@pytest.mark.parametrize("fault", LOOKS)
@pytest.mark.parametrize("when", [b"/version", b"/containers/json"])
async def test_safety_33_a_look_fails_with_a_sentence(
    far: Target, cable: Cable, server: EngineServer, fault: Fault, when: bytes
) -> None:
    """Reads, plans and observations, at the first request and later; once it is mended, all is well."""
    plan = await far.plan("restart", **ONE)
    sent = len(server.sent("POST"))
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: far.read("ps"),
        lambda: far.plan("scale", **TWO, replicas=3),
        lambda: far.observe(plan),
    )
    for call in calls if when != b"/version" else calls[:0]:
        cable.fault(fault, when)
        with pytest.raises(TargetError, match=LOOKS[fault]) as raised:
            await bounded(call())
        cable.heal()
        assert str(raised.value).endswith(".")
    await far.read("ps")
    await cable.refuse()
    with pytest.raises(UnreachableError):
        await far.read("ps")  # now its version is asked for again
    await cable.start()
    cable.fault(fault, when)
    with pytest.raises(TargetError, match=LOOKS[fault]):
        await bounded(far.read("ps"))
    cable.heal()
    assert "3 of 3 running" in (await far.read("ps")).headline
    assert len(server.sent("POST")) == sent


@pytest.mark.parametrize("fault", CHANGES)
@pytest.mark.parametrize("verb", ["restart", "memory"])
async def test_safety_33_a_change_without_an_answer_is_unknown(
    reach: Reach, far: Target, cable: Cable, server: EngineServer, fault: Fault, verb: str
) -> None:
    """It is never sent again; where the engine proves it, following says so."""
    told, arrives = CHANGES[fault]
    plan = await far.plan(verb, **ONE, **({"size": "128m"} if verb == "memory" else {}))
    where = b"/restart" if verb == "restart" else b"/update"
    cable.fault(fault, where)
    outcome = await bounded(reach.ran(far, plan))
    assert outcome.kind == "unknown"  # type: ignore[attr-defined]
    assert told in outcome.text  # type: ignore[attr-defined]
    assert "Docker shows instance-manager-1 running" in outcome.text  # type: ignore[attr-defined]
    assert bytes(cable.requests).count(where) == 1
    cable.heal()
    followed = await bounded(far.follow(plan, key="wb-1", progress=reach.progress))
    assert (followed is not None) == arrives
    assert bytes(cable.requests).count(where) == 1


async def test_nobody_listens(reach: Reach, far: Target, cable: Cable, server: EngineServer) -> None:
    """Refused at once, with where; a change has sent nothing."""
    plan = await far.plan("restart", **ONE)
    sent = len(server.sent("POST"))
    await cable.refuse()
    with pytest.raises(UnreachableError, match=rf"does not answer: nobody listens at {cable.socket}"):
        await far.read("ps")
    with pytest.raises(TargetError, match="nobody listens"):
        await reach.ran(far, plan)
    await cable.start()
    assert "3 of 3 running" in (await far.read("ps")).headline
    assert len(server.sent("POST")) == sent


async def test_there_is_no_socket_at_all(reach: Reach, tmp_path: Path) -> None:
    """A path that leads nowhere."""
    with pytest.raises(UnreachableError, match="nobody listens at"):
        await reach.target(tmp_path / "no.sock").read("ps")


async def test_a_socket_that_is_somebody_else_s(tmp_path: Path) -> None:
    """The sentence says who has to be let in; httpx keeps the cause of its error."""
    section = {"url": None, "socket": str(tmp_path / "x.sock"), "timeout": 1}
    engine = Engine("stack", section, Redactor())
    error = httpx.ConnectError("no")
    error.__cause__ = PermissionError(13, "Permission denied")
    assert engine.broken(error) == f"does not let me in: the user that I run as may not use {tmp_path}/x.sock"
    await engine.stop()


async def test_the_door_closes_between_two_containers(reach: Reach, far: Target, cable: Cable) -> None:
    """What was done is said, and the rest was not sent."""
    plan = await far.plan("restart", **TWO)

    async def progress(done: int, _total: int, _what: str) -> None:
        if done == 1:
            await cable.refuse()

    outcome = await reach.through(asyncio.ensure_future(far.run(plan, key="wb-1", progress=progress)))
    assert outcome.kind == "failed"
    assert outcome.text.startswith("intelligent-router-2: Docker (stack) does not answer: nobody listens at")
    assert "1 of 2 were done before" in outcome.text
    assert bytes(cable.requests).count(b"/restart") == 1


async def test_an_answer_of_another_shape_is_a_sentence(server: EngineServer, far: Target) -> None:
    """An engine that is none: JSON of any kind, no field where one should be."""
    server.fail("GET /version", 200, "hello")
    with pytest.raises(TargetError, match="does not say which version of the engine's API it speaks"):
        await far.read("ps")
    server.fail("GET .*/containers/json", 200, "hello")
    with pytest.raises(TargetError, match="something else than a list of containers"):
        await far.read("ps")
