"""`watchbell run` with Matrix, as its own process: what the guide promises, and what is said where it cannot be."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import nio
import pytest

from tests.servers.synapse import Account, Synapse, shared

BASE = (Path(__file__).parent / "config_base.yaml").read_text(encoding="utf-8")
PATIENCE = 30.0  # seconds
SCALE = re.compile(r"asks: scale realtime 3 → 4")


class Site:
    """A folder with a configuration, a homeserver, and a room of alice's into which the bot is invited."""

    def __init__(self, folder: Path, server: Synapse) -> None:
        self.folder, self.server, self.tag = folder, server, uuid4().hex[:8]
        self.bot, self.alice, self.bob = (
            server.register(f"{name}-{self.tag}", name) for name in ("watchbell", "alice", "bob")
        )
        self.ops = server.call(
            "POST",
            "/createRoom",
            self.alice,
            {"room_alias_name": f"ops-{self.tag}", "invite": [self.bot.user, self.bob.user]},
        )["room_id"]
        server.call("POST", f"/join/{quote(self.ops)}", self.bob)

    def written(self, section: str = "", homeserver: str = "") -> Path:
        told = (
            f'homeserver: "{homeserver or self.server.url}", user: "{self.bot.user}", access_token_env: TOKEN'
        )
        text = BASE.replace("#ops", f"#ops-{self.tag}").replace("port: 8080", "port: 0")
        text = text.replace("{console: {}}", f"{{matrix: {{{told}{section}}}}}")
        for account, name in ((self.alice, "alice"), (self.bob, "bob")):
            text = text.replace(f"ids: {{console: {name}}}", f'ids: {{matrix: "{account.user}"}}')
        path = self.folder / "watchbell.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    @asynccontextmanager
    async def running(self, path: Path, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The process, which is killed at the end if it lives still."""
        words = ["-m", "bot", "run", "--config", str(path), "--data", str(self.folder / "data")]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "AM_TOKEN": "a token", "TOKEN": self.bot.token, **environ},
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def until_up(process: asyncio.subprocess.Process) -> str:
    """Its first line: where it is up."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await process.stdout.readline()).decode()


class Client:
    """Somebody's own client, which encrypts and goes wherever it is invited."""

    def __init__(self, site: Site, who: Account) -> None:
        folder = site.folder / who.device
        folder.mkdir()
        config = nio.AsyncClientConfig(max_limit_exceeded=0, max_timeouts=1, encryption_enabled=True)
        self.nio = nio.AsyncClient(
            site.server.url, who.user, who.device, store_path=str(folder), config=config
        )
        self.nio.restore_login(who.user, who.device, who.token)
        self.nio.add_event_callback(self._saw, (nio.RoomMessage, nio.ReactionEvent))
        self.seen: list[Any] = []

    def _saw(self, room: nio.MatrixRoom, event: nio.Event) -> None:
        self.seen.append((room.room_id, event))

    async def look(self) -> None:
        """Take in what is new."""
        await self.nio.sync(timeout=500, full_state=self.nio.next_batch == "")
        for room in list(self.nio.invited_rooms):
            await self.nio.join(room)
        if self.nio.should_upload_keys:
            await self.nio.keys_upload()
        if self.nio.should_query_keys:
            await self.nio.keys_query()

    async def until(self, found: Callable[[str, Any], bool]) -> tuple[str, Any]:
        """The room and the event that are so, as soon as they are there."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for room, event in self.seen:
                    if found(room, event):
                        return room, event
                await self.look()

    async def reads(self, pattern: str, *, sealed: bool = True) -> tuple[str, Any]:
        """A message of the bot's that says so."""
        return await self.until(
            lambda _, e: (
                bool(re.search(pattern, str(e.source["content"].get("body")))) and e.decrypted == sealed
            )
        )

    async def says(self, room: str, text: str) -> None:
        content = {"msgtype": "m.text", "body": text}
        await self.nio.room_send(room, "m.room.message", content, ignore_unverified_devices=True)

    async def reacts(self, room: str, target: str, key: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": target, "key": key}
        content = {"m.relates_to": relation}
        await self.nio.room_send(room, "m.reaction", content, ignore_unverified_devices=True)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    server = shared()
    server.run_clock()
    return Site(tmp_path, server)


@pytest.fixture
async def people(site: Site) -> AsyncIterator[tuple[Client, Client]]:
    alice, bob = Client(site, site.alice), Client(site, site.bob)
    for one in (alice, bob):
        await one.look()
    yield alice, bob
    for one in (alice, bob):
        await one.nio.close()


async def test_an_encrypted_incident_as_the_guide_tells_it(site: Site, people: tuple[Client, Client]) -> None:
    """Opened in words, acknowledged by a tap, changed after a reaction of somebody else; the keys are its owner's."""
    alice, bob = people
    path = site.written(", encrypted: true, space: Incidents")
    async with site.running(path) as process:
        assert re.match(
            r"Watchbell is up; its pages are at http://127\.0\.0\.1:\d+\.", await until_up(process)
        )
        await alice.says(site.ops, "!incident open critical Trying the watch --drill")
        room, card = await alice.reads(r"Critical, drill · INC-1 Trying the watch\n")
        await alice.until(lambda where, e: where == room and getattr(e, "key", "") == "1️⃣")
        await bob.nio.join(room)
        await bob.look()
        await alice.reacts(room, card.event_id, "1️⃣")
        await alice.reads(r"alice acknowledged INC-1")
        await alice.says(room, "!scale realtime 4")
        _, request = await alice.reads(SCALE.pattern)
        await bob.reacts(room, request.event_id, "✅")
        await alice.reads(r"approved by bob · 4 of 4|realtime runs 4 replicas · asked alice, approved by bob")
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in said
        assert site.bot.token.encode() not in said
    keys = site.folder / "data" / "matrix"
    assert keys.stat().st_mode & 0o777 == 0o700


async def test_a_second_process_with_the_same_keys_is_refused(site: Site) -> None:
    """A device belongs to one: each would go on from the same keys, and lose what the other got."""
    path = site.written()
    async with site.running(path) as first:
        await until_up(first)
        async with site.running(path) as second:
            said = await refusal(second)
    assert said.startswith(f"another Watchbell runs with the keys in {site.folder / 'data' / 'matrix'}")


async def test_a_token_that_is_not_valid_ends_it_with_a_sentence(site: Site) -> None:
    """Waiting would not mend it."""
    async with site.running(site.written(), TOKEN="syt_bm9ib2R5_another_012345") as process:
        said = await refusal(process)
    assert (
        "(M_UNKNOWN_TOKEN): the access token is not valid any more: get a new one by `watchbell login matrix`"
        in said
    )
    assert said.endswith("`watchbell check` says more.")


async def refusal(process: asyncio.subprocess.Process) -> str:
    """The last line of a process that ends by itself with 1, without a trace of where it was."""
    async with asyncio.timeout(PATIENCE):
        _, said = await process.communicate()
    assert process.returncode == 1
    assert b"Traceback" not in said
    return said.decode().strip().splitlines()[-1]


async def test_a_homeserver_that_is_away_keeps_nothing_from_starting(site: Site) -> None:
    """The clocks run; that the chat cannot be reached is said, and tried again."""
    async with site.running(site.written(homeserver="http://127.0.0.1:9")) as process:
        assert "Watchbell is up" in await until_up(process)
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0
    assert b"a chat cannot be reached; tried again" in said
    assert b"Traceback" not in said
