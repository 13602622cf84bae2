"""Anything sent over HTTP: an answer below 500 that says why, and the bot goes on."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import select
from yarl import URL

from bot import store
from bot.clock import VirtualClock
from bot.pages import BotPages
from bot.resources import resource
from bot.serve import serving, web_settings
from bot.web.server import build
from tests import examples
from tests.bad_input.rig import PEOPLE, Rig, rig
from tests.bad_input.typed import ANYTHING, INNARDS, NASTY, TALK, WORDS, outer

HERE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass
class Pace:
    """The stage's clock, with the switch of the demo."""

    clock: VirtualClock
    speed: float = 1

    def now(self) -> Any:
        return self.clock.now()

    def set_speed(self, speed: float) -> None:
        self.speed = speed


@dataclass(repr=False)
class Site:
    """A bot and its pages on a real socket."""

    bell: Rig
    url: str
    port: int
    http: aiohttp.ClientSession
    token: str

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text("a site")

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Send it, let the bot settle; the answer is below 500, has words and tells nothing of the inside."""
        url = URL(self.url + path, encoded=True)
        async with self.http.request(method, url, allow_redirects=False, **more) as answer:
            body = await answer.read()
            status = answer.status
        assert body.strip() or status < 400
        text = body.decode("utf-8", "replace")
        await self.bell.stage.settle()
        self.check(status, text)
        return status, text

    def check(self, status: int, text: str) -> None:
        assert status < 500, (status, text)
        if status >= 400:
            assert not INNARDS.search(text), text
        self.bell.clean(self.bell.records)
        self.bell.records.clear()

    async def raw(self, data: bytes, *, whole: bool = True) -> str:
        """Send bytes as they are; the answer until the other side closes, or the connection breaks off here."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        got = b""
        if whole:
            async with asyncio.timeout(20):
                got = await reader.read()
            writer.close()
        else:
            writer.transport.abort()
        await self.bell.stage.settle()
        text = got.decode("latin-1")
        status = int(text.split()[1]) if whole else 0
        assert status < 500 or status == 501, text
        assert not INNARDS.search(text), text
        self.bell.clean(self.bell.records)
        self.bell.records.clear()
        return text

    async def alert(self, body: bytes, source: str = "alertmanager", **headers: str) -> tuple[int, str]:
        head = {"Authorization": f"Bearer {self.token}", **headers}
        return await self.ask("POST", f"/alerts/{source}", data=body, headers=head)


@pytest.fixture(name="site")
async def a_site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        bell = await stack.enter_async_context(rig(tmp_path / "data", config=_config(tmp_path)))
        yield await stack.enter_async_context(served(bell))


def _config(folder: Path) -> Path:
    """The example configuration with a second source."""
    own = "      token_env: WATCHBELL_ALERTMANAGER_TOKEN\n"
    text = resource("watchbell.example.yaml").read_text("utf-8")
    path = folder / "watchbell.yaml"
    path.write_text(text.replace(own, f"{own}    generic:\n      token_env: WATCHBELL_GENERIC_TOKEN\n"))
    return path


@asynccontextmanager
async def served(bell: Rig, body_seconds: float = 30) -> AsyncIterator[Site]:
    """The pages of a bot on a free port."""
    stage = bell.stage
    secret = stage.settings.alerts.sources["alertmanager"].token
    assert secret is not None
    token = secret.get_secret_value()
    shown = web_settings(stage.settings, demo=True, host="127.0.0.1", token=token)
    shown = replace(shown, body_seconds=body_seconds)
    pages = BotPages(stage.bot, shown, Pace(stage.clock), CollectorRegistry(), stage.console)
    async with serving(build(pages), "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        yield Site(bell, url, int(url.rpartition(":")[2]), http, token)


# -- webhooks -----------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20).map(outer),
        st.sampled_from(NASTY[:-1]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8).map(outer), inner, max_size=4)
    ),
    max_leaves=12,
)
GOOD = {
    "status": "firing",
    "labels": {"alertname": "RedisDown", "severity": "critical", "service": "redis"},
    "annotations": {"summary": "Redis is down"},
    "startsAt": "2026-01-03T01:20:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus.example/graph",
    "fingerprint": "0123456789abcdef",
}
BODY = {
    "version": "4",
    "groupKey": '{}:{alertname="RedisDown"}',
    "status": "firing",
    "receiver": "watchbell",
    "groupLabels": {"alertname": "RedisDown"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.example",
    "truncatedAlerts": 0,
    "alerts": [GOOD],
}
GENERIC = {
    "title": "Disk is full",
    "severity": "high",
    "service": "redis",
    "status": "firing",
    "key": "k",
    "url": "http://x",
}


@st.composite
def spoilt(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """The object with some of its fields left out, or holding anything."""
    found = dict(whole)
    for name in draw(st.lists(st.sampled_from(sorted(whole)), max_size=4, unique=True)):
        if draw(st.booleans()):
            found[name] = draw(JSON)
        else:
            del found[name]
    found.update(draw(st.dictionaries(st.text(max_size=6).map(outer), JSON, max_size=2)))
    return found


def dumped(value: object) -> bytes:
    return json.dumps(value).encode()


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    kind = draw(st.integers(0, 5))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return dumped(draw(JSON))
    body = draw(spoilt(BODY)) if kind < 5 else draw(spoilt(GENERIC))
    if kind > 2 and isinstance(body.get("alerts"), list):
        body["alerts"] = draw(st.lists(st.one_of(spoilt(GOOD), JSON), max_size=4))
    whole = dumped(body)
    return whole[: draw(st.integers(0, len(whole)))] if kind == 3 else whole


TYPES = [
    "application/json",
    "text/plain",
    "",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "a/b;charset=x",
]


@given(
    body=bodies(), source=st.sampled_from(["alertmanager", "generic", "nobody"]), kind=st.sampled_from(TYPES)
)
@example(b"[" * 50_000, "alertmanager", "application/json")
@example(b'{"a":' * 50_000, "generic", "application/json")
@example(b'{"alerts":[' + b"[" * 900 + b"]" * 900 + b"]}", "alertmanager", "application/json")
@example(b'{"alerts": [{"labels": {"alertname": "\\ud800"}, "status": "firing"}]}', "alertmanager", "")
@example(dumped({**GENERIC, "title": "x" * 100_000}), "generic", "application/json")
@example(
    dumped({**BODY, "alerts": [GOOD | {"fingerprint": f"{n:016x}"} for n in range(1500)]}), "alertmanager", ""
)
@example(b'{"truncatedAlerts": 1e400, "alerts": [{}]}', "alertmanager", "application/json")
@example(dumped({**GENERIC, "severity": 10**400}), "generic", "application/json")
@settings(max_examples=examples(150), deadline=None, suppress_health_check=HERE)
async def test_any_body_as_a_webhook(site: Site, body: bytes, source: str, kind: str) -> None:
    """4xx only for what is no JSON object, or a source that nobody configured; the rest is taken."""
    status, text = await site.alert(body, source, **({"Content-Type": kind} if kind else {}))
    known = source in site.bell.stage.settings.alerts.sources
    assert status in ((200, 400) if known else (404,)), text
    if status == 200:
        assert isinstance(
            json.loads(body.decode("utf-8", "replace").removeprefix("\ufeff"), strict=False), dict
        )
    await site.bell.lives()


@given(bad=st.lists(st.one_of(JSON, spoilt(GOOD)), max_size=3), top=spoilt(BODY), place=st.integers(0, 3))
@settings(max_examples=examples(60), deadline=None, suppress_health_check=HERE)
async def test_a_bad_alert_never_loses_its_group(
    site: Site, bad: list[Any], top: dict[str, Any], place: int
) -> None:
    """Whatever stands around a good alert, it is recorded."""
    number = site.bell.count()
    good = GOOD | {"fingerprint": f"good{number:012x}"}
    alerts = [*bad[:place], good, *bad[place:]]
    assert (await site.alert(dumped({**top, "alerts": alerts})))[0] == 200
    t = store.alerts
    found = await site.bell.stage.bot.store.read(
        lambda c: c.execute(select(t.c.incident).where(t.c.fingerprint == good["fingerprint"])).all()
    )
    assert len(found) == 1


@given(token=st.one_of(st.none(), WORDS, st.sampled_from(["Bearer", "Bearer ", "Basic x", "bearer \u00e9"])))
@settings(max_examples=examples(40), deadline=None, suppress_health_check=HERE)
async def test_a_wrong_token_has_no_effect(site: Site, token: str | None) -> None:
    """SAFETY 25, whatever stands in its place."""
    line = "".join(c for c in token or "" if c.isprintable() and not 0xD800 <= ord(c) <= 0xDFFF)
    headers = {"Authorization": line} if token is not None else {}
    status, _ = await site.ask("POST", "/alerts/alertmanager", data=dumped(BODY), headers=headers)
    assert status == 401


ENDLESS = (
    {"Transfer-Encoding": "chunked", "X": "half"},
    {"Content-Length": "100"},
)  # of which more would come


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, b"no gzip at all"),
        ({"Content-Encoding": "deflate"}, b"\x00\x01"),
        ({"Content-Encoding": "br"}, b"xx"),
        ({"Content-Encoding": "nonsense"}, b"{}"),
        ({"Transfer-Encoding": "chunked"}, b"zz\r\nnonsense"),
        ({"Transfer-Encoding": "chunked", "X": "half"}, b"5\r\n{}"),
        ({"Transfer-Encoding": "gzip"}, b"{}"),
        ({"Content-Length": "100"}, b"{"),
        ({"Content-Length": "-1"}, b"{}"),
        ({"Content-Length": "9" * 30}, b"{}"),
        ({"Content-Length": "1e3"}, b"{}"),
        ({"Content-Length": "2", "Expect": "the unexpected"}, b"{}"),
        ({"Content-Length": "2", "Host": "x" * 5000}, b"{}"),
        ({"Content-Length": "2", "X": "y" * 100_000}, b"{}"),
        ({"Content-Length": "2", "Origin": "http://[::1"}, b"{}"),
        ({"Content-Length": "2", "Sec-Fetch-Site": "\xff"}, b"{}"),
        ({"Content-Length": "2", "Cookie": ";=;=\xff"}, b"{}"),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("path", ["/alerts/alertmanager", "/chat/say"])
async def test_broken_requests(site: Site, path: str, headers: dict[str, str], body: bytes) -> None:
    """Encodings that are none, lengths that are not kept, headers of any kind."""
    kind = "application/x-www-form-urlencoded"
    whole = {"Host": "127.0.0.1", "Authorization": f"Bearer {site.token}", "Content-Type": kind, **headers}
    if not whole.keys() & {"Content-Length", "Transfer-Encoding"}:
        whole["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in whole.items())
    request = f"POST {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode("latin-1") + body
    if headers not in ENDLESS:
        answer = await site.raw(request)
        assert answer.partition("\r\n\r\n")[2].strip() or " 303 " in answer
    await site.raw(request, whole=False)
    assert (await site.ask("GET", "/healthz"))[0] == 200
    await site.bell.lives()


LAST = b"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
LINES = TALK.map(lambda text: f"GET /{text} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("utf-8", "replace"))


@given(data=st.one_of(st.binary(max_size=100), LINES))
@example(b"GET / HTTP/9.9\r\n\r\n")
@example(b"GET http://[::1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
@example(b"POST /alerts/alertmanager HTTP/1.1\r\nHost: [\r\n\r\n")
@settings(max_examples=examples(50), deadline=None, suppress_health_check=HERE)
async def test_bytes_that_are_no_http(site: Site, data: bytes) -> None:
    await site.raw(data + LAST)
    assert (await site.ask("GET", "/healthz"))[0] == 200


async def test_huge_bodies(site: Site) -> None:
    """Announced or not, compressed or not: 413 with a sentence."""
    limit = site.bell.stage.settings.alerts.max_bytes

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(limit // 50_000 + 2):
            yield b" " * 50_000

    head = {"Authorization": f"Bearer {site.token}"}
    for body in (io.BytesIO(b" " * (limit + 1)), pieces()):
        status, text = await site.ask("POST", "/alerts/alertmanager", data=body, headers=head)
        assert (status, text) == (413, f"This is larger than {limit:,} bytes; nothing was read.\n")
    bomb = await asyncio.to_thread(gzip.compress, b" " * (limit * 20))
    status, _ = await site.alert(bomb, **{"Content-Encoding": "gzip"})
    assert status == 413
    form = {"as": "alice", "channel": site.bell.channels["ops"], "text": "x" * 3_000_000}
    status, _ = await site.ask("POST", "/chat/say", data=io.BytesIO(urlencode(form).encode()), headers=FORM)
    assert status == 413
    await site.bell.lives()


async def test_a_slow_body(site: Site) -> None:
    """Somebody who never ends keeps nobody else waiting, and hears why in the end."""
    async with served(site.bell, body_seconds=0.3) as hasty:
        reader, writer = await asyncio.open_connection("127.0.0.1", hasty.port)
        head = (
            f"POST /alerts/alertmanager HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {site.token}\r\n"
        )
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        await writer.drain()
        assert (await hasty.alert(dumped(BODY)))[0] == 200
        await site.bell.lives()
        assert b" 408 " in await reader.readline()
        writer.close()


# -- pages --------------------------------------------------------------------------------------------

PATHS = st.one_of(
    st.sampled_from(
        [
            "/",
            "/board",
            "/status",
            "/chat/messages",
            "/chat/commands",
            "/chat/events",
            "/chat/files/1",
            f"/chat/files/{'9' * 5000}",
            "/incidents/1",
            "/incidents/999999999",
            "/incidents/01/export.md",
            "/incidents/1/export.exe",
            "/incidents/99/export.zip",
            "/static/..%2f..%2fetc%2fpasswd",
            "/static/chat.js",
            "/alerts/%00",
            "//",
            "/%",
            "/%ff",
            "/%ed%a0%80",
        ]
    ),
    st.text(max_size=20).map(lambda t: "/" + t.encode("utf-8", "replace").hex("%", 1).replace("%", "%25", 0)),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "alice",
            "nobody",
            "C1",
            "C99",
            "M1",
            "M99",
            "-1",
            "1e9",
            "9" * 30,
            "%ff",
            "%00",
            "%ed%a0%80",
            "[]",
            "%d9%a3",
        ]
    ),
    WORDS.map(lambda t: "".join(f"%{b:02x}" for b in t.encode("utf-8", "surrogatepass"))),
)
QUERY = st.lists(
    st.tuples(st.sampled_from(["as", "channel", "thread", "edit", "since", "download", "x"]), VALUES),
    max_size=5,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))


@given(
    path=PATHS,
    query=QUERY,
    method=st.sampled_from(["GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH", "BREW"]),
)
@example(f"/chat/files/{'9' * 5000}", "", "GET")
@example("/chat/events", "since=99999999999999999999", "GET")
@example("/chat/messages", "as=%ed%a0%80&channel=%00", "GET")
@settings(max_examples=examples(120), deadline=None, suppress_health_check=HERE)
async def test_any_page_with_any_query(site: Site, path: str, query: str, method: str) -> None:
    """Wrong paths, people, channels, messages and numbers: a page, or a sentence that says what is wrong."""
    if path == "/chat/events":  # it never ends where it is right
        query = f"since=x&{query}" if "since" not in query else query
        async with site.http.get(URL(f"{site.url}{path}?{query}", encoded=True)) as answer:
            assert answer.status in (200, 400)
        return
    await site.ask(method, f"{path}?{query}")


NAMES = ("say", "react", "press", "edit", "delete", "alert", "speed")
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "as": st.one_of(st.sampled_from(PEOPLE), WORDS),
        "channel": st.one_of(st.sampled_from(["C1", "C2", "C5", "C99"]), WORDS),
        "text": ANYTHING,
        "thread": st.one_of(st.sampled_from(["M1", "M99"]), WORDS),
        "message": st.one_of(st.sampled_from([f"M{n}" for n in range(1, 30)]), WORDS),
        "emoji": WORDS,
        "label": st.one_of(st.sampled_from(["Approve", "Acknowledge"]), WORDS),
        "fire": st.one_of(st.just("redis-down"), WORDS),
        "resolve": st.one_of(st.just("redis-down"), WORDS),
        "speed": st.one_of(st.just("60"), WORDS),
        "open": WORDS,
    },
)


@given(name=st.sampled_from(NAMES), fields=FIELDS, data=st.booleans())
@example("say", {"as": "alice", "channel": "C1", "text": "/note " + "x" * 39_000}, True)
@example("say", {"as": "alice", "channel": "C1", "text": "x" * 100_000}, True)
@settings(max_examples=examples(120), deadline=None, suppress_health_check=HERE)
async def test_any_form_of_the_chat(site: Site, name: str, fields: dict[str, str], data: bool) -> None:
    """Every field may hold anything, or be missing; the answer is data or a page, as was asked for."""
    clean = {k: v.encode("utf-8", "replace").decode() for k, v in fields.items()}
    headers = {"Accept": "application/json" if data else "text/html"}
    status, text = await site.ask("POST", f"/chat/{name}", data=clean, headers=headers)
    assert status in (200, 303, 409), text
    if data:
        answer = json.loads(text)
        assert answer["ok"] == (status == 200)
        assert status == 200 or " " in answer["error"]
    await site.bell.lives()


@given(
    name=st.sampled_from(NAMES), value=JSON, kind=st.sampled_from([*TYPES, "multipart/form-data; boundary=x"])
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=HERE)
async def test_no_form_at_all(site: Site, name: str, value: Any, kind: str) -> None:
    """JSON of any type, or bytes under a wrong name, where a form belongs."""
    status, _ = await site.ask("POST", f"/chat/{name}", data=dumped(value), headers={"Content-Type": kind})
    assert status in (303, 400, 409)
    await site.bell.lives()
