"""The Kubernetes stand-in's shapes, read by the models of the kubernetes package and written back the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.aio import client

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import Json, api_of, asked, refused, role
from tests.servers.kubernetes_server import KubernetesServer

LISTS = {
    "EventList": "CoreV1EventList",
    "HorizontalPodAutoscalerList": "V2HorizontalPodAutoscalerList",
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubernetesServer]:
    """A cluster in which everything happened: rollouts, crashes, budgets, autoscalers, closed nodes."""
    with KubernetesServer(tls=False) as server:
        server.reset()
        limits = {"cpu": "500m", "memory": "256Mi"}
        server.apply(
            scene.config_map("web-config", "default", {"MODE": "normal"}),
            scene.service("web", "default"),
            scene.autoscaler("web", "default", low=2, high=5),
            scene.budget("web", "default", minAvailable="50%"),
            scene.stateful_set("db", "default", replicas=2),
            scene.deployment("bad", "default", image="bad:1"),
            scene.deployment("sick", "default", image="sick:1"),
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "Yg=="}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "watchbell"}},
            _volume(),
            _ingress(),
        )
        server.call("outcome", of="bad:1", outcome="unpullable")
        server.call("outcome", of="sick:1", outcome="oom")
        server.deploy("web", env={"A": "1"}, config="web-config", limits=limits)
        server.apply(scene.deployment("web", "default", image="web:2"))
        server.settle()
        server.call("forward", seconds=700)
        yield server


def _volume() -> Json:
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "data"}, "spec": spec}


def _ingress() -> Json:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    spec = {"defaultBackend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web"},
        "spec": spec,
    }


def plain(found: Any) -> Any:
    """Without nulls, and with times as the API writes them: what a model cannot keep apart."""
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items() if value is not None}
    if isinstance(found, list):
        return [plain(value) for value in found]
    return found.replace("+00:00", "Z") if isinstance(found, str) else found


@pytest.mark.parametrize("resource", kinds.STORED, ids=lambda resource: resource.id)
async def test_lists_are_what_the_models_say(cluster: KubernetesServer, resource: kinds.Resource) -> None:
    """Read strictly and written back, every list is the same: nothing unknown, nothing of another type."""
    base = f"/apis/{resource.group}" if resource.group else "/api"
    status, text = cluster.request("GET", f"{base}/{resource.version}/{resource.plural}")
    assert status == 200
    sent = json.loads(text)
    kind = LISTS.get(sent["kind"], f"V1{sent['kind']}")
    async with api_of(cluster) as api:
        read = api.deserialize(text, kind, "application/json")
        assert plain(api.sanitize_for_serialization(read)) == plain(sent)


def test_there_is_something_of_what_matters(cluster: KubernetesServer) -> None:
    """So that the test above reads more than empty lists."""
    for plural in ("pods", "events", "deployments", "replicasets"):
        assert len(cluster.objects(plural)) >= 3
    for plural in (
        "statefulsets",
        "controllerrevisions",
        "horizontalpodautoscalers",
        "poddisruptionbudgets",
        "endpoints",
        "nodes",
        "ingresses",
    ):
        assert cluster.objects(plural)


async def test_discovery_is_what_the_models_say(cluster: KubernetesServer) -> None:
    """Versions, groups, and each list of resources; subresources name the kind that they take."""
    async with api_of(cluster) as api:
        assert (await client.VersionApi(api).get_code()).minor == "36"
        assert (await client.CoreApi(api).get_api_versions()).versions == ["v1"]
        groups = await client.ApisApi(api).get_api_versions()
        assert {group.name for group in groups.groups} == {group for group, _ in kinds.GROUPS}
        apps = await client.AppsV1Api(api).get_api_resources()
        scale = next(each for each in apps.resources if each.name == "deployments/scale")
        assert (scale.group, scale.version, scale.kind) == ("autoscaling", "v1", "Scale")
        core = await client.CoreV1Api(api).get_api_resources()
        assert {"pods/log", "pods/eviction", "configmaps"} <= {each.name for each in core.resources}


async def test_writes_are_answered_as_the_models_say(cluster: KubernetesServer) -> None:
    """Scale, restart, config map, dry run: through the typed client's own methods."""
    async with api_of(cluster) as api:
        apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
        scale = await apps.read_namespaced_deployment_scale("web", "default")
        assert scale.spec.replicas == 3
        body = {"metadata": {"resourceVersion": scale.metadata.resource_version}, "spec": {"replicas": 4}}
        merge = "application/merge-patch+json"
        tried = await apps.patch_namespaced_deployment_scale(
            "web", "default", body, dry_run="All", _content_type=merge
        )
        assert tried.spec.replicas == 4
        done = await apps.patch_namespaced_deployment_scale(
            "web", "default", body, field_manager="watchbell", _content_type=merge
        )
        assert done.metadata.resource_version != scale.metadata.resource_version
        again = apps.patch_namespaced_deployment_scale("web", "default", body, _content_type=merge)
        await refused(again, 409, "Conflict")
        found = await apps.read_namespaced_deployment("web", "default")
        assert found.spec.replicas == 4
        config = await core.patch_namespaced_config_map(
            "web-config", "default", {"data": {"MODE": "maintenance"}}
        )
        assert config.data == {"MODE": "maintenance"}
        replaced = await core.replace_namespaced_config_map("web-config", "default", config)
        assert replaced.metadata.resource_version == config.metadata.resource_version


async def test_an_eviction_and_a_deletion_are_answered_as_the_models_say(cluster: KubernetesServer) -> None:
    """A Status for an eviction, the pod for its deletion."""
    async with api_of(cluster) as api:
        core = client.CoreV1Api(api)
        pods = (await core.list_namespaced_pod("default", label_selector="app=web")).items
        name = pods[0].metadata.name
        body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace="default"))
        await core.create_namespaced_pod_eviction(name, "default", body)
        other = await core.delete_namespaced_pod(pods[1].metadata.name, "default")
        assert other.metadata.deletion_timestamp is not None
        await refused(core.read_namespaced_pod("nosuch", "default"), 404, "NotFound")


async def test_reviews_are_answered_as_the_models_say(cluster: KubernetesServer) -> None:
    """Both kinds of self review."""
    rules = role(("apps", "deployments", "get,list"))
    await cluster.act("token", token="reader", roles=[rules])
    async with api_of(cluster, "reader") as api:
        reviews = client.AuthorizationV1Api(api)
        wanted = client.V1ResourceAttributes(
            namespace="default", verb="get", group="apps", resource="deployments"
        )
        spec = client.V1SelfSubjectAccessReviewSpec(resource_attributes=wanted)
        asking = client.V1SelfSubjectAccessReview(spec=spec)
        answer = await reviews.create_self_subject_access_review(asking)
        assert answer.status.allowed is True
        place = client.V1SelfSubjectRulesReviewSpec(namespace="default")
        rights = await reviews.create_self_subject_rules_review(client.V1SelfSubjectRulesReview(spec=place))
        assert ["get", "list"] in [rule.verbs for rule in rights.status.resource_rules]


async def test_figures_come_through_the_clients_custom_objects(cluster: KubernetesServer) -> None:
    """metrics.k8s.io has no model; the general client reads it."""
    async with api_of(cluster) as api:
        custom = client.CustomObjectsApi(api)
        found = await custom.list_namespaced_custom_object("metrics.k8s.io", "v1beta1", "default", "pods")
    assert found["kind"] == "PodMetricsList"
    assert all(pod["containers"][0]["usage"]["cpu"].endswith("n") for pod in found["items"])


def test_kubectl_gets_tables_and_others_do_not(cluster: KubernetesServer) -> None:
    """By the Accept header alone."""
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    path = "/apis/apps/v1/namespaces/default/deployments"
    found = asked(cluster, "GET", path, Accept=accept)
    assert found["kind"] == "Table"
    assert [column["name"] for column in found["columnDefinitions"]][:2] == ["Name", "Ready"]
    assert asked(cluster, "GET", path)["kind"] == "DeploymentList"
    asked(cluster, "GET", path, Accept="application/vnd.kubernetes.protobuf", status=406)
