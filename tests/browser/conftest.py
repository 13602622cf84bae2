"""A real browser on the pages: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.bot.sample_bot import SampleBot, serving
from tests.servers import require

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1280, 800), (360, 740)

Open = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    path = require("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def bot() -> SampleBot:
    return SampleBot()


@pytest_asyncio.fixture(loop_scope="module")
async def url(bot: SampleBot) -> AsyncIterator[str]:
    async with serving(bot) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(chromium: Browser, url: str) -> AsyncIterator[Open]:
    """Opens a page as somebody; at the end nothing may have gone wrong in any of them."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    async def open_page(
        person: str = "alice",
        path: str = "/",
        *,
        size: tuple[int, int] = DESKTOP,
        scheme: str = "light",
        scripts: bool = True,
    ) -> Page:
        context = await chromium.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            has_touch=size == PHONE,
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda told: complaints.append(told.text) if told.type == "error" else None)
        await page.goto(f"{url}{path}{'&' if '?' in path else '?'}as={person}")
        if scripts and path.partition("?")[0] == "/":
            await page.wait_for_selector("html.live")
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert [c for c in complaints if "409" not in c] == []  # a refusal shows up as a failed request
