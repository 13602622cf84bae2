"""Changes of messages: what the app is told of them, and what the journal keeps of those the bot made."""

from __future__ import annotations

from tests.servers.slack.blocks import buttons
from tests.servers.slack.readable import mentioned, message_text
from tests.servers.slack.shapes import message_shape
from tests.servers.slack.state import SLACKBOT, Json, Message, Workspace


def card_of(message: Message) -> str | None:
    """The kind of card that the bot's metadata names."""
    payload = (message.metadata or {}).get("event_payload", {})
    return payload.get("card") or None


def title(workspace: Workspace, channel: str) -> str:
    """The channel's name; of direct messages @ and the other side's."""
    found = workspace.channels[channel]
    return f"@{workspace.users[found.user].name}" if found.is_im else found.name


def labels(message: Message) -> list[str]:
    """What its buttons say."""
    return [button["text"]["text"] for _, button in buttons(message.blocks)]


def journal(workspace: Workspace, do: str, message: Message, *, text: str | None = None) -> None:
    """Write down what the bot did with a message."""
    facts: Json = {"channel": message.channel, "channel_name": title(workspace, message.channel)}
    facts |= {"ts": message.ts, "thread_ts": message.thread_ts if message.is_reply else None}
    facts |= {"card": card_of(message)}
    facts["text"] = message_text(message, workspace) if text is None else text
    facts["to"] = mentioned(message, workspace) if text is None else []
    facts["buttons"] = labels(message) if text is None else []
    if message.files and text is None:
        facts["files"] = [workspace.files[f].name for f in message.files]
    if message.only_for:
        facts["user"] = message.only_for
    workspace.record(do, **facts)


def posted_event(workspace: Workspace, message: Message) -> Json:
    """api.slack.com/events/message, with the subtypes file_share and thread_broadcast where they apply."""
    event = message_shape(workspace, message)
    channel = workspace.channels[message.channel]
    event |= {"channel": channel.id, "channel_type": channel.kind, "event_ts": message.ts}
    if message.broadcast:
        event |= {"subtype": "thread_broadcast"}
        root = workspace.messages[message.channel].get(message.thread_ts or "")
        event |= {"root": message_shape(workspace, root)} if root is not None else {}
    elif message.files:
        event |= {"subtype": "file_share"}
    return event


def changed_event(workspace: Workspace, message: Message, before: Json) -> Json:
    """api.slack.com/events/message/message_changed."""
    now = workspace.new_ts()
    after = message_shape(workspace, message) | {"source_team": workspace.team, "user_team": workspace.team}
    return {
        "type": "message",
        "subtype": "message_changed",
        "message": after,
        "previous_message": before,
        "channel": message.channel,
        "hidden": True,
        "ts": now,
        "event_ts": now,
        "channel_type": workspace.channels[message.channel].kind,
    }


def deleted_event(workspace: Workspace, message: Message, before: Json) -> Json:
    """api.slack.com/events/message/message_deleted."""
    now = workspace.new_ts()
    return {
        "type": "message",
        "subtype": "message_deleted",
        "previous_message": before,
        "channel": message.channel,
        "hidden": True,
        "deleted_ts": message.ts,
        "ts": now,
        "event_ts": now,
        "channel_type": workspace.channels[message.channel].kind,
    }


def removed(workspace: Workspace, message: Message) -> Json:
    """Take a message away and return its event.

    A root with answers leaves a tombstone, and Slack tells that as a change (github.com/42wim/matterbridge,
    issue 600).
    """
    before = message_shape(workspace, message)
    channel = workspace.channels[message.channel]
    channel.pins = [ts for ts in channel.pins if ts != message.ts]
    if not any(workspace.replies(message.channel, message.ts)):
        del workspace.messages[message.channel][message.ts]
        return deleted_event(workspace, message, before)
    message.subtype, message.text, message.user = "tombstone", "This message was deleted.", SLACKBOT
    message.bot_id = message.app_id = message.client_msg_id = ""
    message.blocks, message.files, message.metadata, message.reactions = [], [], None, {}
    event = changed_event(workspace, message, before)
    event["message"]["hidden"] = True
    return event


def announce_posted(workspace: Workspace, message: Message) -> None:
    """Tell the app of a message of its own, as Slack does."""
    if workspace.app.bot_user in workspace.channels[message.channel].members:
        workspace.deliver.spawn_event(posted_event(workspace, message))


def announce_changed(workspace: Workspace, message: Message, before: Json) -> None:
    """Tell the app of a change that it made."""
    workspace.deliver.spawn_event(changed_event(workspace, message, before))


def announce_deleted(workspace: Workspace, message: Message) -> None:
    """Take a message of the app's away, and tell it."""
    workspace.deliver.spawn_event(removed(workspace, message))
