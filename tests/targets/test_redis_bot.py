"""The rules of approvals and execution with a real Redis: the whole bot, driven by chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from incidents import events as e
from tests.contracts.redis_rig import GIB
from tests.safety.test_scrub import SECRET, gone
from tests.safety.test_words import HOSTILE, PLANTED, everywhere, knowing, neutral
from tests.servers.redis_server import RedisServer
from tests.targets.redis_stage import RealChat, chatting


@pytest.fixture
async def chat(tmp_path: Path, server: RedisServer) -> AsyncIterator[RealChat]:
    """A running bot with an open incident, and a real Redis."""
    with capture_logs():
        async with chatting(tmp_path, server) as made:
            yield made


def maxmemory(chat: RealChat) -> int:
    return int(chat.server.admin.config_get("maxmemory")["maxmemory"])


async def test_reads_and_changes_from_chat(chat: RealChat) -> None:
    """Looked at, asked for, approved, run, undone: the server does it."""
    chat.server.admin.mset({"rate-limit:1": "7", "other": "x"})
    chat.mark()
    await chat.alice.says("/redis info")
    await chat.alice.says("/redis limits dbsize")
    await chat.alice.says("/redis get rate-limit:1")
    said = chat.bot_said()
    assert "redis_version" in said
    assert "redis limits · 0 keys" in said
    assert "7" in said
    card = await chat.asks("/redis maxmemory 1gb")
    assert "2gb → 1gb" in card.plain
    await chat.bob.reacts(card, "✅")
    assert maxmemory(chat) == GIB
    assert "redis may use 1gb" in chat.card().plain
    await chat.alice.says("/undo 1")
    assert maxmemory(chat) == 2 * GIB
    assert chat.changes == 2


async def test_a_danger_takes_two_and_a_small_deletion_can_be_undone(chat: RealChat) -> None:
    """One tick is not enough; the undo on the card brings the values back without another vote."""
    chat.server.admin.mset({"rate-limit:1": "7", "rate-limit:2": "8"})
    card = await chat.asks("/redis del rate-limit:*")
    await chat.bob.reacts(card, "✅")
    assert chat.server.admin.exists("rate-limit:1")
    await chat.carol.reacts(card, "✅")
    assert not chat.server.admin.keys("*")
    await chat.alice.says("/undo 1")
    assert chat.server.admin.mget("rate-limit:1", "rate-limit:2") == ["7", "8"]
    assert b"rate-limit:2" not in chat.log_bytes(), "neither keys nor values are written down"


async def test_undo_brings_back_what_its_own_card_removed(chat: RealChat) -> None:
    """Two deletions by one pattern: the first one's undo brings back the first one's keys."""
    admin = chat.server.admin
    for number in (1, 2):
        admin.set(f"cache:{number}", "value")
        await chat.approved("/redis del cache:*", "bob", "carol")
    await chat.alice.says("/undo 1")
    assert admin.keys("*") == ["cache:1"]
    admin.delete("cache:1")
    await chat.alice.says("/undo 2")
    assert admin.keys("*") == ["cache:2"]


async def test_a_value_after_an_approval_is_shown_to_who_asked_alone(chat: RealChat) -> None:
    """In private, redacted."""
    chat.server.admin.set("profile:7", "colour=blue password=Sw0rdfish-4711")
    chat.mark()
    await chat.approved("/redis get profile:7")
    assert "colour=blue" in chat.bot_said_to("alice")
    assert "colour=blue" not in chat.bot_said()
    assert "Sw0rdfish" not in chat.bot_said_to("alice")


async def test_safety_10_killed_while_a_setting_is_written(chat: RealChat) -> None:
    """The answer is under way when the process dies: the setting itself proves it, and it is not written again."""
    card = await chat.asks("/redis maxmemory 1gb")
    chat.cable.fault("hold", b"CONFIG")
    await chat.bob.reacts(card, "✅", settle=False)
    await chat.cable.answered()
    await chat.stage.kill()
    chat.cable.heal()
    await chat.restarts()
    assert (await chat.action()).state == "done"
    assert "redis may use 1gb" in chat.card().plain
    assert chat.changes == 1


async def test_safety_10_killed_while_keys_are_deleted(chat: RealChat) -> None:
    """Keys that are gone prove nothing: unknown, with what is there now, and never again."""
    chat.server.admin.mset({f"cache:{n}": n for n in range(300)})
    card = await chat.asks("/redis del cache:*")
    await chat.bob.reacts(card, "✅")
    chat.cable.fault("hold", b"UNLINK")
    await chat.carol.reacts(card, "✅", settle=False)
    await chat.cable.answered()
    await chat.stage.kill()
    chat.cable.heal()
    await chat.restarts()
    [unknown] = await chat.events("action-1", e.ActionUnknown)
    assert unknown.observed == {"keys": 0}
    assert chat.changes == 1
    await chat.restarts()
    assert chat.changes == 1


async def test_safety_11_two_replicas_run_it_once(tmp_path: Path, server: RedisServer) -> None:
    """Both see the quorum, one claims it."""
    with capture_logs():
        async with chatting(tmp_path, server, bots=2) as chat:
            await chat.approved("/redis maxmemory 1gb")
            assert (await chat.action()).state == "done"
            assert chat.changes == 1


async def test_safety_12_of_two_plans_for_one_server_the_second_is_void(chat: RealChat) -> None:
    """It was made on what is no longer so."""
    first, second = await chat.asks("/redis maxmemory 1gb"), await chat.asks("/redis maxmemory 4gb")
    await chat.bob.reacts(first, "✅")
    await chat.bob.reacts(second, "✅")
    assert (await chat.action(2)).state == "void"
    assert maxmemory(chat) == GIB
    assert chat.changes == 1
    assert "1gb → 4gb" in chat.card(3).plain


async def test_safety_13_an_approver_without_the_role_counts_no_more(chat: RealChat) -> None:
    """Looked up again right before it runs."""
    card = await chat.asks("/redis flush redis")
    await chat.bob.reacts(card, "✅")
    people = chat.stage.settings.people

    def without(settings: object) -> object:
        changed = {**people, "bob": replace(people["bob"], roles=frozenset({"responder"}))}
        return replace(settings, people=changed)  # type: ignore[type-var]

    await chat.restarts(without)  # type: ignore[arg-type]
    await chat.carol.reacts(card, "✅")
    assert chat.changes == 0


async def test_safety_14_drift_voids_and_asks_once_more(chat: RealChat) -> None:
    """Somebody else changed it meanwhile; the second time it is not asked again."""
    admin = chat.server.admin
    card = await chat.asks("/redis maxmemory 1gb")
    admin.config_set("maxmemory", 3 * GIB)
    await chat.bob.reacts(card, "✅")
    assert (await chat.action(1)).state == "void"
    assert "maxmemory is 3gb now, it was 2gb" in "\n".join(m.plain for m in chat.messages())
    assert "3gb → 1gb" in chat.card(2).plain
    admin.config_set("maxmemory", 4 * GIB)
    await chat.bob.reacts(chat.card(2), "✅")
    assert (await chat.action(2)).state == "void"
    assert await chat.actions() == 2
    assert maxmemory(chat) == 4 * GIB


@pytest.mark.parametrize(
    "words",
    [
        "del --force",
        "del $(reboot)",
        "del a,b",
        'del "a b"',
        "del a\nFLUSHALL",
        "del ключ*",
        "keys a;b",
        "get --help",
        "kill -1",
        "kill 1|2",
        "maxmemory -1",
        "maxmemory 1e9",
        "maxmemory NaN",
        "maxmemory ４gb",
        "maxmemory 999999999999gb",
        "policy allkeys",
        "flush",
        "flush limits",
        "info commandstats",
        "config get requirepass",
    ],
)
async def test_safety_16_arguments_that_are_none(chat: RealChat, words: str) -> None:
    """SAFETY 15, 16, 18: refused with a sentence; nothing is asked for, nothing sent that changes anything."""
    chat.server.admin.mset({"a": 1, "b": 2})
    await chat.alice.says(f"/redis {words}")
    assert chat.cards() == 0
    assert chat.changes == 0
    assert chat.server.admin.dbsize() == 2


async def test_safety_19_keys_values_and_clients_are_data(chat: RealChat) -> None:
    """What Redis prints has no effect in a chat."""
    admin = chat.server.admin
    admin.set("config:x", HOSTILE)
    admin.set(f"config:{HOSTILE}", 1)
    admin.hset("config:h", mapping={HOSTILE: HOSTILE})
    with chat.server.client(client_name="@room/<b>x</b>/@mallory") as hostile:
        hostile.ping()
        for line in ("get config:x", "get config:h", "keys config:*", "clients", "info", "slowlog"):
            await chat.alice.says(f"/redis {line}")
        await chat.asks(f"/redis kill {hostile.client_id()}")
    for message in chat.messages():
        neutral(message.text)
        assert "mallory" not in message.mentions


async def test_safety_20_secrets_in_redis_stay_there(chat: RealChat) -> None:
    """Planted in values of every kind, names of clients, slow commands: in no file, outbox, chat or export."""
    admin = chat.server.admin
    await chat.restarts(knowing)
    admin.config_set("slowlog-log-slower-than", 0)
    for name, secret in PLANTED.items():
        admin.set(f"config:{name}", secret)
        admin.hset("config:hash", name, secret)
        admin.rpush("config:list", secret)
        admin.set(f"profile:{name}", secret)
        admin.set(f"session:{secret.split()[-1]}", "alice")
    for name in PLANTED:
        await chat.alice.says(f"/redis get config:{name}")
        await chat.approved(f"/redis get profile:{name}")
    for line in ("get config:hash", "get config:list", "slowlog", "clients", "keys session:*", "info"):
        await chat.alice.says(f"/redis {line}")
    await chat.approved("/redis del config:*", "bob", "carol")
    number = chat.card().plain.split("#")[1].split()[0].strip(":·")
    await chat.alice.says(f"/undo {number}")
    assert admin.get("config:password") == PLANTED["password"]
    admin.config_set("slowlog-log-slower-than", 10_000)
    await everywhere(chat)


async def test_safety_31_break_glass_waits_a_minute(chat: RealChat) -> None:
    """With a reason, after a delay in which anybody can stop it; then it runs, once."""
    await chat.asks("/redis maxmemory 1gb")
    await chat.alice.says("/breakglass 1 nobody else is awake")
    await chat.waits(59)
    assert chat.changes == 0
    await chat.waits(10)
    assert maxmemory(chat) == GIB
    assert chat.changes == 1


async def test_safety_32_without_a_log_nothing_is_sent(chat: RealChat) -> None:
    """Approved when the log cannot be written: the vote is refused, and Redis hears nothing."""
    card = await chat.asks("/redis maxmemory 1gb")
    async with chat.log_held():
        await chat.console.reacts("bob", card.id, "✅")
        await chat.stage.quiet()
        assert chat.changes == 0
    assert maxmemory(chat) == 2 * GIB


async def test_a_limit_for_a_while_goes_back_by_itself(chat: RealChat) -> None:
    """`for 30m`, counted from its end; where somebody else has changed it meanwhile it is not touched."""
    await chat.approved("/redis maxmemory 1gb for 30m")
    await chat.waits(29 * 60)
    assert maxmemory(chat) == GIB
    await chat.waits(2 * 60)
    assert maxmemory(chat) == 2 * GIB
    await chat.approved("/redis maxmemory 1gb for 30m")
    chat.server.admin.config_set("maxmemory", 3 * GIB)
    await chat.waits(31 * 60)
    assert maxmemory(chat) == 3 * GIB


async def test_safety_33_no_answer_is_unknown_and_nothing_is_tried_again(chat: RealChat) -> None:
    """The connection is reset after the request: the card says so, with what Redis shows now."""
    card = await chat.asks("/redis maxmemory 1gb")
    chat.cable.fault("cut", b"CONFIG")
    await chat.bob.reacts(card, "✅")
    [unknown] = await chat.events("action-1", e.ActionUnknown)
    assert "the connection broke after the request was sent" in unknown.text
    assert unknown.observed == {"maxmemory": "1gb"}
    await chat.waits(3600)
    await chat.restarts()
    assert chat.changes == 1


async def test_safety_33_a_redis_that_is_away_runs_nothing(chat: RealChat) -> None:
    """Refused with a sentence when it is asked for, failed when it goes away before it runs."""
    card = await chat.asks("/redis maxmemory 1gb")
    await chat.cable.refuse()
    chat.mark()
    await chat.alice.says("/redis ping")
    assert "does not answer" in chat.bot_said() + chat.bot_said_to("alice")
    await chat.bob.reacts(card, "✅")
    assert (await chat.action()).state == "failed"
    await chat.cable.start()
    assert chat.changes == 0


async def test_safety_38_what_was_pasted_into_a_redis_command_is_erased(chat: RealChat) -> None:
    """As a key, a pattern, or after the command: in the log, the chat and the exports."""
    chat.server.admin.set(SECRET, "x")
    for line in (f"/redis keys {SECRET}*", f"/redis get session:{SECRET}", f"/redis dbsize {SECRET}"):
        message = await chat.alice.says(line)
        await chat.waits(120)
        await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)
