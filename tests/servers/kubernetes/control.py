"""The control API: POST /_control/NAME sets the cluster up, moves it on, and shows what is there."""

from __future__ import annotations

import base64
import json
from collections import deque
from datetime import timedelta
from typing import Any

from aiohttp import web

from tests.servers.kubernetes import controllers, defaults, rbac, validation
from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.cluster import Cluster
from tests.servers.kubernetes.controllers import Pulse
from tests.servers.kubernetes.faults import Faults
from tests.servers.kubernetes.logbook import Wanted
from tests.servers.kubernetes.patches import merge
from tests.servers.kubernetes.podexec import Outcome
from tests.servers.kubernetes.resources import Resource
from tests.servers.kubernetes.status import ApiError
from tests.servers.kubernetes.typed import Reader, TypeMismatchError

Json = dict[str, Any]


class NotPossibleError(Exception):
    """Control was asked for something that cannot be; the text says why."""


class Control:
    """Every public method is a name of the control API, its parameters the members of the body."""

    def __init__(self, cluster: Cluster, faults: Faults, pulse: Pulse, requests: deque[Json]) -> None:
        self._cluster, self._faults, self._pulse, self._requests = cluster, faults, pulse, requests

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one: 200 with what it returns, 400 with a sentence."""
        name = request.match_info["name"]
        method = None if name.startswith("_") or name == "handle" else getattr(self, name, None)
        if method is None:
            return web.Response(status=404, text=f"there is no {name}")
        try:
            return web.json_response(await method(**json.loads(await request.read() or b"{}")))
        except (NotPossibleError, TypeMismatchError, ApiError, ValueError, TypeError) as error:
            return web.Response(status=400, text=str(error))

    # -- the whole ------------------------------------------------------------------------------------

    async def reset(self, *, every: float = 0.0, **asked: Any) -> Json:
        """An empty cluster, see Cluster.reset; it steps by itself only with `every` so many seconds."""
        self._faults.set({})
        await self._pulse.stop()
        self._cluster.signals.ended += 1
        self._cluster.store.announce()
        self._cluster.reset(**asked)
        self._requests.clear()
        await self._pulse.set(every)
        return {}

    async def faults(self, **asked: Any) -> Json:
        """Faults from now on, see faults.py; returns how many of each kind there were before."""
        done = dict(self._faults.done)
        return {"now": self._faults.set(asked), "done": done}

    async def pulse(self, *, every: float) -> Json:
        """Step by itself every so many seconds; 0: no more."""
        await self._pulse.set(every)
        return {}

    async def step(self, *, count: int = 1) -> Json:
        """So many steps: each takes every pod one on, and lets the controllers react."""
        for _ in range(count):
            controllers.step(self._cluster)
        return {"resourceVersion": str(self._cluster.store.version)}

    async def settle(self) -> Json:
        """Step until nothing changes any more."""
        return {"steps": controllers.settle(self._cluster)}

    async def forward(self, *, seconds: float) -> Json:
        """Move the clock, and let the controllers see it."""
        self._cluster.offset += seconds
        controllers.react(self._cluster)
        return {"now": self._cluster.stamp()}

    async def autoscale(self, *, on: bool) -> Json:
        """Whether autoscalers keep what they own within their bounds."""
        self._cluster.autoscale = on
        return {}

    # -- objects --------------------------------------------------------------------------------------

    async def apply(self, *, documents: list[Json]) -> Json:
        """Create these, or merge them into what is there; whoever watches sees it. Namespaces are made."""
        return {"objects": [self._apply(document) for document in documents]}

    def _apply(self, document: Json) -> Json:
        resource = kinds.of_kind(document.get("apiVersion", ""), document.get("kind", ""))
        if resource is None:
            raise NotPossibleError(f"no kind {document.get('kind')} in {document.get('apiVersion')}")
        reader = Reader()
        document = reader.read(resource.model, document)
        if reader.unknown:
            raise NotPossibleError(f"{resource.kind} has no {', '.join(reader.unknown)}")
        meta = document["metadata"]
        if resource.namespaced:
            namespace = meta.setdefault("namespace", "default")
            if self._cluster.store.get(kinds.NAMESPACES, "", namespace) is None:
                self._cluster.create(kinds.NAMESPACES, {"metadata": {"name": namespace}})
        before = self._cluster.store.get(resource, meta.get("namespace", ""), meta["name"])
        if before is None:
            found = self._cluster.prepared(resource, document)
            validation.check(resource, found, None)
            return self._cluster.store.put(resource, found)
        found = merge(before, document)
        defaults.fill(resource.id, found)
        validation.check(resource, found, before)
        return self._cluster.save(resource, found)

    async def remove(self, *, resource: str, name: str, namespace: str = "default") -> Json:
        """Take an object out at once."""
        kind = self._kind(resource)
        place = namespace if kind.namespaced else ""
        if self._cluster.store.get(kind, place, name) is None:
            raise NotPossibleError(f"there is no {resource} {name}")
        return self._cluster.store.remove(kind, place, name)

    async def objects(self, *, resource: str, namespace: str = "") -> Json:
        """All objects of a resource as they are stored."""
        return {"items": self._cluster.store.all(self._kind(resource), namespace)}

    @staticmethod
    def _kind(plural: str) -> Resource:
        found = next((r for r in kinds.STORED if r.plural == plural), None)
        if found is None:
            raise NotPossibleError(f"there is no resource {plural}")
        return found

    # -- pods -----------------------------------------------------------------------------------------

    async def outcome(self, *, of: str, outcome: str = "") -> Json:
        """How containers of an image, or of the pod NAMESPACE/NAME, fare; empty: well. See kubelet.py."""
        if outcome not in ("", "unpullable", "creating", "never_ready", "crash", "oom"):
            raise NotPossibleError(f"there is no outcome {outcome}")
        self._cluster.outcomes[of] = outcome
        return {}

    async def log(
        self,
        *,
        pod: str,
        namespace: str = "default",
        container: str = "app",
        lines: list[str] | None = None,
        raw: list[str] | None = None,
        ago: float = 0.0,
        previous: bool = False,
    ) -> Json:
        """A container writes lines (`raw`: bytes in base64) now, or so many seconds ago."""
        found = self._cluster.store.get(kinds.PODS, namespace, pod)
        if found is None:
            raise NotPossibleError(f"there is no pod {pod}")
        at = self._cluster.now() - timedelta(seconds=ago)
        new = [(at, line) for line in _bytes(lines, raw)]
        self._cluster.logs.write(found["metadata"]["uid"], container, new, previous=previous)
        self._cluster.store.announce()
        return {"lines": len(new)}

    async def start_log(
        self,
        *,
        labels: dict[str, str],
        namespace: str = "default",
        container: str = "",
        lines: list[str] | None = None,
        raw: list[str] | None = None,
        previous: bool = False,
    ) -> Json:
        """Every container of pods with these labels, those to come too, writes this when it starts."""
        wanted = Wanted(namespace, labels, _bytes(lines, raw), container, previous)
        self._cluster.logs.wanted.append(wanted)
        return {}

    async def command(
        self,
        *,
        argv: list[str],
        stdout: str = "",
        stderr: str = "",
        raw: str = "",
        code: int = 0,
        ends: str = "",
    ) -> Json:
        """What a command does in every container; one of which nothing is said is not installed.

        `raw`: further output, bytes in base64. `ends`: "hangs", or "cut", which breaks the connection.
        """
        written = stdout.encode() + base64.b64decode(raw)
        how = {"hangs": ends == "hangs", "cut": ends == "cut"}
        self._cluster.commands[tuple(argv)] = Outcome(written, stderr.encode(), code, **how)
        return {}

    async def usage(self, *, of: str, cpu: int, memory: int) -> Json:
        """What the pod NAMESPACE/NAME, or pods labelled app=NAME, use: millicores and MiB."""
        self._cluster.usage[of] = (cpu, memory)
        return {}

    # -- who may do what ------------------------------------------------------------------------------

    async def token(
        self,
        *,
        token: str,
        user: str = "system:serviceaccount:watchbell:watchbell",
        roles: list[Json] | None = None,
        namespace: str | None = None,
        groups: list[str] | None = None,
    ) -> Json:
        """A token, for somebody who has exactly these roles (documents), in a namespace or everywhere."""
        grants = []
        for role in roles or ():
            name = (role.get("metadata") or {}).get("name", "watchbell")
            grants.append(rbac.Grant(name, rbac.role_rules(role), namespace))
        member = groups if groups is not None else ["system:serviceaccounts", "system:authenticated"]
        self._cluster.accounts[token] = rbac.Account(user, member, grants)
        return {"user": user}

    async def revoke(self, *, token: str) -> Json:
        """The token is nobody's from now on."""
        self._cluster.accounts.pop(token, None)
        return {}

    # -- watches and requests -------------------------------------------------------------------------

    async def compact(self) -> Json:
        """Forget the history: versions and continue tokens of before are too old (410)."""
        self._cluster.store.compact()
        return {"resourceVersion": str(self._cluster.store.version)}

    async def signal(self, *, to: str) -> Json:
        """All watches that run: "bookmark" gets one, "expire" ends with 410, "end" closes."""
        member = {"bookmark": "bookmarked", "expire": "expired", "end": "ended"}.get(to)
        if member is None:
            raise NotPossibleError(f"watches know no {to}")
        setattr(self._cluster.signals, member, getattr(self._cluster.signals, member) + 1)
        self._cluster.store.announce()
        return {}

    async def requests(self, *, clear: bool = False) -> Json:
        """The requests that came, oldest first; with `clear` they are forgotten after that."""
        found = list(self._requests)
        if clear:
            self._requests.clear()
        return {"requests": found}


def _bytes(lines: list[str] | None, raw: list[str] | None) -> list[bytes]:
    return [*(line.encode() for line in lines or ()), *(base64.b64decode(line) for line in raw or ())]
