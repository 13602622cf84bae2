"""What a change of an autoscaler, a pod or a node would do."""

from __future__ import annotations

from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_steps import described, look
from commands.actions import Plan
from commands.values import shown
from incidents.ports import RefusedError


class Around:
    """Plans for what stands around deployments."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def hpa(self, *, service: str, low: int, high: int) -> Plan:
        """Other bounds of the autoscaler, within those of the catalogue."""
        known = self._cluster.service(service)
        found = await look(self._cluster, "hpa", {"service": known.name})
        if not found.autoscaler:
            raise RefusedError(f"{known.name} has no autoscaler; /scale {known.name} sets how many run.")
        least, most = max(1, known.replicas[0]), known.replicas[1]
        if not least <= low <= high <= most:
            raise RefusedError(
                f"{known.name}'s autoscaler takes {least} to {most}, the smaller number first."
            )
        spec = found.autoscaler["spec"]
        before = {"min": at(spec, "minReplicas", default=1), "max": at(spec, "maxReplicas")}
        if before == {"min": low, "max": high}:
            raise RefusedError(f"{known.name}'s autoscaler keeps {low}–{high} already.")
        count = objects.replicas(found.deployment)
        note = (
            ""
            if low <= count <= high
            else f"{count} run now; it goes to {min(max(count, low), high)} at once"
        )
        keeper = objects.gitops(found.autoscaler)
        kept = f"{keeper} keeps it as its repository has it, and may undo this" if keeper else ""
        old = f"{before['min']} {before['max']}"
        return Plan(
            command="hpa",
            line=f"hpa {known.name} {low} {high}",
            summary=f"hpa {known.name} {before['min']}–{before['max']} → {low}–{high}",
            target="kubernetes",
            verb="hpa",
            args={"service": known.name, "low": low, "high": high},
            subject=f"{known.cluster}/{known.namespace}/{known.deployment}",
            identity=found.identity,
            before=before,
            after={"min": low, "max": high},
            environment=known.environment,
            service=known.name,
            notes=tuple(each for each in (note, kept) if each),
            undo={
                "line": f"hpa {known.name} {old}",
                "verb": "hpa",
                "args": {"service": known.name, "low": before["min"], "high": before["max"]},
                "label": f"{before['min']}–{before['max']}",
            },
            done=f"{known.name}'s autoscaler keeps {low}–{high}",
        )

    async def evict(self, *, pod: str, namespace: str | None = None) -> Plan:
        """A pod of the catalogue, and this one only, leaves; its disruption budget has its say."""
        _, known = await self._cluster.pod(pod, namespace)
        if known is None:
            raise RefusedError(f"{shown(pod)} belongs to no service of the catalogue, so I leave it alone.")
        args = {"pod": pod, "namespace": known.namespace, "cluster": self._cluster.link.name}
        found = await look(self._cluster, "evict", args)
        if not found.pod or objects.leaving(found.pod):
            raise RefusedError(f"{pod} is being ended already.")
        notes = [_budget(each) for each in await self._cluster.budgets(found.pod)]
        if not at(found.pod, "metadata", "ownerReferences"):
            notes.append("nothing makes another in its place")
        if ails := objects.remark(found.pod):
            notes.append(f"it is {ails}")
        whose = known.name if len(self._cluster.namespaces) == 1 else f"{known.name} in {known.namespace}"
        return Plan(
            command="pod delete",
            line=f"pod delete {pod}{self._where()}",
            summary=f"pod delete {pod} ({whose}, on {at(found.pod, 'spec', 'nodeName', default='no node')})",
            target="kubernetes",
            verb="evict",
            args=args,
            subject=f"{known.cluster}/{known.namespace}/{known.deployment}",
            identity=found.identity,
            before={"pod": described(found.pod)},
            after={"pod": None},
            environment=known.environment,
            service=known.name,
            notes=tuple(notes),
            done=f"{pod} is gone",
        )

    async def cordon(self, *, node: str) -> Plan:
        """Nothing new comes onto a node."""
        return await self._node("cordon", node)

    async def uncordon(self, *, node: str) -> Plan:
        """Pods come onto a node again."""
        return await self._node("uncordon", node)

    async def _node(self, verb: str, node: str) -> Plan:
        found = await look(self._cluster, verb, {"node": node})
        close, back = verb == "cordon", "uncordon" if verb == "cordon" else "cordon"
        if bool(at(found.node, "spec", "unschedulable")) == close:
            raise RefusedError(f"{node} is {'cordoned already' if close else 'not cordoned'}.")
        args = {"node": name(found.node), "cluster": self._cluster.link.name}
        undo: dict[str, Any] = {
            "line": f"{back} {node}{self._where()}",
            "verb": back,
            "args": args,
            "label": back,
        }
        note = "pods that run there stay; new ones go elsewhere" if close else ""
        return Plan(
            command=verb,
            line=f"{verb} {node}{self._where()}",
            summary=f"{verb} {node}",
            target="kubernetes",
            verb=verb,
            args=args,
            subject=f"{self._cluster.link.name}/node/{node}",
            identity=found.identity,
            before={"unschedulable": not close},
            after={"unschedulable": close},
            notes=(note,) if note else (),
            undo=undo,
            done=f"{node} takes {'no new pods' if close else 'pods again'}",
        )

    def _where(self) -> str:
        return f" cluster={self._cluster.link.name}" if self._cluster.several else ""


def _budget(found: dict[str, Any]) -> str:
    """What a disruption budget allows (status of policy/v1)."""
    status = found.get("status") or {}
    allowed, healthy = status.get("disruptionsAllowed", 0), status.get("currentHealthy", 0)
    needed = status.get("desiredHealthy", 0)
    return f"budget {name(found)}: {allowed} may go now, {healthy} are healthy and {needed} have to be"
