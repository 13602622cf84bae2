"""The files that people posted, fetched from their chats for an export; nothing is made public for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bot.chat import Platform
from incidents.entries import Entry
from incidents.transcript import Message, transcript

MOST = 100_000_000  # bytes of all files of one export together
MISSING = "not-fetched.txt"


async def attachments(entries: Iterable[Entry], platforms: Mapping[str, Platform]) -> dict[str, bytes]:
    """Name in the archive → content; what could not be had is listed, with the reason, in `not-fetched.txt`."""
    found: dict[str, bytes] = {}
    missing: list[str] = []
    for number, (channel, name, file_id) in enumerate(_posted(transcript(entries)), 1):
        platform = platforms.get(channel.partition(":")[0])
        why = "its chat is not configured" if platform is None else ""
        if platform is not None:
            try:
                data = await platform.fetch(file_id)
            except Exception as error:  # noqa: BLE001 - the edge to a chat: an export without a file is one
                why = str(error) or type(error).__name__
            else:
                fits = sum(map(len, found.values())) + len(data) <= MOST
                why = "" if fits else f"all files together are more than {MOST // 1_000_000} MB"
                found |= {f"{number:03}-{safe(name)}": data} if fits else {}
        missing += [f"{number:03} {safe(name)}: {why}"] if why else []
    if missing:
        found[MISSING] = ("\n".join(missing) + "\n").encode()
    return found


def _posted(messages: Iterable[Message]) -> Iterator[tuple[str, str, str]]:
    """Channel, name and id of every file, in the order in which they were posted."""
    for message in messages:
        for name, file_id in zip(message.files, message.file_ids, strict=False):
            yield message.channel, name, file_id
        yield from _posted(message.replies)


def safe(name: str) -> str:
    """A file's name without what a file system could misread."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-")[-80:] or "file"
