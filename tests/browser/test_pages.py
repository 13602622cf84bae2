"""The pages as people use them, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bot.chat import Button, Content
from tests.bot.sample_bot import SampleBot
from tests.browser.conftest import PHONE, Open

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def say(page: Page, text: str) -> None:
    await page.locator("#say").fill(text)
    await page.keyboard.press("Enter")


async def test_the_story(bot: SampleBot, open_page: Open) -> None:
    """Fire an alert, be paged, acknowledge, ask for a change, approve it as somebody else, see it done."""
    alice, bob = await open_page("alice"), await open_page("bob")
    await alice.locator("summary").click()
    await alice.get_by_role("button", name=re.compile("RedisDown")).click()
    await expect(alice.locator(".toast.page").first).to_contain_text("INC-1 critical: Redis is down")
    await expect(alice.locator(".toast.page")).to_have_count(1)  # one page by two methods is told once
    await expect(alice.locator("#contacted")).to_contain_text("SMS")
    await expect(bob.locator(".toast")).to_have_count(0)
    await expect(alice.locator("#rows")).to_contain_text("first response due")
    channel = alice.locator("#channels").get_by_text("#inc-1-redis-is-down")
    await expect(channel).to_be_visible()
    await channel.click()
    await expect(alice.locator("h1")).to_have_text("#inc-1-redis-is-down")
    card = alice.locator(".card.rank-0").first
    await expect(card).to_contain_text("Critical")
    await card.get_by_role("button", name="Acknowledge").click()
    await expect(alice.locator("#rows")).to_contain_text("owner alice")
    await say(alice, "/scale realtime 10")
    request = alice.locator(".card.ask")
    await expect(request).to_contain_text("3 → 10")
    await request.get_by_role("button", name="Approve").click()
    await expect(alice.locator(".msg.whisper")).to_contain_text("somebody else has to approve")
    await expect(alice.locator(".msg.whisper")).to_contain_text("only you see this")
    await bob.locator("#channels").get_by_text("#inc-1-redis-is-down").click()
    await expect(bob.locator(".msg.whisper")).to_have_count(0)
    await bob.locator(".msg", has=bob.locator(".card.ask")).locator(".reactions .reaction").first.click()
    for page in (alice, bob):
        await expect(page.locator(".card.good").last).to_contain_text("realtime runs 10 replicas")
    await expect(alice.get_by_role("button", name="Undo → 3")).to_be_visible()


async def test_messages_arrive_live_and_unread_ones_show(bot: SampleBot, open_page: Open) -> None:
    """In the open channel the message, in another one a dot; red where one is named."""
    assert bot.console is not None
    alice = await open_page("alice")
    support = bot.console.channel_named("support")
    assert support is not None
    await bot.console.says("bob", bot.console.channel_named("ops") or "", "hello everybody")
    await expect(alice.locator("#messages")).to_contain_text("hello everybody")
    link = alice.locator(f'#channels [data-channel="{support}"]')
    await bot.console.says("bob", support, "anybody here?")
    await expect(link).to_have_class("unread")
    await bot.console.says("bob", support, "@alice are you there?")
    await expect(link).to_have_class(re.compile("mentioned"))
    await link.click()
    await expect(link).not_to_have_class(re.compile("unread"))
    await expect(alice.locator(".msg.for-me")).to_contain_text("@alice")
    await alice.go_back()
    await expect(alice.locator("h1")).to_have_text("#ops")
    await alice.reload()
    await expect(link).not_to_have_class(re.compile("unread"))


async def test_a_lost_stream_is_taken_up_where_it_was(bot: SampleBot, open_page: Open, url: str) -> None:
    """What was said while the browser was offline is there once, afterwards."""
    assert bot.console is not None
    alice = await open_page("alice")
    ops = bot.console.channel_named("ops") or ""
    await bot.console.says("bob", ops, "before")
    await expect(alice.locator("#messages .msg")).to_have_count(1)
    await alice.context.set_offline(True)
    await bot.console.says("bob", ops, "meanwhile")
    await alice.context.set_offline(False)
    await bot.console.says("bob", ops, "after")
    await expect(alice.locator("#messages .text")).to_have_text(["before", "meanwhile", "after"])


async def test_commands_complete_by_keyboard(open_page: Open) -> None:
    """Down, Tab, Escape and Enter, for / and for !; the help stands above the choices."""
    page = await open_page("alice")
    box, offers = page.locator("#say"), page.locator("#offers")
    await box.press_sequentially("/sc")
    await expect(offers.get_by_role("option")).to_have_text(re.compile("^/scale"))
    await expect(offers).to_contain_text("needs approval")
    await page.keyboard.press("Tab")
    await expect(box).to_have_value("/scale ")
    await expect(offers.locator(".help")).to_contain_text("ask for ten replicas")
    await expect(offers.locator(".help mark")).to_have_text("SERVICE")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await expect(box).to_have_attribute("aria-activedescendant", "offers-0")
    await page.keyboard.press("Enter")
    await expect(box).to_have_value("/scale realtime ")
    await expect(offers.locator(".help mark")).to_have_text("REPLICAS")
    await page.keyboard.press("Escape")
    await expect(offers).to_be_hidden()
    await box.fill("")
    await box.press_sequentially("!incident open h")
    await expect(offers.get_by_role("option")).to_have_text(re.compile("^high"))
    await page.keyboard.press("Tab")
    await box.press_sequentially("slow serv")
    await page.keyboard.press("Tab")
    await expect(box).to_have_value("!incident open high slow service=")
    await box.press_sequentially("red")
    await page.keyboard.press("Enter")
    await expect(box).to_have_value("!incident open high slow service=redis ")
    await box.press_sequentially("--d")
    await page.keyboard.press("Tab")
    await expect(box).to_have_value("!incident open high slow service=redis --drill ")
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages")).to_contain_text("service=redis --drill")
    await expect(box).to_have_value("")
    await box.press_sequentially("thanks @bo")
    await page.keyboard.press("Tab")
    await expect(box).to_have_value("thanks @bob ")


async def test_a_whole_command_is_sent_by_enter(bot: SampleBot, open_page: Open) -> None:
    """Completion never swallows an Enter that it has nothing to add to."""
    await bot.open_incident("RedisDown", "Redis is down")
    page = await open_page("alice")
    await page.locator("#say").press_sequentially("/pods")
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages pre")).to_contain_text("OOMKilled")
    await page.locator("#say").press_sequentially("/ack")
    await expect(page.locator("#offers .help")).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages")).to_contain_text("/ack")


async def test_one_s_own_messages_can_be_edited_and_deleted(open_page: Open) -> None:
    alice, bob = await open_page("alice"), await open_page("bob")
    await say(alice, "ten it si")
    message = alice.locator(".msg").last
    await message.hover()
    await message.get_by_role("link", name="Edit").click()
    box = alice.locator(".edit textarea")
    await expect(box).to_be_focused()
    await box.fill("ten it is")
    await alice.keyboard.press("Enter")
    await expect(bob.locator("#messages .text")).to_contain_text("ten it is")
    await expect(bob.locator("#messages")).to_contain_text("(edited)")
    await expect(bob.get_by_role("link", name="Edit")).to_have_count(0)
    message = alice.locator(".msg").last
    await message.hover()
    await message.get_by_role("button", name="Delete").click()
    await expect(bob.locator("#messages")).to_contain_text("This message was deleted")


async def test_a_button_that_takes_words_begins_the_line(bot: SampleBot, open_page: Open) -> None:
    """Update asks nothing of the bot: it puts the command where one types, and the words follow."""
    page = await open_page("alice")
    channel = bot.console.channel_named("#ops")
    content = Content("How is it going", "How is it going", (Button("Update", "/update"),))
    await bot.console.post(channel or "", content, key="a card to update from")
    await page.get_by_role("button", name="Update").last.click()
    await expect(page.locator("#say")).to_have_value("/update ")
    await expect(page.locator("#say")).to_be_focused()


async def test_threads_open_beside_and_count(open_page: Open) -> None:
    alice, bob = await open_page("alice"), await open_page("bob")
    await say(bob, "redis again?")
    message = alice.locator(".msg").last
    await message.hover()
    await message.get_by_role("link", name="Thread").click()
    await expect(alice.locator("#answer")).to_be_focused()
    await alice.keyboard.type("yes, since 02:19")
    await alice.keyboard.press("Enter")
    await expect(alice.locator("#answers .msg")).to_have_count(2)
    await expect(alice.locator("#messages .msg")).to_have_count(1)
    await bob.locator(".replies", has_text="1 answer").click()
    await expect(bob.locator("#answers")).to_contain_text("since 02:19")
    await alice.keyboard.press("Escape")
    await expect(alice.locator("#thread")).to_have_count(0)


async def test_the_keyboard_reaches_everything(bot: SampleBot, open_page: Open) -> None:
    """From the message box up to a message, into its tools, and back."""
    assert bot.console is not None
    page = await open_page("alice")
    await say(page, "first")
    await say(page, "second")
    await expect(page.locator("#messages .msg")).to_have_count(2)
    await page.keyboard.press("ArrowUp")
    await expect(page.locator(".msg").last).to_be_focused()
    await page.keyboard.press("ArrowUp")
    await expect(page.locator(".msg").first).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator(".msg").first.locator(".reaction.mine")).to_contain_text("✅")
    await page.keyboard.press("Escape")
    await expect(page.locator("#say")).to_be_focused()


async def test_the_clock_and_the_countdowns_follow_the_speed(bot: SampleBot, open_page: Open) -> None:
    """At 600× a quarter of an hour counts down in seconds."""
    await bot.open_incident("RedisDown", "Redis is down")
    page = await open_page("alice")
    due = page.locator("#rows .due time")
    await expect(due).to_have_text(re.compile(r"in 1[45] min"))
    await page.get_by_role("button", name="600×").click()
    await expect(page.get_by_role("button", name="600×")).to_have_attribute("aria-pressed", "true")
    await expect(due).to_have_text(re.compile("in [1-9] min"))
    await expect(due).to_have_text(re.compile("ago"))


async def test_live_updates_shift_nothing(bot: SampleBot, open_page: Open) -> None:
    """While messages come and the board is drawn anew, nothing outside of the message list moves."""
    await bot.open_incident("RedisDown", "Redis is down")
    page = await open_page("alice")
    await page.evaluate(
        """() => {
          window.moved = [];
          new PerformanceObserver((list) => {
            for (const shift of list.getEntries()) for (const source of shift.sources) {
              const node = source.node?.nodeType === 1 ? source.node : source.node?.parentElement;
              if (node && !node.closest("#messages, #toasts")) window.moved.push(node.className || node.id);
            }
          }).observe({ type: "layout-shift" });
        }"""
    )
    assert bot.console is not None
    ops = bot.console.channel_named("ops") or ""
    for n in range(5):
        await bot.console.says("bob", ops, f"message {n}")
        bot.alerts_firing(n + 2)
        await expect(page.locator("#rows")).to_contain_text(f"{n + 2} alerts firing")
    await expect(page.locator("#messages")).to_contain_text("message 4")
    assert await page.evaluate("window.moved") == []


async def test_it_reads_and_works_with_scripts_off(bot: SampleBot, open_page: Open) -> None:
    """Messages, board, a word said and a button pressed."""
    await bot.open_incident("RedisDown", "Redis is down")
    page = await open_page("alice", f"/?channel={bot.rows[0].channel}", scripts=False)
    await expect(page.locator("#rows")).to_contain_text("first response due in 1")
    await page.locator("#say").fill("looking at it")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("#messages")).to_contain_text("looking at it")
    await page.get_by_role("button", name="Acknowledge").first.click()
    await expect(page.locator("#rows")).to_contain_text("owner alice")
    await page.locator("select").select_option("bob")
    await page.get_by_role("button", name="Switch").click()
    await expect(page.locator("select")).to_have_value("bob")


async def test_a_phone_shows_one_pane_at_a_time(bot: SampleBot, open_page: Open) -> None:
    """At 360 pixels nothing is cut off and nothing scrolls sideways but blocks of fixed width."""
    await bot.open_incident("RedisDown", "Redis is down")
    page = await open_page("alice", f"/?channel={bot.rows[0].channel}", size=PHONE)
    await say(page, "/pods realtime")
    await expect(page.locator("pre")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    assert await page.evaluate("document.querySelector('#chat .scroll').scrollWidth") <= 360
    block = "document.querySelector('pre')"
    assert await page.evaluate(f"{block}.scrollWidth > {block}.clientWidth")
    board, channels = page.locator("#board"), page.locator("#channels")
    await expect(board).to_be_hidden()
    await page.get_by_role("link", name="Board").click()
    await expect(board).to_be_visible()
    await page.get_by_role("link", name="Channels").click()
    await expect(channels).to_be_visible()
    await expect(board).to_be_hidden()
    await channels.get_by_text("#ops").click()
    await expect(channels).to_be_hidden()
    await expect(page.locator("h1")).to_have_text("#ops")


CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_has_enough_contrast(bot: SampleBot, open_page: Open, scheme: str) -> None:
    """WCAG AA, 4.5 to 1, for every text on every page, in both schemes."""
    assert bot.console is not None
    await bot.open_incident("RedisDown", "Redis is down")
    channel = bot.rows[0].channel or ""
    for text in ("/ack", "/pods", "/logs", "/scale realtime 10", "/nonsense", "hello @alice"):
        await bot.console.says("alice", channel, text)
    for sign in ("🟠 High", "🟡 Medium", "🔵 Low", "🟢 Resolved", "⏰ late", "❓ unknown"):
        await bot.console.post(channel, Content(sign, sign), key=sign)
    root = await bot.console.says("bob", channel, "a thread")
    await bot.console.says("alice", channel, "an answer", root)
    bot.every_severity()
    for path in (f"/?channel={channel}", f"/?thread={root}", "/incidents/1", "/board", "/status"):
        page = await open_page("alice", path, scheme=scheme)
        assert await page.evaluate(CONTRAST) == {}, path
