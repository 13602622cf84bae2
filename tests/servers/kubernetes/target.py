"""What a path is about: apiserver's request info (k8s.io/apiserver/pkg/endpoints/request)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.servers.kubernetes.selectors import named

NAMESPACE_PARTS = ("status", "finalize")
METHODS = {"POST": "create", "PUT": "update", "PATCH": "patch", "HEAD": "get"}


@dataclass(frozen=True)
class Target:
    """The verb, and the resource; `plural` is empty for a path that is no resource's."""

    verb: str
    group: str = ""
    version: str = ""
    namespace: str = ""
    plural: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def full(self) -> str:
        """The resource with its subresource: deployments/scale."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    def selected(self, query: Mapping[str, str]) -> str:
        """The name that RBAC looks at: of the path, or the one that a field selector asks for."""
        if self.name or self.verb not in ("list", "watch", "deletecollection"):
            return self.name
        return named(query.get("fieldSelector", ""))


def target_of(method: str, path: str, query: Mapping[str, str]) -> Target:
    """What a request is about."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Target(method.lower())
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in NAMESPACE_PARTS:
            rest = rest[2:]
    rest += [""] * (3 - len(rest))
    return Target(_verb(method, rest[1], query), group, version, namespace, rest[0], rest[1], rest[2])


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    if method in METHODS:
        return METHODS[method]
    if query.get("watch") in ("true", "1"):
        return "watch"
    return "get" if name else "list"
