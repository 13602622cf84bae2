"""Label selectors as the API server reads them (k8s.io/apimachinery/pkg/labels): in the configuration, and for pods."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bot.config_faults import Finding, mapping, quoted

Requirement = dict[str, Any]  # as in the matchExpressions of a LabelSelector, and beside them Gt and Lt
_BLANKS = " \t\r\n"
_SPACE = rf"[{_BLANKS}]*"
_WORD = rf"[^{_BLANKS}=!(),<>]"
_PART = re.compile(
    rf"""{_SPACE}(?:
        !{_SPACE}(?P<absent>{_WORD}+)
      | (?P<of>{_WORD}+)[{_BLANKS}]+(?P<set>in|notin){_SPACE}\((?P<values>[^()]*)\)
      | (?P<key>{_WORD}+){_SPACE}(?P<sign>==|=|!=|>|<){_SPACE}(?P<value>{_WORD}*)
      | (?P<there>{_WORD}+)
    ){_SPACE}(?P<end>,|\Z)""",
    re.VERBOSE,
)
_SIGNS = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
# kubernetes.io/docs/concepts/overview/working-with-objects/labels: syntax and character set
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"(?=.{1,253}/)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*/"
_KEY = re.compile(rf"(?:{_DOMAIN})?{_LABEL}")
_VALUE = re.compile(rf"(?:{_LABEL})?")
_NUMBER = re.compile(r"[0-9]{1,18}")


def requirements(text: str) -> list[Requirement]:
    """What a selector asks for, all of which has to hold; none for an empty text, which selects everything.

    ValueError, a part of a sentence, where the API server would not take it.
    """
    found: list[Requirement] = []
    rest = text.strip(_BLANKS)
    while rest or found:
        part = _PART.match(rest)
        if part is None:
            where = f"from {quoted(rest)} on" if rest else "after its last comma"
            raise ValueError(f"is no label selector {where}")
        found.append(_requirement(part))
        if not part["end"]:
            break
        rest = rest[part.end() :]
    return found


def _requirement(part: re.Match[str]) -> Requirement:
    if part["absent"] is not None:
        return _checked(part["absent"], "DoesNotExist", [])
    if part["there"] is not None:
        return _checked(part["there"], "Exists", [])
    if part["of"] is not None:
        values = [value.strip(_BLANKS) for value in part["values"].split(",")]
        return _checked(part["of"], "In" if part["set"] == "in" else "NotIn", values)
    return _checked(part["key"], _SIGNS[part["sign"]], [part["value"]])


def _checked(key: str, operator: str, values: list[str]) -> Requirement:
    if not _KEY.fullmatch(key):
        raise ValueError(f"is no label selector: {quoted(key)} is no label")
    for value in values:
        if not _VALUE.fullmatch(value):
            raise ValueError(f"is no label selector: {quoted(value)} is no value of a label")
        if operator in ("Gt", "Lt") and not _NUMBER.fullmatch(value):
            raise ValueError(f"is no label selector: {quoted(value)} is no whole number")
    return {"key": key, "operator": operator, "values": values}


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector fits; an empty one fits all (LabelSelector of the API reference)."""
    selector = selector or {}
    same = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return same and all(_fits(each, labels) for each in selector.get("matchExpressions") or [])


def _fits(requirement: Requirement, labels: Mapping[str, str]) -> bool:
    """Whether labels are as one requirement has them; not where its operator is unknown."""
    has, values = labels.get(str(requirement.get("key"))), requirement.get("values") or []
    match requirement.get("operator"):
        case "In":
            return has is not None and has in values
        case "NotIn":
            return has not in values
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
        case "Gt" | "Lt" as sign if has is not None and _NUMBER.fullmatch(has):
            return int(has) > int(values[0]) if sign == "Gt" else int(has) < int(values[0])
    return False


def check(data: Any) -> Iterator[Finding]:
    """Selectors of services that the API server would not take."""
    for name, fields in mapping(data, "services").items():
        selector = mapping(fields).get("selector")
        if not isinstance(selector, str) or mapping(fields).get("runtime", "kubernetes") != "kubernetes":
            continue
        try:
            requirements(selector)
        except ValueError as error:
            yield Finding(("services", name, "selector"), str(error))
