"""response_url: five messages within thirty minutes (api.slack.com/interactivity/handling#message_responses)."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from tests.servers.slack import blocks, limits
from tests.servers.slack.messages import changed_event, journal, removed
from tests.servers.slack.shapes import message_shape
from tests.servers.slack.state import Json, Message, ResponseUrl, Workspace

KNOWN = {
    "text",
    "blocks",
    "response_type",
    "replace_original",
    "delete_original",
    "thread_ts",
    "metadata",
    "unfurl_links",
    "unfurl_media",
    "mrkdwn",
}


async def respond(workspace: Workspace, request: web.Request) -> web.Response:
    """POST to a response_url: `ok`, or the error as text."""
    url = workspace.response_urls.get(request.match_info["key"])
    if url is None or workspace.now() > url.until:
        return web.Response(status=404, text="expired_url")
    if url.left < 1:
        return web.Response(status=404, text="used_url")
    try:
        asked = await request.json()
    except json.JSONDecodeError:
        return _refused(workspace, "invalid_payload", "no JSON")
    error, detail = _wrong(asked)
    if error:
        return _refused(workspace, error, detail)
    url.left -= 1
    answer(workspace, url, asked)
    return web.Response(text="ok")


def _refused(workspace: Workspace, error: str, detail: str) -> web.Response:
    workspace.violation("response_url", error, detail)
    return web.Response(status=400, text=error)


def _wrong(asked: Any) -> tuple[str, str]:
    if not isinstance(asked, dict) or set(asked) - KNOWN:
        return "invalid_payload", f"[ERROR] unknown: {sorted(set(asked) - KNOWN)}"
    if asked.get("response_type", "ephemeral") not in ("ephemeral", "in_channel"):
        return "invalid_payload", "[ERROR] response_type"
    if asked.get("delete_original"):
        return "", ""
    if not asked.get("text") and not asked.get("blocks"):
        return "no_text", ""
    if len(asked.get("text") or "") > limits.TEXT:
        return "msg_too_long", ""
    error, messages = blocks.check_message(asked.get("blocks") or [])
    return error, "; ".join(messages)


def answer(workspace: Workspace, url: ResponseUrl, asked: Json) -> None:
    """Show what a response says; ephemeral where it does not say in_channel."""
    original = workspace.messages[url.channel].get(url.message_ts or "")
    if original is not None and asked.get("delete_original"):
        if original.only_for:
            del workspace.messages[url.channel][original.ts]
        else:
            workspace.deliver.spawn_event(removed(workspace, original))
        return
    text, shown = asked.get("text") or "", asked.get("blocks") or []
    shown = blocks.with_ids(shown, lambda: workspace.new_id(""))
    if original is not None and asked.get("replace_original"):
        before = message_shape(workspace, original)
        original.text, original.blocks = text, shown
        journal(workspace, "edit", original)
        if not original.only_for:
            workspace.deliver.spawn_event(changed_event(workspace, original, before))
        return
    _new(workspace, url, asked, text, shown)


def _new(workspace: Workspace, url: ResponseUrl, asked: Json, text: str, shown: list[Json]) -> Message:
    app = workspace.app
    everybody = asked.get("response_type") == "in_channel"
    message = Message(
        ts=workspace.new_ts(),
        channel=url.channel,
        user=app.bot_user,
        bot_id=app.bot_id,
        app_id=app.id,
        text=text,
        blocks=shown,
        thread_ts=asked.get("thread_ts"),
        only_for="" if everybody else url.user,
    )
    journal(workspace, "say" if everybody else "ephemeral", message)
    return workspace.add_message(message)
