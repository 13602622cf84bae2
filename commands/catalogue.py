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
