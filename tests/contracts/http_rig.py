"""Named calls of a stand-in's admin endpoints for the target contract, behind a cable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bot.clock import VirtualClock
from bot.config import Settings
from bot.targets.build import targets_of
from bot.targets.config import section
from bot.targets.sandbox_world import World
from commands.actions import Plan, Target
from tests.contracts.cable_rig import FAULTS, BehindCable
from tests.contracts.target_rigs import START, Change, Rig
from tests.safety.rig import example
from tests.servers.admin_http import TOKEN, AdminServer, shared
from tests.servers.cable import Cable

PROVIDER = {"enum": ["openai", "anthropic", "zai"]}
CALLS: Mapping[str, Any] = {
    "router-config": {"path": "/routing/config", "about": "what the router goes by"},
    "router-instances": {"path": "/instances"},
    "models": {"path": "/ml/models/status"},
    "provider-health": {
        "path": "/providers/{provider}/health",
        "args": {"provider": {"type": "string"}, "depth": {"type": "integer", "maximum": 9}},
        "optional": ["depth"],
    },
    "router-scale": {
        "method": "POST",
        "path": "/instances/scale",
        "args": {
            "provider_type": PROVIDER,
            "desired_instances": {"type": "integer", "minimum": 1, "maximum": 10},
        },
        "before": {
            "call": "router-instances",
            "at": "{provider_type}.desired",
            "becomes": "desired_instances",
        },
        "undo": "router-scale",
        "service": "intelligent-router",
    },
    "router-concurrency": {
        "method": "POST",
        "path": "/config/update",
        "args": {"max_concurrent_requests": {"type": "integer", "minimum": 1, "maximum": 1000}},
        "before": {
            "call": "router-config",
            "at": "max_concurrent_requests",
            "becomes": "max_concurrent_requests",
        },
        "undo": "router-concurrency",
    },
    "router-upstream": {
        "method": "POST",
        "path": "/config/update",
        "args": {"upstream": {"type": "string", "pattern": "^https://[^ ]+$"}},
        "before": {"call": "router-config", "at": "upstream", "becomes": "upstream"},
        "undo": "router-upstream",
    },
    "circuit-reset": {"method": "POST", "path": "/circuit/reset"},
    "cache-clear": {"method": "POST", "path": "/cache/clear", "effect": "danger"},
    "failover": {
        "method": "POST",
        "path": "/failover/configure",
        "args": {
            "unhealthy_provider": PROVIDER,
            "failover_to": {"type": "array", "items": PROVIDER, "uniqueItems": True},
        },
    },
    "moved": {"method": "POST", "path": "/moved"},
    "fails": {"method": "POST", "path": "/fails"},
    "refuses": {"method": "POST", "path": "/refuses"},
}


def on_web(*, settings: Settings | None = None, **targets: Mapping[str, Any]) -> Settings:
    """The example configuration with targets reached by HTTP beside the sandbox; `token` is what a variable holds."""
    settings = settings or example()
    made = {name: _section(dict(fields)) for name, fields in targets.items()}
    return replace(settings, targets={**settings.targets, **made})


def _section(fields: dict[str, Any]) -> dict[str, Any]:
    secrets = {name: SecretStr(fields.pop(name)) for name in ("token", "password") if name in fields}
    return {**section(fields), **secrets}


class RealHttp(BehindCable):
    """The rig, and what it takes to begin and end one."""

    server: AdminServer

    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change."""
        return b"POST"

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        return self.server.state


def http(path: Path) -> Rig:
    """Admin endpoints as untouched as new ones."""
    server, clock = shared(), VirtualClock(START)
    server.reset()
    cable = Cable(server.port)
    scale = {"call": "router-scale", "arguments": "provider_type=openai desired_instances=5"}
    limit = {"call": "router-concurrency", "arguments": "max_concurrent_requests=50"}
    changes = (
        Change("call", scale),
        Change("call", limit),
        Change("call", {"call": "circuit-reset"}, undone=False, proved=False),
        Change("call", {"call": "cache-clear"}, undone=False, effect="danger", proved=False),
    )
    reads = (
        ("call", {"call": "router-config"}),
        ("call", {"call": "provider-health", "arguments": "provider=openai"}),
        ("calls", {}),
    )

    def again() -> Target:
        fields = {"driver": "http", "url": f"http://127.0.0.1:{cable.port}", "token": TOKEN, "calls": CALLS}
        made = targets_of(on_web(router=fields), World(path, clock), clock)["http"]
        rig.made.append(made)
        return made

    def move(change: Change) -> None:
        if change.args["call"] == "router-scale":
            server.set(instances={"openai": 4})
        else:
            server.set(config={"max_concurrent_requests": 70})

    def breaks(how: str) -> None:
        if how == "error":
            server.set(broken=500)
        else:
            cable.fault(FAULTS[how], b"POST")

    def count(key: str) -> int:
        return sum(change["key"].startswith(f"watchbell-{key}-") for change in server.changes)

    rig = RealHttp(None, changes, reads, move, breaks, count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.server, rig.cable, rig.made = server, cable, []
    return rig
