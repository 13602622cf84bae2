"""metrics.k8s.io/v1beta1: what pods and nodes use, as metrics-server tells it."""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes import selectors
from tests.servers.kubernetes.call import Answer, Call
from tests.servers.kubernetes.cluster import Cluster
from tests.servers.kubernetes.kubelet import active
from tests.servers.kubernetes.listing import list_of
from tests.servers.kubernetes.status import not_found

Json = dict[str, Any]
USUAL = (5, 64)  # millicores and MiB of a pod of which nothing else is said


def metrics(call: Call) -> Answer:
    """What one pod or node uses, or all of them; only pods that run have figures."""
    found = _pods(call.cluster) if call.resource is kinds.POD_METRICS else _nodes(call.cluster)
    found = [each for each in found if call.namespace in ("", each["metadata"].get("namespace"))]
    if call.name:
        one = next((each for each in found if each["metadata"]["name"] == call.name), None)
        if one is None:
            raise not_found(call.resource, call.name)
        return Answer(one)
    test = selectors.labels(call.query.get("labelSelector", ""))
    return Answer(list_of(call, [each for each in found if test(each)], {}))


def _used(cluster: Cluster, pod: Json) -> tuple[int, int]:
    meta = pod["metadata"]
    own = cluster.usage.get(f"{meta['namespace']}/{meta['name']}")
    return own or cluster.usage.get((meta.get("labels") or {}).get("app", ""), USUAL)


def _running(cluster: Cluster) -> list[Json]:
    pods = cluster.store.all(kinds.PODS)
    return [pod for pod in pods if active(pod) and pod["status"].get("phase") == "Running"]


def _pods(cluster: Cluster) -> list[Json]:
    found = []
    for pod in _running(cluster):
        cpu, memory = _used(cluster, pod)
        names = [container["name"] for container in pod["spec"]["containers"]]
        share, rest = cpu // len(names), memory // len(names)
        containers = [{"name": name, "usage": _usage(share, rest)} for name in names]
        meta = pod["metadata"]
        place = {key: meta[key] for key in ("name", "namespace", "labels") if key in meta}
        found.append({**_head(cluster, "PodMetrics", place), "containers": containers})
    return found


def _nodes(cluster: Cluster) -> list[Json]:
    found = []
    for node in cluster.store.all(kinds.NODES):
        name = node["metadata"]["name"]
        used = [_used(cluster, p) for p in _running(cluster) if p["spec"]["nodeName"] == name]
        total = _usage(sum(cpu for cpu, _ in used) + 100, sum(memory for _, memory in used) + 512)
        place = {"name": name, "labels": node["metadata"].get("labels", {})}
        found.append({**_head(cluster, "NodeMetrics", place), "usage": total})
    return found


def _usage(cpu: int, memory: int) -> Json:
    return {"cpu": f"{cpu * 1_000_000}n", "memory": f"{memory * 1024}Ki"}


def _head(cluster: Cluster, kind: str, place: Json) -> Json:
    stamp = cluster.stamp()
    return {
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {**place, "creationTimestamp": stamp},
        "timestamp": stamp,
        "window": "15s",
    }
