"""The on-call checklist of a service: endpoint, database, Redis, recent deployments, resources, downstream."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from commands.actions import Answer, Target, TargetError
from commands.catalogue import Catalogue, Service
from incidents.ports import RefusedError

_PATIENCE = 20.0  # seconds for one line; the others do not wait for it


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, whether it is well (None: nobody could look), and what was found."""

    what: str
    well: bool | None
    text: str

    def __str__(self) -> str:
        return f"{'–' if self.well is None else '✓' if self.well else '✗'} {self.what}: {self.text}"


Endpoints = Callable[[Service], Awaitable[list[Check]]]


class Checklist:
    """Goes through the lines at once, each with the target that knows; a line whose target is missing says so."""

    def __init__(self, catalogue: Catalogue, others: Mapping[str, Target], endpoints: Endpoints) -> None:
        self._catalogue, self._others, self._endpoints = catalogue, others, endpoints

    async def of(self, service: Service) -> list[Check]:
        """The lines that this service's entry in the catalogue asks for."""
        where = service.environment
        lines: list[Coroutine[Any, Any, Check]] = [self._health(service)]
        if service.postgres is not None:
            lines.append(self._asked("Database", "postgres", "ready", name=service.postgres))
        if service.redis is not None:
            lines.append(self._asked("Redis", "redis", "ping", name=service.redis))
        if service.runtime == "kubernetes":
            lines.append(
                self._asked("Recent deployments", "kubernetes", "rollout", where, service=service.name)
            )
            lines.append(self._asked("Resources", "kubernetes", "pods", where, service=service.name))
        elif service.runtime == "compose":
            lines.append(self._asked("Resources", "compose", "ps", where, service=service.name))
        if service.depends_on:
            lines.append(self._downstream(service))
        return list(await asyncio.gather(*lines))

    async def _health(self, service: Service) -> Check:
        if not service.health:
            return Check("Health endpoint", None, "none is configured")
        found = await self._endpoints(service)
        ill = [f"{c.what} {c.text}" for c in found if not c.well]
        return Check("Health endpoint", not ill, "; ".join(ill) or found[0].text)

    async def _asked(self, what: str, port: str, verb: str, environment: str = "", **args: Any) -> Check:
        """What another target answers in its first line; that it does not answer is a cross."""
        target = self._others.get(port)
        if target is None:
            return Check(what, None, f"not looked at, no {port} target is configured")
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await target.read(verb, **args)
        except TimeoutError:
            return Check(what, False, f"no answer within {_PATIENCE:.0f} seconds")
        except RefusedError as error:
            return Check(what, None, f"not looked at: {_lower(str(error))}")
        except TargetError as error:
            return Check(what, False, str(error).rstrip("."))
        return Check(what, *_read(answer, environment))

    async def _downstream(self, service: Service) -> Check:
        known = [s for name in service.depends_on if (s := self._catalogue.service(name)) is not None]
        asked = [s for s in known if s.health]
        found = await asyncio.gather(*map(self._endpoints, asked))
        ill = [s.name for s, checks in zip(asked, found, strict=True) if not all(c.well for c in checks)]
        silent = [s.name for s in known if not s.health]
        more = f"; {', '.join(silent)} without an endpoint" if silent else ""
        if not asked:
            return Check("Downstream", None, f"not looked at{more}")
        told = f"{', '.join(ill)} not well" if ill else f"{', '.join(s.name for s in asked)} well"
        return Check("Downstream", not ill, f"{told}{more}")


def heading(service: Service, title: str, checks: list[Check]) -> Answer:
    """The lines under how many of them are well."""
    looked = [check for check in checks if check.well is not None]
    told = f"{sum(bool(c.well) for c in looked)} of {len(looked)} well"
    missing = f", {len(checks) - len(looked)} not looked at" if len(looked) < len(checks) else ""
    text = f"{service.name} · {service.environment} · {title}: {told}{missing}"
    return Answer(text, lines=tuple(str(check) for check in checks))


def _read(answer: Answer, environment: str) -> tuple[bool, str]:
    """Whether an answer tells of trouble, and its first line without whom it is about.

    Counts say `2 of 3 ready`; a remark on a pod, such as a restart, is told beside it.
    """
    told = (
        " · ".join(part for part in answer.headline.split(" · ")[1:] if part != environment)
        or answer.headline
    )
    remarks = [remark for remark in (answer.table.remarks if answer.table else ()) if remark]
    return not any(_short(part) for part in told.split(" · ")), "; ".join([told, *remarks[:2]])


def _short(part: str) -> bool:
    """Whether a part of a headline counts less than all: `2 of 3 ready`."""
    words = part.split()
    counts = len(words) > 2 and words[1] == "of" and words[0].isdigit() and words[2].isdigit()
    return counts and int(words[0]) < int(words[2])


def _lower(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")
