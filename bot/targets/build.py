"""The targets of a configuration, by the port names that commands use; a driver is imported where it is named."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from bot.chat_check import Line, wrong
from bot.config import Settings
from bot.redact import Redactor
from bot.targets import sandbox
from bot.targets.config import DRIVERS
from bot.targets.router import (
    Choose,
    Routed,
    by_call,
    by_database,
    by_service,
    by_simulation,
    by_target,
)
from bot.targets.sandbox_absent import absent
from bot.targets.sandbox_world import World
from commands.actions import Target, TargetError
from incidents.ports import Clock, RefusedError


@dataclass(frozen=True, slots=True)
class Site:
    """What a driver's `build(site)` is handed; it gives back its targets by port name.

    `section` is the target's own, with its defaults; a secret stands there as a SecretStr (`password` beside
    `password_env`). `redactor` takes out what the configuration calls secret.
    """

    name: str
    section: Mapping[str, Any]
    settings: Settings
    clock: Clock
    redactor: Redactor


def targets_of(settings: Settings, world: World, clock: Clock) -> dict[str, Target]:
    """Every target of the configuration; RefusedError where a driver's library is not installed.

    Nothing is connected to before it is asked for something: a system that is away keeps no bot from starting.
    """
    ports: dict[str, dict[str, Target]] = {}
    for name in settings.targets:
        for port, target in _built(name, settings, world, clock).items():
            ports.setdefault(port, {})[name] = target
    found = {
        port: next(iter(parts.values()))
        if len(parts) == 1
        else Routed(port, parts, _choose(port, settings, parts))
        for port, parts in ports.items()
    }
    for part in ports.get("health", {}).values():
        if (know := getattr(getattr(part, "guarded", None), "know", None)) is not None:
            know(found)  # its checklist asks the others
    return found


def simulated(settings: Settings, world: World, clock: Clock) -> dict[str, Target]:
    """The sandbox's targets, whatever the configuration names: for rehearsals, which touch nothing real.

    What it does not simulate stands there too, and says so.
    """
    return {**absent(settings), **_sandbox(settings, world, clock)}


def _sandbox(settings: Settings, world: World, clock: Clock) -> dict[str, Target]:
    section = {
        "redis_readable": settings.redaction.redis_readable,
        "redis_refused": settings.redaction.redis_refused,
    }
    return sandbox.build(section, catalogue=settings.catalogue, clock=clock, world=world)


async def stop(targets: Iterable[Target]) -> None:
    """Let go of the connections of those that have some."""
    for target in targets:
        if (end := getattr(target, "stop", None)) is not None:
            await end()


async def check(settings: Settings, clock: Clock) -> AsyncIterator[tuple[str, Line]]:
    """Ask every real target: its name, and a line for each thing that was looked at; no line holds a secret."""
    redact = Redactor(settings.redaction.patterns, settings.redaction.values).redact
    for name, section in settings.targets.items():
        if section["driver"] == "sandbox":
            continue
        found = _real(name, settings, clock)
        try:
            for target in found.values():
                async for line in _lines(target):
                    yield name, replace(line, text=redact(line.text))
        finally:
            await stop(found.values())


async def _lines(target: Target) -> AsyncIterator[Line]:
    ask = getattr(getattr(target, "guarded", target), "check", None)
    if ask is None:
        return
    try:
        async for line in ask():
            yield line
    except (TargetError, RefusedError) as error:
        yield wrong(str(error))


def _built(name: str, settings: Settings, world: World, clock: Clock) -> dict[str, Target]:
    if settings.targets[name]["driver"] == "sandbox":
        return _sandbox(settings, world, clock)
    return _real(name, settings, clock)


def _real(name: str, settings: Settings, clock: Clock) -> dict[str, Target]:
    section, rules = settings.targets[name], settings.redaction
    site = Site(name, section, settings, clock, Redactor(rules.patterns, rules.values))
    built: dict[str, Target] = _driver(str(section["driver"])).build(site)
    return built


def _driver(name: str) -> ModuleType:
    """The module of a driver; RefusedError where its library is not installed."""
    try:
        return importlib.import_module(f"bot.targets.{name}")
    except ModuleNotFoundError as error:
        extra = DRIVERS[name].extra
        raise RefusedError(
            f"The driver {name} needs the package {error.name}; install watchbell with its extra: watchbell[{extra}]."
        ) from error


def _choose(port: str, settings: Settings, parts: Mapping[str, Target]) -> Choose:
    """How a call finds its target among several."""
    if port == "redis":
        return by_database("Redis", settings.catalogue.redis, parts)
    if port == "postgres":
        return by_database("PostgreSQL", settings.postgres, parts)
    if port == "mongo":
        return by_database("MongoDB", settings.mongo, parts)
    if port in ("kubernetes", "compose"):
        return by_service(settings.catalogue, parts)
    if port == "health":
        return by_simulation(settings.catalogue, parts)
    if port == "http":
        return by_call(settings.targets, parts)
    return by_target(parts)
