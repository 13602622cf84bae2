"""What the cluster holds: objects with resource versions, every change of them, and those who watch."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.servers.kubernetes.resources import EVENTS, Resource

Json = dict[str, Any]
Key = tuple[str, str, str]  # resource id, namespace, name


@dataclass(frozen=True)
class Change:
    """One change: what an object was before (None: new) and is after it."""

    version: int
    kind: str  # ADDED, MODIFIED or DELETED
    key: Key
    before: Json | None
    after: Json  # of a deletion the last state, with the version of the deletion


class Store:
    """Objects by resource, namespace and name.

    One counter of versions serves all, as etcd's revision does. What is handed out and taken in is copied.
    """

    def __init__(self) -> None:
        self.version = 1000
        self.moved = 1000  # the version of the last change that is no event's
        self.compacted = 1000  # versions up to this one are not known any more
        self.changes: list[Change] = []
        self._objects: dict[Key, Json] = {}
        self._news = asyncio.Event()

    def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """A copy of the object; None where there is none."""
        return copy.deepcopy(self._objects.get((resource.id, namespace, name)))

    def all(self, resource: Resource, namespace: str = "") -> list[Json]:
        """Copies of all objects of a resource (in a namespace), in the order of etcd's keys."""
        return [copy.deepcopy(found) for _, found in self._sorted(self._objects, resource, namespace)]

    def uids(self) -> set[str]:
        """The uids of all objects."""
        return {found["metadata"]["uid"] for found in self._objects.values()}

    def at(self, version: int, resource: Resource, namespace: str = "") -> list[Json]:
        """The same at an earlier version that is not compacted."""
        then: dict[Key, Json] = dict(self._objects)
        for change in reversed(self.changes):
            if change.version <= version:
                break
            if change.before is None:
                then.pop(change.key, None)
            else:
                then[change.key] = change.before
        return [copy.deepcopy(found) for _, found in self._sorted(then, resource, namespace)]

    @staticmethod
    def _sorted(objects: dict[Key, Json], resource: Resource, namespace: str) -> list[tuple[Key, Json]]:
        wanted = [(k, o) for k, o in objects.items() if k[0] == resource.id and namespace in ("", k[1])]
        return sorted(wanted, key=lambda pair: pair[0])

    def put(self, resource: Resource, found: Json) -> Json:
        """Store an object, new or changed, under a new version; one that is the same keeps its version."""
        meta = found["metadata"]
        key = (resource.id, meta.get("namespace", ""), meta["name"])
        before = self._objects.get(key)
        if before is not None and _same(before, found):
            return copy.deepcopy(before)
        kept = copy.deepcopy(found)
        self.version += 1
        kept["metadata"]["resourceVersion"] = str(self.version)
        self._objects[key] = kept
        self._record("ADDED" if before is None else "MODIFIED", key, before, kept)
        return copy.deepcopy(kept)

    def remove(self, resource: Resource, namespace: str, name: str) -> Json:
        """Take an object out; returns its last state."""
        key = (resource.id, namespace, name)
        before = self._objects.pop(key)
        self.version += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.version)
        self._record("DELETED", key, before, last)
        return copy.deepcopy(last)

    def _record(self, kind: str, key: Key, before: Json | None, after: Json) -> None:
        self.changes.append(Change(self.version, kind, key, before, after))
        if key[0] != EVENTS.id:
            self.moved = self.version
        self.announce()

    def announce(self) -> None:
        """Wake everybody who waits for news."""
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Return at the next change of anything."""
        await self._news.wait()

    def since(self, version: int) -> Iterator[Change]:
        """The changes after a version, oldest first."""
        low, high = 0, len(self.changes)
        while low < high:
            middle = (low + high) // 2
            if self.changes[middle].version <= version:
                low = middle + 1
            else:
                high = middle
        yield from self.changes[low:]

    def compact(self) -> None:
        """Forget what came before now, as etcd does after five minutes."""
        self.compacted = self.version
        self.changes.clear()


def _same(one: Json, other: Json) -> bool:
    return _bare(one) == _bare(other)


def _bare(found: Json) -> Json:
    left_out = ("resourceVersion", "managedFields")
    return {**found, "metadata": {k: v for k, v in found["metadata"].items() if k not in left_out}}


class Signals:
    """What control tells all watches that run."""

    def __init__(self) -> None:
        self.bookmarked = self.expired = self.ended = 0

    def counts(self) -> tuple[int, int, int]:
        """How often each was told."""
        return self.bookmarked, self.expired, self.ended
