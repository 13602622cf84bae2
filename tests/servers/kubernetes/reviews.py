"""Self reviews: may I do this, what may I do, who am I (authorization.k8s.io/v1, authentication.k8s.io/v1)."""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes import rbac
from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.call import Answer, Call
from tests.servers.kubernetes.status import bad_request, invalid

Json = dict[str, Any]


def review(call: Call) -> Answer:
    """The review that was sent, with its status; 201."""
    found = call.typed(call.body())
    found = {"kind": call.resource.kind, "apiVersion": call.resource.api_version, **found}
    found.setdefault("metadata", {})
    status = {
        kinds.ACCESS_REVIEWS: _access,
        kinds.RULES_REVIEWS: _rules,
        kinds.SUBJECT_REVIEWS: _subject,
    }[call.resource]
    return Answer({**found, "status": status(call, found.get("spec") or {})}, 201)


def _access(call: Call, spec: Json) -> Json:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        told = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = ("FieldValueInvalid", f"Invalid value: {{}}: {told}", "spec.resourceAttributes")
        raise invalid("authorization.k8s.io", "SelfSubjectAccessReview", "", [cause])
    if path is not None:
        attempt = rbac.Attempt(path.get("verb", ""), path=path.get("path", ""))
    else:
        assert resource is not None
        attempt = rbac.Attempt(
            resource.get("verb", ""),
            group=resource.get("group", ""),
            plural=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            namespace=resource.get("namespace", ""),
            name=resource.get("name", ""),
        )
    reason = rbac.allowed(call.account, attempt)
    return {"allowed": False} if reason is None else {"allowed": True, "reason": reason}


def _rules(call: Call, spec: Json) -> Json:
    namespace = spec.get("namespace")
    if not namespace:
        raise bad_request("no namespace on request")
    rules = list(rbac.rules_of(call.account, namespace))
    return {
        "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }


def _subject(call: Call, _spec: Json) -> Json:
    return {"userInfo": {"username": call.account.user, "groups": call.account.groups}}
