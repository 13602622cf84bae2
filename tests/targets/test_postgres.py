"""What a real PostgreSQL shows, what it is told to do, and what happens where the way there fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.answers import laid_out
from bot.clock import VirtualClock
from bot.redact import Redactor
from bot.targets.build import check
from bot.targets.postgres_server import masked
from commands.actions import Outcome, Plan, Target, TargetError
from commands.dispatch import drift
from incidents.ports import RefusedError
from tests.contracts.target_rigs import START
from tests.servers.cable import Cable
from tests.servers.postgres import Postgres
from tests.targets.conftest import progress
from tests.targets.postgres_world import SECRET, USER, Shop, fields, on_postgres, shared, target_of

Make = Callable[..., Target]
PRIVATE = "anna@example.com"  # nothing of it looks like a secret


@pytest.fixture
def shop() -> Iterator[Shop]:
    """The shop, as new."""
    found = shared()
    found.fresh()
    yield found
    found.close()


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Makes the target of a configuration."""
    made: list[Any] = []

    def build(port: int, password: str | None = "correct horse", **more: Any) -> Target:
        found = target_of(on_postgres(fields(port, **more), {"shop": {}}, password), tmp_path)
        made.append(found)
        return found

    yield build
    for target in made:
        await target.stop()


@pytest.fixture
def target(make: Make, shop: Shop) -> Target:
    """The shop's target, straight."""
    return make(shop.server.port)


@pytest.fixture
async def cable(shop: Shop) -> AsyncIterator[Cable]:
    """To be cut."""
    async with Cable(shop.server.port) as found:
        yield found


def shown(answer: Any) -> str:
    rows = answer.table.rows if answer.table else ()
    return "\n".join([answer.headline, *answer.lines, answer.text, *(" ".join(row) for row in rows)])


async def ran(target: Target, plan: Plan, key: str = "wb-1") -> Outcome:
    return await target.run(plan, key=key, progress=progress)


async def test_what_operators_look_at(target: Target, shop: Shop) -> None:
    """Each figure is the server's own."""
    ready = await target.read("ready")
    assert ready.headline.startswith("PostgreSQL shop · ready in ")
    assert "primary" in ready.headline
    assert "takes reads and changes" in shown(ready)
    assert "of 40 connections" in (await target.read("connections")).headline
    assert "orders" in shown(await target.read("size"))
    stats = await target.read("stats")
    assert ("orders", "2,000") in {row[:2] for row in stats.table.rows}
    assert laid_out(stats)[1] is None
    assert "primary, 0 standbys" in (await target.read("replication")).headline
    assert (await target.read("activity")).headline == "PostgreSQL shop · 0 at work"
    assert (await target.read("locks")).headline == "PostgreSQL shop · 0 wait for a lock"


async def test_safety_20_values_in_statements_are_never_shown(target: Target, shop: Shop) -> None:
    """Neither what runs nor what ran is shown with its texts: they may be anybody's data."""
    shop.run(f"CREATE ROLE planted PASSWORD '{SECRET}'", "DROP ROLE planted")
    pid = shop.sleeper(query=f"SELECT pg_sleep(600), '{SECRET}', E'it\\'s {SECRET}', $a${SECRET}$a$")
    activity = shown(await target.read("activity"))
    assert str(pid) in activity
    plan = await target.plan("cancel", pid=str(pid))
    told = activity + shown(await target.read("slow")) + str(plan.to_data())
    assert "pg_sleep(600)" in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT 'a''b', 1", "SELECT , 1"),
        ("SELECT E'a\\'b' FROM t", "SELECT  FROM t"),
        ("SELECT 'cut off", "SELECT "),
        ("SELECT $x$ a 'b' $x$, 2", "SELECT , 2"),
        ('SELECT $1, "name"', 'SELECT $1, "name"'),
        ("SELECT E'cut off\\", "SELECT "),
    ],
)
def test_texts_are_masked_as_the_server_reads_them(statement: str, expected: str) -> None:
    """Quotes, escapes, dollar quotes, and statements that the server cuts off within a text."""
    assert masked(statement, Redactor()).replace("'…'", "").split() == expected.split()


@pytest.mark.parametrize(
    "statement",
    [
        "/* user's cart */ SELECT '{0}'",
        "/* a /* user's */ ' */ SELECT '{0}'",
        "/*/ ' */ SELECT '{0}' /**/",
        "/* {0}",
        "/* a /* b */ {0}",
        "-- user's cart\nSELECT '{0}'",
        "SELECT 1 -- {0}",
        "SELECT 1+-- '\n'{0}'",
        "SELECT 1*/* ' */'{0}'",
        "SELECT 1 AS \"it's\", '{0}'",
        'SELECT 1 AS "a""\'", \'{0}\'',
        "SELECT 1 AS U&\"d'\", '{0}'",
        'SELECT 1 AS "cut off {0}',
        "SELECT U&'d''{0}', '{0}'",
        "SELECT E'a\\'{0}' 'b'",
        "SELECT e'a\\\\', '{0}'",
        "SELECT E'a'\n'b\\'{0}'",
        "SELECT 'a\\'{0}'",
        "SELECT 'a\\', '{0}'",
        "SELECT B'0', X'ff', N'{0}'",
        "SELECT $a$it's$b$ {0} $a$, '{0}'",
        "SELECT $$it's {0}$$, '{0}'",
        "SELECT $1$$it's {0}$$, '{0}'",
        "SELECT $ä$it's {0}$ä$, '{0}'",
        "SELECT a$b$, '{0}', c$b$",
        "SELECT nameE'\\', '{0}'",
        "SELECT $a$ {0}",
        "SELECT $ab{0}",
    ],
)
def test_safety_20_comments_and_names_hide_no_text(statement: str) -> None:
    """An apostrophe in one is none; a comment may hold anything, so nothing of it is shown, either."""
    told = masked(statement.format(PRIVATE), Redactor())
    assert PRIVATE not in told
    assert "…" in told


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("/* it's /* nested */ so */ SELECT a/b - c, 'x'", "/*…*/ SELECT a/b - c, '…'"),
        (
            "SELECT 1 -- it's\nFROM \"it's\" WHERE a->>'b' = $1",
            "SELECT 1 /*…*/ FROM \"it's\" WHERE a->>'…' = $1",
        ),
        (
            "SELECT a$1, b FROM tableE WHERE c = 'd\\\\' AND e",
            "SELECT a$1, b FROM tableE WHERE c = '…' AND e",
        ),
        ('SELECT U&"a", $ä_1$b$ä_1$ FROM größe', "SELECT U&\"a\", '…' FROM größe"),
        ("SELECT E'a\\'' FROM b", "SELECT '…' FROM b"),
        ("SELECT 'a\\'' FROM b", "SELECT '…'"),
    ],
)
def test_what_is_no_text_stays(statement: str, expected: str) -> None:
    """Names, numbers and signs, on one line."""
    assert masked(statement, Redactor()) == expected


def test_a_long_statement_is_masked_in_one_pass() -> None:
    """Every sign that could open something, over and over; what was run over is not run over again."""
    for part in ("/*", "'", "$", "$a", "$a$", '"', "E'\\", "--", "*/", "a$", "'\\", "/**/", "''", '""'):
        masked(part * 200_000, Redactor())


async def test_safety_20_the_servers_own_statements_are_read_as_it_reads_them(
    target: Target, shop: Shop
) -> None:
    """It has taken each of these, with a return at the end of a comment."""
    for query in (
        f"/* user's cart */ SELECT pg_sleep(600), '{PRIVATE}' AS \"it's\", '{PRIVATE}'",
        f"-- it's\rSELECT pg_sleep(600), E'it\\'s', '{PRIVATE}\n{PRIVATE}', $ä$'{PRIVATE}$ä$",
        f"SELECT pg_sleep(600), E'a'\n'\\'{PRIVATE}', U&'!0041' UESCAPE '!', '{PRIVATE}' -- {PRIVATE}",
    ):
        pid = shop.sleeper(query=query)
        plan = await target.plan("cancel", pid=str(pid))
        told = shown(await target.read("activity")) + str(plan.to_data())
        assert "SELECT pg_sleep(600)" in told
        assert PRIVATE not in told


async def test_slow_statements_or_how_to_count_them(target: Target, shop: Shop) -> None:
    shop.run("SELECT count(*) FROM orders")
    assert "count(*)" in shown(await target.read("slow"))
    shop.run("DROP EXTENSION pg_stat_statements")
    off = await target.read("slow")
    assert "CREATE EXTENSION pg_stat_statements" in shown(off)


async def test_who_waits_for_whom(target: Target, shop: Shop) -> None:
    """The one at the root is named, with what it is doing."""
    holder = shop.client("holder")
    holder.execute("BEGIN")
    holder.execute("LOCK TABLE orders")
    waiter = shop.client("waiter")
    waiter.pgconn.send_query(b"SELECT * FROM orders")
    while "1 wait" not in (found := await target.read("locks")).headline:
        assert waiter.info.backend_pid
    assert f"{holder.info.backend_pid} (watchbell) blocks: idle in transaction" in found.lines[0]
    assert str(waiter.info.backend_pid) in shown(found)


async def test_looking_is_read_only(target: Target, shop: Shop) -> None:
    """The server itself would refuse a change within a look."""
    link = target.guarded.databases["shop"].link  # type: ignore[attr-defined]
    with pytest.raises(TargetError, match="takes no changes"):
        await link.look("DELETE FROM public.orders")
    assert (await link.look("SELECT count(*) FROM public.orders"))[0][0] == 2000
    with pytest.raises(TargetError, match="took too long"):
        await link.look("SELECT pg_sleep(30)")


async def test_a_query_is_cancelled_and_its_connection_stays(target: Target, shop: Shop) -> None:
    pid = shop.sleeper()
    plan = await target.plan("cancel", pid=str(pid))
    assert (plan.effect, plan.undo) == ("change", None)
    outcome = await ran(target, plan)
    assert (outcome.kind, outcome.text) == ("done", f"the query of {pid} was cancelled")
    assert shop.state(pid) == "idle"
    with pytest.raises(RefusedError, match="runs nothing"):
        await target.plan("cancel", pid=str(pid))


async def test_safety_14_the_next_query_of_a_process_is_another_one(target: Target, shop: Shop) -> None:
    """Approved was the one that ran then."""
    pid = shop.sleeper()
    plan = await target.plan("cancel", pid=str(pid))
    shop.server.execute(f"SELECT pg_cancel_backend({pid})")
    while shop.state(pid) == "active":
        pass
    assert drift(plan, *await target.observe(plan))
    with pytest.raises(TargetError, match="no longer as it was planned"):
        await ran(target, plan)
    assert shop.count("wb-1") == 0


@pytest.mark.parametrize("pid", ["0", "-1", "1e3", "12.5", "４７", "99999999999", "17;DROP", ""])
async def test_safety_18_processes_are_whole_numbers(target: Target, pid: str) -> None:
    with pytest.raises(RefusedError):
        await target.plan("terminate", pid=pid)


async def test_processes_that_are_not_to_be_stopped(target: Target, shop: Shop) -> None:
    """The bot's own, the server's own, and superusers'."""
    await target.read("ready")
    own = shop.server.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'watchbell'")[0][0]
    server = shop.server.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")[0][0]
    operator = shop.client("operator").info.backend_pid
    for pid, why in ((own, "of mine"), (server, "PostgreSQL's own"), (operator, "superuser")):
        with pytest.raises(RefusedError, match=why):
            await target.plan("terminate", pid=str(pid))


async def test_tables_are_analysed(target: Target, shop: Shop) -> None:
    """One or all that are the bot's; somebody else's are refused instead of skipped in silence."""
    outcome = await ran(target, await target.plan("analyze", table="orders"))
    assert (outcome.kind, dict(outcome.after)) == ("done", {"analyses": 1})
    whole = await target.plan("analyze")
    assert any("only 2 of 3 tables" in note for note in whole.notes)
    assert (await ran(target, whole, "wb-2")).kind == "done"
    with pytest.raises(RefusedError, match="belongs to the role") as no:
        await target.plan("analyze", table="accounts")
    assert str(no.value).endswith("Ask its owner, or make me a member: GRANT watchbell TO watchbell_bot.")
    with pytest.raises(RefusedError, match="takes its table, orders"):
        await target.plan("analyze", table="orders_name")


async def test_what_cannot_be_reindexed(target: Target, shop: Shop) -> None:
    for what, why in (
        ("accounts", "belongs to the role"),
        ("bare", "has no index"),
        ("pg_catalog.pg_class", "PostgreSQL's own"),
        ("nothing", "no table or index"),
        ("orders;DROP", "no name of a table"),
    ):
        with pytest.raises(RefusedError, match=why):
            await target.plan("reindex", what=what)


async def test_an_index_is_rebuilt_while_others_work(target: Target, shop: Shop) -> None:
    plan = await target.plan("reindex", what="orders_name")
    assert "it waits for transactions that are older; /pg activity shows them" in plan.notes
    assert not any("`" in note for note in plan.notes)
    assert (plan.effect, plan.stoppable) == ("danger", True)
    assert (await ran(target, plan)).text == "public.orders_name is reindexed"
    assert "REINDEX INDEX CONCURRENTLY" in shop.log()
    followed = await target.follow(plan, key="wb-1", progress=progress)
    assert followed is not None
    assert followed.kind == "done"


async def test_a_rebuild_that_was_stopped_says_what_it_left(target: Target, shop: Shop) -> None:
    """It waits for an older transaction; `cancel` finds it by its key."""
    holder = shop.client("holder")
    holder.execute("BEGIN")
    holder.execute("INSERT INTO orders VALUES (9999, 'x')")
    plan = await target.plan("reindex", what="orders_name")
    running = asyncio.ensure_future(ran(target, plan))
    while not await target.cancel(plan, key="wb-1"):
        assert not running.done()
        await asyncio.sleep(0)
    outcome = await running
    assert outcome.kind == "failed"
    assert "The old indexes are in use as before" in outcome.text
    assert await target.cancel(plan, key="wb-1") is False


async def test_another_bot_of_the_same_user_is_not_stopped(target: Target, make: Make, shop: Shop) -> None:
    """Its request has the same number, for each log begins at one; what it does is something else."""
    holder = shop.client("holder")
    holder.execute("BEGIN")
    holder.execute("INSERT INTO orders VALUES (9999, 'x')")
    plan, other = (
        await target.plan("reindex", what="orders_name"),
        await target.plan("reindex", what="orders"),
    )
    running = asyncio.ensure_future(ran(target, plan))
    while shop.count("wb-1") == 0:
        assert not running.done()
        await asyncio.sleep(0)
    second = make(shop.server.port)
    assert await second.cancel(other, key="wb-1") is False
    following = await second.follow(other, key="wb-1", progress=progress)
    assert following is None
    assert not running.done()
    holder.execute("COMMIT")
    assert (await running).kind == "done"


async def test_safety_10_a_statement_that_outlives_the_bot_is_followed(
    target: Target, make: Make, shop: Shop
) -> None:
    """The bot dies while the server reindexes: the key on the connection proves it."""
    holder = shop.client("holder")
    holder.execute("BEGIN")
    holder.execute("INSERT INTO orders VALUES (9999, 'x')")
    plan = await target.plan("reindex", what="orders_name")
    running = asyncio.ensure_future(ran(target, plan))
    while shop.count("wb-1") == 0:
        assert "ready" in (await target.read("ready")).headline
    running.cancel()
    await asyncio.wait([running])
    following = asyncio.ensure_future(make(shop.server.port).follow(plan, key="wb-1", progress=progress))
    await asyncio.sleep(0)
    assert not following.done()
    holder.execute("COMMIT")
    found = await following
    assert found is not None
    assert (found.kind, found.text) == ("done", plan.done)
    assert shop.count("wb-1") == 1


# -- the way there --------------------------------------------------------------------------------


async def test_safety_33_nobody_there(make: Make, cable: Cable) -> None:
    target = make(cable.port)
    await cable.refuse()
    with pytest.raises(TargetError, match="refused"):
        await target.read("ready")


@pytest.mark.parametrize(
    ("how", "told"),
    [("silent", "did not answer within"), ("half", "did not answer within"), ("cut", "broke")],
)
@pytest.mark.parametrize("when", [b"", b"SELECT 1"])
async def test_safety_33_looks_that_fail_are_said(
    make: Make, cable: Cable, how: Any, told: str, when: bytes
) -> None:
    """Within the limit, and the next one works."""
    target = make(cable.port, timeout="1s")
    cable.fault(how, when)
    with pytest.raises(TargetError, match=told):
        await target.read("ready")
    cable.heal()
    assert "ready in" in (await target.read("ready")).headline


@pytest.mark.parametrize("how", ["huge", "garbage"])
async def test_nonsense_is_no_answer(make: Make, cable: Cable, how: Any) -> None:
    """10 MB that nobody asked for, and bytes that mean nothing."""
    target = make(cable.port, timeout="2s")
    cable.fault(how, b"SELECT 1")
    with pytest.raises(TargetError, match=r"does not answer|did not answer"):
        await target.read("ready")
    assert "ready in" in (await target.read("ready")).headline


async def test_safety_33_a_change_whose_answer_is_lost_is_unknown(
    make: Make, cable: Cable, shop: Shop
) -> None:
    """It is sent once, and what can be seen is said."""
    target = make(cable.port, timeout="2s")
    pid = shop.sleeper()
    plan = await target.plan("terminate", pid=str(pid))
    cable.fault("cut", b"pg_terminate_backend")
    outcome = await ran(target, plan)
    assert outcome.kind == "unknown"
    assert "the connection broke after the request was sent. PostgreSQL shop shows process=" in outcome.text
    assert shop.count("wb-1") == 1


async def test_wrong_password_and_wrong_certificate(make: Make, shop: Shop, tmp_path: Path) -> None:
    """Said as what they are, without the password."""
    with pytest.raises(TargetError, match="refuses the user or the password") as found:
        await make(shop.server.port, "wrong horse").read("ready")
    assert "wrong horse" not in str(found.value)
    ca_file = str(shop.files[0])
    assert "ready in" in (await make(shop.server.port, tls=True, ca_file=ca_file).read("ready")).headline
    with pytest.raises(TargetError, match="certificate that I do not trust"):
        await make(shop.server.port, tls=True).read("ready")


async def test_text_that_is_no_utf_8_is_shown_with_escapes(make: Make, shop: Shop) -> None:
    """A database in SQL_ASCII holds any bytes."""
    shop.server.execute("DROP DATABASE IF EXISTS ascii")
    shop.server.execute(
        "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    target = make(shop.server.port, url=f"postgresql://{USER}@127.0.0.1:{shop.server.port}/ascii")
    link = target.guarded.databases["shop"].link  # type: ignore[attr-defined]
    assert (await link.look("SELECT E'a\\xff'::text"))[0][0] == "a\\xff"
    assert "ready in" in (await target.read("ready")).headline


async def test_a_standby_takes_no_changes_and_says_how_far_it_is_behind(make: Make, shop: Shop) -> None:
    """Its primary shows it; what a failover does to a plan is drift."""
    with Postgres(standby_of=shop.server) as standby:
        target, primary = make(standby.port), make(shop.server.port)
        assert "standby" in (await target.read("ready")).headline
        assert "takes reads only" in shown(await target.read("ready"))
        while "0 standbys" in (found := await primary.read("replication")).headline:
            assert found.table is None
        assert "1 standby" in found.headline
        behind = await target.read("replication")
        assert "standby, " in behind.headline
        for verb, args in (
            ("analyze", {"table": "orders"}),
            ("analyze", {}),
            ("reindex", {"what": "orders"}),
        ):
            with pytest.raises(RefusedError, match="takes no changes"):
                await target.plan(verb, **args)
        plan = await primary.plan("analyze", table="orders")
        assert drift(plan, *await target.observe(plan))


async def test_check_says_what_the_user_may(shop: Shop, tmp_path: Path) -> None:
    settings = on_postgres(fields(shop.server.port), {"shop": {}})
    lines = [line async for _, line in check(settings, VirtualClock(START))]
    assert all(line.right for line in lines)
    assert "PostgreSQL 1" in lines[0].text
    assert "stop queries" in lines[1].text
