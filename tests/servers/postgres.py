"""A real PostgreSQL on a free loopback port, in a temporary folder; `python -m tests.servers.postgres` starts one."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg

from tests.servers import require

PATIENCE = 30  # seconds for a server to start or stop


class Postgres:
    """One server with further settings; as root it runs as the user postgres, whom the server itself asks for."""

    def __init__(self, *, standby_of: Postgres | None = None, **options: str) -> None:
        self._options = {**(standby_of._options if standby_of else {}), **options}
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
        self._programs = Path(require(*map(str, reversed(found)), "postgres")).parent
        self._user = "postgres" if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        data = str(self.folder / "data")
        if standby_of is None:
            self._call("initdb", "-D", data, "-U", "watchbell", "-A", "trust", "-E", "UTF8", "-N")
        else:
            source = ("-h", "127.0.0.1", "-p", str(standby_of.port), "-U", "watchbell")
            self._call("pg_basebackup", *source, "-D", data, "-R", "-c", "fast", "--no-sync")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def url(self, database: str = "postgres") -> str:
        """Where SQLAlchemy finds that database."""
        return f"postgresql+psycopg://watchbell@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and return when it answers."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "fsync": "off",  # the tests kill processes, not the machine
            **self._options,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            [self._programs / "postgres", "-D", str(self.folder / "data"), *options],
            stdout=log,
            stderr=log,
            user=self._user,
            cwd=self.folder,
        )
        log.close()
        self._call("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-t", str(PATIENCE), tries=300)

    def stop(self) -> None:
        """Stop the server at once, cutting its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast" shutdown
            self._process.wait(PATIENCE)
            self._process = None

    def fresh(self, name: str) -> str:
        """The URL of a new, empty database."""
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, cutting its connections."""
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run a statement of the operator's and return its rows."""
        with psycopg.connect(self._dsn(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def secure(self, user: str, certificates: tuple[Path, Path, Path]) -> None:
        """Let one user in with a password only, and speak TLS with those who want it."""
        data = self.folder / "data"
        for source, name in zip(certificates[1:], ("server.crt", "server.key"), strict=True):
            shutil.copy(source, data / name)
            (data / name).chmod(0o600)
            if self._user:
                shutil.chown(data / name, self._user)
        rules = data / "pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")

    def log(self) -> str:
        """What the server has written down."""
        return (self.folder / "log").read_text(errors="replace")

    def _dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} user=watchbell dbname=postgres"

    def _call(self, program: str, *arguments: str, tries: int = 1) -> None:
        for left in reversed(range(tries)):
            done = subprocess.run(
                [self._programs / program, *arguments], capture_output=True, user=self._user, cwd=self.folder
            )
            if done.returncode == 0:
                return
            if not left:
                raise RuntimeError(f"{program} failed: {done.stderr.decode() or done.stdout.decode()}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def running() -> Iterator[Postgres]:
    """A server for as long as a fixture lives."""
    with Postgres() as server:
        yield server


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Postgres() as server:
        print(server.url(), flush=True)  # noqa: T201 - that is what it is started for
        signal.pause()
