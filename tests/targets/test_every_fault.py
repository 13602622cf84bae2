"""What the other tests of faults leave out: for each target the answers that come in full and are still none.

| target | the rest is in |
| --- | --- |
| Redis | test_redis_faults.py, test_redis_reads.py |
| Kubernetes | test_kubernetes_faults.py, test_kubernetes_probe.py |
| PostgreSQL, Prometheus, Alertmanager, HTTP, health | the file of the target's name |
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.clock import VirtualClock
from commands.actions import Target, TargetError
from commands.catalogue import Service
from tests.contracts.target_rigs import START
from tests.servers.cable import Cable, Fault
from tests.servers.certificates import Authority
from tests.targets.postgres_world import fields, on_postgres, shared, target_of
from tests.targets.web_targets import progress, shown, targets

HUGE = 10 * 1024**2  # bytes
PLANTED = "password=Sw0rdfish-4711"


def answer(status: str, body: bytes, *more: str, length: int | None = None) -> bytes:
    """A whole answer of HTTP; `length` may promise another length than the body has."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *more]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


# Fault → what is answered.
ANSWERS: dict[str, bytes] = {
    "huge": answer("200 OK", b'{"status":"success","data":"' + b"x" * HUGE + b'"}'),
    "invalid UTF-8": answer("200 OK", b'{"status":"success","data":"\xff\xfe"}'),
    "no JSON": answer("200 OK", b"<html><body>Welcome</body></html>"),
    "half": answer("200 OK", b'{"status":"succ', length=1000),
    "no length that is one": answer("200 OK", b"{}", "Transfer-Encoding: chunked"),
    "wrong credentials": answer("401 Unauthorized", f"who are you, {PLANTED}?".encode()),
    "forbidden": answer("403 Forbidden", PLANTED.encode()),
    "moved": answer("302 Found", b"", "Location: http://127.0.0.1:1/elsewhere"),
    "broken": answer("500 Internal Server Error", f"{'x' * 190} {PLANTED}".encode()),
    "something else": answer("200 OK", b'{"status":"success","data":{"resultType":"matrix","result":7}}'),
}


@asynccontextmanager
async def odd(reply: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that gives every request this answer."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=context)
    try:
        scheme = "https" if context else "http"
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


Look = Callable[[dict[str, Target]], Awaitable[Any]]
PROMETHEUS: tuple[str, Look] = (
    "prometheus",
    lambda made: made["prometheus"].read("query", expression="up", over=None),
)
ALERTMANAGER: tuple[str, Look] = (
    "alertmanager",
    lambda made: made["alertmanager"].read("alerts", matchers=None),
)
HEALTH: tuple[str, Look] = ("health", lambda made: made["health"].read("metrics", service="odd"))


async def told(folder: Path, driver: str, look: Look, url: str, **more: Any) -> str:
    """The sentence with which a look fails, or what it shows."""
    section = {"driver": driver, **({} if driver == "health" else {"url": url}), **more}
    service = Service("odd", runtime="none", cluster="none", metrics=f"{url}/metrics", health={"all": url})
    async with targets(folder, services={"odd": service}, patience=5.0, odd=section) as made:
        try:
            return shown(await look(made))
        except TargetError as error:
            return f"! {error}"


@pytest.mark.parametrize(("driver", "look"), [PROMETHEUS, ALERTMANAGER, HEALTH])
async def test_safety_33_answers_that_are_none(tmp_path: Path, driver: str, look: Look) -> None:
    """SAFETY 20, 33: one sentence each, bounded, without what is secret in it."""
    for fault, reply in ANSWERS.items():
        async with odd(reply) as url:
            said = await told(tmp_path, driver, look, url)
        assert "Sw0rdfish" not in said, fault
        assert len(said) < 500, fault
        if driver == "health" and fault in ("invalid UTF-8", "no JSON", "something else"):
            continue  # metrics are text, whatever it is
        assert said.startswith("! "), fault
        assert said.endswith("."), fault
        if fault == "huge":
            assert "more than 2 MB" in said


@pytest.mark.parametrize(("driver", "look"), [PROMETHEUS, ALERTMANAGER, HEALTH])
async def test_safety_33_a_certificate_of_nobody(tmp_path: Path, driver: str, look: Look) -> None:
    """Not believed without `ca_file`, believed with it, and not for another host's name."""
    known, certificate, key = Authority().write(tmp_path, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with odd(ANSWERS["broken"], context) as url:
        assert "certificate that I do not trust" in await told(tmp_path, driver, look, url)
        believed = await told(tmp_path, driver, look, url, ca_file=str(known))
        assert "500 Internal Server Error" in believed
        elsewhere = await told(
            tmp_path, driver, look, url.replace("127.0.0.1", "localhost"), ca_file=str(known)
        )
        assert "certificate that I do not trust" in elsewhere


async def test_safety_33_health_of_endpoints_that_answer_nonsense(tmp_path: Path) -> None:
    """A cross with the reason for each; the answers of others go on."""
    section = {"driver": "health"}
    async with odd(b"\xff\xfe\x00") as nonsense, odd(ANSWERS["half"]) as half, odd(b"") as mute:
        health = {"nonsense": nonsense, "half": half, "mute": mute}
        service = Service("odd", runtime="none", cluster="none", health=health)
        async with targets(tmp_path, services={"odd": service}, patience=5.0, odd=section) as made:
            found = await made["health"].read("health", service="odd")
    assert found.headline == "odd · production · health: 0 of 3 well"
    assert all(line.startswith("✗ ") for line in found.lines)


@pytest.mark.parametrize("how", ["silent", "half", "huge", "garbage"])
async def test_safety_33_a_change_of_postgres_whose_answer_is_none(tmp_path: Path, how: Fault) -> None:
    """Unknown with what is shown now; it was sent once at most, and following claims no more than it can see."""
    shop = shared()
    shop.fresh()
    pid = shop.sleeper()
    async with Cable(shop.server.port) as cable:
        made = target_of(
            on_postgres(fields(cable.port, timeout="1s"), {"shop": {}}), tmp_path, VirtualClock(START)
        )
        try:
            plan = await made.plan("terminate", pid=str(pid))
            cable.fault(how, b"pg_terminate_backend")
            async with asyncio.timeout(20):
                outcome = await made.run(plan, key="wb-1", progress=progress)
            assert outcome.kind == "unknown"
            assert "PostgreSQL shop shows process=" in outcome.text
            assert shop.count("wb-1") == (how == "half")
            cable.heal()
            async with asyncio.timeout(20):
                followed = await made.follow(plan, key="wb-1", progress=progress)
            assert (followed is not None) == (how == "half")
            assert shop.count("wb-1") == (how == "half")
        finally:
            await made.stop()  # type: ignore[attr-defined]
            shop.close()
