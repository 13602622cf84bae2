"""conversations.*: creating and changing (api.slack.com/methods/conversations.create and its neighbours)."""

from __future__ import annotations

import re

from tests.servers.slack import limits
from tests.servers.slack.api_conversations import in_channel
from tests.servers.slack.api_method import ApiError, Call, method, scopes_of
from tests.servers.slack.shapes import channel_shape
from tests.servers.slack.state import Channel, Json, Message, Workspace


def valid_name(call: Call) -> str:
    """A channel name as Slack takes it (methods/conversations.create, "Naming"), not taken yet."""
    name = str(call.get("name"))
    if len(name) > limits.CHANNEL_NAME:
        raise ApiError("invalid_name_maxlength")
    if not re.search(r"\w", name):
        raise ApiError("invalid_name_punctuation")
    if name != name.lower() or not re.fullmatch(r"[\w-]+", name):
        raise ApiError("invalid_name_specials")
    if call.workspace.channel_named(name) is not None:  # an archived channel keeps its name
        raise ApiError("name_taken")
    return name


@method("conversations.create", "name! is_private:bool team_id", tier=2)
async def create(call: Call) -> Json:
    """methods/conversations.create: the bot is the first member."""
    private = bool(call.get("is_private"))
    call.need(*(("groups:write",) if private else ("channels:manage", "channels:write")))
    workspace, name = call.workspace, valid_name(call)
    channel = Channel(
        id=workspace.new_id("C"),
        name=name,
        creator=workspace.app.bot_user,
        created=int(workspace.now()),
        is_private=private,
        members=[workspace.app.bot_user],
    )
    workspace.add_channel(channel)
    if not private:
        told = {"id": channel.id, "name": name, "created": channel.created, "creator": channel.creator}
        workspace.deliver.spawn_event(
            {"type": "channel_created", "channel": told, "event_ts": workspace.new_ts()}
        )
    return {"channel": channel_shape(workspace, channel)}


@method("conversations.open", "channel users return_im:bool prevent_creation:bool", tier=3)
async def open_(call: Call) -> Json:
    """methods/conversations.open: direct messages with one person; those with several are not kept here."""
    call.need("im:write")
    if (wanted := call.get("channel")) is not None:
        channel = call.workspace.channels.get(wanted)
        if channel is None or not channel.is_im:
            raise ApiError("channel_not_found")
        return _opened(call, channel, known=True)
    names = [user for user in (call.get("users") or "").split(",") if user]
    if not names:
        raise ApiError("users_list_not_supplied")
    user = call.workspace.users.get(names[0])
    if len(names) > 1:
        raise ApiError("method_not_supported_for_channel_type")
    if user is None:
        raise ApiError("user_not_found")
    if user.deleted:
        raise ApiError("user_disabled")
    if user.is_bot:
        raise ApiError("cannot_dm_bot")
    known = call.workspace.direct_with(user.id) is not None
    return _opened(call, call.workspace.open_direct(user.id), known=known)


def _opened(call: Call, channel: Channel, *, known: bool) -> Json:
    shape = channel_shape(call.workspace, channel) if call.get("return_im") else {"id": channel.id}
    return {"channel": shape} | ({"no_op": True, "already_open": True} if known else {})


@method("conversations.invite", "channel! users! force:bool", tier=3)
async def invite(call: Call) -> Json:
    """methods/conversations.invite: all of them or, with `force`, those who can be invited."""
    channel = in_channel(call)
    users = list(dict.fromkeys(user for user in call.get("users").split(",") if user))
    if not users:
        raise ApiError("no_user")
    if len(users) > limits.INVITED:
        raise ApiError("invalid_arguments", ["[ERROR] users: no more than 1000"])
    errors = [{"user": u, "ok": False, "error": e} for u in users if (e := _uninvitable(call, channel, u))]
    welcome = [user for user in users if user not in {e["user"] for e in errors}]
    if errors and not (call.get("force") and welcome):
        raise ApiError(str(errors[0]["error"]), errors=errors)
    for user in welcome:
        joined(call.workspace, channel, user, inviter=call.workspace.app.bot_user)
    answer: Json = {"channel": channel_shape(call.workspace, channel)}
    return answer | ({"errors": errors} if errors else {})


def _uninvitable(call: Call, channel: Channel, user: str) -> str:
    found = call.workspace.users.get(user)
    if user == call.workspace.app.bot_user:
        return "cant_invite_self"
    if found is None:
        return "user_not_found"
    if user in channel.members:
        return "already_in_channel"
    return "cant_invite" if found.deleted or found.is_stranger else ""


def joined(workspace: Workspace, channel: Channel, user: str, *, inviter: str = "") -> None:
    """Somebody is in a channel from now on; the app is told (events/member_joined_channel)."""
    channel.members.append(user)
    if workspace.app.bot_user not in channel.members:
        return
    event: Json = {
        "type": "member_joined_channel",
        "user": user,
        "channel": channel.id,
        "team": workspace.team,
    }
    event |= {"channel_type": "G" if channel.is_private else "C", "event_ts": workspace.new_ts()}
    workspace.deliver.spawn_event(event | ({"inviter": inviter} if inviter else {}))


@method("conversations.join", "channel!", tier=3)
async def join(call: Call) -> Json:
    """methods/conversations.join: public channels."""
    call.need("channels:join")
    channel = call.channel()
    if channel.kind != "channel":
        raise ApiError("method_not_supported_for_channel_type")
    if channel.archived:
        raise ApiError("is_archived")
    if call.workspace.app.bot_user in channel.members:
        shape = channel_shape(call.workspace, channel)
        return {"channel": shape, "warning": "already_in_channel"}
    joined(call.workspace, channel, call.workspace.app.bot_user)
    return {"channel": channel_shape(call.workspace, channel)}


@method("conversations.leave", "channel!", tier=3)
async def leave(call: Call) -> Json:
    """methods/conversations.leave."""
    channel = call.channel()
    call.need(*scopes_of(channel, "write"))
    if call.workspace.app.bot_user not in channel.members:
        return {"not_in_channel": True}
    channel.members.remove(call.workspace.app.bot_user)
    return {}


@method("conversations.setTopic", "channel! topic!", tier=2)
async def set_topic(call: Call) -> Json:
    """methods/conversations.setTopic: it is also a message in the channel."""
    channel = in_channel(call)
    channel.topic = _short(call.get("topic"))
    _told(call, channel, "channel_topic", f"set the channel topic: {channel.topic}")
    return {"channel": channel_shape(call.workspace, channel)}


@method("conversations.setPurpose", "channel! purpose!", tier=2)
async def set_purpose(call: Call) -> Json:
    """methods/conversations.setPurpose: it is also a message in the channel."""
    channel = in_channel(call)
    channel.purpose = _short(call.get("purpose"))
    _told(call, channel, "channel_purpose", f"set the channel description: {channel.purpose}")
    return {"purpose": channel.purpose, "channel": channel_shape(call.workspace, channel)}


def _short(text: str) -> str:
    if len(text) > limits.TOPIC:
        raise ApiError("too_long")
    return text


def _told(call: Call, channel: Channel, subtype: str, text: str) -> None:
    """A channel's own message about what the bot did to it (events/message/channel_topic)."""
    bot = call.workspace.app.bot_user
    message = Message(ts=call.workspace.new_ts(), channel=channel.id, user=bot, text=text, subtype=subtype)
    call.workspace.add_message(message)
    event = {"type": "message", "subtype": subtype, "user": bot, "text": text, "ts": message.ts}
    event |= {"channel": channel.id, "channel_type": channel.kind, "event_ts": message.ts}
    call.workspace.deliver.spawn_event(event)


@method("conversations.rename", "channel! name!", tier=2)
async def rename(call: Call) -> Json:
    """methods/conversations.rename: only by a member, and here only of a channel that the bot created."""
    channel = in_channel(call)
    if channel.creator != call.workspace.app.bot_user:
        raise ApiError("not_authorized")
    channel.previous_names.append(channel.name)
    channel.name = valid_name(call)
    return {"channel": channel_shape(call.workspace, channel)}


@method("conversations.archive", "channel!", tier=2)
async def archive(call: Call) -> Json:
    """methods/conversations.archive."""
    channel = in_channel(call, archived=True)
    if channel.archived:
        raise ApiError("already_archived")
    channel.archived = True
    kind = "group_archive" if channel.is_private else "channel_archive"
    event = {"type": kind, "channel": channel.id, "user": call.workspace.app.bot_user}
    call.workspace.deliver.spawn_event(event | {"event_ts": call.workspace.new_ts()})
    return {}


@method("conversations.unarchive", "channel!", tier=2)
async def unarchive(call: Call) -> Json:
    """methods/conversations.unarchive: a bot is no longer in what is archived, so it never can."""
    channel = call.channel()
    if channel.is_im:
        raise ApiError("method_not_supported_for_channel_type")
    call.need(*scopes_of(channel, "write"))
    raise ApiError("not_in_channel" if channel.archived else "not_archived")
