"""Alerts and silences as a real Alertmanager tells them (its API, version 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.targets.alertmanager_matchers import Matcher, from_data, written
from bot.targets.http_link import HttpLink
from commands.actions import Answer, Table, TargetError
from incidents.ports import Clock
from incidents.wording import Wording, span

BY = "watchbell"  # who made a silence, where it was the bot
_ROWS = 100


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence; `state` is active, pending or expired, `until` when it ends, as people read it."""

    id: str
    matchers: tuple[Matcher, ...]
    state: str
    ends: datetime
    until: str
    by: str
    comment: str

    @property
    def alive(self) -> bool:
        """Whether it silences something, now or from its begin on."""
        return self.state in ("active", "pending")

    @property
    def told(self) -> str:
        """`4f1c… of bob until 03:30 CET`."""
        return f"{self.id} of {self.by or 'nobody'} until {self.until}"


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires: its labels, since when, whether it is silenced or inhibited, and by which silences."""

    labels: Mapping[str, str]
    since: datetime
    quiet: str
    silences: tuple[str, ...] = ()


async def silences(link: HttpLink, clock: Clock, words: Wording) -> tuple[list[Silence], datetime]:
    """Every silence that is known, and what time it is there; TargetError where it cannot be told."""
    reply = await link.look("GET", "/api/v2/silences")
    try:
        found = [_silence(each, words, reply.at or clock.now()) for each in link.json(reply)]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise TargetError(f"{link.title} sent silences that nobody understands.") from error
    return found, reply.at or clock.now()


async def firing(link: HttpLink, found: Iterable[Matcher]) -> list[Firing]:
    """The alerts that fit, the newest first."""
    params = {"active": "true", "silenced": "true", "inhibited": "true", "filter": [str(m) for m in found]}
    raw = await link.data("GET", "/api/v2/alerts", params=params)
    try:
        alerts = [_firing(each) for each in raw]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise TargetError(f"{link.title} sent alerts that nobody understands.") from error
    return sorted(alerts, key=lambda alert: alert.since, reverse=True)


def alerts_answer(found: list[Firing], now: datetime) -> Answer:
    """What fires, as a table."""
    loud = sum(not alert.quiet for alert in found)
    quiet = f", {len(found) - loud} silenced or inhibited" if len(found) > loud else ""
    if not found:
        return Answer("alertmanager · no alert fires")
    alike: dict[str, list[Firing]] = {}
    for alert in found:
        alike.setdefault(alert.labels.get("alertname", ""), []).append(alert)
    rows = tuple(
        (
            alert.labels.get("alertname", "–"),
            alert.labels.get("service") or alert.labels.get("job") or "–",
            alert.labels.get("severity", "–"),
            span(max(0.0, (now - alert.since).total_seconds())),
            _apart(alert, alike[alert.labels.get("alertname", "")]),
        )
        for alert in found[:_ROWS]
    )
    quiet_ones = tuple(alert.quiet for alert in found[:_ROWS])
    table = Table(("ALERT", "SERVICE", "SEVERITY", "FOR", "WHERE"), rows, (3,), quiet_ones)
    return Answer(f"alertmanager · {loud} firing{quiet}", table=table, file_name="alerts.txt")


def _apart(alert: Firing, alike: list[Firing]) -> str:
    """What tells an alert from the others of its name: labels that differ, else its instance or pod."""
    told = {"alertname", "service", "job", "severity"}
    differ = [
        key
        for key in sorted(alert.labels.keys() - told)
        if any(other.labels.get(key) != alert.labels[key] for other in alike[:_ROWS])
    ]
    keys = differ or [key for key in ("instance", "pod") if key in alert.labels][:1]
    return " ".join(f"{key}={alert.labels[key]}" for key in keys[:2]) or "–"


def silences_answer(found: list[Silence], now: datetime, redact: Callable[[str], str]) -> Answer:
    """What is silent, and for how long still; `redact` takes secrets out of what people wrote there."""
    alive = sorted((s for s in found if s.alive), key=lambda s: s.ends)
    lines = tuple(
        f"{s.id}: {written(s.matchers)} for {span(max(0.0, (s.ends - now).total_seconds()))} more, "
        f"by {s.by or 'nobody'}{': ' if s.comment else ''}{redact(s.comment)[:200]}"
        for s in alive[:_ROWS]
    )
    return Answer(f"alertmanager · {len(alive)} silence{'s' if len(alive) != 1 else ''}", lines=lines)


def _silence(raw: Mapping[str, Any], words: Wording, now: datetime) -> Silence:
    ends = _time(raw["endsAt"])
    return Silence(
        id=str(raw["id"]),
        matchers=from_data(raw["matchers"]),
        state=str(raw["status"]["state"]),
        ends=ends,
        until=words.clock(ends, now),
        by=str(raw.get("createdBy", "")),
        comment=str(raw.get("comment", "")),
    )


def _firing(raw: Mapping[str, Any]) -> Firing:
    status = raw["status"]
    by = tuple(str(each) for each in status.get("silencedBy") or ())
    quiet = "silenced" if by else "inhibited" if status.get("inhibitedBy") else ""
    return Firing({str(k): str(v) for k, v in raw["labels"].items()}, _time(raw["startsAt"]), quiet, by)


def _time(text: Any) -> datetime:
    return datetime.fromisoformat(str(text)).astimezone(UTC)
