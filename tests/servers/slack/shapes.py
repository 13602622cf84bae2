"""The objects of the workspace in the shape in which Slack's API and events give them."""

from __future__ import annotations

import hashlib

from tests.servers.slack.readable import unescaped
from tests.servers.slack.state import SLACKBOT, Channel, File, Group, Json, Message, User, View, Workspace


def user_shape(workspace: Workspace, user: User) -> Json:
    """api.slack.com/types/user; of a deactivated account only little is left."""
    real_name = user.real_name or user.name
    profile = {
        "real_name": real_name,
        "real_name_normalized": real_name,
        "display_name": user.name,
        "display_name_normalized": user.name,
        "team": user.team_id,
    }
    shape: Json = {"id": user.id, "team_id": user.team_id, "name": user.name, "deleted": user.deleted}
    shape |= {"profile": profile, "is_bot": user.is_bot, "is_app_user": False, "updated": user.updated}
    if user.is_bot:
        profile |= {"api_app_id": workspace.app.id, "bot_id": user.bot_id}
    if user.deleted:
        return shape
    shape |= {"color": "9f69e7", "real_name": real_name, "tz": "Europe/Berlin", "tz_offset": 3600}
    shape |= {"is_admin": False, "is_owner": False, "is_primary_owner": False}
    shape |= {"is_restricted": user.is_restricted or user.is_ultra_restricted}
    shape |= {"is_ultra_restricted": user.is_ultra_restricted}
    return shape | ({"is_stranger": True} if user.is_stranger else {})


def channel_shape(workspace: Workspace, channel: Channel) -> Json:
    """api.slack.com/types/conversation, as the bot sees it."""
    shape: Json = {"id": channel.id, "created": channel.created, "is_archived": channel.archived}
    shape |= {"is_im": channel.is_im, "is_mpim": False, "is_org_shared": False, "is_ext_shared": False}
    if channel.is_im:
        return shape | {"user": channel.user, "is_user_deleted": workspace.users[channel.user].deleted}
    public = not channel.is_private
    said = {"creator": channel.creator, "last_set": channel.created}
    return shape | {
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_private": not public,
        "is_general": False,
        "is_shared": False,
        "is_member": workspace.app.bot_user in channel.members,
        "creator": channel.creator,
        "context_team_id": workspace.team,
        "topic": {"value": channel.topic, **said},
        "purpose": {"value": channel.purpose, **said},
        "previous_names": channel.previous_names,
        "num_members": len(channel.members),
    }


def message_shape(workspace: Workspace, message: Message, *, metadata: bool = False) -> Json:
    """api.slack.com/events/message as conversations.history gives it; metadata only where asked for."""
    shape: Json = {"type": "message", "user": message.user, "text": message.text, "ts": message.ts}
    shape["team"] = workspace.team
    if message.subtype:
        shape["subtype"] = message.subtype
    if message.bot_id:
        shape |= {"bot_id": message.bot_id}
    if message.app_id:
        shape |= {"app_id": message.app_id, "bot_profile": _bot_profile(workspace, message)}
    if message.client_msg_id:
        shape["client_msg_id"] = message.client_msg_id
    if blocks := message.blocks or _rich_text(message):
        shape["blocks"] = blocks
    if metadata and message.metadata:
        shape["metadata"] = message.metadata
    if message.files:
        shape |= {"files": [file_shape(workspace, workspace.files[f]) for f in message.files]}
        shape |= {"upload": True, "display_as_bot": False}
    if message.edited:
        shape["edited"] = message.edited
    if message.attachments:
        shape["attachments"] = message.attachments
    if message.reactions:
        shape["reactions"] = reaction_shape(message)
    return shape | _thread(workspace, message) | _pins(workspace, message)


def reaction_shape(message: Message) -> list[Json]:
    """The reactions of a message, each with everybody who gave it."""
    return [{"name": n, "users": u, "count": len(u)} for n, u in message.reactions.items() if u]


def _bot_profile(workspace: Workspace, message: Message) -> Json:
    profile = {"id": message.bot_id, "app_id": message.app_id, "name": "Watchbell", "deleted": False}
    return profile | {"team_id": workspace.team, "icons": {}, "updated": 0}


def _rich_text(message: Message) -> list[Json]:
    """What a client makes of typed text; its elements are not taken apart."""
    if not message.text or message.bot_id or message.subtype:
        return []
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": unescaped(message.text)}]}
    block_id = hashlib.sha256(message.ts.encode()).hexdigest()[:5]
    return [{"type": "rich_text", "block_id": block_id, "elements": [section]}]


def _thread(workspace: Workspace, message: Message) -> Json:
    if message.thread_ts is None:
        return {}
    shape: Json = {"thread_ts": message.thread_ts}
    if message.is_reply:
        root = workspace.messages[message.channel].get(message.thread_ts)
        return shape | ({"parent_user_id": root.user} if root is not None else {})
    replies = list(workspace.replies(message.channel, message.ts))
    users = list(dict.fromkeys(m.user for m in replies))
    shape |= {"reply_count": len(replies), "reply_users": users, "reply_users_count": len(users)}
    return shape | {"latest_reply": replies[-1].ts, "is_locked": False} if replies else shape


def _pins(workspace: Workspace, message: Message) -> Json:
    pinned = message.ts in workspace.channels[message.channel].pins
    return {"pinned_to": [message.channel]} if pinned else {}


def file_shape(workspace: Workspace, file: File, *, shares: bool = False) -> Json:
    """api.slack.com/types/file; `shares` as files.info has them."""
    address = f"{workspace.base_url}/files-pri/{workspace.team}-{file.id}"
    shape: Json = {"id": file.id, "created": file.created, "timestamp": file.created, "name": file.name}
    shape |= {
        "title": file.title,
        "mimetype": file.mimetype,
        "user": file.user,
        "size": len(file.data or b""),
    }
    shape |= {"filetype": file.name.rpartition(".")[2], "mode": "hosted", "is_external": False}
    shape |= {"url_private": f"{address}/{file.name}", "user_team": workspace.team}
    shape |= {"url_private_download": f"{address}/download/{file.name}"}
    if shares:
        shape["shares"] = _shares(workspace, file)
        for kind, name in (("channel", "channels"), ("group", "groups"), ("im", "ims")):
            shape[name] = [c for c, _ in file.shares if workspace.channels[c].kind == kind]
    return shape


def _shares(workspace: Workspace, file: File) -> Json:
    shares: Json = {}
    for channel, ts in file.shares:
        kind = "private" if workspace.channels[channel].kind != "channel" else "public"
        shared: Json = {"ts": ts, "channel_name": workspace.channels[channel].name, "team_id": workspace.team}
        message = workspace.messages[channel].get(ts)
        if message is not None and message.thread_ts is not None:
            shared["thread_ts"] = message.thread_ts
        shares.setdefault(kind, {}).setdefault(channel, []).append(shared)
    return shares


def group_shape(workspace: Workspace, group: Group, *, users: bool, count: bool) -> Json:
    """api.slack.com/types/usergroup."""
    shape: Json = {"id": group.id, "team_id": workspace.team, "is_usergroup": True, "name": group.name}
    shape |= {"description": "", "handle": group.handle, "is_external": False, "auto_type": None}
    shape |= {"date_create": group.created, "date_update": group.created, "created_by": SLACKBOT}
    shape |= {"date_delete": group.created if group.disabled else 0, "deleted_by": None}
    shape |= {"prefs": {"channels": [], "groups": []}}
    shape |= {"users": group.users} if users else {}
    return shape | ({"user_count": str(len(group.users))} if count else {})


def view_shape(workspace: Workspace, view: View, values: Json | None = None) -> Json:
    """A view as it comes back from views.* and in interaction payloads; `values` is its state."""
    given = {"private_metadata": "", "callback_id": "", "clear_on_close": False, "notify_on_close": False}
    given |= {"title": None, "close": None, "submit": None, "submit_disabled": False}
    return given | {
        **view.view,
        "id": view.id,
        "team_id": workspace.team,
        "state": {"values": values or {}},
        "hash": view.hash,
        "previous_view_id": view.previous_view_id,
        "root_view_id": view.root_view_id,
        "app_id": workspace.app.id,
        "external_id": view.external_id,
        "app_installed_team_id": workspace.team,
        "bot_id": workspace.app.bot_id,
    }
