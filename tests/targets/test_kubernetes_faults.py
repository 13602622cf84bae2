"""A cluster that is away, silent, half there, or talks nonsense: every fault has its documented outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.answers import laid_out
from bot.clock import VirtualClock
from commands.actions import Target, TargetError
from incidents.ports import RefusedError
from tests.contracts.kubernetes_rig import SPACE, TOKEN, changes_of, furnish, pod_names
from tests.contracts.target_rigs import START
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.targets.kubernetes_stage import SERVICE, ran, target_of

SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ"


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster as untouched as a new one."""
    found = shared()
    furnish(found)
    yield found
    found.call("faults")


@pytest.fixture
def clock() -> VirtualClock:
    """Stands still."""
    return VirtualClock(START)


@pytest.fixture
async def target(server: KubernetesServer, tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Any]:
    """The cluster's target."""
    found = target_of(server, tmp_path, clock, timeout="1s")
    yield found
    await found.stop()


FAULTS = {
    "429": "has too much to do",
    "500": "answered 500: .*leader changed",
    "502": "answered 502",
    "503": "answered 503",
    "504": "answered 504",
    "reset": "the connection broke",
    "silence": "did not answer within 1 s",
    "half": "broke off in the middle",
    "huge": "more than 8 MB",
    "garbage": "none of Kubernetes",
    "deep": "none of Kubernetes",
    "html": "none of Kubernetes",
}


@pytest.mark.parametrize("kind", sorted(FAULTS))
async def test_safety_33_a_look_fails_with_a_sentence(
    target: Any, server: KubernetesServer, kind: str
) -> None:
    """What is wrong, bounded, and nothing of what was sent."""
    await server.act("faults", kinds=[kind], seconds=5)
    with pytest.raises(TargetError, match=FAULTS[kind]) as caught:
        await target.read("rollout", **SERVICE)
    assert len(str(caught.value)) < 500
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "outcome", "times"),
    [
        ("429", "failed", 0),
        ("denied", "failed", 0),
        ("500", "unknown", 0),
        ("503", "unknown", 0),
        ("reset", "unknown", 0),
        ("silence", "unknown", 0),
        ("after", "unknown", 1),
        ("half", "unknown", 1),
        ("huge", "unknown", 1),
        ("garbage", "unknown", 1),
        ("deep", "unknown", 1),
    ],
)
async def test_safety_33_a_change_is_sent_once_whatever_comes_back(
    target: Any, server: KubernetesServer, clock: VirtualClock, kind: str, outcome: str, times: int
) -> None:
    """A refusal changed nothing; after anything else nobody knows, and it is not sent again."""
    plan = await target.plan("scale", **SERVICE, replicas=5)
    server.requests(clear=True)
    await server.act("faults", kinds=[kind], verbs=["patch"])
    if outcome == "failed":
        with pytest.raises(TargetError):
            await ran(server, target, clock, plan)
    else:
        ended = await ran(server, target, clock, plan)
        assert ended.kind == "unknown"
        assert f"Kubernetes shows {5 if times else 3} wanted, 3 ready." in ended.text
    assert len(server.requests(verbs=("patch",))) == 1
    assert changes_of(server, "wb-1") <= 1
    assert server.named("deployments", "realtime", SPACE)["spec"]["replicas"] == (5 if times else 3)


async def test_nobody_listens(tmp_path: Path, clock: VirtualClock, server: KubernetesServer) -> None:
    """A port on which there is nothing: a sentence, for looks and for changes."""
    target = target_of(server, tmp_path, clock, host="https://127.0.0.1:1")
    for call in (target.read("pods", **SERVICE), target.plan("scale", **SERVICE, replicas=5)):
        with pytest.raises(TargetError, match="Kubernetes main does not answer: the connection is refused"):
            await call
    await target.stop()


async def test_a_wrong_token_and_a_wrong_certificate(
    tmp_path: Path, clock: VirtualClock, server: KubernetesServer
) -> None:
    """Neither is let in, and neither is told who asks."""
    target = target_of(server, tmp_path, clock)
    server.call("revoke", token=TOKEN)
    with pytest.raises(TargetError, match="refuses the token"):
        await target.read("pods", **SERVICE)
    await target.stop()
    target = target_of(server, tmp_path, clock, ca_file=None)
    with pytest.raises(TargetError, match="a certificate that I do not trust"):
        await target.read("pods", **SERVICE)
    await target.stop()


async def test_a_kubeconfig_is_a_way_too(
    tmp_path: Path, clock: VirtualClock, server: KubernetesServer
) -> None:
    """With its context; one that is not there, and a pod's account outside of a pod, are sentences."""
    path = str(server.kubeconfig(tmp_path / "config", token=TOKEN))
    none: dict[str, Any] = {"host": None, "token_env": None, "ca_file": None}
    target = target_of(server, tmp_path, clock, kubeconfig=path, context="tests", **none)
    assert "3 of 3 ready" in (await target.read("pods", **SERVICE)).headline
    await target.stop()
    for fields in ({"kubeconfig": path, "context": "mars"}, {"kubeconfig": "nowhere"}, {"in_cluster": True}):
        target = target_of(server, tmp_path, clock, **fields, **none)
        with pytest.raises(TargetError, match="Kubernetes main is not reached"):
            await target.read("pods", **SERVICE)
        await target.stop()


async def test_safety_20_logs_are_bounded_and_without_secrets(target: Any, server: KubernetesServer) -> None:
    """Merged by time, what is no text shown as escapes, secrets left out."""
    for number, pod in enumerate(pod_names(server)):
        lines = [f"{number} plain", f"{number} ERROR password=Sw0rdfish-4711 token {SECRET}"]
        server.call("log", pod=pod, namespace=SPACE, lines=lines, raw=["//5b"])
    answer = await target.read("logs", **SERVICE, tail=100)
    assert answer.headline == "realtime · production · 9 lines"
    assert "Sw0rdfish" not in answer.text + str(answer.lines)
    assert SECRET not in answer.text + str(answer.lines)
    assert "\\xff\\xfe" in answer.text
    found = await target.read("logs", **SERVICE, grep="plain")
    assert found.headline == 'realtime · production · 3 lines with "plain"'
    one = await target.read("logs", **SERVICE, pod=pod_names(server)[0], tail=1)
    assert "1 line" in one.headline
    with pytest.raises(RefusedError, match="has no pod"):
        await target.read("logs", **SERVICE, pod="other")


async def test_safety_20_a_key_that_the_number_of_lines_cuts(target: Any, server: KubernetesServer) -> None:
    """More lines are read than are shown; where a key began before them all, its end is enough."""
    key = ["-----BEGIN RSA PRIVATE KEY-----", *["MIIEpAIBAAKCAQEA"] * 120, "-----END RSA PRIVATE KEY-----"]
    plain = [f"line {number}" for number in range(90)]
    first, second, _ = pod_names(server)
    server.call("log", pod=first, namespace=SPACE, lines=["first", *key[:26], key[-1], *plain])
    server.call("log", pod=second, namespace=SPACE, lines=["first", *key, *plain])
    for tail in (1, 50, 91, 100):
        one, two = [
            (await target.read("logs", **SERVICE, pod=pod, tail=tail)).text for pod in (first, second)
        ]
        assert one.splitlines() == ["first", "‹redacted›", *plain][-tail:]
        assert two.splitlines() == ["‹redacted›", *plain][-tail:]


async def test_what_ails_pods_is_in_the_list(target: Any, server: KubernetesServer) -> None:
    """OOMKilled, CrashLoopBackOff; it fits a phone's screen."""
    server.call("outcome", of=f"{SPACE}/{pod_names(server)[0]}", outcome="oom")
    server.step()
    answer = await target.read("pods", **SERVICE)
    assert "2 of 3 ready" in answer.headline
    assert answer.table.remarks[0] == "CrashLoopBackOff, OOMKilled"
    assert laid_out(answer)[0]
    assert "OOMKilled" in (await target.read("describe", pod=pod_names(server)[0])).text


async def test_a_cluster_that_is_away_rests(target: Target, server: KubernetesServer) -> None:
    """After five calls without an answer nothing is asked for a while."""
    await server.act("faults", kinds=["reset"])
    for _ in range(5):
        with pytest.raises(TargetError, match="connection broke"):
            await target.read("rollout", **SERVICE)
    server.requests(clear=True)
    with pytest.raises(TargetError, match="did not answer 5 times in a row"):
        await target.read("rollout", **SERVICE)
    assert not server.requests()
