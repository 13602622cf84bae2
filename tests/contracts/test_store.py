"""What every store does, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, exc, func, insert, select, text
from sqlalchemy.engine import Engine

from bot import store
from bot.store import DuplicateError, Store, Unit
from incidents.ports import ConflictError, NotRecordedError, RefusedError
from tests.bot.store_sample import NOW, Said, command, opened
from tests.servers.postgres import Postgres, running


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    yield from running()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database with the schema in it."""
    if request.param == "sqlite":
        found = f"sqlite:///{tmp_path / 'watchbell.db'}"
        store.upgrade(found)
        yield found
        return
    server: Postgres = request.getfixturevalue("server")
    name = f"t{uuid.uuid4().hex}"
    found = server.fresh(name)
    store.upgrade(found)
    yield found
    server.drop(name)


@pytest.fixture
async def log(url: str) -> AsyncIterator[Store]:
    async with opened(url) as found:
        yield found


def say(*texts: str, stream: str = "talk-1") -> Callable[[Unit], list[int]]:
    return lambda unit: unit.append(stream, *map(Said, texts))


def state(stream: str = "talk-1") -> Callable[[Unit], Any]:
    return lambda unit: unit.state(stream)


def refuse(work: Callable[[Unit], Any]) -> Callable[[Unit], None]:
    """The same work, which then says no."""

    def refused(unit: Unit) -> None:
        work(unit)
        raise RefusedError("no")

    return refused


def message(ident: str) -> Callable[[Unit], None]:
    return lambda unit: unit.insert(
        store.messages, platform="console", channel="C1", message_id=ident, author="ann"
    )


async def together(log: Store, *works: Callable[[Unit], Any]) -> list[Any]:
    """The outcomes of units that wait at the same time, and so share a commit."""
    return await asyncio.gather(*map(log.run, works), return_exceptions=True)


async def count(log: Store, table: Any) -> int:
    return await log.read(lambda connection: connection.scalar(select(func.count()).select_from(table)))


# -- recording ------------------------------------------------------------------------------------


async def test_events_are_read_back_in_order_with_their_versions(log: Store) -> None:
    """Versions count in the stream, positions in the whole log, and the events are equal."""
    assert await log.run(say("one", "two")) == [1, 2]
    assert await log.run(say("elsewhere", stream="talk-2")) == [3]
    assert await log.run(say("three")) == [4]
    found = await log.events("talk-1")
    assert [(r.version, r.position, r.event) for r in found] == [
        (1, 1, Said("one")),
        (2, 2, Said("two")),
        (3, 4, Said("three")),
    ]
    assert [r.event.text for r in await log.events("talk-1", after_version=2)] == ["three"]
    assert [r.position for r in await log.all_events(after_position=1, limit=2)] == [2, 3]
    assert await log.events("talk-3") == []


async def test_a_unit_sees_what_it_and_earlier_units_of_the_batch_appended(log: Store) -> None:
    """States and versions are those of the moment, before anything is committed."""

    def twice(unit: Unit) -> tuple[Any, ...]:
        before = unit.state("talk-1"), unit.version("talk-1")
        unit.append("talk-1", Said("x"))
        return before, unit.state("talk-1"), unit.version("talk-1")

    first, second = await together(log, twice, twice)
    assert first == ((None, 0), ("x",), 1)
    assert second == ((("x",), 1), ("x", "x"), 2)


async def test_streams_without_a_fold_keep_only_their_version(log: Store, url: str) -> None:
    """Their state is None, and another process still continues their chain."""
    await log.run(say("a", "b", stream="chat-9"))
    async with opened(url) as again:
        await again.run(say("c", stream="chat-9"))
        assert await again.run(lambda u: (u.state("chat-9"), u.version("chat-9"))) == (None, 3)
        assert (await again.verify()).faults == []


async def test_streams_that_were_forgotten_are_folded_again(url: str) -> None:
    """A memory of two streams serves twenty."""
    async with opened(url, remembered=2) as log:
        for number in range(40):
            await log.run(say(f"{number}", stream=f"talk-{number % 20}"))
        for number in range(20):
            assert await log.run(state(f"talk-{number}")) == (f"{number}", f"{number + 20}")


async def test_a_batch_is_one_commit(log: Store) -> None:
    """A hundred commands that wait together are made durable by one commit of the database."""
    commits: list[object] = []
    noted = commits.append
    event.listen(Engine, "commit", noted)
    try:
        outcomes = await together(log, *map(command, range(100)))
    finally:
        event.remove(Engine, "commit", noted)
    assert sorted(chain.from_iterable(outcomes)) == list(range(1, 201))
    assert len(commits) == log.commits == 1
    assert [await count(log, t) for t in (store.events, store.inbox, store.outbox)] == [200, 100, 100]


async def test_more_than_a_batch_waits_for_the_next(log: Store) -> None:
    """Six hundred commands at once are three commits."""
    await together(log, *map(command, range(600)))
    assert log.commits == 3
    assert await count(log, store.inbox) == 600


async def test_times_come_back_in_utc_to_the_microsecond(log: Store) -> None:
    """Whatever zone they came in; one without a zone is refused, and nothing is recorded."""
    at = datetime(2026, 7, 1, 12, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    await log.run(lambda unit: unit.append("talk-1", Said("x", at=at)))
    [found] = await log.events("talk-1")
    assert (found.event.at, found.event.at.tzinfo) == (at, UTC)
    with pytest.raises(ValueError, match="time zone"):
        await log.run(lambda unit: unit.append("talk-1", Said("x", at=datetime(2026, 1, 1))))  # noqa: DTZ001
    assert await log.run(lambda unit: unit.version("talk-1")) == 1


@pytest.mark.parametrize(
    "words", ["", "ünï ☂ 统一 🔔", "a\x00b\x1f\x7f", "%s ? :x {}", "'; DROP TABLE events; --", "x" * 100_000]
)
async def test_any_text_is_kept(log: Store, words: str) -> None:
    """Other scripts, control characters, placeholders and long texts come back as they were."""
    await log.run(say(words))
    assert [r.event.text for r in await log.events("talk-1")] == [words]
    assert (await log.verify()).faults == []


# -- failing alone ----------------------------------------------------------------------------------


async def test_a_refused_unit_alone_is_undone(log: Store) -> None:
    """Its neighbours in the batch are committed with it gone, in one commit, positions without a gap."""
    first, refused, last = await together(log, command("a"), refuse(command("b")), command("c"))
    assert isinstance(refused, RefusedError)
    assert (first, last) == ([1, 2], [3, 4])
    assert log.commits == 1
    assert await log.run(state()) == ("ask a", "answer a", "ask c", "answer c")
    assert [await count(log, t) for t in (store.events, store.inbox, store.outbox)] == [4, 2, 2]


async def test_a_unit_refused_after_it_changed_rows_alone_is_undone(log: Store) -> None:
    """Also where the database has to roll back; the others keep their order."""

    def changes(unit: Unit) -> None:
        command("b")(unit)
        unit.upsert(store.bindings, {"name": "n"}, {"value": "b"})

    works = [command("a"), refuse(changes), command("c"), refuse(changes), command("d")]
    first, *_, last = outcomes = await together(log, *works)
    assert [isinstance(o, RefusedError) for o in outcomes] == [False, True, False, True, False]
    assert (first, last) == ([1, 2], [5, 6])
    assert await log.run(state()) == tuple(f"{part} {n}" for n in "acd" for part in ("ask", "answer"))
    assert await count(log, store.bindings) == 0
    assert (await log.verify()).faults == []


async def test_an_event_that_cannot_be_encoded_or_folded_fails_alone(log: Store) -> None:
    """Even where the unit catches the error: what was half appended is not in the log."""

    def careless(unit: Unit) -> Any:
        with pytest.raises(ValueError, match="folded"):
            unit.append("talk-1", Said("one"), Said("unfoldable"))
        with pytest.raises(TypeError):
            unit.append("talk-1", Said("\ud800"))
        return unit.append("talk-1", Said("two"))

    ok, bad = await together(log, careless, say("unfoldable"))
    assert ok == [1]
    assert isinstance(bad, ValueError)
    assert await log.run(state()) == ("two",)
    assert (await log.verify()).faults == []


async def test_a_conflict_voids_that_unit_alone(log: Store) -> None:
    """A row that stands in the way of one unit costs its neighbours nothing."""
    await log.run(message("m1"))

    def clash(unit: Unit) -> None:
        command("b")(unit)
        message("m1")(unit)

    first, conflict, last = await together(log, command("a"), clash, command("c"))
    assert isinstance(conflict, ConflictError)
    assert (first, last) == ([1, 2], [3, 4])
    assert await log.run(state()) == ("ask a", "answer a", "ask c", "answer c")
    assert (await count(log, store.messages), await count(log, store.inbox)) == (1, 2)
    assert (await log.verify()).faults == []


async def test_a_conflict_that_passes_is_decided_again(log: Store) -> None:
    """A unit whose row was in the way runs again, and succeeds when it chooses another."""
    await log.run(message("m1"))
    tried: list[str] = []

    def unit_of(unit: Unit) -> str:
        tried.append(f"m{len(tried)}")
        message("m1" if len(tried) < 4 else tried[-1])(unit)
        return tried[-1]

    assert await log.run(unit_of) == "m3"
    assert await count(log, store.messages) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda unit: unit.execute(text("SELECT nothing FROM nowhere")),
        lambda unit: unit.execute(insert(store.locks).values(name="a")),
        lambda unit: unit.insert(store.inbox, event_id=object(), at=NOW),
        lambda unit: unit.insert(store.inbox, event_id="i", at=2**70),
        lambda unit: unit.insert(store.inbox, event_id="i", at=NOW, color="red"),
        lambda unit: unit.scrub(99, {}),
        lambda unit: next(iter(())),
    ],
    ids=["statement", "missing", "type", "range", "column", "nothing_to_scrub", "stop_iteration"],
)
async def test_a_faulty_unit_fails_alone(log: Store, wrong: Callable[[Unit], Any]) -> None:
    """A mistake of the program in one unit is told to its caller, and its neighbours are committed."""
    first, failed, last = await together(log, command("a"), wrong, command("c"))
    assert isinstance(failed, Exception)
    assert not isinstance(failed, NotRecordedError)
    assert (first, last) == ([1, 2], [3, 4])


async def test_a_unit_cannot_hide_a_failure_of_the_database(log: Store) -> None:
    """What follows a failed statement would not be recorded, so catching the error is of no use."""

    def hides(unit: Unit) -> str:
        try:
            unit.execute(text("SELECT nothing FROM nowhere"))
        except exc.DBAPIError:
            unit.append("talk-1", Said("all is well"))
        return "done"

    first, hidden = await together(log, command("a"), hides)
    assert first == [1, 2]
    assert isinstance(hidden, exc.DBAPIError)
    assert await log.run(lambda unit: unit.version("talk-1")) == 2


async def test_the_writer_outlives_a_unit_that_ends_the_program(log: Store) -> None:
    """SystemExit in a unit reaches its callers; the next unit is written."""

    def leaves(unit: Unit) -> None:
        unit.append("talk-1", Said("x"))
        raise SystemExit(1)

    outcome = asyncio.create_task(log.run(leaves))
    with pytest.raises(RuntimeError, match="SystemExit"):
        await outcome
    assert await log.run(command("a")) == [1, 2]


# -- once -------------------------------------------------------------------------------------------


async def test_an_event_id_has_one_effect(log: Store, url: str) -> None:
    """Case 7: the second delivery raises DuplicateError, remembered or not, in one batch or later."""
    first, again = await together(log, command("a"), command("a"))
    assert first == [1, 2]
    assert isinstance(again, DuplicateError)
    assert again.event_id == "event-a"
    with pytest.raises(DuplicateError):
        await log.run(command("a"))
    async with opened(url) as other:
        outcomes = await together(other, command("b"), command("a"), command("c"))
    assert isinstance(outcomes[1], DuplicateError)
    assert outcomes[1].event_id == "event-a"
    assert (outcomes[0], outcomes[2]) == ([3, 4], [5, 6])
    assert [await count(log, t) for t in (store.events, store.inbox)] == [6, 3]


async def test_a_refused_delivery_leaves_the_id_free(log: Store) -> None:
    """What was not recorded may come again."""
    refused, accepted = await together(log, refuse(command("a")), command("a"))
    assert isinstance(refused, RefusedError)
    assert accepted == [1, 2]


# -- the tables beside the log ----------------------------------------------------------------------


async def test_statements_see_what_was_recorded_before_them(log: Store) -> None:
    """Rows of the same unit and of earlier units of the batch can be read and changed."""

    def edits(unit: Unit) -> Any:
        unit.insert(store.outbox, at=NOW, channel="C1", op="edit", payload="{}", card="k")
        table = store.outbox
        changed = unit.execute(table.update().where(table.c.card == "k").values(payload="{1}")).rowcount
        return changed, [
            tuple(row) for row in unit.rows(select(table.c.card, table.c.payload).order_by("id"))
        ]

    _, outcome = await together(log, command("a"), edits)
    assert outcome == (1, [(None, '{"of": "a"}'), ("k", "{1}")])
    assert await count(log, store.outbox) == 2


async def test_a_unit_that_read_its_own_rows_is_still_undone_alone(log: Store) -> None:
    """Reading sends rows to the database early; a refusal afterwards takes them back."""

    def reads(unit: Unit) -> None:
        command("b")(unit)
        assert len(unit.rows(select(store.inbox))) == 2

    first, refused, last = await together(log, command("a"), refuse(reads), command("c"))
    assert (first, type(refused), last) == ([1, 2], RefusedError, [3, 4])
    assert await count(log, store.inbox) == 2


async def test_upsert_inserts_once_and_updates_afterwards(log: Store) -> None:
    """Values that are not named stay; defaults are filled in; times may be datetimes."""
    key = {"number": 7}
    opened_at = {
        "state": "open",
        "severity": "high",
        "rank": 2,
        "title": "t",
        "opened_at": NOW,
        "updated_at": NOW,
    }
    await log.run(lambda unit: unit.upsert(store.incidents, key, opened_at))
    later = NOW + timedelta(seconds=1)
    await log.run(lambda unit: unit.upsert(store.incidents, key, {"state": "resolved", "updated_at": later}))
    [row] = await log.read(lambda connection: connection.execute(select(store.incidents)).all())
    assert (row.number, row.state, row.severity, row.private) == (7, "resolved", "high", 0)
    assert (row.opened_at, store.moment(row.updated_at)) == (store.micros(NOW), later)
    await log.run(lambda unit: unit.upsert(store.bindings, {"name": "a", "value": "b"}, {}))
    await log.run(lambda unit: unit.upsert(store.bindings, {"name": "a", "value": "b"}, {}))
    assert await count(log, store.bindings) == 1


async def test_one_of_two_claims_succeeds(log: Store, url: str) -> None:
    """Case 11: a conditional update is won by one process."""
    await log.run(command("a"))
    table = store.outbox
    free = table.update().where(table.c.claimed_by.is_(None))

    def claim(name: str) -> Callable[[Unit], int]:
        return lambda unit: unit.execute(free.values(claimed_by=name, claimed_until=NOW)).rowcount

    async with opened(url) as other:
        outcomes = await asyncio.gather(*(s.run(claim(str(n))) for n, s in enumerate([log, other] * 10)))
    assert sorted(outcomes) == [0] * 19 + [1]


async def test_numbers_of_the_outbox_are_never_used_again(log: Store) -> None:
    """They name transactions of Matrix, which answers a repeated one with the old message."""
    await log.run(command("a"))
    newest = select(func.max(store.outbox.c.id))
    before = (await log.run(lambda unit: unit.rows(newest)))[0][0]
    await log.run(lambda unit: unit.execute(store.outbox.delete()))
    await log.run(command("b"))
    assert (await log.run(lambda unit: unit.rows(newest)))[0][0] > before


# -- several processes ------------------------------------------------------------------------------


async def test_two_stores_lose_nothing_and_double_no_version(log: Store, url: str) -> None:
    """Both append to one stream as fast as they can; every decision saw all that was before it."""

    def counting(unit: Unit) -> int:
        known = len(unit.state("talk-1") or ())
        assert known == unit.version("talk-1")
        unit.append("talk-1", Said(f"{known}"))
        return known

    async def worker(one: Store) -> list[int]:
        return [await one.run(counting) for _ in range(25)]

    async with opened(url) as other:
        outcomes = await asyncio.gather(*(worker(one) for one in [log, other] * 4))
        assert await other.run(state()) == await log.run(state()) == tuple(map(str, range(200)))
    assert sorted(chain.from_iterable(outcomes)) == list(range(200))
    found = await log.all_events(limit=1000)
    assert [(r.position, r.version) for r in found] == [(n, n) for n in range(1, 201)]
    assert (await log.verify()).faults == []


async def test_a_scrub_by_another_process_is_forgotten_here(log: Store, url: str) -> None:
    """Case 38: no memory keeps the secret, whichever stream the scrub itself is recorded in."""
    [position] = await log.run(say("hunter2"))

    def scrub(unit: Unit) -> None:
        unit.scrub(position, {"text": "(scrubbed)"})
        unit.append("audit-1", Said("", positions=(position,)))

    async with opened(url) as other:
        await other.run(scrub)
    assert await log.run(state()) == ("(scrubbed)",)


# -- around the commit --------------------------------------------------------------------------------


async def test_callbacks_run_in_the_loop_after_the_commit_only(log: Store) -> None:
    """Before the caller goes on; not for a refused unit; one that fails is reported and costs nobody else."""
    called: list[str] = []
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: failures.append(context))

    def calls(name: str) -> Callable[[Unit], None]:
        def work(unit: Unit) -> None:
            unit.after_commit(lambda: called.append(f"{name} {asyncio.get_running_loop() is loop}"))
            unit.append("talk-1", Said(name))

        return work

    await together(log, calls("a"), refuse(calls("b")), lambda u: u.after_commit(lambda: 1 / 0), calls("c"))
    assert called == ["a True", "c True"]
    assert [type(f["exception"]) for f in failures] == [ZeroDivisionError]


async def test_a_callback_finds_its_unit_committed(log: Store) -> None:
    """What it starts may rely on the rows."""
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    tasks: list[asyncio.Task[None]] = []

    async def look() -> None:
        seen.set_result(await count(log, store.events))

    def work(unit: Unit) -> None:
        command("a")(unit)
        unit.after_commit(lambda: tasks.append(asyncio.create_task(look())))

    await log.run(work)
    assert await seen == 2


async def test_a_caller_that_gives_up_does_not_stop_the_unit(log: Store) -> None:
    """Cancelling a wait takes nothing back, and disturbs nobody else."""
    task = asyncio.create_task(log.run(command("a")))
    await asyncio.sleep(0)  # the unit is handed in
    task.cancel()
    await log.idle()
    assert task.cancelled()
    assert await count(log, store.inbox) == 1
    assert await log.run(command("b")) == [3, 4]


async def test_idle_returns_when_nothing_waits(log: Store) -> None:
    """Also what was handed in meanwhile is done then."""
    tasks = [asyncio.create_task(log.run(command(n))) for n in range(300)]
    await asyncio.sleep(0)
    assert log.pending == 300
    await log.idle()
    assert log.pending == 0
    assert await count(log, store.inbox) == 300
    await asyncio.gather(*tasks)


async def test_closing_finishes_what_waits(url: str) -> None:
    """Everything handed in is committed; afterwards nothing is taken any more."""
    log = opened(url)
    tasks = [asyncio.create_task(log.run(command(n))) for n in range(600)]
    await asyncio.sleep(0)
    await log.close()
    assert len(await asyncio.gather(*tasks)) == 600
    with pytest.raises(NotRecordedError, match="closed"):
        await log.run(command("late"))
    await log.close()


async def test_several_loops_share_a_store(log: Store) -> None:
    """Each caller's outcome comes back in the caller's own loop."""

    def elsewhere() -> list[int]:
        return asyncio.run(log.run(command("elsewhere")))

    outcomes = await asyncio.gather(asyncio.to_thread(elsewhere), log.run(command("here")))
    assert sorted(chain.from_iterable(outcomes)) == [1, 2, 3, 4]


# -- reading ------------------------------------------------------------------------------------------


async def test_reading_sees_one_unchanging_snapshot(log: Store) -> None:
    """What is committed during a read is not in it, and reading does not hold the writer up."""
    await log.run(command("a"))
    loop = asyncio.get_running_loop()

    def query(connection: Any) -> tuple[int, int]:
        counting = select(func.count()).select_from(store.events)
        before = connection.scalar(counting)
        asyncio.run_coroutine_threadsafe(log.run(command("b")), loop).result(timeout=30)
        return before, connection.scalar(counting)

    assert await log.read(query) == (2, 2)
    assert await count(log, store.events) == 4


async def test_reading_cannot_write(log: Store) -> None:
    """The log has one writer."""
    with pytest.raises((exc.DBAPIError, NotRecordedError)):
        await log.read(lambda connection: connection.execute(store.events.delete()))


# -- the chain ------------------------------------------------------------------------------------------


async def test_an_auditor_can_compute_the_chain_with_the_standard_library(log: Store) -> None:
    """The rows alone are enough, as the docstring of chain_hash says."""
    await log.run(say("ünï\x07 \x7f ☂", "two"))
    previous = ""
    for row in await log.read(lambda c: c.execute(select(store.events).order_by("version")).all()):
        at = (datetime(1970, 1, 1) + timedelta(microseconds=row.at)).isoformat(timespec="microseconds") + "Z"  # noqa: DTZ001
        digest = hashlib.sha256(bytes.fromhex(row.salt) + row.body.encode()).hexdigest()
        parts = [previous, row.stream, row.version, row.kind, at, row.actor, digest]
        line = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
        assert (row.digest, row.hash) == (digest, hashlib.sha256(line.encode()).hexdigest())
        previous = row.hash


async def test_equal_bodies_have_different_digests(log: Store) -> None:
    """The salt keeps a scrubbed body from being guessed by its digest."""
    await log.run(say("same", "same"))
    digests = await log.read(lambda c: c.execute(select(store.events.c.digest)).scalars().all())
    assert len(set(digests)) == 2


async def test_a_scrubbed_body_is_gone_and_the_chain_holds(log: Store) -> None:
    """Case 38: the words are erased, a tombstone stands there, and `verify` passes."""
    _, second, _ = await log.run(say("before", "hunter2", "after"))

    def scrub(unit: Unit) -> Any:
        unit.scrub(second, {"text": "(scrubbed)"})
        unit.append("talk-1", Said("", positions=(second,)))
        return unit.state("talk-1")

    seen = ("before", "(scrubbed)", "after", "")
    assert await log.run(scrub) == await log.run(state()) == seen
    assert [r.event.text for r in await log.events("talk-1")] == list(seen)
    await log.run(say("later"))
    report = await log.verify()
    assert (report.streams, report.events, report.faults) == (1, 5, [])


async def test_a_scrub_that_is_refused_erases_nothing(log: Store) -> None:
    """It is part of its unit like everything else, and so is what is remembered."""
    [position] = await log.run(say("keep me"))
    _, outcome, seen = await together(
        log, say("x"), refuse(lambda unit: unit.scrub(position, {"text": ""})), state()
    )
    assert isinstance(outcome, RefusedError)
    assert seen == ("keep me", "x")


async def test_a_body_erased_without_a_scrub_event_is_found(log: Store) -> None:
    """Only an event that names the position excuses an empty salt."""
    await log.run(say("one", "two"))
    await log.run(lambda unit: unit.scrub(1, {"text": ""}))
    [fault] = (await log.verify()).faults
    assert "talk-1, version 1 (position 1)" in fault
    assert "MessageScrubbed" in fault
