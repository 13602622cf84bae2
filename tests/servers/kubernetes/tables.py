"""Tables, which kubectl asks for: meta.k8s.io/v1 Table with the columns of the kinds that people look at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.servers.kubernetes.call import Call

Json = dict[str, Any]
Cells = Callable[[Json], list[Any]]


def wanted(accept: str) -> bool:
    """Whether a table is what a client would rather have."""
    return "as=Table" in accept.partition(",")[0]


def table(call: Call, body: Json) -> Json:
    """The Table of an object or a list; other documents (Status) as they are."""
    if body["kind"] not in (call.resource.kind, f"{call.resource.kind}List"):
        return body
    many = body["kind"].endswith("List") and "items" in body
    names, cells = COLUMNS.get(call.resource.id, ((), lambda _found: []))
    now = call.cluster.now()
    heads = ["Name", *names, "Age"]
    rows = []
    for found in body["items"] if many else [body]:
        meta = found["metadata"]
        values = [meta["name"], *cells(found), age(now, meta["creationTimestamp"])]
        part = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        rows.append({"cells": values, "object": part})
    version = body["metadata"].get("resourceVersion", "")
    meta = body["metadata"] if many else {"resourceVersion": version}
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [_column(head) for head in heads],
        "rows": rows,
    }


def _column(head: str) -> Json:
    named = "name" if head == "Name" else ""
    return {"name": head, "type": "string", "format": named, "description": head, "priority": 0}


def age(now: datetime, since: str) -> str:
    """How long ago something was, as kubectl writes it."""
    seconds = int((now - datetime.fromisoformat(since).astimezone(UTC)).total_seconds())
    for unit, size, upto in (("s", 1, 120), ("m", 60, 180), ("h", 3600, 48)):
        if seconds < size * upto:
            return f"{max(0, seconds) // size}{unit}"
    return f"{seconds // 86400}d"


def _pod(found: Json) -> list[Any]:
    statuses = found["status"].get("containerStatuses") or []
    waiting = [s["state"]["waiting"]["reason"] for s in statuses if "waiting" in s["state"]]
    told = "Terminating" if "deletionTimestamp" in found["metadata"] else None
    told = told or (waiting[0] if waiting else found["status"].get("phase", ""))
    ready = f"{sum(s['ready'] for s in statuses)}/{len(found['spec']['containers'])}"
    return [ready, told, str(sum(s["restartCount"] for s in statuses))]


def _counts(found: Json, *keys: str) -> list[str]:
    status = found.get("status") or {}
    return [str(status.get(key, 0)) for key in keys]


def _deployment(found: Json) -> list[Any]:
    ready, updated, available = _counts(found, "readyReplicas", "updatedReplicas", "availableReplicas")
    return [f"{ready}/{found['spec']['replicas']}", updated, available]


def _hpa(found: Json) -> list[Any]:
    spec, ref = found["spec"], found["spec"]["scaleTargetRef"]
    bounds = [str(spec["minReplicas"]), str(spec["maxReplicas"])]
    return [f"{ref['kind']}/{ref['name']}", "cpu: <unknown>/80%", *bounds, *_counts(found, "currentReplicas")]


def _node(found: Json) -> list[Any]:
    told = "Ready,SchedulingDisabled" if found["spec"].get("unschedulable") else "Ready"
    return [told, "<none>", found["status"]["nodeInfo"]["kubeletVersion"]]


def _pdb(found: Json) -> list[Any]:
    spec = found["spec"]
    most = [str(spec.get(key, "N/A")) for key in ("minAvailable", "maxUnavailable")]
    return [*most, *_counts(found, "disruptionsAllowed")]


def _event(found: Json) -> list[Any]:
    about = found["involvedObject"]
    return [found["type"], found["reason"], f"{about['kind'].lower()}/{about['name']}", found["message"]]


COLUMNS: dict[str, tuple[tuple[str, ...], Cells]] = {
    "pods": (("Ready", "Status", "Restarts"), _pod),
    "apps/deployments": (("Ready", "Up-to-date", "Available"), _deployment),
    "apps/replicasets": (
        ("Desired", "Current", "Ready"),
        lambda f: [str(f["spec"]["replicas"]), *_counts(f, "replicas", "readyReplicas")],
    ),
    "apps/statefulsets": (
        ("Ready",),
        lambda f: [f"{_counts(f, 'readyReplicas')[0]}/{f['spec']['replicas']}"],
    ),
    "autoscaling/horizontalpodautoscalers": (
        ("Reference", "Targets", "MinPods", "MaxPods", "Replicas"),
        _hpa,
    ),
    "policy/poddisruptionbudgets": (("Min Available", "Max Unavailable", "Allowed Disruptions"), _pdb),
    "nodes": (("Status", "Roles", "Version"), _node),
    "namespaces": (("Status",), lambda f: [f["status"]["phase"]]),
    "configmaps": (("Data",), lambda f: [str(len(f.get("data") or {}))]),
    "events": (("Type", "Reason", "Object", "Message"), _event),
}
