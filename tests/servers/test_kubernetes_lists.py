"""The Kubernetes stand-in's lists: label and field selectors, pages of one snapshot, versions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import APPS, CORE, asked
from tests.servers.kubernetes_server import KubernetesServer


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


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("tier=front", ["a", "b"]),
        ("tier==front,env!=prod", ["b"]),
        ("tier!=front", ["c", "d"]),
        ("env in (prod, test)", ["a", "b"]),
        ("tier notin (front)", ["c", "d"]),
        ("env", ["a", "b"]),
        ("!env", ["c", "d"]),
        ("tier=front,env in (prod),!x", ["a"]),
    ],
)
def test_label_selectors(cluster: KubernetesServer, selector: str, names: list[str]) -> None:
    """Equality, sets and existence, all of which have to hold; absent keys fit != and notin."""
    labels = {
        "a": {"tier": "front", "env": "prod"},
        "b": {"tier": "front", "env": "test"},
        "c": {"tier": "back"},
    }
    for name in "abcd":
        document = scene.config_map(name, "labelled", {})
        document["metadata"]["labels"] = labels.get(name, {})
        cluster.apply(document)
    query = selector.replace(" ", "%20")
    found = asked(cluster, "GET", f"/api/v1/namespaces/labelled/configmaps?labelSelector={query}")
    assert [each["metadata"]["name"] for each in found["items"]] == names


def test_field_selectors(cluster: KubernetesServer) -> None:
    """metadata.name everywhere, phase and node for pods, involvedObject for events; others are refused."""
    pods = asked(cluster, "GET", f"{CORE}/pods?fieldSelector=status.phase=Running,spec.nodeName=node-1")[
        "items"
    ]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1"}
    assert asked(cluster, "GET", f"{CORE}/pods?fieldSelector=status.phase!=Running")["items"] == []
    about = "involvedObject.kind=Deployment,involvedObject.name=web"
    events = asked(cluster, "GET", f"{CORE}/events?fieldSelector={about}")["items"]
    assert {event["reason"] for event in events} == {"ScalingReplicaSet"}
    found = asked(cluster, "GET", f"{APPS}/deployments?fieldSelector=spec.replicas=3", status=400)
    assert '"spec.replicas" is not a known field selector' in found["message"]


def test_pages_are_of_one_snapshot(cluster: KubernetesServer) -> None:
    """What changes between two pages does not show; a token of before a compaction is 410 with a new one."""
    for number in range(5):
        cluster.apply(scene.config_map(f"m{number}", "paged", {}))
    path = "/api/v1/namespaces/paged/configmaps?limit=2"
    first = asked(cluster, "GET", path)
    assert [each["metadata"]["name"] for each in first["items"]] == ["m0", "m1"]
    assert first["metadata"]["remainingItemCount"] == 3
    assert not {"kind", "apiVersion"} & set(first["items"][0])
    cluster.call("remove", resource="configmaps", namespace="paged", name="m2")
    token = first["metadata"]["continue"]
    second = asked(cluster, "GET", f"{path}&continue={token}")
    assert [each["metadata"]["name"] for each in second["items"]] == ["m2", "m3"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    cluster.call("compact")
    gone = asked(cluster, "GET", f"{path}&continue={token}", status=410)
    assert gone["reason"] == "Expired"
    rest = asked(cluster, "GET", f"{path}&continue={gone['metadata']['continue']}")
    assert [each["metadata"]["name"] for each in rest["items"]] == ["m3", "m4"]
    asked(cluster, "GET", f"{path}&continue=nonsense", status=400)


def test_a_version_from_the_future_is_a_timeout(cluster: KubernetesServer) -> None:
    """504 with the cause that clients look for."""
    found = asked(cluster, "GET", f"{CORE}/pods?resourceVersion=999999", status=504)
    assert found["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
