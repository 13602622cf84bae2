"""Slash commands and interaction payloads as Slack sends them (api.slack.com/reference/interaction-payloads)."""

from __future__ import annotations

from tests.servers.slack.messages import title
from tests.servers.slack.shapes import message_shape, view_shape
from tests.servers.slack.state import Channel, Json, Message, View, Workspace


def command(workspace: Workspace, user: str, where: Channel, name: str, text: str) -> Json:
    """The form of a slash command (api.slack.com/interactivity/slash-commands)."""
    return {
        "token": workspace.app.verification_token,
        "team_id": workspace.team,
        "team_domain": workspace.domain,
        "channel_id": where.id,
        "channel_name": _shown_name(workspace, where),
        "user_id": user,
        "user_name": workspace.users[user].name,
        "command": name,
        "text": text,
        "api_app_id": workspace.app.id,
        "is_enterprise_install": "false",
        "response_url": workspace.new_response_url(user, where.id),
        "trigger_id": workspace.new_trigger(user),
    }


def _shown_name(workspace: Workspace, where: Channel) -> str:
    """Slack tells neither the name of a private channel nor of direct messages."""
    return {"im": "directmessage", "group": "privategroup"}.get(where.kind, title(workspace, where.id))


def _person(workspace: Workspace, user: str) -> Json:
    found = workspace.users[user]
    return {"id": user, "username": found.name, "name": found.name, "team_id": found.team_id}


def _envelope(workspace: Workspace, kind: str, user: str) -> Json:
    return {
        "type": kind,
        "user": _person(workspace, user),
        "api_app_id": workspace.app.id,
        "token": workspace.app.verification_token,
        "trigger_id": workspace.new_trigger(user),
        "team": {"id": workspace.team, "domain": workspace.domain},
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _action(workspace: Workspace, block: str, button: Json) -> Json:
    told = {"action_id": button["action_id"], "block_id": block, "text": button["text"], "type": "button"}
    told |= {name: button[name] for name in ("value", "style", "url") if name in button}
    return told | {"action_ts": workspace.new_ts()}


def press(workspace: Workspace, user: str, message: Message, block: str, button: Json) -> Json:
    """block_actions of a message; of an ephemeral one Slack does not send the message along."""
    ephemeral, where = bool(message.only_for), workspace.channels[message.channel]
    container: Json = {"type": "message", "message_ts": message.ts, "channel_id": where.id}
    container |= {"is_ephemeral": ephemeral} | (
        {"thread_ts": message.thread_ts} if message.thread_ts is not None else {}
    )
    payload = _envelope(workspace, "block_actions", user) | {
        "container": container,
        "channel": {"id": where.id, "name": _shown_name(workspace, where)},
        "state": {"values": {}},
        "response_url": workspace.new_response_url(user, where.id, message.ts),
        "actions": [_action(workspace, block, button)],
    }
    return payload if ephemeral else payload | {"message": message_shape(workspace, message)}


def press_in_view(
    workspace: Workspace, user: str, view: View, block: str, button: Json, values: Json
) -> Json:
    """block_actions of a view."""
    return _envelope(workspace, "block_actions", user) | {
        "container": {"type": "view", "view_id": view.id},
        "view": view_shape(workspace, view, values),
        "actions": [_action(workspace, block, button)],
    }


def shortcut(workspace: Workspace, user: str, callback_id: str, message: Message | None) -> Json:
    """A global shortcut or, with a message, one in its menu (type message_action)."""
    payload = _envelope(workspace, "shortcut" if message is None else "message_action", user)
    payload |= {"callback_id": callback_id, "action_ts": workspace.new_ts()}
    if message is None:
        return payload
    where = workspace.channels[message.channel]
    return payload | {
        "channel": {"id": where.id, "name": _shown_name(workspace, where)},
        "message_ts": message.ts,
        "message": message_shape(workspace, message),
        "response_url": workspace.new_response_url(user, where.id, message.ts),
    }


def submission(workspace: Workspace, user: str, view: View, values: Json) -> Json:
    """view_submission."""
    payload = _envelope(workspace, "view_submission", user)
    return payload | {"view": view_shape(workspace, view, values), "response_urls": []}


def closed(workspace: Workspace, user: str, view: View) -> Json:
    """view_closed; it brings no trigger."""
    payload = _envelope(workspace, "view_closed", user) | {"view": view_shape(workspace, view)}
    payload.pop("trigger_id")
    return payload | {"is_cleared": False}
