"""How simulated pods come and go: a change is wanted at once, and the pods follow within 30 seconds."""

from __future__ import annotations

from bot.targets.sandbox_state import MINUTE, Deployment, Pod, Report, Revision, new_pod

WITHIN = 30_000  # milliseconds in which a change ends, well or not
_LONGEST, _EACH = 28_000, 4_000
_REMEMBERED = 60  # reports kept


def pace(count: int) -> int:
    """Milliseconds between one pod and the next, so that `count` of them are done in time."""
    return min(_EACH, _LONGEST // max(1, count))


def present(deployment: Deployment, now: int) -> list[Pod]:
    """The pods that exist."""
    return [p for p in deployment.instances if p.born <= now and (p.gone_at is None or p.gone_at > now)]


def healthy(deployment: Deployment) -> bool:
    """Whether its pods can become ready at all."""
    return deployment.pods != "crashloop" and deployment.trouble != "down"


def ready(deployment: Deployment, now: int) -> list[Pod]:
    """The pods that are ready."""
    return [p for p in present(deployment, now) if p.ready_at <= now] if healthy(deployment) else []


def settled(deployment: Deployment, now: int) -> bool:
    """Whether all that is wanted is there and ready, and nothing else."""
    there = present(deployment, now)
    return (
        len(there) == deployment.replicas == len(ready(deployment, now))
        and next_move(deployment, now) is None
    )


def next_move(deployment: Deployment, now: int) -> int | None:
    """When the next pod comes, is ready or goes; None while nothing moves."""
    times = [
        t for p in deployment.instances for t in (p.born, p.ready_at, p.gone_at) if t is not None and t > now
    ]
    return min(times, default=None)


def scale(deployment: Deployment, wanted: int, now: int, *, at_once: bool = False) -> None:
    """Want so many pods; `at_once` makes them so without waiting."""
    staying = [p for p in deployment.instances if p.gone_at is None]
    report(deployment, now, "ScalingReplicaSet", f"Scaled from {deployment.replicas} to {wanted}")
    deployment.replicas = wanted
    step = 0 if at_once else pace(abs(wanted - len(staying)))
    for i in range(wanted - len(staying)):
        deployment.instances.append(new_pod(deployment, born=now, ready_at=now + step * (i + 1)))
    for i, pod in enumerate(reversed(staying[wanted:])):
        pod.gone_at = now + step * (i + 1)
    _forget(deployment, now)


def roll(deployment: Deployment, now: int, why: str) -> None:
    """Replace every pod, one after another."""
    deployment.generation += 1
    report(deployment, now, "RollingUpdate", why)
    staying = [p for p in deployment.instances if p.gone_at is None]
    step = pace(len(staying))
    for i, pod in enumerate(staying):
        pod.gone_at = now + step * (i + 1)
        deployment.instances.append(new_pod(deployment, born=now + step * i, ready_at=now + step * (i + 1)))
    _forget(deployment, now)


def rolled(deployment: Deployment, now: int) -> int:
    """How many ready pods are of the newest generation."""
    return sum(p.generation == deployment.generation for p in ready(deployment, now))


def go_back(deployment: Deployment, revision: int, now: int) -> None:
    """As Kubernetes does it: the old revision gets the next number, and the one that ran keeps its own."""
    old = next(r for r in deployment.history if r.number == revision)
    number = max(r.number for r in deployment.history) + 1
    deployment.history = [r for r in deployment.history if r is not old]
    deployment.history.append(Revision(number, old.image, now, f"rollback to revision {revision}"))
    deployment.revision, deployment.image = number, old.image
    if deployment.pods == "crashloop":  # what ailed was in the image
        deployment.pods = "ok"


def report(deployment: Deployment, now: int, reason: str, message: str, *, kind: str = "Normal") -> None:
    """Note an event of the deployment; the oldest ones are forgotten."""
    deployment.reports.append(Report(now, kind, reason, f"deployment/{deployment.name}", message))
    del deployment.reports[:-_REMEMBERED]


def _forget(deployment: Deployment, now: int) -> None:
    deployment.instances = [
        p for p in deployment.instances if p.gone_at is None or p.gone_at > now - 10 * MINUTE
    ]
