"""The Kubernetes stand-in's rights: tokens, ClusterRole documents, and the exact sentences of a refusal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import APPS, CORE, MERGE, asked, role
from tests.servers.kubernetes_server import KubernetesServer, StandInError

USER = "system:serviceaccount:ops:watchbell"
TOKEN = "bot-token"


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer(tls=False) as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> KubernetesServer:
    process.reset()
    process.deploy("web")
    process.deploy("web", namespace="other")
    secret = {"metadata": {"name": "password"}, "data": {"value": "c2VjcmV0"}}
    process.apply({"apiVersion": "v1", "kind": "Secret", **secret})
    return process


def test_an_unknown_token_is_401(cluster: KubernetesServer) -> None:
    """With the body of the API server; a token that is taken back is unknown too."""
    found = asked(cluster, "GET", f"{CORE}/pods", token="nobody", status=401)
    assert found == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Unauthorized",
        "reason": "Unauthorized",
        "code": 401,
    }
    cluster.call("token", token=TOKEN, roles=[role(("", "pods", "list"))])
    asked(cluster, "GET", f"{CORE}/pods", token=TOKEN)
    cluster.call("revoke", token=TOKEN)
    asked(cluster, "GET", f"{CORE}/pods", token=TOKEN, status=401)


def test_without_a_token_one_is_anonymous(cluster: KubernetesServer) -> None:
    """/version is public, nothing else is."""
    asked(cluster, "GET", "/version", token="")
    found = asked(cluster, "GET", "/apis", token="", status=403)
    assert found["message"] == 'forbidden: User "system:anonymous" cannot get path "/apis"'
    found = asked(cluster, "GET", f"{CORE}/pods", token="", status=403)
    assert 'User "system:anonymous" cannot list resource "pods"' in found["message"]


def test_the_sentences_of_a_refusal(cluster: KubernetesServer) -> None:
    """Named and not, of a group and not, with a subresource, in a namespace and at the cluster's scope."""
    cluster.call("token", token=TOKEN, user=USER, roles=[role(("", "pods", "get"))])
    body = {"spec": {"replicas": 1}}
    found = asked(cluster, "PATCH", f"{APPS}/deployments/web/scale", body, token=TOKEN, status=403, **MERGE)
    assert found["message"] == (
        f'deployments.apps "web" is forbidden: User "{USER}" cannot patch resource "deployments/scale" in API '
        'group "apps" in the namespace "default"'
    )
    assert found["details"] == {"name": "web", "group": "apps", "kind": "deployments"}
    assert (found["reason"], found["code"]) == ("Forbidden", 403)
    found = asked(cluster, "GET", "/api/v1/nodes", token=TOKEN, status=403)
    assert found["message"] == (
        f'nodes is forbidden: User "{USER}" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    found = asked(cluster, "GET", f"{CORE}/pods?watch=true", token=TOKEN, status=403)
    assert 'cannot watch resource "pods"' in found["message"]
    found = asked(cluster, "DELETE", f"{CORE}/pods", token=TOKEN, status=403)
    assert 'cannot deletecollection resource "pods"' in found["message"]


def test_a_right_to_the_resource_is_none_to_its_subresources(cluster: KubernetesServer) -> None:
    """deployments does not give deployments/scale, pods does not give pods/log, and the other way round."""
    rules = [("apps", "deployments", "get,patch"), ("", "pods/log,pods/eviction", "get,create")]
    cluster.call("token", token=TOKEN, roles=[role(*rules)])
    asked(cluster, "GET", f"{APPS}/deployments/web", token=TOKEN)
    asked(cluster, "GET", f"{APPS}/deployments/web/scale", token=TOKEN, status=403)
    pod = cluster.objects("pods", "default")[0]["metadata"]["name"]
    asked(cluster, "GET", f"{CORE}/pods/{pod}", token=TOKEN, status=403)
    assert cluster.request("GET", f"{CORE}/pods/{pod}/log", token=TOKEN)[0] == 200


def test_a_role_in_a_namespace_ends_there(cluster: KubernetesServer) -> None:
    """The same name elsewhere, and the list over all namespaces, are refused."""
    cluster.call("token", token=TOKEN, roles=[role(("apps", "deployments", "get,list"))], namespace="default")
    asked(cluster, "GET", f"{APPS}/deployments", token=TOKEN)
    asked(cluster, "GET", "/apis/apps/v1/namespaces/other/deployments/web", token=TOKEN, status=403)
    asked(cluster, "GET", "/apis/apps/v1/deployments", token=TOKEN, status=403)


def test_resource_names_narrow_a_rule(cluster: KubernetesServer) -> None:
    """Only those names, and lists only where a field selector asks for one of them."""
    cluster.apply(scene.config_map("a", "default", {}), scene.config_map("b", "default", {}))
    rules = role(("", "configmaps", "get,list"), names=["a"])
    cluster.call("token", token=TOKEN, roles=[rules])
    asked(cluster, "GET", f"{CORE}/configmaps/a", token=TOKEN)
    asked(cluster, "GET", f"{CORE}/configmaps/b", token=TOKEN, status=403)
    asked(cluster, "GET", f"{CORE}/configmaps", token=TOKEN, status=403)
    asked(cluster, "GET", f"{CORE}/configmaps?fieldSelector=metadata.name=a", token=TOKEN)


def test_secrets_are_there_and_refused(cluster: KubernetesServer) -> None:
    """They are read only by whom a rule names them to."""
    cluster.call("token", token=TOKEN, roles=[role(("", "configmaps,pods", "get,list"))])
    found = asked(cluster, "GET", f"{CORE}/secrets/password", token=TOKEN, status=403)
    assert "c2VjcmV0" not in found["message"]
    assert asked(cluster, "GET", f"{CORE}/secrets/password")["data"] == {"value": "c2VjcmV0"}


def test_one_can_ask_what_one_may(cluster: KubernetesServer) -> None:
    """SelfSubjectAccessReview, SelfSubjectRulesReview and SelfSubjectReview, without any right of one's own."""
    cluster.call("token", token=TOKEN, user=USER, roles=[role(("apps", "deployments/scale", "patch"))])
    where = "/apis/authorization.k8s.io/v1/"

    def may(**attributes: str) -> bool:
        body = {"spec": {"resourceAttributes": {"namespace": "default", **attributes}}}
        path = f"{where}selfsubjectaccessreviews"
        found = asked(cluster, "POST", path, body, token=TOKEN, status=201)
        return bool(found["status"]["allowed"])

    assert may(verb="patch", group="apps", resource="deployments", subresource="scale")
    assert not may(verb="patch", group="apps", resource="deployments")
    assert not may(verb="patch", resource="deployments", subresource="scale")
    body = {"spec": {"namespace": "default"}}
    found = asked(cluster, "POST", f"{where}selfsubjectrulesreviews", body, token=TOKEN, status=201)
    rule = {"verbs": ["patch"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}
    assert rule in found["status"]["resourceRules"]
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    found = asked(cluster, "POST", path, {}, token=TOKEN, status=201)
    assert found["status"]["userInfo"]["username"] == USER


def test_only_real_roles_are_taken(cluster: KubernetesServer) -> None:
    """A misspelt member, missing verbs or another kind of document is refused, as the API server would."""
    good = role(("", "pods", "get"))
    for bad in (
        {**good, "kind": "Deployment"},
        {**good, "rules": [{"apiGroups": [""], "resource": ["pods"], "verbs": ["get"]}]},
        {**good, "rules": [{"apiGroups": [""], "resources": ["pods"]}]},
        {**good, "rules": [{"resources": ["pods"], "verbs": ["get"]}]},
    ):
        with pytest.raises(StandInError):
            cluster.call("token", token=TOKEN, roles=[bad])


def test_the_requests_that_came_are_kept(cluster: KubernetesServer) -> None:
    """Who asked for what, and what came of it."""
    cluster.requests(clear=True)
    asked(cluster, "GET", f"{CORE}/secrets", token="nobody", status=401)
    asked(cluster, "GET", f"{CORE}/secrets?limit=1")
    first, second = cluster.requests()
    assert (first["user"], first["status"]) == (None, 401)
    assert (second["verb"], second["resource"], second["status"]) == ("list", "secrets", 200)
    assert (second["user"], second["query"]) == ("kubernetes-admin", {"limit": "1"})
