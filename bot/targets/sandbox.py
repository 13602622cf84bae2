"""The sandbox: simulated services, Redis, metrics and health endpoints for the demo and for rehearsals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.targets.sandbox_health import SandboxHealth
from bot.targets.sandbox_kubernetes import SandboxKubernetes
from bot.targets.sandbox_prometheus import SandboxPrometheus
from bot.targets.sandbox_redis import SandboxRedis
from bot.targets.sandbox_world import World
from commands.actions import Target
from commands.catalogue import Catalogue
from incidents.ports import Clock


def build(
    config_section: Mapping[str, Any],
    *,
    catalogue: Catalogue,
    clock: Clock,
    path: Path | None = None,
    world: World | None = None,
) -> dict[str, Target]:
    """The targets `kubernetes`, `redis`, `prometheus` and `health`, all of one world.

    The world is the one handed in, or a new one kept at `path`. The section may name `replicas` (service →
    how many at first), `redis_readable` and `redis_refused` (key patterns).
    """
    world = world or World(path, clock)
    world.populate(catalogue, config_section.get("replicas", {}))
    readable = tuple(config_section.get("redis_readable", ()))
    refused = tuple(config_section.get("redis_refused", ("session:*",)))
    targets: tuple[Target, ...] = (
        SandboxKubernetes(world),
        SandboxRedis(world, readable=readable, refused=refused),
        SandboxPrometheus(world),
        SandboxHealth(world),
    )
    return {target.name: target for target in targets}
