"""Slack's wire text: as people type it into the client, and as they read it there."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tests.servers.slack.state import BOT_USER, Json, Message, Workspace

_ANGLES = re.compile(r"<([^<>\n]+)>")
_FENCE = re.compile(r"```\n?(.*?)\n?```", re.DOTALL)
_STYLED = re.compile(r"(?<![\w*_~`])([*_~`])(?=\S)([^\n]*?\S)\1(?![\w*_~`])")
_TYPED = re.compile(r"https?://[^\s<>|]+|(?<![\w@#])@([\w.-]*\w)|(?<![\w&#])#([\w-]+)")
_MENTIONED = re.compile(r"<@([UW][A-Z0-9]+)(?:\|[^<>]*)?>")
EVERYBODY = ("channel", "here", "everyone")


def unescaped(text: str) -> str:
    """&amp; &lt; &gt; as characters (api.slack.com/reference/surfaces/formatting, "Escaping text")."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def escaped(text: str) -> str:
    """The three characters that Slack's wire text escapes."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def typed(text: str, workspace: Workspace, *, named: bool = False) -> str:
    """What the client sends when somebody types this: mentions, channels and addresses become tokens.

    With `named` a mention carries the name, too, as in the text of slash commands.
    """

    def token(found: re.Match[str]) -> str:
        if found[1] is not None:
            return _mention_typed(found[1], workspace, named=named) or found[0]
        if found[2] is not None:
            channel = workspace.channel_named(found[2])
            return f"<#{channel.id}|{channel.name}>" if channel is not None else found[0]
        return f"<{found[0]}>"

    return _TYPED.sub(token, escaped(text))


def _mention_typed(name: str, workspace: Workspace, *, named: bool) -> str | None:
    if name in EVERYBODY:
        return f"<!{name}>"
    user = next((u for u in workspace.users.values() if u.name == name and not u.deleted), None)
    if user is not None:
        return f"<@{user.id}|{user.name}>" if named else f"<@{user.id}>"
    group = next((g for g in workspace.groups.values() if g.handle == name), None)
    return f"<!subteam^{group.id}|@{group.handle}>" if group is not None else None


def readable(text: str, workspace: Workspace, *, mrkdwn: bool = True) -> str:
    """The text as people read it: names for ids, dates as their fallback, without the marks of mrkdwn."""
    if mrkdwn:
        parts = _FENCE.split(text)  # what stands in a fence keeps its asterisks
        text = "".join(part if n % 2 else _unstyled(part) for n, part in enumerate(parts))
    return unescaped(_ANGLES.sub(lambda found: _resolved(found[1], workspace), text))


def _unstyled(text: str) -> str:
    parts = _ANGLES.split(text)  # an address keeps its underscores
    return "".join(f"<{part}>" if n % 2 else _STYLED.sub(r"\2", part) for n, part in enumerate(parts))


def _resolved(token: str, workspace: Workspace) -> str:
    head, _, label = token.partition("|")
    match head[0]:
        case "@":
            user = workspace.users.get(head[1:])
            return f"@{user.name}" if user is not None else f"@{head[1:]}"
        case "#":
            channel = workspace.channels.get(head[1:])
            return f"#{channel.name if channel is not None else label or head[1:]}"
        case "!":
            return label or f"@{head[1:]}"
        case _:
            address = head.removeprefix("mailto:")
            return address if label in ("", address) else f"{label} ({address})"


def message_text(message: Message, workspace: Workspace) -> str:
    """A whole message as people read it: the texts of its blocks, else its text."""
    if not message.blocks:
        return readable(message.text, workspace)
    return "\n".join(readable(text, workspace, mrkdwn=mrkdwn) for text, mrkdwn in texts(message.blocks))


def texts(blocks: Iterable[Json]) -> Iterable[tuple[str, bool]]:
    """Every text that blocks show (no buttons), and whether it is mrkdwn."""
    for block in blocks:
        for item in (block.get("text"), *block.get("fields", ())):
            if isinstance(item, dict):
                yield item["text"], item["type"] == "mrkdwn"
            elif isinstance(item, str):  # a markdown block
                yield item, True
        if block["type"] == "context":
            yield from ((e["text"], e["type"] == "mrkdwn") for e in block["elements"] if e["type"] != "image")


def mentioned(message: Message, workspace: Workspace) -> list[str]:
    """The ids of the people really mentioned, each once, in order; the bot is no person."""
    shown = texts(message.blocks) if message.blocks else [(message.text, True)]
    found = [user for text, mrkdwn in shown if mrkdwn for user in _MENTIONED.findall(text)]
    return [user for user in dict.fromkeys(found) if user in workspace.users and user != BOT_USER]
