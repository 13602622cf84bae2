"""What the models cannot see: names that lead nowhere, clashes, and rules that contradict each other.

Everything here reads plain data of any shape, so that one run finds these faults beside those of the models.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from bot.config_check_policies import check_policies
from bot.config_check_rotas import check_rotas
from bot.config_faults import Finding, KeyPath, each, each_text, mapping, quoted, texts, unknown
from bot.config_values import SLACK_MEMBER, SLACK_MEMBER_IS, seconds
from bot.platforms import matrix_config
from bot.targets import config as targets

# (where the name stands, what it names, the section that has it, words that are allowed beside)
_REFERENCES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("rotas.*.members.*", "person", "people", ()),
    ("rungs.*.people.*", "person", "people", ()),
    ("rungs.*.rota", "rota", "rotas", ()),
    ("fallback", "person", "people", ()),
    ("default_policy", "policy", "policies", ()),
    ("policies.*.ladder.*", "rung", "rungs", ()),
    ("policies.*.severities.*.steps.*.to", "rung", "rungs", ("team",)),
    ("policies.*.severities.*.unanswered.page.*", "rung", "rungs", ("owner",)),
    ("services.*.policy", "policy", "policies", ()),
    ("services.*.cluster", "target", "targets", ()),
    ("services.*.redis", "Redis", "redis", ()),
    ("services.*.postgres", "PostgreSQL", "postgres", ()),
    ("services.*.sli.target", "target", "targets", ()),
    ("services.*.depends_on.*", "service", "services", ()),
    ("redis.*.target", "target", "targets", ()),
    ("redis.*.service", "service", "services", ()),
    ("postgres.*.target", "target", "targets", ()),
    ("postgres.*.service", "service", "services", ()),
    ("mongo.*.target", "target", "targets", ()),
    ("mongo.*.service", "service", "services", ()),
    ("approvals.raises.*.service", "service", "services", ()),
)
# Words that messages and steps use for something else.
_RESERVED = {
    "people": ("watchbell", "owner", "team", "on_call", "commander", "here", "channel", "room", "everyone"),
    "rungs": ("owner", "team", "fallback"),
}
# Adapters of the plan; those that stand in the folder count as well.
_PLANNED = {
    "sources": ("alertmanager",),
    "platforms": ("console", "slack", "matrix"),
}
# Only whole ids are anybody's; a display name can be copied.
_ACCOUNTS = {
    "slack": (re.compile(SLACK_MEMBER), SLACK_MEMBER_IS),
    "matrix": (matrix_config.USER, matrix_config.USER_IS),
}


def check(data: Any, commands: Collection[str] = ()) -> Iterator[Finding]:
    """All faults that show only across settings; `commands` are the names that `approvals` may use."""
    yield from _references(data)
    yield from _reserved(data)
    yield from _adapters(data)
    yield from _channels(data)
    yield from _accounts(data)
    yield from matrix_config.check(data)
    yield from targets.check(data)
    yield from _services(data)
    yield from _approvals(data)
    yield from _commands(data, commands)
    yield from check_rotas(data)
    yield from check_policies(data)


def _references(data: Any) -> Iterator[Finding]:
    for pattern, what, section, beside in _REFERENCES:
        known = mapping(data, section)
        for path, word in each_text(data, pattern):
            if not word:
                yield Finding(path, "is empty")
            elif word not in known and word not in beside:
                yield Finding(path, unknown(what, word, (*known, *beside)))


def _reserved(data: Any) -> Iterator[Finding]:
    for section, words in _RESERVED.items():
        for name in mapping(data, section):
            if name in words:
                yield Finding((section, name), f"{quoted(name)} means something else here; take another name")


def _adapters(data: Any) -> Iterator[Finding]:
    known = {folder: _adapters_in(folder) for folder in _PLANNED}
    for path, kind in each_text(data, "alerts.sources.*.kind"):
        if kind not in known["sources"]:
            yield Finding(path, unknown("kind of source", kind, sorted(known["sources"])))
    for name, source in mapping(data, "alerts", "sources").items():
        if name not in known["sources"] and not (isinstance(source, dict) and "kind" in source):
            message = unknown("kind of source", name, sorted(known["sources"]))
            yield Finding(
                ("alerts", "sources", name), f"{message} (`kind:` says which one a name of yours is)"
            )
    chats = sorted(known["platforms"])
    for name in mapping(data, "platforms"):
        if name not in chats:
            yield Finding(("platforms", name), unknown("chat", name, chats))
    for path, ids in each(data, "people.*.ids"):
        yield from (Finding((*path, n), unknown("chat", n, chats)) for n in mapping(ids) if n not in chats)


def _adapters_in(folder: str) -> set[str]:
    files = Path(__file__).with_name(folder).glob("[a-z]*.py")
    # A file whose name goes on after an adapter's, such as console_text, is a part of it.
    return {*_PLANNED[folder], *(file.stem for file in files if "_" not in file.stem)}


def _channels(data: Any) -> Iterator[Finding]:
    section = mapping(data, "channels")
    known = [*texts(section.get("ops")), *texts([section.get("team")]), *texts(section.get("extra"))]
    for path, name in each_text(data, "services.*.channel"):
        if name.startswith("#") and name not in known:
            yield Finding(
                path,
                f"{unknown('channel', name, dict.fromkeys(known))} (a new one stands under channels.extra)",
            )


def _accounts(data: Any) -> Iterator[Finding]:
    """Two people with one account would be one voter too many."""
    taken: dict[tuple[str, str], str] = {}
    for path, account in each_text(data, "people.*.ids.*"):
        person, platform = str(path[1]), str(path[3])
        if platform in _ACCOUNTS and not _ACCOUNTS[platform][0].fullmatch(account):
            yield Finding(path, f"should be {_ACCOUNTS[platform][1]}")
        first = taken.setdefault((platform, account), person)
        if first != person:
            yield Finding(path, f"{first} has this {platform} account already; an account is one person's")
    for path, account in each_text(data, "platforms.slack.guests.*"):
        if _ACCOUNTS["slack"][0].fullmatch(account) and ("slack", account) not in taken:
            yield Finding(path, "nobody under `people` has this account; only who is listed there counts")


def _services(data: Any) -> Iterator[Finding]:
    services = mapping(data, "services")
    taken = {name: name for name in services}
    targets = mapping(data, "targets")
    for name, service in services.items():
        fields = mapping(service)
        for number, alias in enumerate(texts(fields.get("aliases"))):
            first = taken.setdefault(alias, name)
            if first != name or alias == name:
                yield Finding(("services", name, "aliases", number), f"{quoted(alias)} names {first} already")
        bounds = mapping(fields.get("replicas"))
        low, high = bounds.get("min", 0), bounds.get("max", 20)
        if isinstance(low, int) and isinstance(high, int) and low > high:
            yield Finding(
                ("services", name, "replicas"), f"the bounds are reversed: min {low} is more than max {high}"
            )
        if name in texts(fields.get("depends_on")):
            place = texts(fields["depends_on"]).index(name)
            yield Finding(("services", name, "depends_on", place), "a service does not depend on itself")
        yield from _watched(str(name), fields, targets)
        if "cluster" not in fields and fields.get("runtime") != "none" and "sandbox" not in targets:
            yield Finding(("services", name), "`cluster:` is missing: say which of the targets runs it")


def _watched(name: str, fields: Any, there: Any) -> Iterator[Finding]:
    """A figure that nobody can be asked for, and one that is to be followed and is not there."""
    if mapping(fields).get("watch") is not None and not mapping(fields, "sli"):
        yield Finding(("services", name, "watch"), "there is nothing to follow: the service has no `sli`")
    if not mapping(fields, "sli"):
        return
    chosen = mapping(fields, "sli").get("target")
    places = [chosen] if isinstance(chosen, str) else list(there)
    drivers = [str(mapping(there, place).get("driver")) for place in places if place in there]
    if drivers and not any("prometheus" in targets.serves(driver) for driver in drivers):
        path = ("services", name, "sli", *(["target"] if isinstance(chosen, str) else []))
        yield Finding(path, "no Prometheus answers that: name a target with the driver prometheus")


def _approvals(data: Any) -> Iterator[Finding]:
    approvers = [path[1] for path, role in each(data, "people.*.roles.*") if role == "approver"]
    quorum = mapping(data, "approvals", "quorum")
    raised = [count for _, count in each(data, "approvals.raises.*.approvals")]
    raised += [count for _, count in each(data, "services.*.approvals.*")]
    wanted = [quorum.get("danger", 2), quorum.get("change", 1), *raised]
    most = max((n for n in wanted if isinstance(n, int)), default=2)
    if isinstance(data, dict) and "people" in data and len(set(approvers)) < most:
        there = "nobody is an approver" if not approvers else f"only {len(set(approvers))} can approve"
        yield Finding(
            ("people",),
            f"{there}, and some changes need {most} approvals; give more people `roles: [approver]`",
        )
    terms = mapping(data, "approvals")
    expires, widen = seconds(terms.get("expires", "15m")), seconds(terms.get("widen_after", "3m"))
    if expires and widen is not None and widen >= expires:
        key = "widen_after" if "widen_after" in terms else "expires"
        yield Finding(("approvals", key), "the other approvers would be asked only when the request is void")
    environments = {"production"}
    for section in ("services", "redis", "postgres", "mongo"):
        environments |= {environment for _, environment in each_text(data, f"{section}.*.environment")}
    for path, word in each_text(data, "approvals.raises.*.environment"):
        if word not in environments:
            yield Finding(path, unknown("environment", word, sorted(environments)))


def _commands(data: Any, commands: Collection[str]) -> Iterator[Finding]:
    """A misspelt command would raise nothing, and nobody would notice."""
    if not commands:
        return
    named: list[tuple[KeyPath, str]] = list(each_text(data, "approvals.raises.*.command"))
    named += [(path, str(path[-1])) for path, _ in each(data, "services.*.approvals.*")]
    for path, name in named:
        if name not in commands:
            yield Finding(path, unknown("command", name, commands))
    firsts = {name.partition(" ")[0] for name in commands} - {"incident"}
    for path, word in each_text(data, "platforms.slack.prefix"):
        if word in firsts:
            yield Finding(path, f"/{word} is a command already; take another word")
