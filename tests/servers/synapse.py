"""A real Matrix homeserver (Synapse, from `make synapse`) on a free loopback port, in a temporary folder.

`python -m tests.servers.synapse` starts one and prints its address.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import hashlib
import hmac
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from tests.servers import require
from tests.servers.synapse_config import NAME as NAME
from tests.servers.synapse_config import Limits, config

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-synapse" / "bin" / "python"  # made by `make synapse`
PATIENCE = 60.0  # seconds for the server to start or stop, and for one call
STEWARD = "steward"  # the server's administrator


class MatrixError(Exception):
    """The server refused; `code` is its errcode, `wait` how long it asks to wait (seconds), if it does."""

    def __init__(self, status: int, said: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {said.get('errcode')}: {said.get('error')}")
        self.status = status
        self.code = str(said.get("errcode", ""))
        self.wait = float(said["retry_after_ms"]) / 1000 if "retry_after_ms" in said else None


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody's account and one device of theirs."""

    user: str
    token: str
    device: str


class Synapse:
    """One server; its data outlive `stop`, and `start` goes on with them.

    A `quick` one is spared what nobody looks at, and asks its database without threads: figures are no use there.
    """

    def __init__(self, *, limits: Limits = "none", room_version: str = "12", quick: bool = False) -> None:
        self.room_version = room_version
        self._program = require(str(PROGRAM))
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-synapse-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=PATIENCE)
        self._secret = secrets.token_hex(16)
        self._steward: Account | None = None
        self._at: float | None = None  # where its clock stands, if it does
        self.generation = 0  # how many workspaces were made here (tests.servers.matrix_people)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._write(limits, room_version, quick=quick)

    def _write(self, limits: Limits, room_version: str, *, quick: bool) -> None:
        seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        (self.folder / "signing.key").write_text(f"ed25519 a_test {seed}\n", encoding="ascii")
        told = config(
            self.folder,
            self.url,
            self.port,
            secret=self._secret,
            limits=limits,
            room_version=room_version,
            quick=quick,
        )
        (self.folder / "homeserver.json").write_text(json.dumps(told), encoding="utf-8")

    # -- its life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and return when it answers; its clock runs."""
        self._at = None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-m", "synapse.app.homeserver", "-c", str(self.folder / "homeserver.json")],
                stdin=subprocess.PIPE,  # never written to: its end tells the server that nobody needs it any more
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        until = time.monotonic() + PATIENCE
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(
                    f"Synapse did not start: {(self.folder / 'log').read_text(encoding='utf-8')}"
                )
            time.sleep(0.02)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            return self._http.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, gently or at once; its data stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self._process.wait(PATIENCE)
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process = None

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop(kill=True)
        self._http.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def set_clock(self, at: float) -> None:
        """Stop the time of the server's events at `at` (seconds since the epoch)."""
        if at == self._at:
            return
        self._at = at
        self._request("POST", f"{self.url}/_watchbell/clock", None, {"json": {"at": at}})

    @property
    def position(self) -> int:
        """How far its events are: whoever has read up to here has nothing to read."""
        said = self._request("GET", f"{self.url}/_watchbell/now", None, {})
        return int(said.json()["position"])

    def run_clock(self, offset: float = 0.0) -> None:
        """Let the time of its events run, so many seconds ahead of this machine's."""
        self._at = None
        self._request("POST", f"{self.url}/_watchbell/clock", None, {"json": {"offset": offset}})

    # -- calls ----------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, account: Account | None = None, body: Any = None, **params: Any
    ) -> Any:
        """Call the client-server API (`/rooms/…` is `/_matrix/client/v3/rooms/…`); MatrixError where it refuses."""
        where = path if path.startswith("/_") else f"/_matrix/client/v3{path}"
        asked: dict[str, Any] = {"params": params}
        if body is not None or method in ("POST", "PUT"):
            asked["json"] = body or {}
        return self._request(method, self.url + where, account, asked).json()

    async def act(
        self, method: str, path: str, account: Account | None = None, body: Any = None, **params: Any
    ) -> Any:
        """The same without blocking the loop."""
        return await asyncio.to_thread(self.call, method, path, account, body, **params)

    def fetch(self, mxc: str, account: Account) -> bytes:
        """The bytes behind an mxc:// address."""
        where = f"{self.url}/_matrix/client/v1/media/download/{mxc.removeprefix('mxc://')}"
        return self._request("GET", where, account, {}).content

    def send_file(self, data: bytes, mime: str, account: Account) -> str:
        """Put bytes into the media store; the mxc:// address."""
        asked = {"content": data, "headers": {"Content-Type": mime}}
        said = self._request("POST", f"{self.url}/_matrix/media/v3/upload", account, asked)
        return str(said.json()["content_uri"])

    def _request(
        self, method: str, url: str, account: Account | None, asked: dict[str, Any]
    ) -> httpx.Response:
        headers = dict(asked.pop("headers", {}))
        if account is not None:
            headers["Authorization"] = f"Bearer {account.token}"
        answer = self._http.request(method, url, headers=headers, **asked)
        if answer.is_error:
            try:
                said = answer.json()
            except ValueError:
                said = {"error": answer.text[:500]}
            raise MatrixError(answer.status_code, said)
        return answer

    # -- accounts -------------------------------------------------------------------------------------

    @property
    def steward(self) -> Account:
        """The administrator's account, made at its first use."""
        if self._steward is None:
            self._steward = self.register(STEWARD, admin=True)
        return self._steward

    def register(self, name: str, display: str | None = None, *, admin: bool = False) -> Account:
        """A new account, whose password is its name."""
        nonce = self.call("GET", "/_synapse/admin/v1/register")["nonce"]
        words = (nonce, name, name, "admin" if admin else "notadmin")
        mac = hmac.new(self._secret.encode(), "\0".join(words).encode(), hashlib.sha1)
        body = {"nonce": nonce, "username": name, "password": name, "admin": admin, "mac": mac.hexdigest()}
        if display is not None:
            body["displayname"] = display
        return _account(self.call("POST", "/_synapse/admin/v1/register", None, body))

    def people(
        self, people: Sequence[tuple[str, str, Sequence[tuple[str, Any]]]], *, fresh: bool = False
    ) -> list[list[Account]]:
        """New accounts by one call: name, display name, and the devices with what they publish (None: no keys).

        Passwords are the names. `fresh`: no room that was made before has an address any more.
        """
        asked = [
            {"name": name, "display": display, "devices": [{"id": i, "keys": keys} for i, keys in devices]}
            for name, display, devices in people
        ]
        said = self.call("POST", "/_watchbell/people", None, {"people": asked, "fresh": fresh})["people"]
        return [
            [
                Account(made["user"], token, ident)
                for token, (ident, _) in zip(made["tokens"], devices, strict=True)
            ]
            for made, (_, _, devices) in zip(said, people, strict=True)
        ]

    def join(self, room: str, users: Sequence[str]) -> None:
        """Have them go into a room that is open to them, by one call."""
        self.call("POST", "/_watchbell/join", None, {"room": room, "users": users})

    def login(self, name: str) -> Account:
        """Another device of an account."""
        identifier = {"type": "m.id.user", "user": name}
        body = {"type": "m.login.password", "identifier": identifier, "password": name}
        return _account(self.call("POST", "/login", None, body))

    def deactivate(self, user: str) -> None:
        """Close an account, as an administrator does it; it has left its rooms then, which takes Synapse a moment."""
        self.call("POST", f"/_synapse/admin/v1/deactivate/{quote(user)}", self.steward, {"erase": False})
        until = time.monotonic() + PATIENCE
        where = f"/_synapse/admin/v1/users/{quote(user)}/joined_rooms"
        while self.call("GET", where, self.steward)["total"]:
            if time.monotonic() > until:
                raise RuntimeError(f"{user} does not leave its rooms")
            time.sleep(0.02)

    def unlimited(self, user: str) -> None:
        """Have no limit on the messages of one account."""
        path = f"/_synapse/admin/v1/users/{quote(user)}/override_ratelimit"
        self.call("POST", path, self.steward, {"messages_per_second": 0, "burst_count": 0})

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _account(said: Mapping[str, Any]) -> Account:
    return Account(said["user_id"], said["access_token"], said["device_id"])


@cache
def shared(room_version: str = "12") -> Synapse:
    """The one server of this process without limits, started at its first use and ended with the process."""
    server = Synapse(room_version=room_version, quick=True)
    atexit.register(server.close)
    server.start()
    return server


def running(limits: Limits = "none", room_version: str = "12") -> Iterator[Synapse]:
    """A server for as long as a fixture lives."""
    with Synapse(limits=limits, room_version=room_version) as server:
        yield server


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Synapse() as own:
        print(own.url, flush=True)  # noqa: T201 - that is what it is started for
        signal.pause()
