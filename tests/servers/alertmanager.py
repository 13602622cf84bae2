"""A real Alertmanager (Debian's prometheus-alertmanager) that notifies one webhook, quickly."""

from __future__ import annotations

import asyncio
import atexit
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from tests.servers import require

LONGEST = 30.0  # seconds until it listens, or answers
_ADDRESS = re.compile(r'msg="?Listening on"?.*address=(\S+)')


@asynccontextmanager
async def alertmanager(folder: Path, *, webhook: str, token: str) -> AsyncIterator[str]:
    """Start one on a free port; yields its address. Its groups are by alertname and service."""
    process = await asyncio.create_subprocess_exec(
        *_words(folder, webhook, token),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading = None
    try:
        async with asyncio.timeout(LONGEST):
            address = await _listening(process.stderr)
        reading = asyncio.create_task(process.stderr.read())  # so that a full pipe never stops it
        yield f"http://{address}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        if reading is not None:
            await reading


async def _listening(log: asyncio.StreamReader) -> str:
    said = []
    while line := (await log.readline()).decode():
        if found := _ADDRESS.search(line):
            return found[1]
        said.append(line)
    raise AssertionError(f"Alertmanager ended: {''.join(said)}")


def _words(folder: Path, webhook: str, token: str) -> list[str]:
    """The command line of a server that keeps its data and its configuration in a folder."""
    program = require("prometheus-alertmanager", "alertmanager")
    route = {
        "receiver": "watchbell",
        "group_by": ["alertname", "service"],
        "group_wait": "10ms",
        "group_interval": "200ms",
        "repeat_interval": "1h",
    }
    hook = {
        "url": webhook,
        "send_resolved": True,
        "http_config": {"authorization": {"type": "Bearer", "credentials": token}},
    }
    receiver = {"name": "watchbell", "webhook_configs": [hook]}
    config = folder / "alertmanager.yml"
    config.write_text(json.dumps({"route": route, "receivers": [receiver]}), encoding="utf-8")
    return [
        program,
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.external-url=http://alertmanager.example:9093",
        "--cluster.listen-address=",
    ]


class AlertmanagerServer:
    """One server that notifies nobody, with what its API can be asked for."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-alertmanager-"))
        words = _words(self.folder, "http://127.0.0.1:1/", "a token")
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=self._log)
        self.port = self._listens()
        self.url = f"http://127.0.0.1:{self.port}"

    def _listens(self) -> int:
        """The port that it has chosen, when it says so."""
        end = time.monotonic() + LONGEST
        while (found := _ADDRESS.search(told := (self.folder / "log").read_text())) is None:
            assert self._process.poll() is None, f"Alertmanager ended: {told}"
            assert time.monotonic() < end, told
            time.sleep(0.02)
        return int(found[1].rpartition(":")[2])

    def silences(self) -> list[dict[str, Any]]:
        """Every silence that it knows, those that have ended too."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/api/v2/silences", timeout=LONGEST).json()
        return found

    def silence(self, *matchers: dict[str, Any], by: str = "somebody") -> str:
        """Somebody silences something for two hours; the id."""
        now = datetime.now(UTC)
        body = {
            "matchers": list(matchers),
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=2)).isoformat(),
            "createdBy": by,
            "comment": "by hand",
        }
        made = httpx.post(f"{self.url}/api/v2/silences", json=body, timeout=LONGEST).raise_for_status()
        return str(made.json()["silenceID"])

    def end(self, ident: str) -> None:
        """Somebody ends a silence."""
        httpx.delete(f"{self.url}/api/v2/silence/{ident}", timeout=LONGEST).raise_for_status()

    def fires(self, *alerts: dict[str, str]) -> None:
        """These alerts fire, given by their labels."""
        since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
        body = [{"labels": labels, "startsAt": since} for labels in alerts]
        httpx.post(f"{self.url}/api/v2/alerts", json=body, timeout=LONGEST).raise_for_status()

    def stop(self) -> None:
        """End it, and remove its folder."""
        self._process.kill()
        self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def shared() -> AlertmanagerServer:
    """One for the whole test run; it ends with the process."""
    server = AlertmanagerServer()
    atexit.register(server.stop)
    return server
