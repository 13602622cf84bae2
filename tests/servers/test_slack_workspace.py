"""The Slack stand-in's channels, members, groups, reactions and files, by the real slack_sdk."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack_calls import ALICE, BOB, client_of, furnish, refused, section, violations
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


# -- channels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("x" * 80, ""),
        ("größe-1_a", ""),
        ("x" * 81, "invalid_name_maxlength"),
        ("Upper", "invalid_name_specials"),
        ("two words", "invalid_name_specials"),
        ("with.dot", "invalid_name_specials"),
        ("---", "invalid_name_punctuation"),
        ("ops", "name_taken"),
    ],
)
async def test_names_of_channels(slack: SlackServer, client: AsyncWebClient, name: str, error: str) -> None:
    """Small letters, digits, - and _, at most 80, each once."""
    if error:
        await refused(client.conversations_create(name=name), error)
    else:
        assert (await client.conversations_create(name=name))["channel"]["name"] == name


async def test_an_archived_channel_keeps_its_name_and_no_bot_brings_it_back(
    slack: SlackServer, client: AsyncWebClient
) -> None:
    made = (await client.conversations_create(name="inc-1"))["channel"]["id"]
    await client.conversations_archive(channel=made)
    await refused(client.conversations_archive(channel=made), "already_archived")
    await refused(client.conversations_create(name="inc-1"), "name_taken")
    await refused(client.conversations_unarchive(channel=made), "not_in_channel")
    await refused(client.conversations_unarchive(channel="C0OPS"), "not_archived")
    await refused(client.conversations_setTopic(channel=made, topic="x"), "is_archived")
    listed = await client.conversations_list(exclude_archived=True)
    assert [c["name"] for c in listed["channels"]] == ["ops"]


async def test_topic_and_purpose(slack: SlackServer, client: AsyncWebClient) -> None:
    """At most 250 characters; the topic is a message in the channel, too."""
    await client.conversations_setTopic(channel="C0OPS", topic="x" * 250)
    await client.conversations_setPurpose(channel="C0OPS", purpose="Kept by Watchbell")
    await refused(client.conversations_setTopic(channel="C0OPS", topic="x" * 251), "too_long")
    shape = (await client.conversations_info(channel="C0OPS"))["channel"]
    assert (shape["topic"]["value"], shape["purpose"]["value"]) == ("x" * 250, "Kept by Watchbell")
    told = (await client.conversations_history(channel="C0OPS"))["messages"]
    assert [m["subtype"] for m in told] == ["channel_purpose", "channel_topic"]


async def test_inviting(slack: SlackServer, client: AsyncWebClient) -> None:
    """All or none; with force those who can be."""
    made = (await client.conversations_create(name="inc-2", is_private=True))["channel"]["id"]
    await client.conversations_invite(channel=made, users=[ALICE])
    answer = await refused(
        client.conversations_invite(channel=made, users=[BOB, ALICE]), "already_in_channel"
    )
    assert answer["errors"] == [{"user": ALICE, "ok": False, "error": "already_in_channel"}]
    assert (await client.conversations_members(channel=made))["members"] == ["U0WATCHBELL", ALICE]
    await client.conversations_invite(channel=made, users=[BOB, ALICE], force=True)
    assert (await client.conversations_members(channel=made))["members"] == ["U0WATCHBELL", ALICE, BOB]
    await refused(client.conversations_invite(channel=made, users=["U0NOBODY"]), "user_not_found")
    await refused(client.conversations_invite(channel=made, users=["U0WATCHBELL"]), "cant_invite_self")
    await refused(client.conversations_join(channel=made), "method_not_supported_for_channel_type")


async def test_lists_in_pages(slack: SlackServer, client: AsyncWebClient) -> None:
    """Channels, members and people; private channels only with the bot in them."""
    slack.call("add_channel", name="secret", is_private=True, bot=False)
    slack.call("add_channel", name="team", is_private=True)
    found, cursor = [], None
    while cursor != "":
        page = await client.conversations_list(types="public_channel,private_channel", limit=1, cursor=cursor)
        found += [c["name"] for c in page["channels"]]
        cursor = page["response_metadata"]["next_cursor"]
    assert found == ["ops", "team"]
    first = await client.conversations_members(channel="C0OPS", limit=2)
    rest = await client.conversations_members(
        channel="C0OPS", cursor=first["response_metadata"]["next_cursor"]
    )
    assert first["members"] + rest["members"] == [ALICE, BOB, "U0WATCHBELL"]
    people = (await client.users_list())["members"]
    assert [u["name"] for u in people] == ["slackbot", "watchbell", "alice", "bob"]
    assert [c["name"] for c in (await client.users_conversations(user=BOB))["channels"]] == ["ops"]


async def test_direct_messages(slack: SlackServer, client: AsyncWebClient) -> None:
    """Opened once; not with bots and not with who is gone."""
    opened = await client.conversations_open(users=[ALICE])
    again = await client.conversations_open(users=ALICE, return_im=True)
    assert opened["channel"]["id"] == again["channel"]["id"]
    assert (again["already_open"], again["channel"]["user"]) == (True, ALICE)
    slack.call("deactivate", user=BOB, wait=False)
    await refused(client.conversations_open(users=BOB), "user_disabled")
    await refused(client.conversations_open(users="U0WATCHBELL"), "cannot_dm_bot")
    assert (await client.users_info(user=BOB))["user"]["deleted"] is True


async def test_groups(slack: SlackServer, client: AsyncWebClient) -> None:
    slack.call("group", id="S0SRE", handle="sre", name="SRE", users=[ALICE])
    listed = (await client.usergroups_list(include_users=True))["usergroups"]
    assert [(g["id"], g["handle"], g["users"]) for g in listed] == [("S0SRE", "sre", [ALICE])]
    assert (await client.usergroups_users_list(usergroup="S0SRE"))["users"] == [ALICE]
    await refused(client.usergroups_users_list(usergroup="S0NONE"), "no_such_subteam")


async def test_reactions_pins_and_bookmarks(slack: SlackServer, client: AsyncWebClient) -> None:
    """Each once; without `full` not everybody who reacted is told."""
    ts = slack.call("says", user=ALICE, channel="C0OPS", text="look")["ts"]
    slack.call("reacts", user=BOB, channel="C0OPS", ts=ts, name="eyes", wait=False)
    at = {"channel": "C0OPS", "timestamp": ts}
    await client.reactions_add(**at, name="eyes")
    await refused(client.reactions_add(**at, name="eyes"), "already_reacted")
    await refused(client.reactions_add(**at, name="👀"), "invalid_name")
    await refused(client.reactions_add(channel="C0OPS", timestamp="now", name="eyes"), "bad_timestamp")
    full = (await client.reactions_get(**at, full=True))["message"]["reactions"]
    part = (await client.reactions_get(**at))["message"]["reactions"]
    assert full == [{"name": "eyes", "users": [BOB, "U0WATCHBELL"], "count": 2}]
    assert part == [{"name": "eyes", "users": [BOB], "count": 2}]
    await client.pins_add(**at)
    await refused(client.pins_add(**at), "already_pinned")
    assert [i["message"]["ts"] for i in (await client.pins_list(channel="C0OPS"))["items"]] == [ts]
    link = {"channel_id": "C0OPS", "title": "Board", "type": "link"}
    await client.bookmarks_add(**link, link="https://example.com/")
    await refused(client.bookmarks_add(**link, link="example.com"), "invalid_link")
    listed = (await client.bookmarks_list(channel_id="C0OPS"))["bookmarks"]
    assert [(b["title"], b["link"]) for b in listed] == [("Board", "https://example.com/")]


# -- files ----------------------------------------------------------------------------------------


async def test_an_upload_with_a_comment_or_blocks(slack: SlackServer, client: AsyncWebClient) -> None:
    """slack_sdk's three steps; with initial_comment the blocks are ignored, and files.info says where it is."""
    blocks = json.dumps([section("*Report*", block_id="key-1")])
    plain = {"channel": "C0OPS", "filename": "a.txt", "content": "text"}
    first = (await client.files_upload_v2(**plain, blocks=blocks))["file"]
    await client.files_upload_v2(**plain, initial_comment="here", blocks=blocks)
    seen = slack.call("history", channel="C0OPS", reader=ALICE)["messages"]
    assert [m["text"] for m in seen] == ["Report", "here"]
    assert {name: base64.b64decode(data) for name, data in seen[0]["files"].items()} == {"a.txt": b"text"}
    assert "shares" not in first
    shared = (await client.files_info(file=first["id"]))["file"]["shares"]["public"]["C0OPS"]
    assert shared[0]["ts"] == seen[0]["ts"]
    told = (await client.conversations_history(channel="C0OPS"))["messages"]
    assert told[1]["blocks"][0]["block_id"] == "key-1"
    assert [e["do"] for e in slack.call("journal")["journal"]] == ["upload", "upload"]


async def test_a_download_takes_the_bots_token(slack: SlackServer, client: AsyncWebClient) -> None:
    """Anybody else is sent to the log-in."""
    given = [{"name": "b.png", "data_base64": base64.b64encode(b"\x89PNG").decode()}]
    slack.call("says", user=ALICE, channel="C0OPS", text="see", files=given, wait=False)
    message = (await client.conversations_history(channel="C0OPS"))["messages"][0]
    url = (await client.files_info(file=message["files"][0]["id"]))["file"]["url_private"]
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers={"Authorization": "Bearer xoxb-test"}) as answer:
            assert await answer.read() == b"\x89PNG"
        async with session.get(url, allow_redirects=False) as answer:
            assert answer.status == 302
    assert violations(slack) == ["not_authed"]


async def test_uploads_that_are_not_what_was_announced(slack: SlackServer, client: AsyncWebClient) -> None:
    """Another length, a file that never came, one that was completed already."""
    asked = await client.files_getUploadURLExternal(filename="a.txt", length=3)
    async with aiohttp.ClientSession() as session:
        async with session.post(asked["upload_url"], data=b"four") as answer:
            assert answer.status == 400
        await refused(client.files_completeUploadExternal(files=[{"id": asked["file_id"]}]), "file_not_found")
        async with session.post(asked["upload_url"], data=b"abc") as answer:
            assert await answer.text() == "OK - 3"
    await client.files_completeUploadExternal(files=[{"id": asked["file_id"]}])
    await refused(client.files_completeUploadExternal(files=[{"id": asked["file_id"]}]), "file_not_found")
