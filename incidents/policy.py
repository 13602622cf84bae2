"""Policies as data: severities, response clocks, escalation steps and the cadence of reminders."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

Do = Literal["page", "notify", "message"]
When = Literal["opened", "late", "unresolved"]

# In order: a later status satisfies the clocks of the earlier ones.
STATUSES = ("investigating", "identified", "resolving", "resolved")

# What a clock waits for, as people read it.
CLOCK_LABELS = {
    "acknowledged": "first response",
    "investigating": "start of the investigation",
    "updated": "first update",
    "resolved": "resolution",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One escalation: when it falls due, what is done, and on which rung of the ladder.

    `opened`: `after` seconds after the round began. `late`: `after` seconds after `clock` passed unmet.
    `unresolved`: `after` seconds after opening, acknowledged or not. `major`: only in a major outage.
    `if_not_yet`: not where somebody on that rung was paged before.
    """

    when: When
    do: Do
    to: str
    clock: str = "acknowledged"
    after: int = 0
    major: bool = False
    if_not_yet: bool = False

    @property
    def key(self) -> str:
        """The same step in two severities has the same key, so that a raise fires nothing twice."""
        clock = self.clock if self.when == "late" else ""
        return ":".join((self.when, clock, self.do, self.to))


@dataclass(frozen=True, slots=True)
class Severity:
    """One severity of a policy; `rank` 0 is the worst, durations are seconds."""

    name: str
    rank: int
    meaning: str = ""
    aliases: tuple[str, ...] = ()
    clocks: Mapping[str, int] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    remind_every: int | None = None
    unanswered: int | None = None  # after so many unanswered reminders …
    unanswered_page: tuple[str, ...] = ()  # … these rungs are paged ("owner" is the incident's)
    stakeholders_every: int | None = None  # customers and executives expect to hear
    status_page: Literal["yes", "significant", "if needed", "no"] = "no"

    def keyed_steps(self) -> Iterator[tuple[str, Step]]:
        """The steps with unique keys: a second equal one counts on."""
        seen: Counter[str] = Counter()
        for step in self.steps:
            seen[step.key] += 1
            yield (step.key if seen[step.key] == 1 else f"{step.key}#{seen[step.key]}"), step


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is paged when; `ladder` names the rungs from the first to the last, durations are seconds."""

    name: str
    severities: tuple[Severity, ...]
    default_severity: str
    ladder: tuple[str, ...]
    labels: Mapping[str, str] = field(default_factory=dict)  # rung → as people read it
    executives: tuple[str, ...] = ()  # rungs paged only by a major outage
    hold_above: str = ""  # with all alerts resolved, steps above this rung wait
    page_every: int = 300
    page_repeats: int = 5
    reopen_within: int = 1800
    auto_major: bool = False
    alert_labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # chosen by these labels

    def severity(self, word: str) -> Severity | None:
        """The severity that `word` names, by name or alias, whatever its case."""
        folded = word.strip().casefold()
        for severity in self.severities:
            if folded == severity.name.casefold() or folded in (a.casefold() for a in severity.aliases):
                return severity
        return None

    @property
    def default(self) -> Severity:
        """What an alert with an unknown severity opens at."""
        found = self.severity(self.default_severity)
        if found is None:
            raise ValueError(f"policy {self.name} has no severity {self.default_severity}")
        return found

    def label(self, rung: str) -> str:
        """The rung as people read it: `team_lead` → team lead."""
        return self.labels.get(rung, rung.replace("_", " "))

    def above(self, rung: str) -> tuple[str, ...]:
        """The rungs after `rung`, executives left out; the whole ladder where the rung is not on it."""
        if rung in self.executives:
            return ()
        ladder = tuple(r for r in self.ladder if r not in self.executives)
        return ladder[ladder.index(rung) + 1 :] if rung in ladder else ladder

    def held(self, rung: str) -> bool:
        """Whether a step to `rung` waits while all alerts are resolved."""
        if self.hold_above not in self.ladder or rung not in self.ladder:
            return False
        return self.ladder.index(rung) > self.ladder.index(self.hold_above)


def to_data(policy: Policy) -> dict[str, Any]:
    """Plain JSON data of a policy, for the log."""

    def plain(value: Any) -> Any:
        if hasattr(value, "__dataclass_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    data = plain(policy)
    assert isinstance(data, dict)
    return data


def from_data(data: Mapping[str, Any]) -> Policy:
    """The policy of `to_data`'s result."""

    def severity(raw: Mapping[str, Any]) -> Severity:
        values = dict(raw)
        values["steps"] = tuple(Step(**step) for step in raw["steps"])
        for name in ("aliases", "unanswered_page"):
            values[name] = tuple(raw[name])
        return Severity(**values)

    values = dict(data)
    values["severities"] = tuple(severity(raw) for raw in data["severities"])
    for name in ("ladder", "executives"):
        values[name] = tuple(data[name])
    values["alert_labels"] = {key: tuple(items) for key, items in data["alert_labels"].items()}
    return Policy(**values)


def digest(policy: Policy) -> str:
    """A short name for exactly this policy; incidents point at their snapshot by it."""
    text = json.dumps(to_data(policy), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seconds(delta: timedelta) -> int:
    """Whole seconds of a duration."""
    return int(delta.total_seconds())
