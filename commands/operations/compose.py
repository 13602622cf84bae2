"""A docker compose stack from chat: its containers, their logs and figures, and three changes of a service."""

from __future__ import annotations

from typing import Annotated

from commands.actions import Answer, Ops, Plan, Target
from commands.catalogue import Service
from commands.operations.runtimes import run_by
from commands.registry import Duration, Name, Range, command


def of_service(service: Service, ops: Ops, verb: str, *words: object) -> Target:
    """The target that runs a service; RefusedError where that is no docker compose."""
    return run_by("compose", service, ops, f"compose {verb}", *words)


async def read(verb: str, service: Service | None, target: str | None, ops: Ops) -> Answer:
    """A read of one service, or of the whole project."""
    if service is not None:
        return await of_service(service, ops, verb).read(verb, service=service.name)
    return await ops.target("compose").read(verb, cluster=target)


@command("compose ps", effect="read")
async def ps(service: Service | None = None, *, target: Name | None = None, ops: Ops) -> Answer:
    """List the containers of the stack, or of SERVICE: state, health, restarts, since when.

    /compose ps                     all of them; with several stacks target=NAME says which
    /compose ps instance-manager    those of one service
    """
    return await read("ps", service, target, ops)


@command("compose stats", effect="read")
async def stats(service: Service | None = None, *, target: Name | None = None, ops: Ops) -> Answer:
    """Show what the containers of the stack, or of SERVICE, use: CPU, memory and its limit.

    /compose stats
    /compose stats instance-manager
    """
    return await read("stats", service, target, ops)


@command("compose logs", effect="read")
async def logs(
    service: Service,
    *,
    since: Duration = Duration(600),  # noqa: B008 a NewType is a plain value
    tail: Annotated[int, Range(1, 5000)] = 100,
    grep: str | None = None,
    container: Annotated[int | None, Range(1, 100_000)] = None,
    ops: Ops,
) -> Answer:
    """Show the newest log lines of SERVICE's containers, secrets left out; long output comes as a file.

    /compose logs instance-manager                      the last 100 lines of the last 10 minutes
    /compose logs instance-manager since=1h tail=500    more of them
    /compose logs instance-manager grep=timeout         lines holding a word, whatever its case
    /compose logs instance-manager container=2          of its second container alone
    """
    return await of_service(service, ops, "logs").read(
        "logs", service=service.name, since=since, tail=tail, grep=grep, container=container
    )


@command("compose restart", effect="change")
async def restart(service: Service, *, ops: Ops) -> Plan:
    """Restart SERVICE's containers one after another.

    /compose restart instance-manager    each has to run, and be healthy, before the next; cannot be undone
    """
    return await of_service(service, ops, "restart").plan("restart", service=service.name)


@command("compose scale", effect="change")
async def scale(service: Service, replicas: Annotated[int, Range(0, 1000)], *, ops: Ops) -> Plan:
    """Set how many containers of SERVICE run.

    /compose scale instance-manager 3            further ones are copies of the newest
    /compose scale instance-manager 1 for 30m    the newest go; back by itself after thirty minutes
    """
    return await of_service(service, ops, "scale", replicas).plan(
        "scale", service=service.name, replicas=replicas
    )


@command("compose memory", effect="change")
async def memory(service: Service, size: Name, *, ops: Ops) -> Plan:
    """Set how much memory each container of SERVICE may use, while it runs.

    /compose memory instance-manager 4g    k, m and g count in steps of 1024
    """
    return await of_service(service, ops, "memory").plan("memory", service=service.name, size=size)
