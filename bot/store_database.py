"""The database under the store: how it is opened, what counts as an outage, how it is made and copied."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, exc, make_url

from incidents.ports import RefusedError

MIGRATIONS = Path(__file__).parent / "migrations"
_ONE_WRITER = 0x57415443_4842454C  # "WATCHBEL": the advisory lock that PostgreSQL writers take turns by


def open_engine(url: str, *, patience: float, writes: bool) -> Engine:
    """An engine whose transactions hold the writers' lock, or see one unchanging snapshot.

    `patience` is how many seconds a writer waits for a lock that another process holds.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(url, patience, writes)
    if parsed.get_backend_name() != "postgresql":
        raise ValueError(f"the store is kept in SQLite or PostgreSQL, not in {parsed.get_backend_name()}")
    return _open_postgres(url, patience, writes)


def _open_sqlite(url: str, patience: float, writes: bool) -> Engine:
    if make_url(url).database in {None, "", ":memory:"}:
        raise ValueError("the store is kept in a file: sqlite:///PATH")
    engine = create_engine(url, poolclass=NullPool if writes else None)

    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver would commit by itself around a statement
        connection.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # what is scrubbed leaves the file
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        if not writes:
            connection.execute("PRAGMA query_only = ON")

    def began(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)
    return engine


def _open_postgres(url: str, patience: float, writes: bool) -> Engine:
    arguments = {
        "connect_timeout": max(2, int(patience)),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 15_000,
    }
    settings = {"application_name": "watchbell", "lock_timeout": f"{int(patience * 1000)}ms"}
    if writes:  # a stopped process must not keep the others waiting
        settings["idle_in_transaction_session_timeout"] = "10s"
    given = make_url(url).query
    engine = create_engine(
        url,
        connect_args={name: value for name, value in arguments.items() if name not in given},
        isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
        pool_pre_ping=not writes,
    )

    def connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.commit()

    def began(connection: Connection) -> None:
        if writes:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_WRITER})")
        else:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)
    return engine


def is_outage(error: BaseException | None) -> bool:
    """Whether the database is at fault (full, locked, gone, damaged), and not the statement or its values."""
    if not isinstance(error, exc.DBAPIError):
        return False
    if isinstance(error, exc.IntegrityError | exc.DataError | exc.ProgrammingError | exc.NotSupportedError):
        return error.connection_invalidated
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code is None or code & 0xFF != sqlite3.SQLITE_ERROR


def erase_traces(connection: Connection) -> None:
    """Empty SQLite's journal, where pages from before a scrub may stand; readers can put it off."""
    if connection.dialect.name == "sqlite":
        driver = connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            with suppress(sqlite3.Error):
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def upgrade(url: str) -> None:
    """Bring the database to the schema of this version, in one transaction; a new file is created."""
    from alembic import command
    from alembic.config import Config

    engine = open_engine(url, patience=60, writes=True)
    try:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def backup(url: str, path: Path) -> None:
    """Copy a SQLite store to a new file while it is in use.

    PostgreSQL brings its own tools: there RefusedError names the command. A file that exists is not
    overwritten, and half a copy is never left under the name that was asked for.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        name = parsed.database or "watchbell"
        raise RefusedError(f"this store is in PostgreSQL; copy it with: pg_dump -Fc -f {path} {name}")
    if path.exists():
        raise RefusedError(f"{path} exists already; name a file that does not")
    if not Path(parsed.database or "").is_file():
        raise RefusedError(f"there is no store at {parsed.database}")
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    with closing(sqlite3.connect(parsed.database or "")) as source, closing(sqlite3.connect(partial)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    partial.rename(path)
