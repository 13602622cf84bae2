"""Alerts as every source hands them over, and what an incident makes of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from incidents import events as e
from incidents import life
from incidents.incident import Incident, fold
from incidents.oncall import Roster
from incidents.policy import Policy, Severity
from incidents.wording import listed

NAMELESS = "an alert without a name"
MOST_ALERTS = 1000  # of one notification; how many more there were is said
MOST_LABELS = 50  # of one alert
MOST_UNCLEAR = 12
LONGEST_NAME = 100
LONGEST_TEXT = 500
LONGEST_URL = 2000
LONGEST_UNCLEAR = 160
# Sources read longer texts than are kept, so that no secret is cut in half before it is redacted.
LONGEST_READ = 5000

# Controls, halves of surrogate pairs, non-characters, and what turns the direction of the text around it.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One status of one alert; `fingerprint` and `starts_at` name the episode.

    `starts_at` is None where the sender did not say: then the episode that fires is meant, else one that
    begins now. `severity` and `service` are the sender's words. `unclear` names what was not understood.
    """

    fingerprint: str
    starts_at: datetime | None
    firing: bool
    name: str = NAMELESS
    severity: str = ""
    service: str = ""
    summary: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    unclear: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What an incident that this alert opens is called."""
        return self.summary or self.name


@dataclass(frozen=True, slots=True)
class Notification:
    """What one webhook call brought: alerts that belong together, by the sender's `group_key` if it has one.

    `truncated` counts the alerts that the sender, or the bound above, cut off.
    """

    source: str
    group_key: str
    alerts: tuple[Alert, ...]
    truncated: int = 0
    unclear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Episode:
    """An alert that began to fire, with the policy and severity that it would open at if it came alone."""

    alert: Alert
    starts_at: datetime
    policy: Policy
    severity: Severity
    service: str | None
    doubts: tuple[str, ...]


def tidy(text: str, limit: int = LONGEST_READ) -> str:
    """The text on one line, without what cannot be seen, and no longer than `limit`."""
    plain = " ".join(_DROPPED.sub("", text[: limit * 4]).split())
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def fingerprint(*identity: str) -> str:
    """Sixteen hexadecimal digits that name exactly this."""
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]


def group_key(source: str, alert: Alert, labels: Sequence[str]) -> str:
    """The source, and the alert's values of these labels: alerts with the same key belong together."""
    return json.dumps([source, *(alert.labels.get(label, "") for label in labels)], ensure_ascii=False)


def kept(alert: Alert, redact: Callable[[str], str]) -> Alert:
    """The alert as it may be recorded: without secrets, and no text longer than people can use."""

    def text(value: str, limit: int = LONGEST_TEXT) -> str:
        return tidy(redact(value), limit)

    labels = list(alert.labels.items())[:MOST_LABELS]
    return replace(
        alert,
        fingerprint=alert.fingerprint
        if redact(alert.fingerprint) == alert.fingerprint
        else fingerprint(alert.fingerprint),
        name=text(alert.name, LONGEST_NAME) or NAMELESS,
        severity=text(alert.severity, LONGEST_NAME),
        service=text(alert.service, LONGEST_NAME),
        summary=text(alert.summary),
        labels={text(key, LONGEST_NAME): text(value) for key, value in labels},
        url=redact(alert.url) if len(alert.url) <= LONGEST_URL else "",
        unclear=tuple(redact(word) for word in alert.unclear),
    )


def unclear(words: Iterable[str]) -> tuple[str, ...]:
    """Each thing that was not understood once, and not too many of them."""
    found = list(dict.fromkeys(tidy(word, LONGEST_UNCLEAR) for word in words))
    if len(found) <= MOST_UNCLEAR:
        return tuple(found)
    return (*found[: MOST_UNCLEAR - 1], f"{len(found) - MOST_UNCLEAR + 1} more things")


# -- decisions ------------------------------------------------------------------------------------


def judge(alert: Alert, starts_at: datetime, *, policy: Policy, service: str | None) -> Episode:
    """The episode as the configuration understands it; what it does not know opens at the default."""
    severity = policy.severity(alert.severity) if alert.severity else None
    doubts = []
    if severity is None:
        told = f"the severity “{alert.severity}”" if alert.severity else "no severity"
        doubts.append(f"{told}, taken as {policy.default.name}")
    if alert.service and service is None:
        doubts.append(f"the service “{alert.service}”")
    return Episode(alert, starts_at, policy, severity or policy.default, service, tuple(doubts))


def worst(episodes: Sequence[Episode]) -> Episode:
    """The first of those with the worst severity."""
    return min(episodes, key=lambda episode: episode.severity.rank)


def open_for(
    episodes: Sequence[Episode],
    notification: Notification,
    *,
    number: int,
    now: datetime,
    group: str,
    linked: int | None,
) -> list[e.Event]:
    """Open an incident for all of them, with the title, policy and severity of the worst."""
    lead = worst(episodes)
    services = tuple(dict.fromkeys(episode.service for episode in episodes if episode.service))
    opened = life.open_incident(
        number=number,
        title=lead.alert.title,
        severity=lead.severity,
        policy=lead.policy,
        by=notification.source,
        now=now,
        service=lead.service or next(iter(services), None),
        services=services,
        group_key=group,
        linked=linked,
        unclear=doubts(episodes, notification),
    )
    return [*opened, *_attached(episodes, by=notification.source, now=now)]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an incident's log says already: the source's notes, and the severities of its alerts.

    They are asked for where they are needed, which is seldom.
    """

    notes: Callable[[], Collection[str]]
    severities: Callable[[], Collection[str]]


def join(
    i: Incident,
    episodes: Sequence[Episode],
    notification: Notification,
    *,
    now: datetime,
    policy: Policy,
    earlier: Earlier,
) -> list[e.Event]:
    """Attach them to an incident, which is reopened if it was resolved, and raised if they are worse."""
    by = notification.source
    why = f"{worst(episodes).alert.name} fires again"
    found = [] if i.open else life.reopen(i, by=by, now=now, policy=policy, why=why)
    found += _attached(episodes, by=by, now=now)
    new = [doubt for doubt in doubts(episodes, notification) if doubt not in i.unclear]
    said = earlier.notes() if new else ()
    new = [doubt for doubt in new if not any(doubt in text for text in said)]
    if new:
        found += life.note(i, by=by, now=now, text=f"Not understood: {listed(new)}")
    after = i
    for event in found:
        after = fold(after, event) or after
    return found + _raised(after, episodes, by=by, now=now, policy=policy, earlier=earlier)


def _raised(
    i: Incident, episodes: Sequence[Episode], *, by: str, now: datetime, policy: Policy, earlier: Earlier
) -> list[e.Event]:
    """Raise the severity where an alert is worse than the incident, and than all its alerts before.

    So what somebody lowered stays lowered while the same things go on.
    """
    ranked = [(policy.severity(episode.alert.severity) or policy.default, episode) for episode in episodes]
    severity, episode = min(ranked, key=lambda pair: pair[0].rank)
    if severity.rank >= i.rank:
        return []
    before = [(policy.severity(word) or policy.default).rank for word in earlier.severities()]
    if severity.rank >= min(before, default=i.rank):
        return []
    why = f"{episode.alert.name} is {severity.name}"
    return life.change_severity(i, by=by, now=now, severity=severity, policy=policy, why=why)


def _attached(episodes: Sequence[Episode], *, by: str, now: datetime) -> list[e.Event]:
    return [
        e.AlertAttached(
            at=now,
            actor=by,
            source=by,
            fingerprint=episode.alert.fingerprint,
            starts_at=episode.starts_at,
            name=episode.alert.name,
            summary=episode.alert.summary,
            severity=episode.alert.severity,
            service=episode.service,
            labels=dict(episode.alert.labels),
            url=episode.alert.url,
        )
        for episode in episodes
    ]


def doubts(episodes: Sequence[Episode], notification: Notification) -> tuple[str, ...]:
    """Everything that was not understood, the most important first."""
    cut = notification.truncated
    more = (
        [f"{cut} more {'alert' if cut == 1 else 'alerts'}, which {notification.source} cut off"]
        if cut
        else []
    )
    judged = [doubt for episode in episodes for doubt in episode.doubts]
    read = [doubt for episode in episodes for doubt in episode.alert.unclear]
    return unclear([*more, *judged, *notification.unclear, *read])


def declare_major_for(
    i: Incident, known: Collection[str], *, by: str, now: datetime, policy: Policy, roster: Roster
) -> list[e.Event]:
    """Declare a major outage where the policy does so, and one of several services was not `known` before."""
    if not policy.auto_major or i.major or len(i.services) < 2 or set(i.services) <= set(known):
        return []
    why = f"several services are affected: {listed(i.services)}"
    return life.declare_major(i, by=by, now=now, on=True, why=why, policy=policy, roster=roster)


def may_reopen(i: Incident, policy: Policy, now: datetime) -> bool:
    """Whether it was resolved, not closed, so lately that an alert firing again reopens it."""
    if i.resolved_at is None or i.closed_at is not None or i.merged_into is not None:
        return False
    return now - i.resolved_at < timedelta(seconds=policy.reopen_within)


def clear(
    i: Incident, ended: Mapping[str, tuple[str, datetime]], *, by: str, now: datetime, certain: bool
) -> list[e.Event]:
    """End episodes, given as fingerprint → name and begin; one of which a later one fires is passed over.

    The last is `all_clear` where nothing fires any more; not `certain`: more may fire than is known.
    """
    over = {}
    for fingerprint_, (name, begin) in ended.items():
        known = i.alerts.get((by, fingerprint_))
        if known is None or not known.firing or known.starts_at <= begin:
            over[fingerprint_] = name, begin
    left = any(alert.firing for key, alert in i.alerts.items() if key not in {(by, name) for name in over})
    return [
        e.AlertCleared(
            at=now,
            actor=by,
            source=by,
            fingerprint=fingerprint_,
            starts_at=begin,
            name=name,
            all_clear=certain and not left and place == len(over),
        )
        for place, (fingerprint_, (name, begin)) in enumerate(over.items(), 1)
    ]


def resolve_for(i: Incident, *, by: str, now: datetime) -> list[e.Event]:
    """Resolve by the alerts alone; nobody has looked, so that acknowledges nothing."""
    found = life.resolve(i, by=by, now=now, text="all alerts are resolved")
    return [event for event in found if isinstance(event, e.Resolved)]
