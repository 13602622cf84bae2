"""What a compose project shows: containers, figures and logs, of this project only, without their secrets."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.redact import Redactor
from bot.targets.compose_logs import frames
from commands.actions import Target, TargetError
from incidents.ports import RefusedError
from tests.contracts.compose_rig import MIB
from tests.servers.engine_api import Wanted
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import ONE, TWO, Reach, fresh

SECRET = "hunter2-of-the-environment"


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


async def test_ps_shows_every_container_and_what_ails_it(server: EngineServer, target: Target) -> None:
    """Counts in the first line; exit codes, memory and health beside the rows."""
    found = await target.read("ps")
    assert found.headline == "stack · 3 of 3 running"
    assert found.table is not None
    assert [row[:3] for row in found.table.rows] == [
        ("instance-manager-1", "running", "–"),
        ("intelligent-router-1", "running", "–"),
        ("intelligent-router-2", "running", "–"),
    ]
    ident = server.named("intelligent-router", 2)["Id"]
    server.call(
        "set", container=ident, fields={"status": "exited", "exit_code": 137, "oom": True, "restarts": 4}
    )
    first = server.named("intelligent-router", 1)["Id"]
    server.call("set", container=first, fields={"health": "unhealthy"})
    found = await target.read("ps", **TWO)
    assert found.headline == "intelligent-router · production · 1 of 2 running"
    assert found.table is not None
    assert found.table.remarks == ("unhealthy", "out of memory")
    assert found.table.rows[1][3] == "4"
    widths = [max(len(row[n]) for row in (found.table.columns, *found.table.rows)) for n in range(5)]
    assert sum(widths) + 2 * 4 <= 60


async def test_other_projects_and_one_off_containers_are_not_there(
    server: EngineServer, target: Target
) -> None:
    """Whatever they are called, and whatever the engine's filter lets through."""
    server.make("instance-manager", 1, Wanted(), project="other")
    server.make("instance-manager", 8, Wanted(), oneoff="True")
    found = await target.read("ps", **ONE)
    assert found.table is not None
    assert [row[0] for row in found.table.rows] == ["instance-manager-1"]
    with pytest.raises(
        RefusedError, match="does not run in the compose project of stack: its `cluster` says sandbox"
    ):
        await target.read("ps", service="postgres")
    with pytest.raises(RefusedError, match="There is no compose target"):
        await target.read("ps", cluster="elsewhere")


async def test_stats_are_those_of_docker(server: EngineServer, target: Target) -> None:
    """Per cent of one core; memory without what is only cached; near its limit is said."""
    ident = server.named("instance-manager")["Id"]
    server.call("set", container=ident, fields={"usage": 60 * MIB})
    found = await target.read("stats")
    assert found.headline == "stack · 3 containers running"
    assert found.table is not None
    assert found.table.rows[0] == ("instance-manager-1", "10.0 %", "60m", "64m", "94 %")
    assert found.table.remarks[0] == "near its limit"
    assert found.table.rows[1] == ("intelligent-router-1", "10.0 %", "40m", "–", "–")


async def test_logs_are_merged_by_time_and_searched(server: EngineServer, target: Target) -> None:
    """Both streams of every container, or of one; what is no UTF-8 or has colours comes as harmless text."""
    first, second = (server.named("intelligent-router", n)["Id"] for n in (1, 2))
    server.log(first, b"one", at="2026-11-21T12:00:01.5Z")
    server.log(second, b"two ERROR", at="2026-11-21T12:00:02Z", stream=2)
    server.log(first, b"three \xff\xfe\x1b[31mred\x00", at="2026-11-21T12:00:03Z")
    found = await target.read("logs", **TWO)
    assert found.headline == "intelligent-router · production · 3 lines"
    assert found.text.splitlines()[:2] == ["intelligent-router-1 one", "intelligent-router-2 two ERROR"]
    assert "three \\xff\\xfe" in found.text
    assert all(c.isprintable() or c == "\n" for c in found.text)
    assert (await target.read("logs", **TWO, grep="error")).text == "intelligent-router-2 two ERROR"
    assert (await target.read("logs", **TWO, container=1, tail=1)).text.startswith("three")
    with pytest.raises(RefusedError, match="has no container 3; there are 2"):
        await target.read("logs", **TWO, container=3)
    assert (await target.read("logs", **ONE)).lines == ("Nothing in that time.",)


@pytest.mark.parametrize("tail", [1, 50, 91, 100, 117])
async def test_safety_20_a_key_that_the_number_of_lines_cuts(
    server: EngineServer, target: Target, tail: int
) -> None:
    """More lines are read than are shown; where a key began before them all, its end is enough."""
    ident = server.named("instance-manager")["Id"]
    key = [b"-----BEGIN RSA PRIVATE KEY-----", *[b"MIIEpAIBAAKCAQEA"] * 120, b"-----END RSA PRIVATE KEY-----"]
    plain = [b"line %d" % number for number in range(90)]
    server.log(ident, b"first", *key[:26], key[-1], *plain)
    found = (await target.read("logs", **ONE, tail=tail)).text.splitlines()
    assert found == ["first", "‹redacted›", *(line.decode() for line in plain)][-tail:]
    server.log(ident, *key, *plain)
    found = (await target.read("logs", **ONE, tail=tail)).text.splitlines()
    assert found[-min(tail, 91) :] == ["‹redacted›", *(line.decode() for line in plain)][-tail:]
    assert not any("MIIE" in line for line in found)


async def test_logs_of_ten_containers_leave_turns_to_everybody_else(
    server: EngineServer, target: Target
) -> None:
    """A counter goes on between the pieces of one and the same log, of which each has seven."""
    for number in range(3, 11):
        server.make("intelligent-router", number, Wanted())
    for number in range(1, 11):
        server.log(server.named("intelligent-router", number)["Id"], *[b"_key" * 500] * 60)
    turns = 0

    async def counting() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    seen: list[int] = []
    redact = Redactor.redact

    def noting(self: Redactor, text: str) -> str:
        seen.append(turns)
        return redact(self, text)

    counter = asyncio.create_task(counting())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Redactor, "redact", noting)
        found = await target.read("logs", **TWO, since=10**6)
    counter.cancel()
    assert found.headline.endswith("100 lines")
    assert len(set(seen)) >= 6, "logs were told without a turn for anybody else"


async def test_one_line_of_more_than_is_read_shows_its_beginning(
    server: EngineServer, target: Target
) -> None:
    """However few lines are asked for it is cut: in a word, maybe in a secret."""
    ident = server.named("instance-manager")["Id"]
    server.log(ident, b"before", b"begins " + b"Tr0ub4dor-of-100-letters " * 60_000)
    found = await target.read("logs", **ONE, tail=1)
    assert found.text.startswith("begins ")
    assert found.text.endswith("Tr0ub4dor-of-100-letters …")
    assert len(found.text) < 20_000


async def test_logs_of_a_terminal_are_no_frames(server: EngineServer, target: Target) -> None:
    """They come as they are."""
    ident = server.make("intelligent-router", 3, Wanted(config={"Tty": True}))
    server.log(ident, b"typed", b"more")
    assert (await target.read("logs", **TWO, container=3)).text == "typed\nmore"


async def test_long_lines_cost_lines_and_not_memory(server: EngineServer, target: Target) -> None:
    """More than 1 MB of a container: fewer lines are asked for, the newest stay."""
    ident = server.named("instance-manager")["Id"]
    server.log(ident, *(b"%d " % n + b"x" * 20_000 for n in range(400)))
    found = await target.read("logs", **ONE, tail=400)
    assert found.lines[0] == "instance-manager-1 writes long lines; only the last 50 were read"
    assert len(found.text) < 2 * MIB
    assert found.text.splitlines()[-1].startswith("399 ")


async def test_a_log_that_cannot_be_read_is_named(server: EngineServer, target: Target) -> None:
    """Another logging driver: the engine's own words, the other containers' lines beside them."""
    server.make("intelligent-router", 3, Wanted(host={"LogConfig": {"Type": "none"}}))
    server.log(server.named("intelligent-router", 1)["Id"], b"one")
    found = await target.read("logs", **TWO)
    assert "configured logging driver does not support reading" in found.lines[0]
    assert found.text == "intelligent-router-1 one"


async def test_secrets_are_in_no_answer(server: EngineServer, target: Target) -> None:
    """Environments are never shown; logs and the engine's errors are redacted."""
    server.make("intelligent-router", 3, Wanted(config={"Env": [f"PASSWORD={SECRET}"]}))
    server.log(server.named("intelligent-router", 1)["Id"], f"connecting with password={SECRET}".encode())
    answers = [await target.read(verb, **TWO) for verb in ("ps", "stats", "logs")]
    assert "connecting with" in answers[2].text
    plan = await target.plan("scale", **TWO, replicas=4)
    server.fail("GET .*/containers/json", 500, f"cannot mount password={SECRET}")
    with pytest.raises(TargetError, match="cannot mount") as raised:
        await target.read("ps")
    for text in (*map(str, answers), str(plan.to_data()), str(raised.value)):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ((1, 43), (1, 24), "1.43"),
        ((1, 41), (1, 24), "1.41"),
        ((1, 52), (1, 44), "1.44"),
        ((1, 47), (1, 24), "1.43"),
    ],
)
async def test_the_version_of_the_api_is_agreed_upon(
    server: EngineServer, target: Target, newest: tuple[int, int], oldest: tuple[int, int], spoken: str
) -> None:
    """The one that this was written to, or the nearest that the engine has."""
    server.call("speaks", newest=newest, oldest=oldest)
    await target.read("ps")
    assert server.sent("GET")[-1].startswith(f"GET /v{spoken}/")


async def test_an_engine_that_is_too_old_is_refused(server: EngineServer, target: Target) -> None:
    """With both versions."""
    server.call("speaks", newest=(1, 40), oldest=(1, 24))
    with pytest.raises(
        TargetError, match=r"speaks version 1\.40 of its API; I need 1\.41 \(Docker 20\.10\) or later"
    ):
        await target.read("ps")


def test_frames_are_taken_apart_whatever_they_are() -> None:
    """Both streams in order, a last one that is cut off, and what are no frames at all."""
    whole = b"".join(
        struct.pack(">BxxxL", kind, len(text)) + text for kind, text in ((1, b"out\n"), (2, b"err\n"))
    )
    assert frames(whole) == b"out\nerr\n"
    assert frames(whole[:-2]) == b"out\ner"
    assert frames(whole + b"\x01\x00") == b"out\nerr\n"
    assert frames(b"plain text of no frames") == b"plain text of no frames"
    assert frames(b"") == b""
