"""The small controllers: disruption budgets, autoscalers, endpoints, and the garbage collector."""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import FOREGROUND, Cluster
from tests.servers.kubernetes.deployments import share
from tests.servers.kubernetes.kubelet import active, ready
from tests.servers.kubernetes.selectors import matches

Json = dict[str, Any]
SCALED = {("apps/v1", r.kind): r for r in (kinds.DEPLOYMENTS, kinds.STATEFUL_SETS, kinds.REPLICA_SETS)}


def covered(cluster: Cluster, budget: Json) -> list[Json]:
    """The pods that a disruption budget is about."""
    pods = cluster.store.all(kinds.PODS, budget["metadata"]["namespace"])
    selector = budget["spec"].get("selector")
    return [pod for pod in pods if matches(selector, pod["metadata"].get("labels") or {})]


def budgets(cluster: Cluster) -> None:
    """How many disruptions each PodDisruptionBudget allows now (pkg/controller/disruption)."""
    for found in cluster.store.all(kinds.PDBS):
        pods = [pod for pod in covered(cluster, found) if active(pod)]
        expected, healthy = len(pods), sum(map(ready, pods))
        spec = found["spec"]
        if "maxUnavailable" in spec:
            desired = max(0, expected - share(spec["maxUnavailable"], expected, up=True))
        else:
            desired = share(spec.get("minAvailable", 1), expected, up=True)
        allowed = max(0, healthy - desired) if expected else 0
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "conditions": [_budget_condition(cluster, found, allowed)],
        }
        if status != found["status"]:
            cluster.save(kinds.PDBS, {**found, "status": status})


def _budget_condition(cluster: Cluster, found: Json, allowed: int) -> Json:
    status, reason = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    old = next(iter(found["status"].get("conditions") or ()), None)
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else cluster.stamp()
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": found["metadata"]["generation"],
        "lastTransitionTime": since,
    }


def autoscalers(cluster: Cluster) -> None:
    """Keep what an autoscaler owns within its bounds; 0 replicas switch it off (pkg/controller/podautoscaler)."""
    for found in cluster.store.all(kinds.HPAS):
        ref = found["spec"]["scaleTargetRef"]
        resource = SCALED.get((ref.get("apiVersion", ""), ref["kind"]))
        namespace = found["metadata"]["namespace"]
        target = cluster.store.get(resource, namespace, ref["name"]) if resource is not None else None
        if resource is None or target is None:
            continue
        has = target["spec"]["replicas"]
        low, high = found["spec"]["minReplicas"], found["spec"]["maxReplicas"]
        wanted = min(max(has, low), high) if has else 0
        if cluster.autoscale and wanted != has:
            target["spec"]["replicas"] = wanted
            cluster.save(resource, target)
            why = "Current number of replicas "
            why += "below Spec.MinReplicas" if has < low else "above Spec.MaxReplicas"
            message = f"New size: {wanted}; reason: {why}"
            cluster.event(found, "Normal", "SuccessfulRescale", message, "horizontal-pod-autoscaler")
        _autoscaler_status(cluster, found, target, wanted)


def _autoscaler_status(cluster: Cluster, found: Json, target: Json, wanted: int) -> None:
    old = found.get("status") or {}
    status = {
        "currentReplicas": (target.get("status") or {}).get("replicas", 0),
        "desiredReplicas": wanted,
        "conditions": [
            _scaling(
                cluster, old, "AbleToScale", True, "ReadyForNewScale", "recommended size matches current size"
            ),
            _scaling(cluster, old, "ScalingActive", wanted > 0, *ACTIVE[wanted > 0]),
        ],
    }
    if status != old:
        cluster.save(kinds.HPAS, {**found, "status": status})


ACTIVE = {
    True: (
        "ValidMetricFound",
        "the HPA was able to successfully calculate a replica count from cpu resource",
    ),
    False: ("ScalingDisabled", "scaling is disabled since the replica count of the target is zero"),
}


def _scaling(cluster: Cluster, old: Json, kind: str, good: bool, reason: str, message: str) -> Json:
    status = "True" if good else "False"
    was = next((each for each in old.get("conditions") or () if each["type"] == kind), None)
    since = was["lastTransitionTime"] if was is not None and was["status"] == status else cluster.stamp()
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }


def endpoints(cluster: Cluster) -> None:
    """The addresses behind each service with a selector."""
    for service in cluster.store.all(kinds.SERVICES):
        selector = service["spec"].get("selector")
        if not selector:
            continue
        meta = service["metadata"]
        pods = [
            pod
            for pod in cluster.store.all(kinds.PODS, meta["namespace"])
            if matches({"matchLabels": selector}, pod["metadata"].get("labels") or {}) and active(pod)
        ]
        subset: Json = {}
        for key, good in (("addresses", True), ("notReadyAddresses", False)):
            chosen = [p for p in pods if ready(p) is good and p["status"].get("podIP")]
            if chosen:
                subset[key] = [_address(pod) for pod in chosen]
        if subset:
            subset["ports"] = [_port(port) for port in service["spec"].get("ports", ())]
        wanted = [subset] if subset else []
        found = cluster.store.get(kinds.ENDPOINTS, meta["namespace"], meta["name"])
        if found is None:
            place = {"name": meta["name"], "namespace": meta["namespace"]}
            cluster.create(kinds.ENDPOINTS, {"metadata": place, "subsets": wanted})
        elif found.get("subsets") != wanted:
            cluster.save(kinds.ENDPOINTS, {**found, "subsets": wanted})


def _address(pod: Json) -> Json:
    meta = pod["metadata"]
    ref = {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": ref}


def _port(port: Json) -> Json:
    number = port["targetPort"] if isinstance(port.get("targetPort"), int) else port["port"]
    named = {"name": port["name"]} if "name" in port else {}
    return {**named, "port": number, "protocol": port["protocol"]}


def garbage(cluster: Cluster) -> None:
    """Delete what lost its owner, and what a foreground deletion waits for (pkg/controller/garbagecollector)."""
    living = cluster.store.uids()
    for resource in (kinds.REPLICA_SETS, kinds.REVISIONS, kinds.PODS):
        for found in cluster.store.all(resource):
            owners = found["metadata"].get("ownerReferences") or ()
            lost = bool(owners) and not any(owner["uid"] in living for owner in owners)
            if lost and "deletionTimestamp" not in found["metadata"]:
                cluster.delete(resource, found)
    for resource in (kinds.REPLICA_SETS, kinds.DEPLOYMENTS, kinds.STATEFUL_SETS):
        for found in cluster.store.all(resource):
            if FOREGROUND in (found["metadata"].get("finalizers") or ()):
                _foreground(cluster, resource, found)


def _foreground(cluster: Cluster, resource: kinds.Resource, found: Json) -> None:
    left = list(cluster.dependents(found["metadata"]["uid"]))
    for kind, each in left:
        if "deletionTimestamp" not in each["metadata"]:
            cluster.delete(kind, each, propagation="Foreground")
    if not left:
        meta = found["metadata"]
        meta["finalizers"] = [each for each in meta["finalizers"] if each != FOREGROUND]
        if meta["finalizers"]:
            cluster.save(resource, found)
        else:
            cluster.store.remove(resource, meta.get("namespace", ""), meta["name"])
