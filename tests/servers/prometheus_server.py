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
    """One server; it has scraped when it is there. It scrapes itself, and other ports of this machine if asked."""

    def __init__(self, *others: int) -> None:
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
            "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in (self.port, *others)]}],
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

    def until(self, query: str) -> None:
        """Return when a query has a number; AssertionError where it never does."""
        end = time.monotonic() + LONGEST
        while not self._numbers(query):
            assert time.monotonic() < end, f"{query} never has a value"
            time.sleep(0.05)

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
            return "1" in self._numbers("up")
        except (httpx.HTTPError, ValueError):
            return False

    def _numbers(self, query: str) -> list[str]:
        """The values of a query, as text; those that are no number left out."""
        found = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=5).json()
        return [each["value"][1] for each in found["data"]["result"] if each["value"][1] != "NaN"]


@cache
def shared() -> PrometheusServer:
    """One for the whole test run; it ends with the process."""
    server = PrometheusServer()
    atexit.register(server.stop)
    return server
