"""What the section of a cluster may hold, and what the sandbox says to commands that only a cluster has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.clock import VirtualClock
from bot.config_schema import validate
from bot.targets.build import simulated
from bot.targets.sandbox_world import World
from incidents.ports import RefusedError
from tests.contracts.target_rigs import START
from tests.safety.rig import example


def faults(**section: Any) -> list[str]:
    """What is wrong with a target."""
    data = {"targets": {"main": {"driver": "kubernetes", **section}}}
    return [found.message for found in validate(data)[1] if found.path[:2] == ("targets", "main")]


@pytest.mark.parametrize(
    "section",
    [
        {"in_cluster": True},
        {"kubeconfig": "/etc/watchbell/kubeconfig", "context": "europe"},
        {"host": "https://lab.example.com:6443", "token_env": "LAB_TOKEN", "ca_file": "/etc/lab.pem"},
        {"in_cluster": True, "commands": ["pods", "hpa change"], "timeout": "10s"},
    ],
)
def test_a_cluster_is_reached_in_one_of_three_ways(section: dict[str, Any]) -> None:
    """By its pod's account, a kubeconfig, or an address with a token."""
    assert faults(**section) == []


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "say how it is reached, in one way"),
        ({"in_cluster": True, "kubeconfig": "x"}, "say how it is reached, in one way"),
        ({"in_cluster": True, "context": "x"}, "`context` names a part"),
        ({"host": "http://lab.example.com", "token_env": "T"}, "should begin with https://"),
        ({"host": "https://lab.example.com"}, "`host` and `token_env` go together"),
        ({"in_cluster": True, "ca_file": "x"}, "`ca_file` goes with `host`"),
        ({"in_cluster": True, "commands": ["scal"]}, "did you mean scale?"),
    ],
)
def test_anything_else_is_a_fault(section: dict[str, Any], message: str) -> None:
    """With the way on."""
    [found] = faults(**section)
    assert message in found


async def test_the_sandbox_says_what_it_has_not(tmp_path: Path) -> None:
    """A sentence; the name of a cluster does not trouble what it has."""
    clock = VirtualClock(START)
    target = simulated(example(), World(tmp_path / "world.json", clock), clock)["kubernetes"]
    with pytest.raises(RefusedError, match="The sandbox has no netpol"):
        await target.read("netpol", service="realtime")
    with pytest.raises(RefusedError, match="The sandbox has no pod delete"):
        await target.plan("evict", pod="x", cluster=None)
    assert "ready" in (await target.read("pods", namespace="production", cluster="sandbox")).headline
