"""The settings as the bot has them: frozen, checked, in the domain's own types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

from commands.catalogue import Catalogue, Service
from incidents.oncall import Roster
from incidents.policy import Policy

# Whoever may do the one may do the others, too.
IMPLIED: Mapping[str, frozenset[str]] = {
    "reporter": frozenset(["reporter"]),
    "responder": frozenset(["responder", "reporter"]),
    "approver": frozenset(["approver", "reporter"]),
}
# Nothing in a file goes below: a danger takes two different people.
NEVER_BELOW: Mapping[str, int] = {"change": 1, "danger": 2}


@dataclass(frozen=True, slots=True)
class PersonSettings:
    """Somebody the bot knows; `ids` is platform → account, `contacts` are (sms|phone|push|mail, address)."""

    name: str
    display: str
    title: str = ""
    roles: frozenset[str] = frozenset()
    zone: str = "UTC"
    ids: Mapping[str, str] = field(default_factory=dict)
    contacts: tuple[tuple[str, str], ...] = ()

    def can(self, role: str) -> bool:
        """Whether one of this person's roles is, or implies, `role`; "anyone" is everybody's."""
        return role == "anyone" or any(role in IMPLIED[mine] for mine in self.roles)


@dataclass(frozen=True, slots=True)
class OutsideContact:
    """Somebody outside of the rota whom a responder may have to call."""

    name: str
    title: str
    phone: str = ""
    mail: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """Channels by name, with their #; changes may be asked for in `ops`, `team` hears what is minor.

    `bridge`: with several chats an incident has a channel in each of them.
    """

    ops: tuple[str, ...]
    team: str
    extra: tuple[str, ...] = ()
    bridge: bool = True

    @property
    def all(self) -> tuple[str, ...]:
        """Every configured channel, once, the operations channels first."""
        return tuple(dict.fromkeys((*self.ops, self.team, *self.extra)))


@dataclass(frozen=True, slots=True)
class Raise:
    """More approvals where everything that is given fits; None fits all."""

    approvals: int
    command: str | None = None
    service: str | None = None
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalSettings:
    """How changes are approved; `quorum` and `break_glass_delay` go by effect (change, danger)."""

    expires: timedelta
    widen_after: timedelta
    undo_window: timedelta
    quorum: Mapping[str, int]
    raises: tuple[Raise, ...]
    break_glass: tuple[str, ...]
    break_glass_delay: Mapping[str, timedelta]
    never_below: Mapping[str, int] = field(default_factory=lambda: dict(NEVER_BELOW))

    def needed(self, effect: str, *, command: str, service: Service | None, environment: str) -> int:
        """How many people have to approve: the highest of all that applies."""
        counts = [self.quorum[effect], self.never_below[effect]]
        if service is not None:
            counts.append(service.approvals.get(command, 0))
        name = service.name if service is not None else None
        for rule in self.raises:
            wanted = (rule.command, rule.service, rule.environment)
            found = (command, name, environment)
            if all(w in (None, f) for w, f in zip(wanted, found, strict=True)):
                counts.append(rule.approvals)
        return max(counts)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    person_per_minute: int
    channel_per_minute: int
    person_pages_per_hour: int


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A sender of alerts; without a token (the example) it is refused everything."""

    name: str
    kind: str
    token: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What becomes of alerts; one that is not understood opens at its policy's `default_severity`."""

    group_by: tuple[str, ...]
    auto_resolve: bool
    max_bytes: int
    sources: Mapping[str, SourceSettings]


@dataclass(frozen=True, slots=True)
class RedactionSettings:
    """What never reaches log or chat: patterns, and `values` that are secrets of this process.

    `redis_readable` are key patterns whose values anybody may read, `redis_refused` those that nobody may.
    """

    patterns: tuple[str, ...]
    values_env: tuple[str, ...]
    redis_readable: tuple[str, ...]
    redis_refused: tuple[str, ...]
    values: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Where the web server listens (port 0 takes a free one), its other host names, and its password."""

    host: str
    port: int
    hosts: tuple[str, ...] = ()
    password: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was configured. `pager` is contact method → address of its service for Apprise.

    In `targets`, `platforms` and databases a secret is a SecretStr: what the file calls `token_env` stands beside
    it as `token` (None where tokens were not asked for).
    """

    origin: str
    zone: str
    people: Mapping[str, PersonSettings]
    roster: Roster
    policies: Mapping[str, Policy]
    default_policy: str
    catalogue: Catalogue
    postgres: Mapping[str, Mapping[str, Any]]
    mongo: Mapping[str, Mapping[str, Any]]
    channels: ChannelSettings
    contacts: tuple[OutsideContact, ...]
    approvals: ApprovalSettings
    limits: LimitSettings
    alerts: AlertSettings
    redaction: RedactionSettings
    web: WebSettings
    pager: Mapping[str, SecretStr | None]
    targets: Mapping[str, Mapping[str, Any]]
    platforms: Mapping[str, Mapping[str, Any]]
    # person → roles that the chats' groups give now; the one thing here that changes (see bot/grants.py)
    grants: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)

    def roles(self, person: str) -> frozenset[str]:
        """The roles of somebody, configured and by group; empty for somebody unknown."""
        found = self.people.get(person)
        return found.roles | self.grants.get(person, frozenset()) if found is not None else frozenset()

    def can(self, person: str, role: str) -> bool:
        """Whether somebody has a role; nobody unknown has one."""
        if role == "anyone":
            return True
        return any(role in IMPLIED[mine] for mine in self.roles(person))

    def with_role(self, role: str) -> tuple[str, ...]:
        """Everybody with a role, in the order of the configuration."""
        return tuple(name for name in self.people if self.can(name, role))

    def person_of(self, platform: str, account: str) -> PersonSettings | None:
        """Whose account on a platform this is; only what is listed counts."""
        return next((p for p in self.people.values() if p.ids.get(platform) == account), None)

    def policy_for(self, service: str | None, labels: Mapping[str, str]) -> Policy:
        """The service's policy, else the first one with a label of the alert, else the default."""
        found = self.catalogue.service(service) if service else None
        if found is not None and found.policy:
            return self.policies[found.policy]
        for policy in self.policies.values():
            if any(labels.get(label) in values for label, values in policy.alert_labels.items()):
                return policy
        return self.policies[self.default_policy]
