"""The Kubernetes stand-in's verbs: versions, patches, dry runs, validation, deletion, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import APPS, CORE, JSON_PATCH, MERGE, STRATEGIC, Json, asked
from tests.servers.kubernetes_server import KubernetesServer

WEB = f"{APPS}/deployments/web"
MODIFIED = (
    'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your '
    "changes to the latest version and try again"
)


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer(tls=False) as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> KubernetesServer:
    process.reset()
    process.apply(scene.config_map("web-config", "default", {"MODE": "normal", "LIMIT": "5"}))
    process.deploy("web", env={"A": "1", "B": "2"})
    return process


def test_a_new_object_gets_what_the_server_fills_in(cluster: KubernetesServer) -> None:
    """Name, uid, time, generation, defaults; 201, and 409 for the same name again."""
    found = asked(
        cluster, "POST", f"{APPS}/deployments", scene.deployment("api", "default", image="api"), status=201
    )
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["uid"]
    assert found["metadata"]["resourceVersion"]
    assert found["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert found["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    again = asked(cluster, "POST", f"{APPS}/deployments", scene.deployment("api", "default"), status=409)
    assert again["reason"] == "AlreadyExists"
    assert again["message"] == 'deployments.apps "api" already exists'
    assert again["details"] == {"name": "api", "group": "apps", "kind": "deployments"}


def test_what_is_not_there_is_404(cluster: KubernetesServer) -> None:
    """An object, a resource, a namespace to create in, and a path each have their own answer."""
    found = asked(cluster, "GET", f"{APPS}/deployments/nosuch", status=404)
    assert found["message"] == 'deployments.apps "nosuch" not found'
    assert asked(cluster, "GET", "/apis/apps/v1/nosuch", status=404)["details"] == {}
    lost = scene.config_map("a", "nosuch", {})
    found = asked(cluster, "POST", "/api/v1/namespaces/nosuch/configmaps", lost, status=404)
    assert found["message"] == 'namespaces "nosuch" not found'
    assert cluster.request("GET", "/nosuch") == (404, "404 page not found\n")


def test_a_stale_version_is_a_conflict(cluster: KubernetesServer) -> None:
    """On PUT, on PATCH and on the scale subresource; without a version the write goes through."""
    before = asked(cluster, "GET", WEB)
    scale = asked(cluster, "GET", f"{WEB}/scale")
    assert scale["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    asked(cluster, "PATCH", WEB, {"metadata": {"labels": {"moved": "yes"}}}, **MERGE)
    stale = {"metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]}, "spec": {"replicas": 5}}
    for path, method, body in (
        (WEB, "PUT", before),
        (WEB, "PATCH", stale),
        (f"{WEB}/scale", "PATCH", stale),
        (f"{WEB}/scale", "PUT", scale),
    ):
        found = asked(cluster, method, path, body, status=409, **(MERGE if method == "PATCH" else {}))
        assert (found["reason"], found["message"]) == ("Conflict", MODIFIED)
    assert asked(cluster, "GET", WEB)["spec"]["replicas"] == 3
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 5}}, **MERGE)
    assert asked(cluster, "GET", WEB)["spec"]["replicas"] == 5


def test_a_write_that_changes_nothing_keeps_the_version(cluster: KubernetesServer) -> None:
    """As on a real server: no new resourceVersion, no generation."""
    before = asked(cluster, "GET", WEB)
    after = asked(cluster, "PATCH", WEB, {"spec": {"replicas": 3}}, **MERGE)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_generation_counts_changes_of_the_spec_only(cluster: KubernetesServer) -> None:
    """Labels and status do not count; observedGeneration follows when the controller has seen it."""
    before = asked(cluster, "GET", WEB)["metadata"]["generation"]
    after = asked(cluster, "PATCH", WEB, {"metadata": {"labels": {"a": "b"}}}, **MERGE)
    assert after["metadata"]["generation"] == before
    after = asked(
        cluster, "PATCH", WEB, {"spec": {"minReadySeconds": 1}, "status": {"replicas": 99}}, **MERGE
    )
    assert after["metadata"]["generation"] == before + 1
    assert (after["status"]["observedGeneration"], after["status"]["replicas"]) == (before, 3)
    cluster.step()
    assert asked(cluster, "GET", WEB)["status"]["observedGeneration"] == before + 1


def test_the_scale_of_nothing_has_an_empty_spec(cluster: KubernetesServer) -> None:
    """Go leaves a nought out: `spec` is {} where replicas are 0."""
    found = asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 0}}, **MERGE)
    assert found["spec"] == {}
    assert found["status"] == {"replicas": 3, "selector": "app=web"}
    cluster.settle()
    assert asked(cluster, "GET", f"{WEB}/scale")["status"]["replicas"] == 0
    assert asked(cluster, "GET", WEB)["spec"]["replicas"] == 0


def test_a_dry_run_answers_and_stores_nothing(cluster: KubernetesServer) -> None:
    """On every write; a dryRun that does not exist is refused."""
    version = asked(cluster, "GET", WEB)["metadata"]["resourceVersion"]
    assert asked(cluster, "PATCH", f"{WEB}/scale?dryRun=All", {"spec": {"replicas": 7}}, **MERGE)["spec"] == {
        "replicas": 7
    }
    patch = {"data": {"MODE": "maintenance"}}
    found = asked(cluster, "PATCH", f"{CORE}/configmaps/web-config?dryRun=All", patch, **MERGE)
    assert found["data"] == {"MODE": "maintenance", "LIMIT": "5"}
    asked(cluster, "DELETE", f"{WEB}?dryRun=All")
    asked(
        cluster,
        "POST",
        f"{APPS}/deployments?dryRun=All",
        scene.deployment("api", "default"),
        status=201,
    )
    assert [each["metadata"]["name"] for each in cluster.objects("deployments")] == ["web"]
    assert asked(cluster, "GET", WEB)["metadata"]["resourceVersion"] == version
    assert cluster.named("configmaps", "web-config")["data"]["MODE"] == "normal"
    found = asked(cluster, "PATCH", f"{WEB}?dryRun=Some", {"spec": {"replicas": 7}}, status=422, **MERGE)
    assert 'dryRun: Unsupported value: "Some": supported values: "All"' in found["message"]


def test_merge_patch_replaces_lists_and_strategic_merges_them_by_name(cluster: KubernetesServer) -> None:
    """Containers and variables by name, with $patch: delete; a merge patch replaces the list."""
    container = {"name": "app", "env": [{"name": "B", "value": "9"}, {"name": "C", "value": "3"}]}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    found = asked(cluster, "PATCH", WEB, patch, **STRATEGIC)
    (after,) = found["spec"]["template"]["spec"]["containers"]
    assert after["image"] == "registry.example.com/web:1.0.0"
    assert {e["name"]: e["value"] for e in after["env"]} == {"A": "1", "B": "9", "C": "3"}
    container["env"] = [{"name": "A", "$patch": "delete"}]
    found = asked(cluster, "PATCH", WEB, patch, **STRATEGIC)
    assert [e["name"] for e in found["spec"]["template"]["spec"]["containers"][0]["env"]] == ["B", "C"]
    container["env"] = [{"name": "D", "value": "4"}]
    found = asked(cluster, "PATCH", WEB, patch, status=422, **MERGE)
    assert "spec.template.spec.containers[0].image: Required value" in found["message"]


def test_strategic_patches_add_volumes_and_keep_order(cluster: KubernetesServer) -> None:
    """A second container and a volume come to those that are there; $setElementOrder orders them."""
    spec = {
        "containers": [{"name": "sidecar", "image": "proxy:1"}],
        "$setElementOrder/containers": [{"name": "sidecar"}, {"name": "app"}],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    found = asked(cluster, "PATCH", WEB, {"spec": {"template": {"spec": spec}}}, **STRATEGIC)
    spec = found["spec"]["template"]["spec"]
    assert [each["name"] for each in spec["containers"]] == ["sidecar", "app"]
    volume = {"name": "data", "$retainKeys": ["name", "configMap"], "configMap": {"name": "web-config"}}
    patch = {"spec": {"template": {"spec": {"volumes": [volume]}}}}
    found = asked(cluster, "PATCH", WEB, patch, **STRATEGIC)
    (after,) = found["spec"]["template"]["spec"]["volumes"]
    assert after == {"name": "data", "configMap": {"name": "web-config", "defaultMode": 420}}


def test_json_patches_test_and_point(cluster: KubernetesServer) -> None:
    """Operations apply in order, all or none; what does not apply is 422 without a reason why."""
    add = {"op": "add", "path": "/metadata/annotations/example.com~1note", "value": "x"}
    ok = [{"op": "test", "path": "/spec/replicas", "value": 3}, add]
    found = asked(cluster, "PATCH", WEB, ok, **JSON_PATCH)
    assert found["metadata"]["annotations"]["example.com/note"] == "x"
    remove = {"op": "remove", "path": "/metadata/annotations/example.com~1note"}
    wrong = [remove, {"op": "test", "path": "/spec/replicas", "value": 4}]
    found = asked(cluster, "PATCH", WEB, wrong, status=422, **JSON_PATCH)
    assert found["message"] == "the server rejected our request due to an error in our request"
    assert "example.com/note" in asked(cluster, "GET", WEB)["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {"spec": {"replicas": "ten"}},
            "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas",
        ),
        (
            {"spec": {"replicas": 1.5}},
            "cannot unmarshal number into Go struct field DeploymentSpec.spec.replicas",
        ),
        ({"spec": {"replicas": -1}}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        ({"spec": {"selector": {"matchLabels": {"app": "x"}}}}, "field is immutable"),
        (
            {"spec": {"template": {"metadata": {"labels": None}}}},
            "`selector` does not match template `labels`",
        ),
        ({"metadata": {"labels": {"a": "-"}}}, "metadata.labels: Invalid value"),
    ],
)
def test_what_is_not_valid_is_422(cluster: KubernetesServer, body: Json, told: str) -> None:
    """Types, ranges, immutable fields: with a cause each, and nothing is stored."""
    before = asked(cluster, "GET", WEB)
    found = asked(cluster, "PATCH", WEB, body, status=422, **MERGE)
    assert told in found["message"]
    assert found["details"]["causes"]
    assert asked(cluster, "GET", WEB) == before


def test_config_maps_hold_strings_only(cluster: KubernetesServer) -> None:
    """A boolean in `data`, which YAML makes so easily, is refused."""
    path = f"{CORE}/configmaps/web-config"
    found = asked(cluster, "PATCH", path, {"data": {"MODE": True}}, status=422, **MERGE)
    assert "cannot unmarshal bool into Go struct field ConfigMap.data of type string" in found["message"]
    document = scene.config_map("web-config", "default", {"MODE": "x"})
    found = asked(cluster, "PUT", path, {**document, "data": {"MODE": 1}}, status=400)
    assert found["reason"] == "BadRequest"


def test_an_unknown_kind_of_body_is_415(cluster: KubernetesServer) -> None:
    """The sentence lists what is taken."""
    for content in ("application/json", "text/plain", "application/octet-stream"):
        found = asked(cluster, "PATCH", WEB, {"spec": {}}, status=415, Content_Type=content)
        assert found["reason"] == "UnsupportedMediaType"
        assert "application/merge-patch+json" in found["message"]
    document = scene.deployment("a", "default")
    asked(cluster, "POST", f"{APPS}/deployments", document, status=415, Content_Type="text/plain")


def test_an_unknown_field_is_dropped_or_refused(cluster: KubernetesServer) -> None:
    """Dropped by default, as Warn says; refused with fieldValidation=Strict."""
    patch = {"spec": {"replics": 3}}
    assert "replics" not in asked(cluster, "PATCH", WEB, patch, **MERGE)["spec"]
    found = asked(cluster, "PATCH", f"{WEB}?fieldValidation=Strict", patch, status=400, **MERGE)
    assert 'strict decoding error: unknown field "spec.replics"' in found["message"]


def test_who_wrote_which_fields_is_kept(cluster: KubernetesServer) -> None:
    """managedFields name the fieldManager, per subresource."""
    asked(cluster, "PATCH", f"{WEB}/scale?fieldManager=watchbell", {"spec": {"replicas": 4}}, **MERGE)
    asked(cluster, "PATCH", f"{WEB}?fieldManager=argocd", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
    entries = asked(cluster, "GET", WEB)["metadata"]["managedFields"]
    found = {(e["manager"], e.get("subresource")): e["fieldsV1"] for e in entries}
    assert found["watchbell", "scale"] == {"f:spec": {"f:replicas": {}}}
    assert found["argocd", None] == {"f:metadata": {"f:labels": {"f:a": {}}}}


def test_deletion_has_preconditions_and_owners(cluster: KubernetesServer) -> None:
    """A wrong uid is 409; what a Deployment owns goes with it, in the background or before it."""
    uid = asked(cluster, "GET", WEB)["metadata"]["uid"]
    wrong = {"preconditions": {"uid": "x"}}
    found = asked(cluster, "DELETE", WEB, wrong, status=409)
    assert "the UID in the precondition (x) does not match" in found["message"]
    status = asked(cluster, "DELETE", WEB, {"preconditions": {"uid": uid}})
    assert (status["kind"], status["status"], status["details"]["uid"]) == ("Status", "Success", uid)
    cluster.settle()
    assert cluster.objects("replicasets") == cluster.objects("pods", "default") == []
    cluster.deploy("api")
    kept = asked(cluster, "DELETE", f"{APPS}/deployments/api", {"propagationPolicy": "Foreground"})
    assert kept["metadata"]["finalizers"] == ["foregroundDeletion"]
    cluster.settle()
    assert cluster.objects("deployments") == []


def test_bodies_have_an_end(cluster: KubernetesServer) -> None:
    """3 MB are too much for any request, 1 MiB for a ConfigMap."""
    path = f"{CORE}/configmaps/web-config"
    found = asked(cluster, "PATCH", path, {"data": {"MODE": "x" * 3_200_000}}, status=413, **MERGE)
    assert found["reason"] == "RequestEntityTooLarge"
    found = asked(cluster, "PATCH", path, {"data": {"MODE": "x" * 1_100_000}}, status=422, **MERGE)
    assert "Too long" in found["message"]


def test_text_of_a_secret_is_encoded(cluster: KubernetesServer) -> None:
    """stringData is written, data is read."""
    secret = {"metadata": {"name": "key"}, "stringData": {"token": "abc"}}
    found = asked(cluster, "POST", f"{CORE}/secrets", secret, status=201)
    assert (found["data"], "stringData" in found) == ({"token": "YWJj"}, False)
