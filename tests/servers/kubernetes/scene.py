"""Documents for the usual things, so that a test need not write them: a service with its deployment."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
ROOM = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}


def template(labels: Json, image: str, **more: Any) -> Json:
    """A pod template with one container `app`; `env`, `config` and `limits` as their names say."""
    container: Json = {
        "name": "app",
        "image": image,
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/health/readiness", "port": 8080}},
    }
    if env := more.get("env"):
        container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    if config := more.get("config"):
        container["envFrom"] = [{"configMapRef": {"name": config}}]
    if limits := more.get("limits"):
        container["resources"] = {"limits": limits, "requests": limits}
    return {"metadata": {"labels": labels}, "spec": {"containers": [container]}}


def deployment(name: str, namespace: str, *, replicas: int = 3, image: str = "", **more: Any) -> Json:
    """A Deployment of pods labelled app=NAME; `labels`, `annotations`, `spec` add to it."""
    labels = {"app": name, **more.pop("labels", {})}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    if notes := more.pop("annotations", {}):
        meta["annotations"] = notes
    extra = more.pop("spec", {})
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template({"app": name}, image or f"registry.example.com/{name}:1.0.0", **more),
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": {**spec, **extra}}


def stateful_set(name: str, namespace: str, *, replicas: int = 3, image: str = "") -> Json:
    """A StatefulSet of pods labelled app=NAME."""
    found = deployment(name, namespace, replicas=replicas, image=image)
    return {**found, "kind": "StatefulSet", "spec": {**found["spec"], "serviceName": name}}


def service(name: str, namespace: str) -> Json:
    """A Service in front of the pods labelled app=NAME."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    spec = {"selector": {"app": name}, "ports": ports}
    return _document("v1", "Service", name, namespace, spec=spec)


def autoscaler(name: str, namespace: str, *, low: int, high: int, kind: str = "Deployment") -> Json:
    """A HorizontalPodAutoscaler of the workload of that name."""
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    spec = {"scaleTargetRef": target, "minReplicas": low, "maxReplicas": high}
    return _document("autoscaling/v2", "HorizontalPodAutoscaler", name, namespace, spec=spec)


def budget(name: str, namespace: str, **bounds: int | str) -> Json:
    """A PodDisruptionBudget of the pods labelled app=NAME: minAvailable or maxUnavailable."""
    spec = {**bounds, "selector": {"matchLabels": {"app": name}}}
    return _document("policy/v1", "PodDisruptionBudget", name, namespace, spec=spec)


def config_map(name: str, namespace: str, data: dict[str, str]) -> Json:
    """A ConfigMap."""
    return _document("v1", "ConfigMap", name, namespace, data=data)


def node(number: int, stamp: str) -> Json:
    """The Node of that number, from 0, ready since `stamp`."""
    name = f"node-{number + 1}"
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": stamp,
        "lastTransitionTime": stamp,
    }
    addresses = {"InternalIP": f"192.0.2.{number + 10}", "Hostname": name}
    status = {
        "capacity": ROOM,
        "allocatable": ROOM,
        "conditions": [ready],
        "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
        "nodeInfo": _node_info(number + 1),
    }
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    cidr = f"10.244.{number}.0/24"
    spec = {"podCIDR": cidr, "podCIDRs": [cidr]}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": status}


def _node_info(number: int) -> Json:
    return {
        "machineID": f"{number:032x}",
        "systemUUID": f"{number:08x}-0000-0000-0000-000000000000",
        "bootID": f"{number:08x}-1111-0000-0000-000000000000",
        "kernelVersion": "6.8.0",
        "osImage": "Linux",
        "containerRuntimeVersion": "containerd://2.0.0",
        "kubeletVersion": "v1.36.0",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }


def _document(api_version: str, kind: str, name: str, namespace: str, **more: Any) -> Json:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}
