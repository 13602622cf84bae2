"""Configurations with a MongoDB in them, and the targets that reach it."""

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
from commands.actions import Target
from tests.contracts.target_rigs import START
from tests.safety.rig import example
from tests.servers.mongo_server import StandIn, stand_in

READABLE = {"subscriptions": ("user", "status", "plan.name")}
KNOWN = {"target": "main", "service": None, "environment": "production", "url": None, "database": "shop"}
DOCUMENTS = tuple(
    {
        "_id": number,
        "user": number,
        "status": "active" if number % 2 else "ended",
        "plan": {"name": "team", "price": 4900},
        "email": f"person{number}@example.com",
    }
    for number in range(30)
)


def on_mongo(
    fields: Mapping[str, Any],
    databases: Mapping[str, Mapping[str, Any]] | None = None,
    password: str | None = None,
    *,
    settings: Settings | None = None,
) -> Settings:
    """The example configuration with a MongoDB, `main`, beside the sandbox."""
    settings = settings or example()
    made = section({"driver": "mongo", **fields}) | {"password": SecretStr(password) if password else None}
    named = databases or {"shop": {}}
    return replace(
        settings,
        targets={**settings.targets, "main": made},
        mongo={name: {**KNOWN, "readable": READABLE, **database} for name, database in named.items()},
    )


def target_of(settings: Settings, folder: Path, clock: VirtualClock | None = None) -> Target:
    """The target `mongo` of that configuration."""
    clock = clock or VirtualClock(START)
    return targets_of(settings, World(folder / "world.json", clock), clock)["mongo"]


def fields(*ports: int, **more: Any) -> dict[str, Any]:
    """The section of a target that reaches a server, or members, by these ports, in the clear."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return {"url": f"mongodb://{hosts}", "tls": False, "timeout": "5s", **more}


def fresh() -> StandIn:
    """The stand-in as new, with the shop's subscriptions."""
    server = stand_in()
    server.does("reset")
    server.holds("shop.subscriptions", *DOCUMENTS)
    server.does("index", ns="shop.subscriptions", index={"v": 2, "key": {"user": 1}, "name": "user_1"})
    return server
