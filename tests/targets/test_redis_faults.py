"""Redis at the end of a bad cable: every fault has its outcome, nothing hangs, and nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from bot.targets.guard import UnreachableError
from commands.actions import Plan, Target, TargetError
from incidents.ports import RefusedError
from tests.servers.cable import HUGE, Cable, Fault
from tests.servers.redis_server import RedisServer
from tests.targets.conftest import Make, progress

TIMEOUT = 0.4  # seconds for a request
BOUND = 10.0  # seconds within which whatever happens has ended, on a busy machine

# Fault → what a look says.
LOOKS: dict[Fault, str] = {
    "silent": "did not answer within",
    "half": "did not answer within",
    "cut": "the connection to .* broke",
    "huge": "an answer of more than 8 MB",
    "garbage": "none of Redis's protocol",
}
# Fault → what is said of a change whose request was sent, whether it arrived, and whether the state proves it.
CHANGES: dict[Fault, tuple[str, bool]] = {
    "silent": ("no answer came after the request was sent", False),
    "half": ("no answer came after the request was sent", True),
    "cut": ("the connection broke after the request was sent", True),
    "huge": ("an answer came that nobody understands after the request was sent", False),
    "garbage": ("an answer came that nobody understands after the request was sent", False),
}


@pytest.fixture
def far(make: Make, cable: Cable, server: RedisServer) -> Target:
    """The target behind the cable."""
    server.admin.mset({f"cache:{n}": n for n in range(300)} | {"rate-limit:1": 1})
    return make(server.url(cable.port), timeout=TIMEOUT)


async def bounded(call: Awaitable[object]) -> object:
    """What it gives, within the bound."""
    async with asyncio.timeout(BOUND):
        return await call


@pytest.mark.parametrize("fault", LOOKS)
async def test_safety_33_a_look_fails_with_a_sentence(
    far: Target, cable: Cable, server: RedisServer, fault: Fault
) -> None:
    """Reads, plans and observations; once it is mended, all is well."""
    plan = await far.plan("policy", policy="noeviction")
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: far.read("info"),
        lambda: far.plan("maxmemory", size="1gb"),
        lambda: far.observe(plan),
    )
    for call in calls:
        cable.fault(fault, b"INFO", times=2)  # where a connection breaks, the question is asked once more
        with pytest.raises(TargetError, match=LOOKS[fault]) as raised:
            await bounded(call())
        cable.heal()
        assert str(raised.value).endswith(".")
    cable.heal()
    assert "PONG" in (await far.read("ping")).headline
    assert server.calls("config|set") == 0


async def test_nobody_listens(far: Target, cable: Cable) -> None:
    """Refused at once, with where; a change has sent nothing."""
    plan = await far.plan("maxmemory", size="1gb")
    await cable.refuse()
    with pytest.raises(UnreachableError, match=rf"connection to 127\.0\.0\.1:{cable.port} refused"):
        await far.read("ping")
    with pytest.raises(TargetError, match="refused"):
        await far.run(plan, key="wb-1", progress=progress)
    await cable.start()
    assert "PONG" in (await far.read("ping")).headline


@pytest.mark.parametrize("fault", CHANGES)
async def test_safety_33_a_change_without_an_answer_is_unknown(
    far: Target, cable: Cable, server: RedisServer, fault: Fault
) -> None:
    """It is never sent again; where the state proves it, following says so."""
    told, arrives = CHANGES[fault]
    plan = await far.plan("maxmemory", size="1gb")
    cable.fault(fault, b"CONFIG")
    outcome = await bounded(far.run(plan, key="wb-1", progress=progress))
    assert outcome.kind == "unknown"  # type: ignore[attr-defined]
    assert told in outcome.text  # type: ignore[attr-defined]
    assert bytes(cable.requests).count(b"CONFIG") == 1
    assert server.calls("config|set") == arrives
    cable.heal()
    followed = await bounded(far.follow(plan, key="wb-1", progress=progress))
    assert (followed is not None) == arrives
    assert bytes(cable.requests).count(b"CONFIG") == 1


async def test_safety_33_keys_that_are_gone_prove_nothing(
    far: Target, cable: Cable, server: RedisServer
) -> None:
    """They may have expired: unknown, with how many were deleted before, and never again."""
    plan = await far.plan("del", pattern="cache:*")
    cable.fault("cut", b"UNLINK")
    outcome = await far.run(plan, key="wb-1", progress=progress)
    assert outcome.kind == "unknown"
    assert "0 of 300 keys were deleted before" in outcome.text
    assert "keys=0" in outcome.text
    assert await far.follow(plan, key="wb-1", progress=progress) is None
    assert server.calls("unlink") == 1


async def test_a_transaction_cut_off_before_its_end_changes_nothing(
    far: Target, cable: Cable, server: RedisServer
) -> None:
    """A small deletion is one transaction: before EXEC nothing is gone, at EXEC nobody knows, and what went is kept."""
    plan = await far.plan("del", pattern="rate-limit:*")
    cable.fault("cut", b"DUMP")
    with pytest.raises(TargetError, match=r"broke\. Nothing was changed\."):
        await far.run(plan, key="wb-1", progress=progress)
    cable.fault("cut", b"UNLINK")
    with pytest.raises(TargetError, match="before anything was changed"):
        await far.run(plan, key="wb-1", progress=progress)
    assert server.admin.exists("rate-limit:1")
    with pytest.raises(RefusedError, match="hold nothing"):
        await far.plan("restore", pattern="rate-limit:*")
    cable.fault("cut", b"EXEC")
    outcome = await far.run(plan, key="wb-1", progress=progress)
    assert outcome.kind == "unknown"
    assert "redis restore brings back what is gone. Redis shows keys=0." in outcome.text
    assert not server.admin.exists("rate-limit:1")
    await far.run(await far.plan("restore", pattern="rate-limit:*"), key="wb-2", progress=progress)
    assert server.admin.get("rate-limit:1") == "1"


async def test_a_change_that_was_done_stays_done_where_the_look_after_it_fails(
    far: Target, cable: Cable, server: RedisServer
) -> None:
    """Redis said yes: that it cannot be asked any more does not make it a failure."""
    plan: Plan = await far.plan("policy", policy="noeviction")
    await far.read("ping")  # the connection of the looks, beside that of the change
    sent = 0

    def strikes(request: bytes, usual: Callable[[bytes], Fault | None] = cable.strikes) -> Fault | None:
        nonlocal sent
        found = usual(request)
        sent += b"CONFIG" in request
        return "silent" if sent and b"INFO" in request else found

    cable.strikes = strikes  # type: ignore[method-assign]
    outcome = await far.run(plan, key="wb-1", progress=progress)
    assert (outcome.kind, outcome.after) == ("done", {"policy": "noeviction"})


async def test_a_huge_answer_is_not_taken_into_memory(far: Target, cable: Cable) -> None:
    """It is refused by its announced length."""
    cable.fault("huge", b"PING")
    began = time.perf_counter()
    with pytest.raises(TargetError, match="more than 8 MB"):
        await far.read("ping")
    assert HUGE > 8 * 1024**2
    assert time.perf_counter() - began < BOUND


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"*2\r\n$1\r\n0\r\n*1000000\r\n", "an answer of more than 8 MB"),
        (b"*1\r\n" * 20_000, "none of Redis's protocol"),
    ],
)
async def test_an_answer_of_many_parts_is_bounded_as_a_whole(make: Make, answer: bytes, told: str) -> None:
    """Each part is small enough, and they do not end; or lists stand within lists."""
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with suppress(OSError):
            while words := await reader.readline():
                for _ in range(int(words[1:])):
                    size = int((await reader.readline())[1:])
                    word = (await reader.readexactly(size + 2))[:-2]
                    words += word
                if b"INFO" in words:
                    writer.write(b"$23\r\nrun_id:abc\r\nrole:master\r\n")
                elif b"SCAN" in words:
                    writer.write(answer)
                    while True:
                        writer.write(b"$1000000\r\n" + b"x" * 1_000_000 + b"\r\n")
                        await writer.drain()
                        sent += 1_000_000
                else:
                    writer.write(b"+OK\r\n")
        writer.close()

    async with await asyncio.start_server(endless, "127.0.0.1", 0) as answering:
        port = answering.sockets[0].getsockname()[1]
        target = make(f"redis://127.0.0.1:{port}/0", timeout=20)
        with pytest.raises(TargetError, match=told):
            await target.read("keys", pattern="a*")
    assert sent < 40_000_000, "what the system holds between the two ends is some megabytes"


async def test_a_server_that_loads_its_data_or_has_no_room(make: Make, server: RedisServer) -> None:
    """What Redis says no to is a failure, not a riddle: nothing was changed."""
    server.admin.set("rate-limit:1", "x")
    target = make(server.url())
    plan = await target.plan("del", pattern="rate-limit:*")
    await target.run(plan, key="wb-1", progress=progress)
    back = await target.plan("restore", pattern="rate-limit:*")
    server.admin.config_set("maxmemory-policy", "noeviction")
    server.admin.config_set("maxmemory", 1)
    with pytest.raises(TargetError, match="says no: command not allowed when used memory"):
        await target.run(back, key="wb-2", progress=progress)


async def test_a_server_without_tls_is_named(make: Make, server: RedisServer) -> None:
    """One that waits for more, as Redis does, and one that answers the handshake in the clear."""
    silent = make(server.url().replace("redis://", "rediss://"), timeout=1)
    with pytest.raises(TargetError, match=r"within 1 s; it may speak no TLS \(then write redis://"):
        await silent.read("ping")

    async def clear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"-ERR unknown command\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(clear, "127.0.0.1", 0) as answering:
        port = answering.sockets[0].getsockname()[1]
        with pytest.raises(TargetError, match="speaks no TLS; write redis:// if that is meant to be"):
            await make(f"rediss://127.0.0.1:{port}/0").read("ping")
