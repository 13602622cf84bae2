"""Which rows of the outbox go next, and that a look at them does not grow with what waits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot import claims, store
from bot.app import database, open_store
from bot.ways import Ways

NOW = 1_000_000_000
ME, OTHER = "boot-me", "boot-other"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[store.Store]:
    """An empty log."""
    store.upgrade(database(tmp_path))
    async with open_store(database(tmp_path)) as opened:
        yield opened


async def put(log: store.Store, *rows: dict[str, Any]) -> None:
    """Rows of the outbox, of channel `a`, lane 1 and op `say` where nothing else is given."""

    def unit(u: store.Unit) -> None:
        for row in rows:
            u.insert(
                store.outbox, **{"at": 1, "channel": "a", "lane": 1, "op": "say", "payload": "{}", **row}
            )

    await log.run(unit)


async def claimed(log: store.Store, boot: str = ME, now: int = NOW) -> list[tuple[str, str]]:
    """Channel and op of what is claimed, in order."""
    rows = await log.run(lambda unit: claims.claim(unit, boot, now))
    return [(row.channel, row.op) for row in rows]


async def test_channels_with_a_page_first_and_cosmetics_last(log: store.Store) -> None:
    """Within a channel messages go in the order in which they were said."""
    rows = [{"lane": 2, "op": "card"}, {}, {"channel": "b"}, {"channel": "b", "lane": 0, "op": "direct"}]
    await put(log, *rows)
    assert await claimed(log) == [("b", "say"), ("b", "direct"), ("a", "say"), ("a", "card")]


async def test_a_channel_whose_first_row_waits_is_left_alone(log: store.Store) -> None:
    """Until it may be tried again; a card that waits holds nothing up."""
    await put(log, {"not_before": NOW + 1}, {}, {"lane": 2, "op": "card"})
    await put(log, {"channel": "b", "lane": 2, "op": "card", "not_before": NOW + 1}, {"channel": "b"})
    assert await claimed(log) == [("b", "say")]
    assert ("a", "say") in await claimed(log, now=NOW + 1)


async def test_a_share_of_a_channel_and_its_cards(log: store.Store) -> None:
    """Many messages do not keep a card from being edited, but an archive comes after all of them."""
    await put(log, *[{} for _ in range(claims.SHARE + 1)])
    await put(log, {"lane": 2, "op": "archive"}, {"lane": 2, "op": "card"})
    assert await claimed(log) == [("a", "say")] * claims.SHARE + [("a", "card")]
    await log.run(lambda u: u.execute(store.outbox.update().values(sent_at=NOW).where(store.outbox.c.id < 3)))
    assert ("a", "archive") in await claimed(log)


async def test_what_another_boot_delivers_is_left_to_it_but_for_pages(log: store.Store) -> None:
    """Else a channel would hear its messages in another order; a lease ends."""
    await put(log, *[{} for _ in range(claims.SHARE + 1)])
    await claimed(log, OTHER)
    await put(log, {"lane": 0, "op": "direct"}, {"channel": "b"})
    assert await claimed(log) == [("a", "direct"), ("b", "say")]
    later = NOW + 61_000_000
    assert ("a", "say") in await claimed(log, now=later)


async def test_a_card_that_waits_is_not_tried_for_another_row(log: store.Store) -> None:
    """Other cards of the channel are, and what is no card."""
    await put(log, {"lane": 2, "op": "card", "card": "incident:1", "not_before": NOW + 1})
    await put(log, {"lane": 2, "op": "card", "card": "incident:1"}, {"lane": 2, "op": "archive"})
    await put(log, {"lane": 2, "op": "amend", "card": "wb-1"})
    assert await claimed(log) == [("a", "archive"), ("a", "amend")]
    assert await claimed(log, now=NOW + 1) == [("a", op) for op in ("card", "card", "archive", "amend")]


async def test_many_channels_are_looked_at_together(log: store.Store) -> None:
    """By the same rules."""
    names = [f"c{number:03}" for number in range(claims.MANY * 2)]
    await put(log, *[{"channel": name} for name in names], {"channel": names[0], "lane": 0, "op": "direct"})
    await put(log, {"channel": "held", "not_before": NOW + 1}, {"channel": "held"})
    found = await claimed(log)
    assert found[:2] == [(names[0], "say"), (names[0], "direct")]
    assert found[2:] == [(name, "say") for name in names[1:]]


@pytest.mark.parametrize("others", [0, claims.MANY])
async def test_each_chat_has_rows_of_its_own(log: store.Store, others: int) -> None:
    """However many wait: a chat's, by symbol or by address, and what is of none of them."""
    names = ["incident:1@slack", "slack:C1", "incident:1@matrix", "person:alice:sms", "incident:1"]
    await put(log, *[{"channel": name} for name in names])
    await put(log, *[{"channel": f"matrix:!r{number}:x"} for number in range(others)])
    found = {}
    for way in Ways.of(["slack", "matrix"]).all:
        rows = await log.run(lambda unit, way=way: claims.claim(unit, ME, NOW, way))
        found[way.chat] = [row.channel for row in rows if not row.channel.startswith("matrix:")]
    assert sorted(found["slack"]) == ["incident:1@slack", "slack:C1"]
    assert found["matrix"] == ["incident:1@matrix"]
    assert sorted(found[None]) == ["incident:1", "person:alice:sms"]


async def test_a_card_that_one_chat_did_not_take_is_edited_in_the_other(log: store.Store) -> None:
    card = {"lane": 2, "op": "card", "card": "incident:1"}
    await put(log, {**card, "channel": "incident:1@slack", "not_before": NOW + 1})
    await put(log, {**card, "channel": "incident:1@slack"}, {**card, "channel": "incident:1@matrix"})
    assert await claimed(log) == [("incident:1@matrix", "card")]


@pytest.mark.parametrize("name", ["_HELD", "_CHANNELS", "_BUSY", "_NEW", "_CARDS", "_TRIED"])
async def test_no_look_reads_all_that_waits(log: store.Store, name: str) -> None:
    """SQLite seeks in the index that belongs to the question."""
    told = {"now": NOW, "boot": ME, "channel": "a"}

    def plan(connection: Any) -> list[str]:
        compiled = (
            getattr(claims, name).params(**told).compile(connection, compile_kwargs={"literal_binds": True})
        )
        return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]

    steps = [step for step in await log.read(plan) if " outbox" in step]
    assert steps
    for step in steps:
        assert step.startswith("SEARCH outbox"), step
        assert "ix_outbox_lane_id" not in step, step
