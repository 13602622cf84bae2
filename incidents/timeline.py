"""The timeline: what a reader of the post-mortem wants to know of one incident, in order of time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType

from incidents import change_sentences, sentences
from incidents import events as e
from incidents.change_sentences import Changes
from incidents.entries import SCRUBBED, Entry, cleaned
from incidents.sentences import Sentence
from incidents.transcript import Message, Revision, transcript
from incidents.wording import Wording

__all__ = ["Entry", "Message", "Revision", "Row", "rows", "transcript"]

AS_THEY_ARE: Mapping[str, str] = MappingProxyType({})
# What an edited `!note TEXT` message has before its text.
_NOTE = re.compile(r"\s*(?:@\S+\s+|[!/])(?:wb\s+)?(?:(?:incident|inc)\s+)?note\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the timeline; `at` is UTC and `position` the place in the log that it comes from.

    `lead` says what happened; `quote` is what somebody said with it, outside text as it came. `category`
    is life, alert, page, clock, update, action, note, people or review; `kind` one word that is finer. `who`
    are people concerned beside the actor, `links` pairs of label and address. A row whose message is `gone`
    ("deleted", "scrubbed") is a tombstone; `revisions` are earlier texts of the quote.
    """

    at: datetime
    actor: str
    kind: str
    category: str
    lead: str
    quote: str = ""
    who: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    position: int = 0
    action: int | None = None
    revisions: tuple[Revision, ...] = ()
    gone: str = ""

    @property
    def text(self) -> str:
        """The whole sentence."""
        return f"{self.lead}: {self.quote}" if self.quote else self.lead


@dataclass(slots=True)
class _Fate:
    """What became of a message on the timeline after it got there."""

    edits: list[tuple[int, datetime, str]] = field(default_factory=list)
    deleted_at: datetime | None = None
    unpinned: int = -1


def rows(
    entries: Iterable[Entry], *, people: Mapping[str, str] = AS_THEY_ARE, zone: tzinfo = UTC
) -> tuple[Row, ...]:
    """The timeline in order of time, ties in order of the log.

    `people` displays names, `zone` is that of the times told in sentences (`Row.at` stays UTC).
    """
    found = cleaned(entries)
    context = _context(found, Wording(people, zone))
    fates = _fates(found)
    result: list[Row] = []
    pinned: set[str] = set()
    for entry in found:
        event = entry.event
        if isinstance(event, e.MessagePinned):
            if entry.position < fates[event.message_id].unpinned or event.message_id in pinned:
                continue
            pinned.add(event.message_id)
        told = _told(entry, context)
        if told is not None:
            result.append(_row(entry, told, fates, context.wording))
        if isinstance(event, e.IncidentOpened) and event.since is not None:
            result.append(_impact_began(entry, event, context.wording))
    return tuple(sorted(result, key=lambda row: (row.at, row.position)))


def _told(entry: Entry, context: Changes) -> Sentence | None:
    """None for what a reader of the post-mortem does not miss."""
    event = entry.event
    if (of_change := change_sentences.RULES.get(type(event))) is not None:
        number = entry.action if entry.action is not None else getattr(event, "number", 0)
        return of_change(event, number, context)
    rule = sentences.RULES.get(type(event))
    return rule(event, context.wording) if rule is not None else None


def _context(entries: list[Entry], wording: Wording) -> Changes:
    proposals: dict[int, e.ActionProposed] = {}
    voted: set[int] = set()
    denied: set[int] = set()
    for entry in entries:
        if isinstance(entry.event, e.ActionProposed):
            number = entry.action if entry.action is not None else entry.event.number
            proposals.setdefault(number, entry.event)
        elif entry.action is not None and isinstance(entry.event, e.VoteCast):
            voted.add(entry.action)
        elif entry.action is not None and isinstance(entry.event, e.ActionDenied):
            denied.add(entry.action)
    return Changes(wording, proposals, frozenset(voted), frozenset(denied))


def _fates(entries: list[Entry]) -> dict[str, _Fate]:
    fates: dict[str, _Fate] = {}
    for entry in entries:
        event = entry.event
        if isinstance(event, e.NoteAdded | e.MessagePinned) and event.message_id is not None:
            fates.setdefault(event.message_id, _Fate())
    for entry in entries:
        event = entry.event
        if not isinstance(event, e.MessageEdited | e.MessageDeleted | e.MessageUnpinned):
            continue
        fate = fates.get(event.message_id)
        if fate is None:
            continue
        if isinstance(event, e.MessageEdited):
            fate.edits.append((entry.position, entry.at, event.text))
        elif isinstance(event, e.MessageDeleted):
            fate.deleted_at = entry.at
        else:
            fate.unpinned = entry.position
    return fates


def _row(entry: Entry, told: Sentence, fates: Mapping[str, _Fate], wording: Wording) -> Row:
    event = entry.event
    row = Row(
        at=entry.at,
        actor=event.actor,
        kind=told.kind,
        category=told.category,
        lead=told.lead,
        quote=told.quote,
        who=tuple(dict.fromkeys(told.who)),
        links=told.links,
        position=entry.position,
        action=entry.action,
        gone="scrubbed" if told.quote == SCRUBBED else "",
    )
    if isinstance(event, e.NoteAdded | e.MessagePinned) and event.message_id is not None:
        return _followed(row, event, fates[event.message_id], wording)
    return row


def _followed(row: Row, event: e.NoteAdded | e.MessagePinned, fate: _Fate, wording: Wording) -> Row:
    """The row of a message, with its later edits or its deletion."""
    if isinstance(event, e.MessagePinned):
        written = (event.written_at or event.at).astimezone(UTC)
        row = replace(row, at=written, lead=f"{row.lead} (pinned by {wording.name(event.actor)})")
    if row.gone:
        return row
    if fate.deleted_at is not None:
        lead = f"{row.lead}, deleted {wording.clock(fate.deleted_at, row.at)}"
        return replace(row, lead=lead, quote="", gone="deleted")
    texts = [Revision(row.at, row.quote)]
    for position, at, text in fate.edits:
        if position > row.position:
            plain = _NOTE.sub("", text, count=1) if isinstance(event, e.NoteAdded) else text
            texts.append(Revision(at, plain))
    return replace(row, quote=texts[-1].text, revisions=tuple(texts[:-1]))


def _impact_began(entry: Entry, event: e.IncidentOpened, wording: Wording) -> Row:
    assert event.since is not None
    lead = f"The impact began, says {wording.name(event.actor)}"
    return Row(event.since.astimezone(UTC), event.actor, "impact", "life", lead, position=entry.position)
