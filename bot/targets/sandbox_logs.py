"""What the simulated pods write into their logs: the same lines for the same moment, whoever asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from bot.targets import sandbox_pods as pods
from bot.targets.sandbox_state import HOUR, Deployment, Pod, State, digest
from commands.catalogue import Service

_EVERY = 5_000  # milliseconds between the lines of a pod

# Passwords and tokens stand here on purpose: nobody may ever read them in chat.
_USUAL = (
    ("INFO", "GET /health 200 in {ms} ms"),
    ("INFO", "POST /v1/messages 200 in {ms} ms tenant=t-{n}"),
    ("INFO", "POST /v1/messages 201 in {ms} ms tenant=t-{n}"),
    ("INFO", "GET /v1/sessions/{n} 200 in {ms} ms"),
    ("DEBUG", "pool: connected to postgres://app:Tr0ub4dor-{n}@postgres.database:5432/app"),
    (
        "DEBUG",
        "upstream call with Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ7bn0ifQ.c2lnbmF0dXJl",
    ),
    ("WARN", "upstream timeout after 5000 ms, attempt 1 of 3"),
    ("INFO", "config reloaded, api_key=sk-live-4eC39HqLyjWDarjtT1zd{n}"),
)
_SOCKETS = (
    ("INFO", "active connections={conns} limit=1000"),
    ("INFO", "socket opened conn={n} tenant=t-{n}"),
    ("INFO", "socket closed conn={n} after {ms} s"),
    ("WARN", "backpressure: dropped {ms} frames for slow consumer conn={n}"),
    ("DEBUG", "redis: connected to redis://:hunter2-{n}@redis.cache:6379/0"),
)
_NO_REDIS = (
    "ERROR",
    "redis.exceptions.ConnectionError: Error 111 connecting to redis:6379. Connection refused.",
)
_FAILING = ("ERROR", "POST /v1/messages 500 in {ms} ms: unhandled exception, see trace {n}")
_LATE = ("WARN", "upstream timeout after 5000 ms, attempt 3 of 3; circuit breaker open")
_CRASH = (
    ("INFO", "starting {name}, revision {revision}"),
    ("INFO", "reading configuration from /etc/{name}/config.yaml"),
    ("ERROR", "Traceback (most recent call last):"),
    ("ERROR", '  File "/app/main.py", line 41, in <module>: settings = Settings.load()'),
    ("ERROR", "KeyError: 'UPSTREAM_URL'"),
    ("ERROR", "exit status 1"),
)


def lines(
    service: Service,
    deployment: Deployment,
    state: State,
    *,
    now: int,
    since: int,
    tail: int,
    grep: str | None = None,
    pod: str | None = None,
    previous: bool = False,
) -> list[str]:
    """The newest `tail` lines of the last `since` seconds, the oldest first; at most of one day."""
    there = [p for p in pods.present(deployment, now) if pod in (None, p.name)]
    wanted = grep.casefold() if grep else None
    found: list[str] = []
    start = max(now - since * 1000, now - 24 * HOUR)
    for line in _backwards(service, deployment, state, there, now, start, previous):
        if wanted is None or wanted in line.casefold():
            found.append(line)
            if len(found) == tail:
                break
    return found[::-1]


def _backwards(
    service: Service,
    deployment: Deployment,
    state: State,
    there: list[Pod],
    now: int,
    start: int,
    previous: bool,
) -> Iterator[str]:
    at = now - now % _EVERY
    while at > start:
        for pod in reversed(there):
            if pod.born > at and not previous:
                continue
            level, text = _line(service, deployment, state, pod, at, previous)
            number = digest(pod.name, at, "number")
            filled = (
                text.replace("{ms}", str(2 + number % 60))
                .replace("{n}", str(1000 + number % 9000))
                .replace("{conns}", str(180 + number % 60))
                .replace("{name}", deployment.name)
                .replace("{revision}", str(deployment.revision))
            )
            moment = datetime.fromtimestamp(at / 1000, UTC)
            yield f"{moment:%Y-%m-%dT%H:%M:%SZ} {pod.name} {level:5} {filled}"
        at -= _EVERY


def _line(
    service: Service, deployment: Deployment, state: State, pod: Pod, at: int, previous: bool
) -> tuple[str, str]:
    number = digest(pod.name, at)
    if deployment.pods == "crashloop" or (previous and pod.restarts):
        return _CRASH[(at // _EVERY) % len(_CRASH)]
    cache = state.caches.get(service.redis or "")
    if cache is not None and cache.trouble == "down" and number % 3 == 0:
        return _NO_REDIS
    if deployment.trouble == "error" and number % 3 == 0:
        return _FAILING
    if deployment.trouble.startswith("slow") and number % 3 == 0:
        return _LATE
    usual = (*_USUAL, *_SOCKETS, *_SOCKETS) if service.name == "realtime" else (*_USUAL, *_USUAL[:4])
    return usual[number % len(usual)]
