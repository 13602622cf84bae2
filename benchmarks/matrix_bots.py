"""The two bots that are measured over Synapse, each in a process of its own.

`python -m benchmarks.matrix_bots watchbell|echo` reads a `Place` as JSON from standard input, and lives until killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import nio
from pydantic import SecretStr

from bot.config import Settings, load
from bot.logs import configure
from bot.loop import run
from bot.serve import production

PING = "!ping"


@dataclass(frozen=True, slots=True)
class Place:
    """A homeserver, and an account there for a bot; `people` is name of the configuration → user id."""

    url: str
    user: str
    token: str
    device: str
    people: Mapping[str, str]


async def started(kind: str, place: Place) -> asyncio.subprocess.Process:
    """One of the bots in another process, once it listens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.matrix_bots",
        kind,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(asdict(place)).encode() + b"\n")
    await process.stdin.drain()
    if not await process.stdout.readline():
        raise RuntimeError(f"{kind} did not start")
    return process


async def watchbell(place: Place) -> None:
    """Everything that `watchbell run` starts, without limits against floods."""
    configure()
    with tempfile.TemporaryDirectory(prefix="watchbell-matrix-") as folder:
        async with production(settings(place), Path(folder)) as (bot, _url):
            bot.inbox.unlimited = True
            print("listening", flush=True)
            await asyncio.Event().wait()


def settings(place: Place) -> Settings:
    """The example configuration on that homeserver; as by default, the bot could open encrypted rooms."""
    made = load(None, {})
    people = {
        name: replace(p, ids={"matrix": place.people[name]} if name in place.people else {})
        for name, p in made.people.items()
    }
    section: dict[str, Any] = {
        "homeserver": place.url,
        "user": place.user,
        "access_token": SecretStr(place.token),
        "device_id": place.device,
        "encryption": True,
        "encrypted": False,
        "servers": (),
        "trust": "first_use",
        "devices": {},
        "danger_by_reaction": False,
        "space": None,
    }
    return replace(made, people=people, platforms={"matrix": section}, web=replace(made.web, port=0))


async def echo(place: Place) -> None:
    """A bare nio bot that stores nothing: the least that a bot on Matrix does."""
    client = nio.AsyncClient(place.url, place.user, place.device)
    client.restore_login(place.user, place.device, place.token)

    async def answer(room: nio.MatrixRoom, event: nio.RoomMessageText) -> None:
        if event.body.startswith(PING):
            content = {"msgtype": "m.notice", "body": f"pong{event.body.removeprefix(PING)}"}
            await client.room_send(room.room_id, "m.room.message", content)

    await client.sync(timeout=0, full_state=True)
    client.add_event_callback(answer, nio.RoomMessageText)
    print("listening", flush=True)
    await client.sync_forever(timeout=30_000)


if __name__ == "__main__":
    run({"watchbell": watchbell, "echo": echo}[sys.argv[1]](Place(**json.loads(sys.stdin.readline()))))
