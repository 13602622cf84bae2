"""What Slack sends becomes what people did: payloads to `Incoming`, without asking anybody.

The shapes are those of api.slack.com, "Events API" (message, reaction_added, pin_added), "Slash commands",
"Interactivity" (block_actions, message_action). A payload without what its kind always has raises KeyError,
TypeError or ValueError.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.chat import Deletion, Edit, Incoming, Press, Reaction, Request
from bot.platforms.slack_text import decode, emoji_in

NAME = "slack"
PIN = "📌"
BOT = "a bot"
# Subtypes of a message that somebody wrote; the others tell of joins, topics and the like.
_WRITTEN = frozenset({None, "file_share", "thread_broadcast", "me_message", "bot_message"})

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is needed to read a payload: `people` by user id, the bot's user id and B… id, and the time now.

    `now` is in seconds (UTC), by the clock that `ts` are compared with.
    """

    people: Mapping[str, str]
    bot: str
    bot_id: str
    now: float

    def text(self, written: str | None) -> str:
        """Text as people read it."""
        return decode(written or "", self.people, self.bot)

    def age(self, ts: str | float) -> float:
        """Seconds since a Slack time stamp, never less than 0."""
        return max(0.0, self.now - float(ts))

    def own(self, payload: Payload) -> bool:
        """Whether the bot itself did this."""
        user, bot_id = payload.get("user"), payload.get("bot_id")
        return bool((user and user == self.bot) or (bot_id and bot_id == self.bot_id))


def message(event: Payload, channel: str, reading: Reading) -> Incoming | None:
    """A message, its edit or its deletion; None for what nobody wrote, and for what the bot wrote.

    The same for a message event, app_mention, and a message of conversations.history: it has one event id.
    """
    subtype = event.get("subtype")
    if subtype == "message_changed":
        return _changed(event, channel, reading)
    if subtype == "message_deleted":
        before = event.get("previous_message") or {}
        return _deletion(before, event["deleted_ts"], event, channel, reading)
    if subtype not in _WRITTEN or reading.own(event):
        return None
    ts, files = event["ts"], _files(event)
    return Request(
        platform=NAME,
        event_id=f"{channel}:{ts}",
        channel=channel,
        user=_author(event),
        age=reading.age(ts),
        barred=_barred(event),
        text=_text(event, reading),
        message_id=ts,
        thread=_thread(event),
        direct=is_direct(channel),
        files=tuple(name for name, _ in files),
        file_ids=tuple(ident for _, ident in files),
    )


def _changed(event: Payload, channel: str, reading: Reading) -> Incoming | None:
    now, before = event["message"], event.get("previous_message") or {}
    if now.get("subtype") == "tombstone":  # the root of a thread was deleted; its answers stay
        return _deletion(before, now["ts"], event, channel, reading)
    # A preview that Slack adds under a link changes the message, but nobody edited it.
    if "edited" not in now or now.get("text") == before.get("text"):
        return None
    if now.get("subtype") not in _WRITTEN or reading.own(now):
        return None
    at, text = now["edited"]["ts"], _text(now, reading)
    return Edit(
        platform=NAME,
        event_id=edit_id(channel, now["ts"], at, text),
        channel=channel,
        user=_author(now),
        age=reading.age(at),
        barred=_barred(now),
        message_id=now["ts"],
        text=text,
    )


def edit_id(channel: str, ts: str, edited: str, text: str) -> str:
    """The event id of an edit. Slack counts edits in whole seconds, so the text tells two of one second apart."""
    return f"{channel}:{ts}:edit:{edited}:{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:16]}"


def _deletion(before: Payload, ts: str, event: Payload, channel: str, reading: Reading) -> Deletion | None:
    """Slack tells whose message it was, not who deleted it."""
    if reading.own(before):
        return None
    return Deletion(
        platform=NAME,
        event_id=f"{channel}:{ts}:deleted",
        channel=channel,
        user=_author(before),
        age=reading.age(event.get("event_ts") or event["ts"]),
        barred=_barred(before),
        message_id=ts,
    )


def reaction(event: Payload, reading: Reading) -> Reaction | None:
    """A reaction added or taken back; None for one on something else than a message, and for the bot's."""
    item, user, name = event["item"], event["user"], event["reaction"]
    if item["type"] != "message" or user == reading.bot:
        return None
    added = event["type"] == "reaction_added"
    at = event["event_ts"]
    channel, ts = item["channel"], item["ts"]
    return Reaction(
        platform=NAME,
        event_id=f"{channel}:{ts}:{user}:{name}:{'+' if added else '-'}:{at}",
        channel=channel,
        user=user,
        age=reading.age(at),
        message_id=ts,
        emoji=emoji_in(name),
        added=added,
    )


def pin(event: Payload, reading: Reading) -> Reaction | None:
    """A message that a person pinned counts as one with 📌."""
    item, user = event["item"], event["user"]
    if item["type"] != "message" or user == reading.bot:
        return None
    channel = event.get("channel_id") or item["channel"]
    ts = item["message"]["ts"]
    return Reaction(
        platform=NAME,
        event_id=f"{channel}:{ts}:{user}:pin:+:{event['event_ts']}",
        channel=channel,
        user=user,
        age=reading.age(event["event_ts"]),
        message_id=ts,
        emoji=PIN,
        added=True,
    )


def timeline_mark(payload: Payload, reading: Reading) -> Reaction:
    """The message shortcut `add_to_timeline`: what a 📌 does."""
    return Reaction(
        platform=NAME,
        event_id=f"trigger:{payload['trigger_id']}",
        channel=payload["channel"]["id"],
        user=payload["user"]["id"],
        age=reading.age(payload["action_ts"]),
        message_id=payload["message_ts"],
        emoji=PIN,
        added=True,
    )


def command(body: Payload, reading: Reading, *, prefix: str, age: float) -> Request:
    """A slash command as the line that somebody typed; Slack shows no message for it.

    One from direct messages is answered in the person's own with the bot: it can be typed in those of two people,
    where the bot may say nothing.
    """
    direct = is_direct(body["channel_id"])
    channel = "" if direct else body["channel_id"]
    return Request(
        platform=NAME,
        event_id=f"trigger:{body['trigger_id']}",
        channel=channel,
        user=body["user_id"],
        age=age,
        text=line_of(body["command"], reading.text(body.get("text")), prefix),
        thread=body.get("thread_ts") or None,
        direct=direct,
    )


def line_of(name: str, text: str, prefix: str) -> str:
    """`/wb scale api 3` is `/scale api 3` where the configured prefix is wb; by itself it asks for help."""
    text = text.strip()
    if prefix and name.casefold() == f"/{prefix.casefold()}":
        return f"/{text.lstrip(' /!') or 'help'}"
    return f"{name} {text}".rstrip()


def press(payload: Payload, reading: Reading) -> Press | Request:
    """A button under a message; one on the App Home is a request with an empty channel (the person's own).

    ValueError for one under a message that the bot did not post: what stands in such a button is not its own.
    """
    shown = payload.get("message")
    if shown and not reading.own(shown):
        raise ValueError("a button under somebody else's message")
    action = payload["actions"][0]
    told = {
        "platform": NAME,
        "event_id": f"trigger:{payload['trigger_id']}",
        "user": payload["user"]["id"],
        "age": reading.age(action["action_ts"]),
    }
    box = payload.get("container") or {}
    if box.get("type") == "view":
        return Request(**told, channel="", text=action["value"], direct=True)
    channel = box.get("channel_id") or payload["channel"]["id"]
    ts = box.get("message_ts") or payload["message"]["ts"]
    return Press(**told, channel=channel, message_id=ts, value=action["value"], thread=thread_of(payload))


def form_asked(payload: Payload, reading: Reading) -> Request:
    """The global shortcut `open_incident`, as the line that it stands for; it comes from no channel."""
    return Request(
        platform=NAME,
        event_id=f"trigger:{payload['trigger_id']}",
        channel="",
        user=payload["user"]["id"],
        age=reading.age(payload["action_ts"]),
        text="/incident open",
        direct=True,
    )


def thread_of(payload: Payload) -> str | None:
    """The thread that a pressed button is shown in."""
    box, shown = payload.get("container") or {}, payload.get("message") or {}
    found, ts = box.get("thread_ts") or shown.get("thread_ts"), box.get("message_ts") or shown.get("ts")
    return found if found and found != ts else None


def is_direct(channel: str) -> bool:
    """Whether this is the conversation of one person with the bot; their ids begin with D."""
    return channel.startswith("D")


def _author(payload: Payload) -> str:
    found = payload.get("bot_id") or payload.get("user") or ""
    return str(found)


def _barred(payload: Payload) -> str:
    return BOT if payload.get("bot_id") or payload.get("subtype") == "bot_message" else ""


def _thread(event: Payload) -> str | None:
    found = event.get("thread_ts")
    return found if found and found != event["ts"] else None


def _text(event: Payload, reading: Reading) -> str:
    """The text; bots often put all of theirs into attachments.

    What people have there without a text is what they pass on of somebody else's: it is quoted, so it is no command.
    """
    if event.get("text"):
        return reading.text(event["text"])
    found = (a.get("fallback") or a.get("text") for a in event.get("attachments") or ())
    told = reading.text("\n".join(text for text in found if text))
    return told if _barred(event) else "\n".join(f"> {line}" for line in told.splitlines())


def _files(event: Payload) -> list[tuple[str, str]]:
    """Names and ids; a file that was deleted, or that Slack shows to no app, is no more than its id."""
    found = (f for f in event.get("files") or () if f.get("id"))
    return [(str(f.get("name") or f.get("title") or f["id"]), str(f["id"])) for f in found]
