"""What changes of a cluster say beforehand, refuse, and report when they come to a halt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.clock import VirtualClock
from bot.targets.kubernetes_steps import mark_of
from commands.actions import TargetError
from incidents.ports import RefusedError
from tests.contracts.kubernetes_rig import SPACE, furnish, patch, pod_names
from tests.contracts.target_rigs import START
from tests.servers.kubernetes import scene
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.targets.kubernetes_stage import DEPLOYMENT, SERVICE, ran, target_of

HPA = f"/apis/autoscaling/v2/namespaces/{SPACE}/horizontalpodautoscalers/realtime"


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


async def test_the_card_has_the_evidence(server: KubernetesServer, target: Any) -> None:
    """Bounds of the autoscaler, what the pods may use, who keeps the object as a repository has it."""
    patch(server, DEPLOYMENT, {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}})
    notes = (await target.plan("scale", **SERVICE, replicas=10)).notes
    assert "HPA keeps 2–8 and will undo this" in notes
    assert "a pod may use 500m and 512Mi; all of them 1.5Gi → 5.0Gi" in notes
    assert "Argo CD keeps it as its repository has it, and may undo this" in notes
    evict = await target.plan("evict", pod=pod_names(server)[0])
    assert evict.notes == ("budget realtime: 1 may go now, 3 are healthy and 2 have to be",)
    plan = await target.plan("scale", **SERVICE, replicas=0)
    assert (plan.effect, plan.notes[:2]) == (
        "danger",
        ("0 stops realtime for everybody", "HPA keeps 2–8 and rests as long as it is 0"),
    )


@pytest.mark.parametrize(
    ("verb", "args", "sentence"),
    [
        ("scale", {"replicas": 21}, "realtime takes 0 to 20 replicas; 21 is outside"),
        ("scale", {"replicas": 3}, "already runs 3"),
        ("rollback", {"revision": 9}, "no revision 9; there are 1"),
        ("rollback", {"revision": 2}, "already runs revision 2"),
        ("resume", {}, "not paused"),
        ("maintenance", {"state": "off"}, "is off already"),
        ("toggle", {"key": "LOG_LEVEL", "new": "debug"}, "has no toggle LOG_LEVEL"),
        ("toggle", {"key": "BACKPRESSURE_THRESHOLD", "new": "0.9", "expect": "0.7"}, "=0.8, not 0.7"),
        ("toggle", {"key": "BACKPRESSURE_THRESHOLD", "new": "high"}, "a value like 0.8"),
        ("hpa", {"low": 9, "high": 3}, "takes 1 to 20"),
        ("hpa", {"low": 2, "high": 8}, "keeps 2–8 already"),
    ],
)
async def test_safety_18_what_makes_no_sense_is_refused(
    target: Any, server: KubernetesServer, verb: str, args: dict[str, Any], sentence: str
) -> None:
    """With the reason, and before anything is sent that could change something."""
    with pytest.raises(RefusedError, match=sentence):
        await target.plan(verb, **SERVICE, **args)
    assert not server.requests(verbs=("patch", "create"))


@pytest.mark.parametrize(
    ("verb", "args", "sentence"),
    [
        ("evict", {"pod": "coredns"}, "no service or pod"),
        ("cordon", {"node": "node-9"}, "no node"),
        ("uncordon", {"node": "node-1"}, "is not cordoned"),
        ("cordon", {"node": "node-1", "cluster": "mars"}, "no cluster"),
        ("scale", {"service": "chat-adapters", "replicas": 4}, "does not run in"),
    ],
)
async def test_only_what_the_catalogue_names_is_touched(
    target: Any, verb: str, args: dict[str, Any], sentence: str
) -> None:
    """Pods of others, nodes that there are not, services of another cluster."""
    with pytest.raises(RefusedError, match=sentence):
        await target.plan(verb, **args)


async def test_a_pod_of_nobody_s_service_is_left_alone(target: Any, server: KubernetesServer) -> None:
    """Although it is in a namespace of the catalogue."""
    server.deploy("stranger", SPACE, replicas=1)
    pod = next(name for name in pod_names(server) if name.startswith("stranger"))
    with pytest.raises(RefusedError, match="belongs to no service"):
        await target.plan("evict", pod=pod)


async def test_a_cluster_serves_what_its_configuration_says(
    server: KubernetesServer, tmp_path: Path, clock: VirtualClock
) -> None:
    """`commands` narrows it down."""
    target = target_of(server, tmp_path, clock, commands=["pods"])
    assert (await target.read("pods", **SERVICE)).headline.startswith("realtime")
    for call in (target.plan("scale", **SERVICE, replicas=5), target.read("hpa", **SERVICE)):
        with pytest.raises(RefusedError, match="not among the `commands`"):
            await call
    await target.stop()


async def test_a_policy_s_refusal_is_that_of_the_plan(target: Any, server: KubernetesServer) -> None:
    """The dry run asks the admission webhooks; where one cannot try out, the card says so."""
    await server.act("faults", kinds=["denied"], verbs=["patch"])
    with pytest.raises(TargetError, match="replicas have to be at most 10"):
        await target.plan("scale", **SERVICE, replicas=12)
    await server.act("faults", kinds=["refuse_dry_run"], verbs=["patch"])
    notes = (await target.plan("scale", **SERVICE, replicas=12)).notes
    assert notes[-1].startswith(
        'preview unavailable: admission webhook "policy.example.com" does not support'
    )


async def test_a_budget_that_allows_nothing_refuses(target: Any, server: KubernetesServer) -> None:
    """The budget's own words, before anybody votes."""
    server.apply(scene.budget("realtime", SPACE, maxUnavailable=0))
    server.settle()
    with pytest.raises(TargetError, match="lets no such pod go now: The disruption budget realtime"):
        await target.plan("evict", pod=pod_names(server)[0])


async def test_a_rollout_that_is_stuck_says_why(
    target: Any, server: KubernetesServer, clock: VirtualClock
) -> None:
    """It ends at its deadline as failed, with what ails the pods."""
    patch(server, DEPLOYMENT, {"spec": {"progressDeadlineSeconds": 30}})
    server.settle()
    server.call("outcome", of="registry.example.com/realtime:1.0.0", outcome="unpullable")
    plan = await target.plan("rollback", **SERVICE)
    outcome = await ran(server, target, clock, plan)
    assert outcome.kind == "failed"
    assert "ready, then it came to a halt" in outcome.text
    assert "ImagePullBackOff" in outcome.text


class Jumping(VirtualClock):
    """A clock that somebody sets while a rollout is waited for."""

    by = ahead = timedelta(0)

    def now(self) -> datetime:
        """As it was set."""
        return super().now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        """As ever, but then it shows another time."""
        await super().sleep(seconds)
        self.ahead = self.by


@pytest.mark.parametrize("minutes", [11, -11])
async def test_a_clock_that_is_set_makes_no_rollout_late(
    server: KubernetesServer, tmp_path: Path, minutes: int
) -> None:
    """What counts is how long was waited: a leap of eleven minutes is not a deadline of ten that has passed."""
    clock = Jumping(START)
    clock.by = timedelta(minutes=minutes)
    target = target_of(server, tmp_path, clock)
    outcome = await ran(server, target, clock, await target.plan("restart", **SERVICE))
    assert (outcome.kind, outcome.text) == ("done", "realtime was restarted, 3 of 3 ready")
    assert clock.ahead == clock.by
    await target.stop()


async def test_somebody_else_changes_it_meanwhile(
    target: Any, server: KubernetesServer, clock: VirtualClock
) -> None:
    """An autoscaler does, for instance: said with what it is now."""
    plan = await target.plan("scale", **SERVICE, replicas=10)
    await server.act("autoscale", on=True)
    outcome = await ran(server, target, clock, plan)
    assert (outcome.kind, outcome.text) == ("failed", "somebody else changed it meanwhile: replicas is 8 now")


async def test_a_status_that_moves_is_no_conflict_for_people(
    target: Any, server: KubernetesServer, clock: VirtualClock
) -> None:
    """A 409 is looked at again and sent again, for nothing was done; at the third it is given up."""
    plan = await target.plan("scale", **SERVICE, replicas=4)
    patch(server, DEPLOYMENT, {"metadata": {"labels": {"touched": "yes"}}})
    assert (await ran(server, target, clock, plan)).kind == "done"
    assert server.named("deployments", "realtime", SPACE)["spec"]["replicas"] == 4


@pytest.mark.parametrize(("kind", "outcome"), [("denied", "failed"), ("after", "unknown")])
async def test_half_of_maintenance_is_said_to_be_half(
    target: Any, server: KubernetesServer, clock: VirtualClock, kind: str, outcome: str
) -> None:
    """The config map was patched, the restart was refused, or nobody knows."""
    plan = await target.plan("maintenance", **SERVICE, state="on")
    await server.act("faults", kinds=[kind], verbs=["patch"], resources=["deployments"])
    ended = await ran(server, target, clock, plan)
    assert ended.kind == outcome
    expected = (
        "half of it was done: the config map has the new value" if kind == "denied" else "restart the pods"
    )
    assert expected in ended.text
    assert server.named("configmaps", "realtime-config", SPACE)["data"]["MAINTENANCE_MODE"] == "true"


async def test_safety_10_a_crash_between_the_two_requests_is_proved(
    target: Any, server: KubernetesServer, clock: VirtualClock
) -> None:
    """The config map bears the change's name and the deployment does not: half, and nothing is sent again."""
    plan = await target.plan("maintenance", **SERVICE, state="on")
    await server.act("faults", kinds=["denied"], verbs=["patch"], resources=["deployments"])
    await ran(server, target, clock, plan)
    await server.act("faults")
    server.requests(clear=True)

    async def progress(done: int, total: int, what: str) -> None:
        raise AssertionError("there is nothing to follow")

    outcome = await target.follow(plan, key="wb-1", progress=progress)
    assert outcome.kind == "failed"
    assert "half of it was done" in outcome.text
    assert not server.requests(verbs=("patch", "create"))


async def test_another_s_change_of_the_same_number_proves_nothing(
    target: Any, server: KubernetesServer, clock: VirtualClock
) -> None:
    """Numbers begin anew with a new log; the plan's hash is a part of the name."""
    first = await target.plan("scale", **SERVICE, replicas=5)
    assert (await ran(server, target, clock, first)).kind == "done"
    second = await target.plan("scale", **SERVICE, replicas=6)

    async def progress(done: int, total: int, what: str) -> None:
        raise AssertionError("there is nothing to follow")

    assert await target.follow(second, key="wb-1", progress=progress) is None


async def test_safety_10_another_cluster_proves_nothing(
    target: Any, server: KubernetesServer, tmp_path: Path, clock: VirtualClock
) -> None:
    """Where its name leads to another cluster after a crash: not the pod that is missing there, no copied mark."""

    async def progress(done: int, total: int, what: str) -> None:
        raise AssertionError("there is nothing to follow")

    pod = pod_names(server)[0]
    evict, restart = await target.plan("evict", pod=pod), await target.plan("restart", **SERVICE)
    with KubernetesServer() as other:
        furnish(other)
        elsewhere = target_of(other, tmp_path, clock)
        for name in (pod, *pod_names(other)):
            if name in pod_names(other):
                other.call("remove", resource="pods", name=name, namespace=SPACE)
        notes = {"watchbell/change": mark_of(restart, "wb-1")}
        patch(other, DEPLOYMENT, {"spec": {"template": {"metadata": {"annotations": notes}}}})
        for plan in (evict, restart):
            assert await elsewhere.follow(plan, key="wb-1", progress=progress) is None
        other.call("remove", resource="namespaces", name=SPACE)
        assert await elsewhere.follow(evict, key="wb-1", progress=progress) is None
        await elsewhere.stop()
    server.call("remove", resource="pods", name=pod, namespace=SPACE)
    assert (await target.follow(evict, key="wb-1", progress=progress)).text == f"{pod} is gone"
