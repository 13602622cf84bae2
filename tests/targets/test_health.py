"""Health endpoints of a stand-in, its metrics, and the checklist with and without the targets that it asks."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.targets.health_checklist import Check
from commands.actions import TargetError
from commands.catalogue import Service
from incidents.ports import RefusedError
from tests.servers.admin_http import AdminServer, shared
from tests.targets.web_targets import shown, targets

HEALTH = {"driver": "health"}


@pytest.fixture
def server() -> AdminServer:
    """The stand-in of this test run, as untouched as a new one."""
    found = shared()
    found.reset()
    return found


def services(server: AdminServer) -> Mapping[str, Service]:
    """One that is well, one whose endpoints fail in every way, one without any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    well = {"liveness": f"{server.url}/health"}
    ill = {
        "moved": f"{server.url}/away",
        "missing": f"{server.url}/nothing",
        "closed": f"http://127.0.0.1:{closed}/health",
        "slow": f"{server.url}/slow",
        "long": f"{server.url}/huge",
    }
    return {
        "well": Service("well", runtime="none", cluster="none", health=well, metrics=f"{server.url}/metrics"),
        "ill": Service("ill", runtime="none", cluster="none", health=ill, metrics=f"{server.url}/huge"),
        "mute": Service("mute", runtime="none", cluster="none"),
        "above": Service(
            "above",
            cluster="sandbox-of-another-name",
            health=well,
            redis="redis",
            postgres="ish-chat",
            depends_on=("well", "ill", "mute"),
        ),
    }


async def test_every_endpoint_is_asked(server: AdminServer, tmp_path: Path) -> None:
    """A tick or a cross each, and why; redirects are not followed, long answers not taken."""
    async with targets(tmp_path, services=services(server), patience=0.5, checks=HEALTH) as made:
        health = made["health"]
        good = await health.read("health", service="well")
        assert good.headline == "well · production · health: 1 of 1 well"
        assert good.lines[0].startswith("✓ liveness: 200 in ")
        bad = await health.read("health", service="ill")
        assert bad.headline == "ill · production · health: 0 of 5 well"
        assert bad.lines == (
            "✗ moved: 302 Found",
            "✗ missing: 401 Unauthorized",
            "✗ closed: does not answer: there is no connection",
            "✗ slow: did not answer within 0 s",
            "✗ long: sent an answer of more than 2 MB, which I do not take",
        )
        every = await health.read("health", service=None)
        assert every.headline == "2 of 3 services well · 1 without an endpoint"
        with pytest.raises(RefusedError, match="No health endpoint"):
            await health.read("health", service="mute")


async def test_metrics_of_a_service(server: AdminServer, tmp_path: Path) -> None:
    """Without comments; a word picks lines."""
    async with targets(tmp_path, services=services(server), checks=HEALTH) as made:
        every = await made["health"].read("metrics", service="well")
        assert every.headline == "well · 2 metrics"
        assert "# HELP" not in shown(every)
        some = await made["health"].read("metrics", service="well", grep="WebSocket")
        assert some.text == "websocket_connections_active 42"
        with pytest.raises(RefusedError, match="No metrics endpoint"):
            await made["health"].read("metrics", service="mute")
        with pytest.raises(TargetError, match="more than 2 MB"):
            await made["health"].read("metrics", service="ill")


async def test_the_checklist_says_what_nobody_could_look_at(server: AdminServer, tmp_path: Path) -> None:
    """A line whose target is missing is neither a tick nor a cross."""
    made_of = services(server)
    async with targets(tmp_path, services=made_of, patience=0.5, sandbox=False, checks=HEALTH) as made:
        answer = await made["health"].read("checklist", service="above")
        assert answer.headline == "above · production · checklist: 1 of 2 well, 4 not looked at"
        assert answer.lines[0].startswith("✓ Health endpoint: 200 in ")
        assert answer.lines[1:] == (
            "– Database: not looked at, no postgres target is configured",
            "– Redis: not looked at, no redis target is configured",
            "– Recent deployments: not looked at, no kubernetes target is configured",
            "– Resources: not looked at, no kubernetes target is configured",
            "✗ Downstream: ill not well; mute without an endpoint",
        )


async def test_the_checklist_asks_the_other_targets(server: AdminServer, tmp_path: Path) -> None:
    """Redis and Kubernetes answer for their lines; that one refuses is no cross."""
    async with targets(tmp_path, services=services(server), patience=0.5, checks=HEALTH) as made:
        lines = (await made["health"].read("checklist", service="above")).lines
        assert any(line.startswith("✓ Redis: PONG in ") for line in lines)
        assert any(line.startswith("✓ Recent deployments: ") for line in lines)
        assert "✓ Resources: 2 of 2 ready" in lines


async def test_the_sandbox_answers_for_what_it_runs(tmp_path: Path) -> None:
    """Beside a real health target, too; it has no metrics endpoints."""
    async with targets(tmp_path, checks=HEALTH) as made:
        assert "Redis redis" in shown(await made["health"].read("checklist", service="realtime"))
        with pytest.raises(RefusedError, match="sandbox has no metrics endpoints"):
            await made["health"].read("metrics", service="realtime")


def test_a_line_is_a_tick_a_cross_or_neither() -> None:
    """Colour is none of it."""
    assert [str(Check("a", well, "b")) for well in (True, False, None)] == ["✓ a: b", "✗ a: b", "– a: b"]
