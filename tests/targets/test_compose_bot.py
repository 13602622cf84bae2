"""The rules of approvals and execution with a compose project: the whole bot, driven by chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from incidents import events as e
from tests.safety.test_scrub import SECRET, gone
from tests.safety.test_words import HOSTILE, PLANTED, everywhere, knowing, neutral
from tests.servers import podman
from tests.servers.engine_api import Wanted
from tests.servers.engine_server import EngineServer
from tests.targets.compose_stage import SERVICES, StackChat, chatting, fresh


@pytest.fixture
def server() -> EngineServer:
    """A project as untouched as a new one."""
    return fresh()


@pytest.fixture
async def chat(tmp_path: Path, server: EngineServer) -> AsyncIterator[StackChat]:
    """A running bot with an open incident, and the project."""
    with capture_logs():
        async with chatting(tmp_path, server) as made:
            yield made


def engine(chat: StackChat) -> EngineServer:
    assert isinstance(chat.server, EngineServer)
    return chat.server


async def test_reads_and_changes_from_chat(chat: StackChat) -> None:
    """Looked at, asked for, approved, run, undone: the engine does it."""
    engine(chat).log(chat.server.named("instance-manager")["Id"], b"something happened")
    chat.mark()
    for line in ("ps", "stats", "ps intelligent-router", "logs instance-manager"):
        await chat.alice.says(f"/compose {line}")
    said = chat.bot_said()
    for told in ("stack · 3 of 3 running", "3 containers running", "2 of 2 running", "something happened"):
        assert told in said
    card = await chat.asks("/compose scale instance-manager 3")
    assert "1 → 3" in card.plain
    assert "the next" in card.plain
    await chat.bob.reacts(card, "✅")
    await chat.ended()
    assert "instance-manager runs 3 replicas" in chat.card().plain
    assert chat.server.running("instance-manager") == [1, 2, 3]
    await chat.alice.says("/undo 1")
    await chat.ended()
    assert chat.server.running("instance-manager") == [1]
    assert "may use 128m" in await chat.approved("/compose memory instance-manager 128m")
    assert "was restarted" in await chat.approved("/compose restart intelligent-router")


async def test_the_same_on_a_real_engine(tmp_path: Path) -> None:
    """Podman: scaled, followed by its undo."""
    server = podman.shared()
    server.furnish(SERVICES)
    with capture_logs():
        async with chatting(tmp_path, server) as chat:
            card = await chat.asks("/compose scale instance-manager 2")
            await chat.bob.reacts(card, "✅")
            await chat.ended()
            assert (await chat.action()).state == "done", chat.card().plain
            assert server.running("instance-manager") == [1, 2]
            await chat.alice.says("/undo 1")
            await chat.ended()
            assert server.running("instance-manager") == [1]


async def test_a_checklist_and_other_runtimes(chat: StackChat) -> None:
    """The checklist counts containers; Kubernetes' commands and compose's keep to their own."""
    chat.mark()
    await chat.alice.says("/compose restart realtime")
    await chat.alice.says("/restart instance-manager")
    await chat.alice.says("/compose ps redis")
    said = chat.bot_said_to("alice")
    assert "realtime runs in Kubernetes, not under docker compose: use " in said
    assert "instance-manager runs under docker compose, not in Kubernetes: use " in said
    assert "redis does not run in the compose project of stack" in said
    assert chat.cards() == 0


async def test_safety_5_a_change_of_several_is_cancelled(chat: StackChat) -> None:
    """Between two containers; the card says how far it came."""
    card = await chat.asks("/compose restart intelligent-router")
    second = chat.server.named("intelligent-router", 2)["State"]["StartedAt"]
    await chat.bob.reacts(card, "✅")
    assert (await chat.action()).state == "running"  # the first one has to stay up for a second
    await chat.alice.says("/cancel 1")
    await chat.ended()
    assert "stopped after 1 of 2, as asked" in chat.card().plain
    assert chat.server.named("intelligent-router", 2)["State"]["StartedAt"] == second


async def test_a_scale_that_was_cancelled_half_way_is_taken_back(chat: StackChat) -> None:
    """What was begun of it stands, and its approval covers the undo."""
    card = await chat.asks("/compose scale instance-manager 3")
    await chat.bob.reacts(card, "✅")
    await chat.alice.says("/cancel 1")
    await chat.ended()
    assert "stopped after 1 of 2, as asked" in chat.card().plain
    assert chat.server.running("instance-manager") == [1, 2]
    await chat.alice.says("/undo 1")
    await chat.ended()
    assert chat.server.running("instance-manager") == [1]


async def test_safety_10_killed_while_a_container_restarts(chat: StackChat) -> None:
    """The answer is under way when the process dies: a later start proves it, and it is not sent again."""
    card = await chat.asks("/compose restart instance-manager")
    chat.cable.fault("hold", b"/restart")
    await chat.bob.reacts(card, "✅", settle=False)
    await chat.cable.answered()
    await chat.stage.kill()
    chat.cable.heal()
    await chat.restarts()
    assert (await chat.action()).state == "done"
    assert "instance-manager was restarted" in chat.card().plain
    assert chat.changes == 1


async def test_safety_10_killed_between_two_containers(chat: StackChat) -> None:
    """A part of it is proved: unknown, with what there is; nothing more is sent."""
    card = await chat.asks("/compose scale instance-manager 3")
    chat.cable.fault("hold", b"/start")
    await chat.bob.reacts(card, "✅", settle=False)
    await chat.cable.answered()
    await chat.stage.kill()
    chat.cable.heal()
    await chat.restarts()
    [unknown] = await chat.events("action-1", e.ActionUnknown)
    assert "Docker shows instance-manager-1 running and instance-manager-2 running" in unknown.text
    assert unknown.observed == {"replicas": 2, "containers": "1, 2", "stopped": "none"}
    await chat.restarts()
    assert chat.changes == 1


async def test_safety_11_two_replicas_run_it_once(tmp_path: Path, server: EngineServer) -> None:
    """Both see the quorum, one claims it."""
    with capture_logs():
        async with chatting(tmp_path, server, bots=2) as chat:
            await chat.approved("/compose restart instance-manager")
            assert (await chat.action()).state == "done"
            assert chat.changes == 1


async def test_safety_12_of_two_plans_for_one_service_the_second_is_void(chat: StackChat) -> None:
    """It was made on what is no longer so."""
    first = await chat.asks("/compose scale instance-manager 2")
    second = await chat.asks("/compose scale instance-manager 4")
    await chat.bob.reacts(first, "✅")
    await chat.ended()
    await chat.bob.reacts(second, "✅")
    await chat.ended()
    assert (await chat.action(2)).state == "void"
    assert chat.server.running("instance-manager") == [1, 2]
    assert "2 → 4" in chat.card(3).plain


async def test_safety_14_drift_voids_and_asks_once_more(chat: StackChat) -> None:
    """Somebody restarted it, or made it anew, before it was approved."""
    card = await chat.asks("/compose restart instance-manager")
    chat.server.again("instance-manager")
    await chat.bob.reacts(card, "✅")
    assert (await chat.action(1)).state == "void"
    chat.server.ask("DELETE", f"/containers/{chat.server.named('instance-manager')['Id']}", force="1")
    chat.server.make("instance-manager", 1, Wanted())
    await chat.bob.reacts(chat.card(2), "✅")
    assert (await chat.action(2)).state == "void"
    assert await chat.actions() == 2
    assert chat.changes == 0


async def test_a_stop_takes_two(chat: StackChat) -> None:
    """0 is a danger."""
    card = await chat.asks("/compose scale instance-manager 0")
    await chat.bob.reacts(card, "✅")
    assert chat.server.running("instance-manager") == [1]
    await chat.carol.reacts(card, "✅")
    await chat.ended()
    assert chat.server.running("instance-manager") == []


@pytest.mark.parametrize(
    "words",
    [
        "restart --all",
        "restart instance-manager;reboot",
        "restart ../other",
        "restart instаnce-manager",
        "scale instance-manager -1",
        "scale instance-manager 1e9",
        "scale instance-manager ３",
        "scale instance-manager 10.5",
        "scale instance-manager 6",
        "scale instance-manager",
        "memory instance-manager 4",
        "memory instance-manager -4g",
        "memory instance-manager $(reboot)",
        "memory instance-manager 1g,2g",
        "logs instance-manager container=0",
        "logs instance-manager tail=-1",
        "ps target=../x",
        "exec instance-manager sh",
    ],
)
async def test_safety_16_arguments_that_are_none(chat: StackChat, words: str) -> None:
    """SAFETY 15, 16, 18: refused with a sentence; nothing is asked for, nothing sent that changes anything."""
    await chat.alice.says(f"/compose {words}")
    assert chat.cards() == 0
    assert chat.changes == 0


async def test_safety_19_what_an_engine_shows_is_data(chat: StackChat) -> None:
    """Logs, and the engine's own words: nothing of it has an effect in a chat."""
    server = engine(chat)
    server.log(server.named("instance-manager")["Id"], HOSTILE.encode())
    await chat.alice.says("/compose logs instance-manager")
    server.fail("GET .*/containers/json", 500, HOSTILE)
    await chat.alice.says("/compose ps")
    card = await chat.asks("/compose restart instance-manager")
    server.fail("POST .*/restart", 409, HOSTILE)
    await chat.bob.reacts(card, "✅")
    await chat.ended()
    assert (await chat.action()).state == "failed"
    for message in chat.messages():
        neutral(message.text)
        assert "mallory" not in message.mentions


async def test_safety_20_secrets_of_containers_stay_there(chat: StackChat) -> None:
    """Planted in environments, logs and errors: in no file, outbox, chat or export, though a copy has them."""
    server = engine(chat)
    await chat.restarts(knowing)
    env = [f"{name.upper()}={secret}" for name, secret in PLANTED.items()]
    server.ask("DELETE", f"/containers/{server.named('instance-manager')['Id']}", force="1")
    ident = server.make("instance-manager", 1, Wanted(config={"Env": env, "Cmd": list(PLANTED.values())}))
    server.log(ident, *(line.encode() for secret in PLANTED.values() for line in secret.split("\n")))
    for line in ("ps", "stats", "logs instance-manager", "logs instance-manager grep=a"):
        await chat.alice.says(f"/compose {line}")
    for secret in PLANTED.values():
        server.fail("GET .*/containers/json", 500, secret)
        await chat.alice.says("/compose ps")
    await chat.approved("/compose scale instance-manager 2")
    assert server.named("instance-manager", 2)["Config"]["Env"] == env
    card = await chat.asks("/compose restart instance-manager")
    server.fail("POST .*/restart", 500, PLANTED["password"])
    await chat.bob.reacts(card, "✅")
    await chat.ended()
    await everywhere(chat)


async def test_safety_20_a_long_log_is_a_file_without_secrets(chat: StackChat) -> None:
    """More than is worked on at once: laid out and redacted all the same."""
    server = engine(chat)
    lines = [b"%d ERROR password=Tr0ub4dor-%d " % (number, number) + b"x " * 300 for number in range(100)]
    server.log(server.named("instance-manager")["Id"], *lines)
    await chat.alice.says("/compose logs instance-manager")
    assert "instance-manager · production · 100 lines" in chat.bot_said()
    assert "99 ERROR password=‹redacted›" in chat.bot_said()
    assert b"42 ERROR password=" in chat.chat_bytes()
    assert b"Tr0ub4dor" not in chat.chat_bytes()


async def test_safety_32_without_a_log_nothing_is_sent(chat: StackChat) -> None:
    """Approved when the log cannot be written: the vote is refused, and the engine hears nothing."""
    card = await chat.asks("/compose restart instance-manager")
    async with chat.log_held():
        await chat.console.reacts("bob", card.id, "✅")
        await chat.stage.quiet()
        assert chat.changes == 0


async def test_safety_33_no_answer_is_unknown_and_nothing_is_tried_again(chat: StackChat) -> None:
    """The connection breaks after the request: the card says so, with what Docker shows now."""
    card = await chat.asks("/compose restart instance-manager")
    chat.cable.fault("cut", b"/restart")
    await chat.bob.reacts(card, "✅")
    await chat.ended()
    [unknown] = await chat.events("action-1", e.ActionUnknown)
    assert "the connection broke after the request was sent" in unknown.text
    assert "Docker shows instance-manager-1 running" in unknown.text
    await chat.waits(3600)
    await chat.restarts()
    assert chat.changes == 1


async def test_a_scale_for_a_while_goes_back_by_itself(chat: StackChat) -> None:
    """`for 30m`, counted from its end."""
    await chat.approved("/compose scale instance-manager 2 for 30m")
    await chat.waits(29 * 60)
    assert chat.server.running("instance-manager") == [1, 2]
    await chat.waits(2 * 60)
    await chat.ended()
    assert chat.server.running("instance-manager") == [1]


async def test_safety_38_what_was_pasted_into_a_command_is_erased(chat: StackChat) -> None:
    """As a word to look for, or a size: in the log, the chat and the exports."""
    for line in (
        f"/compose logs instance-manager grep={SECRET}",
        f"/compose memory instance-manager {SECRET}",
        f"/compose ps target={SECRET}",
    ):
        message = await chat.alice.says(line)
        await chat.waits(120)
        await chat.bob.says(f"/scrub {message}")
    await chat.waits(60)
    await gone(chat)
