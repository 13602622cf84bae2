"""Label and field selectors, as apimachinery's pkg/labels and pkg/fields read them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.status import bad_request

Json = dict[str, Any]
Test = Callable[[Json], bool]
PART = re.compile(
    r"""\s*(?:
        (?P<not>!)\s*(?P<absent>[\w./-]+)
      | (?P<set>[\w./-]+)\s+(?P<in>in|notin)\s*\((?P<values>[^()]*)\)
      | (?P<key>[\w./-]+)\s*(?P<op>==|=|!=)\s*(?P<value>[\w.-]*)
      | (?P<exists>[\w./-]+)
    )\s*(?:,|$)""",
    re.VERBOSE,
)
META = {"metadata.name": "name", "metadata.namespace": "namespace"}
INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
FIELDS: dict[str, tuple[str, ...]] = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "events": (
        *(f"involvedObject.{part}" for part in INVOLVED),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "namespaces": ("status.phase",),
    "nodes": ("spec.unschedulable",),
    "secrets": ("type",),
    "apps/replicasets": ("status.replicas",),
}
DEFAULTS = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}


def labels(text: str) -> Test:
    """Whether an object's labels fit; raises ApiError (400) for what is no selector."""
    tests: list[Callable[[Mapping[str, str]], bool]] = []
    at = 0
    while at < len(text):
        part = PART.match(text, at)
        if part is None:
            raise bad_request(f"unable to parse requirement: found '{text[at:]}', expected: identifier")
        tests.append(_requirement(part))
        at = part.end()

    def fits(found: Json) -> bool:
        has = found["metadata"].get("labels") or {}
        return all(test(has) for test in tests)

    return fits


def _requirement(part: re.Match[str]) -> Callable[[Mapping[str, str]], bool]:
    if (absent := part["absent"]) is not None:
        return lambda has: absent not in has
    if (exists := part["exists"]) is not None:
        return lambda has: exists in has
    if (key := part["set"]) is not None:
        values = {value.strip() for value in part["values"].split(",")}
        wanted = part["in"] == "in"
        return lambda has: (has.get(key) in values) is wanted if key in has or wanted else True
    one, value = part["key"], part["value"]
    if part["op"] == "!=":
        return lambda has: has.get(one) != value
    return lambda has: has.get(one) == value


def matches(selector: Json | None, has: Mapping[str, str]) -> bool:
    """Whether labels fit a LabelSelector object; an absent one fits nothing, an empty one all."""
    if selector is None:
        return False
    if any(has.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(each, has) for each in selector.get("matchExpressions") or ())


def _expression(each: Json, has: Mapping[str, str]) -> bool:
    key, values = each["key"], each.get("values") or ()
    return {
        "In": has.get(key) in values,
        "NotIn": has.get(key) not in values,
        "Exists": key in has,
        "DoesNotExist": key not in has,
    }[each["operator"]]


def text_of(selector: Json) -> str:
    """A LabelSelector as `status.selector` of a Scale writes it."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or ():
        values = ",".join(sorted(each.get("values") or ()))
        parts.append(
            {
                "In": f"{each['key']} in ({values})",
                "NotIn": f"{each['key']} notin ({values})",
                "Exists": each["key"],
                "DoesNotExist": f"!{each['key']}",
            }[each["operator"]]
        )
    return ",".join(parts)


def field_pairs(text: str) -> list[tuple[str, str, bool]]:
    """The parts of a field selector: field, value, and whether it has to be equal."""
    pairs = []
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"([^=!]+)(!=|==|=)(.*)", part)
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        pairs.append((found[1].strip(), found[3].strip(), found[2] != "!="))
    return pairs


def fields(text: str, resource: Resource) -> Test:
    """Whether an object's fields fit; raises ApiError (400) for a field that the resource does not offer."""
    known = {*META, *FIELDS.get(resource.id, ())}
    pairs = field_pairs(text)
    for field, _, _ in pairs:
        if field not in known:
            raise bad_request(_unknown(field, resource))
    return lambda found: all((_field(found, field) == value) is equal for field, value, equal in pairs)


def _unknown(field: str, resource: Resource) -> str:
    if resource.id in FIELDS:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'


def _field(found: Json, field: str) -> str:
    value: Any = found
    for part in field.split("."):
        value = (value or {}).get(part) if isinstance(value, dict) else None
    if field == "source":
        value = (found.get("source") or {}).get("component") or found.get("reportingComponent")
    if value is None:
        return DEFAULTS.get(field, "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def named(text: str) -> str:
    """The one name that a field selector asks for, which RBAC looks at; empty where there is none."""
    return next(
        (value for field, value, equal in field_pairs(text) if equal and field == "metadata.name"), ""
    )
