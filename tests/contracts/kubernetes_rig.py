"""A cluster for the target contract: the stand-in, and a bot in it that has the smallest role and nothing more."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bot.clock import VirtualClock
from bot.config import Settings
from bot.targets.build import targets_of
from bot.targets.config import section
from bot.targets.kubernetes_rights import role
from bot.targets.sandbox_world import World
from commands.actions import Plan, Target
from commands.catalogue import Toggle
from tests.contracts.target_rigs import START, Change, Rig
from tests.safety.rig import example
from tests.servers.kubernetes import scene
from tests.servers.kubernetes_server import KubernetesServer, shared

Json = dict[str, Any]
SPACE, TOKEN = "production", "the-token-of-the-bot"
REDUCED = {"drop": "after", "slow": "timeout"}  # how the contract calls a fault → how the stand-in does
KINDS = ("deployments", "configmaps", "horizontalpodautoscalers", "nodes")
MERGE = "application/merge-patch+json"


def on_kubernetes(server: KubernetesServer, *, settings: Settings | None = None, **fields: Any) -> Settings:
    """The example configuration with the stand-in as the cluster `main`, where realtime runs."""
    settings = settings or example()
    reached = {"host": server.url, "token_env": "TOKEN", "ca_file": str(server.authority_file), **fields}
    made = section({"driver": "kubernetes", **{k: v for k, v in reached.items() if v is not None}})
    made |= {"token": SecretStr(TOKEN) if made["host"] else None}
    old = settings.catalogue.services["realtime"]
    toggles = {"BACKPRESSURE_THRESHOLD": Toggle("0.8", "0.9")}
    realtime = replace(old, cluster="main", replicas=(0, 20), toggles=toggles)
    catalogue = replace(settings.catalogue, services={**settings.catalogue.services, "realtime": realtime})
    return replace(settings, targets={**settings.targets, "main": made}, catalogue=catalogue)


def furnish(server: KubernetesServer) -> None:
    """A new cluster: realtime in its second revision, with all that stands around it, and the bot's token."""
    server.reset()
    config = {"MAINTENANCE_MODE": "false", "BACKPRESSURE_THRESHOLD": "0.8"}
    limits = {"cpu": "500m", "memory": "512Mi"}
    for tag in ("1.0.0", "1.1.0"):
        image = f"registry.example.com/realtime:{tag}"
        server.deploy("realtime", SPACE, image=image, config="realtime-config", limits=limits)
    server.apply(
        scene.config_map("realtime-config", SPACE, config),
        scene.service("realtime", SPACE),
        scene.autoscaler("realtime", SPACE, low=2, high=8),
        scene.budget("realtime", SPACE, maxUnavailable=1),
    )
    server.settle()
    server.call("autoscale", on=False)  # what it would undo, it would undo in the middle of a test
    server.call("token", token=TOKEN, roles=[role()])
    server.requests(clear=True)


def pod_names(server: KubernetesServer) -> list[str]:
    """The pods that stay."""
    found = [pod["metadata"] for pod in server.objects("pods", SPACE)]
    return sorted(meta["name"] for meta in found if "deletionTimestamp" not in meta)


def changes_of(server: KubernetesServer, key: str) -> int:
    """How often the change of a key was accepted; a change of two requests counts once."""
    found: Counter[str] = Counter()
    for each in server.requests(verbs=("patch", "create")):
        name = each["query"].get("fieldManager", "")
        if name.startswith(f"watchbell-{key}-") and each["status"] in (None, 200, 201):
            found[each["resource"]] += 1
    return max(found.values(), default=0)


def patch(server: KubernetesServer, where: str, body: Json) -> None:
    """Somebody else changes something."""
    status, said = server.request("PATCH", where, body, Content_Type=MERGE)
    assert status == 200, said


def move(server: KubernetesServer, change: Change) -> None:
    """Somebody else changes what a change is about."""
    deployment = f"/apis/apps/v1/namespaces/{SPACE}/deployments/realtime"
    config = f"/api/v1/namespaces/{SPACE}/configmaps/realtime-config"
    keepers = f"/apis/autoscaling/v2/namespaces/{SPACE}/horizontalpodautoscalers/realtime"
    match change.verb:
        case "scale":
            patch(server, deployment, {"spec": {"replicas": 5}})
        case "maintenance":
            patch(server, config, {"data": {"MAINTENANCE_MODE": "true"}})
        case "toggle":
            patch(server, config, {"data": {"BACKPRESSURE_THRESHOLD": "0.7"}})
        case "hpa":
            patch(server, keepers, {"spec": {"maxReplicas": 5}})
        case "evict":
            server.call("remove", resource="pods", name=change.args["pod"], namespace=SPACE)
        case "cordon":
            patch(server, f"/api/v1/nodes/{change.args['node']}", {"spec": {"unschedulable": True}})
        case _:
            container = {"name": "app", "image": "registry.example.com/realtime:9.9.9"}
            patch(server, deployment, {"spec": {"template": {"spec": {"containers": [container]}}}})


class RealKubernetes(Rig):
    """The rig, and what it takes to begin and end one."""

    server: KubernetesServer
    made: list[Any]

    async def started(self) -> Rig:
        """Ready for its test."""
        self.target = self.again()
        return self

    async def close(self) -> None:
        """Let go of every connection."""
        self.server.call("faults")
        for target in self.made:
            await target.stop()

    async def accepted(self, key: str) -> None:
        """Return when the cluster has carried a change out whose answer is held up."""
        async with asyncio.timeout(20):
            written = False
            while not written:
                written = await asyncio.to_thread(self._written, key)

    def _written(self, key: str) -> bool:
        """Whether the last request of a change shows in what is stored."""
        if not changes_of(self.server, key):
            return False
        pods = self.server.objects("pods", SPACE)
        if any("deletionTimestamp" in pod["metadata"] for pod in pods):
            return True
        entries = [
            entry["manager"]
            for kind in (self._held or KINDS)
            for found in self.server.objects(kind)
            for entry in found["metadata"].get("managedFields", ())
        ]
        return any(manager.startswith(f"watchbell-{key}-") for manager in entries)

    _held: tuple[str, ...] = ()

    def release(self) -> None:
        """The answer comes."""
        self.server.call("faults")

    async def cut(self, plan: Plan, key: str) -> None:
        """The process dies while the answer to its last request is under way."""
        self._held = ("deployments",) if plan.verb in ("maintenance", "toggle") else ()
        held = {"resources": list(self._held)} if self._held else {}
        await self.server.act(
            "faults", kinds=["timeout"], verbs=["patch", "create"], seconds=20, count=1, **held
        )
        running = asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        await self.accepted(key)
        running.cancel()
        await asyncio.wait([running])
        await self.server.act("faults")

    async def through(self, task: asyncio.Future[Any], seconds: float = 300) -> Any:
        """As ever; the cluster goes on a step whenever the clock does."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while not task.done():
            if self.clock.parked:
                await self.server.act("step")
            await self.clock.advance(min(end, self.clock.next() or self.clock.now()))
            assert self.clock.now() < end, "it never ends"
            await asyncio.wait([task], timeout=0.001)
        return await task

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        kinds = (*KINDS, "pods", "replicasets", "poddisruptionbudgets")
        return [self.server.objects(kind) for kind in kinds]


def kubernetes(path: Path) -> Rig:
    """A cluster as untouched as a new one."""
    server, clock = shared(), VirtualClock(START)
    furnish(server)
    service: Mapping[str, Any] = {"service": "realtime"}
    changes = (
        Change("scale", {**service, "replicas": 10}),
        Change("scale", {**service, "replicas": 1}),
        Change("scale", {**service, "replicas": 0}, effect="danger"),
        Change("restart", service, undone=False),
        Change("rollback", service),
        Change("pause", service),
        Change("maintenance", {**service, "state": "on"}),
        Change("toggle", {**service, "key": "BACKPRESSURE_THRESHOLD", "new": "0.9"}),
        Change("hpa", {**service, "low": 3, "high": 9}),
        Change("evict", {"pod": pod_names(server)[0]}, undone=False),
        Change("cordon", {"node": "node-1"}),
    )
    verbs = ("pods", "describe", "events", "top", "rollout", "logs", "hpa", "endpoints", "ingress", "netpol")
    reads: tuple[tuple[str, Mapping[str, Any]], ...] = (
        *((verb, service) for verb in verbs),
        ("describe", {"pod": pod_names(server)[0]}),
        ("pods", {"namespace": SPACE}),
        ("top", {"nodes": True}),
        ("node", {"node": "node-1"}),
        ("pv", {}),
    )

    def again() -> Target:
        targets = targets_of(on_kubernetes(server), World(path, clock), clock)
        made: Target = targets["kubernetes"].parts["main"]  # type: ignore[attr-defined]
        rig.made.append(made)
        return made

    def breaks(how: str) -> None:
        if how == "error":
            server.call("faults", kinds=["500"])
        else:
            server.call("faults", kinds=[REDUCED[how]], verbs=["patch"], count=1, seconds=20)

    rig = RealKubernetes(
        target=None,  # type: ignore[arg-type]
        changes=changes,
        reads=reads,
        move=lambda change: move(server, change),
        breaks=breaks,
        count=lambda key: changes_of(server, key),
        again=again,
        clock=clock,
        steady=False,
    )
    rig.server, rig.made = server, []
    return rig
