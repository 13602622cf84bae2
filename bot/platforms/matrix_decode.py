"""What Matrix tells becomes what people did: events to `Incoming`, without asking anybody.

The shapes are those of the "Client-Server API": m.room.message, m.reaction, m.room.redaction, m.replace, m.thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bot.chat import Deletion, Edit, Reaction, Request
from bot.platforms.matrix_directory import A_BOT
from bot.platforms.matrix_events import content_of, current, relation_of, root_of
from bot.platforms.matrix_text import decode, without_quote

NAME = "matrix"
UNREADABLE = "(could not be decrypted)"
IN_THE_CLEAR = "writing without encryption in an encrypted room"
FILES = frozenset({"m.file", "m.image", "m.video", "m.audio"})
_WRITTEN = frozenset({"m.text", "m.notice", "m.emote", "m.location"}) | FILES

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is needed to read an event: `people` by user id, the bot, what it is called, and the time now.

    `directs` are the rooms of direct messages, `barred` tells why an account may do nothing, `now` is in seconds
    (UTC), by the clock that `origin_server_ts` is compared with.
    """

    people: Mapping[str, str]
    bot: str
    names: tuple[str, ...]
    directs: Collection[str]
    barred: Callable[[str], str]
    now: float


def age(event: Event, now: float) -> float:
    """Seconds since an event, by the homeserver's own account ("unsigned.age") where it gives one."""
    told = (event.get("unsigned") or {}).get("age")
    if isinstance(told, int | float):
        return max(0.0, told / 1000)
    return max(0.0, now - float(event["origin_server_ts"]) / 1000)


def redacted(event: Event) -> bool:
    """Whether the event was taken back, and says nothing any more."""
    unsigned = event.get("unsigned") or {}
    return "redacted_because" in unsigned or "redacted_by" in unsigned


def redaction_target(event: Event) -> str:
    """The event that a redaction takes back: beside the content, which the homeserver writes in all rooms' versions.

    In the content since version 11 of rooms, and there only: before, it is what anybody wrote there.
    """
    return str(event.get("redacts") or content_of(event).get("redacts") or "")


def message(
    event: Event, room: str, reading: Reading, why: str = "", *, assured: bool = False
) -> Request | None:
    """A message that somebody wrote; None for what nobody wrote. `why` is a reason of the event's own to bar it.

    m.notice is what bots say, and no bot answers it ("m.notice").
    """
    content = content_of(event)
    kind = content.get("msgtype")
    if redacted(event) or kind not in _WRITTEN or not isinstance(content.get("body"), str):
        return None
    user = str(event["sender"])
    barred = reading.barred(user) or (A_BOT if kind == "m.notice" else "") or why
    names, idents = _files(content, room, str(event["event_id"]))
    return Request(
        platform=NAME,
        event_id=str(event["event_id"]),
        channel=room,
        user=user,
        age=age(event, reading.now),
        barred=barred,
        assured=assured,
        text=_text(content, reading, answers="m.in_reply_to" in relation_of(event)),
        message_id=str(event["event_id"]),
        thread=root_of(event),
        direct=room in reading.directs,
        files=names,
        file_ids=idents,
    )


def edit(event: Event, room: str, reading: Reading) -> Edit | None:
    """A message that replaces another one; None where it does not say with what."""
    relation, content = relation_of(event), content_of(event).get("m.new_content")
    if not isinstance(content, dict) or not isinstance(content.get("body"), str) or redacted(event):
        return None
    user = str(event["sender"])
    return Edit(
        platform=NAME,
        event_id=str(event["event_id"]),
        channel=room,
        user=user,
        age=age(event, reading.now),
        barred=reading.barred(user),
        message_id=str(relation["event_id"]),
        text=_text(content, reading, answers=False),
    )


def reaction(event: Event, room: str, reading: Reading, *, assured: bool = False) -> Reaction | None:
    """A reaction that somebody added; None for what is none."""
    relation = relation_of(event)
    target, key = relation.get("event_id"), relation.get("key")
    if relation.get("rel_type") != "m.annotation" or not isinstance(target, str) or not isinstance(key, str):
        return None
    user = str(event["sender"])
    return Reaction(
        platform=NAME,
        event_id=str(event["event_id"]),
        channel=room,
        user=user,
        age=age(event, reading.now),
        barred=reading.barred(user),
        assured=assured,
        message_id=target,
        emoji=key,
        added=True,
    )


def deletion(event: Event, room: str, reading: Reading) -> Deletion:
    """A message that was taken back, by its author or by a moderator."""
    user = str(event["sender"])
    return Deletion(
        platform=NAME,
        event_id=str(event["event_id"]),
        channel=room,
        user=user,
        age=age(event, reading.now),
        barred=reading.barred(user),
        message_id=redaction_target(event),
    )


def unreadable(event: Event, room: str, reading: Reading) -> Request:
    """A message without its key: that there was one is told, and no more."""
    user = str(event["sender"])
    return Request(
        platform=NAME,
        event_id=str(event["event_id"]),
        channel=room,
        user=user,
        age=age(event, reading.now),
        barred=reading.barred(user),
        text=UNREADABLE,
        message_id=str(event["event_id"]),
        thread=root_of(event),
        # Not in direct messages, where every message is taken for a command.
        direct=False,
    )


def file_of(event: Event) -> tuple[str, Mapping[str, Any] | None]:
    """The mxc:// address of the file in an event, and the keys of an encrypted one; ("", None) for none."""
    content = current(event)
    sealed = content.get("file")
    if isinstance(sealed, dict) and isinstance(sealed.get("url"), str):
        return sealed["url"], sealed
    url = content.get("url")
    return (url, None) if isinstance(url, str) else ("", None)


def _files(content: Mapping[str, Any], room: str, ident: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and what `fetch` takes: the address, or for an encrypted file its event, which has the key."""
    if content.get("msgtype") not in FILES:
        return (), ()
    name = str(content.get("filename") or content.get("body") or "file")
    if isinstance(content.get("url"), str):
        return (name,), (str(content["url"]),)
    return ((name,), (f"{room} {ident}",)) if isinstance(content.get("file"), dict) else ((), ())


def _mentioned(content: Mapping[str, Any]) -> list[Any]:
    """Who is mentioned by the sender's own word ("User, room, and group mentions")."""
    told = content.get("m.mentions")
    found = told.get("user_ids") if isinstance(told, dict) else None
    return found if isinstance(found, list) else []


def _text(content: Mapping[str, Any], reading: Reading, *, answers: bool) -> str:
    body = str(content["body"])
    if content.get("msgtype") in FILES:
        name = content.get("filename")
        body = body if isinstance(name, str) and name != body else ""  # else the body is but the file's name
    body = without_quote(body) if answers else body
    markup = content.get("formatted_body")
    called = not answers and reading.bot in _mentioned(content)  # a reply mentions whom it answers anyhow
    told = decode(
        body,
        markup if isinstance(markup, str) else "",
        reading.people,
        reading.bot,
        reading.names,
        called=called,
    )
    return f"* {told}" if content.get("msgtype") == "m.emote" else told
