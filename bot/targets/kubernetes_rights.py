"""What each command may do in a cluster: the smallest ClusterRole, and whether the bot has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from bot.chat_check import Line, right, wrong
from incidents.ports import RefusedError

if TYPE_CHECKING:
    from bot.targets.kubernetes_link import Link

Json = dict[str, Any]
NAME = "watchbell"  # of the role
CLUSTER_WIDE = frozenset({"nodes", "persistentvolumes"})


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One verb on one resource (kubernetes.io/docs/reference/access-authn-authz/rbac)."""

    group: str
    resource: str
    verb: str

    @property
    def wide(self) -> bool:
        """Whether it is about something that is in no namespace."""
        return self.resource in CLUSTER_WIDE or (self.group, self.resource) == ("metrics.k8s.io", "nodes")

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}"


def _rights(words: str) -> tuple[Right, ...]:
    """Of `get apps/deployments, list pods`."""
    found = []
    for each in words.split(", "):
        verb, _, resource = each.partition(" ")
        group, name = "", resource
        for known in ("apps", "autoscaling", "policy", "networking.k8s.io", "metrics.k8s.io"):
            if resource.startswith(f"{known}/"):
                group, name = known, resource.removeprefix(f"{known}/")
        found.append(Right(group, name, verb))
    return tuple(found)


_ROLLS = "get apps/deployments, patch apps/deployments, list pods"
_CONFIGURES = f"{_ROLLS}, get configmaps, patch configmaps"
# Command → what it asks the cluster for. Nothing here, and nothing elsewhere, is about Secrets.
COMMANDS: Mapping[str, tuple[Right, ...]] = {
    name: _rights(words)
    for name, words in {
        "pods": "get apps/deployments, list pods, list metrics.k8s.io/pods",
        "describe": "get apps/deployments, get configmaps, get pods, list events",
        "events": "get apps/deployments, list apps/replicasets, list pods, list events",
        "top": "list pods, list metrics.k8s.io/pods, list nodes, list metrics.k8s.io/nodes",
        "rollout": "get apps/deployments, list apps/replicasets, list pods",
        "hpa": "list autoscaling/horizontalpodautoscalers",
        "endpoints": "get apps/deployments, list services, list endpoints",
        "ingress": "get apps/deployments, list services, list networking.k8s.io/ingresses",
        "netpol": "get apps/deployments, list networking.k8s.io/networkpolicies",
        "pv": "list persistentvolumes",
        "node": "get nodes, list metrics.k8s.io/nodes",
        "logs": "list pods, get pods/log",
        # A WebSocket begins with a GET; what it does there has needed `create` as well since Kubernetes 1.35.
        "probe": "get pods, list pods, get pods/exec, create pods/exec",
        "scale": "get apps/deployments, patch apps/deployments/scale, list pods, "
        "list autoscaling/horizontalpodautoscalers",
        "restart": _ROLLS,
        "rollback": f"{_ROLLS}, list apps/replicasets",
        "pause": "get apps/deployments, patch apps/deployments",
        "resume": _ROLLS,
        "maintenance": _CONFIGURES,
        "toggle": _CONFIGURES,
        "hpa change": "get apps/deployments, list autoscaling/horizontalpodautoscalers, "
        "patch autoscaling/horizontalpodautoscalers",
        # Its namespace's uid tells whether a pod is gone, or was never in this cluster.
        "pod delete": "get namespaces, get pods, create pods/eviction, list policy/poddisruptionbudgets",
        "cordon": "get nodes, patch nodes",
        "uncordon": "get nodes, patch nodes",
    }.items()
}
# A right to pods/exec is one to do anything inside of pods: nobody has it who does not ask for it.
USUAL = tuple(name for name in COMMANDS if name != "probe")


def needed(commands: Iterable[str]) -> tuple[Right, ...]:
    """The rights of these commands, or of the usual ones where none is named; each once, in order."""
    chosen = tuple(commands) or USUAL
    return tuple(sorted({each for command in chosen for each in COMMANDS[command]}))


def role(commands: Iterable[str] = (), *, name: str = NAME) -> Json:
    """The ClusterRole document with what these commands need and nothing more: no wildcard, no Secrets."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for each in needed(commands):
        verbs.setdefault((each.group, each.resource), []).append(each.verb)
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), allowed in verbs.items():
        rules.setdefault((group, tuple(sorted(allowed))), []).append(resource)
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": list(allowed)}
            for (group, allowed), resources in rules.items()
        ],
    }


def enabled(targets: Mapping[str, Mapping[str, Any]], cluster: str = "") -> tuple[str, ...]:
    """The commands of a cluster of the configuration, or of the only one; the usual ones where there is none.

    RefusedError where there is no such cluster.
    """
    there = {name: each for name, each in targets.items() if each["driver"] == "kubernetes"}
    if cluster and cluster not in there:
        known = f"there are {', '.join(there)}" if there else "the configuration has none"
        raise RefusedError(
            f"--cluster {cluster}: there is no such target with the driver kubernetes; {known}."
        )
    if not cluster and len(there) != 1:
        return USUAL  # `unnamed` says so
    return served(there[cluster] if cluster else next(iter(there.values())))


def unnamed(targets: Mapping[str, Mapping[str, Any]]) -> str:
    """Why the role is that of the usual commands where no cluster is named; nothing where there is just one."""
    there = [name for name, each in targets.items() if each["driver"] == "kubernetes"]
    if not there:
        return "there is no target with the driver kubernetes; this is the role of the usual commands."
    if len(there) > 1:
        names = ", ".join(there)
        return f"there are several clusters ({names}); --cluster says which. This is the role of the usual commands."
    return ""


def served(section: Mapping[str, Any]) -> tuple[str, ...]:
    """The commands that a cluster serves by its section of the configuration."""
    probing = ("probe",) if section.get("probe") is not None else ()
    return tuple(section["commands"]) or (*USUAL, *probing)


def written(commands: Iterable[str]) -> str:
    """The role of these commands as YAML."""
    return yaml.safe_dump(role(commands), sort_keys=False)


async def permissions(link: Link, commands: Iterable[str], namespaces: Iterable[str]) -> AsyncIterator[Line]:
    """A line for each command that lacks a right, or one that says that none does.

    Asked with SelfSubjectAccessReview, which everybody may create and which changes nothing.
    """
    chosen, places = tuple(commands) or USUAL, sorted(set(namespaces))
    missing: dict[Right, list[str]] = {}
    for each in needed(chosen):
        for place in ("",) if each.wide else places:
            if not await link.may(each, place):
                missing.setdefault(each, []).append(place)
    for command in chosen:
        for each in COMMANDS[command]:
            if each in missing:
                where = ", ".join(place for place in missing[each] if place)
                yield wrong(f"{command}: I may not {each}{f' in {where}' if where else ''}")
    if not missing:
        yield right(
            f"I may do what the {len(chosen)} commands need, in {', '.join(places) or 'no namespace'}"
        )
