"""reactions.*, pins.*, bookmarks.*: what hangs on a message or a channel."""

from __future__ import annotations

import re

from tests.servers.slack import limits
from tests.servers.slack.api_method import ApiError, Call, method
from tests.servers.slack.messages import journal
from tests.servers.slack.shapes import message_shape
from tests.servers.slack.state import Json, Message, Workspace

EMOJI = re.compile(r"[a-z0-9_+'’-]{1,100}(::skin-tone-[2-6])?")


def reaction_event(workspace: Workspace, message: Message, user: str, name: str, *, added: bool) -> Json:
    """api.slack.com/events/reaction_added and reaction_removed."""
    item = {"type": "message", "channel": message.channel, "ts": message.ts}
    return {
        "type": "reaction_added" if added else "reaction_removed",
        "user": user,
        "reaction": name,
        "item_user": message.user,
        "item": item,
        "event_ts": workspace.new_ts(),
    }


def pin_event(workspace: Workspace, message: Message, user: str) -> Json:
    """api.slack.com/events/pin_added."""
    now = int(workspace.now())
    item = {"type": "message", "channel": message.channel, "created": now, "created_by": user}
    return {
        "type": "pin_added",
        "user": user,
        "channel_id": message.channel,
        "item": item | {"message": message_shape(workspace, message)},
        "item_user": message.user,
        "pin_count": len(workspace.channels[message.channel].pins),
        "pinned_info": {"channel": message.channel, "pinned_by": user, "pinned_ts": now},
        "event_ts": workspace.new_ts(),
    }


def _reacting(call: Call) -> tuple[Message, str]:
    name = str(call.get("name"))
    if not EMOJI.fullmatch(name):
        raise ApiError("invalid_name")
    channel = call.channel()
    if channel.archived:
        raise ApiError("is_archived")
    call.member_of(channel)
    return call.message(channel), name


@method("reactions.add", "channel! name! timestamp!", scope="reactions:write", tier=3)
async def reactions_add(call: Call) -> Json:
    """methods/reactions.add."""
    message, name = _reacting(call)
    bot = call.workspace.app.bot_user
    people = message.reactions.setdefault(name, [])
    if bot in people:
        raise ApiError("already_reacted")
    people.append(bot)
    journal(call.workspace, "react", message, text=name)
    call.workspace.deliver.spawn_event(reaction_event(call.workspace, message, bot, name, added=True))
    return {}


@method("reactions.remove", "channel! name! timestamp!", scope="reactions:write", tier=2)
async def reactions_remove(call: Call) -> Json:
    """methods/reactions.remove."""
    message, name = _reacting(call)
    bot = call.workspace.app.bot_user
    if bot not in message.reactions.get(name, ()):
        raise ApiError("no_reaction")
    message.reactions[name].remove(bot)
    call.workspace.deliver.spawn_event(reaction_event(call.workspace, message, bot, name, added=False))
    return {}


@method("reactions.get", "channel! timestamp! full:bool", scope="reactions:read", tier=3)
async def reactions_get(call: Call) -> Json:
    """methods/reactions.get; without `full` Slack may leave people out, and here leaves out all but one."""
    channel = call.channel()
    message = call.message(channel)
    shape = message_shape(call.workspace, message)
    if not call.get("full"):
        for reaction in shape.get("reactions", ()):
            reaction["users"] = reaction["users"][:1]
    permalink = f"https://{call.workspace.domain}.slack.com/archives/{channel.id}/p{message.ts}"
    return {"type": "message", "channel": channel.id, "message": shape | {"permalink": permalink}}


@method("pins.add", "channel! timestamp!", scope="pins:write", tier=2)
async def pins_add(call: Call) -> Json:
    """methods/pins.add."""
    channel = call.channel()
    call.member_of(channel)
    message = call.message(channel)
    if message.ts in channel.pins:
        raise ApiError("already_pinned")
    if len(channel.pins) >= limits.PINS:
        raise ApiError("too_many_pins")
    if channel.archived:
        raise ApiError("is_archived")
    channel.pins.append(message.ts)
    bot = call.workspace.app.bot_user
    call.workspace.deliver.spawn_event(pin_event(call.workspace, message, bot))
    return {}


@method("pins.remove", "channel! timestamp!", scope="pins:write", tier=2)
async def pins_remove(call: Call) -> Json:
    """methods/pins.remove."""
    channel = call.channel()
    call.member_of(channel)
    message = call.message(channel)
    if message.ts not in channel.pins:
        raise ApiError("no_pin")
    channel.pins.remove(message.ts)
    return {}


@method("pins.list", "channel!", scope="pins:read", tier=2)
async def pins_list(call: Call) -> Json:
    """methods/pins.list: newest first."""
    channel = call.channel()
    call.member_of(channel)
    messages = call.workspace.messages[channel.id]
    items = [
        {"type": "message", "channel": channel.id, "message": message_shape(call.workspace, messages[ts])}
        for ts in reversed(channel.pins)
    ]
    return {"items": items}


@method(
    "bookmarks.add",
    "channel_id! title! type! link emoji entity_id access_level parent_id",
    scope="bookmarks:write",
    tier=2,
)
async def bookmarks_add(call: Call) -> Json:
    """methods/bookmarks.add: links."""
    channel = call.channel(name="channel_id")
    call.member_of(channel)
    if call.get("type") != "link":
        raise ApiError("invalid_bookmark_type")
    if not re.match(r"https?://.", call.get("link", "")):
        raise ApiError("invalid_link")
    if len(channel.bookmarks) >= limits.BOOKMARKS:
        raise ApiError("too_many_bookmarks")
    bookmark = {
        "id": call.workspace.new_id("Bk"),
        "channel_id": channel.id,
        "title": call.get("title"),
        "link": call.get("link"),
        "emoji": call.get("emoji", ""),
        "icon_url": None,
        "type": "link",
        "entity_id": None,
        "date_created": int(call.workspace.now()),
        "date_updated": 0,
        "rank": f"{len(channel.bookmarks):03}",
        "last_updated_by_user_id": call.workspace.app.bot_user,
        "last_updated_by_team_id": call.workspace.team,
        "shortcut_id": None,
        "app_id": None,
    }
    channel.bookmarks.append(bookmark)
    return {"bookmark": bookmark}


@method("bookmarks.list", "channel_id!", scope="bookmarks:read", tier=3)
async def bookmarks_list(call: Call) -> Json:
    """methods/bookmarks.list."""
    return {"bookmarks": call.channel(name="channel_id").bookmarks}
