"""What the store does when its process or its database dies: nothing acknowledged is lost, and it recovers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from bot import store
from incidents.ports import NotRecordedError
from tests.bot.store_sample import command, opened
from tests.servers.postgres import Postgres, running

OTHERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from running()


@pytest.fixture
def database(server: Postgres) -> Iterator[str]:
    """The name of a database with the schema in it."""
    name = f"t{uuid.uuid4().hex}"
    store.upgrade(server.fresh(name))
    yield name
    server.drop(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "watchbell.db"
    store.upgrade(f"sqlite:///{path}")
    return path


def child(mode: str, url: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "tests.bot.store_sample", mode, url]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def killed_after(url: str, lines: int) -> list[str]:
    """What a process acknowledged that was killed after so many acknowledgements, or soon after."""
    process = child("kill", url)
    assert process.stdout is not None
    with process.stdout as told:
        acknowledged = [told.readline() for _ in range(lines)]
        os.kill(process.pid, signal.SIGKILL)
        acknowledged += told.readlines()
    assert process.wait() == -signal.SIGKILL
    return [line.decode().strip() for line in acknowledged if line.endswith(b"\n")]


async def everything_is_there(url: str, acknowledged: list[str]) -> None:
    """Each acknowledged command's four rows, no half command, and an unbroken chain."""
    async with opened(url) as log:
        report = await log.verify()
        assert report.faults == []
        ids = await log.read(lambda c: c.execute(select(store.inbox.c.event_id)).scalars().all())
        payloads = await log.read(lambda c: c.execute(select(store.outbox.c.payload)).scalars().all())
        recorded = {ident.removeprefix("event-") for ident in ids}
        assert set(acknowledged) <= recorded
        assert sorted(payloads) == sorted(f'{{"of": "{number}"}}' for number in recorded)
        texts = [r.event.text for r in await log.all_events(limit=10**6)]
        assert sorted(texts) == sorted(f"{part} {n}" for n in recorded for part in ("ask", "answer"))


async def test_a_killed_process_loses_nothing_it_acknowledged(file: Path) -> None:
    """kill -9 at several moments; the next process goes on in the same file."""
    acknowledged: list[str] = []
    for lines in (1, 5, 60, 400, 1500):
        acknowledged += killed_after(f"sqlite:///{file}", lines)
        await everything_is_there(f"sqlite:///{file}", acknowledged)


async def test_a_killed_process_loses_nothing_in_postgresql(server: Postgres, database: str) -> None:
    """kill -9 of the client, whose lock is free for the next one at once."""
    acknowledged: list[str] = []
    for lines in (1, 40, 300):
        acknowledged += killed_after(server.url(database), lines)
        await everything_is_there(server.url(database), acknowledged)


def test_a_full_disk_is_told_and_passes(file: Path) -> None:
    """Case 32: NotRecordedError while files cannot grow, then the same process writes on, nothing half."""
    process = child("full", f"sqlite:///{file}")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    told = json.loads(out)
    assert told["refused"] == 6
    assert told["why"].startswith("the log cannot be written: ")
    assert told["after"] == 5
    assert told["faults"] == []
    assert told["events"] == told["remembered"] == 2 * (1 + told["before"] + told["after"])


async def test_a_file_locked_by_another_is_told_and_passes(file: Path) -> None:
    """Case 32: every unit of the batch gets NotRecordedError after the patience, and may come again."""
    async with opened(f"sqlite:///{file}", patience=0.05) as log:
        await log.run(command("a"))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            outcomes = await asyncio.gather(*(log.run(command(n)) for n in "bcd"), return_exceptions=True)
            assert [type(o) for o in outcomes] == [NotRecordedError] * 3
            assert "locked" in str(outcomes[0])
            other.execute("ROLLBACK")
        assert [await log.run(command(n)) for n in "bcd"] == [[3, 4], [5, 6], [7, 8]]
        assert (await log.verify()).faults == []


async def test_without_its_file_nothing_is_recorded(tmp_path: Path) -> None:
    """A folder that is not there, a file without the schema, and one that is no database at all."""
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("this is no database\n" * 100)
    for name in ("missing/watchbell.db", "empty.db", "text.db"):
        async with opened(f"sqlite:///{tmp_path / name}") as log:
            with pytest.raises(NotRecordedError):
                await log.run(command("a"))
            if name != "empty.db":
                with pytest.raises(NotRecordedError):
                    await log.verify()


async def test_an_older_copy_put_in_place_is_noticed(file: Path) -> None:
    """What is remembered from after the copy is forgotten, so that the chain goes on from what is there."""
    async with opened(f"sqlite:///{file}") as log:
        await log.run(command("a"))
        await log.run(command("b"))
        with closing(sqlite3.connect(file)) as other, other:
            other.execute("DELETE FROM events WHERE position > 2")
            other.execute("DELETE FROM inbox WHERE event_id = 'event-b'")
        assert await log.run(command("b")) == [3, 4]
        assert await log.run(lambda unit: unit.state("talk-1")) == ("ask a", "answer a", "ask b", "answer b")
        assert (await log.verify()).faults == []


async def test_a_connection_that_died_while_idle_is_replaced_unseen(server: Postgres, database: str) -> None:
    """A restart of PostgreSQL between two commands is nobody's error."""
    async with opened(server.url(database)) as log:
        await log.run(command("a"))
        server.stop()
        server.start()
        assert await log.run(command("b")) == [3, 4]
        assert len(await log.events("talk-1")) == 4


async def test_a_connection_that_dies_in_a_unit_is_told_and_passes(server: Postgres, database: str) -> None:
    """Case 32: the whole batch is told; nothing of it is recorded; the next one is."""
    async with opened(server.url(database)) as log:
        await log.run(command("a"))

        def cut(unit: store.Unit) -> None:
            command("c")(unit)
            server.execute(OTHERS.format(database))

        outcomes = await asyncio.gather(*map(log.run, [command("b"), cut]), return_exceptions=True)
        assert [type(o) for o in outcomes] == [NotRecordedError] * 2
        assert await log.run(command("b")) == [3, 4]
        assert await log.run(lambda unit: unit.state("talk-1")) == ("ask a", "answer a", "ask b", "answer b")
        assert (await log.verify()).faults == []


async def test_postgresql_away_is_told_and_passes(server: Postgres, database: str) -> None:
    """Case 32: writing and reading raise NotRecordedError while it is down, and work when it is back."""
    async with opened(server.url(database)) as log:
        await log.run(command("a"))
        server.stop()
        for _ in range(2):
            with pytest.raises(NotRecordedError, match="cannot be written"):
                await log.run(command("b"))
        with pytest.raises(NotRecordedError, match="cannot be read"):
            await log.events("talk-1")
        server.start()
        assert await log.run(command("b")) == [3, 4]
        assert len(await log.events("talk-1")) == 4


async def test_a_writer_that_holds_postgresql_too_long_is_told(server: Postgres, database: str) -> None:
    """The lock is waited for no longer than the patience."""
    url = server.url(database)
    async with opened(url) as holder, opened(url, patience=0.2) as log:
        loop = asyncio.get_running_loop()

        def holds(unit: store.Unit) -> object:
            waiting = asyncio.run_coroutine_threadsafe(log.run(command("a")), loop)
            return waiting.exception(timeout=30)

        assert isinstance(await holder.run(holds), NotRecordedError)
        assert await log.run(command("a")) == [1, 2]


async def test_a_database_that_became_read_only_is_told(server: Postgres, database: str) -> None:
    """As a replica is after a switch-over."""
    server.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    async with opened(server.url(database)) as log:
        with pytest.raises(NotRecordedError, match="read-only"):
            await log.run(command("a"))
        server.execute(f'ALTER DATABASE "{database}" SET default_transaction_read_only = off')
        assert await log.run(command("a")) == [1, 2]
