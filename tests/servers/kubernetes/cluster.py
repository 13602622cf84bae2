"""One cluster: its clock, its objects, who may use it, and how objects come and go in it."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.servers.kubernetes import defaults, scene
from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.logbook import Logs
from tests.servers.kubernetes.rbac import Account, admin
from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.store import Json, Signals, Store

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # of generated names (apimachinery's pkg/util/rand)
ADMIN_TOKEN = "admin-token"
FOREGROUND = "foregroundDeletion"


class Cluster:
    """What `reset` makes anew; the other modules work on it."""

    def __init__(self) -> None:
        self.signals = Signals()
        self.reset()

    def reset(self, *, seed: int = 1, clock_offset: float = 0.0, nodes: int = 2) -> None:
        """An empty cluster with its system namespaces and nodes, and one token that may do everything."""
        self.offset = clock_offset  # seconds that the clock is ahead of this machine's
        self.random = random.Random(seed)
        self.accounts: dict[str, Account] = {ADMIN_TOKEN: admin()}
        self.outcomes: dict[str, str] = {}  # by image, or by NAMESPACE/POD: see kubelet.py
        self.usage: dict[str, tuple[int, int]] = {}  # by NAMESPACE/POD or label app: millicores and MiB
        self.autoscale = True  # whether the autoscaler keeps replicas within its bounds
        self.commands: dict[tuple[str, ...], Any] = {}  # what commands in pods do: see podexec.py
        self.logs = Logs()
        self._events: dict[
            tuple[str, str, str], str
        ] = {}  # the name of the event of this uid, reason, message
        self.store = Store()
        for name in ("default", "kube-system"):
            self.create(kinds.NAMESPACES, {"metadata": {"name": name}})
        for number in range(nodes):
            self.create(kinds.NODES, scene.node(number, self.stamp()))

    # -- time and names -------------------------------------------------------------------------------

    def now(self) -> datetime:
        """The cluster's time, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    def stamp(self) -> str:
        """Now, as objects write it: to the second."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def suffix(self, length: int = 5) -> str:
        """The random end of a generated name."""
        return "".join(self.random.choices(ALPHABET, k=length))

    def uid(self) -> str:
        """A new unique id: no other cluster has it, whatever its seed."""
        return str(uuid.uuid4())

    # -- objects --------------------------------------------------------------------------------------

    def create(self, resource: Resource, document: Json) -> Json:
        """Store a new object, with what the server fills in."""
        found = self.prepared(resource, document)
        return self.store.put(resource, found)

    def prepared(self, resource: Resource, document: Json) -> Json:
        """A new object as it would be stored."""
        found = {"apiVersion": resource.api_version, "kind": resource.kind, **copy.deepcopy(document)}
        meta = found["metadata"]
        if "name" not in meta and "generateName" in meta:
            meta["name"] = meta["generateName"] + self.suffix()
        meta["uid"] = self.uid()
        meta["creationTimestamp"] = self.stamp()
        if resource.namespaced:
            meta.setdefault("namespace", "default")
        if resource.generation:
            meta["generation"] = 1
        defaults.fill(resource.id, found)
        return found

    def save(self, resource: Resource, found: Json) -> Json:
        """Store a changed object; a changed spec counts in its generation."""
        return self.store.put(resource, self.counted(resource, found))

    def counted(self, resource: Resource, found: Json) -> Json:
        """The object with the generation that it has once stored."""
        meta = found["metadata"]
        before = self.store.get(resource, meta.get("namespace", ""), meta["name"])
        if resource.generation and before is not None and before.get("spec") != found.get("spec"):
            meta["generation"] = before["metadata"].get("generation", 1) + 1
        return found

    def dependents(self, uid: str) -> Iterator[tuple[Resource, Json]]:
        """The objects that name an owner with this uid."""
        for resource in (kinds.REPLICA_SETS, kinds.PODS, kinds.REVISIONS, kinds.ENDPOINTS):
            for found in self.store.all(resource):
                if any(o["uid"] == uid for o in found["metadata"].get("ownerReferences") or ()):
                    yield resource, found

    # -- deletion -------------------------------------------------------------------------------------

    def delete(
        self, resource: Resource, found: Json, *, grace: int | None = None, propagation: str = "Background"
    ) -> Json | None:
        """Delete an object; returns it where it stays a while (grace, finalizers), None where it is gone."""
        meta = found["metadata"]
        if propagation == "Orphan":
            self._orphan(meta["uid"])
        if resource is kinds.PODS and self._graceful(found, grace):
            return self._mark(resource, found, grace)
        if propagation == "Foreground" and any(self.dependents(meta["uid"])):
            meta["finalizers"] = [*meta.get("finalizers", ()), FOREGROUND]
        if meta.get("finalizers"):
            return self._mark(resource, found, 0)
        if resource is kinds.NAMESPACES:
            self._empty(meta["name"])
        self.store.remove(resource, meta.get("namespace", ""), meta["name"])
        return None

    def _graceful(self, pod: Json, grace: int | None) -> bool:
        ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        return grace != 0 and bool(pod["spec"].get("nodeName")) and not ended

    def _mark(self, resource: Resource, found: Json, grace: int | None) -> Json:
        meta = found["metadata"]
        if "deletionTimestamp" in meta:
            return found
        seconds = grace if grace is not None else found["spec"].get("terminationGracePeriodSeconds", 30)
        until = self.now() + timedelta(seconds=seconds)
        meta["deletionTimestamp"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
        meta["deletionGracePeriodSeconds"] = seconds
        return self.save(resource, found)

    def _orphan(self, uid: str) -> None:
        for resource, found in self.dependents(uid):
            owners = found["metadata"]["ownerReferences"]
            found["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != uid]
            self.save(resource, found)

    def _empty(self, namespace: str) -> None:
        for resource in kinds.STORED:
            if resource.namespaced:
                for found in self.store.all(resource, namespace):
                    self.store.remove(resource, namespace, found["metadata"]["name"])

    # -- events -----------------------------------------------------------------------------

    def event(self, about: Json, kind: str, reason: str, message: str, component: str) -> None:
        """Record an event about an object; the same one again counts up."""
        meta, stamp = about["metadata"], self.stamp()
        namespace = meta.get("namespace", "default")
        known = (meta["uid"], reason, message)
        if found := self.store.get(kinds.EVENTS, namespace, self._events.get(known, "")):
            found["count"] += 1
            found["lastTimestamp"] = stamp
            self.store.put(kinds.EVENTS, found)
            return
        name = f"{meta['name']}.{self.random.getrandbits(64):016x}"
        self._events[known] = name
        document = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": _reference(about),
            "reason": reason,
            "message": message,
            "source": {"component": component},
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "type": kind,
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": "",
        }
        self.create(kinds.EVENTS, document)


def _reference(about: Json) -> Json:
    meta = about["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion")
    named = {key: meta[key] for key in kept if key in meta}
    return {"kind": about["kind"], "apiVersion": about["apiVersion"], **named}
