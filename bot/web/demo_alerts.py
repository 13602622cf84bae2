"""The sandbox's alert menu: bodies as Alertmanager sends them (webhook version 4), fired and resolved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from bot.platforms.console_store import ConsoleStore

RECEIVER = "watchbell"
NEVER = "0001-01-01T00:00:00Z"  # what Alertmanager sends as the end of an alert that still fires


@dataclass(frozen=True, slots=True)
class DemoAlert:
    """One entry of the menu."""

    key: str
    title: str
    note: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


ALERTS = (
    DemoAlert(
        "redis-down",
        "RedisDown",
        "critical · realtime",
        {"alertname": "RedisDown", "severity": "critical", "service": "realtime", "job": "redis"},
        {
            "summary": "Redis is down",
            "description": "redis:6379 has not answered for one minute; realtime sheds connections.",
        },
    ),
    DemoAlert(
        "error-rate",
        "HighErrorRate",
        "high · realtime",
        {"alertname": "HighErrorRate", "severity": "high", "service": "realtime", "code": "503"},
        {"summary": "18 % of requests fail", "description": "Above 5 % for ten minutes."},
    ),
    DemoAlert(
        "instance-manager",
        "InstanceManagerDown",
        "critical · instance-manager",
        {"alertname": "InstanceManagerDown", "severity": "critical", "service": "instance-manager"},
        {"summary": "The instance manager is down", "description": "No scrape since two minutes."},
    ),
    DemoAlert(
        "odd",
        "An alert with odd labels",
        "unknown severity and service",
        {
            "alertname": "Größe <b>überschritten</b> `rm -rf` @alice",
            "severity": "rather bad",
            "service": "no-such-service",
            "pod-name": "\u202eevil\u202c",
        },
        {"summary": "https://example.com/?a=1&b=<2>"},
    ),
)


class AlertMenu:
    """Which demo alerts fire at the moment; kept with the chat, so that a restart can still resolve them."""

    def __init__(self, store: ConsoleStore) -> None:
        self._store = store

    def firing(self, key: str) -> datetime | None:
        """Since when this one fires."""
        since = self._store.notes.get(f"alert:{key}")
        return datetime.fromisoformat(since) if since else None

    def body(self, key: str, now: datetime, *, resolve: bool) -> bytes:
        """What Alertmanager would post now; KeyError for a strange key, or for resolving what never fired."""
        alert = next((a for a in ALERTS if a.key == key), None)
        since = self.firing(key)
        if alert is None or (resolve and since is None):
            raise KeyError(key)
        return webhook(alert, since=since or now - timedelta(seconds=30), ended=now if resolve else None)

    def sent(self, key: str, now: datetime, *, resolve: bool) -> None:
        """Remember what was accepted."""
        if resolve:
            self._store.note(f"alert:{key}", None)
        elif self.firing(key) is None:
            self._store.note(f"alert:{key}", (now - timedelta(seconds=30)).isoformat())


def webhook(alert: DemoAlert, *, since: datetime, ended: datetime | None) -> bytes:
    """The body of the webhook, with the one alert in it."""
    labels = dict(sorted({**alert.labels, "cluster": "sandbox"}.items()))
    status = "firing" if ended is None else "resolved"
    group = {"alertname": labels["alertname"], "service": labels["service"]}
    return orjson.dumps(
        {
            "receiver": RECEIVER,
            "status": status,
            "alerts": [
                {
                    "status": status,
                    "labels": labels,
                    "annotations": dict(alert.annotations),
                    "startsAt": _time(since),
                    "endsAt": NEVER if ended is None else _time(ended),
                    "generatorURL": "http://prometheus.sandbox:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
                    "fingerprint": _fingerprint(labels),
                }
            ],
            "groupLabels": group,
            "commonLabels": labels,
            "commonAnnotations": dict(alert.annotations),
            "externalURL": "http://alertmanager.sandbox:9093",
            "version": "4",
            "groupKey": "{}:" + _selector(group),
            "truncatedAlerts": 0,
        }
    )


def _time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fingerprint(labels: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(labels)).hexdigest()[:16]


def _selector(labels: Mapping[str, str]) -> str:
    pairs = (f"{name}={orjson.dumps(value).decode()}" for name, value in sorted(labels.items()))
    return "{" + ", ".join(pairs) + "}"
