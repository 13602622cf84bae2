"""The logs of a service's containers: bounded, taken apart, merged by time, secrets left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from bot.beside import beside
from bot.targets.compose_stack import Container, Stack
from bot.targets.guard import UnreachableError
from bot.targets.log_answer import MOST_BYTES, SEARCHED, Said, answer
from bot.targets.log_lines import MORE, having, newest
from commands.actions import Answer, TargetError
from incidents.ports import RefusedError

MOST_CONTAINERS = 10
_HEADER = 8  # bytes before each frame (docs.docker.com, Engine API, ContainerAttach: "Stream format")


async def logs(
    stack: Stack,
    service: str,
    since: int = 600,
    tail: int = 100,
    grep: str | None = None,
    container: int | None = None,
) -> Answer:
    """The newest lines of a service's containers, or of the one of that number."""
    known = stack.service(service)
    there = await stack.there(known)
    if container is not None and container not in [each.number for each in there]:
        raise RefusedError(f"{known.name} has no container {container}; there are {len(there)}.")
    chosen = [each for each in there if container in (None, each.number)][:MOST_CONTAINERS]
    terms = {"since": since, "lines": SEARCHED if grep else tail}
    parts = await asyncio.gather(*(_log(stack, each, having(grep), **terms) for each in chosen))
    left_out = len(there) > len(chosen) and container is None
    more = f"{len(there)} containers are there; these are the lines of {len(chosen)}" if left_out else ""
    return answer(f"{known.name} · {known.environment}", known.name, parts, more, tail=tail, grep=grep)


async def _log(
    stack: Stack, container: Container, wanted: Callable[[str], bool], *, since: int, lines: int
) -> tuple[list[Said], str]:
    """Time, text and container of each line, or why there are none."""
    start = max(0, int(stack.clock.now().timestamp()) - since)
    where, note, more = f"/containers/{container.id}/logs", "", MORE
    while True:
        query = {"stdout": True, "stderr": True, "timestamps": True, "since": start, "tail": lines + more}
        try:
            raw, complete = await stack.engine.some(where, MOST_BYTES, **query)
        except UnreachableError:
            raise
        except TargetError as error:
            return [], f"{container.short}: {error}"  # another logging driver, or it has just gone
        if complete or lines + more <= 1:
            break
        # The engine sends the oldest first: what is too much is asked for anew.
        if more:
            more = 0
            continue
        lines = max(1, lines // 8)
        note = f"{container.short} writes long lines; only the last {lines} were read"
    whole = await beside(_lines, raw, terminal=container.terminal, complete=complete)
    told = await newest(_each(whole), stack.redactor, lines, wanted)
    parts = [line.partition(" ") for line in told]
    return [(stamp, text or stamp, container.short) for stamp, _, text in parts], note


def _lines(raw: bytes, *, terminal: bool, complete: bool) -> list[bytes]:
    """Line by line, without their ends; a last one that the limit cuts is left out, unless it is the only one."""
    found = (raw if terminal else frames(raw)).split(b"\n")
    return found[:-1] if not found[-1] or (not complete and len(found) > 1) else found


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def frames(raw: bytes) -> bytes:
    """What both streams hold, in the order in which it came; what are no frames is taken as it is."""
    found, at = bytearray(), 0
    while at + _HEADER <= len(raw):
        kind, zeros, length = raw[at], raw[at + 1 : at + 4], int.from_bytes(raw[at + 4 : at + 8], "big")
        if kind > 2 or any(zeros):
            return bytes(found) + raw[at:]
        found += raw[at + _HEADER : at + _HEADER + length]
        at += _HEADER + length
    return bytes(found) if at else raw
