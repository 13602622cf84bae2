"""A real PostgreSQL for the target contract: behind a cable, with a user of the bot's own that can lose its rights."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from commands.actions import Plan, Target
from tests.contracts.target_rigs import START, Change, Rig
from tests.servers.cable import Cable
from tests.targets.postgres_world import Shop, fields, on_postgres, shared, target_of

WORDS = {
    "terminate": b"pg_terminate_backend",
    "cancel": b"pg_cancel_backend",
    "analyze": b"ANALYZE",
    "reindex": b"REINDEX",
}
FAULTS = {"drop": "cut", "slow": "hold"}


class RealPostgres(Rig):
    """The rig, and what it takes to begin and end one."""

    shop: Shop
    cable: Cable
    made: list[Target]

    async def started(self) -> Rig:
        """Ready for its test: the cable lies."""
        await self.cable.start()
        self.target = self.again()
        return self

    async def close(self) -> None:
        """Let go of every connection."""
        self.cable.heal()
        for target in self.made:
            await target.stop()  # type: ignore[attr-defined]
        await self.cable.stop()
        self.shop.close()

    async def accepted(self, key: str) -> None:
        """Return when the server has carried a change out whose answer is held up."""
        await self.cable.answered()
        assert self.count(key)

    def release(self) -> None:
        """The answer comes."""
        self.cable.heal()

    async def cut(self, plan: Plan, key: str) -> None:
        """The process dies while the answer to its request is under way."""
        self.cable.fault("hold", WORDS[plan.verb])
        running = asyncio.ensure_future(self.target.run(plan, key=key, progress=self.progress))
        await self.accepted(key)
        running.cancel()
        await asyncio.wait([running])
        self.cable.heal()

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        with self.shop.client("operator") as connection:
            return connection.execute("SELECT count(*), sum(id) FROM orders").fetchall()


def postgres(path: Path) -> Rig:
    """A shop as untouched as a new one, with two processes to be stopped."""
    shop, clock = shared(), VirtualClock(START)
    shop.fresh()
    first, second = (str(shop.sleeper(name, database="postgres")) for name in ("first", "second"))
    cable = Cable(shop.server.port)
    changes = (
        Change("terminate", {"pid": first}, undone=False, effect="danger"),
        Change("cancel", {"pid": second}, undone=False, proved=False),
        Change("analyze", {"table": "orders"}, undone=False),
        Change("reindex", {"what": "orders"}, undone=False, effect="danger"),
        Change("reindex", {"what": "orders_name"}, undone=False, effect="danger"),
    )
    plain: Mapping[str, Any] = {}
    verbs = ("ready", "connections", "activity", "locks", "slow", "size", "stats", "replication")

    def again() -> Target:
        settings = on_postgres(fields(cable.port), {"shop": {}})
        made = target_of(settings, path.parent, clock)
        rig.made.append(made)
        return made

    def move(change: Change) -> None:
        if change.verb in ("terminate", "cancel"):
            shop.kill(int(first if change.verb == "terminate" else second))
        else:
            shop.run("DROP TABLE orders", "CREATE TABLE orders (id int PRIMARY KEY, name text)")
            shop.run("CREATE INDEX orders_name ON orders (name)", "ALTER TABLE orders OWNER TO watchbell_bot")

    def breaks(how: str) -> None:
        if how == "error":
            shop.run("REVOKE EXECUTE ON FUNCTION pg_postmaster_start_time() FROM PUBLIC")
        else:
            cable.fault(FAULTS[how], WORDS["terminate"])  # type: ignore[arg-type]

    reads = tuple((verb, plain) for verb in verbs)
    rig = RealPostgres(None, changes, reads, move, breaks, shop.count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.shop, rig.cable, rig.made = shop, cable, []
    return rig
