"""chat.*: messages (api.slack.com/methods/chat.postMessage and its neighbours)."""

from __future__ import annotations

from typing import Any

from tests.servers.slack import blocks, limits
from tests.servers.slack.api_method import TS, ApiError, Call, LimitedError, method
from tests.servers.slack.messages import announce_changed, announce_deleted, announce_posted, journal
from tests.servers.slack.shapes import message_shape
from tests.servers.slack.state import Channel, Json, Message

CONTENT = "text blocks:json link_names:bool parse"
UNFURLED = "unfurl_links:bool unfurl_media:bool unfurl_app_links:bool"


def content(call: Call, *, most: int = limits.TEXT) -> tuple[str, list[Json]]:
    """The text and the blocks of a call, checked; one of them has to be there."""
    text, given = call.get("text", ""), call.get("blocks")
    if given is None and not text:
        raise ApiError("no_text")
    if len(text) > most:
        raise ApiError("msg_too_long")
    return text, checked_blocks(call, given)


def checked_blocks(call: Call, given: Any) -> list[Json]:
    """Blocks of a message, checked and with ids."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise ApiError("invalid_blocks_format")
    error, messages = blocks.check_message(given)
    if error:
        raise ApiError(error, messages)
    return blocks.with_ids(given, lambda: call.workspace.new_id(""))


def metadata_of(call: Call) -> Json | None:
    """The metadata of a call, checked; None where none was given."""
    given = call.get("metadata")
    if given is None:
        return None
    error, messages = blocks.check_metadata(given)
    if error:
        raise ApiError(error, messages)
    return dict(given)


def destination(call: Call, name: str = "channel") -> Channel:
    """Where a message goes: a channel by id, or somebody's direct messages by the user's id."""
    wanted = str(call.get(name))
    if wanted in call.workspace.users:
        if call.workspace.users[wanted].is_bot or call.workspace.users[wanted].deleted:
            raise ApiError("channel_not_found")
        return call.workspace.open_direct(wanted)
    channel = call.channel(name=name)
    if channel.archived:
        raise ApiError("is_archived")
    if call.workspace.app.bot_user not in channel.members and (
        channel.is_private or "chat:write.public" not in call.workspace.app.scopes
    ):
        raise ApiError("not_in_channel")
    return channel


def thread_of(call: Call, channel: Channel) -> str | None:
    """The root that a message answers to; an answer's ts stands for its root's."""
    ts = call.get("thread_ts")
    if ts is None:
        return None
    if not TS.fullmatch(ts):
        raise ApiError("invalid_arguments", ["[ERROR] thread_ts: must be a ts"])
    found = call.workspace.messages[channel.id].get(ts)
    if found is None or found.only_for:
        raise ApiError("cannot_reply_to_message")
    return found.thread_ts or found.ts


def posted(call: Call, channel: Channel, **fields: Any) -> Message:
    """Keep a new message of the bot's."""
    app = call.workspace.app
    message = Message(
        ts=call.workspace.new_ts(),
        channel=channel.id,
        user=app.bot_user,
        bot_id=app.bot_id,
        app_id=app.id,
        thread_ts=thread_of(call, channel),
        **fields,
    )
    root = call.workspace.messages[channel.id].get(message.thread_ts or "")
    if root is not None:
        root.thread_ts = root.ts
    return call.workspace.add_message(message)


@method(
    "chat.postMessage",
    f"channel! {CONTENT} {UNFURLED} thread_ts reply_broadcast:bool metadata:json mrkdwn:bool",
    scope="chat:write",
    tier=None,
)
async def post_message(call: Call) -> Json:
    """methods/chat.postMessage."""
    channel = destination(call)
    if wait := call.rates.post(channel.id):
        raise LimitedError(wait)
    text, shown = content(call)
    broadcast = bool(call.get("reply_broadcast")) and call.get("thread_ts") is not None
    metadata = metadata_of(call)
    message = posted(call, channel, text=text, blocks=shown, metadata=metadata, broadcast=broadcast)
    journal(call.workspace, "say", message)
    announce_posted(call.workspace, message)
    told = message_shape(call.workspace, message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": told}


def _with_old_ids(shown: list[Json], given: list[Json], old: list[Json]) -> list[Json]:
    """Blocks whose ids the app leaves to Slack keep those that the blocks in their places had."""
    known = [block["block_id"] for block in old] + [""] * len(shown)
    return [
        block if asked.get("block_id") else {**block, "block_id": known[place] or block["block_id"]}
        for place, (block, asked) in enumerate(zip(shown, given, strict=True))
    ]


@method("chat.update", f"channel! ts! {CONTENT} metadata:json", scope="chat:write", tier=3)
async def update(call: Call) -> Json:
    """methods/chat.update: the app's own messages; blocks go where only a text is given."""
    channel = call.channel()
    if not TS.fullmatch(call.get("ts")):
        raise ApiError("message_not_found")
    message = call.message(channel, "ts")
    if message.bot_id != call.workspace.app.bot_id:
        raise ApiError("cant_update_message")
    if channel.archived:
        raise ApiError("is_inactive")
    text, shown = content(call, most=limits.UPDATED_TEXT)
    metadata = metadata_of(call)
    before = message_shape(call.workspace, message)
    shown = _with_old_ids(shown, call.get("blocks") or [], message.blocks)
    same = (text, shown) == (message.text, message.blocks) and metadata in (None, message.metadata)
    message.text, message.blocks = text, shown
    message.metadata = message.metadata if metadata is None else metadata
    if not same:
        if not shown:  # with blocks no one is told that it was edited
            message.edited = {"user": message.user, "ts": f"{int(call.workspace.now())}.000000"}
        journal(call.workspace, "edit", message)
        announce_changed(call.workspace, message, before)
    told = message_shape(call.workspace, message, metadata=True)
    return {"channel": channel.id, "ts": message.ts, "text": message.text, "message": told}


@method("chat.postEphemeral", f"channel! user! {CONTENT} thread_ts", scope="chat:write", tier=4)
async def post_ephemeral(call: Call) -> Json:
    """methods/chat.postEphemeral: only for a member of the channel; no message that can be changed."""
    channel = call.channel()
    if channel.archived:
        raise ApiError("is_archived")
    call.member_of(channel)
    user = call.get("user")
    if user not in channel.members or call.workspace.users[user].deleted:
        raise ApiError("user_not_in_channel")
    text, shown = content(call)
    message = posted(call, channel, text=text, blocks=shown, only_for=user)
    journal(call.workspace, "ephemeral", message)
    return {"message_ts": message.ts}


@method("chat.delete", "channel! ts!", scope="chat:write", tier=3)
async def delete(call: Call) -> Json:
    """methods/chat.delete: the app's own messages."""
    channel = call.channel()
    message = call.message(channel, "ts")
    if message.bot_id != call.workspace.app.bot_id:
        raise ApiError("cant_delete_message")
    if channel.archived:
        raise ApiError("is_inactive")
    journal(call.workspace, "delete", message)
    announce_deleted(call.workspace, message)
    return {"channel": channel.id, "ts": message.ts}


@method("chat.getPermalink", "channel! message_ts!", tier=None)
async def get_permalink(call: Call) -> Json:
    """methods/chat.getPermalink."""
    channel = call.channel()
    message = call.message(channel, "message_ts")
    link = f"https://{call.workspace.domain}.slack.com/archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.is_reply:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}
