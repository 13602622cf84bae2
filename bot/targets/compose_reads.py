"""What a compose project shows: its containers, what they use, and what they wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.targets.compose_logs import logs
from bot.targets.compose_stack import Container, Stack, about, count_of, moment, part, whole
from bot.targets.guard import UnreachableError
from commands.actions import Answer, Table, TargetError
from incidents.ports import RefusedError

MOST_ROWS = 100
_NEAR = 90  # per cent of its limit: near


async def answer(stack: Stack, verb: str, args: Mapping[str, Any]) -> Answer:
    """One of the reads; RefusedError where there is no such, TargetError where nobody answers."""
    readers = {"ps": ps, "stats": stats, "logs": logs}
    if verb not in readers:
        raise RefusedError(f"Docker compose knows no {verb}.")
    found: Answer = await readers[verb](stack, **args)  # type: ignore[operator]
    return found


async def ps(stack: Stack, service: str | None = None) -> Answer:
    """Each container: its state, health, restarts, and since when."""
    title, found = await _about(stack, service)
    now = stack.clock.now()
    rows = [
        (each.short, each.state, each.health or "–", str(whole(each.raw, "RestartCount")), _since(each, now))
        for each in found[:MOST_ROWS]
    ]
    table = Table(
        ("CONTAINER", "STATE", "HEALTH", "RESTARTS", "SINCE"),
        tuple(rows),
        (3, 4),
        tuple(_ails(each) for each in found[:MOST_ROWS]),
    )
    headline = f"{title} · {count_of(found)} of {len(found)} running"
    return Answer(headline, table=table if rows else None, lines=_more(found))


async def stats(stack: Stack, service: str | None = None) -> Answer:
    """What each container uses at this moment."""
    title, every = await _about(stack, service)
    found = [each for each in every if each.running]
    places = asyncio.Semaphore(8)
    figures = await asyncio.gather(*(_figures(stack, each, places) for each in found[:MOST_ROWS]))
    rows, remarks, blind = [], [], False
    for each, figure in zip(found, figures, strict=False):
        share, memory = _cpu(figure), _memory(figure)
        full = round(memory / each.memory * 100) if memory is not None and each.memory else None
        rows.append(
            (
                each.short,
                f"{share:.1f} %" if share is not None else "–",
                about(memory) if memory is not None else "–",
                about(each.memory) if each.memory else "–",
                f"{full} %" if full is not None else "–",
            )
        )
        remarks.append("near its limit" if full is not None and full >= _NEAR else "")
        blind = blind or (figure is not None and share is None)
    table = Table(("CONTAINER", "CPU", "MEM", "LIMIT", "USED"), tuple(rows), (1, 2, 3, 4), tuple(remarks))
    lines = [*(["This engine does not measure CPU twice, so there is no share of it."] if blind else [])]
    many = f"{len(found)} container{'s' if len(found) != 1 else ''} running"
    return Answer(f"{title} · {many}", table=table if rows else None, lines=(*lines, *_more(found)))


async def used(stack: Stack, container: Container) -> int | None:
    """Bytes of memory in use, without what is only cached; None where nothing measures it."""
    return _memory(await _figures(stack, container, asyncio.Semaphore(1), once=True))


async def _about(stack: Stack, service: str | None) -> tuple[str, list[Container]]:
    if service is None:
        return stack.project, await stack.containers()
    known = stack.service(service)
    return f"{known.name} · {known.environment}", await stack.there(known)


async def _figures(
    stack: Stack, container: Container, places: asyncio.Semaphore, *, once: bool = False
) -> Any:
    """One sample, for which Docker looks twice unless it is to look once; None where the container has just gone."""
    query = {"one-shot": True} if once else {}
    async with places:
        try:
            return await stack.engine.get(f"/containers/{container.id}/stats", stream=False, **query)
        except UnreachableError:
            raise
        except TargetError:
            return None


def _cpu(figure: Any) -> float | None:
    """Per cent of one core, as `docker stats` has it (docs.docker.com, Engine API, ContainerStats)."""
    before, after = part(figure, "precpu_stats"), part(figure, "cpu_stats")
    system = whole(after, "system_cpu_usage") - whole(before, "system_cpu_usage")
    if not whole(before, "system_cpu_usage") or system <= 0:
        return None
    own = whole(after, "cpu_usage", "total_usage") - whole(before, "cpu_usage", "total_usage")
    each = part(after, "cpu_usage", "percpu_usage")
    cores = whole(after, "online_cpus") or (len(each) if isinstance(each, list) else 1)
    return max(0.0, own / system * cores * 100)


def _memory(figure: Any) -> int | None:
    """As `docker stats` has it: without inactive_file, which cgroups 1 call total_inactive_file."""
    usage = part(figure, "memory_stats", "usage")
    if not isinstance(usage, int):
        return None
    names = ("total_inactive_file", "inactive_file")
    cached = next((c for n in names if (c := whole(figure, "memory_stats", "stats", n))), 0)
    return usage - cached if cached < usage else usage


def _since(container: Container, now: datetime) -> str:
    """How long it runs, or for how long it does not."""
    key = "StartedAt" if container.running else "FinishedAt"
    since = moment(str(part(container.raw, "State", key) or "")) or moment(container.created)
    seconds = max(0, int((now - since).total_seconds())) if since else 0
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _ails(container: Container) -> str:
    """What is wrong with a container."""
    state = part(container.raw, "State")
    if part(state, "OOMKilled"):
        return "out of memory"
    if container.state in ("exited", "dead"):
        return f"exit code {whole(state, 'ExitCode')}"
    if container.state == "restarting":
        return f"restarts again and again, exit code {whole(state, 'ExitCode')}"
    return "unhealthy" if container.health == "unhealthy" else ""


def _more(found: list[Container]) -> tuple[str, ...]:
    return (f"and {len(found) - MOST_ROWS} more",) if len(found) > MOST_ROWS else ()
