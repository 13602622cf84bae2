"""kubectl itself against the Kubernetes stand-in: what it takes for a real API server may be taken for one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import require
from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import role
from tests.servers.kubernetes_server import KubernetesServer

KUBECTL = require(str(Path(sys.executable).with_name("kubectl")))
BEAT = 0.02  # seconds between two steps of the cluster
REVISION = "deployment.kubernetes.io/revision"


class Kubectl:
    """Runs kubectl with a kubeconfig of its own, and nothing of this machine's settings."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._env = {
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(folder / "cache"),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Its exit code and what it says."""
        return subprocess.run([KUBECTL, *words], env=self._env, capture_output=True, text=True, timeout=60)

    def __call__(self, command: str, *more: str) -> str:
        """What it says of a command that succeeds."""
        done = self.run(*command.split(), *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, command: str, *more: str) -> str:
        """What it complains of."""
        done = self.run(*command.split(), *more)
        assert done.returncode != 0, done.stdout
        return done.stderr


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer() as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> Iterator[KubernetesServer]:
    """A cluster with a service of three pods, which moves by itself."""
    process.reset()
    process.apply(scene.config_map("web-config", "default", {"MAINTENANCE_MODE": "false"}))
    process.deploy("web")
    process.call("pulse", every=BEAT)
    yield process
    process.call("pulse", every=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where kubectl keeps what it discovered, for all tests."""
    return tmp_path_factory.mktemp("kubectl")


@pytest.fixture
def kubectl(cluster: KubernetesServer, folder: Path) -> Kubectl:
    return Kubectl(folder, cluster.kubeconfig(folder / "config"))


def done(kubectl: Kubectl) -> None:
    """Wait as a person would: rollout status."""
    assert "successfully rolled out" in kubectl("rollout status deployment/web --timeout=30s")


def test_it_reads(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """get as a table, as names and as JSON; short names, selectors and all; describe with its events."""
    assert "Server Version: v1.36.0" in kubectl("version")
    rows = kubectl("get pods").splitlines()
    assert rows[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[1:3] for row in rows[1:]] == [["1/1", "Running"]] * 3
    assert kubectl("get deploy,cm -o name").split() == ["deployment.apps/web", "configmap/web-config"]
    assert len(kubectl("get po -l app=web,app!=x -o name").split()) == 3
    assert json.loads(kubectl("get deployment web -o json"))["status"]["readyReplicas"] == 3
    assert kubectl("get deployment web -o jsonpath={.spec.replicas}") == "3"
    shown = kubectl("describe deployment web")
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in shown
    assert "ScalingReplicaSet" in shown
    assert "Readiness:      http-get" in kubectl("describe pods -l app=web")
    assert "replicaset.apps/web-" in kubectl("get all")
    assert 'pods "nosuch" not found' in kubectl.refused("get pod nosuch")


def test_it_scales(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """Up, with a condition that does not hold, without effect, and to nothing."""
    assert kubectl("scale deployment web --replicas=5") == "deployment.apps/web scaled\n"
    done(kubectl)
    assert len(kubectl("get pods -o name").split()) == 5
    assert "Expected replicas to be 9, was 5" in kubectl.refused(
        "scale deployment web --replicas=2 --current-replicas=9"
    )
    assert "replicas: 1" in kubectl("scale deployment web --replicas=1 --dry-run=server -o yaml")
    assert cluster.named("deployments", "web")["spec"]["replicas"] == 5
    kubectl("scale deployment web --replicas=0")
    done(kubectl)
    kubectl("wait pod -l app=web --for=delete --timeout=30s")
    assert kubectl("get pods -o name") == ""


def test_it_rolls_out_and_back(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """set image, status, history, undo: to the revision before, which gets the highest number."""
    kubectl("set image deployment/web app=web:2")
    assert "Waiting for deployment" in kubectl("rollout status deployment/web --timeout=30s")
    history = kubectl("rollout history deployment/web").split()
    assert ("1" in history, "2" in history) == (True, True)
    assert "web:2" in kubectl("rollout history deployment/web --revision=2")
    assert "rolled back" in kubectl("rollout undo deployment/web")
    done(kubectl)
    found = cluster.named("deployments", "web")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example.com/web:1.0.0"
    assert found["metadata"]["annotations"][REVISION] == "3"
    kubectl("rollout undo deployment/web --to-revision=2")
    done(kubectl)
    found = cluster.named("deployments", "web")
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"


def test_it_restarts(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """Every pod is another one afterwards; a paused deployment is not restarted."""
    before = set(kubectl("get pods -o name").split())
    kubectl("rollout restart deployment/web")
    done(kubectl)
    kubectl("wait --for=delete --timeout=30s", *before)
    after = set(kubectl("get pods -o name").split())
    assert len(after) == 3
    assert not before & after
    kubectl("rollout pause deployment/web")
    assert "can't restart paused deployment" in kubectl.refused("rollout restart deployment/web")
    kubectl("rollout resume deployment/web")


def test_it_follows_a_rollout_that_fails(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """The pods say why, and status ends with the deadline."""
    cluster.call("outcome", of="web:bad", outcome="unpullable")
    kubectl("set image deployment/web app=web:bad")
    cluster.call("settle")
    assert "ImagePullBackOff" in kubectl("get pods")
    cluster.call("forward", seconds=700)
    assert 'deployment "web" exceeded its progress deadline' in kubectl.refused(
        "rollout status deployment/web"
    )


def test_it_patches_and_sets(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """The three kinds of patch, set env, labels and annotations."""
    kubectl("patch configmap web-config --type merge -p", '{"data":{"MAINTENANCE_MODE":"true"}}')
    assert cluster.named("configmaps", "web-config")["data"] == {"MAINTENANCE_MODE": "true"}
    kubectl("set env deployment/web MAINTENANCE=on")
    containers = [{"name": "app", "env": [{"name": "LEVEL", "value": "2"}]}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    kubectl("patch deployment web -p", json.dumps(patch))
    listed = kubectl("set env deployment/web --list").splitlines()
    assert sorted(listed[1:]) == ["LEVEL=2", "MAINTENANCE=on"]
    replace = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    kubectl("patch deployment web --type json -p", json.dumps(replace))
    assert cluster.named("deployments", "web")["spec"]["replicas"] == 4
    test = json.dumps([{"op": "test", "path": "/spec/replicas", "value": 9}])
    assert "the server rejected our request" in kubectl.refused("patch deployment web --type json -p", test)
    kubectl("label deployment web tier=front")
    kubectl("annotate deployment web example.com/note=checked")
    assert cluster.named("deployments", "web")["metadata"]["labels"]["tier"] == "front"


def test_it_reads_logs(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """Of a pod and of a deployment; tail, since, and following until the pod is gone."""
    pod = cluster.objects("pods", "default")[0]["metadata"]["name"]
    cluster.call("log", pod=pod, lines=["old"], ago=3600)
    cluster.call("log", pod=pod, lines=["one", "two"])
    assert kubectl(f"logs {pod}") == "old\none\ntwo\n"
    assert kubectl(f"logs {pod} --tail=1") == "two\n"
    assert kubectl(f"logs {pod} --since=10m") == "one\ntwo\n"
    assert kubectl("logs -l app=web --tail=-1 --prefix").count(f"[pod/{pod}/app]") == 3
    assert "previous terminated container" in kubectl.refused(f"logs {pod} --previous")


def test_it_runs_commands(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """exec: output, errors, the exit code, and what is not installed."""
    pod = cluster.objects("pods", "default")[0]["metadata"]["name"]
    cluster.call("command", argv=["df", "-h"], stdout="Use% 42%\n", stderr="df: /proc: denied\n")
    cluster.call("command", argv=["nc", "-z", "redis", "6379"], code=1)
    ran = kubectl.run("exec", pod, "--", "df", "-h")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Use% 42%\n", "df: /proc: denied\n")
    ran = kubectl.run("exec", pod, "--", "nc", "-z", "redis", "6379")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "command terminated with exit code 1" in ran.stderr
    assert "executable file not found" in kubectl.refused(f"exec {pod} -- top")


def test_it_asks_what_it_may(cluster: KubernetesServer, kubectl: Kubectl, folder: Path) -> None:
    """auth can-i for a token with a small role; what it may not, it is told in the API server's words."""
    rules = role(("apps", "deployments", "get,list"), ("apps", "deployments/scale", "get,patch"))
    user = "system:serviceaccount:ops:watchbell"
    cluster.call("token", token="small", user=user, roles=[rules])
    small = Kubectl(folder, cluster.kubeconfig(folder / "small", token="small"))
    assert small("auth can-i patch deployments --subresource=scale") == "yes\n"
    assert small.run("auth", "can-i", "delete", "deployments").stdout == "no\n"
    assert "deployments.apps/scale" in small("auth can-i --list")
    assert user in small("auth whoami")
    small("scale deployment web --replicas=2")
    told = f'User "{user}" cannot list resource "secrets" in API group "" in the namespace "default"'
    assert told in small.refused("get secrets")
    wrong = Kubectl(folder, cluster.kubeconfig(folder / "wrong", token="nobody"))
    assert "You must be logged in to the server" in wrong.refused("get pods")


def test_it_drains_a_node(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """Cordoned, every pod evicted and made again elsewhere; a budget without room keeps its pod."""
    kubectl("drain node-1 --timeout=30s")
    done(kubectl)
    nodes = kubectl("get pods -o jsonpath={.items[*].spec.nodeName}").split()
    assert set(nodes) == {"node-2"}
    assert "SchedulingDisabled" in kubectl("get nodes")
    kubectl("uncordon node-1")
    cluster.apply(scene.budget("web", "default", minAvailable=3))
    cluster.call("settle")
    told = kubectl.refused("drain node-2 --timeout=1s")
    assert "Cannot evict pod as it would violate the pod's disruption budget." in told
    assert len(cluster.objects("pods", "default")) == 3


def test_it_deletes(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """A pod comes back under another name; a deployment goes with all it owns."""
    pod = kubectl("get pods -o name").split()[0]
    kubectl("delete", pod)
    assert pod not in kubectl("get pods -o name").split()
    kubectl("delete deployment web --cascade=foreground --timeout=30s")
    assert kubectl("get all -o name") == ""


def test_it_shows_what_pods_use(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """top, for pods and nodes."""
    cluster.call("usage", of="web", cpu=120, memory=300)
    assert [row.split()[1:] for row in kubectl("top pods --no-headers").splitlines()] == [
        ["120m", "300Mi"]
    ] * 3
    assert kubectl("top nodes --no-headers").split()[0] == "node-1"


def test_it_waits_for_a_stateful_set(cluster: KubernetesServer, kubectl: Kubectl) -> None:
    """rollout restart and status of a StatefulSet."""
    cluster.apply(scene.stateful_set("db", "default", replicas=2))
    kubectl("rollout status statefulset/db --timeout=30s")
    kubectl("rollout restart statefulset/db")
    said = kubectl("rollout status statefulset/db --timeout=30s")
    assert "roll out complete: 2 new pods have been updated" in said
    assert cluster.named("statefulsets", "db")["status"]["updatedReplicas"] == 2
