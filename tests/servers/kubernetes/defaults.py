"""What the API server fills into new objects (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def fill(resource_id: str, found: Json) -> None:
    """Put the defaults of its kind into an object."""
    if (filler := FILLERS.get(resource_id)) is not None:
        filler(found)


def pod_spec(spec: Json) -> None:
    """The defaults of a pod's spec."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        image = container.get("image", "")
        newest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("imagePullPolicy", "Always" if newest else "IfNotPresent")
        for port in container.get("ports", ()):
            port.setdefault("protocol", "TCP")
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if probe in container:
                _probe(container[probe])
    for volume in spec.get("volumes", ()):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                volume[source].setdefault("defaultMode", 420)


def _probe(probe: Json) -> None:
    wanted = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for key, value in wanted.items():
        probe.setdefault(key, value)
    if "httpGet" in probe:
        probe["httpGet"].setdefault("scheme", "HTTP")


def _template(found: Json) -> Json:
    spec: Json = found.setdefault("spec", {})
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    pod_spec(template.setdefault("spec", {}))
    spec.setdefault("replicas", 1)
    return spec


def _deployment(found: Json) -> None:
    spec = _template(found)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def _stateful_set(found: Json) -> None:
    spec = _template(found)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})


def _pod(found: Json) -> None:
    spec = found.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    spec.setdefault("serviceAccountName", "default")
    found.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})


def _service(found: Json) -> None:
    spec = found.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    found.setdefault("status", {"loadBalancer": {}})


def _hpa(found: Json) -> None:
    spec = found.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    target = {"type": "Utilization", "averageUtilization": 80}
    spec.setdefault("metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
    found.setdefault("status", {"desiredReplicas": 0})


def _namespace(found: Json) -> None:
    found.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    found.setdefault("status", {"phase": "Active"})
    labels = found["metadata"].setdefault("labels", {})
    labels.setdefault("kubernetes.io/metadata.name", found["metadata"]["name"])


def _secret(found: Json) -> None:
    found.setdefault("type", "Opaque")
    for key, value in (found.pop("stringData", None) or {}).items():
        found.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _pdb(found: Json) -> None:
    nothing = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    found.setdefault("status", nothing)


def _replicated(found: Json) -> None:
    _template(found)
    found.setdefault("status", {"replicas": 0})


FILLERS: dict[str, Callable[[Json], None]] = {
    "apps/deployments": _deployment,
    "apps/replicasets": _replicated,
    "apps/statefulsets": _stateful_set,
    "pods": _pod,
    "services": _service,
    "autoscaling/horizontalpodautoscalers": _hpa,
    "namespaces": _namespace,
    "secrets": _secret,
    "policy/poddisruptionbudgets": _pdb,
}
