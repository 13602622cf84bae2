"""What tests of the Slack stand-in share: a client of slack_sdk, refusals, and small blocks."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack_server import SlackServer

ALICE, BOB = "U0ALICE00", "U0BOB0000"
Json = dict[str, Any]


def furnish(slack: SlackServer) -> SlackServer:
    """A fresh workspace with Alice, Bob, and the channel #ops with both and the bot in it."""
    slack.reset()
    slack.call("add_user", id=ALICE, name="alice", real_name="Alice")
    slack.call("add_user", id=BOB, name="bob", real_name="Bob")
    slack.call("add_channel", name="ops", id="C0OPS", members=[ALICE, BOB])
    return slack


def client_of(slack: SlackServer, token: str = "xoxb-test") -> AsyncWebClient:
    """The real client, without its own retries."""
    return AsyncWebClient(token, base_url=slack.api, retry_handlers=[], timeout=5)


async def refused(work: Awaitable[Any], error: str) -> Any:
    """The answer of a call that is refused with this error."""
    with pytest.raises(SlackApiError) as caught:
        await work
    assert caught.value.response["error"] == error
    return caught.value.response


def violations(slack: SlackServer) -> list[str]:
    """The errors of the app's invalid requests, in order."""
    return [v["error"] for v in slack.call("violations")["violations"]]


def section(text: str = "Hello", **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}, **more}


def button(label: str = "Yes", **more: Any) -> Json:
    return {"type": "button", "text": {"type": "plain_text", "text": label}, **more}


def actions(*buttons: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(buttons), **more}


def modal(*blocks: Json, **more: Any) -> Json:
    title = {"type": "plain_text", "text": "Open"}
    return {"type": "modal", "title": title, "submit": title, "blocks": list(blocks), **more}


def select(count: int = 2, text: str = "P{}", **more: Any) -> Json:
    """An input block `severity` with a menu of so many options."""
    options = [
        {"text": {"type": "plain_text", "text": text.format(n)}, "value": str(n)} for n in range(count)
    ]
    element = {"type": "static_select", "action_id": "value", "options": options, **more}
    label = {"type": "plain_text", "text": "Severity"}
    return {"type": "input", "block_id": "severity", "label": label, "element": element}


def field(block_id: str = "title", **more: Any) -> Json:
    """An input block with a line of text."""
    element = {"type": "plain_text_input", "action_id": "value", **more}
    label = {"type": "plain_text", "text": "Title"}
    return {"type": "input", "block_id": block_id, "label": label, "element": element}
