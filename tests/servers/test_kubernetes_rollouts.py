"""The Kubernetes stand-in's controllers: rollouts step by step, what stops them, undo, scaling, owners."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import APPS, CORE, MERGE, STRATEGIC, Json, asked
from tests.servers.kubernetes_server import KubernetesServer

WEB = f"{APPS}/deployments/web"
REVISION = "deployment.kubernetes.io/revision"


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer(tls=False) as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> KubernetesServer:
    process.reset()
    process.deploy("web", replicas=4)
    return process


def image(cluster: KubernetesServer, tag: str) -> None:
    """Ask for another image."""
    container = {"name": "app", "image": f"web:{tag}"}
    asked(cluster, "PATCH", WEB, {"spec": {"template": {"spec": {"containers": [container]}}}}, **STRATEGIC)


def status(cluster: KubernetesServer) -> Json:
    """What the Deployment says of itself."""
    found: Json = asked(cluster, "GET", WEB)["status"]
    return found


def condition(cluster: KubernetesServer, kind: str) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    found = next(each for each in status(cluster)["conditions"] if each["type"] == kind)
    return found["status"], found["reason"], found["message"]


def revisions(cluster: KubernetesServer) -> dict[str, int]:
    """How many replicas each revision is to have."""
    found = cluster.objects("replicasets", "default")
    return {each["metadata"]["annotations"][REVISION]: each["spec"]["replicas"] for each in found}


def reasons(cluster: KubernetesServer) -> set[str]:
    """Why containers wait."""
    found = cluster.objects("pods", "default")
    states = [s["state"] for pod in found for s in pod["status"].get("containerStatuses", ())]
    return {state["waiting"]["reason"] for state in states if "waiting" in state}


def test_pods_start_in_steps(cluster: KubernetesServer) -> None:
    """Made, placed on a node, running, ready: and the Deployment counts them."""
    cluster.apply(scene.deployment("slow", "slow", replicas=1))
    seen = []
    for _ in range(4):
        cluster.step()
        (pod,) = cluster.objects("pods", "slow")
        ready = any(
            (c["type"], c["status"]) == ("Ready", "True") for c in pod["status"].get("conditions", ())
        )
        seen.append((pod["status"]["phase"], "nodeName" in pod["spec"], ready))
    assert seen == [
        ("Pending", False, False),
        ("Pending", True, False),
        ("Running", True, False),
        ("Running", True, True),
    ]
    assert cluster.named("deployments", "slow", "slow")["status"]["availableReplicas"] == 1


def test_a_rollout_keeps_within_surge_and_unavailable(cluster: KubernetesServer) -> None:
    """Of 4 with 25 % each: never fewer than 3 available, never more than 5 at all."""
    image(cluster, "2")
    before = status(cluster)
    assert before["observedGeneration"] < asked(cluster, "GET", WEB)["metadata"]["generation"]
    seen = []
    for _ in range(12):
        cluster.step()
        seen.append(status(cluster))
    assert min(each["availableReplicas"] for each in seen) == 3
    assert max(each["replicas"] for each in seen) == 5
    assert seen[-1]["updatedReplicas"] == seen[-1]["replicas"] == seen[-1]["availableReplicas"] == 4
    assert revisions(cluster) == {"1": 0, "2": 4}
    assert condition(cluster, "Progressing")[1] == "NewReplicaSetAvailable"
    (new,) = [s for s in cluster.objects("replicasets") if s["metadata"]["annotations"][REVISION] == "2"]
    label = new["metadata"]["labels"]["pod-template-hash"]
    assert new["metadata"]["name"] == f"web-{label}"
    events = asked(cluster, "GET", f"{CORE}/events?fieldSelector=involvedObject.name=web")["items"]
    assert f"Scaled up replica set web-{label} from 0 to 1" in {event["message"] for event in events}


def test_recreate_stops_everything_first(cluster: KubernetesServer) -> None:
    """No old pod is left when the first new one is made."""
    strategy = {"type": "Recreate", "rollingUpdate": None}
    asked(cluster, "PATCH", WEB, {"spec": {"strategy": strategy}}, **MERGE)
    image(cluster, "2")
    most = []
    for _ in range(8):
        cluster.step()
        pods = cluster.objects("pods", "default")
        most.append(len({pod["spec"]["containers"][0]["image"] for pod in pods}))
    assert max(most) == 1
    assert revisions(cluster) == {"1": 0, "2": 4}


def test_an_image_that_cannot_be_pulled_stops_the_rollout(cluster: KubernetesServer) -> None:
    """ImagePullBackOff with its events; after the deadline ProgressDeadlineExceeded; enough stay available."""
    cluster.call("outcome", of="web:bad", outcome="unpullable")
    image(cluster, "bad")
    cluster.settle()
    assert reasons(cluster) == {"ImagePullBackOff"}
    assert status(cluster)["availableReplicas"] == 3
    assert condition(cluster, "Progressing")[:2] == ("True", "ReplicaSetUpdated")
    events = asked(cluster, "GET", f"{CORE}/events?fieldSelector=reason=Failed")["items"]
    assert any('Failed to pull image "web:bad"' in event["message"] for event in events)
    cluster.call("forward", seconds=601)
    told = condition(cluster, "Progressing")
    assert told[:2] == ("False", "ProgressDeadlineExceeded")
    assert told[2].endswith("has timed out progressing.")
    cluster.call("outcome", of="web:bad")
    cluster.settle()
    assert condition(cluster, "Progressing")[1] == "NewReplicaSetAvailable"


@pytest.mark.parametrize(("outcome", "reason", "code"), [("crash", "Error", 1), ("oom", "OOMKilled", 137)])
def test_containers_crash(cluster: KubernetesServer, outcome: str, reason: str, code: int) -> None:
    """CrashLoopBackOff, with what ended the container before in lastState."""
    cluster.call("outcome", of="web:2", outcome=outcome)
    image(cluster, "2")
    cluster.settle()
    assert reasons(cluster) == {"CrashLoopBackOff"}
    crashed = [
        status
        for pod in cluster.objects("pods", "default")
        for status in pod["status"]["containerStatuses"]
        if status["restartCount"]
    ]
    assert crashed
    ended = crashed[0]["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == (reason, code)
    killed = asked(cluster, "GET", f"{CORE}/events?fieldSelector=reason=OOMKilling")["items"]
    assert bool(killed) is (outcome == "oom")


def test_a_running_pod_can_fall_ill(cluster: KubernetesServer) -> None:
    """It leaves the endpoints, the Deployment misses one, and it comes back."""
    cluster.apply(scene.service("web", "default"))
    pod = cluster.objects("pods", "default")[0]["metadata"]["name"]
    cluster.call("outcome", of=f"default/{pod}", outcome="never_ready")
    cluster.settle()
    assert status(cluster)["unavailableReplicas"] == 1
    (subset,) = asked(cluster, "GET", f"{CORE}/endpoints/web")["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (3, 1)
    cluster.call("outcome", of=f"default/{pod}")
    cluster.settle()
    assert status(cluster)["readyReplicas"] == 4


def test_a_restart_is_a_new_revision_and_undo_takes_an_old_one(cluster: KubernetesServer) -> None:
    """The annotation that kubectl writes; going back gives the old ReplicaSet the highest revision."""
    notes = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    patch = {"spec": {"template": {"metadata": {"annotations": notes}}}}
    first = {pod["metadata"]["name"] for pod in cluster.objects("pods")}
    asked(cluster, "PATCH", WEB, patch, **STRATEGIC)
    cluster.settle()
    assert not first & {pod["metadata"]["name"] for pod in cluster.objects("pods")}
    assert revisions(cluster) == {"1": 0, "2": 4}
    (old,) = [s for s in cluster.objects("replicasets") if s["metadata"]["annotations"][REVISION] == "1"]
    template = old["spec"]["template"]
    del template["metadata"]["labels"]["pod-template-hash"]
    template["metadata"]["annotations"] = None
    asked(cluster, "PATCH", WEB, {"spec": {"template": template}}, **MERGE)
    cluster.settle()
    assert revisions(cluster) == {"2": 0, "3": 4}
    assert asked(cluster, "GET", WEB)["metadata"]["annotations"][REVISION] == "3"


def test_a_paused_deployment_rolls_nothing_out(cluster: KubernetesServer) -> None:
    """But it still scales."""
    asked(cluster, "PATCH", WEB, {"spec": {"paused": True}}, **MERGE)
    image(cluster, "2")
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 2}}, **MERGE)
    cluster.settle()
    assert revisions(cluster) == {"1": 2}
    assert condition(cluster, "Progressing")[:2] == ("Unknown", "DeploymentPaused")
    asked(cluster, "PATCH", WEB, {"spec": {"paused": None}}, **MERGE)
    cluster.settle()
    assert revisions(cluster) == {"1": 0, "2": 2}


def test_scaling_to_nothing_and_back(cluster: KubernetesServer) -> None:
    """No pods are left, and the same revision comes back."""
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 0}}, **MERGE)
    cluster.settle()
    assert cluster.objects("pods", "default") == []
    assert condition(cluster, "Available")[0] == "True"
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 2}}, **MERGE)
    cluster.settle()
    assert revisions(cluster) == {"1": 2}


def test_an_autoscaler_takes_back_what_is_out_of_its_bounds(cluster: KubernetesServer) -> None:
    """Above its maximum it scales down again, unless it is switched off; at 0 it leaves things alone."""
    cluster.apply(scene.autoscaler("web", "default", low=2, high=5))
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 9}}, **MERGE)
    cluster.settle()
    assert asked(cluster, "GET", WEB)["spec"]["replicas"] == 5
    assert cluster.named("horizontalpodautoscalers", "web")["status"]["currentReplicas"] == 5
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 0}}, **MERGE)
    cluster.settle()
    assert asked(cluster, "GET", WEB)["spec"]["replicas"] == 0
    cluster.call("autoscale", on=False)
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 9}}, **MERGE)
    cluster.settle()
    assert asked(cluster, "GET", WEB)["spec"]["replicas"] == 9


def test_pods_are_available_after_their_patience(cluster: KubernetesServer) -> None:
    """With minReadySeconds ready comes first, and available only when the clock has moved."""
    cluster.apply(scene.deployment("calm", "calm", replicas=1, spec={"minReadySeconds": 60}))
    cluster.settle()
    found = cluster.named("deployments", "calm", "calm")["status"]
    assert (found["readyReplicas"], found.get("availableReplicas", 0)) == (1, 0)
    cluster.call("forward", seconds=61)
    assert cluster.named("deployments", "calm", "calm")["status"]["availableReplicas"] == 1


def test_a_stateful_set_goes_in_order(cluster: KubernetesServer) -> None:
    """Pods are numbered; an update replaces the last first, one at a time."""
    cluster.apply(scene.stateful_set("db", "data", replicas=3))
    cluster.settle()
    assert [pod["metadata"]["name"] for pod in cluster.objects("pods", "data")] == ["db-0", "db-1", "db-2"]
    path = "/apis/apps/v1/namespaces/data/statefulsets/db"
    container = {"name": "app", "image": "db:2"}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    asked(cluster, "PATCH", path, patch, **STRATEGIC)
    order: list[str] = []
    for _ in range(20):
        cluster.step()
        pods = cluster.objects("pods", "data")
        new = [p["metadata"]["name"] for p in pods if p["spec"]["containers"][0]["image"] == "db:2"]
        order += [name for name in new if name not in order]
        assert len(pods) >= 2
    assert order == ["db-2", "db-1", "db-0"]
    found = asked(cluster, "GET", path)["status"]
    assert found["currentRevision"] == found["updateRevision"]
    assert found["updatedReplicas"] == found["readyReplicas"] == 3


def test_pods_wait_where_every_node_is_closed(cluster: KubernetesServer) -> None:
    """Unschedulable, with the scheduler's sentence, until a node opens."""
    for node in ("node-1", "node-2"):
        asked(cluster, "PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}}, **MERGE)
    asked(cluster, "PATCH", f"{WEB}/scale", {"spec": {"replicas": 5}}, **MERGE)
    cluster.step(3)
    (waiting,) = [pod for pod in cluster.objects("pods") if "nodeName" not in pod["spec"]]
    (told,) = waiting["status"]["conditions"]
    assert told["reason"] == "Unschedulable"
    assert told["message"] == "0/2 nodes are available: 2 node(s) were unschedulable."
    asked(cluster, "PATCH", "/api/v1/nodes/node-2", {"spec": {"unschedulable": None}}, **MERGE)
    cluster.settle()
    assert status(cluster)["readyReplicas"] == 5
