"""Making, upgrading and copying the store's database, and the lock that tells which boots are alive."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command as alembic_command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

from bot import store
from bot.store_database import MIGRATIONS, open_engine
from incidents.ports import RefusedError
from tests.bot.store_sample import NOW, command, opened
from tests.servers.postgres import Postgres, running


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from running()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, or a file that is not there yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'a 100% new file.db'}"
        return
    server: Postgres = request.getfixturevalue("server")
    name = f"made_{time.monotonic_ns()}"
    yield server.fresh(name)
    server.drop(name)


def test_the_steps_make_exactly_the_schema(url: str) -> None:
    """Tables, columns, keys and indexes of the migrations are those of the code."""
    store.upgrade(url)
    engine = open_engine(url, patience=5, writes=True)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, store.METADATA) == []
    engine.dispose()


def test_upgrading_again_changes_nothing(url: str) -> None:
    """Every start may do it, several at once."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(store.upgrade, url) for _ in range(4)]:
            done.result()
    store.upgrade(url)
    engine = open_engine(url, patience=5, writes=True)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), store.METADATA) == []
    engine.dispose()


async def test_an_upgrade_keeps_the_log(url: str) -> None:
    """And a store that is open goes on."""
    store.upgrade(url)
    async with opened(url) as log:
        await log.run(command("a"))
        store.upgrade(url)
        assert await log.run(command("b")) == [3, 4]


def test_the_file_is_as_safe_as_promised(tmp_path: Path) -> None:
    """WAL, and a commit is on the disk before it is told."""
    url = f"sqlite:///{tmp_path / 'watchbell.db'}"
    store.upgrade(url)
    engine = open_engine(url, patience=5, writes=True)
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "busy_timeout": 5000}


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
def test_other_places_are_refused(url: str) -> None:
    """A store in memory could not be kept, and other databases were not tried."""
    with pytest.raises(ValueError, match="the store is kept in"):
        opened(url)


# -- backup -----------------------------------------------------------------------------------------


async def test_a_backup_is_taken_while_the_store_is_written(tmp_path: Path) -> None:
    """The copy is a whole store with all that was committed before, in one file."""
    url, copy = f"sqlite:///{tmp_path / 'watchbell.db'}", tmp_path / "copy.db"
    store.upgrade(url)
    async with opened(url) as log:
        for number in range(20):
            await log.run(command(number))
        store.backup(url, copy)
        await log.run(command("later"))
    assert sorted(p.name for p in tmp_path.glob("copy*")) == ["copy.db"]
    async with opened(f"sqlite:///{copy}") as log:
        report = await log.verify()
        assert (report.events, report.faults) == (40, [])
        assert await log.run(command("after the copy")) == [41, 42]


def test_a_backup_overwrites_nothing_and_copies_no_nothing(tmp_path: Path) -> None:
    """A name that is taken, and a store that is not there, are refused with a sentence."""
    url, copy = f"sqlite:///{tmp_path / 'watchbell.db'}", tmp_path / "copy.db"
    with pytest.raises(RefusedError, match="there is no store at"):
        store.backup(url, copy)
    store.upgrade(url)
    store.backup(url, copy)
    before = copy.read_bytes()
    with pytest.raises(RefusedError, match=r"copy\.db exists already"):
        store.backup(url, copy)
    assert copy.read_bytes() == before


def test_a_backup_of_postgresql_names_its_own_tool() -> None:
    """PostgreSQL copies itself better than we could; the password stays out of the sentence."""
    with pytest.raises(RefusedError, match=r"pg_dump -Fc -f copy\.dump bell") as refused:
        store.backup("postgresql+psycopg://ann:secret@db/bell", Path("copy.dump"))
    assert "secret" not in str(refused.value)


# -- times ------------------------------------------------------------------------------------------


def test_times_are_stored_to_the_microsecond() -> None:
    """There and back is the same moment, before 1970 too."""
    for at in (NOW, NOW.replace(year=1901), NOW.replace(year=9999, microsecond=999_999)):
        assert store.moment(store.micros(at)) == at


# -- boots ------------------------------------------------------------------------------------------


def test_a_boot_is_alive_until_it_lets_go(tmp_path: Path) -> None:
    """Its own and another's; one that never was is not."""
    one, two = store.BootLock(tmp_path, "one"), store.BootLock(tmp_path, "two")
    assert [one.alive(name) for name in ("one", "two", "three")] == [True, True, False]
    two.close()
    two.close()
    assert [one.alive(name) for name in ("one", "two")] == [True, False]
    one.close()
    assert list((tmp_path / "boots").iterdir()) == []


def test_a_boot_whose_process_was_killed_is_not_alive(tmp_path: Path) -> None:
    """Its claims are void at once, without waiting for a lease."""
    program = (
        "import sys, pathlib; from bot.store import BootLock; lock = BootLock(pathlib.Path(sys.argv[1]), 'gone');"
        " print('ready', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        lock = store.BootLock(tmp_path, "here")
        assert lock.alive("gone")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not lock.alive("gone")
        lock.close()


@pytest.mark.parametrize("name", ["", "../etc", "a/b", "a\n", "x" * 101])
def test_a_boot_is_named_plainly(tmp_path: Path, name: str) -> None:
    """The name becomes a file's."""
    with pytest.raises(ValueError, match="no name of a boot"):
        store.BootLock(tmp_path, name)


def test_the_copy_needs_no_journal(tmp_path: Path) -> None:
    """It can be carried away as one file and read by any SQLite."""
    url, copy = f"sqlite:///{tmp_path / 'watchbell.db'}", tmp_path / "copy.db"
    store.upgrade(url)
    store.backup(url, copy)
    with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as found:
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_step_to_commands_reads_them_from_the_log(url: str) -> None:
    """Actions of an older version are found by their command, too; one whose proposal is erased has none."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    engine = open_engine(url, patience=5, writes=True)
    body = '{"plan": {"command": "redis policy"}}'
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic_command.upgrade(config, "0003")
        for number, told in ((1, body), (2, "{}")):
            connection.execute(
                text(
                    "INSERT INTO events (position, stream, version, kind, at, actor, body, salt, digest, hash) "
                    "VALUES (:n, :s, 1, 'ActionProposed', 0, 'alice', :b, '', '', '')"
                ),
                {"n": number, "s": f"action-{number}", "b": told},
            )
            connection.execute(
                text(
                    "INSERT INTO actions (number, channel, state, requester, target, fingerprint, updated_at) "
                    "VALUES (:n, 'console:C1', 'done', 'alice', 'redis/x', 'f', 0)"
                ),
                {"n": number},
            )
        alembic_command.upgrade(config, "head")
    with engine.connect() as connection:
        found = connection.execute(text("SELECT number, command FROM actions ORDER BY number")).all()
    engine.dispose()
    assert [tuple(row) for row in found] == [(1, "redis policy"), (2, "")]
