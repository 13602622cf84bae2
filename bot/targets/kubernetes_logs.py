"""The logs of a service's pods: bounded, merged by time, secrets left out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_cluster import Cluster
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_reads import heading
from bot.targets.kubernetes_wire import Json, MissingError, path
from bot.targets.log_answer import MOST_BYTES, SEARCHED, Said, answer
from bot.targets.log_lines import MORE, Lines, having, newest
from commands.actions import Answer, TargetError
from commands.values import nearest, shown
from incidents.ports import RefusedError

MOST_PODS = 10


async def logs(
    cluster: Cluster,
    service: str,
    since: int = 600,
    tail: int = 100,
    grep: str | None = None,
    previous: bool = False,
    pod: str | None = None,
) -> Answer:
    """The newest lines of a service's pods, or of one of them."""
    known = cluster.service(service)
    there = await cluster.pods(known)
    names = [name(each) for each in there]
    if pod is not None and pod not in names:
        raise RefusedError(f"{known.name} has no pod {shown(pod)}.{nearest(pod, names)}")
    chosen = [each for each in there if pod in (None, name(each))][:MOST_PODS]
    terms: dict[str, Any] = {"since": since, "previous": previous, "lines": tail, "wanted": having(grep)}
    search = SEARCHED if grep else tail
    parts = await asyncio.gather(*(_log(cluster, each, search=search, **terms) for each in chosen))
    left_out = len(there) > len(chosen) and pod is None
    more = f"{len(there)} pods run; these are the lines of {len(chosen)}" if left_out else ""
    return answer(heading(cluster, known, None), known.name, parts, more, tail=tail, grep=grep)


async def _log(
    cluster: Cluster,
    pod: Json,
    *,
    since: int,
    search: int,
    lines: int,
    previous: bool,
    wanted: Callable[[str], bool],
) -> tuple[list[Said], str]:
    """Time, text and pod of each line, or why there are none."""
    place = str(at(pod, "metadata", "namespace"))
    query: dict[str, str | int] = {
        "container": objects.speaker(pod),
        "tailLines": search + MORE,
        "limitBytes": MOST_BYTES + 1,  # so that it shows whether there is more
        "timestamps": "true",
        **({"previous": "true"} if previous else {"sinceSeconds": since}),
    }
    try:
        async with aclosing(cluster.link.stream(path("v1", place, "pods", name(pod), "log"), **query)) as raw:
            found = Lines(raw, MOST_BYTES)
            told = await newest(found, cluster.redactor, lines, wanted)
    except MissingError:
        return [], f"{name(pod)} is gone"
    except TargetError as error:
        if "says no" not in str(error):
            raise
        return (
            [],
            f"{name(pod)}: {objects.ailment(pod) or ('no earlier container' if previous else str(error))}",
        )
    short = f"…{name(pod)[-11:]}"
    parts = [line.partition(" ") for line in told]
    cut = f"{name(pod)}: only the first {objects.memory(MOST_BYTES)} of that time were read"
    return [(stamp, text or stamp, short) for stamp, _, text in parts], cut if found.cut else ""
