"""MongoDB for the tests: SecantusDB (from `make synapse`), which holds real documents, and a stand-in for what runs.

`python -m tests.servers.mongo_server` starts the first and prints its address.
"""

from __future__ import annotations

import atexit
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient, errors

from tests.servers import require

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-synapse" / "bin" / "python"  # made by `make synapse`
PATIENCE = 60.0  # seconds for a server to start or stop
OPERATOR = ("operator", "the operator's own")  # who may do everything, where users are asked for


class Secantus:
    """One server with access control where `users` are named: (user, password, roles); TLS where `files` are.

    `files` are those of an authority, of a certificate and of its key.
    """

    def __init__(
        self,
        *,
        users: tuple[tuple[str, str, list[Any]], ...] = (),
        files: tuple[Path, Path, Path] | None = None,
    ) -> None:
        self._program = require(str(PROGRAM))
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-mongo-"))
        self._users, self._files = users, files
        self._process: subprocess.Popen[bytes] | None = None
        self._locked = False  # while it has no users yet, it is open
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])

    def start(self) -> None:
        """Start it, and return when it answers."""
        if self._users and not (self.folder / "data").exists():
            self._run()
            with self.client(None) as client:
                client.admin.command("createUser", OPERATOR[0], pwd=OPERATOR[1], roles=["root"])
                for name, password, roles in self._users:
                    client.admin.command("createUser", name, pwd=password, roles=roles)
            self.stop()
        locked = ["--auth"] if self._users else []
        if self._files is not None:
            locked += ["--tls-cert-file", str(self._files[1]), "--tls-key-file", str(self._files[2])]
        self._run(*locked)

    def client(self, user: tuple[str, str] | None = OPERATOR) -> MongoClient[dict[str, Any]]:
        """A connection of the operator's, to be closed by who asked for it."""
        tls = {"tls": True, "tlsCAFile": str(self._files[0])} if self._files and self._locked else {}
        return MongoClient(
            "127.0.0.1",
            self.port,
            directConnection=True,
            appname="operator",
            serverSelectionTimeoutMS=2000,
            **tls,
            **({"username": user[0], "password": user[1]} if user and self._users else {}),
        )

    def _run(self, *options: str) -> None:
        self._locked = bool(options)
        words = ["-m", "secantus", "--host", "127.0.0.1", "--port", str(self.port), *options]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, *words, "--storage-path", str(self.folder / "data")],
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                told = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
                raise RuntimeError(f"SecantusDB did not start: {told[-2000:]}")

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        with suppress(subprocess.TimeoutExpired):
            assert self._process is not None
            self._process.wait(0.05)
        return False

    def stop(self) -> None:
        """Stop it; its data stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(PATIENCE / 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(PATIENCE)
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class StandIn:
    """The stand-in (tests/servers/mongo_stand_in.py) as a process, and what an operator does there."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.mongo_stand_in"],
            stdin=subprocess.PIPE,  # never written to: its end tells the stand-in that nobody needs it any more
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self._operator: MongoClient[dict[str, Any]] = MongoClient(
            "127.0.0.1",
            self.port,
            directConnection=True,
            serverMonitoringMode="poll",
            serverSelectionTimeoutMS=5000,
        )

    def does(self, what: str, **given: Any) -> dict[str, Any]:
        """A command that no MongoDB has: reset, begin, end, kills, index, set."""
        return self._operator.admin.command({"standIn": what, "with": given})

    def begins(self, **given: Any) -> str:
        """An operation runs; its number as people see it."""
        opid = self.does("begin", **given)["opid"]
        return str(opid % 2**32 if isinstance(opid, int) else opid)

    def ends(self, op: str) -> None:
        """An operation has ended by itself."""
        number = int(op)
        self.does("end", opid=number - 2**32 if number >= 2**31 else number)

    def kills(self, key: str | None = None) -> int:
        """How often somebody was told to end something, with this key where one is named."""
        found = self.does("kills")["kills"]
        return sum(key is None or each["comment"] == f"watchbell {key}" for each in found)

    def running(self) -> list[str]:
        """The numbers of everything that runs."""
        pipeline = [{"$currentOp": {}}, {"$sort": {"opid": 1}}]
        found = self._operator.admin.command({"aggregate": 1, "pipeline": pipeline, "cursor": {}})
        return [str(each["opid"] % 2**32) for each in found["cursor"]["firstBatch"]]

    def holds(self, space: str, *documents: dict[str, Any]) -> None:
        """Documents of a collection, `shop.orders`."""
        database, _, name = space.partition(".")
        self._operator[database].command({"insert": name, "documents": list(documents)})

    def end(self) -> None:
        """End the process."""
        with suppress(errors.PyMongoError):
            self._operator.close()
        self._process.kill()
        self._process.wait(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@cache
def stand_in() -> StandIn:
    """One for the whole test run; it ends with the process."""
    made = StandIn()
    atexit.register(made.end)
    return made


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Secantus() as own:
        print(f"mongodb://127.0.0.1:{own.port}", flush=True)  # noqa: T201 - that is what it is started for
        signal.pause()
