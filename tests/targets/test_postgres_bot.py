"""The rules of approvals and execution with a real PostgreSQL: the whole bot, driven by chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from incidents import events as e
from tests.safety.rig import Chat, example
from tests.safety.test_words import PLANTED, everywhere
from tests.servers.cable import Cable
from tests.targets.postgres_world import Shop, fields, on_postgres, shared
from tests.targets.redis_stage import RealStage


class ShopChat(Chat):
    """People in a chat with a bot that operates a real PostgreSQL."""

    shop: Shop
    cable: Cable

    async def asks(self, line: str) -> Any:
        """alice asks for a change; the card."""
        before = self.cards()
        await self.alice.says(line)
        assert self.cards() == before + 1, self.bot_said()
        return self.card()


@asynccontextmanager
async def chatting(folder: Path, *, bots: int = 1) -> AsyncIterator[ShopChat]:
    """A running bot with an incident that alice opened."""
    shop = shared()
    shop.fresh()
    async with Cable(shop.server.port) as cable:
        stage = RealStage(on_postgres(fields(cable.port), {"shop": {}}, settings=example()), folder)
        try:
            for _ in range(bots):
                await stage.start()
            made = ShopChat(stage)
            made.shop, made.cable = shop, cable
            await made.settle()
            await made.opens()
            yield made
        finally:
            cable.heal()
            await stage.close()
            shop.close()


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[ShopChat]:
    """A running bot with an open incident, and a real PostgreSQL."""
    with capture_logs():
        async with chatting(tmp_path) as made:
            yield made


async def test_reads_and_changes_from_chat(chat: ShopChat) -> None:
    """Looked at, asked for, approved, run: the server does it."""
    chat.mark()
    for verb in ("ready", "connections", "activity", "locks", "slow", "size", "stats", "replication"):
        await chat.alice.says(f"/pg shop {verb}")
    said = chat.bot_said()
    assert "ready in" in said
    assert "of 40 connections" in said
    assert "orders" in said
    card = await chat.asks("/pg analyze orders")
    assert "analyze public.orders" in card.plain
    await chat.bob.reacts(card, "✅")
    assert "public.orders is analysed" in chat.card().plain
    assert chat.shop.count("wb-1") == 1


async def test_a_danger_takes_two(chat: ShopChat) -> None:
    """One tick ends nobody's connection."""
    pid = chat.shop.sleeper()
    card = await chat.asks(f"/pg terminate {pid}")
    await chat.bob.reacts(card, "✅")
    assert chat.shop.state(pid) == "active"
    await chat.carol.reacts(card, "✅")
    assert chat.shop.state(pid) is None
    assert f"process {pid} was terminated" in chat.card().plain


@pytest.mark.parametrize(("verb", "kind"), [("terminate", "done"), ("cancel", "unknown")])
async def test_safety_10_killed_while_a_process_is_stopped(chat: ShopChat, verb: str, kind: str) -> None:
    """A process that is gone proves it; a query that has ended may have ended by itself. Never again either way."""
    pid = chat.shop.sleeper()
    card = await chat.asks(f"/pg {verb} {pid}")
    if verb == "terminate":
        await chat.bob.reacts(card, "✅")
    chat.cable.fault("hold", f"pg_{verb}_backend".encode())
    await chat.carol.reacts(card, "✅", settle=False)
    await chat.cable.answered()
    await chat.stage.kill()
    chat.cable.heal()
    await chat.restarts()
    if kind == "done":
        assert (await chat.action()).state == "done"
    else:
        [unknown] = await chat.events("action-1", e.ActionUnknown)
        assert unknown.observed == {"query": None}
    await chat.restarts()
    assert chat.shop.count("wb-1") == 1


async def test_safety_11_two_replicas_run_it_once(tmp_path: Path) -> None:
    """Both see the quorum, one claims it."""
    with capture_logs():
        async with chatting(tmp_path, bots=2) as chat:
            card = await chat.asks("/pg reindex orders_name")
            await chat.bob.reacts(card, "✅")
            await chat.carol.reacts(card, "✅")
            assert (await chat.action()).state == "done"
            assert chat.shop.count("wb-1") == 1


async def test_safety_14_a_table_made_anew_is_another_one(chat: ShopChat) -> None:
    """The approval was for the one that was there."""
    card = await chat.asks("/pg analyze orders")
    chat.shop.run(
        "DROP TABLE orders", "CREATE TABLE orders (id int)", "ALTER TABLE orders OWNER TO watchbell_bot"
    )
    await chat.bob.reacts(card, "✅")
    assert (await chat.action()).state == "void"
    assert chat.shop.count("wb-1") == 0


async def test_safety_20_planted_secrets_are_nowhere(chat: ShopChat) -> None:
    """In statements, in names of applications, and in what a server says no with."""
    for number, secret in enumerate(PLANTED.values()):
        text = secret.replace("'", "''")
        chat.shop.run(f"COMMENT ON TABLE orders IS '{text}'")
        pid = chat.shop.sleeper(secret.split("\n")[0][:60], f"SELECT pg_sleep(600), $${secret}$$")
        for verb in ("activity", "slow", "locks"):
            await chat.alice.says(f"/pg {verb}")
        if number < 3:
            await chat.asks(f"/pg cancel {pid}")
    await everywhere(chat)
