"""The audit of the log finds what was tampered with, and the scrub leaves no trace of what it erased."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot import store
from bot.store_audit import FAULTS
from tests.bot.store_sample import Said, opened


async def a_log(path: Path) -> str:
    """Three streams of four events, written in turn: talk-1 has positions 1, 4, 7, 10."""
    url = f"sqlite:///{path}"
    store.upgrade(url)
    async with opened(url) as log:
        for number in range(4):
            for stream in ("talk-1", "talk-2", "talk-3"):
                await log.run(lambda u, s=stream, n=number: u.append(s, Said(f"{s} says {n}")))
    return url


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


TAMPERING = {
    "body": ("UPDATE events SET body = replace(body, 'says', 'said') WHERE position = 4", "position 4"),
    "time": ("UPDATE events SET at = at + 1 WHERE position = 4", "position 4"),
    "actor": ("UPDATE events SET actor = 'eve' WHERE position = 4", "position 4"),
    "kind": ("UPDATE events SET kind = 'Shouted' WHERE position = 4", "position 4"),
    "digest": ("UPDATE events SET digest = hash WHERE position = 4", "position 4"),
    "salt": ("UPDATE events SET salt = 'no salt at all' WHERE position = 4", "position 4"),
    "salt erased": ("UPDATE events SET salt = '', body = '{\"text\":\"\"}' WHERE position = 4", "position 4"),
    "time unreadable": ("UPDATE events SET at = 9223372036854775807 WHERE position = 4", "position 4"),
    "row removed": ("DELETE FROM events WHERE position = 4", "positions 4 to 4"),
    "tail of a stream removed": ("DELETE FROM events WHERE position = 10", "positions 10 to 10"),
    "stream removed": ("DELETE FROM events WHERE stream = 'talk-2'", "positions 2 to 2"),
    "first row removed": ("DELETE FROM events WHERE position = 1", "positions 1 to 1"),
    "row moved to another stream": (
        "UPDATE events SET stream = 'talk-9', version = 1 WHERE position = 4",
        "position 4",
    ),
    "row put in": (
        (
            "INSERT INTO events SELECT 13, stream, 5, kind, at, actor, body, salt, digest, hash"
            " FROM events WHERE position = 10"
        ),
        "position 13",
    ),
    "order of rows": (
        (
            "UPDATE events SET position = 100 WHERE position = 4; UPDATE events SET position = 4 WHERE position = 7;"
            " UPDATE events SET position = 7 WHERE position = 100"
        ),
        "stands before",
    ),
    "versions swapped": (
        (
            "UPDATE events SET version = 100 WHERE position = 4; UPDATE events SET version = 2 WHERE position = 7;"
            " UPDATE events SET version = 3 WHERE position = 100 OR version = 100"
        ),
        "talk-1",
    ),
    "bodies swapped": (
        (
            "UPDATE events SET body = (SELECT body FROM events e WHERE e.position = 11 - events.position)"
            " WHERE position IN (4, 7)"
        ),
        "position 4",
    ),
}


@pytest.mark.parametrize(("statements", "says"), TAMPERING.values(), ids=TAMPERING)
async def test_tampering_is_found(tmp_path: Path, statements: str, says: str) -> None:
    """Whatever was changed, removed, moved or put in, the report names the place."""
    path = tmp_path / "log.db"
    url = await a_log(path)
    async with opened(url) as log:
        assert (await log.verify()).faults == []
    tamper(path, *statements.split(";"))
    async with opened(url) as log:
        report = await log.verify()
    assert report.faults
    assert says in " | ".join(report.faults)


async def test_an_untouched_log_has_no_faults(tmp_path: Path) -> None:
    """The report counts what it walked; an empty log is in order, too."""
    async with opened(await a_log(tmp_path / "log.db")) as log:
        report = await log.verify()
    assert (report.streams, report.events, report.faults) == (3, 12, [])
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    store.upgrade(empty)
    async with opened(empty) as log:
        assert await log.verify() == store.VerifyReport(0, 0, [])


async def test_the_end_of_the_log_can_be_cut_off_unseen_but_not_uncounted(tmp_path: Path) -> None:
    """What the docstring admits: only the number of events tells."""
    path = tmp_path / "log.db"
    url = await a_log(path)
    tamper(path, "DELETE FROM events WHERE position > 9")
    async with opened(url) as log:
        report = await log.verify()
    assert (report.events, report.faults) == (9, [])


async def test_many_faults_are_counted_and_some_described(tmp_path: Path) -> None:
    """A ruined log does not flood the reader."""
    path = tmp_path / "log.db"
    url = await a_log(path)
    async with opened(url) as log:
        await log.run(lambda u: u.append("talk-4", *(Said(f"{n}") for n in range(FAULTS * 2))))
    tamper(path, "UPDATE events SET body = '{}'")
    async with opened(url) as log:
        faults = (await log.verify()).faults
    assert len(faults) == FAULTS + 1
    assert faults[-1] == f"and {12 + FAULTS} more"


async def test_scrubbed_words_leave_the_files(tmp_path: Path) -> None:
    """Case 38: neither the database nor its journal still holds them, short or of many pages."""
    path = tmp_path / "log.db"
    url = await a_log(path)
    words = ["hunter2-in-the-log", "hunter3-in-the-log " * 2000]
    async with opened(url) as log:
        positions = await log.run(lambda u: u.append("talk-1", *map(Said, words)))

        def scrub(unit: store.Unit) -> None:
            for position in positions:
                unit.scrub(position, {"text": "(scrubbed)"})
            unit.append("talk-1", Said("", positions=tuple(positions)))

        assert b"hunter" in b"".join(f.read_bytes() for f in tmp_path.iterdir())
        await log.run(scrub)
        await log.idle()
        assert b"hunter" not in b"".join(f.read_bytes() for f in tmp_path.iterdir())
        assert (await log.verify()).faults == []
