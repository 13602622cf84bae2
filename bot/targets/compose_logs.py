"""The logs of a service's containers: bounded, taken apart, merged by time, secrets left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from bot.beside import beside
from bot.targets.compose_stack import Container, Stack
from bot.targets.guard import UnreachableError
from bot.targets.log_lines import MORE, having, newest
from commands.actions import Answer, TargetError
from commands.values import shown
from incidents.ports import RefusedError

MOST_CONTAINERS = 10
MOST_BYTES = 1024**2  # of a container's log
_SEARCHED = 5000  # lines of a container that are looked through for a word
_SHORT = 15  # lines that a message holds; more of them need a summary above
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
    terms = {"since": since, "lines": _SEARCHED if grep else tail}
    parts = await asyncio.gather(*(_log(stack, each, having(grep), **terms) for each in chosen))
    found = sorted((line for each, _ in parts for line in each), key=lambda line: line[0])
    notes = [why for _, why in parts if why]
    if len(there) > len(chosen) and container is None:
        notes.append(f"{len(there)} containers are there; these are the lines of {len(chosen)}")
    head = f"{known.name} · {known.environment}"
    return _answer(head, known.name, found[-tail:], notes, grep, single=len(chosen) < 2)


def _answer(
    head: str, of: str, found: list[tuple[str, str, str]], notes: list[str], grep: str | None, *, single: bool
) -> Answer:
    matching = f" with {shown(grep)}" if grep else ""
    title = f"{head} · {len(found)} line{'s' if len(found) != 1 else ''}{matching}"
    if not found:
        return Answer(title, lines=(f"Nothing{matching} in that time.", *notes))
    plain = [text if single else f"{who} {text}" for _, text, who in found]
    telling = [line for line in plain if any(word in line.upper() for word in ("ERROR", "WARN", "FATAL"))]
    above = tuple(line[:300] for line in telling[-3:]) if len(plain) > _SHORT else ()
    return Answer(title, lines=(*notes, *above), text="\n".join(plain), file_name=f"{of}.log")


async def _log(
    stack: Stack, container: Container, wanted: Callable[[str], bool], *, since: int, lines: int
) -> tuple[list[tuple[str, str, str]], str]:
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
