"""metadata.managedFields: who wrote which fields (kubernetes.io/docs/reference/using-api/server-side-apply)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
SYSTEM = ("apiVersion", "kind", "status")
SYSTEM_META = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)


def managed(before: Json | None, after: Json, manager: str, stamp: str, subresource: str = "") -> list[Json]:
    """The entries after a write: the writer owns what it changed, others lose that."""
    old = (before or {}).get("metadata", {}).get("managedFields") or []
    changed = _changed(_bare(before or {}), _bare(after))
    if not changed:
        return list(old)
    entry = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": after["apiVersion"],
        "time": stamp,
        "fieldsType": "FieldsV1",
        "fieldsV1": changed,
        **({"subresource": subresource} if subresource else {}),
    }
    kept = []
    for each in old:
        if (each["manager"], each.get("subresource", "")) == (manager, subresource):
            entry["fieldsV1"] = _union(each["fieldsV1"], entry["fieldsV1"])
        elif left := _without(each["fieldsV1"], changed):
            kept.append({**each, "fieldsV1": left})
    return [*kept, entry]


def _bare(found: Json) -> Json:
    meta = {k: v for k, v in found.get("metadata", {}).items() if k not in SYSTEM_META}
    return {**{k: v for k, v in found.items() if k not in SYSTEM}, "metadata": meta}


def _changed(before: Any, after: Any) -> Json:
    """The fields that differ, as FieldsV1 writes them; lists are taken as a whole."""
    result: Json = {}
    for key, value in after.items():
        was = before.get(key) if isinstance(before, dict) else None
        if value == was:
            continue
        inner = _changed(was if isinstance(was, dict) else {}, value) if isinstance(value, dict) else {}
        result[f"f:{key}"] = inner
    return result


def _union(one: Json, other: Json) -> Json:
    return {key: _union(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}


def _without(fields: Json, taken: Json) -> Json:
    result = {}
    for key, inner in fields.items():
        if key not in taken:
            result[key] = inner
        elif inner and taken[key] and (left := _without(inner, taken[key])):
            result[key] = left
    return result
