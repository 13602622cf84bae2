"""A host that no name server knows is told as such: nobody has to look for what refuses or breaks there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.clock import VirtualClock
from bot.config import Settings
from bot.targets.build import targets_of
from bot.targets.guard import UnreachableError
from bot.targets.sandbox_world import World
from tests.contracts.kubernetes_rig import on_kubernetes
from tests.contracts.redis_rig import on_redis
from tests.contracts.target_rigs import START
from tests.servers import kubernetes_server
from tests.targets.postgres_world import on_postgres

HOST = "nowhere.invalid"  # which no name server may know (RFC 2606)


def on_each(port: str) -> tuple[Settings, str, dict[str, str]]:
    """The settings, and a look at something."""
    if port == "redis":
        return on_redis({"url": f"redis://{HOST}:6379"}, {"redis": {}}), "ping", {}
    if port == "postgres":
        return on_postgres({"url": f"postgresql://bot@{HOST}/shop", "tls": False}, {"shop": {}}), "ready", {}
    server = kubernetes_server.shared()
    return on_kubernetes(server, host=f"https://{HOST}:6443"), "pods", {"service": "realtime"}


@pytest.mark.parametrize("port", ["redis", "postgres", "kubernetes"])
async def test_a_host_that_nobody_knows(port: str, tmp_path: Path) -> None:
    """Not refused, not broken: it is not to be found."""
    settings, verb, args = on_each(port)
    clock = VirtualClock(START)
    target = targets_of(settings, World(tmp_path / "world.json", clock), clock)[port]
    with pytest.raises(UnreachableError, match="is not to be found: nothing is known of"):
        await target.read(verb, **args)
    await target.stop()  # type: ignore[attr-defined]
