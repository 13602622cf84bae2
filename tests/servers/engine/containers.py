"""The containers of the stand-in: how they are made, started, stopped, limited, inspected and measured."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
NEVER = "0001-01-01T00:00:00Z"
LEAST = 6 * 1024**2  # bytes
HOST = 8 * 1024**3  # bytes of memory that the host has


class ApiError(Exception):
    """An answer other than success; the body has its text as `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass
class Container:
    """One container."""

    id: str
    name: str
    config: Json
    host: Json
    networks: Json
    created: str
    image: str
    status: str = "created"
    started: str = NEVER
    finished: str = NEVER
    exit_code: int = 0
    oom: bool = False
    restarts: int = 0
    health: str = ""
    usage: int = 40 * 1024**2
    cpu: int = 0
    # What it writes: stream (1 stdout, 2 stderr), time, line without its end.
    lines: list[tuple[int, str, bytes]] = field(default_factory=list)

    @property
    def running(self) -> bool:
        return self.status in ("running", "restarting", "paused")

    def inspect(self) -> Json:
        """`GET /containers/{id}/json`."""
        state: Json = {
            "Status": self.status,
            "Running": self.running,
            "Paused": self.status == "paused",
            "Restarting": self.status == "restarting",
            "OOMKilled": self.oom,
            "Dead": self.status == "dead",
            "Pid": 4711 if self.running else 0,
            "ExitCode": self.exit_code,
            "Error": "",
            "StartedAt": self.started,
            "FinishedAt": self.finished,
        }
        if self.health:
            state["Health"] = {"Status": self.health, "FailingStreak": 0, "Log": []}
        mounts = [
            {"Type": "volume", "Name": each.split(":")[0], "RW": True}
            for each in self.host.get("Binds") or []
        ]
        return {
            "Id": self.id,
            "Created": self.created,
            "Path": "",
            "Args": [],
            "State": state,
            "Image": self.image,
            "Name": f"/{self.name}",
            "RestartCount": self.restarts,
            "HostConfig": self.host,
            "Config": self.config,
            "Mounts": mounts,
            "NetworkSettings": {"Networks": self.networks},
        }

    def summary(self) -> Json:
        """A row of `GET /containers/json`."""
        return {
            "Id": self.id,
            "Names": [f"/{self.name}"],
            "Image": self.config["Image"],
            "ImageID": self.image,
            "Created": int(datetime.fromisoformat(self.created).timestamp()),
            "Labels": self.config.get("Labels") or {},
            "State": self.status,
            "Status": self.status,
        }


class Engine:
    """Everything that there is; time goes on by a microsecond whenever somebody asks for it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Empty, with one image."""
        self.containers: dict[str, Container] = {}
        self.images: dict[str, str] = {"local/stack:1": f"sha256:{'1' * 64}"}
        self.networks = {"stack_default", "stack_back"}
        self.dies: set[str] = set()  # services whose containers end at once when they are started
        self.health_after = "healthy"  # what a container with a health check becomes when it is started
        self._ticks = 0

    def now(self) -> str:
        self._ticks += 1
        return (datetime.now(UTC) + timedelta(microseconds=self._ticks)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")

    def find(self, word: str) -> Container:
        """By id, by its beginning, or by name; 404."""
        for each in self.containers.values():
            if each.id.startswith(word) or each.name == word.lstrip("/"):
                return each
        raise ApiError(404, f"No such container: {word}")

    def listed(self, labels: list[str], *, every: bool) -> list[Json]:
        """Those that have all labels, the newest first."""
        found = [c for c in self.containers.values() if (every or c.running) and _labelled(c, labels)]
        return [each.summary() for each in reversed(found)]

    def create(self, name: str, body: Json) -> Json:
        """A new one, not started."""
        if any(each.name == name for each in self.containers.values()):
            raise ApiError(409, f'Conflict. The container name "/{name}" is already in use.')
        word = body.get("Image") or ""
        image = self.images.get(word) or (word if word in self.images.values() else "")
        if not image:
            raise ApiError(404, f"No such image: {word}")
        config = {key: value for key, value in body.items() if key not in ("HostConfig", "NetworkingConfig")}
        asked = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
        if len(asked) > 1:
            raise ApiError(400, "Container cannot be connected to network endpoints: only one before 1.44")
        ident = secrets.token_hex(32)
        config.setdefault("Hostname", ident[:12])
        host = {"Memory": 0, "MemorySwap": 0, **(body.get("HostConfig") or {})}
        _checked(host["Memory"], host["MemorySwap"])
        if host["Memory"] and not host["MemorySwap"]:
            host["MemorySwap"] = 2 * host["Memory"]
        made = Container(ident, name, config, host, {}, self.now(), image)
        self.containers[ident] = made
        for network, endpoint in asked.items():
            self.connect(network, ident, endpoint)
        return {"Id": ident, "Warnings": []}

    def connect(self, network: str, ident: str, endpoint: Json) -> None:
        if network not in self.networks:
            raise ApiError(404, f"network {network} not found")
        found = self.find(ident)
        aliases = [*(endpoint.get("Aliases") or []), found.id[:12]]
        found.networks[network] = {"IPAMConfig": None, "Links": None, **endpoint, "Aliases": aliases}

    def start(self, found: Container) -> int:
        """204, or 304 where it runs."""
        if found.running:
            return 304
        taken = _ports(found) & {p for c in self.containers.values() if c.running for p in _ports(c)}
        if taken:
            raise ApiError(
                500,
                f"driver failed programming external connectivity: port {taken.pop()} is already allocated",
            )
        found.started, found.status, found.exit_code = self.now(), "running", 0
        found.health = self.health_after if found.config.get("Healthcheck") else ""
        if service(found) in self.dies:
            found.status, found.exit_code, found.finished = "exited", 1, self.now()
        return 204

    def stop(self, found: Container) -> int:
        """204, or 304 where it does not run."""
        if not found.running:
            return 304
        found.status, found.finished, found.exit_code, found.health = "exited", self.now(), 143, ""
        return 204

    def remove(self, found: Container, *, force: bool) -> None:
        if found.running and not force:
            raise ApiError(
                409,
                f"You cannot remove a running container {found.id}. Stop the container before attempting removal or "
                "force remove",
            )
        del self.containers[found.id]

    def update(self, found: Container, body: Json) -> Json:
        """New limits; swap is not less than memory (moby: container/container_unix.go, UpdateContainer)."""
        memory, swap = int(body.get("Memory", 0)), int(body.get("MemorySwap", 0))
        if memory and not swap and memory > found.host["MemorySwap"]:
            raise ApiError(
                409,
                "Memory limit should be smaller than already set memoryswap limit, "
                "update the memoryswap at the same time",
            )
        _checked(memory or found.host["Memory"], swap or found.host["MemorySwap"])
        found.host = {**found.host, "Memory": memory or found.host["Memory"]}
        found.host["MemorySwap"] = swap or found.host["MemorySwap"]
        return {"Warnings": []}

    def stats(self, found: Container, *, once: bool) -> Json:
        """One sample; the second one of two where it is not to be one (10 % of one core of four)."""
        after = {
            "cpu_usage": {"total_usage": found.cpu + 25_000},
            "system_cpu_usage": 2_000_000,
            "online_cpus": 4,
        }
        before = {"cpu_usage": {"total_usage": found.cpu}, "system_cpu_usage": 1_000_000, "online_cpus": 4}
        empty = {"cpu_usage": {"total_usage": 0}}
        memory = {"usage": found.usage + 1024**2, "stats": {"inactive_file": 1024**2}}
        return {
            "name": f"/{found.name}",
            "id": found.id,
            "cpu_stats": after,
            "precpu_stats": empty if once else before,
            "memory_stats": {**memory, "limit": found.host["Memory"] or HOST} if found.running else {},
        }


def service(found: Container) -> str:
    """Compose's name of what it is a container of."""
    return str((found.config.get("Labels") or {}).get("com.docker.compose.service", ""))


def _labelled(found: Container, labels: list[str]) -> bool:
    own = found.config.get("Labels") or {}
    pairs = [each.partition("=") for each in labels]
    return all(name in own and (not mark or own[name] == value) for name, mark, value in pairs)


def _ports(found: Container) -> set[str]:
    bound = (found.host.get("PortBindings") or {}).values()
    ports = {str(each.get("HostPort") or "") for every in bound for each in every or []}
    return {port for port in ports if port and "-" not in port}


def _checked(memory: int, swap: int) -> None:
    if memory and memory < LEAST:
        raise ApiError(400, "Minimum memory limit allowed is 6MB")
    if memory and swap > 0 and swap < memory:
        raise ApiError(400, "Minimum memoryswap limit should be larger than memory limit, see usage")
