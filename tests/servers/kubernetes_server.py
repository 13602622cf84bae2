"""The Kubernetes stand-in as tests use it: a process on a free port, and its control over HTTP(S)."""

from __future__ import annotations

import asyncio
import atexit
import http.client
import json
import ssl
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml

from tests.servers.certificates import Authority
from tests.servers.kubernetes import scene

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds for one call
ADMIN = "admin-token"


class StandInError(Exception):
    """The stand-in refused what a test asked of it; the text says why."""


class KubernetesServer:
    """One cluster; what is in it outlives the bot, and `reset` begins anew.

    It speaks TLS, since kubectl sends a token over nothing else; `tls=False` makes it plain HTTP.
    """

    def __init__(self, *, tls: bool = True) -> None:
        self.url = ""
        self._tls = tls
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.authority_file: Path | None = None  # PEM, what a client has to trust
        self._context: ssl.SSLContext | None = None

    def start(self, *, port: int = 0, expired: bool = False) -> None:
        """Start the process (with an expired certificate if asked), and return when it answers."""
        command = [sys.executable, "-m", "tests.servers.kubernetes", "--port", str(port)]
        if self._tls:
            self._folder = tempfile.TemporaryDirectory(prefix="kubernetes-")
            files = Authority("cluster").write(
                Path(self._folder.name), "127.0.0.1", "localhost", expired=expired
            )
            self.authority_file, certificate, key = files
            command += ["--certificate", str(certificate), "--key", str(key)]
            self._context = ssl.create_default_context(cafile=str(self.authority_file))
            if expired:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE  # control works nevertheless
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if said[:1] != ["ready"]:
            raise StandInError(f"the stand-in said {said} and not that it is ready")
        self.url = said[1].rstrip("/")

    def stop(self) -> None:
        """End the process; a client is refused from now on."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    # -- control --------------------------------------------------------------------------------------

    def call(self, name: str, /, **asked: Any) -> Any:
        """Ask for something by its control name, see tests/servers/kubernetes/control.py."""
        status, said = self.request("POST", f"/_control/{name}", asked)
        if status != 200:
            raise StandInError(f"{name}: {said}")
        return json.loads(said)

    async def act(self, name: str, /, **asked: Any) -> Any:
        """The same without blocking the loop."""
        return await asyncio.to_thread(self.call, name, **asked)

    def request(
        self, method: str, path: str, body: Any = None, *, token: str = ADMIN, **headers: str
    ) -> tuple[int, str]:
        """One request as it stands, without a client library: its status and its text."""
        where = urlsplit(self.url)
        if self._context is None:
            connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
        else:
            connection = http.client.HTTPSConnection(
                where.hostname or "", where.port, timeout=PATIENCE, context=self._context
            )
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            connection.close()

    # -- what tests do often --------------------------------------------------------------------------

    def reset(self, **asked: Any) -> None:
        """A fresh cluster; `every` has it step by itself every so many seconds."""
        self.call("reset", **asked)

    def apply(self, *documents: dict[str, Any]) -> list[dict[str, Any]]:
        """Create these, or merge them into what is there; returns them as they are stored."""
        found: list[dict[str, Any]] = self.call("apply", documents=list(documents))["objects"]
        return found

    def deploy(self, name: str, namespace: str = "default", **more: Any) -> None:
        """A Deployment (see scene.deployment) whose pods are all ready when this returns."""
        self.apply(scene.deployment(name, namespace, **more))
        self.call("settle")

    def step(self, count: int = 1) -> None:
        """So many steps of pods and controllers."""
        self.call("step", count=count)

    def settle(self) -> None:
        """Step until nothing changes any more."""
        self.call("settle")

    def objects(self, resource: str, namespace: str = "") -> list[dict[str, Any]]:
        """All objects of a resource."""
        found: list[dict[str, Any]] = self.call("objects", resource=resource, namespace=namespace)["items"]
        return found

    def named(self, resource: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object; LookupError where there is none."""
        for found in self.objects(resource):
            meta = found["metadata"]
            if meta["name"] == name and meta.get("namespace", namespace) == namespace:
                return found
        raise LookupError(f"there is no {resource} {name} in {namespace}")

    def requests(self, *, clear: bool = False, verbs: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """The requests that came, those with some verbs if asked."""
        found: list[dict[str, Any]] = self.call("requests", clear=clear)["requests"]
        return [each for each in found if not verbs or each["verb"] in verbs]

    def kubeconfig(
        self,
        path: Path,
        *,
        token: str = ADMIN,
        namespace: str = "default",
        name: str = "tests",
        **cluster: Any,
    ) -> Path:
        """Write a kubeconfig with one context; `cluster` adds to or replaces what it says of the cluster."""
        place = {"server": self.url}
        if self.authority_file is not None:
            place["certificate-authority"] = str(self.authority_file)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {**place, **cluster}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()


@cache
def shared() -> KubernetesServer:
    """The one stand-in of this process, started at its first use and ended with the process."""
    server = KubernetesServer()
    server.start()
    atexit.register(server.stop)
    return server
