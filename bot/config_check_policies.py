"""What can be wrong within a policy: ambiguous words, clocks out of order, steps that cannot fire."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from bot.config_faults import Finding, KeyPath, each_text, mapping, quoted, texts, unknown
from bot.config_values import seconds
from incidents.policy import CLOCK_LABELS

TEAM = "team"


def check_policies(data: Any) -> Iterator[Finding]:
    """Faults of `policies`, names of rungs left out."""
    for name, policy in mapping(data, "policies").items():
        path: KeyPath = ("policies", name)
        fields = mapping(policy)
        severities = mapping(fields, "severities")
        yield from _words(path, fields, severities)
        yield from _ladder(path, fields, mapping(data, "rungs"))
        for level, severity in severities.items():
            here = (*path, "severities", level)
            yield from _clocks(here, mapping(severity))
            yield from _steps(here, mapping(severity), texts(fields.get("executives")))
            yield from _unanswered(here, mapping(severity), texts(fields.get("executives")))
    yield from _labels(data)


def _words(path: KeyPath, policy: dict[str, Any], severities: dict[str, Any]) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    for level in severities:
        first = taken.setdefault(level.casefold(), level)
        if first != level:
            yield Finding((*path, "severities", level), f"{quoted(level)} is severity {first} already")
    for level, severity in severities.items():
        for number, alias in enumerate(texts(mapping(severity).get("aliases"))):
            known = alias.casefold() in taken
            first = taken.setdefault(alias.casefold(), level)
            if known:
                here = (*path, "severities", level, "aliases", number)
                yield Finding(here, f"{quoted(alias)} means severity {first} already")
    default = policy.get("default_severity")
    if isinstance(default, str) and severities and default.casefold() not in taken:
        yield Finding((*path, "default_severity"), unknown("severity", default, severities))


def _ladder(path: KeyPath, policy: dict[str, Any], rungs: dict[str, Any]) -> Iterator[Finding]:
    ladder = texts(policy.get("ladder"))
    for number, rung in enumerate(ladder):
        if rung in ladder[:number]:
            yield Finding((*path, "ladder", number), f"{rung} is on the ladder already")
    for number, rung in enumerate(texts(policy.get("executives"))):
        if rung not in ladder:
            yield Finding((*path, "executives", number), f"{unknown('rung', rung, ladder)} (on this ladder)")
    above = policy.get("hold_above")
    if isinstance(above, str) and above not in ladder:
        yield Finding((*path, "hold_above"), f"{unknown('rung', above, ladder)} (on this ladder)")
    for rung in mapping(policy.get("labels")):
        if rung not in rungs:
            yield Finding((*path, "labels", rung), unknown("rung", rung, rungs))


def _clocks(path: KeyPath, severity: dict[str, Any]) -> Iterator[Finding]:
    clocks = mapping(severity.get("clocks"))
    statuses = [
        name for name in CLOCK_LABELS if name in clocks and name != "updated"
    ]  # that one is no status
    known = [(name, seconds(clocks[name])) for name in statuses]
    timed = [(name, limit) for name, limit in known if limit is not None]
    for (first, before), (second, after) in pairwise(timed):
        if before > after:
            message = f"is due before {first}, although it comes after it"
            yield Finding((*path, "clocks", second), message)


def _steps(path: KeyPath, severity: dict[str, Any], executives: list[str]) -> Iterator[Finding]:
    clocks = mapping(severity.get("clocks"))
    steps = severity.get("steps")
    for number, raw in enumerate(steps if isinstance(steps, list) else []):
        step, here = mapping(raw), (*path, "steps", number)
        to, do, clock = step.get("to"), step.get("do"), step.get("clock", "acknowledged")
        if (
            step.get("when") == "late"
            and isinstance(clock, str)
            and clock in CLOCK_LABELS
            and clock not in clocks
        ):
            known = ", ".join(clocks) or "none"
            where = (*here, "clock") if "clock" in step else here
            yield Finding(
                where, f"this severity has no clock {quoted(clock)} that could be late; it has: {known}"
            )
        if "clock" in step and step.get("when") in ("opened", "unresolved"):
            yield Finding((*here, "clock"), "only a step with `when: late` waits for a clock")
        if to == TEAM and do in ("page", "notify"):
            yield Finding(
                (*here, "to"), f"a channel cannot be told by `do: {do}`; `to: team` goes with `do: message`"
            )
        if do == "message" and isinstance(to, str) and to != TEAM:
            yield Finding((*here, "to"), "a message mentions nobody, so it goes `to: team`")
        if isinstance(to, str) and to in executives and step.get("major") is not True:
            yield Finding((*here, "to"), f"{to} is paged only in a major outage; add `major: true`")


def _unanswered(path: KeyPath, severity: dict[str, Any], executives: list[str]) -> Iterator[Finding]:
    for number, rung in enumerate(texts(mapping(severity, "unanswered").get("page"))):
        if rung in executives:
            yield Finding((*path, "unanswered", "page", number), f"{rung} is paged only in a major outage")


def _labels(data: Any) -> Iterator[Finding]:
    """An alert's label chooses one policy."""
    taken: dict[tuple[str, str], str] = {}
    for path, value in each_text(data, "policies.*.alert_labels.*.*"):
        policy, label = str(path[1]), str(path[3])
        first = taken.setdefault((label, value), policy)
        if first != policy:
            yield Finding(path, f"{label}={quoted(value)} chooses the policy {first} already")
