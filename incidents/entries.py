"""One incident as the log has it: entries of its streams, with what was scrubbed taken out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from incidents import events as e

SCRUBBED = "[scrubbed]"

# Fields that hold what somebody outside wrote; the rest are names, numbers and times.
_OUTSIDE = frozenset(
    {
        "title",
        "text",
        "why",
        "summary",
        "name",
        "labels",
        "url",
        "detail",
        "plan",
        "after",
        "observed",
        "reason",
    }
    | {"files", "unclear", "skipped"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of one incident: of its stream incident-N, its action-M streams, or chat-N."""

    position: int
    stream: str
    event: e.Event

    @property
    def at(self) -> datetime:
        """When it happened, UTC."""
        return self.event.at.astimezone(UTC)

    @property
    def action(self) -> int | None:
        """The number of the request, for entries of an action stream."""
        kind, _, number = self.stream.rpartition("-")
        return int(number) if kind == "action" and number.isascii() and number.isdigit() else None


def cleaned(entries: Iterable[Entry]) -> list[Entry]:
    """The entries in order of position; the scrubbed ones keep their time and actor and lose their words."""
    found = sorted(entries, key=lambda entry: entry.position)
    scrubs = [entry.event for entry in found if isinstance(entry.event, e.MessageScrubbed)]
    if not scrubs:
        return found
    positions = {position for scrub in scrubs for position in scrub.positions}
    messages = {scrub.message_id for scrub in scrubs if scrub.message_id}
    return [
        replace(entry, event=wiped(entry.event))
        if entry.position in positions or _message_id(entry.event) in messages
        else entry
        for entry in found
    ]


def is_wiped(event: e.Event) -> bool:
    """Whether `cleaned` took the words out of it."""
    return getattr(event, "text", None) == SCRUBBED


def wiped(event: e.Event) -> e.Event:
    """The event without what was written; its time, actor and numbers stay."""
    if isinstance(event, e.MessageScrubbed):
        return event
    changes = {f.name: _blank(getattr(event, f.name)) for f in fields(event) if f.name in _OUTSIDE}
    return replace(event, **changes)


def _blank(value: Any) -> Any:
    if isinstance(value, str):
        return SCRUBBED
    if isinstance(value, datetime) or value is None:
        return value
    return type(value)()


def _message_id(event: e.Event) -> str | None:
    found = getattr(event, "message_id", None)
    return found if isinstance(found, str) and not isinstance(event, e.MessageScrubbed) else None
