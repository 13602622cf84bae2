"""The ReplicaSet controller: as many pods as asked for (k8s.io/kubernetes/pkg/controller/replicaset)."""

from __future__ import annotations

import copy
from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import Cluster
from tests.servers.kubernetes.kubelet import active, available, ready

Json = dict[str, Any]
COMPONENT = "replicaset-controller"


def reconcile(cluster: Cluster) -> None:
    """Bring every ReplicaSet's pods and status to what they should be."""
    for found in cluster.store.all(kinds.REPLICA_SETS):
        pods = pods_of(cluster, found)
        if "deletionTimestamp" not in found["metadata"]:
            pods = _scale(cluster, found, pods)
        _status(cluster, found, pods)


def owner(found: Json) -> Json:
    """The owner reference of what a controller makes for an object."""
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "name": found["metadata"]["name"],
        "uid": found["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(found: Json, uid: str) -> bool:
    """Whether an object's controller has this uid."""
    owners = found["metadata"].get("ownerReferences") or ()
    return any(o["uid"] == uid and o.get("controller") for o in owners)


def pods_of(cluster: Cluster, found: Json) -> list[Json]:
    """The pods of a controller that count."""
    pods = cluster.store.all(kinds.PODS, found["metadata"]["namespace"])
    return [pod for pod in pods if owned_by(pod, found["metadata"]["uid"]) and active(pod)]


def pod_from(template: Json, namespace: str, name: Json, by: Json) -> Json:
    """A pod of a template; `name` holds its name or generateName, `by` is its controller."""
    meta = {**copy.deepcopy(template["metadata"]), **name, "namespace": namespace}
    return {"metadata": {**meta, "ownerReferences": [owner(by)]}, "spec": copy.deepcopy(template["spec"])}


def _scale(cluster: Cluster, found: Json, pods: list[Json]) -> list[Json]:
    meta, wanted = found["metadata"], found["spec"]["replicas"]
    for _ in range(wanted - len(pods)):
        name = {"generateName": f"{meta['name']}-"}
        pod = cluster.create(kinds.PODS, pod_from(found["spec"]["template"], meta["namespace"], name, found))
        cluster.event(
            found, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}", COMPONENT
        )
        pods.append(pod)
    if len(pods) > wanted:
        pods.sort(key=_worth)
        for pod in pods[: len(pods) - wanted]:
            cluster.delete(kinds.PODS, pod)
            message = f"Deleted pod: {pod['metadata']['name']}"
            cluster.event(found, "Normal", "SuccessfulDelete", message, COMPONENT)
        pods = pods[len(pods) - wanted :]
    return pods


def _worth(pod: Json) -> tuple[bool, bool, bool, str]:
    """Those without a node go first, then those that do not run, then those that are not ready."""
    phase = (pod.get("status") or {}).get("phase")
    return bool(pod["spec"].get("nodeName")), phase == "Running", ready(pod), pod["metadata"]["name"]


def _status(cluster: Cluster, found: Json, pods: list[Json]) -> None:
    patience = found["spec"].get("minReadySeconds", 0)
    status: Json = {"replicas": len(pods)}
    counts = {
        "fullyLabeledReplicas": len(pods),
        "readyReplicas": sum(ready(pod) for pod in pods),
        "availableReplicas": sum(available(cluster, pod, patience) for pod in pods),
    }
    status |= {key: count for key, count in counts.items() if count}
    status["observedGeneration"] = found["metadata"]["generation"]
    if status != found.get("status"):
        cluster.save(kinds.REPLICA_SETS, {**found, "status": status})
