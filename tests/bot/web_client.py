"""A client of the web pages, and the small bot behind them, for their tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.bot.sample_bot import SampleBot, serving

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


@pytest.fixture(name="bot")
async def a_bot() -> SampleBot:
    return SampleBot()


@pytest.fixture(name="browser")
async def a_browser(bot: SampleBot) -> AsyncIterator[Browser]:
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
