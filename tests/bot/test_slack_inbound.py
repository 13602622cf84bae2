"""What comes in from Slack: signed, once, decoded, acknowledged in time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from slack_bolt.async_app import AsyncBoltRequest
from structlog.testing import capture_logs

from bot.chat import Deletion, DeliveryError, Edit, Press, Reaction, Request, RetryLaterError
from bot.platforms import slack_socket
from bot.platforms.slack_client import UnavailableError
from bot.platforms.slack_decode import edit_id, line_of
from bot.platforms.slack_handover import SORRY
from bot.platforms.slack_http import BODY, Door
from tests.bot.slack_payloads import (
    ALICE,
    BOT,
    BOT_ID,
    CHANNEL,
    DIRECT,
    GUEST,
    NOW,
    SECRET,
    TRIGGER,
    Client,
    Json,
    SampleWorkspace,
    changed,
    command,
    deleted,
    envelope,
    home_press,
    message,
    message_shortcut,
    press,
    reaction,
    serving,
    shortcut,
    signature,
    submission,
    ts,
)


@pytest.fixture(name="slack")
async def a_workspace() -> SampleWorkspace:
    return SampleWorkspace()


@pytest.fixture(name="client")
async def a_client(slack: SampleWorkspace) -> AsyncIterator[Client]:
    async with serving(slack) as client:
        yield client


async def until_idle() -> None:
    """Let everything go on that waits for nothing."""
    for _ in range(20):
        await asyncio.sleep(0)


# -- who may knock ------------------------------------------------------------------------------------------


async def test_a_wrong_signature_is_refused(slack: SampleWorkspace, client: Client) -> None:
    """Nothing of the body is read, and nobody learns more than that."""
    body = json.dumps(envelope(message()))
    assert (await client.send(body, secret="another"))[0] == 401
    assert (await client.send(body, X_Slack_Signature="v0=é"))[0] == 401
    assert (await client.send(body, X_Slack_Signature=""))[0] == 401
    assert (await client.send("{half", secret="another"))[0] == 401
    assert slack.received == []


@pytest.mark.parametrize(("ago", "status"), [(300, 200), (301, 401), (-300, 200), (-301, 401)])
async def test_a_signature_is_good_for_five_minutes(
    slack: SampleWorkspace, client: Client, ago: int, status: int
) -> None:
    """Slack's recommendation, in both directions: clocks differ."""
    assert await client.event(message(), at=NOW - ago) == status
    assert len(slack.received) == (status == 200)


@pytest.mark.parametrize("stamp", ["", "now", "-5", "1e9", "٣", "1" * 30])
async def test_a_time_stamp_that_is_none_is_refused(client: Client, stamp: str) -> None:
    body = json.dumps(envelope(message()))
    assert (await client.send(body, at=NOW, X_Slack_Request_Timestamp=stamp))[0] == 401


async def test_the_very_same_request_is_let_in_once(slack: SampleWorkspace, client: Client) -> None:
    """Somebody who overheard a request cannot send it again; the signature a second later is another one."""
    assert await client.event(message()) == 200
    assert await client.event(message()) == 401
    assert await client.event(message(), X_Slack_Retry_Num="1", X_Slack_Retry_Reason="http_timeout") == 401
    assert await client.event(message(), at=NOW + 1) == 200
    assert [i.event_id for i in slack.received] == [f"{CHANNEL}:{ts()}"] * 2


async def test_what_failed_may_come_again_with_the_same_signature(
    slack: SampleWorkspace, client: Client
) -> None:
    """Slack tries again at once, which can be within the same second."""
    slack.error = RuntimeError("the log is away")
    assert await client.event(message()) == 500
    slack.error = None
    assert await client.event(message(), X_Slack_Retry_Num="1", X_Slack_Retry_Reason="http_error") == 200
    assert len(slack.received) == 1


def test_signatures_are_forgotten_when_they_are_too_old() -> None:
    """The memory is bounded, by time and by number."""
    now = NOW
    door = Door(SECRET, lambda: now, remembered=3)
    for second in range(5):
        stamp = str(int(NOW) + second)
        assert door.refusal(b"x", stamp, signature("x", stamp)) == ""
    assert len(door._seen) == 3
    now = NOW + 305
    stamp = str(int(now))
    assert door.refusal(b"x", stamp, signature("x", stamp)) == ""
    assert len(door._seen) == 1


@pytest.mark.parametrize(
    ("ago", "secret", "status"), [(0, SECRET, 200), (0, "another", 401), (301, SECRET, 401)]
)
async def test_bolt_verifies_by_itself(slack: SampleWorkspace, ago: int, secret: str, status: int) -> None:
    """What reaches the app by another way than the address is verified, too, by the same clock."""
    await slack.inbound.start(slack.receive, slack.house)
    body, stamp = json.dumps(envelope(message())), str(int(NOW) - ago)
    headers = {
        "content-type": "application/json",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": signature(body, stamp, secret),
    }
    answer = await slack.inbound.app.async_dispatch(AsyncBoltRequest(body=body, headers=headers))
    assert answer.status == status
    assert len(slack.received) == (status == 200)


async def test_the_body_may_have_a_megabyte(slack: SampleWorkspace, client: Client) -> None:
    room = BODY - len(json.dumps(envelope(message(""))))
    assert await client.event(message("x" * room)) == 200
    assert await client.event(message("x" * (room + 1))) == 413
    assert len(slack.received) == 1


@pytest.mark.parametrize("body", ["[1]", "{half", "5", '"text"', '{"type": "event_callback", "event": 5}'])
async def test_a_signed_body_that_is_no_payload_breaks_nothing(
    slack: SampleWorkspace, client: Client, body: str
) -> None:
    assert (await client.send(body))[0] in (200, 400, 500)
    assert await client.event(message()) == 200
    assert len(slack.received) == 1


@pytest.mark.parametrize("lost", ["ts", "channel"])
async def test_a_message_without_what_it_always_has_is_acknowledged(
    slack: SampleWorkspace, client: Client, lost: str
) -> None:
    """Sent again it would read no better."""
    event = message()
    del event[lost]
    assert await client.event(event) == 200
    assert slack.received == []


async def test_before_the_start_slack_is_asked_to_send_again(slack: SampleWorkspace) -> None:
    async with serving(slack, started=False) as client:
        assert await client.event(message()) == 503
        await slack.inbound.start(slack.receive, slack.house)
        assert await client.event(message()) == 200


async def test_slack_verifies_the_address(client: Client) -> None:
    """The handshake of the Events API: the challenge goes back."""
    body = json.dumps({"token": "XXYYZZ", "challenge": "3eZbrw1aB", "type": "url_verification"})
    status, answer = await client.send(body)
    assert (status, json.loads(answer)) == (200, {"challenge": "3eZbrw1aB"})


async def test_only_posts_are_taken(client: Client) -> None:
    async with client.http.get(client.url) as answer:
        assert answer.status == 405


def test_there_is_no_address_without_a_signing_secret() -> None:
    assert SampleWorkspace(signing_secret=None).inbound.routes() == []


async def test_nothing_of_what_people_wrote_is_logged(
    slack: SampleWorkspace,
    client: Client,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither by Bolt nor by slack_sdk, whatever the level, nor by us."""
    caplog.set_level(logging.DEBUG)
    with capture_logs() as ours:
        await _give_every_reason_to_log(slack, client)
    assert {entry["log_level"] for entry in ours} == {"warning", "error"}
    assert "hunter2" not in f"{ours}{caplog.text}{capsys.readouterr()}"


async def _give_every_reason_to_log(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(message("hunter2")) == 200
    assert (await client.send(json.dumps(envelope(message("hunter2"))), secret="another"))[0] == 401
    assert await client.event({"type": "channel_rename", "channel": {"name": "hunter2"}}) == 200
    slack.error = RuntimeError("the log is away")
    assert await client.event(message("hunter2 again")) == 500


# -- messages -----------------------------------------------------------------------------------------------


async def test_a_message(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(message(f"!status &lt;ok&gt; <@{ALICE}>")) == 200
    assert slack.received == [
        Request(
            platform="slack",
            event_id=f"{CHANNEL}:{ts()}",
            channel=CHANNEL,
            user=ALICE,
            age=5.0,
            text="!status <ok> @alice",
            message_id=ts(),
        )
    ]


async def test_a_mention_is_the_same_event_as_the_message(slack: SampleWorkspace, client: Client) -> None:
    """Slack sends both where the bot is in the channel."""
    text = f"<@{BOT}> who is on call"
    assert await client.event(message(text)) == 200
    assert await client.event(message(text, type="app_mention"), at=NOW + 1) == 200
    first, second = slack.received
    assert first == second
    assert first.text == "@watchbell who is on call"


@pytest.mark.parametrize("subtype", ["file_share", "thread_broadcast", "me_message"])
async def test_what_people_write_has_several_subtypes(
    slack: SampleWorkspace, client: Client, subtype: str
) -> None:
    files = [{"id": "F0S43P1CZ", "name": "graph.png"}, {"id": "F2", "mode": "tombstone", "name": None}]
    event = message("see", subtype=subtype, thread_ts=ts(60), files=files)
    assert await client.event(event) == 200
    (request,) = slack.received
    assert isinstance(request, Request)
    assert (request.thread, request.files, request.file_ids) == (
        ts(60),
        ("graph.png", "F2"),
        ("F0S43P1CZ", "F2"),
    )


@pytest.mark.parametrize(
    "event",
    [
        message(subtype="channel_join"),
        message(subtype="channel_topic", topic="INC-7"),
        message(user=BOT, bot_id=BOT_ID),
        message(bot_id=BOT_ID, subtype="bot_message"),
        changed("a", "a", edited=False),
        changed("a", "a"),
        changed("a", "b", edited=False),  # a preview under a link
        changed("a", "b", user=BOT, bot_id=BOT_ID),
        changed("a", "b", subtype="channel_topic"),
        deleted(user=BOT, bot_id=BOT_ID),
        reaction(user=BOT),
        reaction() | {"item": {"type": "file", "file": "F1"}},
        {"type": "member_joined_channel", "user": ALICE, "channel": CHANNEL},
        {"type": "pin_added", "user": BOT, "channel_id": CHANNEL, "item": {"type": "message"}},
        {"type": "pin_added", "user": ALICE, "channel_id": CHANNEL, "item": {"type": "file"}},
    ],
)
async def test_what_is_nobodys_doing_is_acknowledged_only(
    slack: SampleWorkspace, client: Client, event: Json
) -> None:
    assert await client.event(event) == 200
    assert slack.received == []


async def test_the_root_of_a_thread_is_in_no_thread(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(message(thread_ts=ts())) == 200
    assert slack.received[0] == replace(slack.received[0], thread=None)  # type: ignore[call-arg]


async def test_a_direct_message(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(message("ack", channel=DIRECT, channel_type="im")) == 200
    assert [getattr(i, "direct", None) for i in slack.received] == [True]


async def test_other_bots_are_heard_and_barred(slack: SampleWorkspace, client: Client) -> None:
    """Alerts of theirs belong into the transcript; much of it stands in attachments."""
    event = message("", user=None, bot_id="B0OTHER", subtype="bot_message")
    event["attachments"] = [{"fallback": "[FIRING] RedisDown"}]
    assert await client.event(event) == 200
    (request,) = slack.received
    assert isinstance(request, Request)
    assert (request.user, request.barred, request.text) == ("B0OTHER", "a bot", "[FIRING] RedisDown")
    assert slack.directory.asked == []


async def test_a_guest_is_barred(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(message(user=GUEST)) == 200
    assert slack.received[0].barred == "a guest"


async def test_an_edit(slack: SampleWorkspace, client: Client) -> None:
    """Its age counts from the edit, not from the message."""
    assert await client.event(changed("Redis is donw", "Redis is down")) == 200
    assert slack.received == [
        Edit(
            platform="slack",
            event_id=edit_id(CHANNEL, ts(60), ts(), "Redis is down"),
            channel=CHANNEL,
            user=ALICE,
            age=5.0,
            message_id=ts(60),
            text="Redis is down",
        )
    ]


@pytest.mark.parametrize(
    "event",
    [deleted(), changed("secret", "This message was deleted.", edited=False, subtype="tombstone")],
    ids=["message_deleted", "tombstone"],
)
async def test_a_deletion(slack: SampleWorkspace, client: Client, event: Json) -> None:
    """The root of a thread with answers is not deleted by Slack, but replaced."""
    assert await client.event(event) == 200
    (found,) = slack.received
    assert isinstance(found, Deletion)
    assert (found.event_id, found.user, found.message_id) == (f"{CHANNEL}:{ts(60)}:deleted", ALICE, ts(60))


@pytest.mark.parametrize("added", [True, False])
async def test_a_reaction(slack: SampleWorkspace, client: Client, added: bool) -> None:
    """A skin tone changes nothing but the event's id."""
    assert await client.event(reaction("+1::skin-tone-3", added=added)) == 200
    sign = "+" if added else "-"
    assert slack.received == [
        Reaction(
            platform="slack",
            event_id=f"{CHANNEL}:{ts(60)}:{ALICE}:+1::skin-tone-3:{sign}:{ts()}",
            channel=CHANNEL,
            user=ALICE,
            age=5.0,
            message_id=ts(60),
            emoji="👍",
            added=added,
        )
    ]


async def test_a_message_that_a_person_pins_goes_onto_the_timeline(
    slack: SampleWorkspace, client: Client
) -> None:
    item = {
        "type": "message",
        "channel": CHANNEL,
        "created_by": ALICE,
        "message": {"ts": ts(60), "text": "x"},
    }
    event = {"type": "pin_added", "user": ALICE, "channel_id": CHANNEL, "item": item, "event_ts": ts()}
    assert await client.event(event) == 200
    (found,) = slack.received
    assert isinstance(found, Reaction)
    assert (found.emoji, found.added) == ("📌", True)
    assert found.event_id == f"{CHANNEL}:{ts(60)}:{ALICE}:pin:+:{ts()}"  # pinned once more, it is another one


@pytest.mark.parametrize("kind", ["user_change", "team_join"])
async def test_changed_accounts_are_learned(slack: SampleWorkspace, client: Client, kind: str) -> None:
    user = {"id": "U1", "deleted": True}
    assert await client.event({"type": kind, "user": user, "event_ts": ts()}) == 200
    assert slack.directory.updated == [user]


async def test_the_history_reads_messages_in_the_same_way(slack: SampleWorkspace, client: Client) -> None:
    """One event id, whichever way it came."""
    event = message("!ack", user=GUEST)
    assert await client.event(event) == 200
    kept = {name: event[name] for name in ("type", "user", "text", "ts")}
    assert slack.inbound.incoming_of_message(kept, CHANNEL) == slack.received[0]


# -- commands, buttons, shortcuts ---------------------------------------------------------------------------


async def test_a_slash_command(slack: SampleWorkspace, client: Client) -> None:
    """No message shows it, so it has no id; the answer is empty."""
    slack.now = NOW + 3
    assert await client.form(command(text="realtime 10")) == (200, "")
    assert slack.received == [
        Request(
            platform="slack",
            event_id=f"trigger:{TRIGGER}",
            channel=CHANNEL,
            user=ALICE,
            age=3.0,
            text="/scale realtime 10",
        )
    ]


@pytest.mark.parametrize(
    ("name", "text", "prefix", "line"),
    [
        ("/scale", " api  3 ", "", "/scale api  3"),
        ("/ack", "", "", "/ack"),
        ("/wb", "scale api 3", "", "/wb scale api 3"),
        ("/wb", "scale api 3", "wb", "/scale api 3"),
        ("/ops", "/scale api 3", "ops", "/scale api 3"),
        ("/OPS", "scale api 3", "ops", "/scale api 3"),
        ("/ops", "", "ops", "/help"),
        ("/scale", "ops 3", "ops", "/scale ops 3"),
    ],
)
def test_the_line_of_a_slash_command(name: str, text: str, prefix: str, line: str) -> None:
    assert line_of(name, text, prefix) == line


async def test_a_press(slack: SampleWorkspace, client: Client) -> None:
    assert await client.act(press("/approve 7 hash")) == (200, "")
    assert slack.received == [
        Press(
            platform="slack",
            event_id=f"trigger:{TRIGGER}",
            channel=CHANNEL,
            user=ALICE,
            age=5.0,
            message_id=ts(60),
            value="/approve 7 hash",
        )
    ]


async def test_a_button_on_the_app_home_speaks_for_the_persons_own_channel(
    slack: SampleWorkspace, client: Client
) -> None:
    assert await client.act(home_press("/ack INC-7")) == (200, "")
    (found,) = slack.received
    assert isinstance(found, Request)
    assert (found.channel, found.direct, found.text, found.message_id) == (DIRECT, True, "/ack INC-7", None)


async def test_buttons_of_others_are_acknowledged_only(slack: SampleWorkspace, client: Client) -> None:
    assert await client.act(press("/ack", action="other")) == (200, "")
    assert await client.act({"type": "view_closed", "view": {"callback_id": "wb:open"}}) == (200, "")
    assert await client.act(shortcut("unheard_of")) == (200, "")
    assert slack.received == []


async def test_the_message_shortcut_is_a_pin(slack: SampleWorkspace, client: Client) -> None:
    assert await client.act(message_shortcut()) == (200, "")
    (found,) = slack.received
    assert isinstance(found, Reaction)
    assert (found.event_id, found.emoji, found.message_id) == (f"trigger:{TRIGGER}", "📌", ts(60))


# -- acknowledged in time -----------------------------------------------------------------------------------


async def test_an_event_that_takes_longer_is_acknowledged_and_goes_on(
    slack: SampleWorkspace, client: Client
) -> None:
    """Slack waits three seconds; what was begun is not given up."""
    slack.hold = asyncio.Event()
    assert await client.event(message()) == 200
    assert slack.received == []
    slack.hold.set()
    await until_idle()
    assert len(slack.received) == 1


async def test_stopping_waits_for_what_was_begun(slack: SampleWorkspace) -> None:
    slack.hold = asyncio.Event()
    async with serving(slack) as client:
        assert await client.event(message()) == 200
        stopping = asyncio.create_task(slack.inbound.stop())
        await until_idle()
        assert not stopping.done()
        slack.hold.set()
        await stopping
    assert len(slack.received) == 1


async def test_an_event_that_could_not_be_taken_in_is_not_acknowledged(
    slack: SampleWorkspace, client: Client
) -> None:
    """So that Slack sends it again."""
    slack.error = RuntimeError("the log is away")
    assert await client.event(message()) == 500


async def test_an_event_waits_until_it_is_known_who_wrote_it(slack: SampleWorkspace, client: Client) -> None:
    """Without an answer of users.info nobody knows whether the account may act."""
    slack.directory.away = True
    assert await client.event(message()) == 500
    slack.directory.away = False
    assert await client.event(message()) == 200


async def test_a_command_that_could_not_be_taken_in_is_told_about(
    slack: SampleWorkspace, client: Client
) -> None:
    """Slack never sends a command again, so the person has to."""
    slack.error = RuntimeError("the log is away")
    status, answer = await client.form(command())
    assert (status, json.loads(answer)) == (200, {"text": SORRY, "response_type": "ephemeral"})
    assert slack.whispers == []


async def test_a_command_that_fails_later_is_told_about_then(slack: SampleWorkspace, client: Client) -> None:
    slack.hold, slack.error = asyncio.Event(), RuntimeError("the log is away")
    assert await client.form(command()) == (200, "")
    slack.hold.set()
    await until_idle()
    assert slack.whispers == [(CHANNEL, ALICE, SORRY)]


@pytest.mark.parametrize("payload", [press(), message_shortcut()], ids=["press", "shortcut"])
async def test_a_press_that_could_not_be_taken_in_is_told_about(
    slack: SampleWorkspace, client: Client, payload: Json
) -> None:
    """Slack shows nothing of the answer to a press."""
    slack.error = RuntimeError("the log is away")
    assert await client.act(payload) == (200, "")
    await until_idle()
    assert slack.whispers == [(CHANNEL, ALICE, SORRY)]


# -- forms --------------------------------------------------------------------------------------------------


def opened(slack: SampleWorkspace) -> Json:
    """The one form that was opened."""
    ((method, arguments),) = slack.api.calls
    assert (method, arguments["trigger_id"]) == ("views.open", TRIGGER)
    view: Json = arguments["view"]
    return view


FIELDS = {
    "title": "Redis is down",
    "severity": "critical",
    "service": "api",
    "since": "40m",
    "private": "yes",
}


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("/incident", "open", "wb:open"),
        ("/inc", " Open ", "wb:open"),
        ("/wb", "incident open", "wb:open"),
        ("/update", "", "wb:update"),
        ("/incident", "update", "wb:update"),
        ("/resolve", "", "wb:resolve"),
    ],
)
async def test_a_command_without_its_values_opens_a_form(
    slack: SampleWorkspace, client: Client, name: str, text: str, kind: str
) -> None:
    assert await client.form(command(name, text)) == (200, "")
    view = opened(slack)
    assert view["callback_id"] == kind
    assert json.loads(view["private_metadata"])["channel"] == CHANNEL
    assert slack.received == []


@pytest.mark.parametrize(
    "line", ["/update it is up", "/incident open critical Redis", "/incident", "/resolve x"]
)
async def test_a_command_with_values_opens_none(slack: SampleWorkspace, client: Client, line: str) -> None:
    name, _, text = line.partition(" ")
    assert await client.form(command(name, text)) == (200, "")
    assert [getattr(i, "text", None) for i in slack.received] == [line]
    assert slack.api.calls == []


@pytest.mark.parametrize(
    ("value", "kind"), [("/update", "wb:update"), ("/update …", "wb:update"), ("/resolve …", "wb:resolve")]
)
async def test_a_button_opens_a_form(slack: SampleWorkspace, client: Client, value: str, kind: str) -> None:
    """And the form knows the thread that the button stands in."""
    assert await client.act(press(value, thread=ts(90))) == (200, "")
    view = opened(slack)
    assert view["callback_id"] == kind
    assert json.loads(view["private_metadata"]) == {"channel": CHANNEL, "thread": ts(90), "message": ts(60)}


async def test_a_button_that_resolves_is_a_press(slack: SampleWorkspace, client: Client) -> None:
    assert await client.act(press("/resolve")) == (200, "")
    assert [getattr(i, "value", None) for i in slack.received] == ["/resolve"]


async def test_a_form_becomes_a_command(slack: SampleWorkspace, client: Client) -> None:
    """From the global shortcut to the line; it belongs to the person's own channel."""
    assert await client.act(shortcut()) == (200, "")
    assert await client.act(submission(opened(slack), FIELDS)) == (200, "")
    assert slack.received == [
        Request(
            platform="slack",
            event_id="view:VNHU13V36:156663117.cd33ad1f",
            channel=DIRECT,
            user=ALICE,
            text='/incident open critical "Redis is down" service=api since=40m --private',
            direct=True,
        )
    ]


async def test_a_form_goes_back_to_where_it_was_asked_for(slack: SampleWorkspace, client: Client) -> None:
    assert await client.act(press("/update", thread=ts(90))) == (200, "")
    assert await client.act(submission(opened(slack), {"text": "It is up.", "eta": "30m"})) == (200, "")
    (found,) = slack.received
    assert isinstance(found, Request)
    assert (found.channel, found.thread, found.direct) == (CHANNEL, ts(90), False)
    assert found.text == '/update "It is up." eta=30m'


@pytest.mark.parametrize("field", ["title", "service", "since"])
async def test_what_cannot_be_read_is_said_beside_the_field(
    slack: SampleWorkspace, client: Client, field: str
) -> None:
    """The form stays open, and nothing is handed over."""
    await client.act(shortcut())
    status, answer = await client.act(submission(opened(slack), FIELDS | {field: "wrong"}))
    told = {"response_action": "errors", "errors": {field: "That word is wrong."}}
    assert (status, json.loads(answer)) == (200, told)
    assert slack.received == []


async def test_a_form_that_could_not_be_taken_in_stays_open(slack: SampleWorkspace, client: Client) -> None:
    """What was typed is not lost."""
    await client.act(shortcut())
    slack.error = RuntimeError("the log is away")
    status, answer = await client.act(submission(opened(slack), FIELDS))
    assert (status, json.loads(answer)["errors"]) == (200, {"title": SORRY})


async def test_a_form_whose_origin_is_no_longer_readable_stays_open(
    slack: SampleWorkspace, client: Client
) -> None:
    await client.act(shortcut())
    view = opened(slack) | {"private_metadata": "{}x"}
    status, answer = await client.act(submission(view, FIELDS))
    assert (status, json.loads(answer)["errors"]) == (200, {"title": SORRY})


@pytest.mark.parametrize("error", [DeliveryError("no"), RetryLaterError(3), UnavailableError("no answer")])
async def test_where_slack_opens_no_form_the_line_is_told(
    slack: SampleWorkspace, client: Client, error: Exception
) -> None:
    """A command is answered at once, a button by a whisper; nothing is resolved by accident."""
    slack.api.error = error
    _, answer = await client.form(command("/resolve", ""))
    assert json.loads(answer)["text"] == "Slack opened no form; type `/resolve TEXT` instead."
    await client.act(press("/resolve …"))
    await until_idle()
    assert slack.whispers == [(CHANNEL, ALICE, "Slack opened no form; type `/resolve TEXT` instead.")]
    assert slack.received == []


async def test_nobody_barred_gets_a_form(slack: SampleWorkspace, client: Client) -> None:
    """They would read the names of the services in it; the house refuses what they typed."""
    await client.act(shortcut(user=GUEST))
    await client.form(command("/incident", "open", user_id=GUEST))
    assert slack.api.calls == []
    assert [(i.barred, getattr(i, "text", None)) for i in slack.received] == [
        ("a guest", "/incident open")
    ] * 2


# -- App Home -----------------------------------------------------------------------------------------------


def home_opened(user: str = ALICE, tab: str = "home") -> Json:
    return {"type": "app_home_opened", "user": user, "channel": DIRECT, "tab": tab, "event_ts": ts()}


async def test_the_app_home_is_published_when_it_is_opened(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(home_opened()) == 200
    ((method, arguments),) = slack.api.calls
    assert (method, arguments["user_id"]) == ("views.publish", ALICE)
    assert "INC-7" in json.dumps(arguments["view"])


async def test_the_messages_tab_publishes_nothing(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(home_opened(tab="messages")) == 200
    assert slack.api.calls == []


async def test_the_app_home_of_a_guest_shows_nothing(slack: SampleWorkspace, client: Client) -> None:
    assert await client.event(home_opened(GUEST)) == 200
    shown = json.dumps(slack.api.calls)
    assert "a guest" in shown
    assert "INC-7" not in shown


# -- Socket Mode --------------------------------------------------------------------------------------------


class SocketServer:
    """apps.connections.open and the connection behind it; `refuse` is an error that it answers with."""

    def __init__(self) -> None:
        self.refuse = ""
        self.broken = 0  # so many addresses lead nowhere
        self.issued = 0
        self.acknowledged: list[Json] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.news = asyncio.Condition()

    async def open(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer xapp-test"
        if self.refuse:
            return web.json_response({"ok": False, "error": self.refuse})
        self.issued += 1
        path = "nowhere" if self.issued <= self.broken else "link"
        return web.json_response({"ok": True, "url": f"ws://{request.host}/{path}?ticket={self.issued}"})

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1})
        async with self.news:
            self.sockets.append(socket)
            self.news.notify_all()
        async for frame in socket:
            if frame.type == WSMsgType.TEXT:
                async with self.news:
                    self.acknowledged.append(json.loads(frame.data))
                    self.news.notify_all()
        return socket

    async def until(self, what: Any) -> None:
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(what)


@pytest.fixture(name="server")
async def a_socket_server() -> AsyncIterator[tuple[SocketServer, str]]:
    server = SocketServer()
    app = web.Application()
    app.add_routes([web.post("/api/apps.connections.open", server.open), web.get("/link", server.link)])
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield server, f"http://127.0.0.1:{runner.addresses[0][1]}/api/"
    await runner.cleanup()


def over_sockets(url: str) -> SampleWorkspace:
    return SampleWorkspace(app_token="xapp-test", signing_secret=None, base_url=url)


def wrapped(kind: str, payload: Json, ident: str = "e1") -> Json:
    return {"type": kind, "envelope_id": ident, "payload": payload, "accepts_response_payload": True}


async def test_events_come_by_socket_mode(server: tuple[SocketServer, str]) -> None:
    """Unsigned, because the connection is the app's own; acknowledged by the envelope's id."""
    there, url = server
    slack = over_sockets(url)
    await slack.inbound.start(slack.receive, slack.house)
    await there.until(lambda: there.sockets)
    await there.sockets[0].send_json(wrapped("events_api", envelope(message())))
    await there.until(lambda: there.acknowledged)
    await slack.inbound.stop()
    assert there.acknowledged == [{"envelope_id": "e1"}]
    assert len(slack.received) == 1
    assert there.issued == 1


async def test_what_could_not_be_taken_in_is_not_acknowledged_by_socket_mode_either(
    server: tuple[SocketServer, str],
) -> None:
    """Events are sent again, then; commands are answered."""
    there, url = server
    slack = over_sockets(url)
    slack.error = RuntimeError("the log is away")
    await slack.inbound.start(slack.receive, slack.house)
    await there.until(lambda: there.sockets)
    await there.sockets[0].send_json(wrapped("events_api", envelope(message())))
    await there.sockets[0].send_json(wrapped("slash_commands", command(), "e2"))
    await there.until(lambda: there.acknowledged)
    await slack.inbound.stop()
    said = {"text": SORRY, "response_type": "ephemeral"}
    assert there.acknowledged == [{"envelope_id": "e2", "payload": said}]


async def test_it_connects_again_when_slack_asks_for_it(server: tuple[SocketServer, str]) -> None:
    there, url = server
    slack = over_sockets(url)
    await slack.inbound.start(slack.receive, slack.house)
    await there.until(lambda: there.sockets)
    await there.sockets[0].send_json({"type": "disconnect", "reason": "refresh_requested"})
    await there.until(lambda: len(there.sockets) == 2)
    await there.sockets[1].send_json(wrapped("events_api", envelope(message())))
    await there.until(lambda: there.acknowledged)
    await slack.inbound.stop()
    assert len(slack.received) == 1


async def test_an_address_that_leads_nowhere_is_replaced(
    server: tuple[SocketServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """slack_sdk alone would try the same one for ever, long after it expired."""
    there, url = server
    there.broken = 1
    monkeypatch.setattr(slack_socket, "ATTEMPT", 0.2)
    monkeypatch.setattr(slack_socket, "PING", 0.05)
    slack = over_sockets(url)
    await slack.inbound.start(slack.receive, slack.house)
    await there.until(lambda: there.sockets)
    await slack.inbound.stop()
    assert there.issued == 2


@pytest.mark.parametrize("code", ["invalid_auth", "not_allowed_token_type", "missing_scope"])
async def test_a_wrong_app_token_is_told_at_the_start(server: tuple[SocketServer, str], code: str) -> None:
    """It gets no better by waiting."""
    there, url = server
    there.refuse = code
    slack = over_sockets(url)
    with pytest.raises(DeliveryError, match=f"app-level token \\({code}\\)"):
        await slack.inbound.start(slack.receive, slack.house)
    await slack.inbound.stop()


async def test_the_start_does_not_wait_for_slack_for_ever(
    server: tuple[SocketServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks of the incidents run without it; the connection comes when Slack does."""
    there, url = server
    there.refuse = "internal_error"
    monkeypatch.setattr(slack_socket, "START", 0.05)
    monkeypatch.setattr(slack_socket, "PING", 0.05)
    slack = over_sockets(url)
    await slack.inbound.start(slack.receive, slack.house)
    assert there.sockets == []
    there.refuse = ""
    await there.until(lambda: there.sockets)
    await slack.inbound.stop()
