"""The Slack stand-in's Web API, called by the real slack_sdk: limits, errors, pages, scopes, faults."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack.state import SCOPES
from tests.servers.slack_calls import (
    ALICE,
    BOB,
    Json,
    actions,
    button,
    client_of,
    furnish,
    refused,
    section,
    violations,
)
from tests.servers.slack_server import SlackServer


@pytest.fixture(scope="module")
def process() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def slack(process: SlackServer) -> SlackServer:
    return furnish(process)


@pytest.fixture
def client(slack: SlackServer) -> AsyncWebClient:
    return client_of(slack)


# -- tokens, arguments, scopes --------------------------------------------------------------------


async def test_who_the_bot_is(slack: SlackServer, client: AsyncWebClient) -> None:
    """auth.test, with the scopes of the token in a header."""
    answer = await client.auth_test()
    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == (
        "T0WATCH",
        "U0WATCHBELL",
        "B0WATCHBELL",
    )
    assert set(answer.headers["x-oauth-scopes"].split(",")) == SCOPES


async def test_tokens_are_looked_at(slack: SlackServer) -> None:
    """None, an unknown one, and one of the wrong kind."""
    await refused(client_of(slack, "").auth_test(), "not_authed")
    await refused(client_of(slack, "xoxb-other").auth_test(), "invalid_auth")
    await refused(client_of(slack, "xapp-test").auth_test(), "not_allowed_token_type")
    await refused(client_of(slack).apps_connections_open(app_token="xoxb-test"), "not_allowed_token_type")
    assert len(violations(slack)) == 4


async def test_a_websocket_is_given_for_the_app_token(slack: SlackServer) -> None:
    answer = await client_of(slack).apps_connections_open(app_token="xapp-test")
    assert answer["url"].startswith(slack.url.replace("http://", "ws://") + "/link/?ticket=")


async def test_what_the_reference_does_not_know_is_an_error_and_kept(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    """Unknown methods and arguments, missing ones, and values of another type."""
    await refused(client.api_call("chat.shout"), "unknown_method")
    answer = await refused(client.users_info(user=ALICE, colour="red"), "invalid_arguments")
    assert answer["response_metadata"]["messages"] == ["[ERROR] unknown argument: colour"]
    await refused(client.api_call("users.info"), "invalid_arguments")
    await refused(client.users_list(limit="many"), "invalid_arguments")  # type: ignore[arg-type]
    await refused(client.conversations_list(exclude_archived="perhaps"), "invalid_arguments")  # type: ignore[arg-type]
    assert violations(slack) == ["unknown_method", *["invalid_arguments"] * 4]


async def test_arguments_come_in_every_form(slack: SlackServer, client: AsyncWebClient) -> None:
    """A query, a form, JSON; GET and POST; the token in the header or beside the arguments."""
    for how in ({"params": {"user": ALICE}}, {"data": {"user": ALICE}}, {"json": {"user": ALICE}}):
        assert (await client.api_call("users.info", **how))["user"]["name"] == "alice"
    assert (await client.users_info(user=ALICE))["user"]["name"] == "alice"
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{slack.api}users.info", data={"token": "xoxb-test", "user": ALICE}) as answer,
    ):
        assert (await answer.json())["ok"] is True


@pytest.mark.parametrize(
    ("scope", "call"),
    [
        ("chat:write", lambda c: c.chat_postMessage(channel="C0OPS", text="x")),
        ("channels:history", lambda c: c.conversations_history(channel="C0OPS")),
        ("channels:manage", lambda c: c.conversations_create(name="new")),
        ("groups:write", lambda c: c.conversations_create(name="new", is_private=True)),
        ("channels:read", lambda c: c.conversations_list()),
        ("groups:read", lambda c: c.conversations_list(types="public_channel,private_channel")),
        ("im:write", lambda c: c.conversations_open(users=ALICE)),
        ("users:read", lambda c: c.users_info(user=ALICE)),
        ("usergroups:read", lambda c: c.usergroups_list()),
        ("files:write", lambda c: c.files_getUploadURLExternal(filename="a", length=1)),
    ],
)
async def test_a_scope_that_is_missing(
    slack: SlackServer, scope: str, call: Callable[[AsyncWebClient], Awaitable[Any]]
) -> None:
    """missing_scope says what is needed and what is there."""
    slack.reset(scopes=sorted(SCOPES - {scope}))
    slack.call("add_user", id=ALICE, name="alice")
    slack.call("add_channel", name="ops", id="C0OPS", members=[ALICE])
    answer = await refused(call(client_of(slack)), "missing_scope")
    assert answer["needed"] == scope
    assert scope not in answer["provided"].split(",")
    assert violations(slack) == ["missing_scope"]


# -- messages -------------------------------------------------------------------------------------


async def test_a_message_is_posted_changed_and_deleted(slack: SlackServer, client: AsyncWebClient) -> None:
    """With metadata and buttons; the journal has what people read, and nothing that changed nothing."""
    metadata = {"event_type": "watchbell", "event_payload": {"key": "k1", "card": "incident"}}
    shown = [section("*Sev* &lt;1&gt; <@U0ALICE00>"), actions(button("Ack", action_id="wb:0", value="/ack"))]
    said = await client.chat_postMessage(channel="C0OPS", text="x", blocks=shown, metadata=metadata)
    for text in ("new", "new"):
        await client.chat_update(channel="C0OPS", ts=said["ts"], text=text)
    await client.chat_delete(channel="C0OPS", ts=said["ts"])
    await refused(client.chat_update(channel="C0OPS", ts=said["ts"], text="late"), "message_not_found")
    told = [(e["do"], e["text"], e["to"], e["buttons"], e["card"]) for e in slack.call("journal")["journal"]]
    assert told == [
        ("say", "Sev <1> @alice", [ALICE], ["Ack"], "incident"),
        ("edit", "new", [], [], "incident"),
        ("delete", "new", [], [], "incident"),
    ]


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ([section("x" * 3000)] * 4, ""),
        ([section("x" * 3000)] * 5, "msg_blocks_too_long"),
        ([section("x" * 3001)], "invalid_blocks"),
        ([section("")], "invalid_blocks"),
        ([section()] * 50, ""),
        ([section()] * 51, "invalid_blocks"),
        ([actions(*[button(action_id=f"a{n}") for n in range(25)])], ""),
        ([actions(*[button(action_id=f"a{n}") for n in range(26)])], "invalid_blocks"),
        ([actions(button("x" * 75, value="x" * 2000, action_id="x" * 255, style="danger"))], ""),
        ([actions(button("x" * 76))], "invalid_blocks"),
        ([actions(button(value="x" * 2001))], "invalid_blocks"),
        ([actions(button(action_id="x" * 256))], "invalid_blocks"),
        ([actions(button(style="green"))], "invalid_blocks"),
        ([actions(button(colour="green"))], "invalid_blocks"),
        ([actions(button(action_id="a"), button(action_id="a"))], "invalid_blocks"),
        ([actions()], "invalid_blocks"),
        ([section(block_id="x" * 255)], ""),
        ([section(block_id="x" * 256)], "invalid_blocks"),
        ([section(block_id="b"), section(block_id="b")], "invalid_blocks"),
        ([{"type": "section"}], "invalid_blocks"),
        ([{"type": "banner"}], "invalid_blocks"),
        ([{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}], "invalid_blocks"),
        ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "invalid_blocks"),
        ([{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}], "invalid_blocks"),
        ({"type": "section"}, "invalid_blocks_format"),
    ],
)
async def test_the_limits_of_blocks(
    slack: SlackServer, client: AsyncWebClient, blocks: Any, error: str
) -> None:
    """Both sides of every limit; what is wrong is said with a JSON pointer."""
    work = client.chat_postMessage(channel="C0OPS", text="x", blocks=blocks)
    if not error:
        assert (await work)["ok"] is True
        assert violations(slack) == []
        return
    answer = await refused(work, error)
    if error == "invalid_blocks":
        assert "[json-pointer:/blocks" in answer["response_metadata"]["messages"][0]
    assert violations(slack) == [error]


async def test_the_limits_of_text_and_metadata(slack: SlackServer, client: AsyncWebClient) -> None:
    """40,000 characters to post, 4,000 to update, 8,000 bytes of metadata."""

    def metadata(size: int) -> Json:
        return {"event_type": "watchbell", "event_payload": {"key": "x" * size}}

    said = await client.chat_postMessage(channel="C0OPS", text="x" * 40_000, metadata=metadata(7_000))
    await client.chat_update(channel="C0OPS", ts=said["ts"], text="x" * 4_000)
    await refused(client.chat_postMessage(channel="C0OPS", text="x" * 40_001), "msg_too_long")
    await refused(client.chat_update(channel="C0OPS", ts=said["ts"], text="x" * 4_001), "msg_too_long")
    await refused(client.api_call("chat.postMessage", json={"channel": "C0OPS"}), "no_text")
    for wrong, error in (
        (metadata(8_000), "metadata_too_large"),
        ({"event_type": "watchbell"}, "invalid_metadata_format"),
        ({"event_type": "w", "event_payload": {"key": None}}, "invalid_metadata_schema"),
    ):
        await refused(client.chat_postMessage(channel="C0OPS", text="x", metadata=wrong), error)


async def test_where_a_message_may_not_go(slack: SlackServer, client: AsyncWebClient) -> None:
    """Unknown, private without the bot, archived; a person's own message is nobody else's to change."""
    private = slack.call("add_channel", name="secret", is_private=True, bot=False, members=[ALICE])["id"]
    said = slack.call("says", user=ALICE, channel="C0OPS", text="mine")
    await refused(client.chat_postMessage(channel="C0NONE", text="x"), "channel_not_found")
    await refused(client.chat_postMessage(channel=private, text="x"), "channel_not_found")
    await refused(client.chat_update(channel="C0OPS", ts=said["ts"], text="x"), "cant_update_message")
    await refused(
        client.chat_postMessage(channel="C0OPS", text="x", thread_ts="1.000001"), "cannot_reply_to_message"
    )
    mine = await client.chat_postMessage(channel="C0OPS", text="x")
    slack.call("archives", channel="C0OPS", user=ALICE, wait=False)
    await refused(client.chat_postMessage(channel="C0OPS", text="x"), "is_archived")
    await refused(client.chat_update(channel="C0OPS", ts=mine["ts"], text="y"), "is_inactive")
    assert violations(slack) == []


async def test_a_public_channel_without_the_bot(slack: SlackServer) -> None:
    """chat:write.public lets it post there; without that scope it has to join."""
    slack.reset(scopes=sorted(SCOPES - {"chat:write.public"}))
    slack.call("add_channel", name="elsewhere", id="C0ELSE", bot=False)
    client = client_of(slack)
    await refused(client.chat_postMessage(channel="C0ELSE", text="x"), "not_in_channel")
    await refused(client.conversations_history(channel="C0ELSE"), "not_in_channel")
    await client.conversations_join(channel="C0ELSE")
    assert (await client.chat_postMessage(channel="C0ELSE", text="x"))["ok"] is True


async def test_what_only_one_person_sees(slack: SlackServer, client: AsyncWebClient) -> None:
    """An ephemeral message is in nobody else's view, in no history, and cannot be reacted to."""
    shown = await client.chat_postEphemeral(channel="C0OPS", user=ALICE, text="for you")
    await refused(
        client.chat_postEphemeral(channel="C0OPS", user="U0NOBODY", text="x"), "user_not_in_channel"
    )
    await refused(
        client.reactions_add(channel="C0OPS", name="eyes", timestamp=shown["message_ts"]), "message_not_found"
    )
    assert (await client.conversations_history(channel="C0OPS"))["messages"] == []
    seen = {r: slack.call("history", channel="C0OPS", reader=r)["messages"] for r in (ALICE, BOB)}
    assert [m["text"] for m in seen[ALICE]] == ["for you"]
    assert seen[BOB] == []


# -- history --------------------------------------------------------------------------------------


async def test_a_history_in_pages(slack: SlackServer, client: AsyncWebClient) -> None:
    """Newest first, threads by their root; oldest and latest leave themselves out unless inclusive."""
    metadata = {"event_type": "w", "event_payload": {"key": "k"}}
    sent = [
        (await client.chat_postMessage(channel="C0OPS", text=str(n), metadata=metadata))["ts"]
        for n in range(5)
    ]
    reply = await client.chat_postMessage(channel="C0OPS", text="reply", thread_ts=sent[0])
    pages, cursor = [], None
    while cursor != "":
        page = await client.conversations_history(channel="C0OPS", limit=2, cursor=cursor)
        pages.append([m["text"] for m in page["messages"]])
        cursor = page.get("response_metadata", {}).get("next_cursor", "")
        assert page["has_more"] == bool(cursor)
    assert pages == [["4", "3"], ["2", "1"], ["0"]]
    span = {"channel": "C0OPS", "oldest": sent[1], "latest": sent[3]}
    found = (await client.conversations_history(**span))["messages"]
    assert ([m["text"] for m in found], "metadata" in found[0]) == (["2"], False)
    found = (await client.conversations_history(**span, inclusive=True, include_all_metadata=True))[
        "messages"
    ]
    assert [m["text"] for m in found] == ["3", "2", "1"]
    assert found[0]["metadata"] == metadata
    thread = (await client.conversations_replies(channel="C0OPS", ts=sent[0]))["messages"]
    assert [(m["ts"], m["thread_ts"]) for m in thread] == [(sent[0], sent[0]), (reply["ts"], sent[0])]
    assert (thread[0]["reply_count"], thread[0]["latest_reply"]) == (1, reply["ts"])


async def test_a_thread_in_pages_has_its_root_on_each(slack: SlackServer, client: AsyncWebClient) -> None:
    """As Slack gives it: whoever collects the pages has to leave it out."""
    root = (await client.chat_postMessage(channel="C0OPS", text="root"))["ts"]
    for n in range(3):
        await client.chat_postMessage(channel="C0OPS", text=str(n), thread_ts=root)
    first = await client.conversations_replies(channel="C0OPS", ts=root, limit=2)
    cursor = first["response_metadata"]["next_cursor"]
    second = await client.conversations_replies(channel="C0OPS", ts=root, limit=2, cursor=cursor)
    assert [[m["text"] for m in page["messages"]] for page in (first, second)] == [
        ["root", "0", "1"],
        ["root", "2"],
    ]
    await refused(client.conversations_replies(channel="C0OPS", ts="1.000001"), "thread_not_found")


async def test_wrong_pages(slack: SlackServer, client: AsyncWebClient) -> None:
    """A limit beyond the published one, a cursor of something else, a time that is none."""
    await refused(client.conversations_history(channel="C0OPS", limit=1000), "invalid_limit")
    await refused(client.conversations_history(channel="C0OPS", cursor="bm90aGluZw=="), "invalid_cursor")
    await refused(client.conversations_history(channel="C0OPS", oldest="yesterday"), "invalid_ts_oldest")
    await refused(client.users_list(cursor="???"), "invalid_cursor")
    assert len(violations(slack)) == 4
