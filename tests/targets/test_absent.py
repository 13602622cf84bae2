"""In a demo and in a rehearsal: what the sandbox does not simulate says so, after what no system would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.clock import VirtualClock
from bot.config import load
from bot.targets.build import simulated
from bot.targets.sandbox_world import World
from commands.actions import Plan, TargetError
from incidents.ports import RefusedError
from tests.contracts.target_rigs import START
from tests.safety.rig import example
from tests.targets.test_build import TOKENS, written

REAL = """db: {driver: postgres, url: 'postgresql://x/shop'},
  docs: {driver: mongo, url: 'mongodb://x'}, stack: {driver: compose, project: shop},
  alarms: {driver: alertmanager, url: 'http://x'},
  admin: {driver: http, url: 'http://x', calls: {app-max: {path: /max}, app-limit: {path: /limit, method: POST,
    args: {limit: {type: integer, maximum: 9}}}}}"""
DATABASES = """redis: {target: sandbox}}
postgres: {shop: {target: db}}
mongo: {docs: {target: docs, database: shop}"""
# Port, verb, arguments, and what is said where such a target is configured.
READS = [
    ("postgres", "ready", {"name": None}, "does not simulate PostgreSQL; `watchbell run` asks the real one."),
    ("postgres", "ready", {"name": "shpo"}, 'There is no PostgreSQL called "shpo". Did you mean shop?'),
    ("mongo", "status", {"name": "docs"}, "does not simulate MongoDB; `watchbell run` asks the real one."),
    ("mongo", "status", {"name": "x"}, 'There is no MongoDB called "x".'),
    (
        "compose",
        "ps",
        {"cluster": None},
        "does not simulate docker compose; `watchbell run` asks the real one.",
    ),
    ("compose", "ps", {"service": "nothing"}, "There is no service"),
    ("alertmanager", "alerts", {"matchers": "a=b"}, "does not simulate Alertmanager; `watchbell run` asks"),
    ("alertmanager", "alerts", {"matchers": "a b"}, "is no matcher"),
    ("http", "calls", {}, "does not make HTTP calls; `watchbell run` makes the real ones."),
    ("http", "call", {"call": "app-max", "arguments": ""}, "`watchbell run` makes the real ones."),
    ("http", "effect", {"call": "app-mx"}, 'There is no call "app-mx". Did you mean app-max?'),
]


def rehearsed(folder: Path) -> Any:
    clock = VirtualClock(START)
    settings = load(written(folder, REAL, DATABASES), TOKENS, tokens=False)
    return simulated(settings, World(folder / "world.json", clock), clock)


@pytest.mark.parametrize(("port", "verb", "args", "said"), READS)
async def test_a_look_is_refused(
    tmp_path: Path, port: str, verb: str, args: dict[str, Any], said: str
) -> None:
    """What was typed wrong is told first."""
    with pytest.raises(RefusedError) as caught:
        await rehearsed(tmp_path)[port].read(verb, **args)
    assert said in str(caught.value)


async def test_a_change_is_refused(tmp_path: Path) -> None:
    """Values are looked at, and nothing comes of them."""
    target = rehearsed(tmp_path)["http"]
    assert (await target.read("effect", call="app-limit")).headline == "change"
    assert (await target.read("effect", call="app-max")).headline == "read"
    with pytest.raises(RefusedError, match="limit"):
        await target.plan("call", call="app-limit", arguments="limit=10")
    with pytest.raises(RefusedError, match="does not make HTTP calls"):
        await target.plan("call", call="app-limit", arguments="limit=5")


@pytest.mark.parametrize("port", ["postgres", "mongo", "compose", "alertmanager", "http"])
async def test_nothing_is_ever_run(tmp_path: Path, port: str) -> None:
    """Not even a plan that was made elsewhere."""
    target = rehearsed(tmp_path)[port]
    plan = Plan(
        command="x",
        line="x",
        summary="x",
        target=port,
        verb="x",
        args={},
        subject="x",
        identity="x",
        before={},
        after={},
    )
    with pytest.raises(TargetError, match="The sandbox does not"):
        await target.observe(plan)
    with pytest.raises(TargetError, match="The sandbox does not"):
        await target.run(plan, key="wb-1", progress=print)
    assert await target.follow(plan, key="wb-1", progress=print) is None
    assert not await target.cancel(plan, key="wb-1")


async def test_without_such_a_target_it_says_where_one_would_stand(tmp_path: Path) -> None:
    """The demo has the sandbox alone."""
    clock = VirtualClock(START)
    found = simulated(example(), World(tmp_path / "world.json", clock), clock)
    for port, said in (("postgres", "asks a real one named under"), ("http", "makes real ones named under")):
        with pytest.raises(RefusedError, match=f"`watchbell run` {said} `targets:`"):
            await found[port].read("calls")


def test_a_rehearsal_of_a_configuration_with_real_systems(tmp_path: Path) -> None:
    """It is not told to add what it has."""
    path = written(tmp_path, REAL, DATABASES)
    script = tmp_path / "my.play"
    script.write_text("alice in #ops: /http app-max\nalice in #ops: /pg ready\n", "utf-8")
    found = CliRunner().invoke(app, ["play", str(script), "--config", str(path)])
    assert found.exit_code == 0, found.output
    assert "The sandbox does not make HTTP calls; “watchbell run” makes the real ones." in found.output
    assert "The sandbox does not simulate PostgreSQL; “watchbell run” asks the real one." in found.output
    assert "add one under" not in found.output
