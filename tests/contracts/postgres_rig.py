"""A real PostgreSQL for the target contract: behind a cable, with a user of the bot's own that can lose its rights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.clock import VirtualClock
from commands.actions import Plan, Target
from tests.contracts.cable_rig import FAULTS, BehindCable
from tests.contracts.target_rigs import START, Change, Rig
from tests.servers.cable import Cable
from tests.targets.postgres_world import Shop, fields, on_postgres, shared, target_of

WORDS = {
    "terminate": b"pg_terminate_backend",
    "cancel": b"pg_cancel_backend",
    "analyze": b"ANALYZE",
    "reindex": b"REINDEX",
}


class RealPostgres(BehindCable):
    """The rig, and what it takes to begin and end one."""

    server: Shop

    def last_request(self, plan: Plan) -> bytes:
        """What stands in the last request of a change."""
        return WORDS[plan.verb]

    async def close(self) -> None:
        """Let go of every connection."""
        await super().close()
        self.server.close()

    def state(self) -> Any:
        """Everything that a read must leave alone."""
        with self.server.client("operator") as connection:
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
            cable.fault(FAULTS[how], WORDS["terminate"])

    reads = tuple((verb, plain) for verb in verbs)
    rig = RealPostgres(None, changes, reads, move, breaks, shop.count, again, clock, steady=False)  # type: ignore[arg-type]
    rig.server, rig.cable, rig.made = shop, cable, []
    return rig
