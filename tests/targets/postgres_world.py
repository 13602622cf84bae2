"""A real PostgreSQL with a shop in it, a user of the bot's own, and targets that reach it."""

from __future__ import annotations

import atexit
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr

from bot.clock import VirtualClock
from bot.config import Settings
from bot.targets.build import targets_of
from bot.targets.config import section
from bot.targets.sandbox_world import World
from commands.actions import Target
from tests.contracts.target_rigs import START
from tests.safety.rig import example
from tests.servers.certificates import Authority
from tests.servers.postgres import Postgres

USER, PASSWORD = "watchbell_bot", "correct horse"
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ"


class Shop:
    """One server for the whole test run, with a database `shop` that is made anew for a test."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-shop-"))
        self.files = Authority().write(self.folder, "127.0.0.1")
        self.server = Postgres(
            log_statement="all",
            log_line_prefix="%a|%u|",
            shared_preload_libraries="pg_stat_statements",
            max_connections="40",
            ssl="on",
        )
        self.server.secure(USER, self.files)
        self.server.start()
        self.server.execute(
            f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}' IN ROLE pg_monitor, pg_signal_backend"
        )
        self.server.execute("CREATE ROLE worker LOGIN")
        self._others: list[psycopg.Connection[Any]] = []
        self._from = 0

    def fresh(self) -> None:
        """The shop as untouched as a new one."""
        self.close()
        self._from = len(self.server.log())
        self.server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'")
        self.server.drop("shop")
        self.server.fresh("shop")
        self.run(
            "CREATE EXTENSION pg_stat_statements",
            "CREATE TABLE orders (id int PRIMARY KEY, name text)",
            "CREATE INDEX orders_name ON orders (name)",
            "INSERT INTO orders SELECT n, 'order ' || n FROM generate_series(1, 2000) n",
            "CREATE TABLE accounts (id int PRIMARY KEY)",
            "CREATE TABLE bare (id int)",
            f"ALTER TABLE orders OWNER TO {USER}",
            f"ALTER TABLE bare OWNER TO {USER}",
        )

    def run(self, *statements: str) -> None:
        """Statements of the operator's in the shop."""
        with self.client("operator") as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def client(
        self, application: str, user: str = "watchbell", database: str = "shop"
    ) -> psycopg.Connection[Any]:
        """Another connection to the shop, of a superuser where nobody else is named; `close` ends it."""
        made = psycopg.connect(
            host="127.0.0.1",
            port=self.server.port,
            user=user,
            dbname=database,
            application_name=application,
            autocommit=True,
            sslmode="disable",
        )
        self._others.append(made)
        return made

    def sleeper(
        self, application: str = "sleeper", query: str = "SELECT pg_sleep(600)", database: str = "shop"
    ) -> int:
        """A process that runs a long query; its number."""
        made = self.client(application, "worker", database)
        made.pgconn.send_query(query.encode())
        pid = made.info.backend_pid
        while self.state(pid) != "active":
            pass
        return pid

    def kill(self, pid: int) -> None:
        """End a process, and return when it is gone."""
        with self.client("operator") as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        while self.state(pid) is not None:
            pass

    def state(self, pid: int) -> str | None:
        """What a process is doing; None where it is gone."""
        with self.client("operator") as connection:
            found = connection.execute("SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone()
        return str(found[0]) if found else None

    def count(self, key: str) -> int:
        """How many changes were sent with this key."""
        words = "pg_terminate_backend|pg_cancel_backend|ANALYZE|REINDEX"
        return len(
            re.findall(
                rf"^watchbell {re.escape(key)}\|.*LOG:  (?:statement|execute).*(?:{words})",
                self.log(),
                re.MULTILINE,
            )
        )

    def log(self) -> str:
        """What the server has written down since it was made anew."""
        return self.server.log()[self._from :]

    def close(self) -> None:
        """End all other connections."""
        for connection in self._others:
            connection.close()
        self._others.clear()

    def end(self) -> None:
        """End the server."""
        self.close()
        self.server.__exit__()


@cache
def shared() -> Shop:
    """It ends with the process."""
    found = Shop()
    atexit.register(found.end)
    return found


def on_postgres(
    fields: Mapping[str, Any],
    databases: Mapping[str, Mapping[str, Any]],
    password: str | None = PASSWORD,
    *,
    settings: Settings | None = None,
) -> Settings:
    """The example configuration with a real PostgreSQL, `main`, beside the sandbox."""
    settings = settings or example()
    known = {"target": "main", "service": None, "environment": "production", "url": None, "database": None}
    made = section({"driver": "postgres", **fields}) | {"password": SecretStr(password) if password else None}
    return replace(
        settings,
        targets={**settings.targets, "main": made},
        postgres={name: {**known, **database} for name, database in databases.items()},
    )


def target_of(settings: Settings, folder: Path, clock: VirtualClock | None = None) -> Target:
    """The target `postgres` of that configuration."""
    clock = clock or VirtualClock(START)
    return targets_of(settings, World(folder / "world.json", clock), clock)["postgres"]


def fields(port: int, **more: Any) -> dict[str, Any]:
    """The section of a target that reaches the shop by this port, in the clear."""
    return {"url": f"postgresql://{USER}@127.0.0.1:{port}/shop", "tls": False, "timeout": "5s", **more}
