"""What the simulated cluster shows: pods, descriptions, events, figures, rollouts and logs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.targets import sandbox_logs
from bot.targets import sandbox_pods as pods
from bot.targets.sandbox_state import NODES, Deployment, Pod, Report, digest
from bot.targets.sandbox_world import World
from commands.actions import Answer, Table
from commands.catalogue import Service
from commands.values import find_service, nearest, shown
from incidents.ports import RefusedError

_LIMIT_MIB = 2048  # memory that a pod may use


def answer(world: World, verb: str, args: Mapping[str, Any]) -> Answer:
    """The answer to a read; RefusedError where there is none."""
    given = {key: value for key, value in args.items() if value is not None and key != "cluster"}
    readers = {
        "pods": _pods,
        "describe": _describe,
        "events": _events,
        "top": _top,
        "rollout": _rollout,
        "logs": _logs,
    }
    if verb not in readers:
        raise RefusedError(f"The sandbox has no {verb}; a real cluster does.")
    return readers[verb](world, **given)


Found = tuple[Service, Deployment]


def _find(world: World, name: str) -> Found:
    service = find_service(name, world.catalogue)
    return service, world.deployment(service.name)


def _all(world: World, service: str | None, namespace: str | None) -> tuple[str, list[Found]]:
    """What a read is about: its heading, and the deployments."""
    if service is not None:
        found = _find(world, service)
        return f"{found[0].name} · {found[0].environment}", [found]
    known = [s for s in world.catalogue.services.values() if s.runtime == "kubernetes"]
    spaces = sorted({s.namespace for s in known})
    if namespace not in spaces:
        raise RefusedError(f"There is no namespace {shown(namespace or '')}; there are {', '.join(spaces)}.")
    return f"namespace {namespace}", [_find(world, s.name) for s in known if s.namespace == namespace]


def _pods(world: World, service: str | None = None, namespace: str | None = None) -> Answer:
    heading, found = _all(world, service, namespace)
    now = world.now()
    rows, remarks = [], []
    count = wanted = 0
    for _, deployment in found:
        count += len(pods.ready(deployment, now))
        wanted += deployment.replicas
        for pod in pods.present(deployment, now):
            cpu, memory = figures(world, deployment, pod, now)
            good = pods.healthy(deployment) and pod.ready_at <= now
            ready, restarts = "1/1" if good else "0/1", str(pod.restarts)
            rows.append((pod.name, ready, restarts, age(now - pod.born), f"{cpu}m", f"{memory}Mi"))
            remarks.append(_remark(deployment, pod, now))
    table = Table(
        ("POD", "READY", "RESTARTS", "AGE", "CPU", "MEM"), tuple(rows), (2, 3, 4, 5), tuple(remarks)
    )
    return Answer(f"{heading} · {count} of {wanted} ready", table=table if rows else None)


def _remark(deployment: Deployment, pod: Pod, now: int) -> str:
    if deployment.pods == "crashloop":
        return "CrashLoopBackOff"
    if deployment.trouble == "down":
        return "readiness probe fails"
    if pod.gone_at is not None:
        return "Terminating"
    if pod.ready_at > now:
        return "ContainerCreating"
    killed = [r for r in deployment.reports if r.reason == "OOMKilling" and pod.name in r.message]
    return f"OOMKilled {clock(killed[-1].at)}" if killed and deployment.pods == "oomkilled" else ""


def _describe(world: World, service: str | None = None, pod: str | None = None) -> Answer:
    if pod is not None:
        return _describe_pod(world, pod)
    known, deployment = _find(world, service or "")
    now = world.now()
    count = len(pods.ready(deployment, now))
    config = {**deployment.config, **deployment.env}
    text = "\n".join(
        [
            f"Name:        {known.deployment or known.name}",
            f"Namespace:   {known.namespace}",
            f"Created:     {date(deployment.created)}",
            f"Replicas:    {deployment.replicas} wanted, {count} ready",
            f"Image:       {deployment.image}",
            f"Revision:    {deployment.revision}",
            f"Port:        {known.port or '–'}",
            f"Memory:      {_LIMIT_MIB}Mi a pod at most",
            f"Available:   {'yes' if count else 'no'}",
            f"Settled:     {'yes' if pods.settled(deployment, now) else 'no'}",
            "Configuration:",
            *(f"  {key}={value}" for key, value in sorted(config.items())),
        ]
    )
    return Answer(f"{known.name} · {known.environment}", text=text, file_name=f"{known.name}.txt")


def _describe_pod(world: World, name: str) -> Answer:
    now = world.now()
    every = [(d, p) for d in world.state.deployments.values() for p in pods.present(d, now)]
    found = next(((d, p) for d, p in every if p.name == name), None)
    if found is None:
        hint = nearest(name, [*world.catalogue.services, *(p.name for _, p in every)])
        raise RefusedError(f"There is no service or pod {shown(name)}.{hint}")
    deployment, pod = found
    cpu, memory = figures(world, deployment, pod, now)
    good = pods.healthy(deployment) and pod.ready_at <= now
    text = "\n".join(
        [
            f"Name:      {pod.name}",
            f"Node:      {pod.node}",
            f"Created:   {date(pod.born)}, {age(now - pod.born)} ago",
            f"Image:     {deployment.image}",
            f"Ready:     {'yes' if good else 'no'}",
            f"Restarts:  {pod.restarts}",
            f"Using:     {cpu}m CPU, {memory}Mi of {_LIMIT_MIB}Mi memory",
            f"State:     {_remark(deployment, pod, now) or 'Running'}",
        ]
    )
    return Answer(f"pod {pod.name}", text=text, file_name=f"{pod.name}.txt")


def _events(world: World, service: str | None = None, namespace: str | None = None) -> Answer:
    heading, found = _all(world, service, namespace)
    reports: list[Report] = sorted(
        (r for _, deployment in found for r in deployment.reports), key=lambda r: r.at, reverse=True
    )[:20]
    if not reports:
        return Answer(f"{heading} · no events", lines=("Kubernetes reported nothing of late.",))
    rows = tuple((clock(r.at), r.kind, r.reason, r.message) for r in reports)
    return Answer(f"{heading} · {len(rows)} events", table=Table(("TIME", "TYPE", "REASON", "MESSAGE"), rows))


def _top(
    world: World, service: str | None = None, namespace: str | None = None, nodes: bool = False
) -> Answer:
    if nodes:
        return _top_nodes(world)
    heading, found = _all(world, service, namespace)
    now = world.now()
    used = [(p.name, *figures(world, d, p, now)) for _, d in found for p in pods.present(d, now)]
    used.sort(key=lambda row: -row[1])
    rows = tuple((name, f"{cpu}m", f"{memory}Mi") for name, cpu, memory in used)
    total = f"{sum(row[1] for row in used)}m CPU, {sum(row[2] for row in used)}Mi memory"
    return Answer(f"{heading} · {total}", table=Table(("POD", "CPU", "MEM"), rows, (1, 2)) if rows else None)


def _top_nodes(world: World) -> Answer:
    now = world.now()
    rows = []
    for node in NODES:
        used = [
            figures(world, d, p, now)
            for d in world.state.deployments.values()
            for p in pods.present(d, now)
            if p.node == node
        ]
        cpu, memory = sum(each[0] for each in used), sum(each[1] for each in used)
        rows.append((node, f"{cpu}m", f"{cpu / 160:.0f} %", f"{memory}Mi", f"{memory / 655.36:.0f} %"))
    return Answer(
        f"{len(rows)} nodes", table=Table(("NODE", "CPU", "", "MEM", ""), tuple(rows), (1, 2, 3, 4))
    )


def _rollout(world: World, service: str) -> Answer:
    known, deployment = _find(world, service)
    now = world.now()
    history = sorted(deployment.history, key=lambda r: -r.number)
    rows = tuple((str(r.number), r.image.rpartition("/")[2], date(r.at), r.cause) for r in history)
    marks = tuple("running" if r.number == deployment.revision else "" for r in history)
    count = len(pods.ready(deployment, now))
    state = "complete" if pods.settled(deployment, now) else "under way"
    return Answer(
        f"{known.name} · {known.environment} · {count} of {deployment.replicas} ready, {state}",
        table=Table(("REVISION", "IMAGE", "SINCE", "CAUSE"), rows, (0,), marks),
    )


def _logs(
    world: World,
    service: str,
    since: int = 600,
    tail: int = 100,
    grep: str | None = None,
    previous: bool = False,
    pod: str | None = None,
) -> Answer:
    known, deployment = _find(world, service)
    now = world.now()
    names = [p.name for p in pods.present(deployment, now)]
    if pod is not None and pod not in names:
        raise RefusedError(f"{known.name} has no pod {shown(pod)}.{nearest(pod, names)}")
    found = sandbox_logs.lines(
        known,
        deployment,
        world.state,
        now=now,
        since=since,
        tail=tail,
        grep=grep,
        pod=pod,
        previous=previous,
    )
    matching = f" with {shown(grep)}" if grep else ""
    heading = (
        f"{known.name} · {known.environment} · {len(found)} line{'s' if len(found) != 1 else ''}{matching}"
    )
    if not found:
        return Answer(heading, lines=(f"Nothing{matching} since {clock(now - since * 1000)}.",))
    return Answer(heading, text="\n".join(found), file_name=f"{known.name}.log")


def figures(world: World, deployment: Deployment, pod: Pod, now: int) -> tuple[int, int]:
    """A pod's CPU in thousandths of a core, and its memory in MiB."""
    if not pods.healthy(deployment) or pod.ready_at > now:
        return 1, 24
    share = 3 / max(1, len(pods.ready(deployment, now)))
    wobble = digest(pod.name, now // 60_000) % 60
    cpu = int((260 + wobble) * min(share, 3.0)) + (180 if deployment.trouble.startswith("slow") else 0)
    heavy = deployment.pods == "oomkilled" and pod.restarts > 0
    return cpu, 1946 if heavy else 480 + wobble


def age(milliseconds: int) -> str:
    """`2 d`, `3 h`, `41 min`, `12 s`."""
    seconds = max(0, milliseconds) // 1000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock(milliseconds: int) -> str:
    """`02:41 UTC`."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%H:%M} UTC"


def date(milliseconds: int) -> str:
    """`2026-01-03 02:41 UTC`."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC"
