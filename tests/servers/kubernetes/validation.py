"""What the API server refuses to store (422), as far as the bot's writes could run into it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.selectors import matches
from tests.servers.kubernetes.status import Cause, invalid

Json = dict[str, Any]
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
DATA_BYTES = 1024 * 1024
ANNOTATION_BYTES = 256 * 1024


def check(resource: Resource, found: Json, before: Json | None) -> None:
    """Raise ApiError (422) with every cause why an object is not valid; `before` is what it replaces."""
    causes = [*_metadata(found["metadata"]), *RULES.get(resource.id, _nothing)(found, before)]
    if causes:
        raise invalid(resource.group, resource.kind, found["metadata"]["name"], causes)


def bad(field: str, value: Any, why: str) -> Cause:
    """A cause: a value that is not allowed."""
    if value is True or value is False:
        shown = str(value).lower()
    else:
        shown = f'"{value}"' if isinstance(value, str) else str(value)
    return "FieldValueInvalid", f"Invalid value: {shown}: {why}", field


def required(field: str) -> Cause:
    """A cause: a value that is missing."""
    return "FieldValueRequired", "Required value", field


def not_negative(field: str, value: Any) -> Iterator[Cause]:
    """A cause where a number is below nought."""
    if isinstance(value, int) and value < 0:
        yield bad(field, value, "must be greater than or equal to 0")


def _nothing(_found: Json, _before: Json | None) -> Iterator[Cause]:
    return iter(())


def _metadata(meta: Json) -> Iterator[Cause]:
    if not SUBDOMAIN.fullmatch(meta["name"]) or len(meta["name"]) > 253:
        yield bad("metadata.name", meta["name"], NAME_RULE)
    for value in (meta.get("labels") or {}).values():
        if not LABEL.fullmatch(value) or len(value) > 63:
            yield bad("metadata.labels", value, LABEL_RULE)
    annotations = meta.get("annotations") or {}
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > ANNOTATION_BYTES:
        yield (
            "FieldValueTooLong",
            f"Too long: may not be more than {ANNOTATION_BYTES} bytes",
            "metadata.annotations",
        )


def _pod_spec(spec: Json, path: str) -> Iterator[Cause]:
    containers = spec.get("containers") or []
    if not containers:
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for number, container in enumerate(containers):
        where = f"{path}.containers[{number}]"
        name = container.get("name", "")
        if not name:
            yield required(f"{where}.name")
        if name in seen:
            yield "FieldValueDuplicate", f'Duplicate value: "{name}"', f"{where}.name"
        seen.add(name)
        if not container.get("image"):
            yield required(f"{where}.image")


def _workload(found: Json, before: Json | None) -> Iterator[Cause]:
    spec = found["spec"]
    yield from not_negative("spec.replicas", spec.get("replicas"))
    selector = spec.get("selector")
    labels = spec["template"]["metadata"].get("labels") or {}
    if not selector:
        yield required("spec.selector")
    elif not matches(selector, labels):
        shown = ", ".join(f'"{k}":"{v}"' for k, v in sorted(labels.items()))
        why = "`selector` does not match template `labels`"
        yield "FieldValueInvalid", f"Invalid value: {{{shown}}}: {why}", "spec.template.metadata.labels"
    if before is not None and before["spec"].get("selector") != selector:
        yield bad("spec.selector", "object", "field is immutable")
    yield from _pod_spec(spec["template"]["spec"], "spec.template.spec")


def _deployment(found: Json, before: Json | None) -> Iterator[Cause]:
    yield from _workload(found, before)
    strategy = found["spec"]["strategy"]
    if strategy["type"] not in ("Recreate", "RollingUpdate"):
        supported = 'supported values: "Recreate", "RollingUpdate"'
        told = f'Unsupported value: "{strategy["type"]}": {supported}'
        yield "FieldValueNotSupported", told, "spec.strategy.type"
    rolling = strategy.get("rollingUpdate")
    if rolling and all(rolling.get(key) in (0, "0%") for key in ("maxSurge", "maxUnavailable")):
        why = "may not be 0 when `maxSurge` is 0"
        yield bad("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], why)


def _pod(found: Json, before: Json | None) -> Iterator[Cause]:
    yield from _pod_spec(found["spec"], "spec")
    if before is not None and _fixed(before["spec"]) != _fixed(found["spec"]):
        why = (
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
            "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
            "previously negative)"
        )
        yield "FieldValueForbidden", f"Forbidden: {why}", "spec"


def _fixed(spec: Json) -> Json:
    containers = [{k: v for k, v in c.items() if k != "image"} for c in spec["containers"]]
    free = ("tolerations", "activeDeadlineSeconds", "nodeName")
    return {**{k: v for k, v in spec.items() if k not in free}, "containers": containers}


def _config_map(found: Json, before: Json | None) -> Iterator[Cause]:
    data, binary = found.get("data") or {}, found.get("binaryData") or {}
    for key in (*data, *binary):
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' "
            yield bad(f"data[{key}]", key, f"{why}(e.g. 'key.name',  or 'KEY_NAME',  or 'key-name')")
    if sum(len(value.encode()) for value in (*data.values(), *binary.values())) > DATA_BYTES:
        yield "FieldValueTooLong", f"Too long: may not be more than {DATA_BYTES} bytes", "data"
    if before is not None and before.get("immutable") and before.get("data") != found.get("data"):
        yield "FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", "data"


def _hpa(found: Json, _before: Json | None) -> Iterator[Cause]:
    low, high = found["spec"].get("minReplicas", 1), found["spec"].get("maxReplicas", 0)
    if high < 1:
        yield bad("spec.maxReplicas", high, "must be greater than 0")
    if high < low:
        yield bad("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")


def _pdb(found: Json, _before: Json | None) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        yield bad("spec", "object", "minAvailable and maxUnavailable cannot be both set")


RULES: dict[str, Callable[[Json, Json | None], Iterator[Cause]]] = {
    "apps/deployments": _deployment,
    "apps/replicasets": _workload,
    "apps/statefulsets": _workload,
    "pods": _pod,
    "configmaps": _config_map,
    "secrets": _config_map,
    "autoscaling/horizontalpodautoscalers": _hpa,
    "policy/poddisruptionbudgets": _pdb,
}
