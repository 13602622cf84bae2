"""The post-mortem and the transcript as JSON values, after templates/export/postmortem.schema.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from incidents.metrics import Metrics
from incidents.report import PROMPTS, Report
from incidents.timeline import Message, Row
from incidents.wording import Wording

FORMAT = "watchbell/post-mortem/1"


def post_mortem(report: Report, wording: Wording, zone: str) -> dict[str, Any]:
    """Everything that the post-mortem says; times are RFC 3339 in UTC, durations seconds."""
    return {
        "format": FORMAT,
        "generated_at": moment(report.as_of),
        "zone": zone,
        "incident": _incident(report),
        "metrics": _metrics(report.metrics),
        "severities": _all(report.severities),
        "phases": [{**_plain(phase), "seconds": phase.seconds} for phase in report.phases],
        "alerts": _all(report.alerts),
        "impact": _all(report.impact),
        "causes": _all(report.causes),
        "resolutions": _all(report.resolutions),
        "changes": _all(report.changes),
        "action_items": _all(report.items),
        "participants": [
            {"person": p.person, "display": wording.name(p.person), "roles": list(p.roles)}
            for p in report.participants
        ],
        "runbook_updates": [{**_plain(update), "text": update.text} for update in report.runbook_updates],
        "prompts": {heading: list(questions) for heading, questions in PROMPTS.items()},
        "timeline": [_row(row) for row in report.rows],
    }


def conversation(report: Report, messages: Iterable[Message], zone: str) -> dict[str, Any]:
    """The transcript."""
    return {
        "format": "watchbell/transcript/1",
        "generated_at": moment(report.as_of),
        "zone": zone,
        "incident": {"number": report.number, "title": report.title},
        "messages": [_message(message) for message in messages],
    }


def moment(at: datetime) -> str:
    """RFC 3339, UTC, with a Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


_INCIDENT = (
    *("number", "title", "state", "severity", "rank", "service", "services", "private", "drill", "major"),
    *("opened_at", "opened_by", "owner", "since", "resolved_at", "closed_at", "merged_into", "linked"),
    "unclear",
)


def _incident(report: Report) -> dict[str, Any]:
    return {name: _value(getattr(report, name)) for name in _INCIDENT}


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return _plain(metrics)


def _row(row: Row) -> dict[str, Any]:
    links = [{"label": label, "url": url} for label, url in row.links]
    return {**_plain(row), "links": links, "text": row.text}


def _message(message: Message) -> dict[str, Any]:
    return {**_plain(message, leave="replies"), "replies": [_message(reply) for reply in message.replies]}


def _all(items: Iterable[Any]) -> list[dict[str, Any]]:
    return [_plain(item) for item in items]


def _plain(item: Any, leave: str = "") -> dict[str, Any]:
    return {f.name: _value(getattr(item, f.name)) for f in fields(item) if f.name != leave}


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return _plain(value) if hasattr(value, "__dataclass_fields__") else value
