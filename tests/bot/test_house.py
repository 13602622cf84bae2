"""What a chat may ask of the bot: forms that can be read, and a person's home."""

from __future__ import annotations

from pathlib import Path

from bot.house import BotHouse
from tests.safety.rig import Chat, chatting


def house(chat: Chat) -> BotHouse:
    bot = chat.stage.bot
    return BotHouse(bot.store, bot.desk, bot.registry, bot.renderer, bot.clock, chat.console)


async def test_a_form_learns_why_its_line_cannot_be_read(tmp_path: Path) -> None:
    async with chatting(tmp_path, opened=False) as chat:
        assert house(chat).refusal("/incident open critical Redis is down service=realtime") is None
        assert "Did you mean realtime" in (house(chat).refusal("/incident open high X service=realtme") or "")
        assert "eta" in (house(chat).refusal("/update going on eta=soon") or "")


async def test_a_form_offers_severities_and_services(tmp_path: Path) -> None:
    async with chatting(tmp_path, opened=False) as chat:
        assert house(chat).severities()[0] == "critical"
        assert len(set(house(chat).severities())) == len(house(chat).severities())
        assert "realtime" in house(chat).services()


async def test_a_home_shows_incidents_what_waits_for_the_person_and_who_is_on_call(tmp_path: Path) -> None:
    """Requests stand there for those who can answer them, with the buttons; never for who asked."""
    async with chatting(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        for_bob = await house(chat).home("bob")
        assert "INC-1 Redis is down" in for_bob[0].plain
        assert "#inc-1-redis-is-down" in for_bob[0].plain
        assert "#1 alice asks: scale realtime 3 → 10" in for_bob[1].plain
        assert [b.value for b in for_bob[1].buttons] == ["/approve 1", "/deny 1", "/why 1"]
        assert "secondary: bob (you)" in for_bob[-1].plain
        for_alice = "\n".join(section.plain for section in await house(chat).home("alice"))
        assert "No request waits for you." in for_alice
        assert "asks" not in for_alice


async def test_a_home_says_when_broken_glass_runs(tmp_path: Path) -> None:
    """Whoever can stop it has the button for that."""
    async with chatting(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        await chat.alice.says("/breakglass 1 nobody is awake")
        shown = (await house(chat).home("bob"))[1]
        told = "#1 runs at 03:31 CET without approval (break-glass by alice): scale realtime 3 → 10"
        assert told in shown.plain
        assert [b.label for b in shown.buttons] == ["Stop", "Details"]


async def test_a_home_of_somebody_unknown_says_so_and_nothing_else(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        [only] = await house(chat).home("zoe")
        assert only.plain.startswith("I do not know you")


async def test_a_home_shows_no_private_incident_to_others(tmp_path: Path) -> None:
    async with chatting(tmp_path, opened=False) as chat:
        await chat.alice.says("/incident open critical Keys were leaked --private", "#ops")
        assert "Keys were leaked" in (await house(chat).home("alice"))[0].plain
        assert (await house(chat).home("grace"))[0].plain == "No incident is open."


async def test_a_home_of_somebody_without_a_role_shows_nothing(tmp_path: Path) -> None:
    async with chatting(tmp_path) as chat:
        [only] = await house(chat).home("mallory")
        assert only.plain.startswith("You have no role here")


async def test_what_a_chat_asks_to_be_kept_survives_a_restart(tmp_path: Path) -> None:
    async with chatting(tmp_path, opened=False) as chat:
        assert await house(chat).recall("since") is None
        await house(chat).keep("since", "s1")
        await house(chat).keep("since", "s2")
        await chat.restarts()
        assert await house(chat).recall("since") == "s2"
