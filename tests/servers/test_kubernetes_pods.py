"""The Kubernetes stand-in's pods: logs at once and followed, evictions and budgets, what pods use."""

from __future__ import annotations

import base64
import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError
from kubernetes.aio import client
from kubernetes.aio.stream import WsApiClient

from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import CORE, Json, api_of, asked, role
from tests.servers.kubernetes_server import ADMIN, KubernetesServer

V4 = ("v4.channel.k8s.io",)


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer(tls=False) as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> KubernetesServer:
    process.reset()
    process.deploy("web", replicas=3)
    return process


@pytest.fixture
def pod(cluster: KubernetesServer) -> str:
    """The name of one pod of web, with six lines in its log: three of them an hour old."""
    found: str = cluster.objects("pods", "default")[0]["metadata"]["name"]
    cluster.call("log", pod=found, lines=["one", "two", "three"], ago=3600)
    cluster.call("log", pod=found, lines=["four", "five", "six"])
    return found


def log(cluster: KubernetesServer, pod: str, query: str = "") -> list[str]:
    """The lines of a log."""
    status, text = cluster.request("GET", f"{CORE}/pods/{pod}/log?{query}")
    assert status == 200, text
    return text.splitlines()


def test_logs_from_the_end_and_since(cluster: KubernetesServer, pod: str) -> None:
    """tailLines, sinceSeconds, sinceTime and limitBytes, alone and together."""
    assert log(cluster, pod) == ["one", "two", "three", "four", "five", "six"]
    assert log(cluster, pod, "tailLines=2") == ["five", "six"]
    assert log(cluster, pod, "tailLines=0") == []
    assert log(cluster, pod, "sinceSeconds=60") == ["four", "five", "six"]
    assert log(cluster, pod, "sinceSeconds=60&tailLines=1") == ["six"]
    assert log(cluster, pod, "limitBytes=6") == ["one", "tw"]
    (line,) = log(cluster, pod, "tailLines=1&timestamps=true")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z six"
    assert re.fullmatch(stamp, line)
    assert log(cluster, pod, f"sinceTime={line.split()[0][:26]}Z")[-1] == "six"


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        (
            "sinceSeconds=9&sinceTime=2026-01-01T00:00:00Z",
            422,
            "at most one of `sinceTime` or `sinceSeconds`",
        ),
        ("container=nosuch", 400, "container nosuch is not valid for pod"),
        ("previous=true", 400, 'previous terminated container "app" in pod'),
    ],
)
def test_logs_that_cannot_be_had(
    cluster: KubernetesServer, pod: str, query: str, status: int, told: str
) -> None:
    """Each with its sentence."""
    found = asked(cluster, "GET", f"{CORE}/pods/{pod}/log?{query}", status=status)
    assert told in found["message"]


def test_a_pod_with_two_containers_wants_a_name(cluster: KubernetesServer) -> None:
    """The sentence lists them, and each has a log of its own."""
    document = scene.deployment("two", "default", replicas=1)
    document["spec"]["template"]["spec"]["containers"].append({"name": "proxy", "image": "proxy:1"})
    cluster.call("start_log", labels={"app": "two"}, container="proxy", lines=["proxy starts"])
    cluster.apply(document)
    cluster.settle()
    (pod,) = [
        p["metadata"]["name"] for p in cluster.objects("pods") if p["metadata"]["labels"]["app"] == "two"
    ]
    found = asked(cluster, "GET", f"{CORE}/pods/{pod}/log", status=400)
    told = f"a container name must be specified for pod {pod}, choose one of: [app proxy]"
    assert found["message"] == told
    assert log(cluster, pod, "container=proxy") == ["proxy starts"]
    assert log(cluster, pod, "container=app") == []


def test_logs_of_containers_that_do_not_run(cluster: KubernetesServer) -> None:
    """Waiting to start, and trying to pull; what crashed has a log before this one."""
    cluster.call("outcome", of="bad:1", outcome="unpullable")
    cluster.call("outcome", of="sick:1", outcome="crash")
    cluster.call(
        "start_log", labels={"app": "sick"}, lines=["panic: out of luck"], previous=True, namespace="ill"
    )
    for name in ("bad", "sick"):
        cluster.apply(scene.deployment(name, "ill", replicas=1, image=f"{name}:1"))
    cluster.settle()
    pods = {p["metadata"]["labels"]["app"]: p["metadata"]["name"] for p in cluster.objects("pods", "ill")}
    found = asked(cluster, "GET", f"/api/v1/namespaces/ill/pods/{pods['bad']}/log", status=400)
    assert found["message"].endswith("is waiting to start: trying and failing to pull image")
    path = f"/api/v1/namespaces/ill/pods/{pods['sick']}/log?previous=true"
    assert cluster.request("GET", path) == (200, "panic: out of luck\n")


def test_lines_are_bytes(cluster: KubernetesServer, pod: str) -> None:
    """What is no UTF-8 arrives as it was written."""
    raw = b"caf\xe9 \xff\xfe \x00 end"
    cluster.call("log", pod=pod, raw=[base64.b64encode(raw).decode()])
    where = urlsplit(cluster.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    connection.request(
        "GET", f"{CORE}/pods/{pod}/log?tailLines=1", headers={"Authorization": f"Bearer {ADMIN}"}
    )
    assert connection.getresponse().read() == raw + b"\n"
    connection.close()


def test_a_log_is_followed_until_its_pod_is_gone(cluster: KubernetesServer, pod: str) -> None:
    """New lines come as they are written; the stream ends with the pod."""
    where = urlsplit(cluster.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    path = f"{CORE}/pods/{pod}/log?follow=true&tailLines=1"
    connection.request("GET", path, headers={"Authorization": f"Bearer {ADMIN}"})
    answer = connection.getresponse()
    assert answer.readline() == b"six\n"
    cluster.call("log", pod=pod, lines=["seven"])
    assert answer.readline() == b"seven\n"
    cluster.call("remove", resource="pods", name=pod)
    assert answer.read() == b""
    connection.close()


def evict(cluster: KubernetesServer, pod: str, status: int, *, dry: bool = False) -> Json:
    """Ask for an eviction."""
    options = {"deleteOptions": {"dryRun": ["All"]}} if dry else {}
    meta = {"name": pod, "namespace": "default"}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta, **options}
    return asked(cluster, "POST", f"{CORE}/pods/{pod}/eviction", body, status=status)


def test_a_budget_allows_some_evictions_and_refuses_the_next(cluster: KubernetesServer) -> None:
    """429 with the body of the API server; when the pod is replaced there is room again."""
    cluster.apply(scene.budget("web", "default", minAvailable=2))
    cluster.settle()
    status = cluster.named("poddisruptionbudgets", "web")["status"]
    assert (status["disruptionsAllowed"], status["currentHealthy"], status["expectedPods"]) == (1, 3, 3)
    first, second, _ = (pod["metadata"]["name"] for pod in cluster.objects("pods", "default"))
    assert evict(cluster, first, 201, dry=True)["status"] == "Success"
    assert evict(cluster, first, 201)["status"] == "Success"
    leaving = cluster.named("pods", first)["status"]["conditions"][-1]
    assert (leaving["type"], leaving["reason"]) == ("DisruptionTarget", "EvictionByEvictionAPI")
    told = evict(cluster, second, 429)["details"]["causes"][0]["message"]
    assert told == "The disruption budget web does not allow evicting pods currently"
    cluster.step()
    message = "The disruption budget web needs 2 healthy pods and has 2 currently"
    assert evict(cluster, second, 429) == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "reason": "TooManyRequests",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": message}]},
        "code": 429,
    }
    cluster.settle()
    assert first not in {pod["metadata"]["name"] for pod in cluster.objects("pods")}
    evict(cluster, second, 201)


def test_a_budget_that_is_new_is_still_being_counted(cluster: KubernetesServer) -> None:
    """429 too, and when to come again."""
    cluster.apply(scene.budget("web", "default", minAvailable=1))
    found = evict(cluster, cluster.objects("pods", "default")[0]["metadata"]["name"], 429)
    assert found["details"]["retryAfterSeconds"] == 10
    assert "is still being processed by the server" in found["details"]["causes"][0]["message"]


def test_a_pod_under_two_budgets_cannot_be_evicted(cluster: KubernetesServer) -> None:
    """500, as the API server has it."""
    for name in ("one", "two"):
        document = scene.budget("web", "default", maxUnavailable=1)
        document["metadata"]["name"] = name
        cluster.apply(document)
    cluster.settle()
    found = evict(cluster, cluster.objects("pods", "default")[0]["metadata"]["name"], 500)
    assert "more than one PodDisruptionBudget" in found["message"]


def test_percentages_of_a_budget_round_up(cluster: KubernetesServer) -> None:
    """Half of three pods at least is two."""
    cluster.apply(scene.budget("web", "default", minAvailable="50%"))
    cluster.settle()
    assert cluster.named("poddisruptionbudgets", "web")["status"]["desiredHealthy"] == 2


def test_a_deleted_pod_ends_after_its_grace(cluster: KubernetesServer, pod: str) -> None:
    """It is there with a deletionTimestamp, then gone; with a grace of 0 it is gone at once."""
    found = asked(cluster, "DELETE", f"{CORE}/pods/{pod}")
    assert found["metadata"]["deletionGracePeriodSeconds"] == 30
    assert "deletionTimestamp" in asked(cluster, "GET", f"{CORE}/pods/{pod}")["metadata"]
    cluster.step()
    asked(cluster, "GET", f"{CORE}/pods/{pod}", status=404)
    other = cluster.objects("pods", "default")[0]["metadata"]["name"]
    asked(cluster, "DELETE", f"{CORE}/pods/{other}", {"gracePeriodSeconds": 0})
    asked(cluster, "GET", f"{CORE}/pods/{other}", status=404)
    cluster.settle()
    assert len(cluster.objects("pods", "default")) == 3


def test_what_pods_and_nodes_use(cluster: KubernetesServer, pod: str) -> None:
    """metrics.k8s.io: per container, in nanocores and KiB; a pod that does not run has none."""
    cluster.call("usage", of=f"default/{pod}", cpu=250, memory=512)
    base = "/apis/metrics.k8s.io/v1beta1"
    found = asked(cluster, "GET", f"{base}/namespaces/default/pods/{pod}")
    usage = {"cpu": "250000000n", "memory": "524288Ki"}
    assert found["containers"] == [{"name": "app", "usage": usage}]
    assert len(asked(cluster, "GET", f"{base}/pods?labelSelector=app=web")["items"]) == 3
    nodes = asked(cluster, "GET", f"{base}/nodes")["items"]
    assert [node["metadata"]["name"] for node in nodes] == ["node-1", "node-2"]
    asked(cluster, "GET", f"{base}/namespaces/default/pods/nosuch", status=404)


async def test_commands_run_in_a_pod(cluster: KubernetesServer, pod: str) -> None:
    """Through the package's own stream client; a right to pods/exec is two verbs."""
    await cluster.act("command", argv=["free", "-m"], stdout="Mem: 512")
    await cluster.act("token", token="half", roles=[role(("", "pods/exec", "get"))])
    await cluster.act("token", token="whole", roles=[role(("", "pods/exec", "get,create"))])

    async def run(token: str) -> str:
        async with WsApiClient(api_of(cluster, token).configuration) as api:
            core = client.CoreV1Api(api)
            found: str = await core.connect_get_namespaced_pod_exec(
                pod, "default", command=["free", "-m"], stdout=True, stderr=True
            )
            return found

    assert await run("whole") == "Mem: 512"
    with pytest.raises(WSServerHandshakeError) as caught:
        await run("half")
    assert caught.value.status == 403


async def test_a_command_that_hangs_ends_with_its_connection(cluster: KubernetesServer, pod: str) -> None:
    """Nothing more comes until one side goes."""
    await cluster.act("command", argv=["tail", "-f"], stdout="begun", ends="hangs")
    url = f"{cluster.url}{CORE}/pods/{pod}/exec?command=tail&command=-f&stdout=true"
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with ClientSession() as session, session.ws_connect(url, protocols=V4, headers=headers) as socket:
        assert await socket.receive_bytes() == b"\x01"
        assert await socket.receive_bytes() == b"\x01begun"
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.2)
    async with ClientSession() as session, session.ws_connect(url, protocols=V4, headers=headers) as socket:
        assert await socket.receive_bytes() == b"\x01"
        assert await socket.receive_bytes() == b"\x01begun"
        await cluster.act("signal", to="end")
        assert (await socket.receive(timeout=10)).type is WSMsgType.CLOSE


@pytest.mark.parametrize(
    ("query", "protocol", "status"),
    [
        ("command=free&command=-m", V4[0], 400),  # none of stdin, stdout, stderr
        ("command=free&command=-m&stdout=true&container=other", V4[0], 400),
        ("command=free&command=-m&stdout=true", "v9.channel.k8s.io", 403),
    ],
)
async def test_what_no_command_is_begun_for(
    cluster: KubernetesServer, pod: str, query: str, protocol: str, status: int
) -> None:
    """No stream is wanted, no such container, no protocol that both know."""
    url = f"{cluster.url}{CORE}/pods/{pod}/exec?{query}"
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as caught:
            await session.ws_connect(url, protocols=(protocol,), headers=headers)
    assert caught.value.status == status


async def test_the_frames_of_a_command(cluster: KubernetesServer, pod: str) -> None:
    """An empty frame says that it stands; output in pieces, only of what was asked for; the status at the end."""
    await cluster.act("command", argv=["cat"], stdout="x" * 40_000, stderr="oh", code=3)
    url = f"{cluster.url}{CORE}/pods/{pod}/exec?command=cat&stdout=true"
    headers = {"Authorization": f"Bearer {ADMIN}"}
    async with ClientSession() as session, session.ws_connect(url, protocols=V4, headers=headers) as socket:
        found = [message.data async for message in socket]
    assert [(frame[0], len(frame)) for frame in found[:3]] == [(1, 1), (1, 32 * 1024 + 1), (1, 7233)]
    assert found[3][0] == 3
    assert b'"reason": "ExitCode", "message": "3"' in found[3]
    assert len(found) == 4
