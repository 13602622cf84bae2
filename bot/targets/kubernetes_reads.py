"""What a cluster shows of services: pods, descriptions, events, figures, rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_wire import Json, path
from commands.actions import Answer, Table
from commands.catalogue import Service
from incidents.ports import RefusedError

MOST_ROWS = 100
_MODE = "MAINTENANCE_MODE"


def heading(cluster: Cluster, service: Service | None, namespace: str | None) -> str:
    """What an answer is about."""
    if service is not None:
        return f"{service.name} · {service.environment}"
    return f"namespace {namespace}" if namespace else cluster.link.title


def about(cluster: Cluster, service: str | None, namespace: str | None) -> tuple[Service | None, str]:
    """The service, or none, and the namespace that a read is about."""
    if service is not None:
        found = cluster.service(service)
        return found, found.namespace
    if namespace is None:
        raise RefusedError("Say which service, or which namespace.")
    return None, cluster.namespace(namespace)


async def pods_of(cluster: Cluster, service: Service | None, namespace: str) -> list[Json]:
    """The pods of a service, or of a namespace."""
    if service is not None:
        return await cluster.pods(service)
    found = await cluster.link.items(path("v1", namespace, "pods"))
    return sorted((pod for pod in found if not objects.over(pod)), key=name)


async def pods(cluster: Cluster, service: str | None = None, namespace: str | None = None) -> Answer:
    """Each pod: ready, restarts, age, what it uses, what ails it."""
    known, place = about(cluster, service, namespace)
    found = await pods_of(cluster, known, place)
    wanted = objects.replicas(await cluster.deployment(known)) if known else len(found)
    used = await cluster.used(place, known.selector if known else "")
    now, rows = cluster.clock.now(), []
    for pod in found[:MOST_ROWS]:
        ready, restarts = objects.counts(pod)
        rows.append((name(pod), ready, str(restarts), objects.age(pod, now), *_figures(used, name(pod))))
    table = Table(
        ("POD", "READY", "RESTARTS", "AGE", "CPU", "MEM"),
        tuple(rows),
        (2, 3, 4, 5),
        tuple(objects.remark(pod) for pod in found[:MOST_ROWS]),
    )
    count = sum(map(objects.is_ready, found))
    lines = () if used is not None else ("Nothing measures CPU and memory there (metrics.k8s.io).",)
    return Answer(
        f"{heading(cluster, known, place)} · {count} of {wanted} ready",
        table=table if rows else None,
        lines=lines,
    )


def _figures(used: Mapping[str, tuple[float, float]] | None, of: str) -> tuple[str, str]:
    if used is None or of not in used:
        return "–", "–"
    return objects.cpu(used[of][0]), objects.memory(used[of][1])


async def describe(cluster: Cluster, service: str | None = None, pod: str | None = None) -> Answer:
    """A service's deployment, or one pod."""
    if pod is not None:
        return await _describe_pod(cluster, pod)
    known = cluster.service(service or "")
    found = await cluster.deployment(known)
    state = objects.rollout(found)
    cores, room = objects.limits(found)
    paused = " (paused)" if at(found, "spec", "paused") else ""
    lines = [
        f"Name:        {name(found)}",
        f"Namespace:   {known.namespace}",
        f"Created:     {objects.date(at(found, 'metadata', 'creationTimestamp'))}",
        f"Replicas:    {state.wanted} wanted, {at(found, 'status', 'readyReplicas', default=0)} ready",
        f"Image:       {objects.image(found)}",
        f"Revision:    {objects.revision(found)}{paused}",
        f"A pod's CPU: {objects.cpu(cores) if cores else 'no limit'}",
        f"A pod's mem: {objects.memory(room) if room else 'no limit'}",
        f"Kept by:     {objects.gitops(found) or 'nobody beside its controller'}",
        f"Settled:     {'yes' if state.settled else 'no'}",
        "Conditions:",
        *(
            f"  {c.get('type')}: {c.get('status')} ({c.get('reason', '')})"
            for c in at(found, "status", "conditions", default=[])
        ),
        "Configuration:",
        *await _configuration(cluster, known),
    ]
    text = cluster.redactor.redact("\n".join(lines))
    return Answer(heading(cluster, known, None), text=text, file_name=f"{known.name}.txt")


async def _configuration(cluster: Cluster, service: Service) -> list[str]:
    """What the commands can set; the rest of a config map is nobody's business here."""
    if not service.toggles and not service.config_map:
        return []
    data = at(await cluster.config_map(service), "data", default={})
    known = [key for key in (_MODE, *sorted(service.toggles)) if key in data]
    return [f"  {cluster.redactor.redact(f'{key}={data[key]}')[:250]}" for key in known]


async def _describe_pod(cluster: Cluster, wanted: str) -> Answer:
    pod, known = await cluster.pod(wanted)
    place = str(at(pod, "metadata", "namespace"))
    ready, restarts = objects.counts(pod)
    lines = [
        f"Name:      {name(pod)}",
        f"Namespace: {place}",
        f"Service:   {known.name if known else 'none of the catalogue'}",
        f"Node:      {at(pod, 'spec', 'nodeName', default='–')}",
        f"Created:   {objects.date(at(pod, 'metadata', 'creationTimestamp'))}",
        f"Phase:     {at(pod, 'status', 'phase', default='–')}",
        f"Ready:     {ready}",
        f"Restarts:  {restarts}",
        f"State:     {objects.remark(pod) or 'as it should be'}",
        *(line for status in objects.containers(pod) for line in _container(cluster, status)),
        "Events:",
    ]
    found = await _events_of(cluster, place, {objects.uid(pod)})
    lines += [f"  {row[0]} {row[2]}: {row[3]}" for row in found[:10]] or ["  none of late"]
    text = cluster.redactor.redact("\n".join(lines))
    return Answer(f"pod {name(pod)}", text=text, file_name=f"{name(pod)}.txt")


def _container(cluster: Cluster, status: Json) -> list[str]:
    """A container's image, and how it ended last."""
    lines = [f"Container: {status.get('name')} ({status.get('image')})"]
    waiting = at(status, "state", "waiting", default={})
    if waiting:
        told = cluster.redactor.redact(str(waiting.get("message") or ""))[:200]
        lines.append(f"  waits: {waiting.get('reason')}. {told}")
    last = at(status, "lastState", "terminated", default={})
    if last:
        ended = objects.clock(last.get("finishedAt"))
        lines.append(f"  last exit: code {last.get('exitCode')}, {last.get('reason')}, at {ended}")
    return lines


async def events(cluster: Cluster, service: str | None = None, namespace: str | None = None) -> Answer:
    """What Kubernetes reported, the newest first."""
    known, place = about(cluster, service, namespace)
    uids: set[str] | None = None
    if known is not None:
        deployment = await cluster.deployment(known)
        sets = await cluster.revisions(known, deployment)
        uids = {objects.uid(each) for each in (deployment, *sets, *await cluster.pods(known))}
    rows = (await _events_of(cluster, place, uids))[:20]
    head = heading(cluster, known, place)
    if not rows:
        return Answer(f"{head} · no events", lines=("Kubernetes reported nothing of late.",))
    return Answer(
        f"{head} · {len(rows)} events", table=Table(("TIME", "TYPE", "REASON", "MESSAGE"), tuple(rows))
    )


async def _events_of(
    cluster: Cluster, namespace: str, uids: set[str] | None
) -> list[tuple[str, str, str, str]]:
    found = await cluster.link.items(path("v1", namespace, "events"))
    if uids is not None:
        found = [each for each in found if at(each, "involvedObject", "uid") in uids]
    found.sort(key=_time, reverse=True)
    return [
        (
            objects.clock(_time(each)),
            str(each.get("type") or ""),
            str(each.get("reason") or ""),
            cluster.redactor.redact(f"{each.get('message') or ''}{_times(each)}")[:300],
        )
        for each in found
    ]


def _time(event: Json) -> str:
    """When an event was seen last; of those of events.k8s.io another field says so."""
    return str(
        at(event, "series", "lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or at(event, "metadata", "creationTimestamp", default="")
    )


def _times(event: Json) -> str:
    count = at(event, "series", "count") or event.get("count") or 1
    return f" ({count} times)" if count != 1 else ""


async def top(
    cluster: Cluster, service: str | None = None, namespace: str | None = None, nodes: bool = False
) -> Answer:
    """CPU and memory of pods, the busiest first, or of the nodes."""
    if nodes:
        return await _top_nodes(cluster)
    known, place = about(cluster, service, namespace)
    there = {name(pod) for pod in await pods_of(cluster, known, place)}
    used = await cluster.used(place, known.selector if known else "")
    head = heading(cluster, known, place)
    if used is None:
        return Answer(
            f"{head} · no figures", lines=("Nothing measures CPU and memory there (metrics.k8s.io).",)
        )
    found = sorted(((n, *u) for n, u in used.items() if n in there), key=lambda row: -row[1])
    rows = tuple((n, objects.cpu(c), objects.memory(m)) for n, c, m in found[:MOST_ROWS])
    total = f"{objects.cpu(sum(r[1] for r in found))} CPU, {objects.memory(sum(r[2] for r in found))} memory"
    return Answer(f"{head} · {total}", table=Table(("POD", "CPU", "MEM"), rows, (1, 2)) if rows else None)


async def _top_nodes(cluster: Cluster) -> Answer:
    found = sorted(await cluster.link.items(path("v1", "", "nodes")), key=name)
    used = await cluster.used_by_nodes()
    rows = []
    for node in found[:MOST_ROWS]:
        room = at(node, "status", "allocatable", default={})
        cores, room_bytes = objects.quantity(room.get("cpu")), objects.quantity(room.get("memory"))
        mine = (used or {}).get(name(node))
        if mine is None:
            rows.append((name(node), "–", "", "–", ""))
            continue
        shares = [
            f"{100 * part / whole:.0f} %" if whole else ""
            for part, whole in zip(mine, (cores, room_bytes), strict=True)
        ]
        rows.append((name(node), objects.cpu(mine[0]), shares[0], objects.memory(mine[1]), shares[1]))
    remarks = tuple(_node_remark(node) for node in found[:MOST_ROWS])
    table = Table(("NODE", "CPU", "", "MEM", ""), tuple(rows), (1, 2, 3, 4), remarks)
    return Answer(f"{cluster.link.title} · {len(found)} nodes", table=table if rows else None)


def _node_remark(node: Json) -> str:
    ready = "" if objects.condition(node, "Ready") == "True" else "not ready"
    closed = "cordoned" if at(node, "spec", "unschedulable") else ""
    return ", ".join(word for word in (ready, closed) if word)


async def rollout(cluster: Cluster, service: str) -> Answer:
    """How far a rollout is, and the revisions."""
    known = cluster.service(service)
    found = await cluster.deployment(known)
    sets, state = await cluster.revisions(known, found), objects.rollout(found)
    rows = tuple(
        (
            str(objects.revision(each)),
            objects.image(each).rpartition("/")[2],
            objects.date(at(each, "metadata", "creationTimestamp")),
            cluster.redactor.redact(str(at(each, "metadata", "annotations", objects.CAUSE, default="")))[
                :100
            ],
        )
        for each in sets[:20]
    )
    marks = tuple("running" if objects.revision(s) == objects.revision(found) else "" for s in sets[:20])
    how = "paused" if at(found, "spec", "paused") else "complete" if state.settled else "under way"
    why = [] if state.settled else [objects.ailments(await cluster.pods(known)), state.stuck]
    return Answer(
        f"{heading(cluster, known, None)} · {at(found, 'status', 'readyReplicas', default=0)} of {state.wanted} "
        f"ready, {how}",
        table=Table(("REVISION", "IMAGE", "SINCE", "CAUSE"), rows, (0,), marks) if rows else None,
        lines=tuple(cluster.redactor.redact(line) for line in why if line),
    )


READERS: Mapping[str, Any] = {
    "pods": pods,
    "describe": describe,
    "events": events,
    "top": top,
    "rollout": rollout,
}
