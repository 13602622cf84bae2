"""Alertmanager's webhook, version 4: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.sources import Fields, plain, read_object, shown
from incidents.alerts import MOST_ALERTS, NAMELESS, Alert, Notification, fingerprint

_GIVEN = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def parse(body: bytes, *, now: datetime) -> Notification:
    """The alerts of a webhook call; UnreadableError only where the body is no JSON object."""
    top = Fields(read_object(body))
    firing = not _says_resolved(top.data.get("status"))
    raw = _alerts(top, firing)
    truncated = top.data.get("truncatedAlerts", 0)
    if isinstance(truncated, bool) or not isinstance(truncated, int) or not 0 <= truncated < 1_000_000_000:
        top.doubt(f"truncatedAlerts {shown(truncated)}")
        truncated = 0
    return Notification(
        source="alertmanager",
        group_key=plain(top.data.get("groupKey")),
        alerts=tuple(_alert(item, firing=firing) for item in raw[:MOST_ALERTS]),
        truncated=truncated + max(0, len(raw) - MOST_ALERTS),
        unclear=tuple(top.unclear),
    )


def _says_resolved(status: object) -> bool:
    return isinstance(status, str) and status.strip().casefold() == "resolved"


def _alerts(top: Fields, firing: bool) -> list[Any]:
    """The list of alerts; where it cannot be read, what all of them have in common stands for one."""
    raw = top.data.get("alerts")
    if isinstance(raw, list):
        return _firing_first(raw) if len(raw) > MOST_ALERTS else raw
    if raw is None and (not top.data or not firing):
        return []
    top.doubt("no list of alerts" if raw is None else f"the list of alerts {shown(raw)}")
    if isinstance(raw, dict):
        return [raw]
    common = top.data.get("commonLabels") or top.data.get("groupLabels")
    return [{"status": "firing", "labels": common, "annotations": top.data.get("commonAnnotations")}]


def _firing_first(raw: list[Any]) -> list[Any]:
    """Where some have to be cut off, those that are resolved."""
    return sorted(raw, key=lambda item: isinstance(item, dict) and _says_resolved(item.get("status")))


def _alert(raw: Any, *, firing: bool) -> Alert:
    """One alert; where it does not say whether it fires, the whole notification's status counts."""
    if not isinstance(raw, dict):
        doubt = f"an alert that is no object: {shown(raw)}"
        return Alert(fingerprint("no object", plain(raw)), None, firing, unclear=(doubt,))
    fields = Fields(raw)
    labels = fields.texts("labels", "alertname", "severity", "service")
    summary = fields.texts("annotations", "summary").get("summary", "")
    found = Alert(
        fingerprint=_fingerprint(fields),
        starts_at=fields.time("startsAt"),
        firing=fields.status("status", otherwise=firing),
        name=labels.get("alertname") or NAMELESS,
        severity=labels.get("severity", ""),
        service=labels.get("service", ""),
        summary=summary,
        labels=labels,
        url=fields.url("generatorURL"),
    )
    return replace(found, unclear=tuple(fields.unclear))


def _fingerprint(fields: Fields) -> str:
    """Alertmanager's own where there is one, else one made from what the alert is about."""
    given = fields.data.get("fingerprint")
    if isinstance(given, str) and given.strip():
        return given.strip() if _GIVEN.fullmatch(given.strip()) else fingerprint("given", given)
    if given not in (None, ""):
        fields.doubt(f"the fingerprint {shown(given)}")
    labels = fields.data.get("labels")
    if isinstance(labels, dict) and labels:
        return fingerprint("labels", plain(labels))
    return fingerprint("rest", plain(labels), plain(fields.data.get("annotations")))
