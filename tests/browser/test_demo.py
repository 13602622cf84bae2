"""The demo as a newcomer goes through it, with the whole bot behind the pages."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, expect

from bot.config import load
from bot.serve import demo
from tests.browser.conftest import DESKTOP

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def address(tmp_path: Path) -> AsyncIterator[str]:
    async with demo(load(None, {}), tmp_path, host="127.0.0.1", port=0) as (_, url):
        yield url


async def be(chromium: Browser, address: str, person: str) -> Page:
    size: ViewportSize = {"width": DESKTOP[0], "height": DESKTOP[1]}
    page = await (await chromium.new_context(viewport=size, reduced_motion="reduce")).new_page()
    await page.goto(f"{address}/?as={person}")
    await page.wait_for_selector("html.live")
    return page


async def say(page: Page, text: str) -> None:
    await page.locator("#say").fill(text)
    await page.keyboard.press("Escape")
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages")).to_contain_text(text)


async def enter(page: Page) -> None:
    await page.locator("#channels").get_by_text("#inc-1").click()
    await expect(page.locator("h1")).to_have_text(re.compile("#inc-1"))


async def test_from_alert_to_post_mortem(chromium: Browser, address: str) -> None:
    """Fire an alert, be paged, acknowledge, look, change, undo offered, update, resolve, download."""
    alice, bob = await be(chromium, address, "alice"), await be(chromium, address, "bob")
    await alice.locator("summary").click()
    await alice.get_by_role("button", name=re.compile("RedisDown")).click()
    await expect(alice.locator(".toast.page").first).to_contain_text("INC-1")
    await expect(alice.locator("#rows .due time")).to_have_text(re.compile(r"in \d+ (min|s)"))
    await enter(alice)
    await alice.get_by_role("button", name="Acknowledge").first.click()
    await expect(alice.locator("#rows")).to_contain_text("owner alice")
    await say(alice, "/redis info")
    await expect(alice.locator("pre").last).to_contain_text("redis_version")
    await say(alice, "/scale realtime 10")
    request = alice.locator(".card", has_text="3 → 10").last
    await expect(request).to_be_visible()
    await enter(bob)
    await bob.get_by_role("button", name="Approve").last.click()
    await alice.get_by_role("button", name="60×").click()
    await expect(request).to_contain_text("runs 10 replicas", timeout=20_000)
    await expect(request.get_by_role("button", name=re.compile("Undo"))).to_be_visible()
    await say(alice, "/update failover repaired eta=20m")
    await expect(alice.locator("#rows")).to_contain_text("ETA")
    await say(alice, "/resolve failover repaired")
    await expect(alice.locator("#rows")).to_contain_text("resolved at")
    await alice.locator("#rows").get_by_role("link", name="INC-1").click()
    await expect(alice.locator(".timeline")).to_contain_text("failover repaired")
    async with alice.expect_download() as saving:
        await alice.get_by_role("link", name="Markdown").click()
    text = Path(await (await saving.value).path()).read_text(encoding="utf-8")
    assert "failover repaired" in text
    assert "scale realtime" in text


async def test_time_can_be_made_to_pass(chromium: Browser, address: str) -> None:
    """At 600× the late clock, the next person and the reminder come within seconds."""
    alice = await be(chromium, address, "alice")
    await alice.locator("summary").click()
    await alice.get_by_role("button", name=re.compile("RedisDown")).click()
    await alice.get_by_role("button", name="600×").click()
    await enter(alice)
    await expect(alice.locator("#messages")).to_contain_text("first response is late", timeout=20_000)
    await expect(alice.locator("#contacted")).to_contain_text("bob", timeout=20_000)
    await expect(alice.locator("#contacted")).to_contain_text("carol", timeout=20_000)
    await expect(alice.locator("#messages")).to_contain_text("🛎", timeout=20_000)
