"""What kinds of objects the API server holds: names, groups, scopes, subresources, models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READ = ("get", "list")
MAKE = ("create",)


@dataclass(frozen=True)
class Resource:
    """One resource of the API; `model` names its class in the kubernetes package."""

    group: str
    version: str
    plural: str
    kind: str
    model: str = ""
    namespaced: bool = True
    short: tuple[str, ...] = ()
    scale: bool = False  # has /scale
    status: bool = False  # has /status
    generation: bool = False  # changes of spec count in metadata.generation
    all: bool = False  # belongs to what `kubectl get all` asks for
    verbs: tuple[str, ...] = ALL

    @property
    def id(self) -> str:
        """How the store calls it: apps/deployments, or pods."""
        return f"{self.group}/{self.plural}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """How messages call it: deployments.apps, or pods."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """What stands in `apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """The name that kubectl takes for one."""
        return self.kind.lower()


def _core(plural: str, kind: str, *short: str, **more: Any) -> Resource:
    return Resource("", "v1", plural, kind, f"V1{kind}", short=short, **more)


def _apps(plural: str, kind: str, short: str, *, scale: bool = True) -> Resource:
    return Resource(
        "apps",
        "v1",
        plural,
        kind,
        f"V1{kind}",
        short=(short,),
        scale=scale,
        status=True,
        generation=True,
        all=True,
    )


def _review(group: str, kind: str) -> Resource:
    return Resource(group, "v1", f"{kind.lower()}s", kind, f"V1{kind}", namespaced=False, verbs=MAKE)


def _metric(plural: str, kind: str, *, namespaced: bool) -> Resource:
    return Resource("metrics.k8s.io", "v1beta1", plural, kind, namespaced=namespaced, verbs=READ)


NAMESPACES = _core("namespaces", "Namespace", "ns", namespaced=False, status=True)
NODES = _core("nodes", "Node", "no", namespaced=False, status=True)
PODS = _core("pods", "Pod", "po", status=True, all=True)
SERVICES = _core("services", "Service", "svc", status=True, all=True)
ENDPOINTS = _core("endpoints", "Endpoints", "ep")
CONFIG_MAPS = _core("configmaps", "ConfigMap", "cm")
SECRETS = _core("secrets", "Secret")
SERVICE_ACCOUNTS = _core("serviceaccounts", "ServiceAccount", "sa")
VOLUMES = _core("persistentvolumes", "PersistentVolume", "pv", namespaced=False, status=True)
CLAIMS = _core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", status=True)
EVENTS = Resource("", "v1", "events", "Event", "CoreV1Event", short=("ev",))
DEPLOYMENTS = _apps("deployments", "Deployment", "deploy")
REPLICA_SETS = _apps("replicasets", "ReplicaSet", "rs")
STATEFUL_SETS = _apps("statefulsets", "StatefulSet", "sts")
DAEMON_SETS = _apps("daemonsets", "DaemonSet", "ds", scale=False)
REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", "V1ControllerRevision")
HPAS = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    "V2HorizontalPodAutoscaler",
    short=("hpa",),
    status=True,
    all=True,
)
PDBS = Resource(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    "V1PodDisruptionBudget",
    short=("pdb",),
    status=True,
    generation=True,
)
INGRESSES = Resource(
    "networking.k8s.io",
    "v1",
    "ingresses",
    "Ingress",
    "V1Ingress",
    short=("ing",),
    status=True,
    generation=True,
)
POLICIES = Resource(
    "networking.k8s.io",
    "v1",
    "networkpolicies",
    "NetworkPolicy",
    "V1NetworkPolicy",
    short=("netpol",),
    generation=True,
)
ACCESS_REVIEWS = _review("authorization.k8s.io", "SelfSubjectAccessReview")
RULES_REVIEWS = _review("authorization.k8s.io", "SelfSubjectRulesReview")
SUBJECT_REVIEWS = _review("authentication.k8s.io", "SelfSubjectReview")
POD_METRICS = _metric("pods", "PodMetrics", namespaced=True)
NODE_METRICS = _metric("nodes", "NodeMetrics", namespaced=False)

RESOURCES = (
    *(NAMESPACES, NODES, PODS, SERVICES, ENDPOINTS, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, VOLUMES, CLAIMS),
    *(
        EVENTS,
        DEPLOYMENTS,
        REPLICA_SETS,
        STATEFUL_SETS,
        DAEMON_SETS,
        REVISIONS,
        HPAS,
        PDBS,
        INGRESSES,
        POLICIES,
    ),
    *(ACCESS_REVIEWS, RULES_REVIEWS, SUBJECT_REVIEWS, POD_METRICS, NODE_METRICS),
)
STORED = tuple(r for r in RESOURCES if r.model and r.verbs == ALL)
REVIEWS = (ACCESS_REVIEWS, RULES_REVIEWS, SUBJECT_REVIEWS)
GROUPS = tuple(dict.fromkeys((r.group, r.version) for r in RESOURCES if r.group))


def find(group: str, version: str, plural: str) -> Resource | None:
    """The resource of a path; None where there is none."""
    wanted = (group, version, plural)
    return next((r for r in RESOURCES if (r.group, r.version, r.plural) == wanted), None)


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The stored resource of a document; None where there is none."""
    return next((r for r in STORED if (r.api_version, r.kind) == (api_version, kind)), None)
