"""The web pages over HTTP: what they show and to whom, what they take, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bot.chat import Content, Upload
from bot.web.page import size, span
from bot.web.text import markup, tone
from tests.bot.sample_bot import START, SampleBot, serving

HTML = {"Accept": "text/html"}
DATA = {"Accept": "application/json"}


class Browser:
    """Asks one server; every answer with its body."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(self.url + path, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def headers(self, path: str) -> dict[str, str]:
        async with self.http.get(self.url + path) as answer:
            await answer.read()
            return dict(answer.headers)

    async def post(
        self, path: str, fields: dict[str, str] | bytes, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        answer = self.http.post(self.url + path, data=fields, headers=headers or DATA, allow_redirects=False)
        async with answer as given:
            return given.status, given.headers.get("Location") or await given.text()


@pytest.fixture
async def bot() -> SampleBot:
    return SampleBot()


@pytest.fixture
async def browser(bot: SampleBot) -> AsyncIterator[Browser]:
    async with serving(bot) as url, aiohttp.ClientSession() as http:
        yield Browser(url, http)


def ops(bot: SampleBot) -> str:
    assert bot.console is not None
    found = bot.console.channel_named("ops")
    assert found is not None
    return found


async def say(bot: SampleBot, text: str, user: str = "alice", thread: str | None = None) -> str:
    assert bot.console is not None
    return await bot.console.says(user, ops(bot), text, thread)


# -- for machines ---------------------------------------------------------------------------------


async def test_health_and_readiness(bot: SampleBot, browser: Browser) -> None:
    """Alive is one thing, ready another: a full disk is told with 503 and a sentence."""
    assert await browser.get("/healthz") == (200, "ok\n")
    assert (await browser.get("/readyz"))[0] == 200
    bot.ready = False
    status, body = await browser.get("/readyz")
    assert (status, json.loads(body)) == (503, {"ready": False, "parts": {"store": "the disk is full"}})
    assert (await browser.get("/healthz"))[0] == 200


async def test_metrics(browser: Browser) -> None:
    status, body = await browser.get("/metrics")
    assert status == 200
    assert "watchbell_commands_total 1.0" in body
    kind = (await browser.headers("/metrics"))["Content-Type"]
    assert kind.startswith("text/plain")


async def test_an_alert_is_passed_on_as_it_came(bot: SampleBot, browser: Browser) -> None:
    """Body, source and token; the answer of the bot goes back."""
    token = {"Authorization": "Bearer token"}
    half = await browser.post("/alerts/alertmanager", b"{half", token)
    assert half == (400, "this is no Alertmanager body\n")
    assert bot.alerts == [("alertmanager", b"{half", "token")]
    assert (await browser.post("/alerts/alertmanager", b"{}", {}))[0] == 401
    assert (await browser.post("/alerts/alertmanager", b"{}", {"Authorization": "Basic token"}))[0] == 401
    assert (await browser.get("/alerts/alertmanager"))[0] == 405


async def test_an_alert_is_read_up_to_the_allowed_size() -> None:
    """One byte more is 413, whether its length was announced or not."""
    bot = SampleBot(alert_limit=100)
    token = {"Authorization": "Bearer token"}

    async def pieces(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x"

    async with serving(bot) as url, aiohttp.ClientSession() as http:
        for body, status in ((b"x" * 100, 400), (b"x" * 101, 413), (pieces(100), 400), (pieces(101), 413)):
            async with http.post(f"{url}/alerts/alertmanager", data=body, headers=token) as answer:
                assert answer.status == status
    assert [len(body) for _, body, _ in bot.alerts] == [100, 100]


# -- security -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/chat/events", "/status", "/incidents/1", "/static/chat.js"])
async def test_another_name_is_refused(browser: Browser, path: str) -> None:
    """DNS rebinding: a page of another site that points its name here gets nothing."""
    status, body = await browser.get(path, Host="rebind.example:8080")
    assert status == 403
    assert "not served under this name" in body


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8080", "wb.example"])
async def test_own_names_are_served(host: str) -> None:
    async with serving(SampleBot(hosts=("wb.example",))) as url, aiohttp.ClientSession() as http:
        assert (await Browser(url, http).get("/", Host=host))[0] == 200


async def test_probes_and_alerts_come_under_any_name_outside_of_the_sandbox() -> None:
    async with serving(SampleBot(demo=False)) as url, aiohttp.ClientSession() as http:
        browser = Browser(url, http)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await browser.get(path, Host="10.1.2.3:8080"))[0] == 200
        token = {"Authorization": "Bearer token", "Host": "watchbell.monitoring.svc"}
        assert (await browser.post("/alerts/alertmanager", b"{}", token))[0] == 400
        assert (await browser.get("/", Host="10.1.2.3:8080"))[0] == 403


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
@pytest.mark.parametrize("path", ["/chat/say", "/chat/alert", "/chat/speed", "/alerts/alertmanager"])
async def test_a_post_of_another_site_is_refused(
    bot: SampleBot, browser: Browser, path: str, headers: dict[str, str]
) -> None:
    """CSRF: no effect, 403."""
    fields = {"as": "alice", "channel": ops(bot), "text": "/ack", "fire": "redis-down", "speed": "600"}
    status, body = await browser.post(path, fields, {**headers, "Authorization": "Bearer token"})
    assert (status, body) == (403, "This came from another site.\n")
    assert (bot.took, bot.alerts, bot.clock.speed) == ([], [], 1)


async def test_our_own_forms_are_taken(bot: SampleBot, browser: Browser) -> None:
    fields = {"as": "alice", "channel": ops(bot), "text": "hello"}
    assert (await browser.post("/chat/say", fields, {**DATA, "Origin": browser.url}))[0] == 200


@pytest.mark.parametrize("path", ["/", "/incidents/1", "/status", "/static/chat.js", "/nowhere"])
async def test_every_answer_carries_the_headers(bot: SampleBot, browser: Browser, path: str) -> None:
    """No inline script or style can run, nobody frames the page, nothing is sniffed, no cookie is set."""
    await bot.open_incident("RedisDown", "Redis is down")
    headers = await browser.headers(path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Set-Cookie" not in headers


async def test_no_page_has_inline_code(bot: SampleBot, browser: Browser) -> None:
    """What the policy would block is not there in the first place."""
    await bot.open_incident("RedisDown", "Redis is down")
    for path in ("/", "/incidents/1", "/status", "/board"):
        _, body = await browser.get(path)
        assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|javascript:", body)


async def test_text_from_outside_is_escaped_everywhere(bot: SampleBot, browser: Browser) -> None:
    """SAFETY 19: titles, labels, messages, file names and topics as text, never as markup."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
    number = await bot.open_incident(evil, evil)
    assert bot.console is not None
    channel = bot.rows[0].channel
    assert channel is not None
    await bot.console.says("mallory", channel, evil)
    await bot.console.arrange(channel, topic=evil)
    await bot.console.upload(channel, Upload(evil, b"x"), Content(evil, evil), key="k")
    bot.rows[0] = replace(bot.rows[0], owner=evil, service=evil, severity=evil, next_text=evil, status=evil)
    for path in (f"/?as=alice&channel={channel}", f"/incidents/{number}", "/status", "/board"):
        status, body = await browser.get(path)
        assert status == 200
        assert "<script>alert" not in body
        assert "<img" not in body


async def test_without_a_password_pages_are_for_this_machine(bot: SampleBot) -> None:
    """With one, it is asked for; probes, alerts and the status page never ask."""
    async with serving(SampleBot(demo=False, password="s3cret")) as url, aiohttp.ClientSession() as http:
        browser = Browser(url, http)
        assert (await browser.get("/"))[0] == 401
        wrong, right = (f"Basic {b64encode(p).decode()}" for p in (b"x:wrong", b"x:s3cret"))
        assert (await browser.get("/", Authorization=wrong))[0] == 401
        assert (await browser.get("/", Authorization="Basic %%%"))[0] == 401
        status, body = await browser.get("/", Authorization=right)
        assert status == 200
        assert "No open incidents" in body
        for path in ("/healthz", "/status", "/static/base.css"):
            assert (await browser.get(path))[0] == 200
    async with serving(SampleBot(demo=False)) as url, aiohttp.ClientSession() as http:
        assert (await Browser(url, http).get("/"))[0] == 200


async def test_the_chat_is_in_the_sandbox_only() -> None:
    """Outside of it there is no switch between people, so there is no chat to be somebody in."""
    async with serving(SampleBot(demo=False)) as url, aiohttp.ClientSession() as http:
        browser = Browser(url, http)
        assert (await browser.post("/chat/say", {"as": "alice", "text": "/ack"}))[0] == 404
        assert (await browser.get("/chat/events"))[0] == 404
        _, body = await browser.get("/")
        assert "You are" not in body


async def test_a_page_that_fails_tells_a_reference_and_nothing_else(bot: SampleBot, browser: Browser) -> None:
    async def broken() -> None:
        raise RuntimeError("the secret inside")

    bot.health = broken  # type: ignore[assignment,method-assign]
    status, body = await browser.get("/readyz")
    assert status == 500
    assert re.search(r"Watchbell reference [0-9A-F]{6}", body)
    assert "secret" not in body


# -- the chat without scripts ---------------------------------------------------------------------


async def test_the_page_reads_without_scripts(bot: SampleBot, browser: Browser) -> None:
    """The channel's messages, threads, buttons and the board are in the page as it comes."""
    await bot.open_incident("RedisDown", "Redis is down")
    channel = bot.rows[0].channel
    _, body = await browser.get(f"/?as=alice&channel={channel}")
    assert "#inc-1-redis-is-down" in body
    assert "first response due" in body
    assert 'name="label" value="Acknowledge"' in body
    assert "Sandbox" in body
    assert re.search(r"in 1[45] min</time>", body)


async def test_forms_work_without_scripts(bot: SampleBot, browser: Browser) -> None:
    """Say, react, edit and delete by plain forms: each leads back to where it was sent from."""
    where = {"as": "alice", "channel": ops(bot)}
    back = f"/?as=alice&channel={ops(bot)}"
    assert await browser.post("/chat/say", {**where, "text": "hello"}, HTML) == (303, back)
    assert bot.console is not None
    (message,) = bot.console.history(ops(bot))
    here = {**where, "message": message.id}
    assert await browser.post("/chat/react", {**here, "emoji": "📌"}, HTML) == (303, back)
    assert message.reactions == {"📌": ["alice"]}
    await browser.post("/chat/react", {**here, "emoji": "📌"}, HTML)
    assert message.reactions == {}
    _, body = await browser.get(f"{back}&edit={message.id}")
    assert 'action="/chat/edit"' in body
    assert (await browser.post("/chat/edit", {**here, "text": "hi", "open": message.id}, HTML)) == (
        303,
        f"{back}&thread={message.id}",
    )
    _, body = await browser.get(back)
    assert "(edited)" in body
    await browser.post("/chat/delete", here, HTML)
    _, body = await browser.get(back)
    assert "This message was deleted" in body
    status, body = await browser.post("/chat/delete", here, HTML)
    assert status == 409
    assert "That message is not there any more" in body
    assert [type(act).__name__ for act in bot.took] == ["Request", "Reaction", "Reaction", "Edit", "Deletion"]


async def test_a_thread_has_its_own_place(bot: SampleBot, browser: Browser) -> None:
    root = await say(bot, "the root")
    await say(bot, "an answer", "bob", thread=root)
    _, body = await browser.get(f"/?as=alice&channel={ops(bot)}")
    assert "1 answer " in body
    assert "an answer" not in body
    _, body = await browser.get(f"/?as=alice&thread={root}")
    assert "an answer" in body


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"text": "  \r\n "}, 409, "nothing to send"),
        ({"text": "x" * 40_001}, 409, "at most 40,000 characters"),
        ({"text": "hello", "channel": "C99"}, 409, "no channel"),
        ({}, 409, "nothing to send"),
    ],
)
async def test_what_cannot_be_said_is_refused_with_a_sentence(
    bot: SampleBot, browser: Browser, fields: dict[str, str], status: int, sentence: str
) -> None:
    got, body = await browser.post("/chat/say", {"as": "alice", "channel": ops(bot), **fields})
    assert got == status
    assert sentence in json.loads(body)["error"].casefold()
    assert bot.took == []


async def test_half_a_form_is_refused(browser: Browser) -> None:
    broken = {"Content-Type": "multipart/form-data; boundary=x", **DATA}
    assert (await browser.post("/chat/say", b"--x\r\nbroken", broken))[0] == 400
    binary = {"Content-Type": "application/x-www-form-urlencoded", **DATA}
    assert (await browser.post("/chat/say", b"as=alice&text=\xff\xfe%00", binary))[0] in (200, 400, 409)
    assert (await browser.get("/chat/events?since=-1"))[0] == 400
    assert (await browser.get("/?as=nobody&channel=C99&thread=M99&edit=%00"))[0] == 200


async def test_what_the_bot_cannot_take_is_kept_and_said(bot: SampleBot, browser: Browser) -> None:
    """SAFETY 32: the person is told, and the act is handed over again later."""
    bot.fails = True
    fields = {"as": "alice", "channel": ops(bot), "text": "/ack"}
    status, body = await browser.post("/chat/say", fields)
    assert status == 503
    assert "handed over again" in json.loads(body)["error"]
    bot.fails = False
    await browser.post("/chat/say", {**fields, "text": "anybody?"})
    assert [getattr(act, "text", "") for act in bot.took] == ["/ack", "anybody?"]


async def test_presses_go_to_the_bot(bot: SampleBot, browser: Browser) -> None:
    """A button that is there; one that is not any more is refused."""
    await bot.open_incident("RedisDown", "Redis is down")
    assert bot.console is not None
    card = bot.console.newest(card="incident")
    assert card is not None
    fields = {"as": "alice", "channel": card.channel, "message": card.id}
    assert (await browser.post("/chat/press", {**fields, "label": "Acknowledge"}))[0] == 200
    assert bot.rows[0].owner == "alice"
    assert (await browser.post("/chat/press", {**fields, "label": "Launch"}))[0] == 409


async def test_whispers_and_private_channels_stay_private(bot: SampleBot, browser: Browser) -> None:
    """In the page, in the data, and in the files."""
    assert bot.console is not None
    await bot.console.whisper(ops(bot), "alice", Content("only for alice", "only for alice"))
    secret = bot.console.creates("secret", members=["alice"])
    sent = Upload("keys.txt", b"secret")
    await bot.console.upload(secret, sent, Content("hush", "hush"), key="k")
    for path in (f"/?as={{}}&channel={ops(bot)}", f"/chat/messages?as={{}}&channel={ops(bot)}"):
        assert "only for alice" in (await browser.get(path.format("alice")))[1]
        assert "only for alice" not in (await browser.get(path.format("mallory")))[1]
    assert "#secret" not in (await browser.get(f"/?as=mallory&channel={secret}"))[1]
    assert "hush" not in (await browser.get(f"/chat/messages?as=mallory&channel={secret}"))[1]
    number = bot.console.history(secret)[0].files[0].id
    assert (await browser.get(f"/chat/files/{number}?as=alice"))[0] == 200
    assert (await browser.get(f"/chat/files/{number}?as=mallory"))[0] == 404


async def test_files_are_saved_and_never_shown(bot: SampleBot, browser: Browser) -> None:
    """Whatever it is called and whatever it holds."""
    assert bot.console is not None
    sent = Upload('ü"b\r\nX: y.html', b"<script>alert(1)</script>", "text/html")
    await bot.console.upload(ops(bot), sent, Content("here", "here"), key="k")
    headers = await browser.headers("/chat/files/1?as=alice")
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith('attachment; filename="__b__X_ y.html"; filename*=UTF-8')
    assert "X" not in headers


# -- live -----------------------------------------------------------------------------------------


async def events(browser: Browser, path: str, enough: int, **headers: str) -> list[tuple[str, str, str]]:
    """The first events of a stream: (id, name, data)."""
    found: list[tuple[str, str, str]] = []
    async with asyncio.timeout(10), browser.http.get(browser.url + path, headers=headers) as stream:
        assert stream.content_type == "text/event-stream"
        fields = {"id": "", "event": "", "data": ""}
        while len(found) < enough:
            line = (await stream.content.readline()).decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields["event"]:
                found.append((fields["id"], fields["event"], fields["data"]))
                fields = {"id": "", "event": "", "data": ""}
    return found


async def test_the_stream_tells_what_is_new_and_resumes(bot: SampleBot, browser: Browser) -> None:
    await say(bot, "before")
    assert bot.console is not None
    since = bot.console.store.rev
    await say(bot, "one")
    await say(bot, "two")
    told = await events(browser, f"/chat/events?as=bob&since={since}", 2)
    assert [name for _, name, _ in told] == ["message", "message"]
    assert ["one" in data for _, _, data in told] == [True, False]
    again = await events(browser, "/chat/events?as=bob&since=0", 1, **{"Last-Event-ID": told[0][0]})
    assert "two" in again[0][2]


async def test_the_stream_carries_board_clock_and_channels(bot: SampleBot, browser: Browser) -> None:
    assert bot.console is not None
    since = bot.console.store.rev
    await bot.open_incident("RedisDown", "Redis is down")
    told = await events(browser, f"/chat/events?as=alice&since={since}", 8)
    names = [name for _, name, _ in told]
    assert {"message", "page", "channels", "board", "clock"} <= set(names)
    page = json.loads(next(data for _, name, data in told if name == "page"))
    assert page["mine"]
    assert page["method"] in ("SMS", "phone")


async def test_the_stream_is_for_its_reader(bot: SampleBot, browser: Browser) -> None:
    """What somebody else alone may see is not in it."""
    assert bot.console is not None
    since = bot.console.store.rev
    await bot.console.whisper(ops(bot), "alice", Content("only for alice", "only for alice"))
    secret = bot.console.creates("secret", members=["alice"])
    await bot.console.says("alice", secret, "hush")
    await say(bot, "for all")
    told = await events(browser, f"/chat/events?as=mallory&since={since}", 3)
    data = "".join(data for _, _, data in told)
    assert "for all" in data
    assert "only for alice" not in data
    assert "hush" not in data
    assert "secret" not in data


async def test_a_reader_too_far_behind_loads_anew(bot: SampleBot, browser: Browser) -> None:
    """After the chat was made anew, say: the browser knows a revision that is not there yet."""
    assert (await events(browser, "/chat/events?as=alice&since=999999", 1))[0][1] == "reload"


async def test_the_server_stops_while_somebody_listens(bot: SampleBot) -> None:
    """Open streams end at once: nothing waits for browsers."""
    async with asyncio.timeout(10), aiohttp.ClientSession() as http:
        async with serving(bot) as url:
            stream = await http.get(f"{url}/chat/events?as=alice&since=0")
            await stream.content.readline()
        assert stream.content.at_eof() or await stream.content.read() is not None
        stream.close()


# -- the sandbox's own buttons --------------------------------------------------------------------


async def test_an_alert_of_the_menu_goes_the_way_of_real_ones(bot: SampleBot, browser: Browser) -> None:
    """Fired twice it is one alert; resolved it has the same start and fingerprint."""
    for fields in ({"fire": "redis-down"}, {"fire": "redis-down"}, {"resolve": "redis-down"}):
        assert (await browser.post("/chat/alert", {"as": "grace", **fields}))[0] == 200
    bodies = [json.loads(body) for _, body, _ in bot.alerts]
    assert [(b["version"], b["status"], b["truncatedAlerts"]) for b in bodies] == [
        ("4", "firing", 0),
        ("4", "firing", 0),
        ("4", "resolved", 0),
    ]
    alerts = [b["alerts"][0] for b in bodies]
    assert alerts[0]["labels"]["alertname"] == "RedisDown"
    assert len({(a["fingerprint"], a["startsAt"]) for a in alerts}) == 1
    assert alerts[0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert alerts[2]["endsAt"] > alerts[2]["startsAt"]
    assert {token for _, _, token in bot.alerts} == {"token"}
    assert (await browser.post("/chat/alert", {"as": "grace", "resolve": "redis-down"}))[0] == 409


async def test_an_alert_can_be_resolved_after_a_restart(tmp_path: Path) -> None:
    for fields in ({"fire": "odd"}, {"resolve": "odd"}):
        bot = SampleBot(tmp_path / "chat.db")
        async with serving(bot) as url, aiohttp.ClientSession() as http:
            assert (await Browser(url, http).post("/chat/alert", fields))[0] == 200


async def test_an_alert_that_is_not_taken_says_why() -> None:
    bot = SampleBot()
    bot.settings = replace(bot.settings, alert_token="wrong")
    async with serving(bot) as url, aiohttp.ClientSession() as http:
        status, body = await Browser(url, http).post("/chat/alert", {"fire": "redis-down"})
    assert status == 409
    assert "wrong token" in json.loads(body)["error"]


async def test_the_speed_is_one_of_three(bot: SampleBot, browser: Browser) -> None:
    assert (await browser.post("/chat/speed", {"speed": "60"}))[0] == 200
    assert bot.clock.speed == 60
    for speed in ("61", "-1", "1e9", "nan", ""):
        assert (await browser.post("/chat/speed", {"speed": speed}))[0] == 409
    assert bot.clock.speed == 60


async def test_completion_knows_every_command(browser: Browser) -> None:
    _, body = await browser.get("/chat/commands")
    data = json.loads(body)
    scale = next(c for c in data["commands"] if c["name"] == "scale")
    assert scale["effect"] == "change"
    assert scale["help"].startswith("Set how many replicas")
    service, replicas, namespace = scale["arguments"]
    assert (service["kind"], replicas["hint"], namespace["keyword"]) == ("service", "0 to 1000", True)
    opening = next(c for c in data["commands"] if c["name"] == "incident open")
    assert opening["arguments"][0]["choices"] == ["critical", "high", "medium", "low"]
    assert "realtime" in data["kinds"]["service"]
    assert "@alice" in data["kinds"]["person"]


# -- incidents ------------------------------------------------------------------------------------


async def test_the_board_is_in_order(bot: SampleBot, browser: Browser) -> None:
    """Open before resolved, worst first, then the newest."""
    for _ in range(4):
        await bot.open_incident("RedisDown", "Redis is down")
    bot.rows[0] = replace(bot.rows[0], resolved_at=START)
    bot.rows[1] = replace(bot.rows[1], rank=2, severity="medium")
    _, body = await browser.get("/board")
    assert re.findall(r">INC-(\d)<", body) == ["4", "3", "2", "1"]
    assert "Medium" in body


async def test_an_incident_has_its_page_and_reports(bot: SampleBot, browser: Browser) -> None:
    await bot.open_incident("RedisDown", "Redis is down")
    status, body = await browser.get("/incidents/1?as=alice")
    assert status == 200
    for text in ("Redis is down", "acknowledged: looking", "scale realtime 3 → 10", "/incidents/1/export.md"):
        assert text in body
    assert (await browser.get("/incidents/2"))[0] == 404
    assert (await browser.get("/incidents/1/export.exe"))[0] == 404
    assert (await browser.get("/incidents/2/export.md"))[0] == 404
    saved = await browser.headers("/incidents/1/export.csv")
    assert saved["Content-Disposition"].startswith("attachment")
    assert "filename*=UTF-8''INC-1%20%C3%9Cberblick.csv" in saved["Content-Disposition"]
    shown = await browser.headers("/incidents/1/export.html")
    assert "sandbox" in shown["Content-Security-Policy"]
    assert "script" not in shown["Content-Security-Policy"]
    assert "Content-Disposition" in await browser.headers("/incidents/1/export.html?download")


async def test_the_status_page_says_it_in_words(bot: SampleBot, browser: Browser) -> None:
    status, body = await browser.get("/status")
    assert status == 200
    assert "Some services are down" in body
    assert "works" in body


# -- text -----------------------------------------------------------------------------------------


def html(text: str, *people: str, me: str = "", lead: bool = False) -> str:
    return str(markup(text, people, me, lead=lead))


def test_messages_are_escaped_marked_and_laid_out() -> None:
    assert html("a < b\n& c") == "<p>a &lt; b\n&amp; c</p>"
    assert html("hi @bob and @eve", "bob") == '<p>hi <span class="mention">@bob</span> and @eve</p>'
    assert html("@bob", "bob", me="bob") == '<p><span class="mention me">@bob</span></p>'
    assert html("mail@bob.example", "bob") == "<p>mail@bob.example</p>"
    assert html("@\u2060bob", "bob") == "<p>@\u2060bob</p>"
    assert html("one\ntwo", lead=True) == '<p class="lead">one</p><p>two</p>'
    assert html("x\n```\na  b\n```\ny") == '<p>x</p><pre tabindex="0">a  b</pre><p>y</p>'
    assert html("``` open") == "<p>``` open</p>"
    assert html("`x<y`") == "<p><code>x&lt;y</code></p>"
    assert html("") == ""


def test_only_web_addresses_become_links() -> None:
    assert 'href="https://a.example/?x=1&amp;y=2"' in html("see https://a.example/?x=1&y=2.")
    assert html("see https://a.example).").endswith("</a>).</p>")
    for text in ("javascript:alert(1)", "https:\u2060//evil.example", "data:text/html,x"):
        assert "<a" not in html(text)


@pytest.mark.parametrize(
    ("text", "accent"),
    [("🔴 Critical", "rank-0"), ("🟢 resolved", "good"), ("⚠️ not run", "warn"), ("hello", ""), ("", "")],
)
def test_the_first_sign_gives_the_accent(text: str, accent: str) -> None:
    assert tone(text) == accent


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_spans_of_time_are_cut_off(seconds: int, words: str) -> None:
    assert span(seconds) == words


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1500, 2_100_000)] == ["0 B", "999 B", "2 kB", "2.1 MB"]


def test_the_server_needs_no_chat() -> None:
    """Outside of the sandbox the bot may run on other chats alone."""
    bot = SampleBot(demo=False)
    bot.console = None
    from bot.web.server import build

    assert isinstance(build(bot), web.Application)
