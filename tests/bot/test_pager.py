"""Pages beyond chat go out through Apprise, to a service that is really there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from bot.chat import DeliveryError
from bot.pager import ApprisePager
from incidents import events as e
from tests.safety.rig import chatting


@asynccontextmanager
async def service(status: int, received: list[dict[str, str]]) -> AsyncIterator[int]:
    """An HTTP service that takes what Apprise's json:// sends; gives its port."""

    async def take(request: web.Request) -> web.Response:
        received.append({"path": request.path, **await request.json()})
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_page_arrives_with_its_words_and_for_its_address() -> None:
    """The person's address stands in the URL, quoted; the text is the page's."""
    received: list[dict[str, str]] = []
    async with service(200, received) as port:
        pager = ApprisePager({"sms": f"json://127.0.0.1:{port}/send/{{address}}"})
        await pager.send("alice", "sms", "+1 555/0100", "INC-1 critical: Redis is down\nAcknowledge it.")
    [page] = received
    assert page["path"].startswith("/send/+1 555")
    assert "Redis is down" in page["message"]
    assert page["title"] == "INC-1 critical: Redis is down"


async def test_a_refusal_is_a_failed_delivery() -> None:
    """So that the page goes on to the next rung."""
    async with service(500, []) as port:
        with pytest.raises(DeliveryError, match="did not take"):
            await ApprisePager({"sms": f"json://127.0.0.1:{port}/"}).send("alice", "sms", "1", "text")


async def test_a_method_without_a_service_says_what_to_configure() -> None:
    """One sentence, with the section's name."""
    with pytest.raises(DeliveryError, match="pager:"):
        await ApprisePager({}).send("alice", "phone", "1", "text")


async def test_methods_without_a_service_page_nobody_else(tmp_path: Path) -> None:
    """Nobody was unreachable: whoever is on call has the direct message, and the ladder keeps its times."""
    async with chatting(tmp_path, opened=False) as chat:
        chat.stage.bot.deliverer._send._pager = ApprisePager({})
        chat.mark()
        await chat.grace.says("/incident open critical Redis is down service=realtime", "#ops")
        assert await chat.events("incident-1", e.PageFailed) == []
        assert "@bob" not in chat.bot_said()
        direct = chat.console.channel_named("@alice")
        assert [m for m in chat.console.messages(direct or "") if "You are on call" in m.plain]


async def test_where_every_service_fails_the_next_one_is_paged(tmp_path: Path) -> None:
    async with chatting(tmp_path, opened=False) as chat:
        chat.stage.bot.deliverer._send._pager = ApprisePager({"sms": "nonsense://", "phone": "nonsense://"})
        await chat.grace.says("/incident open critical Redis is down service=realtime", "#ops")
        assert {event.person for event in await chat.events("incident-1", e.PageFailed)} >= {"alice"}
