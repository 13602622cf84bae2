"""The manifest of Watchbell's Slack app: what it is called, which commands it has, what it may do and hears.

Limits are those of Slack's reference (docs.slack.dev: "App manifest reference") and of the schema that Slack
publishes for it (github.com/slackapi/manifest-schema).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from bot.app import registry
from bot.platforms.slack_config import prefix as checked_prefix
from commands.registry import Registry
from incidents.ports import RefusedError

EVENTS_PATH = "/slack/events"  # everything that Slack sends in HTTP mode arrives here
MOST_COMMANDS = 50

# Commands that take all others behind them; the last is the one for names that Slack keeps for itself.
_FRONT = {
    "incident": (
        "Open an incident, list them, or run any command about one.",
        "open SEVERITY TITLE | list | status identified | …",
    ),
    "inc": ("The same as /incident.", "open SEVERITY TITLE | list | status identified | …"),
    "wb": ("Run any command of Watchbell's; /wb help lists them.", "COMMAND …, as in: scale realtime 10"),
}
# The short forms, what is needed in a hurry first. A new command joins them where it earns the place.
_SHORT = (
    *("ack", "escalate", "page", "update", "resolve", "note", "oncall", "runbook", "handover", "severity"),
    *("approve", "deny", "undo", "cancel", "pending", "why", "breakglass"),
    *("scale", "restart", "rollback", "logs", "redis", "promql", "pods", "health", "checklist", "rollout"),
    *("maintenance", "toggle", "describe", "events", "top", "query", "links"),
    *("catchup", "timeline", "snooze", "major", "merge", "reopen", "role"),
    *("impact", "cause", "action", "actions", "done", "export"),
)

# What each scope is for (api.slack.com/scopes), as docs/slack.md and `watchbell check` say it.
SCOPES: Mapping[str, str] = {
    "app_mentions:read": "hears `@watchbell …`",
    "bookmarks:read": "sees which links an incident's channel has, so that none is added twice",
    "bookmarks:write": "puts links at the head of an incident's channel",
    "channels:history": "reads public channels that it is in: commands with `!`, notes, what it missed while away",
    "channels:join": "joins public channels of the configuration",
    "channels:manage": "creates the channels of incidents, invites, sets their topics, archives them",
    "channels:read": "finds public channels by their names",
    "chat:write": "speaks",
    "commands": "has slash commands and shortcuts",
    "files:read": "keeps files that people post with the incident",
    "files:write": "posts reports and long output as files",
    "groups:history": "reads private channels that it is in, as those of private incidents",
    "groups:read": "knows who is in a private channel, and thus who may vote there",
    "groups:write": "creates the channels of private incidents and looks after them",
    "im:history": "reads what is written to it in direct messages",
    "im:read": "knows its direct messages",
    "im:write": "opens direct messages, to page people",
    "metadata.message:read": "knows its own messages again after a crash, so that none is posted twice",
    "pins:read": "hears that a message was pinned, which puts it on the timeline",
    "pins:write": "pins the incident's card",
    "reactions:read": "counts votes given as reactions, and hears 📌",
    "reactions:write": "puts ✅ and ❌ under a request, to be tapped, and 📌 on a note",
    "usergroups:read": "knows who is in the user groups that give roles",
    "users:read": "knows who is a guest, a bot or deactivated",
}

_READ = ("channels:read", "groups:read", "im:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "metadata.message:read")
_MANAGE = ("channels:manage", "groups:write")
# Every method that the adapter calls, and the scopes that its page in Slack's reference (api.slack.com/methods)
# names for a bot token and for the kinds of channels that Watchbell works in.
METHODS: Mapping[str, tuple[str, ...]] = {
    "apps.connections.open": (),  # connections:write, which the app-level token has
    "auth.test": (),
    "bookmarks.add": ("bookmarks:write",),
    "bookmarks.list": ("bookmarks:read",),
    "chat.delete": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "conversations.archive": _MANAGE,
    "conversations.create": _MANAGE,
    "conversations.history": _HISTORY,
    "conversations.info": _READ,
    "conversations.invite": _MANAGE,
    "conversations.join": ("channels:join",),
    "conversations.list": ("channels:read", "groups:read"),
    "conversations.members": _READ,
    "conversations.open": ("im:write",),
    "conversations.replies": _HISTORY,
    "conversations.setPurpose": _MANAGE,
    "conversations.setTopic": _MANAGE,
    "conversations.unarchive": _MANAGE,
    "files.completeUploadExternal": ("files:write",),
    "files.getUploadURLExternal": ("files:write",),
    "files.info": ("files:read",),
    "pins.add": ("pins:write",),
    "reactions.add": ("reactions:write",),
    "reactions.get": ("reactions:read",),
    "usergroups.list": ("usergroups:read",),
    "usergroups.users.list": ("usergroups:read",),
    "users.info": ("users:read",),
    "users.list": ("users:read",),
    "views.open": (),
    "views.publish": (),
}
# Every event that the adapter handles (api.slack.com/events), and the scopes that Slack asks for it.
EVENTS: Mapping[str, tuple[str, ...]] = {
    "app_home_opened": (),
    "app_mention": ("app_mentions:read",),
    "message.channels": ("channels:history",),
    "message.groups": ("groups:history",),
    "message.im": ("im:history",),
    "pin_added": ("pins:read",),
    "reaction_added": ("reactions:read",),
    "reaction_removed": ("reactions:read",),
    "team_join": ("users:read",),
    "user_change": ("users:read",),
}
SHORTCUTS = (
    {
        "name": "Open an incident",
        "type": "global",
        "callback_id": "open_incident",
        "description": "Fill in a form; the channel is made and the on-call person is paged.",
    },
    {
        "name": "Add to the timeline",
        "type": "message",
        "callback_id": "add_to_timeline",
        "description": "Put this message on the incident's timeline, as the reaction 📌 does.",
    },
)
_SUMMARY = "Keeps the watch over incidents: opens them, keeps their clocks, pages, and writes the log."
_ABOUT = """\
Watchbell keeps the watch over incidents. It opens a channel for each, pages whoever is on call and goes on to the \
next person while nobody answers, asks for updates, and writes down what happened and when.

Commands that look at systems run at once. Commands that change one are shown as a plan, approved by somebody else, \
and run exactly as they were shown. At the end there is a draft of the post-mortem.

Begin with /incident open high TITLE, or with /wb help."""


def command_names(prefix: str = "") -> list[str]:
    """The slash commands of the app, without the slash, the most important first; with a prefix only that one."""
    return [prefix] if prefix else [*_FRONT, *_SHORT]


def manifest(*, url: str = "", prefix: str = "", name: str = "Watchbell") -> dict[str, Any]:
    """The manifest as data: Socket Mode, or HTTP where `url` says how Slack reaches Watchbell.

    RefusedError where an argument is nothing that Slack takes.
    """
    commands = registry()
    address = f"{_checked_url(url)}{EVENTS_PATH}" if url else ""
    called = _checked_name(name)
    return {
        "display_information": {
            "name": called,
            "description": _SUMMARY,
            "long_description": _ABOUT.replace("/incident open", f"/{prefix} open").replace(
                "/wb", f"/{prefix}"
            )
            if prefix
            else _ABOUT,
            "background_color": "#1f2a44",
        },
        "features": {
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            # Nobody should take a green dot for the word that it is up: /healthz gives that.
            "bot_user": {"display_name": _display_name(called), "always_online": False},
            "shortcuts": [dict(shortcut) for shortcut in SHORTCUTS],
            "slash_commands": [
                _slash_command(each, commands, address) for each in _checked(prefix, commands)
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {**_at(address, "request_url"), "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **_at(address, "request_url")},
            "org_deploy_enabled": False,
            "socket_mode_enabled": not address,
            "token_rotation_enabled": False,  # a bot that was away for longer would find its token void
        },
    }


def written(data: Mapping[str, Any]) -> str:
    """A manifest as the YAML that is pasted into Slack."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)


def _slash_command(name: str, commands: Registry, address: str) -> dict[str, Any]:
    about, hint = _FRONT["wb"] if name not in command_names() else _FRONT.get(name) or _told(name, commands)
    return {
        "command": f"/{name}",
        **_at(address, "url"),
        "description": about.replace("/wb ", f"/{name} "),
        **({"usage_hint": hint} if hint else {}),
        "should_escape": True,  # so that people are named by their ids and not by what they call themselves
    }


def _told(name: str, commands: Registry) -> tuple[str, str]:
    """What a command does and takes; of a family, what there is in it."""
    found = commands.commands.get(name)
    if found is not None:
        # `confirm` is what a button sends, after it was asked for.
        hint = found.usage.removeprefix(name).replace("[confirm=…]", "").strip()
        return found.summary, hint
    members = [each.partition(" ")[2] for each in commands.names() if each.startswith(f"{name} ")]
    return f"Look at {name.capitalize()} or ask for a change of it: {', '.join(members)}.", " | ".join(
        members
    )


def _at(address: str, key: str) -> dict[str, str]:
    return {key: address} if address else {}


def _display_name(name: str) -> str:
    """What people type after the @: a-z, 0-9, -, _ and . only."""
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "watchbell"


def _checked(prefix: str, commands: Registry) -> list[str]:
    try:
        checked_prefix(prefix)
    except ValueError as error:
        raise RefusedError(f"--prefix {prefix}: {error}.") from error
    if prefix in {each.partition(" ")[0] for each in commands.commands} - {"incident"}:
        raise RefusedError(f"--prefix {prefix}: this is a command already; take another word.")
    return command_names(prefix)


def _checked_url(url: str) -> str:
    found = url.rstrip("/").removesuffix(EVENTS_PATH)
    if not re.fullmatch(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[\w./~-]*)?", found):
        raise RefusedError(
            "--http takes the address where Slack reaches Watchbell, as in https://watchbell.example.com."
        )
    return found


def _checked_name(name: str) -> str:
    if not 1 <= len(name.strip()) <= 35 or not name.isprintable():
        raise RefusedError("--name takes 1 to 35 characters.")
    return name.strip()
