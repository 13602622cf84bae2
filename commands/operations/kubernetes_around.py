"""What stands around services in Kubernetes: rollouts held and let go, autoscalers, the network, volumes, nodes."""

from __future__ import annotations

from typing import Annotated, Literal

from commands.actions import Answer, Ops, Plan
from commands.catalogue import Service
from commands.operations.kubernetes import of_service, read
from commands.registry import Name, Range, command
from incidents.ports import RefusedError


@command("hpa", effect="read")
async def hpa(
    service: Service | None = None,
    low: Annotated[int | None, Range(1, 1000)] = None,
    high: Annotated[int | None, Range(1, 1000)] = None,
    *,
    namespace: Name | None = None,
    cluster: Name | None = None,
    ops: Ops,
) -> Answer | Plan:
    """Show what keeps the number of SERVICE's pods within bounds, or ask for other bounds.

    /hpa realtime                the autoscaler: least, most, and how many there are now
    /hpa realtime 2 8            ask for two to eight pods; needs an approval, undo brings the old bounds back
    /hpa namespace=production    every autoscaler of a namespace
    """
    if low is None:
        return await read("hpa", service, namespace, ops, cluster)
    if service is None or high is None:
        raise RefusedError("Say both bounds, the smaller one first: hpa realtime 2 8.")
    return await of_service(service, ops, "hpa").plan("hpa", service=service.name, low=low, high=high)


@command("endpoints", effect="read")
async def endpoints(
    service: Service | None = None, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops
) -> Answer:
    """Show which addresses take SERVICE's traffic, and how many are not ready.

    /endpoints realtime
    /endpoints namespace=production
    """
    return await read("endpoints", service, namespace, ops, cluster)


@command("ingress", effect="read")
async def ingress(
    service: Service | None = None, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops
) -> Answer:
    """Show which hosts and paths lead to SERVICE.

    /ingress realtime
    /ingress namespace=production
    """
    return await read("ingress", service, namespace, ops, cluster)


@command("netpol", effect="read")
async def netpol(
    service: Service | None = None, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops
) -> Answer:
    """Show which network policies hold for SERVICE's pods.

    /netpol realtime
    /netpol namespace=production
    """
    return await read("netpol", service, namespace, ops, cluster)


@command("pv", effect="read")
async def pv(*, cluster: Name | None = None, ops: Ops) -> Answer:
    """List the persistent volumes: size, status, whose they are.

    /pv
    """
    return await ops.target("kubernetes").read("pv", cluster=cluster)


@command("node", effect="read")
async def node(node: Name, *, cluster: Name | None = None, ops: Ops) -> Answer:
    """Show one node: whether it is ready, what it has, what is used. top nodes lists them.

    /node node-1
    """
    return await ops.target("kubernetes").read("node", node=node, cluster=cluster)


@command("pause", effect="change")
async def pause(service: Service, *, ops: Ops) -> Plan:
    """Hold SERVICE's rollout where it is.

    /pause realtime            no new pods until it is resumed
    /pause realtime for 30m    and on again after thirty minutes
    """
    return await of_service(service, ops, "pause").plan("pause", service=service.name)


@command("resume", effect="change")
async def resume(service: Service, *, ops: Ops) -> Plan:
    """Let SERVICE's rollout go on.

    /resume realtime    followed until every pod is new and ready
    """
    return await of_service(service, ops, "resume").plan("resume", service=service.name)


@command("pod delete", effect="change")
async def delete(pod: Name, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops) -> Plan:
    """Evict one pod by its full name, so that another takes its place; its disruption budget has its say.

    /pod delete realtime-5d6c8-8f54b    exactly this pod, and not another that has come to bear its name
    /pod delete web-0 namespace=shop    where two namespaces have one of that name
    """
    return await ops.target("kubernetes").plan("evict", pod=pod, namespace=namespace, cluster=cluster)


@command("cordon", effect="change")
async def cordon(node: Name, *, cluster: Name | None = None, ops: Ops) -> Plan:
    """Let no new pods onto a node; those that run there stay.

    /cordon node-1
    /cordon node-1 for 2h    and open it again after two hours
    """
    return await ops.target("kubernetes").plan("cordon", node=node, cluster=cluster)


@command("uncordon", effect="change")
async def uncordon(node: Name, *, cluster: Name | None = None, ops: Ops) -> Plan:
    """Let pods onto a node again.

    /uncordon node-1
    """
    return await ops.target("kubernetes").plan("uncordon", node=node, cluster=cluster)


@command("probe", effect="read")
async def probe(
    name: Name,
    what: Literal["ps", "memory", "disk", "connect", "http", "file"],
    of: Name | None = None,
    *,
    cluster: Name | None = None,
    ops: Ops,
) -> Answer:
    """Look inside a pod of a service, or one pod by its full name, with a fixed command; off unless configured.

    /probe realtime ps                    its processes
    /probe realtime memory                free memory, in MiB; /probe realtime disk has the disks
    /probe realtime connect redis:6379    whether a pod reaches a place of the configuration's list
    /probe realtime http /metrics         a page of its own, one of the list
    /probe realtime file rules            a file of the list, by its name there
    """
    service = ops.catalogue.service(name)
    if service is not None:
        return await of_service(service, ops, "probe").read("probe", service=service.name, what=what, of=of)
    return await ops.target("kubernetes").read("probe", pod=name, what=what, of=of, cluster=cluster)
