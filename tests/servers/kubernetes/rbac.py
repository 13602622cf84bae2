"""Who may do what: bearer tokens, and ClusterRole documents as rules (k8s.io/kubernetes/plugin/pkg/auth)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.servers.kubernetes.resources import Resource

Json = dict[str, Any]
RULE_MEMBERS = frozenset({"apiGroups", "resources", "verbs", "resourceNames", "nonResourceURLs"})
REVIEWS = {
    "authorization.k8s.io": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
    "authentication.k8s.io": ["selfsubjectreviews"],
}
BASIC: list[Json] = [
    {"verbs": ["create"], "apiGroups": [group], "resources": plurals} for group, plurals in REVIEWS.items()
]
PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", *PUBLIC]
ADMIN = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


@dataclass(frozen=True)
class Grant:
    """The rules of a role, in one namespace or (None) everywhere."""

    role: str
    rules: list[Json]
    namespace: str | None = None


@dataclass
class Account:
    """Who a token stands for, and what was granted to it."""

    user: str
    groups: list[str] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)

    @property
    def all_grants(self) -> list[Grant]:
        """With what everybody who is authenticated may do, or for nobody the public paths."""
        if self.user == ANONYMOUS:
            return [Grant("system:public-info-viewer", [{"verbs": ["get"], "nonResourceURLs": PUBLIC}])]
        urls = {"verbs": ["get"], "nonResourceURLs": DISCOVERY}
        basic = [Grant("system:basic-user", BASIC), Grant("system:discovery", [urls])]
        masters = [Grant("cluster-admin", ADMIN)] if "system:masters" in self.groups else []
        return [*masters, *self.grants, *basic]


ANONYMOUS = "system:anonymous"


def admin() -> Account:
    """An account that may do everything."""
    return Account("kubernetes-admin", ["system:masters", "system:authenticated"])


@dataclass(frozen=True)
class Attempt:
    """What somebody wants to do; without a resource it is about a path."""

    verb: str
    resource: Resource | None = None
    group: str = ""
    plural: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def allowed(account: Account, attempt: Attempt) -> str | None:
    """The reason why it is allowed, as SelfSubjectAccessReview tells it; None where it is not."""
    for grant in account.all_grants:
        if grant.namespace not in (None, attempt.namespace):
            continue
        if any(_fits(rule, attempt) for rule in grant.rules):
            kind = "ClusterRoleBinding" if grant.namespace is None else "RoleBinding"
            name = grant.role if grant.namespace is None else f"{grant.role}/{grant.namespace}"
            return f'RBAC: allowed by {kind} "{name}" of ClusterRole "{grant.role}" to User "{account.user}"'
    return None


def _fits(rule: Json, attempt: Attempt) -> bool:
    if attempt.verb not in rule["verbs"] and "*" not in rule["verbs"]:
        return False
    if attempt.path:
        return any(_url_fits(url, attempt.path) for url in rule.get("nonResourceURLs", ()))
    groups, resources = rule.get("apiGroups", ()), rule.get("resources", ())
    if attempt.group not in groups and "*" not in groups:
        return False
    names = rule.get("resourceNames") or ()
    if names and attempt.name not in names:
        return False
    wanted = f"{attempt.plural}/{attempt.subresource}" if attempt.subresource else attempt.plural
    any_parent = f"*/{attempt.subresource}" if attempt.subresource else "*"
    return "*" in resources or wanted in resources or any_parent in resources


def _url_fits(url: str, path: str) -> bool:
    return path == url or (url.endswith("*") and path.startswith(url[:-1]))


def refusal(account: Account, attempt: Attempt) -> str:
    """The sentence of a 403 (apiserver's responsewriters.forbiddenMessage)."""
    if attempt.path:
        return f'User "{account.user}" cannot {attempt.verb} path "{attempt.path}"'
    plural = f"{attempt.plural}/{attempt.subresource}" if attempt.subresource else attempt.plural
    what = f'cannot {attempt.verb} resource "{plural}" in API group "{attempt.group}"'
    where = f'in the namespace "{attempt.namespace}"' if attempt.namespace else "at the cluster scope"
    return f'User "{account.user}" {what} {where}'


def rules_of(account: Account, namespace: str) -> Iterator[Json]:
    """The rules that hold for somebody in a namespace."""
    for grant in account.all_grants:
        if grant.namespace in (None, namespace):
            yield from grant.rules


def role_rules(document: Json) -> list[Json]:
    """The rules of a ClusterRole or Role document; ValueError where it is none, or has something else in it."""
    if document.get("apiVersion") != "rbac.authorization.k8s.io/v1":
        raise ValueError(f"apiVersion is {document.get('apiVersion')!r}")
    if document.get("kind") not in ("ClusterRole", "Role"):
        raise ValueError(f"kind is {document.get('kind')!r}")
    if unknown := set(document) - {"apiVersion", "kind", "metadata", "rules"}:
        raise ValueError(f"a role has no {', '.join(sorted(unknown))}")
    for rule in document.get("rules") or []:
        _check_rule(rule)
    return list(document.get("rules") or [])


def _check_rule(rule: Json) -> None:
    if unknown := set(rule) - RULE_MEMBERS:
        raise ValueError(f"a rule has no {', '.join(sorted(unknown))}")
    if not rule.get("verbs"):
        raise ValueError("a rule has to have verbs")
    if rule.get("nonResourceURLs"):
        if rule.get("resources") or rule.get("apiGroups"):
            raise ValueError("rules cannot apply to both regular resources and non-resource URLs")
    elif not rule.get("resources") or not rule.get("apiGroups"):
        raise ValueError("a rule has to have apiGroups and resources")
    for member, values in rule.items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"{member} has to be a list of strings")
