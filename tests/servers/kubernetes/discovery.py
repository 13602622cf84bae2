"""/version, /api, /apis and the lists of resources, which clients read first."""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes.resources import GROUPS, RESOURCES, Resource

Json = dict[str, Any]
VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-04-22T00:00:00Z",
    "goVersion": "go1.26.0",
    "compiler": "gc",
    "platform": "linux/amd64",
}
POD_SUBRESOURCES = (
    ("pods/eviction", "Eviction", ("create",), ("policy", "v1")),
    ("pods/exec", "PodExecOptions", ("create", "get"), None),
    ("pods/log", "Pod", ("get",), None),
)


def document(path: str, host: str) -> Json | None:
    """What a discovery path answers; None for a path that is none."""
    parts = path.strip("/").split("/")
    if path in ("/version", "/version/"):
        return dict(VERSION)
    if parts == ["api"]:
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
    if parts == ["apis"]:
        groups = [_group(group, version) for group, version in GROUPS]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if parts == ["api", "v1"]:
        return _resources("", "v1")
    if parts[0] == "apis" and len(parts) == 2:
        found = next(((g, v) for g, v in GROUPS if g == parts[1]), None)
        return None if found is None else {"kind": "APIGroup", "apiVersion": "v1", **_group(*found)}
    if parts[0] == "apis" and tuple(parts[1:]) in GROUPS:
        return _resources(parts[1], parts[2])
    return None


def _group(group: str, version: str) -> Json:
    one = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [one], "preferredVersion": one}


def _resources(group: str, version: str) -> Json:
    listed: list[Json] = []
    for resource in RESOURCES:
        if (resource.group, resource.version) == (group, version):
            listed += [_resource(resource), *_subresources(resource)]
    named = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": named, "resources": listed}


def _resource(resource: Resource) -> Json:
    found: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short:
        found["shortNames"] = list(resource.short)
    if resource.all:
        found["categories"] = ["all"]
    return found


def _subresources(resource: Resource) -> list[Json]:
    rows: list[tuple[str, str, tuple[str, ...], tuple[str, str] | None]] = []
    written = ("get", "patch", "update")
    if resource.scale:
        rows.append((f"{resource.plural}/scale", "Scale", written, ("autoscaling", "v1")))
    if resource.status:
        rows.append((f"{resource.plural}/status", resource.kind, written, None))
    if resource.id == "pods":
        rows += POD_SUBRESOURCES
    found = []
    for name, kind, verbs, other in rows:
        row: Json = {"name": name, "singularName": "", "namespaced": resource.namespaced, "kind": kind}
        row["verbs"] = list(verbs)
        if other is not None:
            row |= {"group": other[0], "version": other[1]}
        found.append(row)
    return found
