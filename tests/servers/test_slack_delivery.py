"""The Slack stand-in's deliveries, taken by a bare Bolt app: over HTTP and over WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from tests.servers.slack import delivery
from tests.servers.slack.delivery import Courier
from tests.servers.slack.delivery_http import signature
from tests.servers.slack.state import Json, Workspace

MESSAGE = {"type": "message", "channel": "C1", "user": "U1", "text": "hello", "ts": "1.000001"}
COMMAND = {"command": "/ack", "text": "on it", "user_id": "U1", "channel_id": "C1", "team_id": "T0WATCH"}
PRESS = {
    "type": "block_actions",
    "user": {"id": "U1"},
    "team": {"id": "T0WATCH"},
    "actions": [{"type": "button", "action_id": "wb:0", "block_id": "k", "value": "/ack", "action_ts": "1"}],
}
SUBMISSION = {
    "type": "view_submission",
    "user": {"id": "U1"},
    "team": {"id": "T0WATCH"},
    "view": {"id": "V1", "type": "modal", "callback_id": "open", "state": {"values": {}}},
}


@dataclass
class Took:
    """A Bolt app that keeps what it was given; `fails` says how many events it does not take."""

    events: list[Json] = field(default_factory=list)
    retries: list[tuple[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    fails: int = 0
    stalls: asyncio.Event | None = None

    def app(self, secret: str) -> AsyncApp:
        """The app, with a listener for each kind of delivery."""

        async def authorize(**_: Any) -> AuthorizeResult:
            return AuthorizeResult(enterprise_id=None, team_id="T0WATCH", bot_user_id="U0", bot_token="xoxb")

        app = AsyncApp(signing_secret=secret, authorize=authorize, process_before_response=True)
        app.event("message")(self.event)
        app.command("/ack")(self.command)
        app.action("wb:0")(self.press)
        app.view("open")(self.submission)
        return app

    async def event(self, body: Json, request: Any) -> None:
        self.events.append(body)
        number = request.headers.get("x-slack-retry-num", [""])[0]
        self.retries.append((number, request.headers.get("x-slack-retry-reason", [""])[0]))
        if self.stalls is not None:
            await self.stalls.wait()
        if self.fails:
            self.fails -= 1
            raise OSError("the log is away")

    async def command(self, ack: Callable[..., Awaitable[Any]], body: Json) -> None:
        self.others.append(f"{body['command']} {body['text']}")
        if self.stalls is not None:
            await self.stalls.wait()
        await ack("done")

    async def press(self, ack: Callable[..., Awaitable[Any]], action: Json) -> None:
        self.others.append(action["value"])
        await ack()

    async def submission(self, ack: Callable[..., Awaitable[Any]]) -> None:
        await ack(response_action="errors", errors={"title": "Say what is broken."})


@asynccontextmanager
async def served(routes: list[web.RouteDef]) -> AsyncIterator[str]:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class StandIn:
    """A workspace with its deliveries, served in this process."""

    workspace: Workspace
    courier: Courier
    url: str = ""

    async def control(self, name: str, **asked: Any) -> Json:
        async with ClientSession() as session, session.post(f"{self.url}/_control/{name}", json=asked) as got:
            return dict(await got.json())


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    workspace = Workspace()

    async def connections_open(_request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "url": f"{found.url}/link/?ticket=1"})

    routes = [*delivery.routes(workspace), web.post("/api/apps.connections.open", connections_open)]
    assert isinstance(workspace.deliver, Courier)
    found = StandIn(workspace, workspace.deliver)
    async with served(routes) as found.url:
        yield found
        await found.courier.reset()


@asynccontextmanager
async def over_http(stand_in: StandIn, took: Took) -> AsyncIterator[None]:
    """The app behind a request URL; afterwards nobody listens there."""
    app = took.app(stand_in.workspace.app.signing_secret)

    async def endpoint(request: web.Request) -> web.Response:
        answer = await app.async_dispatch(await to_bolt_request(request))
        return await to_aiohttp_response(answer)

    async with served([web.post("/slack/events", endpoint)]) as url:
        stand_in.workspace.app.events_url = f"{url}/slack/events"
        yield


@asynccontextmanager
async def over_sockets(stand_in: StandIn, took: Took) -> AsyncIterator[AsyncSocketModeHandler]:
    client = AsyncWebClient(base_url=f"{stand_in.url}/api/")
    handler = AsyncSocketModeHandler(took.app("shh"), "xapp-test", web_client=client, ping_interval=0.05)
    await handler.connect_async()
    try:
        yield handler
    finally:
        await handler.close_async()


async def until(holds: Callable[[], bool]) -> None:
    """Return once something holds that another task brings about."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the library that brings it about tells nobody
            await asyncio.sleep(0.005)


WAYS = {"http": over_http, "sockets": over_sockets}


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


# -- both ways ------------------------------------------------------------------------------------


async def test_everything_arrives_and_is_acknowledged(stand_in: StandIn, way: Any) -> None:
    """An event in its envelope, a command, a press, and a submission answered with its errors."""
    took, courier = Took(), stand_in.courier
    async with way(stand_in, took):
        assert (await courier.configured()).acknowledged
        assert (await courier.event(MESSAGE)).acknowledged
        command = await courier.command(COMMAND)
        assert (await courier.interactive(PRESS)).acknowledged
        submitted = await courier.interactive(SUBMISSION)
    (body,) = took.events
    assert (body["type"], body["event"], body["team_id"]) == ("event_callback", MESSAGE, "T0WATCH")
    assert body["authorizations"][0]["user_id"] == "U0WATCHBELL"
    assert body["event_id"].startswith("Ev")
    assert took.others == ["/ack on it", "/ack"]
    assert command.acknowledged
    assert command.body == {"text": "done"}
    assert submitted.body == {"response_action": "errors", "errors": {"title": "Say what is broken."}}


async def test_what_failed_comes_again_at_once(stand_in: StandIn, way: Any) -> None:
    """Under the same event id, with the retry's number and reason."""
    took = Took(fails=1)
    stand_in.courier.limit = 0.2
    async with way(stand_in, took):
        assert (await stand_in.courier.event(MESSAGE)).acknowledged
    assert [number for number, _ in took.retries] in ([["", "1"], ["0", "1"]])
    assert took.retries[1][1] in ("http_error", "timeout")
    assert len({body["event_id"] for body in took.events}) == 1
    assert stand_in.courier.kept == []


async def test_then_after_one_minute_and_after_five(stand_in: StandIn, way: Any) -> None:
    """By the stand-in's clock; the third retry is the last one."""
    took, workspace, courier = Took(fails=9), stand_in.workspace, stand_in.courier
    courier.limit = 0.1
    async with way(stand_in, took):
        assert not (await courier.event(MESSAGE)).acknowledged
        seen = [len(took.events)]
        for seconds in (58, 3, 290, 20, 3600):
            workspace.forward(seconds)
            await courier.clock_moved()
            seen.append(len(took.events))
    assert seen == [2, 2, 3, 3, 4, 4]
    assert took.retries[-1][0] == "3"
    assert courier.kept == []


async def test_while_nobody_listens_nothing_is_lost_for_a_while(stand_in: StandIn, way: Any) -> None:
    """Events wait for their retry, commands and interactions fail for good."""
    took, courier = Took(), stand_in.courier
    async with way(stand_in, took):
        pass
    assert not (await courier.event(MESSAGE)).acknowledged
    assert (await courier.command(COMMAND)).error == "dispatch_failed"
    assert (await courier.interactive(PRESS)).error == "dispatch_failed"
    async with way(stand_in, took):
        stand_in.workspace.forward(60)
        await courier.clock_moved()
        await until(lambda: len(took.events) == 1)
    assert took.others == []


async def test_a_slow_command_times_out_and_is_not_repeated(stand_in: StandIn, way: Any) -> None:
    took, courier = Took(stalls=asyncio.Event()), stand_in.courier
    courier.limit = 0.1
    async with way(stand_in, took):
        ack = await courier.command(COMMAND)
        assert (ack.acknowledged, ack.error) == (False, "operation_timeout")
        took.stalls.set()
    assert took.others == ["/ack on it"]


async def test_duplicates_and_another_order_on_command(stand_in: StandIn, way: Any) -> None:
    took, courier = Took(), stand_in.courier
    async with way(stand_in, took):
        await stand_in.control("deliver", duplicate=True)
        await courier.event(MESSAGE)
        await stand_in.control("deliver", duplicate=False, reorder=True)
        held = await courier.event({**MESSAGE, "ts": "2.000001"})
        await courier.event({**MESSAGE, "ts": "3.000001"})
        await courier.event({**MESSAGE, "ts": "4.000001"})
        await stand_in.control("deliver", reorder=False)
    assert (held.acknowledged, held.error) == (False, "held")
    assert [body["event"]["ts"][0] for body in took.events] == ["1", "1", "3", "2", "4"]
    assert took.events[0]["event_id"] == took.events[1]["event_id"]


async def test_spawned_events_arrive_in_order(stand_in: StandIn, way: Any) -> None:
    took = Took()
    async with way(stand_in, took):
        for number in range(5):
            stand_in.courier.spawn_event({**MESSAGE, "ts": f"{number}.000001"})
        await until(lambda: len(took.events) == 5)
    assert [body["event"]["ts"][0] for body in took.events] == ["0", "1", "2", "3", "4"]


# -- HTTP -----------------------------------------------------------------------------------------


async def test_a_wrong_secret_is_refused_by_the_app(stand_in: StandIn) -> None:
    took = Took()
    async with over_http(stand_in, took):
        stand_in.workspace.app.signing_secret = "another"
        ack = await stand_in.courier.command(COMMAND)
    assert (ack.acknowledged, ack.status, ack.error) == (False, 401, "http_client_error")
    assert took.others == []


def test_the_signature_is_the_published_one() -> None:
    """The example of api.slack.com/authentication/verifying-requests-from-slack."""
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
        b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
        b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
        b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    found = signature("8f742231b10e8888abcd99yyyzzz85a5", body, 1531420618)
    assert found == {
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }


async def test_no_retry_where_the_app_asks_for_none(stand_in: StandIn) -> None:
    """X-Slack-No-Retry: 1 on an answer that is no 2xx."""
    calls = []

    async def endpoint(_request: web.Request) -> web.Response:
        calls.append(1)
        return web.Response(status=500, headers={"X-Slack-No-Retry": "1"})

    async with served([web.post("/slack/events", endpoint)]) as url:
        stand_in.workspace.app.events_url = f"{url}/slack/events"
        assert not (await stand_in.courier.event(MESSAGE)).acknowledged
    assert len(calls) == 1
    assert stand_in.courier.kept == []


async def test_an_address_that_returns_no_challenge_is_not_verified(stand_in: StandIn) -> None:
    async def endpoint(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async with served([web.post("/slack/events", endpoint)]) as url:
        stand_in.workspace.app.events_url = f"{url}/slack/events"
        assert (await stand_in.courier.configured()).error == "challenge_failed"


# -- Socket Mode ----------------------------------------------------------------------------------


async def test_envelopes_go_round_the_connections(stand_in: StandIn) -> None:
    one, two = Took(), Took()
    async with over_sockets(stand_in, one), over_sockets(stand_in, two):
        await until(lambda: len(stand_in.courier.sockets.ready) == 2)
        for _ in range(4):
            assert (await stand_in.courier.event(MESSAGE)).acknowledged
    assert (len(one.events), len(two.events)) == (2, 2)


async def test_after_a_refresh_it_goes_on_over_a_new_connection(stand_in: StandIn) -> None:
    """The app is asked, connects anew by itself, and loses nothing."""
    took, courier = Took(), stand_in.courier
    async with over_sockets(stand_in, took):
        old = courier.sockets.ready
        assert (await stand_in.control("refresh_sockets"))["asked"] == 1
        await until(lambda: bool(courier.sockets.ready))
        assert not set(courier.sockets.ready) & set(old)
        assert (await courier.event(MESSAGE)).acknowledged
    assert len(took.events) == 1


async def test_what_a_cut_left_unacknowledged_comes_over_the_next_connection(stand_in: StandIn) -> None:
    took, courier = Took(stalls=asyncio.Event()), stand_in.courier
    async with over_sockets(stand_in, took):
        going = asyncio.create_task(courier.event(MESSAGE))
        await until(lambda: len(took.events) == 1)
        assert (await stand_in.control("drop_sockets"))["dropped"] == 1
        assert not (await going).acknowledged
        took.stalls.set()
        await until(lambda: len(took.events) == 2)
        await until(lambda: not courier.kept)
    assert took.events[0]["event_id"] == took.events[1]["event_id"]
    assert took.retries[1] == ("2", "connection_failed")
