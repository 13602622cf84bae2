"""Alerts as every source hands them over, and what opening an incident from them needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of one notification; `unclear` says in words what of it could not be understood."""

    fingerprint: str
    starts_at: datetime
    firing: bool
    name: str
    severity: str = ""
    service: str = ""
    summary: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    unclear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notification:
    """What one webhook call brought: alerts that belong together by `group_key`."""

    source: str
    group_key: str
    alerts: tuple[Alert, ...]
    truncated: int = 0
    unclear: tuple[str, ...] = ()
