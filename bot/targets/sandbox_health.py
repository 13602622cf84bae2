"""The simulated health endpoints, and the on-call checklist gone through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.targets import sandbox_pods as pods
from bot.targets.sandbox_changes import SandboxTarget
from bot.targets.sandbox_kubernetes_reads import age, figures
from bot.targets.sandbox_state import HOUR, Deployment, digest
from commands.actions import Answer
from commands.catalogue import Service
from commands.values import find_service
from incidents.ports import RefusedError

_TOO_SLOW = 1000  # milliseconds; the runbooks' threshold of a P95


@dataclass(frozen=True, slots=True)
class _Check:
    what: str
    well: bool
    text: str

    def __str__(self) -> str:
        return f"{'✓' if self.well else '✗'} {self.what}: {self.text}"


class SandboxHealth(SandboxTarget):
    """Asks what the sandbox runs how it is."""

    name = "health"
    speaks = "The health check"

    def answered(self, verb: str, args: Mapping[str, Any]) -> Answer:
        """`health` of a service, or of all without one; `checklist` of a service."""
        name = args.get("service")
        if verb == "health" and name is None:
            return self._everything()
        if verb == "metrics":
            raise RefusedError("The sandbox has no metrics endpoints; `/promql` asks its Prometheus.")
        if verb not in ("health", "checklist") or name is None:
            raise RefusedError(f"There is no check {verb}.")
        service = find_service(name, self.world.catalogue)
        checks = list(self._endpoints(service) if verb == "health" else self._checklist(service))
        well = sum(check.well for check in checks)
        title = "checklist" if verb == "checklist" else "health"
        heading = f"{service.name} · {service.environment} · {title}: {well} of {len(checks)} well"
        return Answer(heading, lines=tuple(str(check) for check in checks))

    def trouble(self, args: Mapping[str, Any]) -> str:
        """Nothing: trouble is what this target shows."""
        return ""

    def _everything(self) -> Answer:
        lines, ill = [], 0
        for service in self.world.catalogue.services.values():
            checks = list(self._endpoints(service))
            failing = [check for check in checks if not check.well]
            ill += bool(failing)
            text = "; ".join(f"{c.what} {c.text}" for c in failing) or f"{len(checks)} of {len(checks)} well"
            lines.append(str(_Check(service.name, not failing, text)))
        return Answer(f"{len(lines) - ill} of {len(lines)} services well", lines=tuple(lines))

    # -- one thing at a time ----------------------------------------------------------------------

    def _endpoints(self, service: Service) -> Iterator[_Check]:
        for name in service.health:
            yield self._endpoint(service, name)
        deployment = self.world.state.deployments.get(service.name)
        if deployment is not None and not service.health:
            yield self._pods(deployment)
        if service.redis is not None or service.name in self.world.state.caches:
            yield self._redis(service.redis or service.name)

    def _endpoint(self, service: Service, name: str) -> _Check:
        deployment = self.world.state.deployments.get(service.name)
        took = 4 + digest(service.name, name, self.world.now() // 60_000) % 30
        if deployment is not None and (failure := self._failure(deployment)):
            return _Check(name, False, failure)
        if "read" in name.casefold() and self._redis_down(service.redis):
            return _Check(name, False, "503, Redis does not answer")
        return _Check(name, True, f"200 in {took} ms")

    def _pods(self, deployment: Deployment) -> _Check:
        count = len(pods.ready(deployment, self.world.now()))
        return _Check("Instances", count == deployment.replicas, f"{count} of {deployment.replicas} ready")

    def _failure(self, deployment: Deployment) -> str:
        if not pods.ready(deployment, self.world.now()):
            return "connection refused, no pod is ready"
        if deployment.trouble == "error":
            return "500 Internal Server Error"
        if deployment.trouble.startswith("slow"):
            return f"200 in {2 * _TOO_SLOW + 400} ms, over {_TOO_SLOW} ms"
        return ""

    def _redis_down(self, name: str | None) -> bool:
        cache = self.world.state.caches.get(name or "")
        return cache is not None and cache.trouble == "down"

    def _redis(self, name: str) -> _Check:
        if self._redis_down(name):
            return _Check(f"Redis {name}", False, "connection refused")
        cache = self.world.state.caches.get(name)
        memory = f", {cache.memory} % of memory used" if cache else ""
        return _Check(f"Redis {name}", cache is None or cache.memory < 95, f"PONG in 1 ms{memory}")

    # -- the checklist of the runbooks ------------------------------------------------------------

    def _checklist(self, service: Service) -> Iterator[_Check]:
        for name in list(service.health)[:1]:
            check = self._endpoint(service, name)
            yield _Check("Health endpoint", check.well, check.text)
        if service.postgres is not None:
            yield self._database(service.postgres)
        if service.redis is not None:
            yield self._redis(service.redis)
        deployment = self.world.state.deployments.get(service.name)
        if deployment is not None:
            yield self._deployments(deployment)
            yield self._resources(deployment)
        if service.depends_on:
            yield self._downstream(service)

    def _database(self, name: str) -> _Check:
        server = self.world.state.deployments.get("postgres")
        failure = self._failure(server) if server else ""
        return _Check(f"Database {name}", not failure, failure or "SELECT 1 in 2 ms")

    def _deployments(self, deployment: Deployment) -> _Check:
        running = next(r for r in deployment.history if r.number == deployment.revision)
        since = self.world.now() - running.at
        return _Check("Recent deployments", since > HOUR, f"revision {running.number} since {age(since)}")

    def _resources(self, deployment: Deployment) -> _Check:
        now = self.world.now()
        there = pods.present(deployment, now)
        count = len(pods.ready(deployment, now))
        memory = max((figures(self.world, deployment, p, now)[1] for p in there), default=0) * 100 // 2048
        well = count == deployment.replicas and memory < 90
        return _Check("Resources", well, f"{count} of {deployment.replicas} ready, memory at most {memory} %")

    def _downstream(self, service: Service) -> _Check:
        known = [s for name in service.depends_on if (s := self.world.catalogue.service(name)) is not None]
        ill = [s.name for s in known if any(not check.well for check in self._endpoints(s))]
        text = (
            f"{', '.join(ill)} not well" if ill else f"{', '.join(s.name for s in known) or 'nothing'} well"
        )
        return _Check("Downstream", not ill, text)
