"""What people did while the bot was away, where Slack fails once more when it comes back."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import select

from bot import store
from bot.store import Unit
from incidents import events as e
from tests.safety.slack_rig import SlackChat, on_slack


async def texts(chat: SlackChat) -> list[str]:
    return [event.text for event in await chat.events("chat-1", e.MessagePosted)]


async def test_a_channel_that_cannot_be_read_at_start_is_read_later(tmp_path: Path) -> None:
    async with on_slack(tmp_path) as chat:
        await chat.stage.kill()
        await chat.bob.says("the failover hangs")
        await chat.act("faults", kinds=["500"], methods=["conversations.history"], count=5)
        await chat.stage.start()
        await chat.stage.settle()
        assert "the failover hangs" not in await texts(chat)
        await chat.waits(11)
        assert (await texts(chat)).count("the failover hangs") == 1


def _unnoted(unit: Unit) -> None:
    """As a boot leaves it that died between posting the card and noting it."""
    t = store.messages
    unit.execute(t.delete().where(t.c.card == "action:1"))
    t = store.outbox
    [row] = unit.rows(select(t.c.id).where(t.c.card == "action:1", t.c.op == "say"))
    unit.execute(t.update().where(t.c.id == row.id).values(sent_at=None, attempts=1, claimed_until=None))


async def test_votes_on_a_card_that_nobody_noted_count(tmp_path: Path) -> None:
    """Posted, but the bot died before it knew: whoever voted meanwhile does not have to vote again."""
    async with on_slack(tmp_path) as chat:
        await chat.alice.says("/scale realtime 10")
        await chat.stage.bot.store.run(_unnoted)
        await chat.stage.kill()
        await chat.bob.reacts(chat.card())
        await chat.restarts()
        await chat.waits(60)
        assert chat.replicas() == 10
