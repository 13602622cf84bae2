"""What is asked of a cluster, in the words of the catalogue: services, their deployments, pods and keepers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bot.redact import Redactor
from bot.targets import kubernetes_objects as objects
from bot.targets.kubernetes_link import Link
from bot.targets.kubernetes_objects import at, name
from bot.targets.kubernetes_selectors import Requirement, requirements, selects
from bot.targets.kubernetes_wire import Json, MissingError, UnavailableError, path
from commands.actions import TargetError
from commands.catalogue import Catalogue, Service
from commands.values import find_service, nearest, shown
from incidents.ports import Clock, RefusedError


@dataclass(frozen=True)
class Cluster:
    """One cluster, with the services of the catalogue that run there. `several`: there are others beside it."""

    link: Link
    catalogue: Catalogue
    clock: Clock
    redactor: Redactor
    several: bool = False

    @property
    def services(self) -> dict[str, Service]:
        """The services that run there."""
        return {
            known.name: known
            for known in self.catalogue.services.values()
            if known.runtime == "kubernetes" and known.cluster == self.link.name
        }

    @property
    def namespaces(self) -> list[str]:
        """Where these services are: nothing is looked at elsewhere."""
        return sorted({known.namespace for known in self.services.values()})

    def service(self, word: str) -> Service:
        """A service that runs there; RefusedError where there is none."""
        found = find_service(word, self.catalogue)
        if found.name not in self.services:
            raise RefusedError(f"{found.name} does not run in {self.link.title}.")
        return found

    def namespace(self, word: str) -> str:
        """A namespace of the catalogue; RefusedError for any other."""
        if word not in self.namespaces:
            there = ", ".join(self.namespaces) or "none"
            raise RefusedError(f"There is no namespace {shown(word)}; there are {there}.")
        return word

    def image(self, found: Json) -> str:
        """The image of a deployment, as a request may hold it: without secrets, and still told from others."""
        plain = objects.image(found)
        safe = self.redactor.redact(plain)
        return plain if safe == plain else f"{safe} ({hashlib.sha256(plain.encode()).hexdigest()[:12]})"

    def setting(self, key: str, value: object) -> None:
        """RefusedError for a value that looks like a secret: what a request holds is written down."""
        if self.redactor.redact_data({key: str(value or "")})[key] != str(value or ""):
            raise RefusedError(
                f"What {key} is now looks like a secret, which I do not write into a request; change it by hand."
            )

    # -- objects ----------------------------------------------------------------------------------

    async def deployment(self, service: Service) -> Json:
        """A service's deployment; TargetError where the cluster has none."""
        try:
            return await self.link.get(deployment_path(service))
        except MissingError as error:
            what = f"deployment {service.deployment} in {service.namespace}"
            raise TargetError(f"{self.link.title} has no {what}, which {service.name} should be.") from error

    async def pods(self, service: Service) -> list[Json]:
        """A service's pods, by its selector, those that have ended left out."""
        where = path("v1", service.namespace, "pods")
        found = await self.link.items(where, labelSelector=service.selector)
        return sorted((pod for pod in found if not objects.over(pod)), key=name)

    async def pod(self, wanted: str, namespace: str | None = None) -> tuple[Json, Service | None]:
        """A pod by its full name, and the service that it belongs to.

        Of several the one that belongs to a service; RefusedError where there is none, or no telling which.
        """
        there: dict[str, tuple[Json, Service | None]] = {}
        for place in self.namespaces if namespace is None else [self.namespace(namespace)]:
            with suppress(MissingError):
                pod = await self.link.get(path("v1", place, "pods", wanted))
                there[place] = pod, self._owner(pod, place)
        owned = {place: found for place, found in there.items() if found[1] is not None}
        chosen = owned or there
        if len(chosen) > 1:
            places = " and in ".join(chosen)
            raise RefusedError(f"There is a pod {shown(wanted)} in {places}; say which with namespace=.")
        if not chosen:
            raise RefusedError(f"There is no service or pod {shown(wanted)}.{nearest(wanted, self.services)}")
        return next(iter(chosen.values()))

    def _owner(self, pod: Json, namespace: str) -> Service | None:
        labels = at(pod, "metadata", "labels", default={})
        for known in self.services.values():
            wanted = _wanted(known) if known.namespace == namespace else []
            if wanted and selects({"matchExpressions": wanted}, labels):
                return known
        return None

    async def config_map(self, service: Service) -> Json:
        """A service's config map; TargetError where the cluster has none."""
        try:
            return await self.link.get(config_map_path(service))
        except MissingError as error:
            what = f"config map {service.config_map} in {service.namespace}"
            raise TargetError(
                f"{self.link.title} has no {what}, where {service.name}'s settings are."
            ) from error

    async def revisions(self, service: Service, deployment: Json) -> list[Json]:
        """The ReplicaSets of a deployment, the newest revision first."""
        found = await self.link.items(path("apps/v1", service.namespace, "replicasets"))
        own = [each for each in found if objects.owned(each, objects.uid(deployment))]
        return sorted(own, key=objects.revision, reverse=True)

    async def autoscaler(self, service: Service) -> Json | None:
        """What keeps the number of a deployment's pods within bounds, if anything does."""
        where = path("autoscaling/v2", service.namespace, "horizontalpodautoscalers")
        for each in await self.link.items(where):
            target = at(each, "spec", "scaleTargetRef", default={})
            if (target.get("kind"), target.get("name")) == ("Deployment", service.deployment):
                return each
        return None

    async def budgets(self, pod: Json) -> list[Json]:
        """The disruption budgets that a pod counts for."""
        namespace = str(at(pod, "metadata", "namespace", default=""))
        labels = at(pod, "metadata", "labels", default={})
        found = await self.link.items(path("policy/v1", namespace, "poddisruptionbudgets"))
        return [each for each in found if selects(at(each, "spec", "selector"), labels)]

    async def node(self, wanted: str) -> Json:
        """A node; RefusedError where there is none of this name."""
        try:
            return await self.link.get(path("v1", "", "nodes", wanted))
        except MissingError as error:
            raise RefusedError(
                f"{self.link.title} has no node {shown(wanted)}; `/top nodes` lists them."
            ) from error

    async def used(self, namespace: str, selector: str = "") -> Mapping[str, tuple[float, float]] | None:
        """Cores and bytes that each pod uses; None where nothing measures that (metrics.k8s.io)."""
        where = path("metrics.k8s.io/v1beta1", namespace, "pods")
        try:
            found = await self.link.items(where, **({"labelSelector": selector} if selector else {}))
        except (MissingError, UnavailableError):
            return None
        return {name(each): _sum(each.get("containers") or []) for each in found}

    async def used_by_nodes(self) -> Mapping[str, tuple[float, float]] | None:
        """The same of each node."""
        try:
            found = await self.link.items(path("metrics.k8s.io/v1beta1", "", "nodes"))
        except (MissingError, UnavailableError):
            return None
        return {name(each): _sum([each]) for each in found}


def deployment_path(service: Service, sub: str = "") -> str:
    """Where a service's deployment is."""
    return path("apps/v1", service.namespace, "deployments", service.deployment, sub)


def config_map_path(service: Service) -> str:
    """Where a service's config map is."""
    return path("v1", service.namespace, "configmaps", service.config_map)


def _wanted(service: Service) -> list[Requirement]:
    """What a service's selector asks of a pod's labels."""
    try:
        return requirements(service.selector)
    except ValueError as error:
        raise RefusedError(f"The selector of {service.name} in the configuration {error}.") from error


def _sum(parts: list[Json]) -> tuple[float, float]:
    uses = [at(part, "usage", default={}) for part in parts]
    return sum(objects.quantity(u.get("cpu")) for u in uses), sum(
        objects.quantity(u.get("memory")) for u in uses
    )
