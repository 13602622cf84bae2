"""The simulated world: one file that outlives every crash, moved by changes and by `sandbox …` lines."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bot.targets import sandbox_pods as pods
from bot.targets.sandbox_state import Accepted, Cache, Deployment, State, complete, dump, load
from commands.catalogue import Catalogue
from incidents.ports import Clock

_TROUBLES = ("down", "slow", "error", "drop")
_PODS = ("ok", "crashloop", "oomkilled")
_COUNT = re.compile(r"[0-9]{1,4}", re.ASCII)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*", re.ASCII)


class World:
    """The simulated services. Every mutation is in the file before the call returns.

    The file is replaced atomically, under a lock, and read again whenever another process has replaced it:
    a killed process loses nothing, and two processes see one world.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self.clock = clock
        self.catalogue = Catalogue()
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._state = State(started=self.now())
        self._refresh()

    def populate(self, catalogue: Catalogue, replicas: Mapping[str, int] | None = None) -> None:
        """Let there be what the catalogue names; what is there already stays as it is."""
        self.catalogue = catalogue
        wanted = {s.name for s in catalogue.services.values() if s.runtime != "none"}
        if wanted - set(self.state.deployments) or set(catalogue.redis or ("redis",)) - set(
            self.state.caches
        ):
            with self._held() as state:
                complete(state, catalogue, replicas or {})

    # -- looking ----------------------------------------------------------------------------------

    def now(self) -> int:
        """Milliseconds UTC."""
        return round(self.clock.now().timestamp() * 1000)

    @property
    def state(self) -> State:
        """Everything as it is now; to be looked at, not changed."""
        self._refresh()
        return self._state

    @property
    def changes(self) -> dict[str, int]:
        """How often the change of each key was accepted: once, or something is wrong."""
        return dict(self.state.changes)

    def deployment(self, service: str) -> Deployment:
        """The simulated deployment of a service; LookupError where there is none."""
        found = self.state.deployments.get(service)
        if found is None:
            raise LookupError(f"The sandbox runs no {service}.")
        return found

    def cache(self, name: str) -> Cache:
        """The simulated Redis of that name; LookupError where there is none."""
        found = self.state.caches.get(name)
        if found is None:
            raise LookupError(f"The sandbox has no Redis called {name}.")
        return found

    def replicas(self, service: str) -> int:
        """How many replicas of a service are wanted; LookupError where there is none."""
        known = self.catalogue.service(service)
        return self.deployment(known.name if known else service).replicas

    def pager_down(self, person: str) -> bool:
        """Whether none of this person's contact methods works."""
        return person in self.state.pagers_down

    def accepted(self, key: str) -> Accepted | None:
        """The mark that the change of `key` left, if it was accepted."""
        return self.state.accepted.get(key)

    # -- changing ---------------------------------------------------------------------------------

    @contextmanager
    def change(self, key: str, verb: str, subject: str) -> Iterator[State]:
        """Accept a change: what the block does to the state, its count and its mark are kept together."""
        with self._held() as state:
            yield state
            state.changes[key] = state.changes.get(key, 0) + 1
            state.accepted[key] = Accepted(verb, subject, self.now())

    def set(self, name: str, **knobs: Any) -> None:
        """Move a service or a Redis from outside; ValueError with a sentence where that makes no sense.

        Both take `down`, `error`, `drop` (True or False), `slow` (True, or seconds) and `up=True`. Services
        take `replicas`, `pods` (ok, crashloop, oomkilled), `image`, `recreated=True` and their variables by
        name; a Redis takes `memory` (percent used), `maxmemory` (bytes) and `policy`.
        """
        with self._held() as state:
            service = self.catalogue.service(name)
            cache = state.caches.get(name)
            deployment = state.deployments.get(service.name if service else name)
            if cache is None and deployment is None:
                known = ", ".join(sorted({*state.deployments, *state.caches}))
                raise ValueError(f"The sandbox has no {name}; there are {known}.")
            for knob, value in knobs.items():
                if cache is not None and not (
                    deployment is not None and knob in ("replicas", "pods", "image")
                ):
                    _move_cache(cache, knob, value)
                else:
                    assert deployment is not None
                    _move_deployment(deployment, knob, value, self.now())

    def set_pager(self, person: str, *, down: bool) -> None:
        """Make every contact method of a person fail, or work again."""
        with self._held() as state:
            others = [each for each in state.pagers_down if each != person]
            state.pagers_down = [*others, person] if down else others

    def sandbox_line(self, words: Sequence[str]) -> None:
        """Apply what follows `sandbox` in a rehearsal; ValueError with a sentence where it cannot be."""
        if len(words) < 2:
            raise ValueError("Say what changes, as in `sandbox realtime replicas=3` or `sandbox redis down`.")
        name, *rest = words
        if name == "pager":
            if len(rest) != 2 or rest[1] not in ("down", "up"):
                raise ValueError("Say whose pager, as in `sandbox pager bob down`.")
            self.set_pager(rest[0].removeprefix("@"), down=rest[1] == "down")
            return
        knobs: dict[str, Any] = {}
        for word in rest:
            knob, equals, value = word.partition("=")
            knobs[knob] = value if equals else True
        self.set(name, **knobs)

    # -- the file ---------------------------------------------------------------------------------

    @contextmanager
    def _held(self) -> Iterator[State]:
        """The state for one mutation: nobody else's comes between, a failed one leaves nothing behind."""
        if self._path is None:
            kept = dump(self._state)
            try:
                yield self._state
            except BaseException:
                self._state = load(kept)
                raise
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._refresh()
            try:
                yield self._state
                self._save(self._path)
            except BaseException:
                self._seen = None  # what is not in the file has not happened
                self._refresh()
                raise

    def _refresh(self) -> None:
        if self._path is None or (seen := _seen(self._path)) is None or seen == self._seen:
            return
        self._state = load(self._path.read_bytes())
        self._seen = seen

    def _save(self, path: Path) -> None:
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_bytes(dump(self._state))
        fresh.replace(path)
        self._seen = _seen(path)


def _seen(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino


def _trouble(current: str, knob: str, value: Any) -> str:
    if knob == "slow" and value is not True and _COUNT.fullmatch(str(value)):
        return f"slow {value}"
    on = value in (True, "on", "yes", "true")
    if not on and value not in (False, "off", "no", "false"):
        raise ValueError(f"{knob} is on or off, not {value}.")
    return knob if on else "" if current.partition(" ")[0] == knob else current


def _move_deployment(deployment: Deployment, knob: str, value: Any, now: int) -> None:
    if knob in _TROUBLES:
        deployment.trouble = _trouble(deployment.trouble, knob, value)
    elif knob == "up":
        deployment.trouble, deployment.pods = "", "ok"
    elif knob == "replicas":
        if not _COUNT.fullmatch(str(value)):
            raise ValueError(f"replicas is a whole number, not {value}.")
        if int(value) != deployment.replicas:
            pods.scale(deployment, int(value), now, at_once=True)
    elif knob == "pods":
        _ail(deployment, str(value), now)
    elif knob == "image" and value is not True:
        deployment.image = str(value)
    elif knob == "recreated":
        deployment.uid = f"{deployment.uid}-{deployment.serial}"
    elif knob in deployment.env or knob in deployment.config:
        values = deployment.env if knob in deployment.env else deployment.config
        values[knob] = str(value)
    elif _VARIABLE.fullmatch(knob):
        raise ValueError(f"{deployment.name} has no variable {knob}.")
    else:
        raise ValueError(
            f"A service has no {knob}; replicas, pods, image, up, {', '.join(_TROUBLES)} there are."
        )


def _ail(deployment: Deployment, what: str, now: int) -> None:
    if what not in _PODS:
        raise ValueError(f"pods are {', '.join(_PODS)}, not {what}.")
    deployment.pods = what
    there = pods.present(deployment, now)
    if what == "crashloop":
        pods.report(deployment, now, "BackOff", "Back-off restarting failed container", kind="Warning")
        for pod in there:
            pod.restarts += 5
    elif what == "oomkilled" and there:
        pods.report(
            deployment, now, "OOMKilling", f"Memory limit reached in {there[-1].name}", kind="Warning"
        )
        there[-1].restarts += 7


def _move_cache(cache: Cache, knob: str, value: Any) -> None:
    if knob in _TROUBLES:
        cache.trouble = _trouble(cache.trouble, knob, value)
    elif knob == "up":
        cache.trouble = ""
    elif knob in ("memory", "maxmemory"):
        if not re.fullmatch(r"[0-9]{1,15}", str(value), re.ASCII):
            raise ValueError(f"{knob} is a whole number, not {value}.")
        setattr(cache, knob, int(value))
    elif knob == "policy" and value is not True:
        cache.policy = str(value)
    else:
        raise ValueError(
            f"A Redis has no {knob}; memory, maxmemory, policy, up, {', '.join(_TROUBLES)} there are."
        )
