"""The browser chat over HTTP: what people see and do, with and without scripts."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from bot.chat import Content, Upload
from tests.bot.sample_bot import SampleBot, serving
from tests.bot.web_client import (
    DATA,
    HTML,
    Browser,
    a_bot,  # noqa: F401
    a_browser,  # noqa: F401
    ops,
    say,
)


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
    (message,) = bot.console.messages(ops(bot))
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
    number = bot.console.messages(secret)[0].files[0].id
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
    assert opening["arguments"][3]["flag"]
    assert "realtime" in data["kinds"]["service"]
    assert "@alice" in data["kinds"]["person"]
