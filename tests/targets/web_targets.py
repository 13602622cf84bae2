"""Targets reached by HTTP for tests, made as the bot makes them from its configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.clock import SystemClock
from bot.targets import build
from bot.targets.sandbox_world import World
from commands.actions import Answer, Plan, Target
from commands.catalogue import Service
from tests.contracts.http_rig import CALLS, on_web
from tests.servers.admin_http import TOKEN


@asynccontextmanager
async def targets(
    folder: Path,
    *,
    services: Mapping[str, Service] | None = None,
    patience: float | None = None,
    sandbox: bool = True,
    **sections: Mapping[str, Any],
) -> AsyncIterator[dict[str, Target]]:
    """Every target of a configuration with these sections, by port; `patience` in seconds, also of less than one."""
    settings = on_web(**sections)
    if services is not None:
        settings = replace(settings, catalogue=replace(settings.catalogue, services=services))
    if patience is not None:
        quick = {name: {**settings.targets[name], "timeout": patience} for name in sections}
        settings = replace(settings, targets={**settings.targets, **quick})
    if not sandbox:
        settings = replace(settings, targets={n: t for n, t in settings.targets.items() if n != "sandbox"})
    clock = SystemClock()
    made = build.targets_of(settings, World(folder / "world.json", clock), clock)
    try:
        yield made
    finally:
        await build.stop(made.values())


def router(url: str, *, token: str = TOKEN, **calls: Mapping[str, Any]) -> dict[str, Any]:
    """The section of the stand-in's admin endpoints."""
    return {"driver": "http", "url": url, "token": token, "calls": {**CALLS, **calls}}


def shown(answer: Answer) -> str:
    """Everything of an answer, as text."""
    rows = answer.table.rows if answer.table else ()
    remarks = answer.table.remarks if answer.table else ()
    return "\n".join(
        [answer.headline, *answer.lines, answer.text, *(" ".join(row) for row in rows), *remarks]
    )


async def call(target: Target, name: str, arguments: str = "") -> Plan:
    """The plan of a named call."""
    return await target.plan("call", call=name, arguments=arguments)


async def progress(done: int, total: int, what: str) -> None:
    """Told to nobody."""
