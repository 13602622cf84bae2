"""Odd words, a log that is away and systems that fail: the same from chat on a cluster and on a Redis.

What concerns one of the two alone is in test_kubernetes_bot.py and test_redis_bot.py.
"""

from __future__ import annotations

from datetime import timedelta

from tests.safety.test_words import ODD
from tests.targets.stands import Stand

# Signs that a pattern of Redis may hold, and words that name something in one of the two.
PATTERNS = {"*", "real*", "real?ime", "[r]ealtime", "../realtime", "%0a"}


# -- 15, 16, 18 -------------------------------------------------------------------------------------


async def test_safety_16_odd_words_in_every_place(stand: Stand) -> None:
    """SAFETY 15, 16: answered with a sentence; nothing is planned, and none of it goes over the wire."""
    chat = stand.chat
    looks = [
        *(each for each in ODD if each not in PATTERNS),
        "r\u0435altime",
        "real\u200btime",
        "\uff52ealtime",
    ]
    for word in looks:
        for line in stand.odd:
            chat.mark()
            await chat.alice.says(line.format(word))
            assert chat.bot_said_to("alice"), (line, word)
            assert chat.cards() == 0, (line, word)
        await chat.waits(20)
    assert (stand.sent, stand.shown) == (0, stand.before)


async def test_safety_18_both_sides_of_the_bounds(stand: Stand) -> None:
    """The last number inside is planned, the first outside refused; what stops or empties takes two."""
    chat = stand.chat
    for line, inside in stand.bounds:
        before = await chat.actions()
        chat.mark()
        await chat.alice.says(line)
        assert (await chat.actions() - before) == inside, (line, chat.bot_said_to("alice"))
        assert inside or chat.bot_said_to("alice")
    await chat.asks(stand.danger)
    assert (await chat.action(await chat.actions())).quorum == 2
    assert stand.sent == 0


# -- 32 ---------------------------------------------------------------------------------------------


async def test_safety_32_the_log_goes_away_during_a_run(stand: Stand) -> None:
    """What was sent cannot be taken back: its end is recorded when the log is there again, and nothing is sent anew."""
    chat = stand.chat
    card = await chat.asks(stand.change)
    await stand.holds()
    await chat.bob.reacts(card, "✅", settle=False)
    await stand.accepted()
    async with chat.log_held():
        await stand.fails("")
        while chat.stage.bot.executor._at_work:
            await stand.goes_on()
            chat.stage.clock.wake(chat.stage.clock.now() + timedelta(seconds=5))
            await chat.stage.turn()
    assert await stand.states() == ["running"]
    await chat.stage.bot.executor.recover()
    await stand.ends()
    assert await stand.states() == ["done"]
    assert (stand.sent, stand.shown) == (1, stand.after)


async def test_safety_32_people_are_told(stand: Stand) -> None:
    """Reads, changes and votes: the log cannot be written, so nothing is run."""
    chat = stand.chat
    card = await chat.asks(stand.change)
    async with chat.log_held():
        for person, line in (("alice", stand.danger), ("dave", "/pods realtime"), ("carol", "/redis ping")):
            chat.mark()
            await chat.console.says(person, chat.channel, line)
            await chat.stage.quiet()
            assert "I can't write to my log" in chat.bot_said_to(person)
        chat.mark()
        await chat.console.presses("bob", card.id, "Approve")
        assert "I can't write to my log" in chat.bot_said_to("bob")
    await chat.settle()
    assert (await stand.states(), stand.sent) == (["pending"], 0)


# -- 33, 34 -----------------------------------------------------------------------------------------


async def test_safety_33_every_fault_of_a_change(stand: Stand) -> None:
    """A refusal is a failure, anything else unknown with what is shown now; nothing is ever sent a second time."""
    chat = stand.chat
    for number, (how, state) in enumerate(stand.faults.items(), 1):
        stand.moves(stand.before)
        sent = stand.sent
        card = await chat.asks(stand.change)
        await stand.fails(how)
        await chat.bob.reacts(card, "✅")
        await stand.ends()
        assert (await chat.action(number)).state == state, how
        assert stand.sent - sent <= (state == "unknown"), how
        await stand.fails("")
    sent = stand.sent
    await chat.restarts()
    await chat.waits(3600)
    await stand.ends()
    assert stand.sent == sent


async def test_safety_34_a_bot_that_may_only_look(stand: Stand) -> None:
    """The system refuses what was not given: failed with a sentence that names it, reads go on."""
    chat = stand.chat
    card = await chat.asks(stand.change)
    stand.curtails()
    await chat.bob.reacts(card, "✅")
    await stand.ends()
    assert await stand.states() == ["failed"]
    assert "does not allow" in (await chat.action(1)).text
    assert (stand.sent, stand.shown) == (0, stand.before)
