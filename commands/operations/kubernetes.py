"""Kubernetes from chat: reads as tables, and changes that are planned, approved and then followed."""

from __future__ import annotations

from typing import Annotated, Literal

from commands.actions import Answer, Ops, Plan, Target
from commands.catalogue import Service
from commands.operations.runtimes import run_by, some_service
from commands.registry import Duration, Name, Range, command
from commands.values import find_service
from incidents.ports import RefusedError


def of_service(service: Service, ops: Ops, command: str, *words: object) -> Target:
    """The target that runs a service; RefusedError where that is no Kubernetes."""
    return run_by("kubernetes", service, ops, command, *words)


async def read(
    verb: str, service: Service | None, namespace: str | None, ops: Ops, cluster: str | None = None
) -> Answer:
    """A read of one service, or of a namespace in its place."""
    if (service is None) == (namespace is None):
        named = some_service("kubernetes", ops)
        raise RefusedError(
            f"Say which service, or which namespace: {verb} {named}, {verb} namespace=production."
        )
    if service is not None:
        return await of_service(service, ops, verb).read(verb, service=service.name)
    return await ops.target("kubernetes").read(verb, namespace=namespace, cluster=cluster)


@command("pods", effect="read")
async def pods(
    service: Service | None = None, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops
) -> Answer:
    """List the pods of SERVICE: ready, restarts, age, CPU and memory.

    /pods realtime                the pods of one service
    /pods namespace=production    every pod of a namespace; with several clusters cluster=NAME says which
    """
    return await read("pods", service, namespace, ops, cluster)


@command("describe", effect="read")
async def describe(name: Name, *, cluster: Name | None = None, ops: Ops) -> Answer:
    """Describe a service's deployment, or one pod by its full name.

    /describe realtime                the deployment: image, replicas, configuration, conditions
    /describe realtime-5d6c8-8f54b    one pod: state, last exit, events
    """
    service = ops.catalogue.service(name)
    if service is not None:
        return await of_service(service, ops, "describe").read("describe", service=service.name)
    return await ops.target("kubernetes").read("describe", pod=name, cluster=cluster)


@command("events", effect="read")
async def events(
    service: Service | None = None, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops
) -> Answer:
    """List what Kubernetes reported about SERVICE, the newest first.

    /events realtime
    /events namespace=production
    """
    return await read("events", service, namespace, ops, cluster)


@command("top", effect="read")
async def top(
    what: Name | None = None, *, namespace: Name | None = None, cluster: Name | None = None, ops: Ops
) -> Answer:
    """Show CPU and memory of a service's pods, or of the nodes.

    /top realtime                the pods of one service
    /top nodes                   the nodes of the cluster
    /top namespace=production    every pod of a namespace
    """
    if what == "nodes":
        return await ops.target("kubernetes").read("top", nodes=True, cluster=cluster)
    service = find_service(what, ops.catalogue) if what is not None else None
    return await read("top", service, namespace, ops, cluster)


@command("rollout", effect="read")
async def rollout(service: Service, *, ops: Ops) -> Answer:
    """Show how far SERVICE's rollout is, and its revisions.

    /rollout realtime    the newest revision first; /rollback takes the numbers
    """
    return await of_service(service, ops, "rollout").read("rollout", service=service.name)


@command("logs", effect="read")
async def logs(
    service: Service,
    *,
    since: Duration = Duration(600),  # noqa: B008 a NewType is a plain value
    tail: Annotated[int, Range(1, 5000)] = 100,
    grep: str | None = None,
    previous: bool = False,
    pod: Name | None = None,
    ops: Ops,
) -> Answer:
    """Show SERVICE's newest log lines, secrets left out; long output comes as a file.

    /logs realtime                            the last 100 lines of the last 10 minutes
    /logs realtime since=1h tail=500          more of them
    /logs realtime grep=backpressure          lines holding a word, whatever its case
    /logs realtime grep="active connections"  or several words
    /logs realtime previous                   what the container before the last restart said
    """
    return await of_service(service, ops, "logs").read(
        "logs", service=service.name, since=since, tail=tail, grep=grep, previous=previous, pod=pod
    )


@command("scale", effect="change")
async def scale(service: Service, replicas: Annotated[int, Range(0, 1000)], *, ops: Ops) -> Plan:
    """Set how many replicas of SERVICE run.

    /scale realtime 10            ask for ten replicas
    /scale realtime 10 for 30m    go back by itself after thirty minutes
    /scale realtime 0             stop it; needs two approvals
    """
    return await of_service(service, ops, "scale", replicas).plan(
        "scale", service=service.name, replicas=replicas
    )


@command("restart", effect="change")
async def restart(service: Service, *, ops: Ops) -> Plan:
    """Restart SERVICE's pods one after another.

    /restart realtime    followed until every pod is new and ready; cannot be undone
    """
    return await of_service(service, ops, "restart").plan("restart", service=service.name)


@command("rollback", effect="change")
async def rollback(
    service: Service, revision: Annotated[int | None, Range(1, 1_000_000)] = None, *, ops: Ops
) -> Plan:
    """Go back to an earlier revision of SERVICE.

    /rollback realtime      to the revision before the present one
    /rollback realtime 2    to revision 2; /rollout realtime lists them
    """
    return await of_service(service, ops, "rollback").plan(
        "rollback", service=service.name, revision=revision
    )


@command("maintenance", effect="change")
async def maintenance(service: Service, state: Literal["on", "off"], *, ops: Ops) -> Plan:
    """Switch SERVICE's maintenance mode, the circuit breaker of its runbook.

    /maintenance realtime on            sets MAINTENANCE_MODE in its config map, then restarts the pods
    /maintenance realtime on for 30m    and off again after thirty minutes
    """
    return await of_service(service, ops, "maintenance").plan(
        "maintenance", service=service.name, state=state
    )


@command("toggle", effect="change")
async def toggle(service: Service, key: Name, new: Name, *, expect: Name | None = None, ops: Ops) -> Plan:
    """Set an environment toggle of SERVICE that the catalogue knows.

    /toggle realtime BACKPRESSURE_THRESHOLD 0.9               where it has its normal value now
    /toggle realtime BACKPRESSURE_THRESHOLD 0.9 expect=0.85   where it has this one; refused otherwise
    """
    return await of_service(service, ops, "toggle").plan(
        "toggle", service=service.name, key=key, new=new, expect=expect
    )
