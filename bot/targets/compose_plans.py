"""What a change of a compose service would do: looked at, bounded, and said in full, with the limits that it has."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from bot.targets import compose_clone as clone
from bot.targets.compose_reads import used
from bot.targets.compose_stack import (
    Container,
    Stack,
    about,
    count_of,
    identity,
    named,
    numbers,
    size,
    stopped,
    whole,
)
from commands.actions import Plan, TargetError
from commands.catalogue import Service
from commands.values import replicas_taken, shown
from incidents.ports import RefusedError

LEAST = 6 * 1024**2  # bytes: what Docker takes for a limit at least
_SIZE = re.compile(r"([0-9]{1,12})(b|k|kb|m|mb|g|gb)", re.ASCII | re.IGNORECASE)
_UNITS = {"b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SCALED = ("replicas", "containers", "stopped")
_FILE = "the compose file knows nothing of it: the next `docker compose up` takes it back"


class Planner:
    """Makes the plans for one project."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    async def plan(self, verb: str, args: Mapping[str, Any]) -> Plan:
        """The plan of one of the changes; RefusedError where it cannot be, TargetError where nobody answers."""
        makers: Mapping[str, Callable[..., Awaitable[Plan]]] = {
            "restart": self._restart,
            "scale": self._scale,
            "memory": self._memory,
        }
        if verb not in makers:
            raise RefusedError(f"Docker compose knows no {verb}.")
        known = self._stack.service(str(args.get("service", "")))
        given = {key: value for key, value in args.items() if key != "service"}
        return await makers[verb](known, await self._stack.there(known), **given)

    async def _restart(self, known: Service, found: list[Container]) -> Plan:
        count, down = len(found), len(found) - count_of(found)
        notes = [*([f"{down} of them {'does' if down == 1 else 'do'} not run, and will"] if down else [])]
        if count == 1:
            notes.append("it is the only container: nobody answers meanwhile")
        what = "1 container" if count == 1 else f"{count} containers, one after another"
        return self._plan(
            known,
            found,
            "restart",
            summary=f"restart {known.name}: {what}",
            identity=identity(found, started=True),
            before={"containers": numbers(found), "stopped": stopped(found)},
            after={"containers": numbers(found), "stopped": "none"},
            notes=tuple(notes),
            stoppable=count > 1,
            done=f"{known.name} was restarted, {count} of {count} running",
        )

    # -- how many ---------------------------------------------------------------------------------

    async def _scale(self, known: Service, found: list[Container], *, replicas: int) -> Plan:
        (low, high), count = known.replicas, count_of(found)
        if not low <= replicas <= high:
            stop = " (0 needs two approvals.)" if low == 0 else ""
            raise RefusedError(f"{replicas_taken(known)}; {replicas} is outside.{stop}")
        if replicas == count:
            raise RefusedError(f"{known.name} already runs {count}.")
        after, notes = (
            await self._more(found, replicas - count)
            if replicas > count
            else self._fewer(known, found, count - replicas)
        )
        return self._plan(
            known,
            found,
            "scale",
            words=(str(replicas),),
            summary=f"scale {known.name} {count} → {replicas}",
            args={"replicas": replicas},
            before=state(found, _SCALED),
            after={"replicas": replicas, **after},
            effect="change" if replicas else "danger",
            undo=self._back(known, "scale", str(count), replicas=count) if count >= low else None,
            notes=(*notes, _FILE),
            stoppable=abs(replicas - count) > 1,
            done=f"{known.name} runs {replicas} replica{'s' if replicas != 1 else ''}",
        )

    async def _more(self, found: list[Container], more: int) -> tuple[dict[str, str], list[str]]:
        """The containers afterwards, and what is to be known of copies; RefusedError where there can be none."""
        idle = [each for each in found if not each.running]
        begun = len(idle[:more])
        after = {"containers": numbers(found), "stopped": numbers(idle[more:])}
        notes = [f"{begun} that do{'es' if begun == 1 else ''} not run will be started"] if begun else []
        new = more - begun
        if not new:
            return after, notes
        template = found[-1]
        clone.refuse(self._stack, template)
        copies = "1 is a copy" if new == 1 else f"{new} are copies"
        notes.append(
            f"{copies} of {template.short} as it is now: its image, settings and networks, not those of the file"
        )
        if shared := clone.volumes(template):
            notes.append(f"a copy writes to the same data: {', '.join(shared[:3])}")
        _, same = await clone.image(self._stack.engine, template)
        if not same:
            notes.append("the tag means another image by now; a copy has the one that the others have")
        first = template.number + 1
        every = [numbers(found), *map(str, range(first, first + new))]
        return {**after, "containers": ", ".join(every)}, notes

    def _fewer(self, known: Service, found: list[Container], less: int) -> tuple[dict[str, str], list[str]]:
        gone, stays = removed(found, less)
        notes = [f"0 stops {known.name} for everybody"] if less == count_of(found) else []
        if gone:
            names = ", ".join(each.short for each in gone)
            notes.append(f"{names} will be stopped and removed, with what is in no volume")
        if stays is not None:
            notes.append(f"{stays.short} is stopped and stays, to be started again")
        left = [each for each in found if each not in gone]
        down = [each for each in left if not each.running or each is stays]
        return {"containers": numbers(left), "stopped": numbers(down)}, notes

    # -- memory -----------------------------------------------------------------------------------

    async def _memory(self, known: Service, found: list[Container], *, size: str) -> Plan:
        wanted, host = await self._limit(size)
        held = sorted({each.memory for each in found})
        if held == [wanted]:
            raise RefusedError(f"{known.name} may use {_named(found)} already.")
        tight = await too_tight(self._stack, found, wanted)
        notes = [f"{tight}: what does not fit is killed by the system"] if tight else []
        notes.append(_FILE)
        if held == [0]:
            notes.append("there was no limit; only a new container has none again")
        elif len(held) > 1:
            notes.append("they had different limits, which nothing brings back at once")
        if wanted * len(found) > host > 0:
            notes.append(f"all of them may use {about(wanted * len(found))}, the host has {about(host)}")
        back = _plain(held[0]) if len(held) == 1 and held[0] >= LEAST else ""
        return self._plan(
            known,
            found,
            "memory",
            words=(_plain(wanted),),
            summary=f"memory of {known.name} {_named(found)} → {_plain(wanted)}",
            args={"size": _plain(wanted)},
            before={"memory": _named(found), "containers": numbers(found)},
            after={"memory": _plain(wanted), "containers": numbers(found)},
            effect="danger" if tight else "change",
            undo=self._back(known, "memory", back, size=back) if back else None,
            notes=tuple(notes),
            stoppable=len(found) > 1,
            done=f"{known.name} may use {_plain(wanted)}" + (" a container" if len(found) > 1 else ""),
        )

    async def _limit(self, word: str) -> tuple[int, int]:
        """Bytes, and those of the host; RefusedError where a limit is none, or outside of what the host has."""
        found = _SIZE.fullmatch(word)
        if found is None:
            raise RefusedError(
                f"A limit of memory is a number with k, m or g, as in 4g; {shown(word)} is none."
            )
        wanted = int(found[1]) * _UNITS[found[2][0].lower()]
        info = await self._stack.engine.get("/info")
        host = whole(info, "MemTotal")
        if wanted < LEAST or (host and wanted > host):
            most = f" to {about(host)}, which the host has" if host else ""
            raise RefusedError(f"A container takes {_plain(LEAST)}{most}; {shown(word)} is outside.")
        return wanted, host

    # -- what all have ----------------------------------------------------------------------------

    def _plan(
        self,
        known: Service,
        found: list[Container],
        verb: str,
        *,
        words: tuple[str, ...] = (),
        args: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> Plan:
        if not all(each.number for each in found):
            raise TargetError(
                f"A container of {named(known)} has no number of compose's, so it is left alone."
            )
        return Plan(
            command=f"compose {verb}",
            line=" ".join((f"compose {verb}", known.name, *words)),
            target="compose",
            verb=verb,
            args={"service": known.name, **(args or {})},
            subject=f"compose:{self._stack.name}:{known.name}",
            environment=known.environment,
            service=known.name,
            **{"identity": identity(found), **more},
        )

    def _back(self, known: Service, verb: str, word: str, **args: Any) -> dict[str, Any]:
        line = f"compose {verb} {known.name} {word}"
        return {"line": line, "verb": verb, "args": {"service": known.name, **args}, "label": word}


def removed(found: list[Container], less: int) -> tuple[list[Container], Container | None]:
    """Which containers go, the newest first, and the one that only stops: the last that is there is never removed."""
    running = [each for each in found if each.running]
    chosen = running[::-1][:less]
    if len(chosen) == len(found):
        return chosen[:-1], chosen[-1]
    return chosen, None


async def too_tight(stack: Stack, found: list[Container], limit: int) -> str:
    """Why so much memory (bytes) does not do for what runs now, as part of a sentence; empty where it does.

    Where nothing shows what a container uses, less than it may use now is too little.
    """
    places = asyncio.Semaphore(8)

    async def usage(each: Container) -> int | None:
        async with places:
            return await used(stack, each)

    running = [each for each in found if each.running]
    figures = await asyncio.gather(*(usage(each) for each in running))
    most = max((figure for figure in figures if figure is not None), default=0)
    if limit < most:
        return f"{about(most)} are in use"
    for each, figure in zip(running, figures, strict=True):
        if figure is None and not 0 < each.memory <= limit:
            return f"nothing shows how much {each.short} uses"
    return ""


def state(found: list[Container], keys: Iterable[str]) -> dict[str, Any]:
    """How it is now, by the keys of a plan's `before`."""
    every = {
        "replicas": count_of(found),
        "containers": numbers(found),
        "stopped": stopped(found),
        "memory": _named(found),
    }
    return {key: every[key] for key in keys}


def _named(found: list[Container]) -> str:
    """The limits of several containers: one where they have the same."""
    limits = [size(each.memory) for each in found]
    return ", ".join(limits if len(set(limits)) > 1 else limits[:1]) or "none"


def _plain(count: int) -> str:
    return size(count)
