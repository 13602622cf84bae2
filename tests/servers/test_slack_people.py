"""The people of the Slack stand-in as an app hears them, their modals, and what they read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers import slack_calls as calls
from tests.servers.slack.state import SCOPES
from tests.servers.slack_calls import ALICE, BOB, Json, client_of, furnish, refused, section, violations
from tests.servers.slack_server import SlackServer, StandInError


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


@dataclass
class App:
    """An app in HTTP mode that keeps what it is sent; `answers` is what it acknowledges with, by type."""

    events: list[Json] = field(default_factory=list)
    payloads: list[Json] = field(default_factory=list)
    commands: list[Json] = field(default_factory=list)
    answers: dict[str, Json] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            body = await request.json()
            self.events += [body["event"]] if "event" in body else []
            return web.json_response({"challenge": body.get("challenge")})
        form = dict(await request.post())
        if "payload" not in form:
            self.commands.append(form)
            return self._answer("command")
        payload = json.loads(str(form["payload"]))
        self.payloads.append(payload)
        return self._answer(payload["type"])

    def _answer(self, kind: str) -> web.Response:
        return web.json_response(self.answers[kind]) if kind in self.answers else web.Response()

    def kinds(self) -> list[str]:
        return [event.get("subtype") or event["type"] for event in self.events]


@pytest.fixture
async def app(slack: SlackServer) -> AsyncIterator[App]:
    found = App()
    server = web.Application()
    server.router.add_post("/slack/events", found.take)
    runner = web.AppRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    assert (await slack.act("app", events_url=url))["acknowledged"] is True
    yield found
    slack.reset()
    await runner.cleanup()


async def test_messages_as_the_app_hears_them(slack: SlackServer, app: App) -> None:
    """Typed text becomes tokens; a thread, an edit, an unfurl, a file, a deletion, and app_mention beside."""
    where = {"user": ALICE, "channel": "C0OPS"}
    root = await slack.act("says", **where, text="@watchbell ask @bob & #ops <b> https://example.com/a_b")
    await slack.act("edits", **where, ts=root["ts"], text="never mind")
    await slack.act("unfurls", channel="C0OPS", ts=root["ts"])
    given = [{"name": "a.txt", "data_base64": "eA=="}]
    reply = await slack.act("says", **where, text="see", thread_ts=root["ts"], files=given)
    await slack.act("says", **where, text="all", thread_ts=root["ts"], broadcast=True)
    await slack.act("deletes", **where, ts=reply["ts"])
    await slack.act("deletes", **where, ts=root["ts"])
    expected = ["message", "app_mention", "message_changed", "message_changed"]
    expected += ["file_share", "thread_broadcast", "message_deleted", "message_changed"]
    assert app.kinds() == expected
    said, mention, edit, unfurled, file = app.events[:5]
    wire = "<@U0WATCHBELL> ask <@U0BOB0000> &amp; <#C0OPS|ops> &lt;b&gt; <https://example.com/a_b>"
    assert (said["text"], mention["text"], said["channel_type"]) == (wire, wire, "channel")
    assert (edit["message"]["text"], edit["previous_message"]["text"]) == ("never mind", wire)
    assert unfurled["message"]["text"] == unfurled["previous_message"]["text"]
    assert (file["thread_ts"], file["files"][0]["name"]) == (root["ts"], "a.txt")
    assert app.events[-1]["message"]["subtype"] == "tombstone"  # a root that was answered


async def test_the_app_hears_only_where_it_is_and_what_its_scopes_allow(slack: SlackServer, app: App) -> None:
    """Not in channels without the bot; without the scope nothing."""
    slack.call("add_channel", name="elsewhere", id="C0ELSE", bot=False)
    said = await slack.act("says", user=ALICE, channel="C0ELSE", text="@watchbell hello")
    assert (said["acknowledged"], said["error"]) == (False, "not_in_channel")
    assert app.events == []


async def test_what_the_bot_does_comes_back_to_it(
    slack: SlackServer, client: AsyncWebClient, app: App
) -> None:
    """With its bot_id, so that it can tell; `home` waits until those before it were delivered."""
    said = await client.chat_postMessage(channel="C0OPS", text="mine")
    await client.reactions_add(channel="C0OPS", timestamp=said["ts"], name="eyes")
    while len(app.events) < 2:
        await slack.act("home", user=ALICE)
    heard = [event for event in app.events if event["type"] != "app_home_opened"]
    assert [(e["type"], e["user"]) for e in heard] == [
        ("message", "U0WATCHBELL"),
        ("reaction_added", "U0WATCHBELL"),
    ]
    assert heard[0]["bot_id"] == "B0WATCHBELL"


async def test_a_slash_command_and_its_answers(slack: SlackServer, app: App) -> None:
    """The acknowledgement's text is for the person alone; the response_url is good for five more."""
    app.answers["command"] = {"response_type": "ephemeral", "text": "*Taken*"}
    typed = await slack.act("command", user=ALICE, channel="C0OPS", command="/wb", text="ack @bob")
    assert (typed["responses"], app.commands[0]["text"]) == (["Taken"], "ack <@U0BOB0000|bob>")
    url = str(app.commands[0]["response_url"])
    async with aiohttp.ClientSession() as session:
        for status in [200] * 5 + [404]:
            async with session.post(url, json={"text": "more"}) as answer:
                assert answer.status == status
    seen = slack.call("history", channel="C0OPS", reader=ALICE)["messages"]
    assert [(m["text"], m["ephemeral"]) for m in seen] == [("Taken", True), *[("more", True)] * 5]
    assert slack.call("history", channel="C0OPS", reader=BOB)["messages"] == []


async def test_a_button_is_pressed(slack: SlackServer, client: AsyncWebClient, app: App) -> None:
    """block_actions with what the button carried; a label that is not there is told to the test."""
    shown = [section(), calls.actions(calls.button("Ack", action_id="wb:0", value="/ack"), block_id="k")]
    said = await client.chat_postMessage(channel="C0OPS", text="x", blocks=shown)
    where = {"user": ALICE, "channel": "C0OPS", "ts": said["ts"]}
    assert (await slack.act("presses", **where, label="ack"))["acknowledged"] is True
    payload = app.payloads[0]
    action = payload["actions"][0]
    assert (action["action_id"], action["block_id"], action["value"]) == ("wb:0", "k", "/ack")
    assert payload["container"]["message_ts"] == payload["message"]["ts"] == said["ts"]
    with pytest.raises(StandInError, match="no button 'Deny' among"):
        await slack.act("presses", **where, label="Deny")


@pytest.mark.parametrize(
    ("view", "error"),
    [
        (calls.modal(*[section()] * 100), ""),
        (calls.modal(*[section()] * 101), "invalid_arguments"),
        (calls.modal(section(), private_metadata="x" * 3000), ""),
        (calls.modal(section(), private_metadata="x" * 3001), "invalid_arguments"),
        (calls.modal(section(), title={"type": "plain_text", "text": "x" * 25}), "invalid_arguments"),
        (calls.modal(calls.select(100, "x" * 73 + "{:02}")), ""),
        (calls.modal(calls.select(101)), "invalid_arguments"),
        (calls.modal(calls.select(1, "x" * 76)), "invalid_arguments"),
        (
            calls.modal(calls.field(placeholder={"type": "plain_text", "text": "x" * 151})),
            "invalid_arguments",
        ),
        (calls.modal(calls.field(max_length=3001)), "invalid_arguments"),
        ({k: v for k, v in calls.modal(calls.field()).items() if k != "submit"}, "invalid_arguments"),
        ({"type": "home", "blocks": []}, "invalid_arguments"),
    ],
)
async def test_the_limits_of_a_modal(
    slack: SlackServer, client: AsyncWebClient, app: App, view: Json, error: str
) -> None:
    """Both sides of each."""
    await slack.act("shortcut", user=ALICE, callback_id="open_incident")
    work = client.views_open(trigger_id=app.payloads[0]["trigger_id"], view=view)
    if error:
        await refused(work, error)
    else:
        assert (await work)["view"]["type"] == "modal"


async def test_a_trigger_is_good_once_and_for_three_seconds(
    slack: SlackServer, client: AsyncWebClient, app: App
) -> None:
    for _ in range(2):
        await slack.act("shortcut", user=ALICE, callback_id="open_incident")
    used, late = (payload["trigger_id"] for payload in app.payloads)
    await client.views_open(trigger_id=used, view=calls.modal(section()))
    await refused(client.views_open(trigger_id=used, view=calls.modal(section())), "exchanged_trigger_id")
    await slack.act("forward", seconds=3)
    await refused(client.views_open(trigger_id=late, view=calls.modal(section())), "expired_trigger_id")
    await refused(client.views_open(trigger_id="made.up", view=calls.modal(section())), "invalid_trigger_id")


async def test_a_modal_is_filled_in(slack: SlackServer, client: AsyncWebClient, app: App) -> None:
    """Required fields are the client's to refuse; errors of the app stay beside the field; then it closes."""
    await slack.act("shortcut", user=ALICE, callback_id="open_incident")
    view = calls.modal(calls.field(), calls.select(), callback_id="open", private_metadata="C0OPS")
    opened = (await client.views_open(trigger_id=app.payloads[0]["trigger_id"], view=view))["view"]
    where = {"user": ALICE, "view_id": opened["id"]}
    empty = await slack.act("submits", **where, values={"severity": "1"})
    assert (empty["acknowledged"], list(empty["errors"])) == (False, ["title"])
    app.answers["view_submission"] = {"response_action": "errors", "errors": {"title": "Too short."}}
    values = {"title": "It burns", "severity": "1"}
    assert (await slack.act("submits", **where, values=values))["errors"] == {"title": "Too short."}
    assert slack.call("views", user=ALICE)["modal"]["id"] == opened["id"]
    del app.answers["view_submission"]
    assert (await slack.act("submits", **where, values=values))["errors"] == {}
    assert slack.call("views", user=ALICE)["modal"] is None
    state = app.payloads[-1]["view"]["state"]["values"]
    assert state["title"]["value"] == {"type": "plain_text_input", "value": "It burns"}
    assert state["severity"]["value"]["selected_option"]["value"] == "1"
    assert violations(slack) == []


async def test_views_are_updated_by_their_hash(slack: SlackServer, client: AsyncWebClient, app: App) -> None:
    """An old hash is a conflict; three modals are on top of each other at most; the home is one a person."""
    await slack.act("shortcut", user=ALICE, callback_id="open_incident")
    opened = (await client.views_open(trigger_id=app.payloads[0]["trigger_id"], view=calls.modal(section())))[
        "view"
    ]
    which = {"view_id": opened["id"], "hash": opened["hash"]}
    await client.views_update(**which, view=calls.modal(section("new")))
    await refused(client.views_update(**which, view=calls.modal(section("late"))), "hash_conflict")
    for error in ("", "", "push_limit_reached"):
        await slack.act("shortcut", user=ALICE, callback_id="open_incident")
        work = client.views_push(trigger_id=app.payloads[-1]["trigger_id"], view=calls.modal(section()))
        await (refused(work, error) if error else work)
    await client.views_publish(user_id=ALICE, view={"type": "home", "blocks": [section("Yours")]})
    assert slack.call("views", user=ALICE)["home"]["blocks"][0]["text"]["text"] == "Yours"
    await slack.act("home", user=ALICE)
    assert app.events[-1]["view"]["type"] == "home"


async def test_what_people_read(slack: SlackServer, client: AsyncWebClient) -> None:
    """Names for ids, dates by their fallback, no marks; what stands in a fence keeps its own."""
    slack.call("group", id="S0SRE", handle="sre", name="SRE", users=[ALICE])
    wire = "*Bold* _it_ snake_case <@U0ALICE00> <#C0OPS> <!subteam^S0SRE|@sre> <!date^1^{time}|02:45 CET>"
    wire += " <https://example.com/a_b_c|page> &lt;3&gt;\n```\n*a* &amp; _b_\n```"
    await client.chat_postMessage(channel="C0OPS", text="x", blocks=[section(wire)])
    text = slack.call("newest", channel="C0OPS")["message"]["text"]
    assert text == (
        "Bold it snake_case @alice #ops @sre 02:45 CET page (https://example.com/a_b_c) <3>\n*a* & _b_"
    )


async def test_looking_for_the_newest(slack: SlackServer, client: AsyncWebClient) -> None:
    """By card, words, author, button; what one person sees only for that one."""
    metadata = {"event_type": "w", "event_payload": {"key": "k", "card": "approval"}}
    shown = [section("Scale up"), calls.actions(calls.button("Approve", value="v"))]
    card = await client.chat_postMessage(channel="C0OPS", text="x", blocks=shown, metadata=metadata)
    said = slack.call("says", user=ALICE, channel="C0OPS", text="Scale up?")
    secret = await client.chat_postEphemeral(channel="C0OPS", user=BOB, text="scale up, you")

    def newest(**asked: Any) -> str | None:
        found = slack.call("newest", **asked)["message"]
        return found["ts"] if found else None

    assert newest(card="approval") == newest(button="approve") == card["ts"]
    assert newest(containing="SCALE up") == newest(author=ALICE) == said["ts"]
    assert newest(containing="scale up", seen_by=BOB) == secret["message_ts"]
    assert newest(containing="nothing") is None


async def test_the_clock_moves_and_reset_begins_anew(slack: SlackServer, client: AsyncWebClient) -> None:
    """A ts is of the stand-in's clock and always later than the one before."""
    first = await client.chat_postMessage(channel="C0OPS", text="x")
    slack.call("forward", seconds=3600)
    second = await client.chat_postMessage(channel="C0OPS", text="x")
    slack.call("forward", seconds=-7200)
    third = await client.chat_postMessage(channel="C0OPS", text="x")
    assert 3600 <= float(second["ts"]) - float(first["ts"]) < 3700
    assert float(third["ts"]) > float(second["ts"])
    slack.reset(scopes=sorted(SCOPES))
    assert slack.call("channels")["channels"] == []
    with pytest.raises(StandInError, match="unexpected keyword"):
        slack.call("add_channel", name="x", colour="red")
