"""conversations.*: reading (api.slack.com/methods/conversations.info and its neighbours)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.servers.slack.api_method import (
    TS,
    ApiError,
    Call,
    instant,
    method,
    opened,
    paged,
    scopes_of,
    sealed,
)
from tests.servers.slack.shapes import channel_shape, message_shape
from tests.servers.slack.state import Channel, Json, Message

SPAN = "cursor inclusive:bool include_all_metadata:bool latest limit:int oldest"
KINDS = {
    "public_channel": "channels:read",
    "private_channel": "groups:read",
    "im": "im:read",
    "mpim": "mpim:read",
}
FOREVER = 9_999_999_999.0


@method("conversations.info", "channel! include_locale:bool include_num_members:bool", tier=3)
async def info(call: Call) -> Json:
    """methods/conversations.info; num_members only where asked for."""
    shape = channel_shape(call.workspace, call.channel("read"))
    if not call.get("include_num_members"):
        shape.pop("num_members", None)
    return {"channel": shape}


@method("conversations.list", "cursor exclude_archived:bool limit:int team_id types", tier=2)
async def listed(call: Call) -> Json:
    """methods/conversations.list: public channels, and of the private ones those with the bot in them."""
    channels = [c for c in chosen(call) if call.workspace.app.bot_user in c.members or c.kind == "channel"]
    page, cursor = call.page(channels, default=100, most=1000)
    return paged("channels", [channel_shape(call.workspace, c) for c in page], cursor)


@method("users.conversations", "cursor exclude_archived:bool limit:int team_id types user", tier=3)
async def of_user(call: Call) -> Json:
    """methods/users.conversations: those that somebody (the bot, unless said otherwise) is in."""
    bot = call.workspace.app.bot_user
    user = call.get("user") or bot
    if user not in call.workspace.users:
        raise ApiError("user_not_found")
    channels = [c for c in chosen(call) if user in c.members and (bot in c.members or not c.is_private)]
    page, cursor = call.page(channels, default=100, most=999)
    shapes = [channel_shape(call.workspace, c) for c in page]
    for shape in shapes:  # membership is what was asked, so neither of these comes
        shape.pop("is_member", None)
        shape.pop("num_members", None)
    return paged("channels", shapes, cursor)


def chosen(call: Call) -> Iterable[Channel]:
    """The conversations of the types asked for; a scope for each type has to be there."""
    types = [kind.strip() for kind in (call.get("types") or "public_channel").split(",")]
    if unknown := [kind for kind in types if kind not in KINDS]:
        raise ApiError("invalid_types", [f"[ERROR] {', '.join(unknown)}"])
    for kind in types:
        call.need(KINDS[kind])
    names = {"channel": "public_channel", "group": "private_channel", "im": "im"}
    for channel in list(call.workspace.channels.values()):
        if names[channel.kind] in types and not (channel.archived and call.get("exclude_archived")):
            yield channel


@method("conversations.members", "channel! cursor limit:int", tier=4)
async def members(call: Call) -> Json:
    """methods/conversations.members."""
    channel = call.channel("read")
    page, cursor = call.page(channel.members, default=100, most=1000)
    return paged("members", page, cursor)


@method("conversations.history", f"channel! {SPAN}", tier=3)
async def history(call: Call) -> Json:
    """methods/conversations.history: newest first, of a thread its root and what was broadcast."""
    channel = call.channel("history")
    call.member_of(channel)
    found = [m for m in _between(call, channel) if not m.is_reply or m.broadcast]
    found.reverse()
    limit = call.limit(100, 999)
    if cursor := call.get("cursor"):
        until = _cursor_ts(cursor)
        found = [m for m in found if instant(m.ts) < until]
    page, more = found[:limit], len(found) > limit
    answer: Json = {"messages": _shapes(call, page), "has_more": more, "pin_count": len(channel.pins)}
    return answer | (_next(page[-1].ts) if more else {})


@method("conversations.replies", f"channel! ts! {SPAN}", tier=3)
async def replies(call: Call) -> Json:
    """methods/conversations.replies: the root on every page, and the answers oldest first."""
    channel = call.channel("history")
    call.member_of(channel)
    ts = call.get("ts")
    root = call.workspace.messages[channel.id].get(ts) if TS.fullmatch(ts) else None
    if root is None or root.only_for:
        raise ApiError("thread_not_found")
    found = [m for m in _between(call, channel) if m.is_reply and m.thread_ts == root.ts]
    limit = call.limit(1000, 1000)
    if cursor := call.get("cursor"):
        since = _cursor_ts(cursor)
        found = [m for m in found if instant(m.ts) > since]
    page, more = found[:limit], len(found) > limit
    answer: Json = {"messages": _shapes(call, [root, *page]), "has_more": more}
    return answer | (_next(page[-1].ts) if more else {})


def _between(call: Call, channel: Channel) -> list[Message]:
    """What everybody there sees from `oldest` to `latest`, oldest first."""
    oldest = call.moment("oldest", 0, "invalid_ts_oldest")
    latest = call.moment("latest", FOREVER, "invalid_ts_latest")
    inclusive = bool(call.get("inclusive"))
    found = []
    for message in call.workspace.messages[channel.id].values():
        at = instant(message.ts)
        inside = oldest <= at <= latest if inclusive else oldest < at < latest
        if inside and not message.only_for:
            found.append(message)
    return found


def _shapes(call: Call, found: Iterable[Message]) -> list[Json]:
    metadata = bool(call.get("include_all_metadata")) and _has(call, "metadata.message:read")
    return [message_shape(call.workspace, m, metadata=metadata) for m in found]


def _has(call: Call, scope: str) -> bool:
    return scope in call.workspace.app.scopes


def _next(ts: str) -> Json:
    return {"response_metadata": {"next_cursor": sealed("next_ts", ts.replace(".", ""))}}


def _cursor_ts(cursor: str) -> tuple[int, int]:
    digits = opened(cursor, "next_ts")
    if not digits.isdigit():
        raise ApiError("invalid_cursor")
    return int(digits[:-6]), int(digits[-6:])


def in_channel(call: Call, right: str = "write", *, archived: Any = False) -> Channel:
    """The channel of a call that changes it: the bot is in it, and it is no direct message."""
    channel = call.channel()
    if channel.is_im:
        raise ApiError("method_not_supported_for_channel_type")
    call.need(*scopes_of(channel, right))
    if channel.archived and not archived:
        raise ApiError("is_archived")
    call.member_of(channel)
    return channel
