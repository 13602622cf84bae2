"""What a change of a cluster is about, how that is now, and the requests that bring the change about."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster, config_map_path, deployment_path
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_wire import JSON_PATCH, MERGE, Json, MissingError, path
from commands.actions import Plan, TargetError

CONFIGURES = frozenset({"maintenance", "toggle"})  # a config map first, then a restart
_OF_DEPLOYMENTS = frozenset({"scale", "restart", "rollback", "pause", "resume", "hpa"}) | CONFIGURES


@dataclass(frozen=True, slots=True)
class Found:
    """The objects that a change is about; those that it is not about, or that are gone, are empty."""

    deployment: Json
    config: Json
    autoscaler: Json
    pod: Json
    node: Json
    namespace: Json  # of the pod; it tells clusters apart where the pod is gone
    image: str = ""  # of the deployment, without secrets

    @property
    def identity(self) -> str:
        """The uids: things of the same names with other uids are others."""
        there = (self.namespace, self.deployment, self.config, self.autoscaler, self.pod, self.node)
        return " ".join(objects.uid(each) for each in there if each)


@dataclass(frozen=True, slots=True)
class Step:
    """One request."""

    method: str
    where: str
    body: Any
    kind: str = MERGE


async def look(cluster: Cluster, verb: str, args: Mapping[str, Any]) -> Found:
    """What a change with these arguments is about; TargetError where it is not there."""
    deployment: Json = {}
    config: Json = {}
    autoscaler: Json = {}
    pod: Json = {}
    node: Json = {}
    namespace: Json = {}
    if verb in _OF_DEPLOYMENTS:
        service = cluster.service(str(args["service"]))
        deployment = await cluster.deployment(service)
        if verb in CONFIGURES:
            config = await cluster.config_map(service)
        if verb == "hpa":
            autoscaler = await cluster.autoscaler(service) or {}
    elif verb == "evict":
        place = cluster.namespace(str(args["namespace"]))
        with suppress(MissingError):
            namespace = await cluster.link.get(path("v1", "", "namespaces", place))
            pod = await cluster.link.get(path("v1", place, "pods", str(args["pod"])))
    else:
        node = await cluster.node(str(args["node"]))
    image = cluster.image(deployment) if deployment else ""
    return Found(deployment, config, autoscaler, pod, node, namespace, image)


def state(found: Found, keys: Mapping[str, Any], identity: str = "") -> dict[str, Any]:
    """How it is now, by the keys of a plan's `before`; of the pod that the plan's identity has."""
    return {key: _value(found, key, identity) for key in keys}


def _value(found: Found, key: str, identity: str) -> Any:
    match key:
        case "replicas":
            return objects.replicas(found.deployment)
        case "image":
            return found.image
        case "template":
            return objects.fingerprint(found.deployment)
        case "paused":
            return bool(at(found.deployment, "spec", "paused", default=False))
        case "min":
            return at(found.autoscaler, "spec", "minReplicas", default=1) if found.autoscaler else None
        case "max":
            return at(found.autoscaler, "spec", "maxReplicas")
        case "unschedulable":
            return bool(at(found.node, "spec", "unschedulable", default=False))
        case "pod":
            return described(found.pod, identity)
    return at(found.config, "data", key)


def described(pod: Json, identity: str = "") -> str | None:
    """`realtime-5d6c8-8f54b on node-1`; None where the pod is another one, is leaving, or has gone."""
    if not pod or objects.leaving(pod) or (identity and objects.uid(pod) != pod_uid(identity)):
        return None
    return f"{name(pod)} on {at(pod, 'spec', 'nodeName', default='no node')}"


def pod_uid(identity: str) -> str:
    """The uid of the pod, with which the identity of its eviction ends."""
    return identity.rpartition(" ")[2]


async def first_step(cluster: Cluster, plan: Plan, found: Found, mark: str, now: datetime) -> Step:
    """The request that begins a change; each says which version of the object it has seen."""
    args = plan.args
    match plan.verb:
        case "scale":
            service = cluster.service(str(args["service"]))
            return _patch(
                deployment_path(service, "scale"), found.deployment, spec={"replicas": int(args["replicas"])}
            )
        case "restart":
            return restart_step(cluster, plan, found.deployment, mark, now)
        case "rollback":
            return await _rollback(cluster, plan, found.deployment)
        case "pause" | "resume":
            where = deployment_path(cluster.service(str(args["service"])))
            return _patch(where, found.deployment, spec={"paused": plan.verb == "pause"})
        case "maintenance" | "toggle":
            where = config_map_path(cluster.service(str(args["service"])))
            key = next(key for key in plan.after if plan.after[key] != plan.before[key])
            return _patch(where, found.config, data={key: plan.after[key]})
        case "hpa":
            space, of = cluster.service(str(args["service"])).namespace, name(found.autoscaler)
            where = path("autoscaling/v2", space, "horizontalpodautoscalers", of)
            bounds = {"minReplicas": plan.after["min"], "maxReplicas": plan.after["max"]}
            return _patch(where, found.autoscaler, spec=bounds)
        case "evict":
            return _eviction(plan)
    where = path("v1", "", "nodes", str(args["node"]))
    return _patch(where, found.node, spec={"unschedulable": True if plan.verb == "cordon" else None})


def _patch(where: str, seen: Json, **fields: Any) -> Step:
    return Step("PATCH", where, {"metadata": {"resourceVersion": objects.version(seen)}, **fields})


def restart_step(cluster: Cluster, plan: Plan, deployment: Json, mark: str, now: datetime) -> Step:
    """Another annotation in the template: all pods are made anew, as `kubectl rollout restart` does it."""
    notes = {objects.RESTARTED: f"{now:%Y-%m-%dT%H:%M:%SZ}", objects.MARK: mark}
    spec = {"template": {"metadata": {"annotations": notes}}}
    return _patch(deployment_path(cluster.service(str(plan.args["service"]))), deployment, spec=spec)


async def _rollback(cluster: Cluster, plan: Plan, deployment: Json) -> Step:
    """The template of the earlier revision in place of the present one, as `kubectl rollout undo` does it."""
    service = cluster.service(str(plan.args["service"]))
    for each in await cluster.revisions(service, deployment):
        if objects.fingerprint(each) == plan.after["template"]:
            operations = [
                {"op": "replace", "path": "/metadata/resourceVersion", "value": objects.version(deployment)},
                {"op": "replace", "path": "/spec/template", "value": objects.template(each)},
            ]
            return Step("PATCH", deployment_path(service), operations, JSON_PATCH)
    raise TargetError(f"{service.name} no longer has revision {plan.args['revision']}; nothing was changed.")


def _eviction(plan: Plan) -> Step:
    """An eviction of exactly this pod (kubernetes.io/docs/concepts/scheduling-eviction/api-eviction)."""
    pod, space = str(plan.args["pod"]), str(plan.args["namespace"])
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": space},
        "deleteOptions": {"preconditions": {"uid": pod_uid(plan.identity)}},
    }
    return Step("POST", path("v1", space, "pods", pod, "eviction"), body, "application/json")


def accepted(found: Found, plan: Plan, mark: str) -> bool:
    """Whether the objects prove that the change of this mark was accepted."""
    if plan.verb == "evict":
        here = plan.identity.startswith(f"{objects.uid(found.namespace)} ")  # in another cluster it never was
        return here and described(found.pod, plan.identity) is None  # who else ended it ended the same pod
    if plan.verb == "restart":
        return found.identity == plan.identity and restarted(found.deployment, mark)
    written = {"hpa": found.autoscaler, "cordon": found.node, "uncordon": found.node}
    where = found.config if plan.verb in CONFIGURES else written.get(plan.verb, found.deployment)
    return found.identity == plan.identity and objects.marked(where, mark)


def restarted(deployment: Json, mark: str) -> bool:
    """Whether the template bears the mark of a restart."""
    notes = at(deployment, "spec", "template", "metadata", "annotations", default={})
    return bool(notes.get(objects.MARK) == mark)


def mark_of(plan: Plan, key: str) -> str:
    """Under which name a change is written: its number, and its plan, for numbers begin anew with a new log."""
    return f"watchbell-{key}-{plan.hash[:10]}"
