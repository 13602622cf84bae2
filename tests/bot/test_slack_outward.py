"""The outward half of the Slack adapter, against the stand-in: what the port promises, limits, faults, refusals."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from bot.chat import (
    Button,
    Content,
    DeliveryError,
    Edit,
    Incoming,
    Reaction,
    Request,
    RetryLaterError,
    Upload,
)
from bot.platforms.slack import Slack
from bot.platforms.slack_client import RefusedCallError, SlackClient, UnavailableError, own_address
from bot.platforms.slack_files import LARGEST, Files
from bot.platforms.slack_pace import BURST, Pacer
from bot.recent import Recent
from tests.servers.slack_server import SlackServer, shared

ALICE, BOB, ME = "U0ALICE00", "U0BOB0000", "U0WATCHBELL"
OPS, PRIVATE = "C0OPS0000", "C0PRIVATE"
ZONE = ZoneInfo("Europe/Berlin")
_JSON = {"Content-Type": "application/json"}


def ask(server: SlackServer, control: str, /, **asked: Any) -> Any:
    """The stand-in's answer to one of its controls; an argument may be called `name`, too."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    with closing(connection):
        connection.request("POST", f"/_control/{control}", json.dumps(asked), _JSON)
        answer = connection.getresponse()
        told = answer.read().decode()
    assert answer.status == 200, told
    return json.loads(told)


@pytest.fixture
def server() -> SlackServer:
    """A workspace with two people, #ops, and a private channel with the bot in it."""
    server = shared()
    server.reset()
    ask(server, "add_user", id=ALICE, name="alice", real_name="Alice")
    ask(server, "add_user", id=BOB, name="bob", real_name="Bob")
    ask(server, "add_channel", id=OPS, name="ops", members=[ALICE, BOB])
    ask(server, "add_channel", id=PRIVATE, name="inner-circle", is_private=True, members=[ALICE])
    return server


def adapter(server: SlackServer, **more: Any) -> Slack:
    given: dict[str, Any] = {"bot_token": "xoxb-test", "signing_secret": "shh", "pace": 0.0}
    people = {ALICE: "alice", BOB: "bob"}
    return Slack(people=people, zone=ZONE, base_url=server.api, **{**given, **more})


async def nothing(act: Incoming) -> None:
    """Takes what comes in; nothing does here, for the stand-in is told of no address."""


@pytest.fixture
async def slack(server: SlackServer) -> AsyncIterator[Slack]:
    made = adapter(server)
    await made.start(nothing)
    yield made
    await made.stop()
    assert ask(server, "violations")["violations"] == []


def said(text: str, *labels: str, card: str | None = None) -> Content:
    return Content(text, text, tuple(Button(label, f"/{label}") for label in labels), card=card)


def history(server: SlackServer, channel: str = OPS, reader: str = ALICE) -> list[dict[str, Any]]:
    messages = ask(server, "history", channel=channel, reader=reader)["messages"]
    return [m for m in messages if m["subtype"] not in ("channel_topic", "channel_purpose")]


def types(server: SlackServer, user: str, text: str, **more: Any) -> str:
    """Somebody writes, and nobody waits for the app."""
    return str(
        ask(server, "says", user=user, channel=more.pop("channel", OPS), text=text, wait=False, **more)["ts"]
    )


# -- messages -------------------------------------------------------------------------------------


async def test_a_post_shows_text_buttons_and_carries_key_and_card(server: SlackServer, slack: Slack) -> None:
    ts = await slack.post(OPS, said("*Redis* is down", "Acknowledge", card="incident"), key="wb-1")
    (shown,) = history(server)
    assert (shown["ts"], shown["text"], shown["user"]) == (ts, "Redis is down", ME)
    assert [b["label"] for b in shown["buttons"]] == ["Acknowledge"]
    assert shown["metadata"] == {
        "event_type": "watchbell",
        "event_payload": {"key": "wb-1", "card": "incident"},
    }


async def test_a_key_is_posted_once_by_a_process_and_found_by_the_next(
    server: SlackServer, slack: Slack
) -> None:
    first = await slack.post(OPS, said("hello"), key="wb-1")
    assert await slack.post(OPS, said("hello"), key="wb-1") == first
    after = adapter(server)
    assert await after.find(OPS, "wb-1") == first
    assert await after.find(OPS, "wb-2") is None
    assert await after.find(PRIVATE, "wb-1") is None
    assert await after.post(OPS, said("hello"), key="wb-1") == first
    assert len(history(server)) == 1


async def test_find_takes_nobody_elses_word_for_a_key(server: SlackServer, slack: Slack) -> None:
    """What a person writes bears no key, whatever it says."""
    types(server, ALICE, "wb-1")
    assert await slack.find(OPS, "wb-1") is None


async def test_find_reads_several_pages_and_threads(server: SlackServer, slack: Slack) -> None:
    """A message under 250 newer ones is found, and one in a thread by its thread only."""
    root = await slack.post(OPS, said("root"), key="wb-1")
    answer = await slack.post(OPS, said("answer"), key="wb-2", thread=root)
    for number in range(250):
        types(server, ALICE, f"line {number}")
    after = adapter(server)
    assert await after.find(OPS, "wb-1") == root
    assert await after.find(OPS, "wb-2") is None
    assert await after.find(OPS, "wb-2", thread=root) == answer


async def test_an_answer_to_an_answer_goes_into_the_same_thread(server: SlackServer, slack: Slack) -> None:
    root = await slack.post(OPS, said("root"), key="wb-1")
    answer = await slack.post(OPS, said("answer"), key="wb-2", thread=root)
    after = adapter(server)  # knows nothing of that thread
    more = await after.post(OPS, said("more"), key="wb-3", thread=answer)
    threads = {m["ts"]: m["thread_ts"] for m in history(server) if m["ts"] != root}
    assert threads == {answer: root, more: root}


async def test_an_edit_keeps_the_key(server: SlackServer, slack: Slack) -> None:
    """By the process that posted, and by one that knows no key; the same content again is no error."""
    ts = await slack.post(OPS, said("Critical", "Acknowledge", "Resolve"), key="wb-1")
    await slack.edit(OPS, ts, said("Acknowledged", "Resolve"))
    after = adapter(server)
    await after.edit(OPS, ts, said("Resolved"))
    await after.edit(OPS, ts, said("Resolved"))
    (shown,) = history(server)
    assert (shown["text"], shown["buttons"]) == ("Resolved", [])
    assert await adapter(server).find(OPS, "wb-1") == ts


async def test_long_text_is_several_sections(server: SlackServer, slack: Slack) -> None:
    text = "\n".join(f"line {number} of many that are told here" for number in range(200))
    await slack.post(OPS, said(text), key="wb-1")
    (shown,) = history(server)
    assert shown["text"] == text


@pytest.mark.parametrize("labels", [(), ("Acknowledge",)])
async def test_very_long_text_has_the_whole_as_a_file_under_it(
    server: SlackServer, slack: Slack, labels: tuple[str, ...]
) -> None:
    """Its beginning is shown, nothing is lost, and it is found by its key."""
    text = "\n".join(f"line {number} of very many" for number in range(2_000))
    ts = await slack.post(OPS, said(text, *labels), key="wb-1")
    messages = history(server)
    first = next(m for m in messages if m["ts"] == ts)
    assert first["text"].startswith("line 0 of very many\n")
    assert len(first["text"]) <= 2_000
    (file,) = [data for m in messages for data in m["files"].values()]
    assert base64.b64decode(file).decode() == text
    assert all(m["thread_ts"] == ts for m in messages if m["ts"] != ts)
    assert await adapter(server).find(OPS, "wb-1") == ts


async def test_what_slack_finds_too_long_is_shortened(server: SlackServer, slack: Slack) -> None:
    """How Slack measures is not published: its refusal is what counts."""
    ask(server, "faults", kinds=["error:msg_blocks_too_long"], methods=["chat.postMessage"], count=1)
    ts = await slack.post(OPS, said("word " * 1_000), key="wb-1")
    shown = next(m for m in history(server) if m["ts"] == ts)
    assert shown["text"].endswith("…")
    assert [len(base64.b64decode(data)) for data in shown["files"].values()] == [5_000]


async def test_a_whisper_has_one_reader(server: SlackServer, slack: Slack) -> None:
    await slack.whisper(OPS, ALICE, said("that one is yours"))
    assert [m["text"] for m in history(server, reader=ALICE)] == ["that one is yours"]
    assert history(server, reader=BOB) == []


async def test_a_whisper_reaches_who_is_not_in_the_channel_directly(
    server: SlackServer, slack: Slack
) -> None:
    await slack.whisper(PRIVATE, BOB, said("ask alice to let you in"))
    assert history(server, channel=PRIVATE) == []
    assert [m["text"] for m in history(server, channel=await slack.direct(BOB), reader=BOB)] == [
        "ask alice to let you in"
    ]


async def test_in_direct_messages_a_whisper_is_a_message(server: SlackServer, slack: Slack) -> None:
    channel = await slack.direct(ALICE)
    await slack.whisper(channel, ALICE, said("only you"))
    (shown,) = history(server, channel=channel)
    assert (shown["text"], bool(shown["ephemeral"])) == ("only you", False)


async def test_an_upload_keeps_its_bytes_and_is_found_by_its_key(server: SlackServer, slack: Slack) -> None:
    data = bytes(range(256)) * 40
    root = await slack.post(OPS, said("root"), key="wb-1")
    ts = await slack.upload(OPS, Upload("logs.bin", data), said("the log"), key="wb-2", thread=root)
    assert await slack.upload(OPS, Upload("logs.bin", data), said("the log"), key="wb-2", thread=root) == ts
    (shown,) = [m for m in history(server) if m["ts"] == ts]
    assert {name: base64.b64decode(file) for name, file in shown["files"].items()} == {"logs.bin": data}
    assert (shown["text"], shown["thread_ts"]) == ("the log", root)
    assert await adapter(server).find(OPS, "wb-2", thread=root) == ts


async def test_an_empty_file_is_uploaded_all_the_same(server: SlackServer, slack: Slack) -> None:
    """Slack takes none without bytes."""
    await slack.upload(OPS, Upload("empty.txt", b""), said("nothing"), key="wb-1")
    (shown,) = history(server)
    assert {name: base64.b64decode(file) for name, file in shown["files"].items()} == {"empty.txt": b"\n"}


async def test_reactions(server: SlackServer, slack: Slack) -> None:
    """The bot's own is there once; all skin tones count as one, and custom emoji as themselves."""
    ts = await slack.post(OPS, said("may I?"), key="wb-1")
    await slack.react(OPS, ts, "✅")
    await slack.react(OPS, ts, "✅")
    for user, name in ((ALICE, "+1"), (BOB, "+1::skin-tone-3"), (BOB, "approved")):
        ask(server, "reacts", user=user, channel=OPS, ts=ts, name=name, added=True, wait=False)
    found = await slack.reactions(OPS, ts)
    assert {emoji: set(users) for emoji, users in found.items()} == {
        "✅": {ME},
        "👍": {ALICE, BOB},
        ":approved:": {BOB},
    }


# -- history and files ----------------------------------------------------------------------------


async def test_history_has_what_people_did_oldest_first(server: SlackServer, slack: Slack) -> None:
    """Messages, answers in threads, edits and 📌, under the ids of live events; the bot's own are not in it."""
    root = await slack.post(OPS, said("the card"), key="wb-1")
    first = types(server, ALICE, "first")
    answer = types(server, BOB, "in the thread", thread_ts=root)
    last = types(server, ALICE, "last")
    ask(server, "edits", user=ALICE, channel=OPS, ts=first, text="first, corrected", wait=False)
    ask(server, "reacts", user=BOB, channel=OPS, ts=first, name="pushpin", added=True, wait=False)
    acts = await slack.history(OPS, 600)
    requests = [a for a in acts if isinstance(a, Request)]
    assert [(r.event_id, r.user, r.text, r.thread, r.message_id) for r in requests] == [
        (f"{OPS}:{first}", ALICE, "first, corrected", None, first),
        (f"{OPS}:{answer}", BOB, "in the thread", root, answer),
        (f"{OPS}:{last}", ALICE, "last", None, last),
    ]
    (edit,) = [a for a in acts if isinstance(a, Edit)]
    assert (edit.message_id, edit.text, edit.user) == (first, "first, corrected", ALICE)
    assert edit.event_id.startswith(f"{OPS}:{first}:edit:")
    assert acts.index(edit) > acts.index(requests[0])
    (pin,) = [a for a in acts if isinstance(a, Reaction)]
    assert (pin.event_id, pin.user, pin.emoji, pin.added) == (
        f"{OPS}:{first}:{BOB}:pushpin:+:seen",
        BOB,
        "📌",
        True,
    )
    assert all(0 <= act.age < 60 for act in acts)


async def test_history_ends_where_it_was_asked_to(server: SlackServer) -> None:
    """Older messages are left out, what was answered or edited lately under them is not."""
    slack = adapter(server, wall=lambda: time.time() + server.offset)
    old = types(server, ALICE, "long ago")
    ask(server, "forward", seconds=3_600)
    server.offset += 3_600
    answer = types(server, BOB, "and now?", thread_ts=old)
    acts = await slack.history(OPS, 600)
    assert [a.message_id for a in acts if isinstance(a, Request)] == [answer]
    ask(server, "edits", user=ALICE, channel=OPS, ts=old, text="long ago, corrected", wait=False)
    edits = [a for a in await slack.history(OPS, 600) if isinstance(a, Edit)]
    assert [(e.message_id, e.text) for e in edits] == [(old, "long ago, corrected")]
    assert len([a for a in await slack.history(OPS, 4_000) if isinstance(a, Request)]) == 2


async def test_history_of_many_messages_is_whole(server: SlackServer, slack: Slack) -> None:
    """More than one page, each once."""
    expected = [types(server, ALICE, f"line {number}") for number in range(230)]
    acts = await slack.history(OPS, 600)
    assert [a.message_id for a in acts if isinstance(a, Request)] == expected


async def test_history_says_who_is_barred(server: SlackServer, slack: Slack) -> None:
    ask(server, "add_user", id="U0GUEST", name="guest", is_restricted=True)
    types(server, "U0GUEST", "let me in")
    (act,) = await slack.history(OPS, 600)
    assert (act.user, act.barred) == ("U0GUEST", "a guest")


async def test_a_file_is_fetched_with_the_bots_token(server: SlackServer, slack: Slack) -> None:
    data = b"\x00\x01 dashboard"
    file = {"name": "graph.png", "data_base64": base64.b64encode(data).decode()}
    types(server, ALICE, "look", files=[file])
    (act,) = await slack.history(OPS, 600)
    assert isinstance(act, Request)
    assert act.files == ("graph.png",)
    assert await slack.fetch(act.file_ids[0]) == data
    with pytest.raises(DeliveryError):
        await slack.fetch("F0NOBODY")


async def test_a_file_larger_than_25_mb_is_refused(server: SlackServer, slack: Slack) -> None:
    """Both sides of the boundary, while it is read: what Slack says about its size is not relied on."""
    file = {"name": "a.txt", "data_base64": base64.b64encode(b"x" * 1_000).decode()}
    types(server, ALICE, "look", files=[file])
    (act,) = await slack.history(OPS, 600)
    assert isinstance(act, Request)
    found = (await slack.api.call("files.info", file=act.file_ids[0]))["file"]
    assert len(await slack.api.load_file(found["url_private"], 1_000)) == 1_000
    with pytest.raises(DeliveryError, match="larger"):
        await slack.api.load_file(found["url_private"], 999)


class OneFile:
    """A Web API that knows one file, and gives its bytes to whoever asks."""

    def __init__(self, **file: Any) -> None:
        self.file = {"url_private": "https://files.slack.com/a", "mode": "hosted", **file}

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        assert (method, arguments) == ("files.info", {"file": "F1"})
        return {"ok": True, "file": self.file}

    async def load_file(self, url: str, most: int) -> bytes:
        return f"{url} {most}".encode()


@pytest.mark.parametrize(
    ("file", "fine"),
    [
        ({"size": LARGEST}, True),
        ({"size": LARGEST + 1}, False),
        ({"mode": "external"}, False),
        ({"mode": "tombstone"}, False),
        ({"mode": "hidden_by_limit"}, False),
        ({"url_private": ""}, False),
    ],
)
async def test_which_files_are_read(file: dict[str, Any], fine: bool) -> None:
    """Up to 25 MB, and only what Slack itself keeps."""
    files = Files(OneFile(**file))
    if fine:
        assert await files.fetch("F1") == f"https://files.slack.com/a {LARGEST}".encode()
    else:
        with pytest.raises(DeliveryError):
            await files.fetch("F1")


async def test_an_answer_shown_in_the_channel_too_counts_once(server: SlackServer, slack: Slack) -> None:
    """It stands in the thread and in the channel, and keeps its thread."""
    root = types(server, ALICE, "root")
    answer = types(server, BOB, "for everybody", thread_ts=root, broadcast=True)
    acts = [a for a in await slack.history(OPS, 600) if isinstance(a, Request)]
    assert [(a.message_id, a.thread) for a in acts] == [(root, None), (answer, root)]


async def test_what_channels_say_themselves_is_nobodys_act(server: SlackServer, slack: Slack) -> None:
    """Joins, topics and what the bot posts."""
    await slack.arrange(OPS, topic="Redis is down")
    await slack.post(OPS, said("the card"), key="wb-1")
    assert await slack.history(OPS, 600) == []


def test_http_mode_has_one_address_and_socket_mode_none(server: SlackServer) -> None:
    assert [route.path for route in adapter(server).routes()] == ["/slack/events"]
    assert adapter(server, signing_secret=None, app_token="xapp-test").routes() == []


@pytest.mark.parametrize(
    ("url", "home", "fine"),
    [
        ("https://files.slack.com/files-pri/T-F/a.png", "https://slack.com/api/", True),
        ("https://slack.com/a", "https://slack.com/api/", True),
        ("http://files.slack.com/a", "https://slack.com/api/", False),
        ("https://files.slack.com:444/a", "https://slack.com/api/", False),
        ("https://evilslack.com/a", "https://slack.com/api/", False),
        ("https://files.slack.com.evil.example/a", "https://slack.com/api/", False),
        ("https://files.slack.com@evil.example/a", "https://slack.com/api/", False),
        ("https://files.slack.com:x/a", "https://slack.com/api/", False),
        ("http://127.0.0.1:80/a", "https://slack.com/api/", False),
        ("http://127.0.0.1:5000/a", "http://127.0.0.1:5000/api/", True),
        ("http://127.0.0.1:5001/a", "http://127.0.0.1:5000/api/", False),
        ("https://files.slack.com/a", "http://127.0.0.1:5000/api/", False),
    ],
)
def test_the_token_goes_nowhere_else(url: str, home: str, fine: bool) -> None:
    assert own_address(url, urlsplit(home)) is fine


# -- channels and people --------------------------------------------------------------------------


async def test_channels_are_found_by_the_name_that_they_have_now(server: SlackServer, slack: Slack) -> None:
    assert await slack.channel_id("ops") == await slack.channel_id("#ops") == OPS
    assert await slack.channel_id("inner-circle") == PRIVATE
    ask(server, "renames", channel=OPS, name="operations")
    assert await slack.channel_id("ops") is None
    assert await slack.channel_id("operations") == OPS
    ask(server, "archives", channel=OPS)
    assert await slack.channel_id("operations") is None


async def test_a_channel_on_the_second_page_is_found(server: SlackServer, slack: Slack) -> None:
    for number in range(210):
        ask(server, "add_channel", name=f"room-{number}")
    assert await slack.channel_id("room-209") is not None


async def test_a_key_opens_one_channel(server: SlackServer, slack: Slack) -> None:
    """A taken name gets a number; after a crash the same key comes to the same channel."""
    one = await slack.open_channel("INC 1: Redis is DOWN", private=False, key="wb-open-1")
    two = await slack.open_channel("INC 1: Redis is DOWN", private=True, key="wb-open-2")
    assert (one[1], two[1]) == ("inc-1-redis-is-down", "inc-1-redis-is-down-2")
    after = adapter(server)
    assert await after.open_channel("INC 1: Redis is DOWN", private=False, key="wb-open-1") == one
    assert await after.open_channel("INC 1: Redis is DOWN", private=True, key="wb-open-2") == two
    assert await slack.members(one[0]) is None
    assert await slack.members(two[0]) == {ME}


async def test_a_channel_that_a_crash_left_without_its_key_is_taken(
    server: SlackServer, slack: Slack
) -> None:
    """Created, and no purpose set: nobody else's channel has the bot for its creator and nothing else."""
    ask(server, "faults", kinds=["reset"], methods=["conversations.setPurpose"], count=5)
    with pytest.raises(UnavailableError):
        await slack.open_channel("inc-1", private=False, key="wb-open-1")
    ident, name = await adapter(server).open_channel("inc-1", private=False, key="wb-open-1")
    assert name == "inc-1"
    assert (await slack.open_channel("inc-1", private=False, key="wb-open-2"))[1] == "inc-1-2"
    assert await slack.channel_id("inc-1") == ident


async def test_a_name_of_80_characters_is_shortened_for_its_number(server: SlackServer, slack: Slack) -> None:
    names = [(await slack.open_channel("x" * 200, private=False, key=f"k{n}"))[1] for n in range(2)]
    assert names == ["x" * 80, "x" * 78 + "-2"]


async def test_arranging_a_channel(server: SlackServer, slack: Slack) -> None:
    """All of it twice: what was done is fine. Those who can be invited are, whoever cannot."""
    channel, _ = await slack.open_channel("inc-1", private=True, key="k1")
    card = await slack.post(channel, said("the card"), key="k2")
    links = (("Runbook", "https://run.example/a"), ("Board", "https://board.example/b?x=1&y=2"))
    for _ in range(2):
        await slack.arrange(channel, topic="T" * 300, invite=(ALICE, BOB), pin=card, links=links)
    with pytest.raises(DeliveryError, match="no such account"):
        await slack.arrange(channel, invite=("U0NOBODY", ME, ALICE))
    assert await slack.members(channel) == {ME, ALICE, BOB}
    told = (await slack.api.call("conversations.info", channel=channel))["channel"]["topic"]["value"]
    assert told == "T" * 249 + "…"
    marked = (await slack.api.call("bookmarks.list", channel_id=channel))["bookmarks"]
    assert [(b["title"], b["link"]) for b in marked] == list(links)
    assert [m["text"] for m in history(server, channel=channel) if m["pinned"]] == ["the card"]


async def test_archiving_and_that_no_bot_can_bring_a_channel_back(server: SlackServer, slack: Slack) -> None:
    channel, name = await slack.open_channel("inc-1", private=False, key="k1")
    await slack.arrange(channel, archive=False)
    await slack.arrange(channel, archive=True)
    await slack.arrange(channel, archive=True)
    with pytest.raises(DeliveryError, match="archived"):
        await slack.post(channel, said("too late"), key="k2")
    with pytest.raises(DeliveryError, match=f"no bot bring #{name} back"):
        await slack.arrange(channel, archive=False)


async def test_the_bot_joins_a_public_channel_that_it_is_to_write_in(
    server: SlackServer, slack: Slack
) -> None:
    """Once, and only where everybody may; a private one says what to do."""
    ask(server, "add_channel", id="C0OPEN", name="open", bot=False)
    ask(server, "add_channel", id="C0CLOSED", name="closed", is_private=True, members=[BOB], bot=False)
    types(server, ALICE, "hello", channel="C0OPEN")
    assert len(await slack.history("C0OPEN", 600)) == 1
    await slack.post("C0OPEN", said("here I am"), key="k1")
    with pytest.raises(DeliveryError, match="invite the bot"):
        await slack.post("C0CLOSED", said("let me in"), key="k2")


async def test_who_may_act_is_asked_now(server: SlackServer, slack: Slack) -> None:
    """SAFETY 22: bots, guests, strangers, the deactivated and the unknown may not; listed guests may."""
    ask(server, "add_user", id="U0GUEST", name="guest", is_ultra_restricted=True)
    ask(server, "add_user", id="U0LISTED", name="listed", is_restricted=True)
    ask(server, "add_user", id="U0FAR", name="far", team_id="T0OTHER", is_stranger=True)
    ask(server, "add_user", id="U0ROBOT", name="robot", is_bot=True)
    asked = adapter(server, guests=["U0LISTED"])
    told = {user: await asked.active(user) for user in (ALICE, "U0GUEST", "U0LISTED", "U0FAR", "U0ROBOT", ME)}
    assert [user for user, fine in told.items() if fine] == [ALICE, "U0LISTED"]
    assert not await asked.active("U0NOBODY")
    assert not await asked.active("USLACKBOT")
    ask(server, "deactivate", user=ALICE)
    assert not await asked.active(ALICE)
    assert [asked.directory.barred(user) for user in (ALICE, "U0GUEST", "U0FAR", "U0ROBOT", "U0LISTED")] == [
        "deactivated",
        "a guest",
        "an account of another workspace",
        "a bot",
        "",
    ]


async def test_a_look_up_that_fails_is_no_answer(server: SlackServer, slack: Slack) -> None:
    """SAFETY 13: whoever asks has to deny."""
    ask(server, "faults", kinds=["500"], methods=["users.info"])
    with pytest.raises(UnavailableError):
        await slack.active(ALICE)


async def test_groups_by_id_handle_and_name(server: SlackServer, slack: Slack) -> None:
    ask(server, "group", id="S0SRE", handle="sre", name="Site Reliability", users=[ALICE, BOB])
    for name in ("S0SRE", "@sre", "sre", "site reliability"):
        assert await slack.group(name) == {ALICE, BOB}
    assert await slack.group("@nobody") == frozenset()


async def test_direct_messages(server: SlackServer, slack: Slack) -> None:
    channel = await slack.direct(ALICE)
    assert await slack.direct(ALICE) == channel
    assert ALICE in (await slack.members(channel) or ())
    for user in ("U0NOBODY", ME):
        with pytest.raises(DeliveryError):
            await slack.direct(user)


# -- faults, limits, refusals ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["500", "503", "reset"])
async def test_reads_are_tried_again(server: SlackServer, slack: Slack, kind: str) -> None:
    """Four times; the fifth failure is the caller's."""
    ask(server, "faults", kinds=[kind], methods=["users.info"], count=4)
    assert await slack.active(ALICE)
    ask(server, "faults", kinds=[kind], methods=["users.info"], count=5)
    with pytest.raises(UnavailableError):
        await slack.active(ALICE)


@pytest.mark.parametrize("kind", ["500", "503", "reset"])
async def test_a_post_is_never_repeated_by_itself(server: SlackServer, slack: Slack, kind: str) -> None:
    """Whoever posts again looks first."""
    ask(server, "faults", kinds=[kind], methods=["chat.postMessage"], count=1)
    with pytest.raises(UnavailableError):
        await slack.post(OPS, said("hello"), key="wb-1")
    assert history(server) == []
    await slack.post(OPS, said("hello"), key="wb-1")
    assert len(history(server)) == 1


async def test_a_post_whose_answer_was_lost_is_found(server: SlackServer, slack: Slack) -> None:
    ask(server, "faults", kinds=["after"], methods=["chat.postMessage"], count=1)
    with pytest.raises(UnavailableError):
        await slack.post(OPS, said("hello"), key="wb-1")
    (shown,) = history(server)
    assert await slack.find(OPS, "wb-1") == shown["ts"]


async def test_an_upload_whose_answer_was_lost_is_found(server: SlackServer, slack: Slack) -> None:
    ask(server, "faults", kinds=["after"], methods=["files.completeUploadExternal"], count=1)
    with pytest.raises(UnavailableError):
        await slack.upload(OPS, Upload("a.txt", b"a"), said("the log"), key="wb-1")
    (shown,) = history(server)
    assert await slack.find(OPS, "wb-1") == shown["ts"]


async def test_being_limited_is_remembered_for_that_channel(server: SlackServer, slack: Slack) -> None:
    """The next call fails at once with what is left, other channels and methods go on."""
    ask(server, "faults", kinds=["429"], methods=["chat.postMessage"], count=1, retry_after=7)
    with pytest.raises(RetryLaterError) as first:
        await slack.post(OPS, said("hello"), key="wb-1")
    assert first.value.seconds == 7
    with pytest.raises(RetryLaterError) as second:
        await slack.post(OPS, said("hello"), key="wb-1")
    assert 6 < second.value.seconds < 7
    await slack.post(PRIVATE, said("hello"), key="wb-2")
    assert await slack.active(ALICE)
    assert history(server) == []


async def test_the_workspaces_own_limits_are_kept_by_the_pace(server: SlackServer) -> None:
    """Four at once pass, the fifth is asked to wait without a call."""
    server.reset(rate_limits=True)
    ask(server, "add_channel", id=OPS, name="ops")
    slack = adapter(server, pace=1.0)
    for number in range(BURST):
        await slack.post(OPS, said("hello"), key=f"wb-{number}")
    with pytest.raises(RetryLaterError) as waits:
        await slack.post(OPS, said("hello"), key="wb-more")
    assert 0 < waits.value.seconds <= 1
    assert len(history(server)) == BURST


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("is_archived", "archived"),
        ("channel_not_found", "invite the bot"),
        ("token_revoked", "install the app again"),
        ("some_new_error", "some_new_error"),
    ],
)
async def test_refusals_are_final_and_say_what_to_do(
    server: SlackServer, slack: Slack, error: str, told: str
) -> None:
    ask(server, "faults", kinds=[f"error:{error}"], methods=["chat.postMessage"], count=1)
    with pytest.raises(DeliveryError, match=told):
        await slack.post(OPS, said("hello"), key="wb-1")


async def test_a_missing_scope_is_named(server: SlackServer) -> None:
    server.reset(scopes=["chat:write"])
    slack = adapter(server)
    with pytest.raises(DeliveryError, match="users:read"):
        await slack.active(ALICE)


async def test_what_is_not_there_says_so(server: SlackServer, slack: Slack) -> None:
    with pytest.raises(DeliveryError):
        await slack.post("no-such-channel", said("hello"), key="wb-1")
    with pytest.raises(DeliveryError):
        await slack.reactions(OPS, "1700000000.000001")
    with pytest.raises(DeliveryError):
        await slack.edit(OPS, "1700000000.000001", said("hello"))


async def test_a_wrong_token_is_told_at_start(server: SlackServer) -> None:
    slack = adapter(server, bot_token="xoxb-wrong")
    with pytest.raises(RefusedCallError, match="bot token is not valid"):
        await slack.start(nothing)
    assert slack.api.web.session is not None
    assert slack.api.web.session.closed


async def test_nobody_listening_is_no_refusal() -> None:
    """A read is given up after four more tries, without waiting for real here."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    client = SlackClient("xoxb-test", "http://127.0.0.1:9/api/", sleep=sleep)
    with pytest.raises(UnavailableError):
        await client.call("users.info", user=ALICE)
    assert waited == [0.05, 0.1, 0.2, 0.4]
    with pytest.raises(UnavailableError):
        await client.call("chat.postMessage", channel=OPS, text="x")
    assert len(waited) == 4


async def test_tries_end_with_the_time_of_one_call() -> None:
    """A Slack that hangs is not waited for five times over."""
    clock = iter([0.0, 0.0, 11.0])

    async def sleep(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s")

    client = SlackClient("xoxb-test", "http://127.0.0.1:9/api/", sleep=sleep, monotonic=lambda: next(clock))
    with pytest.raises(UnavailableError):
        await client.call("users.info", user=ALICE)


def test_the_pace_allows_a_burst_and_then_one_at_a_time() -> None:
    now = 100.0
    pacer = Pacer(2.0, clock=lambda: now)
    for _ in range(BURST):
        pacer.take(OPS)
    with pytest.raises(RetryLaterError) as early:
        pacer.take(OPS)
    assert early.value.seconds == pytest.approx(2.0)
    pacer.take(PRIVATE)
    now += 2.0
    pacer.take(OPS)
    with pytest.raises(RetryLaterError):
        pacer.take(OPS)
    now += 1_000.0
    for _ in range(BURST):
        pacer.take(OPS)


def test_a_pace_of_zero_holds_nothing_up() -> None:
    pacer = Pacer(0.0, clock=lambda: 5.0)
    taken = [pacer.take(OPS) for _ in range(100)]
    assert len(taken) == 100


def test_what_is_remembered_is_bounded() -> None:
    recent: Recent[str] = Recent(2)
    recent.put("a", "1")
    recent.put("b", "2")
    assert recent.get("a") == "1"
    recent.put("c", "3")
    assert [recent.get(key) for key in "abc"] == ["1", None, "3"]


async def test_calls_beside_each_other_are_all_answered(server: SlackServer, slack: Slack) -> None:
    """Two channels of the same name at once become two."""
    opened = await asyncio.gather(
        *(slack.open_channel("inc-1", private=False, key=f"k{number}") for number in range(4))
    )
    assert sorted(name for _, name in opened) == ["inc-1", "inc-1-2", "inc-1-3", "inc-1-4"]
