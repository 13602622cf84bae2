"""What the objects of Kubernetes say: pods, deployments, their templates and owners, read from plain JSON."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
RESTARTED = "kubectl.kubernetes.io/restartedAt"
MARK = "watchbell/change"  # the annotation by which a restart of ours is known again
REVISION = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
_SPEAKER = "kubectl.kubernetes.io/default-container"
HASH = "pod-template-hash"
# Labels and annotations by which those who undo what others change show that a thing is theirs.
_OWNERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
_QUANTITY = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", re.ASCII)
_UNITS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTP", 1)},
}


def at(found: Any, *keys: str, default: Any = None) -> Any:
    """What stands there, however deep; the default where anything on the way is missing."""
    for key in keys:
        if not isinstance(found, Mapping) or found.get(key) is None:
            return default
        found = found[key]
    return found


def name(found: Json) -> str:
    """An object's name."""
    return str(at(found, "metadata", "name", default=""))


def speaker(pod: Json) -> str:
    """The container that speaks for a pod: the one that its annotation names, else the first."""
    chosen = at(pod, "metadata", "annotations", _SPEAKER)
    return str(chosen or at(pod, "spec", "containers", default=[{}])[0].get("name", ""))


def uid(found: Json) -> str:
    """An object's uid: another object of the same name has another one."""
    return str(at(found, "metadata", "uid", default=""))


def version(found: Json) -> str:
    """An object's resourceVersion, with which a change of it says what it has seen."""
    return str(at(found, "metadata", "resourceVersion", default=""))


def owned(found: Json, owner: str) -> bool:
    """Whether the object of that uid is its controller."""
    owners = at(found, "metadata", "ownerReferences", default=[])
    return any(each.get("uid") == owner and each.get("controller") for each in owners)


def marked(found: Json, mark: str) -> bool:
    """Whether fields of the object were last written under this name (metadata.managedFields)."""
    return any(each.get("manager") == mark for each in at(found, "metadata", "managedFields", default=[]))


def gitops(found: Json) -> str:
    """Which tool keeps the object as it stands in a repository, or nothing."""
    notes = {
        **at(found, "metadata", "labels", default={}),
        **at(found, "metadata", "annotations", default={}),
    }
    return next((who for key, who in _OWNERS.items() if key in notes), "")


# -- times and quantities -------------------------------------------------------------------------


def when(text: Any) -> datetime | None:
    """The moment that a timestamp names (RFC 3339); None for none."""
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def age(found: Json, now: datetime) -> str:
    """`2 d`, `3 h`, `41 min`, `12 s`."""
    since = when(at(found, "metadata", "creationTimestamp"))
    seconds = max(0, int((now - since).total_seconds())) if since else 0
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock(text: Any) -> str:
    """`02:41 UTC`, or a dash."""
    found = when(text)
    return f"{found.astimezone(UTC):%H:%M} UTC" if found else "–"


def date(text: Any) -> str:
    """`2026-01-03 02:41 UTC`, or a dash."""
    found = when(text)
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if found else "–"


def quantity(text: Any) -> float:
    """Cores, or bytes, of `250m`, `64Mi` (kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity)."""
    found = _QUANTITY.fullmatch(str(text))
    return float(found[1]) * _UNITS.get(found[2], 0.0) if found else 0.0


def cpu(cores: float) -> str:
    """`250m`."""
    return f"{round(cores * 1000)}m"


def memory(count: float) -> str:
    """`512Mi`, `1.9Gi`."""
    return f"{count / 1024**3:.1f}Gi" if count >= 1024**3 else f"{round(count / 1024**2)}Mi"


# -- pods -----------------------------------------------------------------------------------------


def is_ready(pod: Json) -> bool:
    """Whether a pod takes traffic."""
    return condition(pod, "Ready") == "True" and not leaving(pod)


def leaving(pod: Json) -> bool:
    """Whether a pod is being ended."""
    return at(pod, "metadata", "deletionTimestamp") is not None


def over(pod: Json) -> bool:
    """Whether a pod has ended and stands there only to be looked at."""
    return at(pod, "status", "phase") in ("Succeeded", "Failed")


def condition(found: Json, kind: str, what: str = "status") -> str:
    """A condition's status, reason or message."""
    each: Json = next((c for c in at(found, "status", "conditions", default=[]) if c.get("type") == kind), {})
    return str(each.get(what) or "")


def containers(pod: Json) -> list[Json]:
    """What the kubelet says of its containers, those that only prepare it first."""
    return [
        *at(pod, "status", "initContainerStatuses", default=[]),
        *at(pod, "status", "containerStatuses", default=[]),
    ]


def counts(pod: Json) -> tuple[str, int]:
    """`1/2` containers ready, and how often they were restarted."""
    statuses = at(pod, "status", "containerStatuses", default=[])
    total = len(at(pod, "spec", "containers", default=[]))
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{total}", sum(
        int(s.get("restartCount") or 0) for s in statuses
    )


def ailment(pod: Json) -> str:
    """What keeps a pod from serving: CrashLoopBackOff, ImagePullBackOff, OOMKilled, Unschedulable, … or nothing."""
    if leaving(pod):
        return "Terminating"
    for status in containers(pod):
        waiting = at(status, "state", "waiting", "reason", default="")
        last = at(status, "lastState", "terminated", "reason", default="")
        if waiting and waiting != "PodInitializing":
            return f"{waiting}, {last}" if last == "OOMKilled" else str(waiting)
        if (ended := at(status, "state", "terminated", default={})) and ended.get("exitCode"):
            return str(ended.get("reason") or "Error")
    if condition(pod, "PodScheduled") == "False":
        return condition(pod, "PodScheduled", "reason") or "Unschedulable"
    if at(pod, "status", "reason"):
        return str(pod["status"]["reason"])
    return "" if is_ready(pod) or over(pod) else "not ready"


def remark(pod: Json) -> str:
    """What ails a pod, or that it was killed for its memory of late."""
    if found := ailment(pod):
        return found
    killed = [
        at(status, "lastState", "terminated", "finishedAt")
        for status in containers(pod)
        if at(status, "lastState", "terminated", "reason") == "OOMKilled"
    ]
    return f"OOMKilled {clock(killed[-1])}" if killed else ""


def ailments(pods: Iterable[Json]) -> str:
    """`2 pods ImagePullBackOff, 1 pod not ready`, or nothing."""
    found = Counter(what for pod in pods if (what := ailment(pod)) and what != "Terminating")
    return ", ".join(f"{n} pod{'s' if n != 1 else ''} {what}" for what, n in found.most_common(3))


# -- deployments ----------------------------------------------------------------------------------


def replicas(found: Json) -> int:
    """How many pods a deployment is to have; a Scale leaves the field out at 0, a deployment never does."""
    return int(at(found, "spec", "replicas", default=1 if found.get("kind") == "Deployment" else 0))


def revision(found: Json) -> int:
    """The revision of a deployment or one of its ReplicaSets; 0 for none."""
    text = str(at(found, "metadata", "annotations", REVISION, default="0"))
    return int(text) if text.isascii() and text.isdigit() else 0


def image(found: Json) -> str:
    """The images of a template: one, or `app=…, proxy=…`."""
    there = at(found, "spec", "template", "spec", "containers", default=[])
    if len(there) == 1:
        return str(there[0].get("image", ""))
    return ", ".join(f"{each.get('name')}={each.get('image')}" for each in there)


def tag(text: str) -> str:
    """What tells images apart: `1.2.3` of `registry/app:1.2.3`."""
    return text if ", " in text else text.rpartition("/")[2].rpartition(":")[2][:40]


def template(found: Json) -> Json:
    """A deployment's or ReplicaSet's template without what a controller or a restart adds to it."""
    made: Json = copy.deepcopy(at(found, "spec", "template", default={}))
    meta = made.setdefault("metadata", {})
    meta["labels"] = {k: v for k, v in (meta.get("labels") or {}).items() if k != HASH}
    notes = {k: v for k, v in (meta.get("annotations") or {}).items() if k not in (RESTARTED, MARK)}
    meta.pop("annotations", None)
    meta.pop("creationTimestamp", None)
    return {**made, "metadata": {**meta, **({"annotations": notes} if notes else {})}}


def fingerprint(found: Json) -> str:
    """Twelve hexadecimal digits that are equal for equal templates."""
    text = json.dumps(template(found), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def limits(found: Json) -> tuple[float, float]:
    """The cores and bytes that a pod of a deployment may use; 0 for no limit."""
    there = at(found, "spec", "template", "spec", "containers", default=[])
    each: list[Json] = [at(c, "resources", "limits", default={}) for c in there]
    return sum(quantity(e.get("cpu", 0)) for e in each), sum(quantity(e.get("memory", 0)) for e in each)


@dataclass(frozen=True, slots=True)
class Rollout:
    """How far a deployment is: `ready` of `wanted` new pods, `present` pods in all, and why it is stuck."""

    wanted: int
    ready: int
    present: int
    settled: bool
    stuck: str


def rollout(found: Json) -> Rollout:
    """As `kubectl rollout status` judges it, counting old pods as ready before new ones."""
    wanted, status = replicas(found), found.get("status") or {}
    total, updated = int(status.get("replicas") or 0), int(status.get("updatedReplicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    seen = int(status.get("observedGeneration") or 0) >= int(
        at(found, "metadata", "generation", default=0) or 0
    )
    settled = seen and updated >= wanted and total <= updated and available >= updated and total == wanted
    ready = max(0, min(wanted, updated, available - max(0, total - updated))) if seen else 0
    late = condition(found, "Progressing", "reason") == "ProgressDeadlineExceeded"
    failing = condition(found, "ReplicaFailure", "message") if seen else ""
    stuck = failing or ("its progress deadline has passed" if late and seen else "")
    return Rollout(wanted, ready, total, settled, "" if settled else stuck)
