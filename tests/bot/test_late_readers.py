"""What stands in the channel is still true for who reads it late: cards, pages, broken glass, and what waits."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from bot.measures import Measures
from bot.pages import BotPages
from bot.platforms.console_store import Message
from bot.serve import RealPace, serving, web_settings
from bot.web.server import build
from tests.safety.rig import Chat, chatting


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Chat]:
    """A running bot with an open incident; people write in its channel."""
    with capture_logs():
        async with chatting(tmp_path) as made:
            yield made


def labels(message: Message) -> list[str]:
    """The buttons of a message."""
    return [button.label for button in message.buttons]


def only(chat: Chat, words: str) -> Message:
    """The one message of the bot in the incident's channel that holds these words."""
    [found] = [m for m in chat.messages() if words in m.plain and m.channel == chat.channel]
    return found


async def test_the_card_of_what_was_taken_back_offers_no_undo(chat: Chat) -> None:
    """It says by which number."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    card = chat.card(1)
    assert "Undo → 3" in labels(card)
    await chat.alice.presses("Undo → 3", card)
    await chat.waits(60)
    assert labels(card) == []
    assert "Taken back by #2." in card.plain.splitlines()


async def test_a_request_for_the_same_goes_when_the_undo_starts(chat: Chat) -> None:
    """Nobody is asked for it any more; it says why."""
    await chat.alice.says("/scale realtime 10")
    await chat.bob.reacts(chat.card(1), "✅")
    await chat.waits(60)
    await chat.bob.says("/scale realtime 3")
    await chat.bob.says("/scale realtime 5")
    await chat.alice.says("/undo 1")
    await chat.waits(60)
    assert [(await chat.action(n)).state for n in (2, 3, 4)] == ["cancelled", "pending", "done"]
    assert chat.card(2).plain.splitlines()[0] == (
        "❌ #2 not needed any more: #4 does the same, as the undo of #1"
    )
    chat.mark()
    await chat.waits(840)
    assert "#2" not in chat.bot_said()


async def test_pending_tells_of_broken_glass(chat: Chat) -> None:
    """When it runs, and that nobody's vote is waited for; on every list."""
    await chat.alice.says("/scale realtime 10")
    chat.mark()
    await chat.alice.says("/breakglass 1 nobody is awake")
    assert (
        "alice runs #1 (scale realtime 3 → 10) without approval at 03:31 CET: nobody is awake."
        in "\n".join(page.text for page in chat.console.store.pages.values())
    )
    chat.mark()
    await chat.alice.says("/pending")
    told = re.sub(r" +", " ", chat.bot_said())
    assert "#1 scale realtime 3 → 10 · asked by alice · runs at 03:31 CET, break-glass by alice" in told
    assert "/deny 1 stops it" in told
    chat.mark()
    await chat.alice.says("/why 1")
    assert "it runs at 03:31 CET, in 1 min, break-glass by alice" in chat.bot_said()
    await chat.bob.says("/catchup")
    told = chat.bot_said_to("bob")
    assert "Runs at 03:31 CET without approval: #1 scale realtime 3 → 10, break-glass by alice" in told
    assert "Waiting for you: –" in told
    assert "#1 runs at 03:31 CET, break-glass" in only(chat, "owner alice · commander").plain


async def test_the_board_tells_of_broken_glass(chat: Chat) -> None:
    """And counts it among nothing that waits; the incident's page says when it runs."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody is awake")
    shown = web_settings(chat.stage.settings, demo=True, host="127.0.0.1", token=None)
    pages = BotPages(chat.stage.bot, shown, RealPace(chat.stage.clock), Measures().registry, None)
    async with serving(build(pages), "127.0.0.1", 0) as url, aiohttp.ClientSession() as http:
        async with http.get(f"{url}/") as answer:
            board = await answer.text()
        async with http.get(f"{url}/incidents/1") as answer:
            page = await answer.text()
    assert "#1 runs at 03:31, break-glass" in board
    assert "request waits" not in board
    assert "break-glass · " in page
    assert "0 of 1" not in page


async def test_broken_glass_is_no_invitation_once_it_runs(chat: Chat) -> None:
    """Neither its button nor its delay outlive it."""
    await chat.alice.says("/scale realtime 10")
    await chat.alice.says("/breakglass 1 nobody is awake")
    said = only(chat, "can stop it until then")
    assert labels(said) == ["Stop"]
    await chat.waits(59)
    assert labels(said) == ["Stop"]
    await chat.waits(2)
    assert labels(said) == []
    assert said.plain.splitlines()[-1] == "The time to stop it is over; the card of #1 says what comes of it."


async def test_a_page_that_was_answered_asks_nobody_any_more(chat: Chat) -> None:
    """Who is acknowledged by somebody is told with the name; the page before the answer had the buttons."""
    await chat.alice.says("/incident open critical Sockets drop", "#ops")
    chat.number = 2
    said = [m for m in chat.messages() if "INC-2" in m.plain and "Nobody has acknowledged" in m.plain]
    here = [m for m in said if m.channel == chat.channel]
    assert [labels(m)[0] for m in here] == ["Acknowledge"]
    await chat.waits(310)
    here = [m for m in chat.messages() if m.channel == chat.channel and "Acknowledge" in labels(m)[:1]]
    assert len(here) > 1
    await chat.bob.says("/ack")
    pages = [m for m in here if m.card is None]
    assert pages
    assert [labels(m) for m in pages] == [[]] * len(pages)
    assert all("bob owns it" in m.plain and "I ask again" not in m.plain for m in pages)


async def test_the_status_page_leaves_out_what_its_severity_keeps_off_it(chat: Chat) -> None:
    """Customers read of what is for them: neither the title nor a service that only such an incident ails."""
    await chat.grace.says("/incident open low Payroll is slow service=chat-adapters", "#ops")
    shown = web_settings(chat.stage.settings, demo=False, host="127.0.0.1", token=None)
    pages = BotPages(chat.stage.bot, shown, RealPace(chat.stage.clock), Measures().registry, None)
    told = await pages.status()
    assert [i.title for i in told.incidents] == ["Redis is down"]
    ailing = {service.name for service in told.services if service.state != "up"}
    assert "realtime" in ailing
    assert "chat-adapters" not in ailing
