"""The Kubernetes stand-in's faults: errors, silence, halves and floods, before and after the change was made."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientConnectorCertificateError
from kubernetes.aio import client, config

from tests.servers import certificates
from tests.servers.kubernetes_calls import APPS, CORE, MERGE, api_of, asked
from tests.servers.kubernetes_server import KubernetesServer

SCALE = f"{APPS}/deployments/web/scale"
FIVE = {"spec": {"replicas": 5}}


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer(tls=False) as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> KubernetesServer:
    process.reset()
    process.deploy("web")
    return process


def replicas(cluster: KubernetesServer) -> int:
    """How many web is to have."""
    found: int = cluster.named("deployments", "web")["spec"]["replicas"]
    return found


@pytest.mark.parametrize(
    ("kind", "status", "told"),
    [
        ("500", 500, "Internal error occurred: etcdserver: leader changed"),
        ("502", 502, "<h1>502 Bad Gateway</h1>"),
        ("503", 503, "the server is currently unable to handle the request"),
        ("504", 504, "Timeout: request did not complete within the allotted timeout"),
        ("429", 429, "Too many requests, please try again later."),
        ("denied", 403, "denied the request: replicas have to be at most 10"),
    ],
)
def test_refusals_do_nothing(cluster: KubernetesServer, kind: str, status: int, told: str) -> None:
    """One request is refused, the next is done."""
    cluster.call("faults", kinds=[kind], verbs=["patch"], count=1)
    code, text = cluster.request("PATCH", SCALE, FIVE, **MERGE)
    assert code == status
    assert told in text
    assert replicas(cluster) == 3
    asked(cluster, "PATCH", SCALE, FIVE, **MERGE)
    assert replicas(cluster) == 5
    assert cluster.call("faults")["done"] == {kind: 1}


async def test_too_many_requests_say_when_to_come_again(cluster: KubernetesServer) -> None:
    """Retry-After, as priority and fairness sets it."""
    await cluster.act("faults", kinds=["429"], retry_after=7, resources=["deployments"])
    async with api_of(cluster) as api:
        with pytest.raises(client.ApiException) as caught:
            await client.AppsV1Api(api).read_namespaced_deployment("web", "default")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "7")


def test_a_dry_run_can_be_refused_alone(cluster: KubernetesServer) -> None:
    """As by a webhook that has side effects; the write itself goes through."""
    cluster.call("faults", kinds=["refuse_dry_run"])
    found = asked(cluster, "PATCH", f"{SCALE}?dryRun=All", FIVE, status=400, **MERGE)
    assert found["message"] == 'admission webhook "policy.example.com" does not support dry run'
    asked(cluster, "PATCH", SCALE, FIVE, **MERGE)
    assert replicas(cluster) == 5


@pytest.mark.parametrize(("kind", "after"), [("reset", 3), ("after", 5)])
def test_a_connection_breaks_before_or_after_the_change(
    cluster: KubernetesServer, kind: str, after: int
) -> None:
    """The client sees the same; the cluster does not."""
    cluster.call("faults", kinds=[kind], resources=["deployments/scale"])
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        cluster.request("PATCH", SCALE, FIVE, **MERGE)
    assert replicas(cluster) == after


@pytest.mark.parametrize(("kind", "meanwhile"), [("silence", 3), ("delay", 3), ("timeout", 5)])
async def test_an_answer_that_does_not_come(cluster: KubernetesServer, kind: str, meanwhile: int) -> None:
    """Silence does nothing, a delay does it later, a timeout has done it; other faults let them go."""
    await cluster.act("faults", kinds=[kind], verbs=["patch"], seconds=600)
    call = asyncio.to_thread(cluster.request, "PATCH", SCALE, FIVE, **MERGE)
    waiting = asyncio.create_task(call)
    while not await asyncio.to_thread(cluster.requests, verbs=("patch",)):
        assert not waiting.done()
    assert not (await asyncio.wait({waiting}, timeout=0.3))[0]
    assert await asyncio.to_thread(replicas, cluster) == meanwhile
    await cluster.act("faults")
    if kind == "silence":
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            await waiting
        assert replicas(cluster) == 3
    else:
        assert (await waiting)[0] == 200
        assert replicas(cluster) == 5


def test_half_an_answer(cluster: KubernetesServer) -> None:
    """The change is made, and its answer breaks off."""
    cluster.call("faults", kinds=["half"])
    with pytest.raises(http.client.IncompleteRead) as caught:
        cluster.request("PATCH", SCALE, FIVE, **MERGE)
    assert b'"kind":"Scale"' in caught.value.partial
    assert replicas(cluster) == 5


def test_an_answer_of_ten_megabytes(cluster: KubernetesServer) -> None:
    """A list with many items, an object with a long annotation, a long log: each well-formed."""
    pod = cluster.objects("pods")[0]["metadata"]["name"]
    cluster.call("log", pod=pod, lines=["a line"])
    cluster.call("faults", kinds=["huge"])
    for path in (f"{CORE}/pods", f"{APPS}/deployments/web"):
        status, text = cluster.request("GET", path)
        assert status == 200
        assert len(text) >= 10 * 1024 * 1024
        assert json.loads(text)["metadata"]


def test_answers_that_are_no_answers(cluster: KubernetesServer) -> None:
    """A page of HTML with 200, and bytes that are neither JSON nor UTF-8."""
    cluster.call("faults", kinds=["html"])
    assert cluster.request("GET", f"{CORE}/pods") == (
        200,
        "<html><body><h1>502 Bad Gateway</h1></body></html>",
    )
    cluster.call("faults", kinds=["garbage"])
    status, text = cluster.request("GET", f"{CORE}/pods")
    assert status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Invalid"):
        json.loads(text)


def test_faults_come_as_often_as_asked(cluster: KubernetesServer) -> None:
    """A rate with a seed gives the same faults again."""
    seen = []
    for _ in range(2):
        cluster.call("faults", kinds=["500"], rate=0.5, seed=7)
        seen.append([cluster.request("GET", f"{CORE}/pods")[0] for _ in range(12)])
    assert seen[0] == seen[1]
    assert set(seen[0]) == {200, 500}


async def test_a_certificate_has_to_be_right(tmp_path: Path) -> None:
    """A kubeconfig with the authority works; another authority, and an expired certificate, do not."""
    other = tmp_path / "other.pem"
    other.write_text(certificates.Authority("another").pem)
    with KubernetesServer() as server:
        right = server.kubeconfig(tmp_path / "right")
        wrong = server.kubeconfig(tmp_path / "wrong", **{"certificate-authority": str(other)})
        assert await versions(right) == "v1.36.0"
        with pytest.raises(ClientConnectorCertificateError):
            await versions(wrong)
    expired = KubernetesServer()
    expired.start(expired=True)
    try:
        with pytest.raises(ClientConnectorCertificateError, match="expired"):
            await versions(expired.kubeconfig(tmp_path / "expired"))
    finally:
        expired.stop()


async def versions(kubeconfig: Path) -> str:
    """The version of the cluster that a kubeconfig names."""
    settings = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=settings)
    async with client.ApiClient(settings) as api:
        found: str = (await client.VersionApi(api).get_code()).git_version
    return found
