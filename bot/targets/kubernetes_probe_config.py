"""What may be looked at inside pods: ports, pages and files, each by name; nothing where nothing is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bot.config_faults import Finding, mapping, unknown
from bot.config_values import Name
from bot.targets.config_model import Patience

_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?"  # RFC 1123, in small letters
_PORT = r"[1-9][0-9]{0,4}"
_PLACE = re.compile(rf"{_HOST}:({_PORT})", re.ASCII)
_PAGE = re.compile(rf"({_PORT})/[A-Za-z0-9._~/-]{{0,200}}", re.ASCII)
_FILE = re.compile(r"(?:/[A-Za-z0-9._-]+)+", re.ASCII)
# Where secrets are mounted, and where processes show their environment.
_NEVER = re.compile(r"/(?:(?:var/)?run/secrets|proc|sys|dev|etc/g?shadow-?)(?:/|$)")


def _port(found: re.Match[str] | None) -> bool:
    return found is not None and int(found[1]) <= 65_535


def _place(value: str) -> str:
    if not _port(_PLACE.fullmatch(value)):
        raise ValueError("should be a host in small letters and a port, as in redis:6379")
    return value


def _winding(path: str) -> bool:
    """Whether it leads elsewhere than it says, or can be said more shortly: then no list of places fits it."""
    return "//" in path or ".." in path or "." in path.split("/")


def _page(value: str) -> str:
    if not _port(_PAGE.fullmatch(value)) or _winding(value):
        raise ValueError("should be a port and a path without . and .., as in 8080/metrics")
    return value


def _file(value: str) -> str:
    if not _FILE.fullmatch(value) or _winding(value) or len(value) > 200:
        raise ValueError("should be the whole path of one file without . and .., as in /app/rules.json")
    if _NEVER.match(value):
        raise ValueError("is where secrets are; it is never shown")
    return value


class Probe(BaseModel):
    """The allow-list; `services` narrows down whose pods, `timeout` is what one command may take (seconds)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    services: list[str] = Field(default=[])
    connect: list[Annotated[str, AfterValidator(_place)]] = Field(default=[])
    http: list[Annotated[str, AfterValidator(_page)]] = Field(default=[])
    files: dict[Name, Annotated[str, AfterValidator(_file)]] = Field(default={})
    timeout: Patience = 10


def check(data: Any) -> Iterator[Finding]:
    """Services that there are not, and pods of services that no selector finds."""
    services = mapping(data, "services")
    for target, fields in mapping(data, "targets").items():
        if mapping(fields).get("driver") != "kubernetes":
            continue
        named = mapping(fields, "probe").get("services")
        for number, name in enumerate(named if isinstance(named, list) else []):
            if isinstance(name, str) and name not in services:
                path = ("targets", target, "probe", "services", number)
                yield Finding(path, unknown("service", name, services))
