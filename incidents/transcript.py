"""What people wrote, whole: every message with its thread, its edits, and a tombstone where it is gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from incidents import events as e
from incidents.entries import SCRUBBED, Entry, cleaned


@dataclass(frozen=True, slots=True)
class Revision:
    """A text that was replaced, and when it was written."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it stands; `revisions` are its earlier texts, the oldest first.

    Deleted and scrubbed messages have no text and no revisions. `late` says that the bot heard of it late.
    """

    at: datetime
    author: str
    text: str
    channel: str
    message_id: str
    position: int
    thread: str | None = None
    files: tuple[str, ...] = ()
    file_ids: tuple[str, ...] = ()
    late: bool = False
    edited_at: datetime | None = None
    revisions: tuple[Revision, ...] = ()
    deleted_at: datetime | None = None
    deleted_by: str | None = None
    scrubbed_at: datetime | None = None
    scrubbed_by: str | None = None
    replies: tuple[Message, ...] = ()

    @property
    def gone(self) -> str:
        """ "scrubbed", "deleted" or nothing."""
        return "scrubbed" if self.scrubbed_at else "deleted" if self.deleted_at else ""


def transcript(entries: Iterable[Entry]) -> tuple[Message, ...]:
    """All messages in the order in which they were written, replies nested under what they answer."""
    found = cleaned(entries)
    threads = {entry.event.thread for entry in found if isinstance(entry.event, e.ChannelBound)}
    messages: dict[tuple[str, str], Message] = {}
    for entry in found:
        _apply(messages, entry)
    for entry in found:
        if isinstance(entry.event, e.MessageScrubbed):
            _scrub(messages, entry)
    return _nested(messages.values(), {thread for thread in threads if thread})


def _apply(messages: dict[tuple[str, str], Message], entry: Entry) -> None:
    event = entry.event
    if not isinstance(event, e.MessagePosted | e.MessageEdited | e.MessageDeleted):
        return
    key = event.channel, event.message_id
    before = messages.get(key)
    if isinstance(event, e.MessageDeleted):
        gone = before or Message(entry.at, event.actor, "", *key, entry.position)
        messages[key] = replace(
            gone,
            text="",
            files=(),
            file_ids=(),
            revisions=(),
            edited_at=None,
            deleted_at=entry.at,
            deleted_by=event.actor,
        )
    elif before is None:
        messages[key] = _posted(entry, event)
    elif isinstance(event, e.MessagePosted):
        messages[key] = _found_later(before, entry, event)
    elif not before.gone:
        written = before.edited_at or before.at
        revisions = (*before.revisions, Revision(written, before.text))
        messages[key] = replace(before, text=event.text, edited_at=entry.at, revisions=revisions)


def _posted(entry: Entry, event: e.MessagePosted | e.MessageEdited) -> Message:
    """A first sight of a message; of one that is known by its edit alone, the edit is all there is."""
    edited = isinstance(event, e.MessageEdited)
    return Message(
        at=entry.at,
        author=event.actor,
        text=event.text,
        channel=event.channel,
        message_id=event.message_id,
        position=entry.position,
        thread=None if isinstance(event, e.MessageEdited) else event.thread,
        files=() if isinstance(event, e.MessageEdited) else event.files,
        file_ids=() if isinstance(event, e.MessageEdited) else event.file_ids,
        late=not isinstance(event, e.MessageEdited) and event.late,
        edited_at=entry.at if edited else None,
    )


def _found_later(before: Message, entry: Entry, event: e.MessagePosted) -> Message:
    """A message that an import brings after its edit or deletion; the same one again changes nothing."""
    if not before.gone and (before.edited_at is None or before.revisions):
        return before
    revisions = () if before.gone else (Revision(entry.at, event.text),)
    return replace(
        before,
        at=min(entry.at, before.at),
        author=event.actor,
        thread=event.thread,
        files=() if before.gone else event.files,
        file_ids=() if before.gone else event.file_ids,
        late=event.late,
        revisions=revisions,
    )


def _scrub(messages: dict[tuple[str, str], Message], entry: Entry) -> None:
    assert isinstance(entry.event, e.MessageScrubbed)
    for key, message in messages.items():
        if key[1] == entry.event.message_id or message.position in entry.event.positions:
            messages[key] = replace(
                message,
                text=SCRUBBED,
                files=(),
                file_ids=(),
                revisions=(),
                scrubbed_at=entry.at,
                scrubbed_by=entry.event.actor,
            )


def _nested(messages: Iterable[Message], own_threads: set[str]) -> tuple[Message, ...]:
    """Replies under their parent; where that is not in the transcript, under the thread's first message."""
    ordered = sorted(messages, key=lambda message: (message.at, message.position))
    heads: dict[tuple[str, str], int] = {}  # message or thread → the top-level message that it belongs to
    top: list[Message] = []
    replies: list[list[Message]] = []
    for message in ordered:
        thread = message.thread if message.thread not in own_threads else None
        head = heads.get((message.channel, thread)) if thread and thread != message.message_id else None
        if head is None:
            head = len(top)
            top.append(message)
            replies.append([])
        else:
            replies[head].append(message)
        heads.setdefault((message.channel, message.message_id), head)
        if thread:
            heads.setdefault((message.channel, thread), head)
    return tuple(
        replace(message, replies=tuple(below)) if below else message
        for message, below in zip(top, replies, strict=True)
    )
