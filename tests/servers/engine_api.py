"""A container engine as an operator of the tests uses it, whichever it is: its API, and a compose project in it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

Json = dict[str, Any]
LABEL = "com.docker.compose."
PROJECT = "stack"
# A shell that writes and ends at once when it is told to.
SHELL = "trap 'exit 0' TERM; echo started; while :; do sleep 3600 & wait $!; done"


@dataclass(frozen=True)
class Wanted:
    """One service of a project: how many containers it has, and what they are like."""

    count: int = 1
    config: Json = field(default_factory=dict)
    host: Json = field(default_factory=dict)
    networks: Json = field(default_factory=dict)


class EngineApi:
    """An engine behind a unix socket."""

    network = "none"  # which one the containers of the tests have

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://engine/v1.41", timeout=30
        )

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The JSON of an answer, or None; AssertionError where it is none of success."""
        content = {"json": body} if body is not None else {}
        answer = self._client.request(method, path, params=query, **content)
        assert answer.status_code < 400, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    # -- a project --------------------------------------------------------------------------------

    def containers(self, project: str = PROJECT) -> list[Json]:
        """The inspections of a project's containers, by service and number."""
        filters = json.dumps({"label": [f"{LABEL}project={project}"]})
        rows = self.ask("GET", "/containers/json", all="1", filters=filters)
        found = [self.inspect(row["Id"]) for row in rows]
        return sorted(found, key=lambda each: (of(each), number(each)))

    def inspect(self, ident: str) -> Json:
        """One container."""
        found: Json = self.ask("GET", f"/containers/{ident}/json")
        return found

    def named(self, service: str, count: int = 1, project: str = PROJECT) -> Json:
        """The container of that number; LookupError where there is none."""
        for each in self.containers(project):
            if (of(each), number(each)) == (service, count):
                return each
        raise LookupError(f"there is no {service}-{count}")

    def running(self, service: str, project: str = PROJECT) -> list[int]:
        """The numbers of a service's containers that run."""
        found = self.containers(project)
        return [number(each) for each in found if of(each) == service and each["State"]["Running"]]

    def make(self, service: str, count: int, wanted: Wanted, project: str = PROJECT, **labels: str) -> str:
        """One more container with compose's labels, running; its id."""
        known = {"project": project, "service": service, "container-number": str(count), "oneoff": "False"}
        own = {f"{LABEL}{key}": value for key, value in (known | labels).items()}
        config = {
            "Image": "local/stack:1",
            "Cmd": ["/bin/sh", "-c", SHELL],
            "StopTimeout": 1,
            **wanted.config,
        }
        config["Labels"] = {**own, **config.get("Labels", {})}
        host = {"NetworkMode": self.network, **wanted.host}
        body = {**config, "HostConfig": host}
        if wanted.networks:
            body["NetworkingConfig"] = {"EndpointsConfig": wanted.networks}
        name = f"{project}-{service}-{count}"
        ident: str = self.ask("POST", "/containers/create", body, name=name)["Id"]
        self.ask("POST", f"/containers/{ident}/start")
        return ident

    def furnish(self, services: dict[str, Wanted], project: str = PROJECT) -> None:
        """What is there afterwards is as if it were new: what is as it should be stays."""
        wished = {(name, n) for name, wanted in services.items() for n in range(1, wanted.count + 1)}
        for each in self.containers(project):
            key = (of(each), number(each))
            wanted = services.get(key[0], Wanted())
            alike = each["HostConfig"]["Memory"] == wanted.host.get("Memory", 0)
            if key in wished and each["State"]["Running"] and alike:
                wished.discard(key)
            else:
                self.ask("DELETE", f"/containers/{each['Id']}", force="1")
        for name, n in sorted(wished):
            self.make(name, n, services[name], project)

    def again(self, service: str, count: int = 1) -> None:
        """Somebody restarts a container."""
        self.ask("POST", f"/containers/{self.named(service, count)['Id']}/restart", t="0")


def of(found: Json) -> str:
    """The service of a container."""
    return str(found["Config"]["Labels"][f"{LABEL}service"])


def number(found: Json) -> int:
    """Its number."""
    return int(found["Config"]["Labels"][f"{LABEL}container-number"])
