"""The Deployment controller: rolls templates out through ReplicaSets.

It follows k8s.io/kubernetes/pkg/controller/deployment: rolling.go, recreate.go, sync.go, progress.go.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from typing import Any

from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import ALPHABET, Cluster
from tests.servers.kubernetes.deployment_status import report
from tests.servers.kubernetes.replicasets import owned_by, owner, pods_of

Json = dict[str, Any]
HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
OWN = (REVISION, HISTORY, DESIRED, MAXIMUM, "kubectl.kubernetes.io/last-applied-configuration")


def reconcile(cluster: Cluster) -> None:
    """Take every Deployment's rollout as far as its pods allow now."""
    for found in cluster.store.all(kinds.DEPLOYMENTS):
        if "deletionTimestamp" not in found["metadata"]:
            _Rollout(cluster, found).run()


def template_hash(template: Json) -> str:
    """The pod-template-hash: equal for equal templates, ten characters of the alphabet of names."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])


def share(value: int | str, of: int, *, up: bool) -> int:
    """A count, or a percentage of the replicas."""
    if isinstance(value, int):
        return value
    exact = of * int(value.rstrip("%")) / 100
    return math.ceil(exact) if up else math.floor(exact)


def bounds(found: Json) -> tuple[int, int]:
    """How many pods a rollout may have too many, and too few."""
    replicas = found["spec"]["replicas"]
    strategy = found["spec"]["strategy"]
    if strategy["type"] == "Recreate" or replicas == 0:
        return 0, 0
    rolling = strategy["rollingUpdate"]
    surge = share(rolling["maxSurge"], replicas, up=True)
    missing = share(rolling["maxUnavailable"], replicas, up=False)
    return surge, 1 if surge == missing == 0 else missing


def revision(found: Json) -> int:
    """The revision that a ReplicaSet or Deployment is marked with; 0 for none."""
    return int((found["metadata"].get("annotations") or {}).get(REVISION, 0))


class _Rollout:
    """One Deployment, its ReplicaSets, and what to do with them now."""

    def __init__(self, cluster: Cluster, found: Json) -> None:
        self.cluster, self.found = cluster, found
        self.namespace = found["metadata"]["namespace"]
        self.surge, self.missing = bounds(found)
        sets = cluster.store.all(kinds.REPLICA_SETS, self.namespace)
        self.sets = [each for each in sets if owned_by(each, found["metadata"]["uid"])]

    @property
    def replicas(self) -> int:
        return int(self.found["spec"]["replicas"])

    def run(self) -> None:
        paused = bool(self.found["spec"].get("paused"))
        new, what = self._newest(make=not paused)
        old = [each for each in self.sets if new is None or each["metadata"]["uid"] != new["metadata"]["uid"]]
        if paused or self._scaling():
            self._proportional(new, old)
        elif new is not None and self.found["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(new, old)
        elif new is not None:
            self._roll(new, old)
        self._clean(old)
        self._again()
        report(self.cluster, self.found, new, self.sets, self.missing, what)

    def _again(self) -> None:
        """Read the ReplicaSets as they are now."""
        sets = self.cluster.store.all(kinds.REPLICA_SETS, self.namespace)
        self.sets = [each for each in sets if owned_by(each, self.found["metadata"]["uid"])]

    # -- the ReplicaSet of the template ----------------------------------------------------------------

    def _newest(self, *, make: bool) -> tuple[Json | None, str]:
        wanted = self.found["spec"]["template"]
        for each in self.sets:
            template = copy.deepcopy(each["spec"]["template"])
            template["metadata"].get("labels", {}).pop(HASH, None)
            if template == wanted:
                return (self._renumber(each) if make else each), "found"
        return (self._make(), "created") if make else (None, "")

    def _renumber(self, each: Json) -> Json:
        """Give the ReplicaSet in use the highest revision: that is what undo does."""
        highest = max(map(revision, self.sets))
        notes = each["metadata"].setdefault("annotations", {})
        if revision(each) < highest:
            past = [notes[HISTORY]] if HISTORY in notes else []
            notes[HISTORY] = ",".join([*past, notes[REVISION]])
            notes[REVISION] = str(highest + 1)
            each = self.cluster.save(kinds.REPLICA_SETS, each)
        self._mark(each["metadata"]["annotations"][REVISION])
        return each

    def _mark(self, number: str) -> None:
        notes = self.found["metadata"].setdefault("annotations", {})
        if notes.get(REVISION) != number:
            notes[REVISION] = number
            self.found = self.cluster.save(kinds.DEPLOYMENTS, self.found)

    def _notes(self) -> Json:
        notes = self.found["metadata"].get("annotations") or {}
        kept = {key: value for key, value in notes.items() if key not in OWN}
        return {**kept, DESIRED: str(self.replicas), MAXIMUM: str(self.replicas + self.surge)}

    def _make(self) -> Json:
        number = str(max(map(revision, self.sets), default=0) + 1)
        template = copy.deepcopy(self.found["spec"]["template"])
        mark = template_hash(template)
        labels = {**template["metadata"].get("labels", {}), HASH: mark}
        template["metadata"]["labels"] = labels
        selector = copy.deepcopy(self.found["spec"]["selector"])
        selector["matchLabels"] = {**selector.get("matchLabels", {}), HASH: mark}
        meta = {
            "name": f"{self.found['metadata']['name']}-{mark}",
            "namespace": self.namespace,
            "labels": labels,
            "annotations": {**self._notes(), REVISION: number},
            "ownerReferences": [owner(self.found)],
        }
        spec: Json = {"replicas": 0, "selector": selector, "template": template}
        if patience := self.found["spec"].get("minReadySeconds"):
            spec["minReadySeconds"] = patience
        made = self.cluster.create(kinds.REPLICA_SETS, {"metadata": meta, "spec": spec})
        self.sets.append(made)
        self._mark(number)
        return made

    # -- how many pods each of them has ----------------------------------------------------------------

    def _scaling(self) -> bool:
        """Whether only the number of replicas changed, by what the ReplicaSets are marked with."""
        marks = [
            each["metadata"]["annotations"].get(DESIRED) for each in self.sets if each["spec"]["replicas"] > 0
        ]
        return any(mark is not None and mark != str(self.replicas) for mark in marks)

    def _proportional(self, new: Json | None, old: list[Json]) -> None:
        """Scale what there is; the newest takes what rounding leaves."""
        every = [*([new] if new is not None else []), *old]
        running = [each for each in every if each["spec"]["replicas"] > 0]
        if len(running) <= 1:
            newest = max(running or every, key=revision, default=None)
            if newest is not None:
                self._set(newest, self.replicas)
            return
        total = sum(each["spec"]["replicas"] for each in running)
        wanted = self.replicas + self.surge if self.replicas else 0
        rest = wanted
        for each in running[1:]:
            part = round(each["spec"]["replicas"] * wanted / total)
            rest -= part
            self._set(each, part)
        self._set(running[0], max(0, rest))

    def _set(self, each: Json, count: int) -> None:
        """Give a ReplicaSet so many replicas, with the marks and the event of that."""
        was = each["spec"]["replicas"]
        each["metadata"].setdefault("annotations", {}).update(self._notes())
        each["spec"]["replicas"] = count
        saved = self.cluster.save(kinds.REPLICA_SETS, each)
        each.update(saved)
        if was != count:
            how = "up" if count > was else "down"
            message = f"Scaled {how} replica set {each['metadata']['name']} from {was} to {count}"
            self.cluster.event(self.found, "Normal", "ScalingReplicaSet", message, "deployment-controller")

    def _roll(self, new: Json, old: list[Json]) -> None:
        has = new["spec"]["replicas"]
        if has > self.replicas:
            self._set(new, self.replicas)
        elif has < self.replicas:
            total = has + sum(each["spec"]["replicas"] for each in old)
            room = self.replicas + self.surge - total
            if room > 0:
                self._set(new, has + min(room, self.replicas - has))
        self._shrink(new, [each for each in old if each["spec"]["replicas"] > 0])

    def _shrink(self, new: Json, old: list[Json]) -> None:
        """Scale the old ones down as far as enough pods stay available, the unhealthy ones first."""
        total = new["spec"]["replicas"] + sum(each["spec"]["replicas"] for each in old)
        unready = new["spec"]["replicas"] - self._available(new)
        budget = total - (self.replicas - self.missing) - unready
        if not old or budget <= 0:
            return
        for each in old:
            sick = each["spec"]["replicas"] - self._available(each)
            taken = min(budget, sick)
            if taken > 0:
                self._set(each, each["spec"]["replicas"] - taken)
                budget -= taken
        spare = sum(map(self._available, [new, *old])) - (self.replicas - self.missing)
        for each in old:
            taken = min(spare, each["spec"]["replicas"])
            if taken > 0:
                self._set(each, each["spec"]["replicas"] - taken)
                spare -= taken

    @staticmethod
    def _available(each: Json) -> int:
        return min(int(each.get("status", {}).get("availableReplicas", 0)), int(each["spec"]["replicas"]))

    def _recreate(self, new: Json, old: list[Json]) -> None:
        for each in old:
            if each["spec"]["replicas"] > 0:
                self._set(each, 0)
        uids = {each["metadata"]["uid"] for each in old}
        pods = self.cluster.store.all(kinds.PODS, self.namespace)
        if not any(owned_by(pod, uid) for pod in pods for uid in uids):
            self._set(new, self.replicas)

    def _clean(self, old: list[Json]) -> None:
        """Keep as many old ReplicaSets as the history may have."""
        idle = [e for e in old if e["spec"]["replicas"] == 0 and not pods_of(self.cluster, e)]
        idle.sort(key=revision)
        for each in idle[: max(0, len(idle) - self.found["spec"]["revisionHistoryLimit"])]:
            self.cluster.delete(kinds.REPLICA_SETS, each)
