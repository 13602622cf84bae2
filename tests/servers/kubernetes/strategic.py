"""Strategic merge patch: some lists are merged by a key of their items.

Rules: kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch and
apimachinery's pkg/util/strategicpatch; the keys are the `x-kubernetes-patch-merge-key` of the API's fields.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.servers.kubernetes.status import bad_request

KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "resourceClaims": "name",
    "imagePullSecrets": "name",
    "secrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "conditions": "type",
    "addresses": "type",
    "taints": "key",
    "ownerReferences": "uid",
    "podIPs": "ip",
}
SETS = frozenset({"finalizers", "podCIDRs"})  # lists of plain values that are merged
ORDER, DELETE, KEEP = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"


def strategic(target: Any, patch: Any) -> Any:
    """The target with the patch applied; raises ApiError (400) for a directive that does not exist."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"error when applying patch: Unknown type of special patch directive: {directive}")
    result = dict(target) if isinstance(target, dict) else {}
    if KEEP in patch:
        result = {key: value for key, value in result.items() if key in patch[KEEP]}
    for key, value in patch.items():
        if key.startswith(DELETE):
            _take_out(result, key.removeprefix(DELETE), value)
    for key, value in patch.items():
        if not key.startswith("$"):
            _member(result, key, value, patch)
    for key, value in patch.items():
        if key.startswith(ORDER):
            _reorder(result, key.removeprefix(ORDER), value)
    return result


def _take_out(result: dict[str, Any], field: str, values: list[Any]) -> None:
    if field in result:
        result[field] = [each for each in result[field] if each not in values]


def _member(result: dict[str, Any], key: str, value: Any, patch: dict[str, Any]) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, list):
        result[key] = _list(result.get(key) or [], value, key)
    else:
        result[key] = strategic(result.get(key), value)


def _key(field: str, items: list[Any]) -> str | None:
    """The key by which a list is merged; None for one that is replaced."""
    if field == "ports":
        return "containerPort" if any("containerPort" in item for item in items) else "port"
    return KEYS.get(field)


def _list(old: list[Any], new: list[Any], field: str) -> list[Any]:
    if field in SETS:
        return [*old, *(each for each in new if each not in old)]
    if not all(isinstance(item, dict) for item in (*old, *new)):
        return copy.deepcopy(new)
    if any(item.get("$patch") == "replace" for item in new):
        return [copy.deepcopy(item) for item in new if "$patch" not in item]
    key = _key(field, [*old, *new])
    return copy.deepcopy(new) if key is None else _merged(list(old), new, key)


def _merged(result: list[Any], new: list[Any], key: str) -> list[Any]:
    for item in new:
        if key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        at = next((n for n, each in enumerate(result) if each.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [each for each in result if each.get(key) != item[key]]
        elif at is None:
            result.append(strategic({}, item))
        else:
            result[at] = strategic(result[at], item)
    return result


def _reorder(result: dict[str, Any], field: str, order: list[Any]) -> None:
    """Put the list's items into the order that the patch gives; those that it does not name come last."""
    items = result.get(field)
    if not items:
        return
    key = _key(field, items)
    wanted = [each[key] if isinstance(each, dict) and key else each for each in order]

    def place(item: Any) -> int:
        name = item.get(key) if isinstance(item, dict) and key else item
        return wanted.index(name) if name in wanted else len(wanted)

    result[field] = sorted(items, key=place)
