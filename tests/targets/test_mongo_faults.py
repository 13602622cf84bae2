"""MongoDB at the end of a bad cable: every fault has its outcome, nothing hangs, and nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from pymongo.errors import ConfigurationError

from bot.redact import Redactor
from bot.targets.guard import UnreachableError
from bot.targets.mongo_link import CHANGES as SENT
from bot.targets.mongo_link import LOOKS as ASKED
from bot.targets.mongo_link import Access, Link, address
from commands.actions import Outcome, Target, TargetError
from tests.servers.cable import Cable, Fault
from tests.servers.mongo_server import StandIn
from tests.targets.conftest import progress
from tests.targets.mongo_world import fields, fresh, on_mongo, target_of

TIMEOUT = "2s"  # for a request; what is answered is answered within that on a busy machine, too
BOUND = 15.0  # seconds within which whatever happens has ended, on a busy machine

# Fault → what a look says.
LOOKS: dict[Fault, str] = {
    "silent": "did not answer within",
    "half": "did not answer within",
    "cut": "the connection broke",
    "huge": "sent an answer that nobody understands",
    "garbage": "sent an answer that nobody understands",
}
# Fault → what is said of a change whose request was sent, and whether it arrived.
CHANGES: dict[Fault, tuple[str, bool]] = {
    "silent": ("no answer came after the request was sent", False),
    "half": ("no answer came after the request was sent", True),
    "cut": ("the connection broke after the request was sent", True),
    "huge": ("an answer came that nobody understands after the request was sent", False),
    "garbage": ("an answer came that nobody understands after the request was sent", False),
}


@pytest.fixture
def server() -> StandIn:
    """The stand-in as new."""
    return fresh()


@pytest.fixture
async def cable(server: StandIn) -> AsyncIterator[Cable]:
    """To be cut."""
    async with Cable(server.port) as found:
        yield found


@pytest.fixture
async def far(cable: Cable, tmp_path: Path) -> AsyncIterator[Target]:
    """The target behind the cable."""
    target = target_of(on_mongo(fields(cable.port, timeout=TIMEOUT)), tmp_path)
    yield target
    await target.stop()  # type: ignore[attr-defined]


@pytest.fixture
async def patient(cable: Cable, tmp_path: Path) -> AsyncIterator[Target]:
    """The same with time, where every answer comes."""
    target = target_of(on_mongo(fields(cable.port, timeout="20s")), tmp_path)
    yield target
    await target.stop()  # type: ignore[attr-defined]


async def bounded(call: Awaitable[object]) -> object:
    """What it gives, within the bound."""
    async with asyncio.timeout(BOUND):
        return await call


@pytest.mark.parametrize("fault", LOOKS)
async def test_safety_33_a_look_fails_with_a_sentence(
    far: Target, cable: Cable, server: StandIn, fault: Fault
) -> None:
    """Reads, plans and observations; once it is mended, all is well."""
    op = server.begins()
    plan = await far.plan("killop", op=op)
    calls: tuple[tuple[Callable[[], Awaitable[object]], bytes], ...] = (
        (lambda: far.read("status"), b"serverStatus"),
        (lambda: far.plan("killop", op=op), b"currentOp"),
        (lambda: far.observe(plan), b"currentOp"),
    )
    for call, when in calls:
        cable.fault(fault, when)
        with pytest.raises(TargetError, match=LOOKS[fault]) as raised:
            await bounded(call())
        cable.heal()
        assert str(raised.value).endswith(".")
    assert "answers" in (await far.read("status")).headline
    assert server.kills() == 0


async def test_nobody_listens(far: Target, cable: Cable, server: StandIn) -> None:
    """A change has sent nothing; whoever comes back is found again."""
    plan = await far.plan("killop", op=server.begins())
    await cable.refuse()
    with pytest.raises(UnreachableError, match="does not answer"):
        await bounded(far.read("status"))
    with pytest.raises(UnreachableError, match="connection refused"):
        await bounded(far.read("status"))
    with pytest.raises(TargetError, match="refused"):
        await bounded(far.run(plan, key="wb-1", progress=progress))
    await cable.start()
    assert "answers" in (await far.read("status")).headline
    assert server.kills() == 0


async def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    """Neither as an address nor by an SRV record; the sentence holds no more than that."""
    for url in ("mongodb://watchbell.invalid", "mongodb+srv://watchbell.invalid"):
        target = target_of(on_mongo({"url": url, "tls": False, "timeout": TIMEOUT}), tmp_path)
        with pytest.raises(TargetError, match=r"not found|did not answer|cannot be reached") as raised:
            await bounded(target.read("status"))
        assert len(str(raised.value)) < 300
        await target.stop()  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", CHANGES)
async def test_safety_33_a_change_without_an_answer_is_unknown(
    far: Target, cable: Cable, server: StandIn, fault: Fault
) -> None:
    """It is never sent again; where what is running proves it, following says so."""
    told, arrives = CHANGES[fault]
    plan = await far.plan("killop", op=server.begins())
    cable.fault(fault, b"killOp")
    outcome = await bounded(far.run(plan, key="wb-1", progress=progress))
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "unknown"
    assert told in outcome.text
    assert ("shows no such operation any more" if arrives else "still shows it") in outcome.text
    assert bytes(cable.requests).count(b"killOp") == 1
    assert server.kills("wb-1") == arrives
    cable.heal()
    followed = await bounded(far.follow(plan, key="wb-1", progress=progress))
    assert (followed is not None) == arrives
    assert bytes(cable.requests).count(b"killOp") == 1


async def test_a_proof_that_does_not_come_is_unknown(far: Target, cable: Cable, server: StandIn) -> None:
    """The server said yes, which says nothing, and then no more."""
    plan = await far.plan("killop", op=server.begins())
    usual = cable.strikes
    sent = False

    def strikes(request: bytes) -> Fault | None:
        nonlocal sent
        found = usual(request)
        sent = sent or b"killOp" in request
        return "silent" if sent and b"killOp" not in request else found

    cable.strikes = strikes  # type: ignore[method-assign]
    outcome = await bounded(far.run(plan, key="wb-1", progress=progress))
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "unknown"
    assert "was told to end. MongoDB shop did not answer" in outcome.text


@pytest.mark.parametrize("code", [8, 13, 50, 11601])
async def test_what_the_server_says_no_to_changed_nothing(
    patient: Target, server: StandIn, code: int
) -> None:
    plan = await patient.plan("killop", op=server.begins())
    server.does("set", error={"code": code, "errmsg": "no\n  \u202esuch luck " + "x" * 500})
    with pytest.raises(TargetError) as raised:
        await patient.run(plan, key="wb-1", progress=progress)
    assert len(str(raised.value)) < 300
    assert "\n" not in str(raised.value)
    assert server.kills() == 0


@pytest.mark.parametrize("before", [140, 150, 160, 170, 175, 180, 190, 199])
async def test_safety_20_an_error_is_redacted_before_it_is_cut(
    patient: Target, server: StandIn, before: int
) -> None:
    """Half of an address does not look like one; and whatever is known as a secret is not there in part."""
    url = "mongodb://admin:Tr0ub4dor-and-3-more-words@10.0.0.7:27017/"
    server.does("set", error={"code": 96, "errmsg": f"{'x' * before} {url}"})
    with pytest.raises(TargetError) as raised:
        await patient.read("status")
    assert "Tr0u" not in str(raised.value)
    assert len(str(raised.value)) < 240


async def test_safety_20_the_driver_s_own_words_are_redacted_before_they_are_cut(cable: Cable) -> None:
    """What it says of a configuration that it does not like."""
    access = Access(tls=False, redact=Redactor(known_values=["Tr0ub4dor"]).redact)
    link = Link("shop", address(f"mongodb://127.0.0.1:{cable.port}"), "shop", access)
    said = link._failure(ConfigurationError("y" * 196 + " Tr0ub4dor"))
    assert "Tr0" not in str(said)
    assert "cannot be reached as it is configured" in str(said)


async def test_only_commands_of_a_list_are_ever_sent(far: Target, cable: Cable, server: StandIn) -> None:
    """Whatever asks for another one is wrong, and finds nobody who sends it."""
    link = Link("shop", address(f"mongodb://127.0.0.1:{cable.port}"), "shop", Access(tls=False))
    assert ASKED & {"insert", "update", "delete", "eval", "mapReduce", "getMore", "killOp", "drop"} == set()
    assert set(SENT) == {"killOp"}
    for command in (
        {"drop": "orders"},
        {"killOp": 1, "op": 1},
        {"aggregate": "orders", "pipeline": [{"$currentOp": {}}]},
        {"aggregate": 1, "pipeline": [{"$out": "orders"}]},
        {"aggregate": 1, "pipeline": [{"$currentOp": {}}, {"$out": "orders"}]},
        {"explain": {"delete": "orders"}},
    ):
        with pytest.raises(ValueError, match=r"never sent|only|takes"):
            await link.look(dict(command))
    with pytest.raises(ValueError, match="never sent"):
        await link.change({"drop": "orders"})
    assert not cable.requests
