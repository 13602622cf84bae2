"""The target `kubernetes`: real clusters, each with the services that the catalogue says run there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from pydantic import SecretStr

from bot.chat_check import Line, right, wrong
from bot.targets.build import Site
from bot.targets.guard import Guarded, Limits
from bot.targets.kubernetes_cluster import Cluster, deployment_path
from bot.targets.kubernetes_link import Link
from bot.targets.kubernetes_plans import Planner
from bot.targets.kubernetes_probe import probe
from bot.targets.kubernetes_reads_around import READERS
from bot.targets.kubernetes_rights import permissions, served
from bot.targets.kubernetes_runs import Runner
from bot.targets.kubernetes_steps import look, state
from bot.targets.kubernetes_wire import MissingError, Way
from commands.actions import Answer, Outcome, Plan, Progress, Target
from commands.values import shown
from incidents.ports import RefusedError

_COMMANDS = {"evict": "pod delete", "hpa": "hpa change"}  # verb of a plan → its command, where they differ


class KubernetesTarget:
    """One cluster; `commands` are those that it serves, all of them where there are none.

    `probes` is what may be looked at inside pods; None: nothing.
    """

    name = "kubernetes"
    ends_within = 900.0  # seconds: a rollout goes pod by pod

    def __init__(
        self, cluster: Cluster, commands: tuple[str, ...] = (), probes: Mapping[str, Any] | None = None
    ) -> None:
        self.cluster = cluster
        self._commands, self._probes = commands, probes
        self._planner, self._runner = Planner(cluster), Runner(cluster)

    async def plan(self, verb: str, **args: Any) -> Plan:
        """What would happen; RefusedError, or TargetError where the cluster does not say."""
        self._enabled(_COMMANDS.get(verb, verb))
        return await self._planner.plan(verb, self._given(args))

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """The uids of what the plan is about, and how it is now."""
        found = await look(self.cluster, plan.verb, plan.args)
        return found.identity, state(found, plan.before, plan.identity)

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """Do it, under a name that is made of `key`: see `follow`."""
        return await self._runner.run(plan, key, progress)

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """After a crash: the outcome where the cluster knows who wrote the change."""
        return await self._runner.follow(plan, key, progress)

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """A cluster does by itself what it was told; /undo and /pause change that."""
        return False

    async def read(self, verb: str, **args: Any) -> Answer:
        """Look at something."""
        if verb == "probe":
            return await self._probe(**self._given(args))
        if verb not in READERS:
            raise RefusedError(f"Kubernetes knows no {verb}.")
        self._enabled(verb)
        answer: Answer = await READERS[verb](self.cluster, **self._given(args))
        return answer

    async def _probe(self, **args: Any) -> Answer:
        if self._probes is None:
            raise RefusedError(
                f"Nothing is looked at inside the pods of {self.cluster.link.title}: "
                "its target has no `probe` in the configuration."
            )
        return await probe(self.cluster, self._probes, **args)

    async def stop(self) -> None:
        """Close every connection."""
        await self.cluster.link.stop()

    async def check(self) -> AsyncIterator[Line]:
        """What the cluster says to `watchbell check`: whether it is there, knows the services, and allows."""
        link = self.cluster.link
        if not await link.verifies():
            yield wrong(
                "its certificate is not looked at (insecure-skip-tls-verify); give it a certificate-authority"
            )
        async for line in permissions(link, self._commands, self.cluster.namespaces):
            yield line
        if self._probes is not None:
            yield right(
                "probe: on; for it the token has pods/exec, with which its holder can run anything there"
            )
        for service in self.cluster.services.values():
            try:
                await link.get(deployment_path(service))
            except MissingError:
                yield wrong(
                    f"{service.name}: there is no deployment {service.deployment} in {service.namespace}"
                )
            else:
                yield right(f"{service.name}: deployment {service.deployment} in {service.namespace}")

    def _enabled(self, command: str) -> None:
        if self._commands and command not in self._commands:
            raise RefusedError(
                f"{command} is not among the `commands` that {self.cluster.link.title} serves."
            )

    def _given(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that were given, without the cluster's name."""
        named = args.get("cluster")
        if named is not None and named != self.cluster.link.name:
            raise RefusedError(f"There is no cluster {shown(str(named))}; there is {self.cluster.link.name}.")
        return {key: value for key, value in args.items() if value is not None and key != "cluster"}


def build(site: Site) -> dict[str, Target]:
    """The target of one cluster."""
    section = site.section
    token = section.get("token")
    way = Way(
        kubeconfig=section["kubeconfig"],
        context=section["context"],
        in_cluster=bool(section["in_cluster"]),
        host=section["host"],
        token=token.get_secret_value() if isinstance(token, SecretStr) else None,
        ca_file=section["ca_file"],
    )
    link = Link(site.name, way, timeout=float(section["timeout"]), redact=site.redactor.redact)
    clusters = [n for n, each in site.settings.targets.items() if each["driver"] in ("kubernetes", "sandbox")]
    cluster = Cluster(link, site.settings.catalogue, site.clock, site.redactor, several=len(clusters) > 1)
    target = KubernetesTarget(cluster, served(section), section.get("probe"))
    limits = Limits(at_once=int(section["at_once"]))
    return {"kubernetes": Guarded(target, title=link.title, limits=limits, clock=site.clock)}
