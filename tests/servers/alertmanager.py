"""A real Alertmanager (Debian's prometheus-alertmanager) that notifies one webhook, quickly."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.servers import require

LONGEST = 30.0  # seconds until it listens


@asynccontextmanager
async def alertmanager(folder: Path, *, webhook: str, token: str) -> AsyncIterator[str]:
    """Start one on a free port; yields its address. Its groups are by alertname and service."""
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
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0",
        "--web.external-url=http://alertmanager.example:9093",
        "--cluster.listen-address=",
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
        if found := re.search(r'msg="?Listening on"?.*address=(\S+)', line):
            return found[1]
        said.append(line)
    raise AssertionError(f"Alertmanager ended: {''.join(said)}")
