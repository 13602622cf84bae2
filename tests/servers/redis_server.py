"""A real Redis on a free loopback port, in a temporary folder; `python -m tests.servers.redis_server` starts one."""

from __future__ import annotations

import atexit
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

import redis

from tests.servers import require

PATIENCE = 30  # seconds for a server to start or stop


class RedisServer:
    """One server; `password` is that of its default user, `tls` lets it speak nothing else."""

    def __init__(
        self,
        *,
        password: str | None = None,
        tls: bool = False,
        replica_of: RedisServer | None = None,
        **options: str,
    ) -> None:
        self._program = require("redis-server", "valkey-server")
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-redis-"))
        self.password, self.tls = password, tls
        self._options = options
        self._primary = replica_of
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.ca_file = self.folder / "server.crt"
        if tls:
            certificate(self.folder)
        self._admin: redis.Redis | None = None

    def url(self, port: int | None = None, db: int = 0) -> str:
        """Its address without a password; `port` may be that of something in front of it."""
        return f"redis{'s' if self.tls else ''}://127.0.0.1:{port or self.port}/{db}"

    @property
    def admin(self) -> redis.Redis:
        """A connection of the operator's, beside those of the bot."""
        if self._admin is None:
            self._admin = self.client()
        return self._admin

    def client(self, **more: Any) -> redis.Redis:
        """Another connection, to be closed by who asked for it."""
        tls = {"ssl": True, "ssl_ca_certs": str(self.ca_file)} if self.tls else {}
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=self.password,
            decode_responses=True,
            protocol=2,
            single_connection_client=True,
            **tls,
            **more,
        )

    def start(self) -> None:
        """Start it and return when it answers."""
        ports = {"port": "0", "tls-port": str(self.port)} if self.tls else {"port": str(self.port)}
        settings = {
            **ports,
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "latency-tracking": "no",
            "repl-diskless-sync-delay": "0",
            **self._options,
        }
        if "cluster-enabled" in self._options:
            settings["cluster-port"] = str(
                _free_port()
            )  # by default 10,000 above the other, if there is such a port
        if self.tls:
            files = {
                "tls-cert-file": "server.crt",
                "tls-key-file": "server.key",
                "tls-ca-cert-file": "server.crt",
            }
            settings |= {
                **{name: str(self.folder / file) for name, file in files.items()},
                "tls-auth-clients": "no",
            }
        if self.password:
            settings["requirepass"] = self.password
        if self._primary is not None:
            settings["replicaof"] = f"127.0.0.1 {self._primary.port}"
        words = [
            word
            for name, value in settings.items()
            for word in (f"--{name}", *(value.split(" ") if value else [""]))
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *words], stdout=log, stderr=log)
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        for _ in range(PATIENCE * 50):
            with suppress(redis.RedisError, OSError):
                if self.admin.ping():
                    return
            if self._process.poll() is not None:
                break
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
        raise RuntimeError(f"Redis does not answer: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """Stop it at once, cutting its connections."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def restart(self) -> None:
        """Another process at the same place, empty."""
        self.stop()
        self.start()

    def calls(self, *names: str) -> int:
        """How often these commands were carried out; `config|set` is one."""
        found = self.admin.info("commandstats")
        return sum(found.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)

    def sent(self) -> set[str]:
        """The names of all commands that were carried out since the counters were reset."""
        return {name.removeprefix("cmdstat_") for name in self.admin.info("commandstats")}

    def until(self, holds: Callable[[], object]) -> None:
        """Ask until it holds; AssertionError where it never does."""
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, "it never happens"

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def certificate(folder: Path, name: str = "server") -> None:
    """A certificate for 127.0.0.1 that signed itself, and its key."""
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=watchbell-test"
    )
    files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
    done = subprocess.run([require("openssl"), *words.split(" "), *files, *extension], capture_output=True)
    if done.returncode:
        raise RuntimeError(f"openssl failed: {done.stderr.decode()}")


@cache
def shared() -> RedisServer:
    """One for the whole test run, without password and TLS; it ends with the process."""
    server = RedisServer(databases="4")
    server.start()
    atexit.register(server.__exit__)
    return server


def secret() -> str:
    """A password that is nowhere else."""
    return f"pw-{secrets.token_hex(12)}"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), RedisServer() as server:
        print(server.url(), flush=True)  # noqa: T201 - that is what it is started for
        signal.pause()
