"""A real container engine: Podman's service on a socket and with storage of its own, and an image from scratch."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.servers import require
from tests.servers.engine_api import EngineApi

PATIENCE = 60.0  # seconds for one command
# No limit is raised above what a container inside of a container may have, no systemd is asked for anything.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
APPLETS = ("sh", "sleep", "echo", "cat", "true")


class Podman(EngineApi):
    """One engine; nothing of it touches another engine of the machine."""

    network = "none"
    limits = False  # Podman 4 has no /containers/{id}/update

    def __init__(self) -> None:
        self._program = require("podman")
        self._busybox = require("busybox")
        require("runc")
        self.folder = Path(tempfile.mkdtemp(prefix="watchbell-podman-"))
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "containers.conf").write_text(CONTAINERS)
        super().__init__(self.folder / "podman.sock")

    @property
    def environment(self) -> dict[str, str]:
        """For every program that uses it."""
        place = {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "DOCKER_HOST": f"unix://{self.socket}",
        }
        return {**os.environ, **place, "TMPDIR": str(self.folder), "COMPOSE_PROJECT_NAME": ""}

    def command(self, *words: str) -> list[str]:
        """A command line of Podman's."""
        places = {"root": "root", "runroot": "run", "tmpdir": "libpod"}
        options = [word for name, at in places.items() for word in (f"--{name}", str(self.folder / at))]
        return [self._program, *options, "--storage-driver", "vfs", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*words),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self) -> None:
        """Make the image, see whether containers run at all, and start the service; RuntimeError where they do not."""
        image = self.folder / "image.tar"
        with tarfile.open(image, "w") as tar:
            tar.add(self._busybox, "bin/busybox")
            for name in APPLETS:
                link = tarfile.TarInfo(f"bin/{name}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        for words in (
            ("import", str(image), "local/stack:1"),
            ("run", "--rm", "--network", "none", "local/stack:1", "/bin/true"),
        ):
            done = self.run(*words)
            if done.returncode:
                raise RuntimeError(f"podman {words[0]}: {' '.join(done.stderr.split())[-300:]}")
        service = self.command("system", "service", "--time", "0", f"unix://{self.socket}")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(service, env=self.environment, stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(
                    f"podman's service does not answer: {(self.folder / 'log').read_text()[-300:]}"
                )

    def compose(self, folder: Path, *words: str) -> str:
        """Run docker-compose on the file of a folder."""
        program = require("docker-compose")
        done = subprocess.run(
            [program, *words],
            cwd=folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert not done.returncode, done.stderr
        return done.stdout

    def stop(self) -> None:
        """End every container, the service, and all that they left."""
        self.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None
        self.run("rm", "--all", "--force", "--time", "0")
        end = time.monotonic() + PATIENCE
        while self._used() and time.monotonic() < end:  # each container's monitor tidies up after it
            time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _used(self) -> bool:
        """Whether a process is still about this folder, which would make it anew."""
        for found in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                if str(self.folder).encode() in found.read_bytes():
                    return True
        return False

    def _answers(self) -> bool:
        """Whether somebody listens; where not, a moment has passed."""
        assert self._process is not None
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            probe.connect(str(self.socket))
            return True
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.02)
        return False


@cache
def shared() -> Podman:
    """One for the whole test run; the test is skipped where the machine forbids containers."""
    if not _reason():
        made = Podman()
        atexit.register(made.stop)
        try:
            made.start()
            return made
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            _reason().append(f"podman is installed, but no container runs here: {error}")
    import pytest  # only here, as in tests/servers/__init__.py

    raise pytest.skip.Exception(_reason()[0], allow_module_level=True)


@cache
def _reason() -> list[str]:
    """Why it does not start, once it was tried."""
    return []
