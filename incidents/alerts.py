"""Alerts as every source hands them over: what they are, how they are told apart, and how they are grouped."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

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

# Blanks of every kind become one space. Controls, halves of surrogate pairs, non-characters, and what turns the
# direction of the text around it, go.
_DROPPED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One status of one alert. `fingerprint` and `starts_at` name the episode.

    `starts_at` is None where the sender did not say: then it is the episode that fires, else one that begins now.
    `severity` and `service` are the sender's words. `unclear` names what of it could not be understood.
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
