"""A real Prometheus (Debian's prometheus) on a free loopback port, in a temporary folder, that scrapes itself often."""

from __future__ import annotations

import atexit
import json
import shutil
import socket
import subprocess
import tempfile
import time
from functools import cache
from pathlib import Path

import httpx

from tests.servers import require

LONGEST = 60.0  # seconds until it has figures


class PrometheusServer:
    """One server; it has scraped when it is there."""

    def __init__(self) -> None:
        program = require("prometheus")
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-prometheus-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        job = {
            "job_name": "services",
            "scrape_interval": "250ms",
            "scrape_timeout": "250ms",
            "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}],
        }
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps({"scrape_configs": [job]}), encoding="utf-8")
        words = [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=log)
        self._await()

    def stop(self) -> None:
        """End it, and remove its folder."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _await(self) -> None:
        end = time.monotonic() + LONGEST
        while not self._scraped():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Prometheus does not answer: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _scraped(self) -> bool:
        """Whether a scrape went well."""
        try:
            found = httpx.get(f"{self.url}/api/v1/query", params={"query": "up"}, timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return False
        return any(each["value"][1] == "1" for each in found["data"]["result"])


@cache
def shared() -> PrometheusServer:
    """One for the whole test run; it ends with the process."""
    server = PrometheusServer()
    atexit.register(server.stop)
    return server
