"""The stand-in of a container engine as tests use it: a process on a socket of its own, and its control."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Self

import httpx

from tests.servers.certificates import Authority
from tests.servers.engine_api import EngineApi

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for the process to end


class EngineServer(EngineApi):
    """One engine, strict about paths and parameters; `tls` lets it be reached at `url`, too."""

    network = "stack_default"
    limits = True  # whether it changes the limits of containers that run

    def __init__(self, *, tls: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-engine-"))
        self._tls = tls
        self.authority = Authority("engine")
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        super().__init__(self.folder / "engine.sock")
        self._control = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.socket)), base_url="http://engine", timeout=30
        )

    def start(self) -> None:
        """Start the process, and return when it answers."""
        command = [sys.executable, "-m", "tests.servers.engine", "--socket", str(self.socket)]
        if self._tls:
            authority, certificate, key = self.authority.write(self.folder, "127.0.0.1")
            for option, path in (("authority", authority), ("certificate", certificate), ("key", key)):
                command += [f"--{option}", str(path)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if said[:1] != ["ready"]:
            raise RuntimeError(f"the stand-in said {said} and not that it is ready")
        self.url = said[1]

    def stop(self) -> None:
        """End the process."""
        self.close()
        self._control.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, name: str, /, **asked: Any) -> Any:
        """Ask for something by its control name, see tests/servers/engine/server.py."""
        answer = self._control.post(f"/_control/{name}", json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def log(self, container: str, *lines: bytes, stream: int = 1, at: str = "2026-11-21T12:00:00.5Z") -> None:
        """A container writes these lines."""
        self.call("log", container=container, lines=[[stream, at, line.hex()] for line in lines])

    def fail(self, path: str, status: int, message: str, **more: Any) -> None:
        """The next request whose method and path match fails."""
        self.call("fail", path=path, status=status, message=message, **more)

    def sent(self, *methods: str) -> list[str]:
        """Method and path of the requests that came, those with some methods if asked."""
        found = self.call("requests")
        return [f"{r['method']} {r['path']}" for r in found if not methods or r["method"] in methods]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


@cache
def shared() -> EngineServer:
    """The one stand-in of this process, started at its first use and ended with the process."""
    server = EngineServer()
    server.start()
    atexit.register(server.stop)
    return server
