"""The web pages over HTTP: for machines and for people, and what they refuse."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from aiohttp import web

from bot.chat import Content, Upload
from bot.web.server import build
from tests.bot.sample_bot import START, SampleBot, serving
from tests.bot.web_client import (
    DATA,
    Browser,
    a_bot,  # noqa: F401
    a_browser,  # noqa: F401
    ops,
)


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


async def test_the_board_is_in_order(bot: SampleBot, browser: Browser) -> None:
    """Open before resolved, worst first, then the newest."""
    for _ in range(4):
        await bot.open_incident("RedisDown", "Redis is down")
    bot.rows[0] = replace(bot.rows[0], resolved_at=START)
    bot.rows[1] = replace(bot.rows[1], rank=2, severity="medium")
    _, body = await browser.get("/board")
    assert re.findall(r">INC-(\d)<", body) == ["4", "3", "2", "1"]
    assert "Medium" in body


async def test_without_a_board_the_chat_goes_on(bot: SampleBot, browser: Browser) -> None:
    """SAFETY 32: the log is away, the page says so, and people can still talk."""

    async def away() -> None:
        raise OSError("disk full")

    bot.board = away  # type: ignore[assignment,method-assign]
    status, body = await browser.get("/")
    assert status == 200
    assert "log cannot be read" in body
    assert (await browser.post("/chat/say", {"as": "alice", "channel": ops(bot), "text": "hello"}))[0] == 200


async def test_an_incident_has_its_page_and_reports(bot: SampleBot, browser: Browser) -> None:
    await bot.open_incident("RedisDown", "Redis is down")
    status, body = await browser.get("/incidents/1?as=alice")
    assert status == 200
    for text in (
        "Redis is down",
        "Alice acknowledged",
        "scale realtime 3 → 10",
        "/incidents/1/export.md",
    ):
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


def test_the_server_needs_no_chat() -> None:
    """Outside of the sandbox the bot may run on other chats alone."""
    bot = SampleBot(demo=False)
    bot.console = None
    assert isinstance(build(bot), web.Application)
