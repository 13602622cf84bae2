"""The StatefulSet controller: numbered pods in order, updated from the last to the first.

k8s.io/kubernetes/pkg/controller/statefulset, with OrderedReady pods and the RollingUpdate strategy.
"""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import Cluster
from tests.servers.kubernetes.deployments import template_hash
from tests.servers.kubernetes.kubelet import available, ready
from tests.servers.kubernetes.replicasets import owned_by, owner, pod_from

Json = dict[str, Any]
LABEL = "controller-revision-hash"
COMPONENT = "statefulset-controller"


def reconcile(cluster: Cluster) -> None:
    """Bring every StatefulSet one pod nearer to what it should be, and its status up to date."""
    for found in cluster.store.all(kinds.STATEFUL_SETS):
        if "deletionTimestamp" in found["metadata"]:
            continue
        mark = _revision(cluster, found)
        pods = _pods(cluster, found)
        _work(cluster, found, pods, mark)
        _status(cluster, found, _pods(cluster, found), mark)


def _pods(cluster: Cluster, found: Json) -> dict[int, Json]:
    """Its pods by number, those that are ending too: a number is free when its pod is gone."""
    pods = cluster.store.all(kinds.PODS, found["metadata"]["namespace"])
    own = [pod for pod in pods if owned_by(pod, found["metadata"]["uid"])]
    return {int(pod["metadata"]["name"].rpartition("-")[2]): pod for pod in own}


def _revision(cluster: Cluster, found: Json) -> str:
    """The name of the ControllerRevision of its template, made where there is none."""
    meta, template = found["metadata"], found["spec"]["template"]
    name = f"{meta['name']}-{template_hash(template)}"
    every = cluster.store.all(kinds.REVISIONS, meta["namespace"])
    own = [each for each in every if owned_by(each, meta["uid"])]
    highest = max((each["revision"] for each in own), default=0)
    same = next((each for each in own if each["metadata"]["name"] == name), None)
    if same is None:
        labels = {**template["metadata"].get("labels", {}), LABEL: name.rpartition("-")[2]}
        document = {
            "metadata": {
                "name": name,
                "namespace": meta["namespace"],
                "labels": labels,
                "ownerReferences": [owner(found)],
            },
            "data": {"spec": {"template": {**template, "$patch": "replace"}}},
            "revision": highest + 1,
        }
        cluster.create(kinds.REVISIONS, document)
    elif same["revision"] < highest:
        cluster.save(kinds.REVISIONS, {**same, "revision": highest + 1})
    return name


def _work(cluster: Cluster, found: Json, pods: dict[int, Json], mark: str) -> None:
    wanted = found["spec"]["replicas"]
    if any("deletionTimestamp" in pod["metadata"] for pod in pods.values()):
        return
    if surplus := [number for number in pods if number >= wanted]:
        _delete(cluster, found, pods[max(surplus)])
        return
    for number in range(wanted):
        if number not in pods:
            _create(cluster, found, number, mark)
            return
        outdated = pods[number]["metadata"]["labels"][LABEL] != mark
        if not ready(pods[number]):
            if outdated and found["spec"]["updateStrategy"]["type"] == "RollingUpdate":
                _delete(cluster, found, pods[number])
            return
    _update(cluster, found, pods, mark)


def _create(cluster: Cluster, found: Json, number: int, mark: str) -> None:
    meta = found["metadata"]
    name = {"name": f"{meta['name']}-{number}"}
    document = pod_from(found["spec"]["template"], meta["namespace"], name, found)
    labels = {
        **document["metadata"].get("labels", {}),
        LABEL: mark,
        "statefulset.kubernetes.io/pod-name": name["name"],
        "apps.kubernetes.io/pod-index": str(number),
    }
    document["metadata"]["labels"] = labels
    cluster.create(kinds.PODS, document)
    message = f"create Pod {name['name']} in StatefulSet {meta['name']} successful"
    cluster.event(found, "Normal", "SuccessfulCreate", message, COMPONENT)


def _delete(cluster: Cluster, found: Json, pod: Json) -> None:
    cluster.delete(kinds.PODS, pod)
    name = pod["metadata"]["name"]
    message = f"delete Pod {name} in StatefulSet {found['metadata']['name']} successful"
    cluster.event(found, "Normal", "SuccessfulDelete", message, COMPONENT)


def _update(cluster: Cluster, found: Json, pods: dict[int, Json], mark: str) -> None:
    strategy = found["spec"]["updateStrategy"]
    if strategy["type"] != "RollingUpdate":
        return
    first = (strategy.get("rollingUpdate") or {}).get("partition", 0)
    old = [n for n, pod in pods.items() if n >= first and pod["metadata"]["labels"][LABEL] != mark]
    if old:
        _delete(cluster, found, pods[max(old)])


def _status(cluster: Cluster, found: Json, pods: dict[int, Json], mark: str) -> None:
    old = found.get("status") or {}
    live = list(pods.values())
    updated = sum(pod["metadata"]["labels"][LABEL] == mark for pod in live)
    done = updated == len(live) == found["spec"]["replicas"] and all(map(ready, live))
    current = mark if done else old.get("currentRevision", mark)
    patience = found["spec"].get("minReadySeconds", 0)
    counts = {
        "readyReplicas": sum(map(ready, live)),
        "currentReplicas": sum(pod["metadata"]["labels"][LABEL] == current for pod in live),
        "updatedReplicas": updated,
    }
    status = {
        "observedGeneration": found["metadata"]["generation"],
        "replicas": len(live),
        "availableReplicas": sum(available(cluster, pod, patience) for pod in live),
        "currentRevision": current,
        "updateRevision": mark,
        "collisionCount": 0,
        **{key: count for key, count in counts.items() if count},
    }
    if status != old:
        cluster.save(kinds.STATEFUL_SETS, {**found, "status": status})
