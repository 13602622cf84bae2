"""A real Redis with some keys, targets that reach it, and a cable between the two."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.clock import VirtualClock
from bot.targets.build import targets_of
from bot.targets.sandbox_world import World
from commands.actions import Target
from tests.contracts.redis_rig import GIB, on_redis
from tests.contracts.target_rigs import START
from tests.servers.cable import Cable
from tests.servers.redis_server import RedisServer, shared
from tests.targets.stands import STANDS, Stand

Make = Callable[..., Target]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """The server of this test run, empty, with two gigabytes to use."""
    found = shared()
    found.admin.flushall()
    found.admin.config_set("maxmemory", 2 * GIB)
    found.admin.config_set("maxmemory-policy", "allkeys-lru")
    found.admin.slowlog_reset()
    found.admin.config_resetstat()
    return found


@pytest.fixture
async def cable(server: RedisServer) -> AsyncIterator[Cable]:
    """To be cut."""
    async with Cable(server.port) as found:
        yield found


@pytest.fixture
def clock() -> VirtualClock:
    """Stands still."""
    return VirtualClock(START)


@pytest.fixture
async def make(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Make]:
    """Makes the target `redis` of a configuration: `make(url, password, databases={…}, timeout=0.3, …)`."""
    made: list[Any] = []

    def build(
        url: str, password: str | None = None, *, databases: Any = None, timeout: float = 2.0, **fields: Any
    ) -> Target:
        settings = on_redis({"url": url, **fields}, databases or {"redis": {}}, password)
        main = {**settings.targets["main"], "timeout": timeout}
        settings.targets["main"] = main  # type: ignore[index]
        found = targets_of(settings, World(tmp_path / "world.json", clock), clock)["redis"]
        made.append(found)
        return found

    yield build
    for target in made:
        await target.stop()


@pytest.fixture
def target(make: Make, server: RedisServer) -> Target:
    """The target of the shared server, straight."""
    return make(server.url())


@pytest.fixture(params=sorted(STANDS))
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    """A running bot with an open incident, and one of the systems of the safety tests."""
    with capture_logs():
        async with STANDS[request.param](tmp_path, 1) as made:
            yield made


async def progress(done: int, total: int, what: str) -> None:
    """Told to nobody."""
