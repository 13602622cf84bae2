"""SAFETY 20 on real systems: what is secret there is in no table, outbox, chat, file, export or process log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot import logs
from bot.targets.build import check
from bot.targets.kubernetes_rights import USUAL, role
from tests.contracts.kubernetes_rig import SPACE, TOKEN, furnish, patch, pod_names
from tests.safety.test_words import KNOWN, PLANTED, everywhere, knowing, without_secrets
from tests.servers.kubernetes import scene
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.servers.redis_server import RedisServer
from tests.targets import kubernetes_stage, redis_stage
from tests.targets.kubernetes_stage import DEPLOYMENT
from tests.targets.stands import RedisStand

ALL = " ".join(PLANTED.values())
TELLING = (
    *PLANTED.values(),
    f"{'x' * 190} {KNOWN}",
    f"{'x' * 280} {KNOWN}",
)  # over the edge of what is shown


@pytest.fixture(autouse=True)
def process_log(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """The process writes its log as ever, and at the end no secret stands there."""
    logs.configure(logging.DEBUG, [KNOWN])
    try:
        yield
        out, err = capfd.readouterr()
        without_secrets((out + err).encode(), "the process log")
    finally:
        structlog.reset_defaults()


def event(pod: dict[str, Any], number: int, message: str) -> dict[str, Any]:
    """Something that Kubernetes reports about a pod."""
    meta = {"name": f"planted-{number}", "namespace": SPACE}
    about = {
        "kind": "Pod",
        "name": pod["metadata"]["name"],
        "namespace": SPACE,
        "uid": pod["metadata"]["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": meta,
        "involvedObject": about,
        "type": "Warning",
        "reason": "Failed",
        "message": message,
        "lastTimestamp": "2026-01-03T02:29:00Z",
    }


def plant(server: KubernetesServer) -> None:
    """Secrets wherever somebody could have put them."""
    env = {f"LINE_{name}".upper(): text for name, text in PLANTED.items()}
    server.deploy(
        "realtime", SPACE, image="registry.example.com/realtime:1.2.0", env=env, config="realtime-config"
    )
    server.settle()
    patch(server, DEPLOYMENT, {"metadata": {"annotations": {"kubernetes.io/change-cause": ALL}}})
    values = {"MAINTENANCE_MODE": PLANTED["password"], "BACKPRESSURE_THRESHOLD": KNOWN}
    server.apply(scene.config_map("realtime-config", SPACE, {**PLANTED, **values}))
    for pod in server.objects("pods", SPACE):
        server.call("log", pod=pod["metadata"]["name"], namespace=SPACE, lines=[*PLANTED.values(), ALL])
        server.call("log", pod=pod["metadata"]["name"], namespace=SPACE, lines=[ALL], previous=True)
        server.apply(*(event(pod, number, text) for number, text in enumerate(TELLING)))
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": TELLING[-2]}
    where = "/api/v1/nodes/node-1/status"
    status, said = server.request(
        "PATCH", where, {"status": {"conditions": [condition]}}, Content_Type="application/merge-patch+json"
    )
    assert status == 200, said


async def test_safety_20_in_a_cluster(tmp_path: Path) -> None:
    """Environments, config maps, events, conditions, causes, logs, output of probes, and refusals of every change."""
    server = shared()
    furnish(server)
    server.call("token", token=TOKEN, roles=[role((*USUAL, "probe"))])
    plant(server)
    pod = pod_names(server)[0]
    await server.act("command", argv=["ps", "aux"], stdout=ALL + "\n", stderr=ALL, code=1)
    async with kubernetes_stage.chatting(tmp_path, server, probe={}) as chat:
        await chat.restarts(knowing)
        for word in ("pods", "describe", "events", "top", "rollout", "hpa", "endpoints", "ingress", "netpol"):
            await chat.alice.says(f"/{word} realtime")
        reads = ("logs realtime", "logs realtime previous", f"describe {pod}", f"events namespace={SPACE}")
        for line in (*reads, "node node-1", "pv", "top nodes", "probe realtime ps", "checklist realtime"):
            await chat.alice.says(f"/{line}")
        toggle = "/toggle realtime BACKPRESSURE_THRESHOLD 0.9"
        for line in (toggle, f"{toggle} expect={KNOWN}", "/maintenance realtime on", "/rollback realtime"):
            await chat.alice.says(line)
        assert "What MAINTENANCE_MODE is now looks like a secret" in chat.bot_said_to("alice")
        assert "What BACKPRESSURE_THRESHOLD is now looks like a secret" in chat.bot_said_to("alice")
        for told in TELLING:
            await server.act("faults", kinds=["denied"], verbs=["patch"], message=told)
            await chat.alice.says("/scale realtime 5")
        await server.act("faults")
        await chat.asks("/scale realtime 6")
        await server.act("faults", kinds=["denied"], verbs=["patch"], message=ALL, count=1)
        await chat.bob.reacts(chat.card(), "✅")
        await chat.rolled()
        await chat.asks("/scale realtime 7")
        image = {"name": "app", "image": f"registry.example.com/{KNOWN}:1"}
        patch(server, DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [image]}}}})
        await chat.bob.reacts(chat.card(), "✅")
        await chat.rolled()
        assert "‹redacted›" in "\n".join(m.plain for m in chat.messages())
        await everywhere(chat)


async def test_safety_20_an_image_that_looks_like_a_secret(tmp_path: Path) -> None:
    """It is not written down; the service is scaled all the same, and another image is still drift (SAFETY 14)."""
    server = shared()
    furnish(server)
    image = "registry.example.com/token-service:v1.2.3-rc"
    server.deploy("realtime", SPACE, image=image, config="realtime-config")
    server.settle()
    async with kubernetes_stage.chatting(tmp_path, server) as chat:
        assert "realtime runs 6 replicas" in await chat.approved("/scale realtime 6")
        assert "v1.2.3-rc" not in str((await chat.action()).plan)
        card = await chat.asks("/scale realtime 5")
        other = {"name": "app", "image": "registry.example.com/token-service:v1.2.4-rc"}
        patch(server, DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [other]}}}})
        await chat.rolled()
        await chat.bob.reacts(card, "✅")
        assert (await chat.action(2)).state == "void"
        assert b"v1.2.4-rc" not in chat.log_bytes()


async def test_safety_20_in_a_redis(tmp_path: Path, server: RedisServer) -> None:
    """Values of every kind, over the edge of what is shown too, keys, names of clients, slow commands."""
    admin = server.admin
    admin.config_set("slowlog-log-slower-than", 0)
    async with redis_stage.chatting(tmp_path, server) as chat:
        await chat.restarts(knowing)
        stand = RedisStand(server, chat)
        admin.set("config:edge", "x" * 3985 + " " + KNOWN * 3)
        admin.set("config:list", "y")
        for name, secret in PLANTED.items():
            admin.set(f"config:{name}", secret)
            admin.zadd("config:sorted", {secret: 1})
            admin.sadd("config:set", secret)
            admin.xadd("config:stream", {name: secret})
            admin.hset("config:hash", secret, secret)
            admin.set(f"config:{secret}", "1")
        for key in ("edge", "sorted", "set", "stream", "hash", *PLANTED):
            await chat.alice.says(f"/redis get config:{key}")
        with server.client(client_name=KNOWN) as other:
            other.ping()
            for line in ("slowlog", "clients", "keys config:*", "info", "memory"):
                await chat.alice.says(f"/redis {line}")
            await chat.approved(f"/redis kill {other.client_id()}")
            assert "was disconnected" in chat.card().plain
        for line in (
            f"/redis del config:{KNOWN}",
            f"/redis get {KNOWN}",
            f"/redis {KNOWN} info",
            f"/redis flush {KNOWN}",
        ):
            await chat.alice.says(line)
        assert stand.shown == 2
        admin.config_set("slowlog-log-slower-than", 10_000)
        await everywhere(chat)


@asynccontextmanager
async def rude(words: str) -> AsyncIterator[int]:
    """The port of a server that answers every command of Redis's protocol with this refusal."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            # Commands are pipelined while a connection is opened: as many answers as commands.
            writer.write(f"-ERR {words}\r\n".encode() * max(1, data.count(b"*")))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_safety_20_a_redis_that_repeats_what_it_was_sent(tmp_path: Path, server: RedisServer) -> None:
    """A refusal may hold a password; it is told, in chat and by `watchbell check`, without it."""
    async with redis_stage.chatting(tmp_path, server) as chat:
        await chat.restarts(knowing)
        for told in TELLING:
            if "\n" in told:
                continue  # a refusal is one line
            async with rude(f"wrong {told}") as port:
                main = {**chat.stage.settings.targets["main"], "url": f"redis://127.0.0.1:{port}/0"}
                settings = chat.stage.settings
                changed = replace(settings, targets={**settings.targets, "main": main})
                await chat.restarts(lambda _settings, changed=changed: changed)  # type: ignore[misc]
                chat.mark()
                await chat.alice.says("/redis ping")
                assert "says no: " in chat.bot_said() + chat.bot_said_to("alice")
                await chat.alice.says("/redis maxmemory 1gb")
                lines = [line.text async for _, line in check(changed, chat.stage.clock)]
                assert any("says no" in line for line in lines)
                without_secrets("\n".join(lines).encode(), "`watchbell check`")
        await everywhere(chat)
