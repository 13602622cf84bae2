"""What the section of a docker compose stack may hold: the way to its engine, and the name of its project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from bot.config_faults import Finding, KeyPath, mapping
from bot.config_values import Line
from bot.targets.config_model import Reached

SOCKET = "/var/run/docker.sock"
# docs.docker.com/compose/how-tos/project-name
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_ADDRESS = re.compile(
    r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/?|https://\[[0-9a-f:]+\](?::[0-9]{1,5})?/?", re.ASCII
)


def _project(value: str) -> str:
    if not _PROJECT.fullmatch(value):
        raise ValueError("should be the project's name as compose has it: small letters, digits, - and _")
    return value


def _socket(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError(f"should be the path of a socket, such as {SOCKET}")
    return value


def _url(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(
            "should be an address such as https://docker.example.com:2376; without TLS anybody there would be root"
        )
    return value.rstrip("/")


class Compose(Reached):
    """One project of one engine. Services name it as their `cluster`."""

    project: Annotated[Line, AfterValidator(_project)]
    socket: Annotated[Line, AfterValidator(_socket)] | None = None
    url: Annotated[Line, AfterValidator(_url)] | None = None
    ca_file: Line | None = None
    certificate: Line | None = None
    key: Line | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Compose:
        if self.socket is not None and self.url is not None:
            raise ValueError("say how the engine is reached, in one way: `socket` or `url`")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("`certificate` and `key` go together: they say who the bot is")
        if self.url is None and (self.certificate or self.ca_file):
            raise ValueError("`ca_file`, `certificate` and `key` go with `url`; a socket takes none")
        return self


def check(data: Any) -> Iterator[Finding]:
    """Services that name a target of the other kind."""
    drivers = {name: mapping(fields).get("driver") for name, fields in mapping(data, "targets").items()}
    wrong = {"compose": "kubernetes", "kubernetes": "compose"}
    for name, fields in mapping(data, "services").items():
        runtime = mapping(fields).get("runtime", "kubernetes")
        cluster = mapping(fields).get("cluster", "sandbox")
        if (
            isinstance(runtime, str)
            and isinstance(cluster, str)
            and drivers.get(cluster) == wrong.get(runtime)
        ):
            path: KeyPath = ("services", name, "cluster" if "cluster" in mapping(fields) else "runtime")
            if runtime in wrong:
                yield Finding(
                    path,
                    f"a service with `runtime: {runtime}` does not run in a target of the driver {drivers[cluster]}",
                )
