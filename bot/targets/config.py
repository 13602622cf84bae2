"""The drivers that there are: what each one's section of the configuration holds, and which commands it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.config_faults import Finding, KeyPath, mapping, unknown
from bot.targets import (
    compose_config,
    config_files,
    http_config,
    kubernetes_config,
    kubernetes_probe_config,
    kubernetes_selectors,
    mongo_config,
    postgres_config,
    redis_config,
)
from bot.targets.config_model import Driver


@dataclass(frozen=True, slots=True)
class Kind:
    """One driver: the model of its section, the ports that it serves, the extra that brings its library."""

    model: type[Driver]
    ports: tuple[str, ...]
    extra: str = ""


class Sandbox(Driver):
    """Simulates Kubernetes, Redis, Prometheus and health endpoints; there is nothing to set."""


DRIVERS: Mapping[str, Kind] = {
    "sandbox": Kind(Sandbox, ("kubernetes", "redis", "prometheus", "health")),
    "redis": Kind(redis_config.Redis, ("redis",), "redis"),
    "kubernetes": Kind(kubernetes_config.Kubernetes, ("kubernetes",), "kubernetes"),
    "prometheus": Kind(http_config.Prometheus, ("prometheus",)),
    "alertmanager": Kind(http_config.Alertmanager, ("alertmanager",)),
    "http": Kind(http_config.Http, ("http",), "http"),
    "health": Kind(http_config.Health, ("health",)),
    "postgres": Kind(postgres_config.Postgres, ("postgres",), "postgres"),
    "compose": Kind(compose_config.Compose, ("compose",)),
    "mongo": Kind(mongo_config.Mongo, ("mongo",), "mongo"),
}
# Where names of targets stand, and which ports these have to serve.
_USES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("redis", "target", "a Redis", ("redis",)),
    ("postgres", "target", "a PostgreSQL", ("postgres", "health")),
    ("mongo", "target", "a MongoDB", ("mongo", "health")),
    ("services", "cluster", "a service", ("kubernetes", "compose")),
)


def serves(driver: str) -> tuple[str, ...]:
    """The ports of a driver; none of one that there is not."""
    return DRIVERS[driver].ports if driver in DRIVERS else ()


def section(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A target's section with its defaults; its driver is known and it has no faults."""
    found = DRIVERS[str(raw["driver"])].model.model_validate(raw).model_dump()
    # Where a value may stand in the file or in a variable, a variable that is not named hides nothing.
    idle = {name for name, value in found.items() if value is None and name.endswith("_env")}
    return {
        name: v for name, v in found.items() if name not in idle or name.removesuffix("_env") not in found
    }


def models() -> dict[str, type[BaseModel]]:
    """The model of each driver's section, by the driver's name."""
    return {name: kind.model for name, kind in DRIVERS.items()}


def drivers(data: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name, driver and section of every target whose driver is known; the file may have any shape."""
    for name, fields in mapping(data, "targets").items():
        driver = mapping(fields).get("driver")
        if isinstance(driver, str) and driver in DRIVERS:
            yield str(name), driver, mapping(fields)


def check(data: Any) -> Iterator[Finding]:
    """What shows only across settings: drivers that are none, and names that lead to the wrong kind of target."""
    for name, fields in mapping(data, "targets").items():
        driver = mapping(fields).get("driver")
        if isinstance(driver, str) and driver not in DRIVERS:
            yield Finding(("targets", name, "driver"), unknown("driver", driver, sorted(DRIVERS)))
    kinds = {name: driver for name, driver, _ in drivers(data)}
    for place, key, what, ports in _USES:
        for name, fields in mapping(data, place).items():
            path: KeyPath = (place, name, key)
            driver = kinds.get(str(mapping(fields).get(key)), "")
            if driver and not set(ports) & set(DRIVERS[driver].ports):
                yield Finding(path, f"{what} is not reached by a target with the driver {driver}")
    yield from redis_config.check(data)
    yield from kubernetes_selectors.check(data)
    yield from kubernetes_probe_config.check(data)
    yield from http_config.check(data)
    yield from postgres_config.check(data)
    yield from mongo_config.check(data)
    yield from compose_config.check(data)


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Faults, which repeat no secret, of what the variables hold that targets name."""
    yield from redis_config.misplaced(data, environ)
    yield from postgres_config.misplaced(data, environ)
    yield from mongo_config.misplaced(data, environ)


def files(data: Any) -> Iterator[Finding]:
    """Faults of the files that targets name, as they are on this machine; not of sections that are wrong as such."""
    for name, driver, fields in drivers(data):
        try:
            DRIVERS[driver].model.model_validate(fields)
        except ValidationError:
            continue  # said where the models are held against the file
        yield from config_files.check(name, DRIVERS[driver].model, fields)
