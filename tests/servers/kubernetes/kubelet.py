"""Scheduler and kubelet: pods get a node, their containers start, become ready, crash, and end.

An outcome is set for an image, or for one pod (NAMESPACE/NAME): "unpullable" (ErrImagePull, then
ImagePullBackOff), "creating" (stays in ContainerCreating), "never_ready", "crash" (exit code 1, then
CrashLoopBackOff), "oom" (137, OOMKilled). Without one a container starts in one step and is ready in the next.
"""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import Cluster

Json = dict[str, Any]
RESTARTS = 5  # after so many a crashing container stays in its back-off, so that a cluster can settle
CRASHES = {"crash": (1, "Error"), "oom": (137, "OOMKilled")}
PULLS = ("ContainerCreating", "ErrImagePull", "ImagePullBackOff")


def step(cluster: Cluster) -> None:
    """Take every pod one step on."""
    for pod in cluster.store.all(kinds.PODS):
        meta = pod["metadata"]
        if "deletionTimestamp" in meta:
            if not meta.get("finalizers"):
                cluster.store.remove(kinds.PODS, meta["namespace"], meta["name"])
        elif not pod["spec"].get("nodeName"):
            _schedule(cluster, pod)
        elif pod["status"].get("phase") in ("Pending", "Running"):
            _advance(cluster, pod)


def _schedule(cluster: Cluster, pod: Json) -> None:
    nodes = cluster.store.all(kinds.NODES)
    free = [node["metadata"]["name"] for node in nodes if not node["spec"].get("unschedulable")]
    if not free:
        closed = f"{len(nodes)} node(s) were unschedulable"
        message = f"0/{len(nodes)} nodes are available: {closed}."
        if not pod["status"].get("conditions"):
            _condition(cluster, pod, "PodScheduled", "False", "Unschedulable", message)
            cluster.save(kinds.PODS, pod)
        cluster.event(pod, "Warning", "FailedScheduling", message, "default-scheduler")
        return
    taken = [p["spec"].get("nodeName") for p in cluster.store.all(kinds.PODS)]
    _place(cluster, pod, min(free, key=lambda name: (taken.count(name), name)))


def _place(cluster: Cluster, pod: Json, node: str) -> None:
    """Give the pod to a node, whose kubelet says that its containers are being made."""
    pod["spec"]["nodeName"] = node
    for kind in ("PodScheduled", "Initialized", "PodReadyToStartContainers"):
        _condition(cluster, pod, kind, "True")
    names = " ".join(c["name"] for c in pod["spec"]["containers"])
    unready = f"containers with unready status: [{names}]"
    for kind in ("Ready", "ContainersReady"):
        _condition(cluster, pod, kind, "False", "ContainersNotReady", unready)
    host = next(n for n in cluster.store.all(kinds.NODES) if n["metadata"]["name"] == node)
    addresses = host.get("status", {}).get("addresses") or ()
    pod["status"]["startTime"] = cluster.stamp()
    pod["status"]["hostIP"] = next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
    pod["status"]["containerStatuses"] = [_new(container) for container in pod["spec"]["containers"]]
    meta = pod["metadata"]
    message = f"Successfully assigned {meta['namespace']}/{meta['name']} to {node}"
    cluster.event(pod, "Normal", "Scheduled", message, "default-scheduler")
    cluster.save(kinds.PODS, pod)


def _new(container: Json) -> Json:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": {"reason": "ContainerCreating"}},
        "lastState": {},
    }


def _advance(cluster: Cluster, pod: Json) -> None:
    statuses = pod["status"].get("containerStatuses") or []
    own = cluster.outcomes.get(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}")
    for container, status in zip(pod["spec"]["containers"], statuses, strict=True):
        _container(cluster, pod, status, own or cluster.outcomes.get(container["image"], ""))
    begun = all("running" in s["state"] or s["restartCount"] for s in statuses)
    if begun and pod["status"]["phase"] == "Pending":
        pod["status"]["phase"] = "Running"
        ip = f"10.244.0.{cluster.random.randint(2, 250)}"
        pod["status"]["podIP"], pod["status"]["podIPs"] = ip, [{"ip": ip}]
    unready = [s["name"] for s in statuses if not s["ready"]]
    for kind in ("Ready", "ContainersReady"):
        if unready:
            why = f"containers with unready status: [{' '.join(unready)}]"
            _condition(cluster, pod, kind, "False", "ContainersNotReady", why)
        else:
            _condition(cluster, pod, kind, "True")
    cluster.save(kinds.PODS, pod)


def _container(cluster: Cluster, pod: Json, status: Json, outcome: str) -> None:
    waiting = status["state"].get("waiting")
    if waiting is None:
        _running(cluster, pod, status, outcome)
    elif waiting["reason"] in PULLS and outcome == "unpullable":
        _pull_fails(cluster, pod, status, waiting["reason"])
    elif waiting["reason"] in PULLS and outcome == "creating":
        return
    elif waiting["reason"] in PULLS or outcome not in CRASHES or status["restartCount"] < RESTARTS:
        _start(cluster, pod, status)


def _pull_fails(cluster: Cluster, pod: Json, status: Json, was: str) -> None:
    image = status["image"]
    failed = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
    if was == "ContainerCreating":
        told = f'Failed to pull image "{image}": rpc error: code = NotFound desc = {failed}'
        status["state"] = {"waiting": {"reason": "ErrImagePull", "message": told.partition(": ")[2]}}
        cluster.event(pod, "Normal", "Pulling", f'Pulling image "{image}"', "kubelet")
        cluster.event(pod, "Warning", "Failed", told, "kubelet")
        cluster.event(pod, "Warning", "Failed", "Error: ErrImagePull", "kubelet")
    elif was == "ErrImagePull":
        message = f'Back-off pulling image "{image}"'
        status["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": message}}
        cluster.event(pod, "Normal", "BackOff", message, "kubelet")
        cluster.event(pod, "Warning", "Failed", "Error: ImagePullBackOff", "kubelet")


def _start(cluster: Cluster, pod: Json, status: Json) -> None:
    image, name = status["image"], status["name"]
    message = f'Container image "{image}" already present on machine'
    cluster.event(pod, "Normal", "Pulled", message, "kubelet")
    cluster.event(pod, "Normal", "Created", f"Container created: {name}", "kubelet")
    cluster.event(pod, "Normal", "Started", f"Container started: {name}", "kubelet")
    status["state"] = {"running": {"startedAt": cluster.stamp()}}
    status["started"] = True
    status["imageID"] = f"registry.example.com/{name}@sha256:{'0' * 64}"
    status["containerID"] = f"containerd://{cluster.random.getrandbits(256):064x}"


def _running(cluster: Cluster, pod: Json, status: Json, outcome: str) -> None:
    if outcome in CRASHES:
        _crash(cluster, pod, status, *CRASHES[outcome])
    elif outcome == "never_ready":
        status["ready"] = False
        message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        cluster.event(pod, "Warning", "Unhealthy", message, "kubelet")
    else:
        status["ready"] = True


def _crash(cluster: Cluster, pod: Json, status: Json, code: int, reason: str) -> None:
    meta = pod["metadata"]
    ended = {
        "exitCode": code,
        "reason": reason,
        "startedAt": status["state"]["running"]["startedAt"],
        "finishedAt": cluster.stamp(),
        "containerID": status["containerID"],
    }
    status["lastState"] = {"terminated": ended}
    status["restartCount"] += 1
    status["ready"] = status["started"] = False
    pause = min(300, 10 * 2 ** (status["restartCount"] - 1))
    where = f"pod={meta['name']}_{meta['namespace']}({meta['uid']})"
    message = f"back-off {pause}s restarting failed container={status['name']} {where}"
    status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
    told = f"Back-off restarting failed container {status['name']} in pod {where.removeprefix('pod=')}"
    cluster.event(pod, "Warning", "BackOff", told, "kubelet")
    if reason == "OOMKilled" and (node := cluster.store.get(kinds.NODES, "", pod["spec"]["nodeName"])):
        killed = (
            f"Memory cgroup out of memory: Killed process {1000 + status['restartCount']} ({status['name']})"
        )
        cluster.event(node, "Warning", "OOMKilling", killed, "kernel-monitor")


def _condition(
    cluster: Cluster, pod: Json, kind: str, status: str, reason: str = "", message: str = ""
) -> None:
    conditions = pod["status"].setdefault("conditions", [])
    old = next((c for c in conditions if c["type"] == kind), None)
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else cluster.stamp()
    new = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
    new |= ({"reason": reason} if reason else {}) | ({"message": message} if message else {})
    if old is None:
        conditions.append(new)
    else:
        conditions[conditions.index(old)] = new


def ready(pod: Json) -> bool:
    """Whether a pod takes traffic."""
    return _true(pod, "Ready") is not None and "deletionTimestamp" not in pod["metadata"]


def _true(pod: Json, kind: str) -> Json | None:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if (c["type"], c["status"]) == (kind, "True")), None)


def available(cluster: Cluster, pod: Json, min_ready_seconds: int) -> bool:
    """Whether a pod has been ready for so many seconds."""
    condition = _true(pod, "Ready")
    if condition is None or "deletionTimestamp" in pod["metadata"]:
        return False
    since = cluster.now().fromisoformat(condition["lastTransitionTime"])
    return (cluster.now() - since).total_seconds() >= min_ready_seconds


def active(pod: Json) -> bool:
    """Whether a pod counts for its controller."""
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]
