"""Alerts from anything that can post JSON: title, severity, service, status, key (docs/alerts.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bot.sources import Fields, plain, read_object, shown
from incidents.alerts import NAMELESS, Alert, Notification, fingerprint


def parse(body: bytes, *, now: datetime) -> Notification:
    """The one alert of a call; UnreadableError only where the body is no JSON object."""
    fields = Fields(read_object(body))
    title, key = fields.text("title"), fields.text("key")
    service = fields.text("service")
    severity = fields.text("severity")
    own = {"alertname": title, "service": service, "severity": severity}
    labels = fields.texts("labels", "alertname", "service") | {
        name: word for name, word in own.items() if word
    }
    if not title:
        fields.doubt(f"an alert without a title: {shown(fields.data)}")
    alert = Alert(
        fingerprint=_fingerprint(fields, title, key),
        starts_at=None,
        firing=_fires(fields),
        name=title or NAMELESS,
        severity=severity,
        service=service,
        summary=title,
        labels=labels,
        url=fields.url("url"),
    )
    alert = replace(alert, unclear=tuple(fields.unclear))
    return Notification(source="generic", group_key=key, alerts=(alert,))


def _fires(fields: Fields) -> bool:
    """An alert without a status fires."""
    return fields.data.get("status") is None or fields.status("status", otherwise=True)


def _fingerprint(fields: Fields, title: str, key: str) -> str:
    """By its key, else by title and service, else by everything that it says."""
    if key:
        return fingerprint("key", key)
    if title:
        return fingerprint("title", title, plain(fields.data.get("service")))
    return fingerprint(
        "rest", plain({name: value for name, value in fields.data.items() if name != "status"})
    )
