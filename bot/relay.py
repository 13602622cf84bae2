"""What people write in an incident's channel in one chat, as it is said in its channels in the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from bot.answers import laid_out
from bot.chat import Deletion, Edit, Request, Say
from bot.copies import copy_of
from bot.ways import chat_name
from commands.actions import Answer
from commands.case import File
from commands.dispatch import Place


def said(request: Request, author: str, place: Place, *, late: datetime | None) -> Say:
    """A message with its author and chat; `late` is when it was written, where that is a while ago."""
    data = {
        "author": author,
        "about": [chat_name(request.platform), *([request.barred] if request.barred else [])],
        "at": late,
        "text": request.text,
        "files": list(request.files),
        "changed": "",
    }
    return copied(Say(_where(place), template="relayed", data=data), request, place)


def copied(say: Say, request: Request, place: Place) -> Say:
    """Said in the other chats only, as the copy of what was typed."""
    ref = copy_of(place.channel, str(request.message_id))
    return replace(say, ref=ref, thread=place.thread, home=place.channel, others=True)


def changed(act: Edit | Deletion, author: str, text: str, place: Place) -> Say:
    """The copy as it reads once its message was edited or deleted."""
    data = {
        "author": author,
        "about": [chat_name(act.platform)],
        "at": None,
        "text": text,
        "files": [],
        "changed": "edited" if isinstance(act, Edit) else "deleted",
    }
    ref = copy_of(place.channel, act.message_id)
    return Say(
        _where(place), op="edit", template="relayed", data=data, ref=ref, home=place.channel, others=True
    )


def answer(given: Answer, place: Place, ref: str) -> Say:
    """An answer as the other chats see it; what is a file stays where it was asked for, and is named."""
    data, upload = laid_out(given)
    return _shown("answer_elsewhere", data, place, ref, upload.name if upload is not None else "")


def file(given: File, place: Place, ref: str) -> Say:
    """What is told with a file, which stays where it was asked for."""
    data = {"headline": given.text, "links": [], "lines": [], "block": "", "total": 0}
    return _shown("answer_elsewhere", data, place, ref, given.name)


def answer_ref(message_id: str) -> str:
    """What the copies of an answer are remembered by: the message that asked for it."""
    return f"answer|{message_id}"


def _shown(template: str, data: dict[str, Any], place: Place, ref: str, name: str) -> Say:
    told = {**data, "file": name, "chat": chat_name(place.channel.partition(":")[0])}
    return Say(
        _where(place),
        template=template,
        data=told,
        ref=ref,
        thread=place.thread,
        home=place.channel,
        others=True,
    )


def _where(place: Place) -> str:
    return f"incident:{place.number}"
