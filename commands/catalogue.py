"""The service catalogue: what the commands may touch, and within which bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Toggle:
    """An environment toggle: the value it normally has, and the one that the runbook sets."""

    normal: str
    relief: str


@dataclass(frozen=True, slots=True)
class Sli:
    """The figure by which a service is judged: a PromQL expression of one value, and how it is told.

    `unit` stands behind the number; `s` and `ratio` are told as ms below a second, and as percents. `target` is
    the Prometheus that is asked, empty for the first one.
    """

    name: str
    query: str
    unit: str = ""
    better: str = "lower"  # or "higher"
    target: str = ""


@dataclass(frozen=True, slots=True)
class WatchTerms:
    """How long a service's figure is followed after a change (seconds), and how much worse counts as worse.

    `worse_by` is a part of the figure before where it is `relative`, else a difference in the figure's own unit.
    """

    window: int
    worse_by: float
    relative: bool


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the configuration; `runtime` says which target runs it."""

    name: str
    aliases: tuple[str, ...] = ()
    description: str = ""
    environment: str = "production"
    policy: str = ""
    channel: str = ""  # the team's channel, for messages without a mention
    runtime: str = "kubernetes"  # or "compose", "none"
    cluster: str = "sandbox"
    namespace: str = "production"
    deployment: str = ""
    selector: str = ""
    config_map: str = ""
    replicas: tuple[int, int] = (0, 20)
    port: int | None = None
    health: Mapping[str, str] = field(default_factory=dict)  # name → URL
    metrics: str = ""
    sli: Sli | None = None
    watch: WatchTerms | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    toggles: Mapping[str, Toggle] = field(default_factory=dict)
    redis: str | None = None
    postgres: str | None = None
    depends_on: tuple[str, ...] = ()
    runbook: str = ""
    approvals: Mapping[str, int] = field(default_factory=dict)  # command → at least so many


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that can be named: services, Redis and other databases, named queries."""

    services: Mapping[str, Service] = field(default_factory=dict)
    redis: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)  # name → PromQL

    def service(self, word: str) -> Service | None:
        """The service of that name or alias, exactly as configured."""
        if word in self.services:
            return self.services[word]
        return next((s for s in self.services.values() if word in s.aliases), None)
