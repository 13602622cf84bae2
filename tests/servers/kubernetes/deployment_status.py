"""What a Deployment says about itself: counts, observed generation, conditions, the progress deadline.

k8s.io/kubernetes/pkg/controller/deployment: sync.go (calculateStatus) and progress.go.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import Cluster

Json = dict[str, Any]
BEGUN = {
    "created": ("NewReplicaSetCreated", "Created new replica set"),
    "found": ("FoundNewReplicaSet", "Found new replica set"),
}


def report(
    cluster: Cluster, found: Json, new: Json | None, sets: list[Json], missing: int, what: str
) -> None:
    """Store the status; `missing` is how many pods a rollout may lack, `what` how `new` came to be."""
    old = found.get("status") or {}
    status = _counts(found, new, sets)
    conditions = [dict(each) for each in old.get("conditions") or ()]
    _available(cluster, conditions, status.get("availableReplicas", 0) >= found["spec"]["replicas"] - missing)
    _progressing(cluster, found, status, conditions, new, what)
    status["conditions"] = conditions
    if status != old:
        cluster.save(kinds.DEPLOYMENTS, {**found, "status": status})


def _counts(found: Json, new: Json | None, sets: list[Json]) -> Json:
    def total(key: str) -> int:
        return sum(int(each.get("status", {}).get(key, 0)) for each in sets)

    current = next((s for s in sets if new and s["metadata"]["uid"] == new["metadata"]["uid"]), None)
    wanted = sum(each["spec"]["replicas"] for each in sets)
    counts = {
        "replicas": total("replicas"),
        "updatedReplicas": int(current["status"].get("replicas", 0)) if current is not None else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": total("availableReplicas"),
        "unavailableReplicas": max(0, wanted - total("availableReplicas")),
    }
    shown = {key: count for key, count in counts.items() if count}
    return {"observedGeneration": found["metadata"]["generation"], **shown}


def _set(
    cluster: Cluster,
    conditions: list[Json],
    kind: str,
    status: str,
    reason: str,
    message: str,
    *,
    moved: bool,
) -> None:
    """Put a condition; `moved` says that there was progress, which the progress deadline counts from."""
    stamp = cluster.stamp()
    old = next((each for each in conditions if each["type"] == kind), None)
    if old is not None and not moved and (old["status"], old["reason"]) == (status, reason):
        return
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else stamp
    new = {
        "type": kind,
        "status": status,
        "lastUpdateTime": stamp,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    if old is not None:
        conditions.remove(old)
    conditions.append(new)


def _available(cluster: Cluster, conditions: list[Json], enough: bool) -> None:
    said = {
        True: ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
        False: ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
    }
    _set(cluster, conditions, "Available", *said[enough], moved=False)


def _progressing(
    cluster: Cluster, found: Json, status: Json, conditions: list[Json], new: Json | None, what: str
) -> None:
    old = found.get("status") or {}
    was = next((each for each in conditions if each["type"] == "Progressing"), None)
    if found["spec"].get("paused"):
        message = "Deployment is paused"
        _set(cluster, conditions, "Progressing", "Unknown", "DeploymentPaused", message, moved=False)
        return
    if new is None:
        return
    name = f'"{new["metadata"]["name"]}"'
    if _complete(found, status):
        message = f"ReplicaSet {name} has successfully progressed."
        _set(cluster, conditions, "Progressing", "True", "NewReplicaSetAvailable", message, moved=False)
    elif was is None or name not in was["message"]:
        reason, begun = BEGUN[what]
        _set(cluster, conditions, "Progressing", "True", reason, f"{begun} {name}", moved=True)
    elif _progressed(old, status):
        message = f"ReplicaSet {name} is progressing."
        _set(cluster, conditions, "Progressing", "True", "ReplicaSetUpdated", message, moved=True)
    elif _timed_out(cluster, found, was):
        message = f"ReplicaSet {name} has timed out progressing."
        _set(cluster, conditions, "Progressing", "False", "ProgressDeadlineExceeded", message, moved=False)


def _complete(found: Json, status: Json) -> bool:
    wanted = found["spec"]["replicas"]
    keys = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status.get(key, 0) == wanted for key in keys)


def _progressed(old: Json, status: Json) -> bool:
    """More new pods, more ready or available ones, or fewer old ones than at the last look."""
    if any(
        status.get(k, 0) > old.get(k, 0) for k in ("updatedReplicas", "readyReplicas", "availableReplicas")
    ):
        return True
    return _outdated(status) < _outdated(old)


def _outdated(status: Json) -> int:
    return int(status.get("replicas", 0)) - int(status.get("updatedReplicas", 0))


def _timed_out(cluster: Cluster, found: Json, was: Json) -> bool:
    if was["reason"] == "NewReplicaSetAvailable":
        return False
    if was["reason"] == "ProgressDeadlineExceeded":
        return True
    since = datetime.fromisoformat(was["lastUpdateTime"])
    passed = (cluster.now() - since).total_seconds()
    return passed > float(found["spec"]["progressDeadlineSeconds"])
