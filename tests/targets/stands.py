"""Two real systems as the safety tests see them: what is asked for there, who else changes it, and how it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from tests.contracts.kubernetes_rig import TOKEN, furnish, patch
from tests.contracts.redis_rig import GIB
from tests.servers import kubernetes_server, redis_server
from tests.servers.kubernetes_server import KubernetesServer
from tests.servers.redis_server import RedisServer
from tests.targets import kubernetes_stage, redis_stage
from tests.targets.kubernetes_stage import DEPLOYMENT, ClusterChat
from tests.targets.redis_stage import RealChat


class Stand:
    """One system with a bot in front of it. The lines are typed, each number is what the system shows."""

    change: str  # from `before` to `after`; one approval
    before: int
    after: int
    danger: str  # two approvals
    odd: tuple[str, ...]  # commands that take a word in place of {}
    bounds: tuple[tuple[str, bool], ...]  # a change, and whether it is within the bounds
    faults: ClassVar[dict[str, str]]  # what goes wrong with a change → the state of the request afterwards
    chat: Any

    async def states(self) -> list[str]:
        """How every request stands."""
        return [(await self.chat.action(n + 1)).state for n in range(await self.chat.actions())]

    @property
    def sent(self) -> int:
        """How many changes the system has carried out."""
        raise NotImplementedError

    @property
    def shown(self) -> int:
        """The number that `change` is about."""
        raise NotImplementedError

    def moves(self, to: int) -> None:
        """Somebody else changes it."""
        raise NotImplementedError

    async def ends(self) -> None:
        """Let what was begun come to its end."""
        raise NotImplementedError

    async def goes_on(self) -> None:
        """What was begun takes a step, where it takes steps."""

    async def fails(self, how: str) -> None:
        """The next change meets this fault; empty: none."""
        raise NotImplementedError

    async def holds(self) -> None:
        """The answer to the next change is under way until `fails("")`."""
        raise NotImplementedError

    async def accepted(self) -> None:
        """Return when a change was carried out whose answer is held."""
        raise NotImplementedError

    def curtails(self) -> None:
        """The bot may only look there from now on."""
        raise NotImplementedError


class ClusterStand(Stand):
    """A cluster: the stand-in of its API."""

    change, before, after, danger = "/scale realtime 6", 3, 6, "/scale realtime 0"
    odd = (
        "/scale {} 5",
        "/restart {}",
        "/logs realtime pod={}",
        "/pods namespace={}",
        "/describe {}",
        "/node {} cluster=main",
        "/pod delete {} cluster=main",
        "/cordon {} cluster=main",
        "/toggle realtime BACKPRESSURE_THRESHOLD {}",
        "/probe {} ps cluster=main",
    )
    bounds = (
        ("/scale realtime 20", True),
        ("/scale realtime 21", False),
        ("/scale realtime 1", True),
        ("/hpa realtime 1 20", True),
        ("/hpa realtime 1 21", False),
    )
    faults: ClassVar[dict[str, str]] = {
        "denied": "failed",
        "429": "failed",
        "500": "unknown",
        "silence": "unknown",
        "after": "unknown",
        "half": "unknown",
        "huge": "unknown",
        "garbage": "unknown",
    }

    def __init__(self, server: KubernetesServer, chat: ClusterChat) -> None:
        self.server, self.chat = server, chat

    @property
    def sent(self) -> int:
        """Requests that were carried out, those without effect left out."""
        found = [r for r in self.server.requests(verbs=("patch", "create")) if "dryRun" not in r["query"]]
        ours = [r for r in found if r["query"].get("fieldManager", "").startswith("watchbell-")]
        return sum(r["status"] in (None, 200, 201) for r in ours)

    @property
    def shown(self) -> int:
        """How many replicas realtime is to have."""
        found: int = self.chat.replicas
        return found

    def moves(self, to: int) -> None:
        """Somebody scales it."""
        patch(self.server, DEPLOYMENT, {"spec": {"replicas": to}})

    async def ends(self) -> None:
        """A rollout takes its time."""
        await self.chat.rolled()

    async def goes_on(self) -> None:
        """A rollout's."""
        await self.server.act("step")

    async def fails(self, how: str) -> None:
        """Faults of patches."""
        await self.server.act("faults", **({"kinds": [how], "verbs": ["patch"], "count": 1} if how else {}))

    async def holds(self) -> None:
        """Answered after twenty seconds."""
        await self.server.act("faults", kinds=["timeout"], verbs=["patch"], seconds=20, count=1)

    async def accepted(self) -> None:
        """It shows in the deployment."""
        while self.shown == self.before:
            await self.server.act("step", count=0)

    def curtails(self) -> None:
        """A role that only looks."""
        verbs = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        self.server.call("token", token=TOKEN, roles=[{**role, "metadata": {"name": "x"}, "rules": verbs}])


class RedisStand(Stand):
    """A real Redis at the end of a cable."""

    change, before, after, danger = "/redis maxmemory 1gb", 2, 1, "/redis flush redis"
    odd = (
        "/redis get {}",
        "/redis keys {}",
        "/redis kill {}",
        "/redis del {}",
        "/redis restore {}",
        "/redis maxmemory {}",
        "/redis policy {}",
        "/redis flush {}",
        "/redis info {}",
        "/redis {} ping",
    )
    bounds = (
        ("/redis maxmemory 64mb", True),
        ("/redis maxmemory 63mb", False),
        ("/redis maxmemory 1024gb", True),
        ("/redis maxmemory 1025gb", False),
        ("/redis maxmemory 0", True),
    )
    faults: ClassVar[dict[str, str]] = {
        "silent": "unknown",
        "cut": "unknown",
        "half": "unknown",
        "huge": "unknown",
        "garbage": "unknown",
    }

    def __init__(self, server: RedisServer, chat: RealChat) -> None:
        self.server, self.chat = server, chat
        self._others = 0

    @property
    def sent(self) -> int:
        """What the server counts, without what others did."""
        return self.chat.changes - self._others

    @property
    def shown(self) -> int:
        """Gigabytes that it may use."""
        return int(self.server.admin.config_get("maxmemory")["maxmemory"]) // GIB

    def moves(self, to: int) -> None:
        """Somebody sets the limit."""
        self._others += 1
        self.server.admin.config_set("maxmemory", to * GIB)

    async def ends(self) -> None:
        """It is done at once."""
        await self.chat.settle()

    async def fails(self, how: str) -> None:
        """Faults of the cable."""
        self.chat.cable.fault(how, b"CONFIG") if how else self.chat.cable.heal()

    async def holds(self) -> None:
        """Answered when the cable heals."""
        self.chat.cable.fault("hold", b"CONFIG")

    async def accepted(self) -> None:
        """The server has answered."""
        await self.chat.cable.answered()

    def curtails(self) -> None:
        """The user may not set anything any more; those who are connected neither."""
        self.server.admin.execute_command("ACL", "SETUSER", "default", "-config|set")


@asynccontextmanager
async def _cluster(folder: Path, bots: int) -> AsyncIterator[Stand]:
    server = kubernetes_server.shared()
    furnish(server)
    async with kubernetes_stage.chatting(folder, server, bots=bots, timeout="1s") as chat:
        yield ClusterStand(server, chat)


@asynccontextmanager
async def _redis(folder: Path, bots: int) -> AsyncIterator[Stand]:
    server = redis_server.shared()
    admin = server.admin
    admin.flushall()
    admin.config_set("maxmemory", 2 * GIB)
    admin.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with redis_stage.chatting(folder, server, bots=bots) as chat:
            yield RedisStand(server, chat)
    finally:
        admin.execute_command("ACL", "SETUSER", "default", "+@all")


STANDS = {"kubernetes": _cluster, "redis": _redis}
