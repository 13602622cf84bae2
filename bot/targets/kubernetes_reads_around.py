"""What a cluster shows around services: autoscalers, endpoints, ingresses, network policies, volumes, nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_logs import logs
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_reads import MOST_ROWS, about, heading
from bot.targets.kubernetes_reads import READERS as OF_SERVICES
from bot.targets.kubernetes_selectors import selects
from bot.targets.kubernetes_wire import Json, path
from commands.actions import Answer, Table
from commands.catalogue import Service

_NETWORK = "networking.k8s.io/v1"


async def hpa(cluster: Cluster, service: str | None = None, namespace: str | None = None) -> Answer:
    """Autoscalers: their bounds, how many there are, and what they go by."""
    known, place = about(cluster, service, namespace)
    if known is not None:
        one = await cluster.autoscaler(known)
        found = [one] if one is not None else []
    else:
        found = await cluster.link.items(path("autoscaling/v2", place, "horizontalpodautoscalers"))
    rows = tuple(
        (
            name(each),
            str(at(each, "spec", "minReplicas", default=1)),
            str(at(each, "spec", "maxReplicas", default="–")),
            str(at(each, "status", "currentReplicas", default=0)),
            ", ".join(_metric(m) for m in at(each, "spec", "metrics", default=[])) or "–",
        )
        for each in found
    )
    head = f"{heading(cluster, known, place)} · {_count(len(rows), 'autoscaler')}"
    return Answer(head, table=Table(("HPA", "MIN", "MAX", "NOW", "BY"), rows, (1, 2, 3)) if rows else None)


def _metric(metric: Json) -> str:
    """`cpu 80 %`."""
    target = at(metric, "resource", "target", default={})
    what = at(metric, "resource", "name", default=str(metric.get("type") or ""))
    share = target.get("averageUtilization")
    return f"{what} {share} %" if share is not None else str(what)


async def _fronts(cluster: Cluster, service: Service | None, place: str) -> list[Json]:
    """The Services of a namespace, or those in front of one service's pods."""
    labels = await _labels(cluster, service) if service is not None else {}
    found = await cluster.link.items(path("v1", place, "services"))
    if service is None:
        return found
    wanted = [(each, at(each, "spec", "selector", default={})) for each in found]
    return [each for each, picks in wanted if picks and selects({"matchLabels": picks}, labels)]


async def _labels(cluster: Cluster, service: Service) -> dict[str, str]:
    """The labels of a service's pods, as its deployment makes them."""
    found = await cluster.deployment(service)
    labels: dict[str, str] = at(found, "spec", "template", "metadata", "labels", default={})
    return labels


async def endpoints(cluster: Cluster, service: str | None = None, namespace: str | None = None) -> Answer:
    """Which addresses take traffic, and which are not ready."""
    known, place = about(cluster, service, namespace)
    fronts = {name(each) for each in await _fronts(cluster, known, place)}
    found = await cluster.link.items(path("v1", place, "endpoints"))
    rows = []
    for each in [e for e in found if name(e) in fronts][:MOST_ROWS]:
        subsets = each.get("subsets") or []
        ready = [a for s in subsets for a in s.get("addresses") or []]
        waiting = [a for s in subsets for a in s.get("notReadyAddresses") or []]
        ports = sorted({str(p.get("port")) for s in subsets for p in s.get("ports") or []})
        shown = ", ".join(str(a.get("ip")) for a in ready[:3]) + (" …" if len(ready) > 3 else "")
        rows.append((name(each), str(len(ready)), str(len(waiting)), ",".join(ports) or "–", shown or "–"))
    head = f"{heading(cluster, known, place)} · {_count(len(rows), 'service')}"
    table = Table(("SERVICE", "READY", "NOT READY", "PORTS", "ADDRESSES"), tuple(rows), (1, 2))
    return Answer(head, table=table if rows else None)


async def ingress(cluster: Cluster, service: str | None = None, namespace: str | None = None) -> Answer:
    """Which hosts and paths lead there."""
    known, place = about(cluster, service, namespace)
    fronts = {name(each) for each in await _fronts(cluster, known, place)} if known else None
    found = await cluster.link.items(path(_NETWORK, place, "ingresses"))
    rows = [
        (name(each), str(rule.get("host") or "*"), str(way.get("path") or "/"), backend)
        for each in found
        for rule in at(each, "spec", "rules", default=[])
        for way in at(rule, "http", "paths", default=[])
        for backend in [str(at(way, "backend", "service", "name", default="–"))]
        if fronts is None or backend in fronts
    ][:MOST_ROWS]
    head = f"{heading(cluster, known, place)} · {_count(len(rows), 'route')}"
    return Answer(head, table=Table(("INGRESS", "HOST", "PATH", "TO"), tuple(rows)) if rows else None)


async def netpol(cluster: Cluster, service: str | None = None, namespace: str | None = None) -> Answer:
    """Which network policies hold for the pods."""
    known, place = about(cluster, service, namespace)
    labels = await _labels(cluster, known) if known is not None else None
    found = await cluster.link.items(path(_NETWORK, place, "networkpolicies"))
    rows = []
    for each in found:
        spec = each.get("spec") or {}
        if labels is not None and not selects(spec.get("podSelector"), labels):
            continue
        kinds = spec.get("policyTypes") or ["Ingress"]
        picks = at(spec, "podSelector", "matchLabels", default={})
        rows.append(
            (
                name(each),
                ", ".join(kinds),
                str(len(spec.get("ingress") or [])) if "Ingress" in kinds else "–",
                str(len(spec.get("egress") or [])) if "Egress" in kinds else "–",
                ",".join(f"{k}={v}" for k, v in picks.items()) or "all pods",
            )
        )
    head = f"{heading(cluster, known, place)} · {_count(len(rows), 'policy', 'policies')}"
    table = Table(("POLICY", "TYPES", "IN", "OUT", "PODS"), tuple(rows[:MOST_ROWS]), (2, 3))
    return Answer(head, table=table if rows else None)


async def pv(cluster: Cluster) -> Answer:
    """The persistent volumes, and whose they are."""
    found = sorted(await cluster.link.items(path("v1", "", "persistentvolumes")), key=name)
    rows = tuple(
        (
            name(each),
            str(at(each, "spec", "capacity", "storage", default="–")),
            str(at(each, "status", "phase", default="–")),
            "/".join(
                str(at(each, "spec", "claimRef", key, default="")) for key in ("namespace", "name")
            ).strip("/")
            or "–",
            str(at(each, "spec", "storageClassName", default="–")),
        )
        for each in found[:MOST_ROWS]
    )
    table = Table(("VOLUME", "SIZE", "STATUS", "CLAIM", "CLASS"), rows, (1,))
    return Answer(f"{cluster.link.title} · {_count(len(found), 'volume')}", table=table if rows else None)


async def node(cluster: Cluster, node: str) -> Answer:
    """One node: whether it is ready, what it has, what is used."""
    found = await cluster.node(node)
    room = at(found, "status", "allocatable", default={})
    used = (await cluster.used_by_nodes() or {}).get(name(found))
    info = at(found, "status", "nodeInfo", default={})
    uses = f"{objects.cpu(used[0])} CPU, {objects.memory(used[1])} memory" if used else "nothing measures it"
    closed = " (cordoned)" if at(found, "spec", "unschedulable") else ""
    lines = [
        f"Name:      {name(found)}{closed}",
        f"Created:   {objects.date(at(found, 'metadata', 'creationTimestamp'))}",
        f"Kubelet:   {info.get('kubeletVersion', '–')}, {info.get('osImage', '–')}",
        f"Has:       {room.get('cpu', '–')} CPU, {room.get('memory', '–')} memory, {room.get('pods', '–')} pods",
        f"Uses:      {uses}",
        "Taints:    "
        + (
            ", ".join(f"{t.get('key')}:{t.get('effect')}" for t in at(found, "spec", "taints", default=[]))
            or "none"
        ),
        "Conditions:",
        *(
            f"  {c.get('type')}: {c.get('status')}. {cluster.redactor.redact(str(c.get('message') or ''))[:200]}"
            for c in at(found, "status", "conditions", default=[])
        ),
    ]
    ready = "ready" if objects.condition(found, "Ready") == "True" else "not ready"
    text = cluster.redactor.redact("\n".join(lines))
    return Answer(f"node {name(found)} · {ready}{closed}", text=text, file_name=f"{name(found)}.txt")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}" if number else f"no {many or f'{one}s'}"


READERS: Mapping[str, Any] = {
    **OF_SERVICES,
    "logs": logs,
    "hpa": hpa,
    "endpoints": endpoints,
    "ingress": ingress,
    "netpol": netpol,
    "pv": pv,
    "node": node,
}
