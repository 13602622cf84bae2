"""What the tests of the Kubernetes stand-in share: its clients, its refusals, its roles."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from tests.servers.kubernetes_server import ADMIN, KubernetesServer

Json = dict[str, Any]
APPS = "/apis/apps/v1/namespaces/default"
CORE = "/api/v1/namespaces/default"
MERGE = {"Content_Type": "application/merge-patch+json"}
STRATEGIC = {"Content_Type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"Content_Type": "application/json-patch+json"}


def api_of(server: KubernetesServer, token: str = ADMIN) -> client.ApiClient:
    """A client of the kubernetes package, with a token."""
    trusted = None if server.authority_file is None else str(server.authority_file)
    settings = client.Configuration(host=server.url, ssl_ca_cert=trusted)
    settings.api_key = {"BearerToken": token}
    settings.api_key_prefix = {"BearerToken": "Bearer"}
    return client.ApiClient(settings)


def asked(
    server: KubernetesServer, method: str, path: str, body: Any = None, /, *, status: int = 200, **more: str
) -> Json:
    """The document that a plain request gets, with this status."""
    code, text = server.request(method, path, body, **more)
    assert code == status, text
    found: Json = json.loads(text)
    return found


async def refused(call: Awaitable[Any], status: int, reason: str) -> Json:
    """The Status with which a call of the typed client is refused."""
    with pytest.raises(ApiException) as caught:
        await call
    assert caught.value.status == status
    found: Json = json.loads(caught.value.body or "")
    assert (found["kind"], found["reason"], found["code"]) == ("Status", reason, status)
    return found


def role(*rules: tuple[str, str, str], names: list[str] | None = None) -> Json:
    """A ClusterRole: (API group, resources, verbs), both separated by commas."""
    found = []
    for group, resources, verbs in rules:
        rule: Json = {"apiGroups": [group], "resources": resources.split(","), "verbs": verbs.split(",")}
        found.append({**rule, "resourceNames": names} if names else rule)
    meta = {"name": "watchbell"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": meta,
        "rules": found,
    }
