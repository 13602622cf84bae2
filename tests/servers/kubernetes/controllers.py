"""The control loops together: what one step does, stepping until nothing moves, and stepping by itself."""

from __future__ import annotations

import asyncio
import contextlib

from tests.servers.kubernetes import deployments, keepers, kubelet, replicasets, statefulsets
from tests.servers.kubernetes.cluster import Cluster

LOOPS = (
    keepers.garbage,
    keepers.autoscalers,
    deployments.reconcile,
    replicasets.reconcile,
    statefulsets.reconcile,
    keepers.budgets,
    keepers.endpoints,
)
ROUNDS = 40  # more than any rollout needs between two moves of its pods


def step(cluster: Cluster) -> None:
    """Take every pod one step on, then let the controllers react until they have nothing more to do."""
    kubelet.step(cluster)
    react(cluster)


def react(cluster: Cluster) -> None:
    """Let the controllers do what they can while no pod moves."""
    for _ in range(ROUNDS):
        before = cluster.store.moved
        for loop in LOOPS:
            loop(cluster)
        if cluster.store.moved == before:
            return
    raise RuntimeError("the controllers do not come to rest")


def settle(cluster: Cluster, limit: int = 200) -> int:
    """Step until nothing changes any more; returns how many steps did change something."""
    for count in range(limit):
        before = cluster.store.moved
        step(cluster)
        if cluster.store.moved == before:
            return count
    raise RuntimeError(f"the cluster still moves after {limit} steps")


class Pulse:
    """Steps the cluster by itself, every so many seconds, while it is on."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._task: asyncio.Task[None] | None = None

    async def set(self, every: float) -> None:
        """Step every so many seconds from now on; 0: only when told to."""
        await self.stop()
        if every > 0:
            self._task = asyncio.create_task(self._beat(every))

    async def stop(self) -> None:
        """Step no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _beat(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            step(self._cluster)
