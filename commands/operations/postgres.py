"""PostgreSQL from chat: looking, stopping what blocks others, and the care of tables and indexes."""

from __future__ import annotations

from commands.actions import Answer, Ops, Plan
from commands.registry import Name, command


@command("pg ready", effect="read")
async def ready(*, name: Name | None = None, ops: Ops) -> Answer:
    """Ask whether PostgreSQL answers, how fast, which version it is, and whether it takes changes.

    /pg ready             the only PostgreSQL, or the first of the configuration
    /pg ish-chat ready    the one called ish-chat; every pg command takes the name there
    """
    return await ops.target("postgres").read("ready", name=name)


@command("pg connections", effect="read")
async def connections(*, name: Name | None = None, ops: Ops) -> Answer:
    """Count the connections by state, beside max_connections.

    /pg connections
    """
    return await ops.target("postgres").read("connections", name=name)


@command("pg activity", effect="read")
async def activity(*, name: Name | None = None, ops: Ops) -> Answer:
    """List what is running, the longest first, the values in the queries left out.

    /pg activity    /pg cancel and /pg terminate take the PID
    """
    return await ops.target("postgres").read("activity", name=name)


@command("pg locks", effect="read")
async def locks(*, name: Name | None = None, ops: Ops) -> Answer:
    """Show who waits for a lock, and who holds it.

    /pg locks
    """
    return await ops.target("postgres").read("locks", name=name)


@command("pg slow", effect="read")
async def slow(*, name: Name | None = None, ops: Ops) -> Answer:
    """List the slowest statements by their mean, from pg_stat_statements.

    /pg slow    where it is not switched on, how that is done
    """
    return await ops.target("postgres").read("slow", name=name)


@command("pg size", effect="read")
async def size(*, name: Name | None = None, ops: Ops) -> Answer:
    """Show the size of the database and of its largest tables.

    /pg size
    """
    return await ops.target("postgres").read("size", name=name)


@command("pg stats", effect="read")
async def stats(*, name: Name | None = None, ops: Ops) -> Answer:
    """Show rows, dead rows and scans of the tables, and when they were last analysed.

    /pg stats
    """
    return await ops.target("postgres").read("stats", name=name)


@command("pg replication", effect="read")
async def replication(*, name: Name | None = None, ops: Ops) -> Answer:
    """Show the standbys and how far they are behind; on a standby, how far it is itself.

    /pg replication
    """
    return await ops.target("postgres").read("replication", name=name)


@command("pg cancel", effect="change")
async def cancel(pid: Name, *, name: Name | None = None, ops: Ops) -> Plan:
    """Cancel the query that a process runs; its connection stays.

    /pg cancel 4711    this very query only: not the next one, and not the next process of that number
    """
    return await ops.target("postgres").plan("cancel", name=name, pid=pid)


@command("pg terminate", effect="danger")
async def terminate(pid: Name, *, name: Name | None = None, ops: Ops) -> Plan:
    """End a process and its connection; its transaction is rolled back.

    /pg terminate 4711
    """
    return await ops.target("postgres").plan("terminate", name=name, pid=pid)


@command("pg analyze", effect="change")
async def analyze(table: Name | None = None, *, name: Name | None = None, ops: Ops) -> Plan:
    """Renew the statistics that queries are planned by, of one table or of all.

    /pg analyze orders    one table
    /pg analyze           every table of the database
    """
    return await ops.target("postgres").plan("analyze", name=name, table=table)


@command("pg reindex", effect="danger")
async def reindex(what: Name, *, name: Name | None = None, ops: Ops) -> Plan:
    """Build an index, or all indexes of a table, anew while others work (CONCURRENTLY); never a whole database.

    /pg reindex orders         all indexes of a table
    /pg reindex orders_pkey    one index
    """
    return await ops.target("postgres").plan("reindex", name=name, what=what)
