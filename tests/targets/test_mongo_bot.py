"""The rules of approvals and execution with a MongoDB: the whole bot, driven by chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from incidents import events as e
from tests.safety.rig import Chat, example
from tests.safety.test_scrub import SECRET, gone
from tests.safety.test_words import HOSTILE, PLANTED, everywhere, knowing, neutral
from tests.servers.cable import Cable
from tests.servers.mongo_server import StandIn
from tests.targets.mongo_world import fields, fresh, on_mongo
from tests.targets.redis_stage import RealStage


class MongoChat(Chat):
    """People in a chat with a bot that operates a MongoDB."""

    server: StandIn
    cable: Cable

    async def asks(self, line: str) -> Any:
        """alice asks for a change; the card."""
        before = self.cards()
        await self.alice.says(line)
        assert self.cards() == before + 1, self.bot_said()
        return self.card()


@asynccontextmanager
async def chatting(folder: Path, *, bots: int = 1) -> AsyncIterator[MongoChat]:
    """A running bot with an incident that alice opened."""
    server = fresh()
    async with Cable(server.port) as cable:
        stage = RealStage(on_mongo(fields(cable.port, timeout="2s"), settings=example()), folder)
        try:
            for _ in range(bots):
                await stage.start()
            made = MongoChat(stage)
            made.server, made.cable = server, cable
            await made.settle()
            await made.opens()
            yield made
        finally:
            cable.heal()
            await stage.close()


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[MongoChat]:
    """A running bot with an open incident, and a MongoDB."""
    with capture_logs():
        async with chatting(tmp_path) as made:
            yield made


async def test_reads_and_changes_from_chat(chat: MongoChat) -> None:
    """Looked at, asked for, approved, run: the server does it."""
    op = chat.server.begins()
    chat.mark()
    for line in (
        "status",
        "ops",
        "indexes subscriptions",
        'explain subscriptions {"status": "active"}',
        'find subscriptions {"user": {"$lt": 2}}',
    ):
        await chat.alice.says(f"/mongo shop {line}")
    said = chat.bot_said()
    for told in ("answers, standalone", op, "user_1", "reads the whole collection", '"status": "ended"'):
        assert told in said, told
    card = await chat.asks(f"/mongo killop {op}")
    assert "end operation" in card.plain
    assert "checkout at 10.0.0.7:51234" in card.plain
    await chat.bob.reacts(card, "✅")
    assert f"operation {op} has ended" in chat.card().plain
    assert chat.server.kills("wb-1") == 1


async def test_documents_after_an_approval_are_shown_to_who_asked_alone(chat: MongoChat) -> None:
    """A filter as a phone types it; the answer is in private."""
    chat.mark()
    card = await chat.asks("/mongo find subscriptions {“email”: “person3@example.com”}")
    await chat.bob.reacts(card, "✅")
    assert "4900" in chat.bot_said_to("alice")
    assert "4900" not in chat.bot_said()
    assert (await chat.action()).state == "done"


async def test_safety_10_killed_while_an_operation_is_ended(chat: MongoChat) -> None:
    """The answer is under way when the process dies: what is running proves it, and nobody is told again."""
    op = chat.server.begins()
    card = await chat.asks(f"/mongo killop {op}")
    chat.cable.fault("hold", b"killOp")
    await chat.bob.reacts(card, "✅", settle=False)
    await chat.cable.answered()
    await chat.stage.kill()
    chat.cable.heal()
    await chat.restarts()
    assert (await chat.action()).state == "done"
    await chat.restarts()
    assert chat.server.kills("wb-1") == chat.server.kills() == 1


async def test_safety_11_two_replicas_run_it_once(tmp_path: Path) -> None:
    """Both see the quorum, one claims it."""
    with capture_logs():
        async with chatting(tmp_path, bots=2) as chat:
            card = await chat.asks(f"/mongo killop {chat.server.begins()}")
            await chat.bob.reacts(card, "✅")
            assert (await chat.action()).state == "done"
            assert chat.server.kills() == 1


async def test_safety_14_another_operation_of_that_number_is_left_alone(chat: MongoChat) -> None:
    """The approval was for the one that ran then."""
    op = chat.server.begins()
    card = await chat.asks(f"/mongo killop {op}")
    chat.server.begins(opid=int(op), client="10.0.0.9:1", appName="payments")
    await chat.bob.reacts(card, "✅")
    assert (await chat.action()).state == "void"
    assert chat.server.kills() == 0


@pytest.mark.parametrize(
    "words",
    [
        "killop -1",
        "killop 1,2",
        "killop all",
        "killop",
        "find subscriptions",
        'find subscriptions {"$where": "sleep(1)"}',
        'find system.users {"user": 1}',
        'find a$b {"user": 1}',
        'find subscriptions {"user": 1} --all',
        "find subscriptions db.dropDatabase()",
        'explain subscriptions {"$expr": {"$function": {}}}',
        "indexes a b",
        "drop subscriptions",
        "eval 1",
    ],
)
async def test_safety_16_arguments_that_are_none(chat: MongoChat, words: str) -> None:
    """SAFETY 15, 16, 18: refused with a sentence; nothing is asked for, nothing is sent."""
    chat.cable.requests.clear()
    chat.mark()
    await chat.alice.says(f"/mongo {words}")
    assert chat.bot_said() + chat.bot_said_to("alice")
    assert chat.cards() == 0
    assert b"find\0" not in chat.cable.requests
    assert b"explain\0" not in chat.cable.requests
    assert chat.server.kills() == 0


async def test_safety_19_what_mongodb_prints_is_data(chat: MongoChat) -> None:
    """Names of fields, collections, indexes and programs have no effect in a chat."""
    op = chat.server.begins(
        appName=HOSTILE,
        ns=f"shop.{HOSTILE}",
        command={"find": "x", "filter": {HOSTILE: 1}},
        planSummary=HOSTILE,
    )
    index = {"v": 2, "key": {HOSTILE: 1}, "name": HOSTILE}
    chat.server.does("index", ns="shop.subscriptions", index=index)
    chat.server.holds("shop.subscriptions", {"user": HOSTILE, "status": {HOSTILE: HOSTILE}})
    for line in (
        "ops",
        "indexes subscriptions",
        'find subscriptions {"user": {"$in": [0]}}',
        "find subscriptions {}",
    ):
        await chat.alice.says(f"/mongo {line}")
    await chat.asks(f"/mongo killop {op}")
    for message in chat.messages():
        neutral(message.text)
        assert "mallory" not in message.mentions


async def test_safety_20_secrets_in_mongodb_stay_there(chat: MongoChat) -> None:
    """Planted in documents, filters, names and refusals: in no file, outbox, chat or export."""
    await chat.restarts(knowing)
    for number, (name, secret) in enumerate(PLANTED.items()):
        op = chat.server.begins(
            appName=secret, ns=f"shop.{secret}", command={"find": secret, "filter": {"x": secret}}
        )
        chat.server.holds("shop.subscriptions", {"user": 100 + number, "status": secret, name: secret})
        for line in ("ops", f'find subscriptions {{"user": {100 + number}}}'):
            await chat.alice.says(f"/mongo {line}")
        if number < 3:
            await chat.bob.reacts(await chat.asks(f"/mongo killop {op}"), "✅")
            card = await chat.asks(
                f'/mongo find subscriptions {{"user": {100 + number}, "$nor": [], "_id": 1}}'
            )
            await chat.bob.reacts(card, "✅")
        one = secret.replace("\n", " ").replace('"', "")
        await chat.alice.says(f'/mongo find people {{"a": "{one}"}}')
        await chat.alice.says(f'/mongo explain people {{"a": "{one}"}}')
    chat.server.does("set", error={"code": 8, "errmsg": PLANTED["password"]})
    await chat.alice.says("/mongo status")
    await everywhere(chat)


async def test_safety_33_no_answer_is_unknown_and_nothing_is_tried_again(chat: MongoChat) -> None:
    """The connection is reset after the request: the card says so, with what runs now."""
    card = await chat.asks(f"/mongo killop {chat.server.begins()}")
    chat.cable.fault("cut", b"killOp")
    await chat.bob.reacts(card, "✅")
    [unknown] = await chat.events("action-1", e.ActionUnknown)
    assert "the connection broke after the request was sent" in unknown.text
    await chat.waits(3600)
    await chat.restarts()
    assert chat.server.kills() == 1


async def test_safety_38_what_was_pasted_into_a_filter_is_erased(chat: MongoChat) -> None:
    """In the log, the chat and the exports."""
    for line in (f'/mongo find subscriptions {{"user": "{SECRET}"}}', f"/mongo indexes {SECRET}"):
        message = await chat.alice.says(line)
        await chat.waits(120)
        await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)
