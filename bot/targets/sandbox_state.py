"""What the simulated world consists of, and how it begins. Times are in milliseconds UTC."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from commands.catalogue import Catalogue, Service

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
GIB = 1024**3
NODES = ("node-1", "node-2", "node-3")
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # those that Kubernetes makes names of


def digest(*parts: object) -> int:
    """A number that is the same for the same parts in every run."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def letters(number: int, count: int = 5) -> str:
    """A part of a pod's name."""
    found = ""
    for _ in range(count):
        number, place = divmod(number, len(_LETTERS))
        found += _LETTERS[place]
    return found


@dataclass(slots=True)
class Pod:
    """It exists from `born` until `gone_at`, and is ready from `ready_at` on where nothing ails it."""

    name: str
    generation: int
    born: int
    ready_at: int
    node: str
    gone_at: int | None = None
    restarts: int = 0


@dataclass(slots=True)
class Revision:
    number: int
    image: str
    at: int
    cause: str


@dataclass(slots=True)
class Report:
    """What Kubernetes calls an event."""

    at: int
    kind: str
    reason: str
    about: str
    message: str


@dataclass(slots=True)
class Deployment:
    """`pods` is what ails them: ok, crashloop or oomkilled; `trouble` what ails the way to them."""

    name: str
    uid: str
    image: str
    replicas: int
    revision: int
    created: int
    history: list[Revision]
    config: dict[str, str]
    env: dict[str, str]
    instances: list[Pod] = field(default_factory=list)
    generation: int = 1
    serial: int = 0
    pods: str = "ok"
    trouble: str = ""  # or down, slow [seconds], error, drop
    reports: list[Report] = field(default_factory=list)


@dataclass(slots=True)
class Client:
    ident: int
    address: str
    name: str
    since: int
    command: str


@dataclass(slots=True)
class Cache:
    """One Redis; `families` are keys by prefix, less those that `deleted` patterns match."""

    name: str
    run_id: str
    maxmemory: int
    policy: str
    created: int
    families: dict[str, int]
    clients: list[Client]
    deleted: list[str] = field(default_factory=list)
    memory: int = 71  # percent of 2 GiB used
    hits: int = 1_824_201
    misses: int = 98_442
    trouble: str = ""


@dataclass(slots=True)
class Accepted:
    """The mark that an accepted change leaves on what it changed: the proof after a crash."""

    verb: str
    subject: str
    at: int


@dataclass(slots=True)
class State:
    """All of it."""

    started: int
    deployments: dict[str, Deployment] = field(default_factory=dict)
    caches: dict[str, Cache] = field(default_factory=dict)
    pagers_down: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)  # key → how often it was accepted
    accepted: dict[str, Accepted] = field(default_factory=dict)


def dump(state: State) -> bytes:
    """The state as JSON."""
    return orjson.dumps(state, option=orjson.OPT_INDENT_2)


def load(data: bytes) -> State:
    """The state of `dump`'s result."""
    raw = orjson.loads(data)
    return State(
        **{
            **raw,
            "deployments": {name: _deployment(d) for name, d in raw["deployments"].items()},
            "caches": {
                name: Cache(**{**c, "clients": [Client(**each) for each in c["clients"]]})
                for name, c in raw["caches"].items()
            },
            "accepted": {key: Accepted(**a) for key, a in raw["accepted"].items()},
        }
    )


def _deployment(raw: Mapping[str, Any]) -> Deployment:
    lists = {"instances": Pod, "history": Revision, "reports": Report}
    return Deployment(**{**raw, **{key: [made(**each) for each in raw[key]] for key, made in lists.items()}})


def complete(state: State, catalogue: Catalogue, replicas: Mapping[str, int]) -> None:
    """Add what the catalogue names and the state does not have yet."""
    for service in catalogue.services.values():
        if service.runtime != "none" and service.name not in state.deployments:
            count = replicas.get(service.name, 3 if service.name in ("realtime", "chat-adapters") else 2)
            low, high = service.replicas
            state.deployments[service.name] = _new_deployment(
                service, min(max(count, low), high), state.started
            )
    for name in catalogue.redis or ("redis",):
        if name not in state.caches:
            state.caches[name] = _new_cache(name, state.started)


def _new_deployment(service: Service, replicas: int, now: int) -> Deployment:
    name = service.name
    minor = digest(name, "minor") % 9
    images = [f"registry.company.com/{name}:1.{minor}.{patch}" for patch in (0, 1, 2)]
    causes = ("weekly release", "dependency updates", "weekly release")
    history = [
        Revision(number, image, now - days * DAY, cause)
        for number, image, days, cause in zip((1, 2, 3), images, (30, 9, 2), causes, strict=True)
    ]
    deployment = Deployment(
        name=name,
        uid=f"{digest(name, 'uid'):016x}",
        image=images[-1],
        replicas=replicas,
        revision=3,
        created=now - 90 * DAY,
        history=history,
        config={"MAINTENANCE_MODE": "false", "LOG_LEVEL": "info"},
        env={key: toggle.normal for key, toggle in service.toggles.items()},
    )
    for _ in range(replicas):
        deployment.instances.append(new_pod(deployment, born=now - 2 * DAY, ready_at=now - 2 * DAY + 4000))
    return deployment


def new_pod(deployment: Deployment, *, born: int, ready_at: int) -> Pod:
    """The deployment's next pod, with a name of its own."""
    deployment.serial += 1
    template = letters(digest(deployment.uid, deployment.image, deployment.generation))
    own = letters(digest(deployment.uid, "pod", deployment.serial))
    node = NODES[digest(deployment.uid, "node", deployment.serial) % len(NODES)]
    return Pod(f"{deployment.name}-{template}-{own}", deployment.generation, born, ready_at, node)


def _new_cache(name: str, now: int) -> Cache:
    clients = [
        Client(3 + 7 * i, f"10.1.{2 + i}.{30 + i}:{41000 + 113 * i}", user, now - (i + 1) * HOUR, command)
        for i, (user, command) in enumerate(
            (("realtime", "subscribe"), ("realtime", "get"), ("chat-adapters", "set"), ("exporter", "info"))
        )
    ]
    families = {"session:": 1240, "rate-limit:user:": 86, "chat:history:": 342, "config:": 12}
    return Cache(
        name, f"{digest(name, 'run'):016x}", 2 * GIB, "allkeys-lru", now - 40 * DAY, families, clients
    )
