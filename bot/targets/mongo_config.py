"""What the section of a MongoDB may hold: its address, who the bot is there, and which fields may be seen at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator

from bot.config_faults import Finding, mapping
from bot.config_values import Line
from bot.targets import database_config
from bot.targets.database_config import Sealed, databases, open_address

ADDRESS_IS = "an address such as mongodb://db.example.com:27017, without a database and options"
MOST_HOSTS = 50  # members that a replica set may have
_ADDRESS = re.compile(r"(mongodb(?:\+srv)?)://(?:([^@/?#]*)@)?([^@/?#]+)/?", re.ASCII)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a MongoDB is: each member as `host:port`, or the one name of an SRV record (`srv`)."""

    hosts: tuple[str, ...]
    srv: bool = False
    username: str | None = None
    password: str | None = None

    def __str__(self) -> str:
        return ",".join(self.hosts)

    @property
    def direct(self) -> bool:
        """Whether one server is meant, and not the replica set that it may belong to."""
        return len(self.hosts) == 1 and not self.srv

    @property
    def url(self) -> str:
        """The connection string without who the bot is."""
        return f"mongodb{'+srv' if self.srv else ''}://{self}"


def address(text: str) -> Address:
    """The parts of a connection string; ValueError, which does not repeat it, where it is none.

    https://www.mongodb.com/docs/manual/reference/connection-string-formats/
    """
    found = _ADDRESS.fullmatch(text)
    hosts = [_host(each, srv=found[1].endswith("srv")) for each in found[3].split(",")] if found else []
    one = found is not None and (not found[1].endswith("srv") or len(hosts) == 1)
    if found is None or not one or len(hosts) > MOST_HOSTS or "" in hosts:
        raise ValueError(f"should be {ADDRESS_IS}")
    user, colon, password = (found[2] or "").partition(":")
    return Address(
        hosts=tuple(hosts),
        srv=found[1].endswith("srv"),
        username=unquote(user) or None,
        password=unquote(password) if colon else None,
    )


def _host(text: str, *, srv: bool) -> str:
    """`host:port`; nothing where it is no host. A name of an SRV record has no port: the record says it."""
    found = _HOST.fullmatch(text)
    if found is None or (srv and found[2] is not None) or not 0 < int(found[2] or 27017) < 65_536:
        return ""
    return found[1] if srv else f"{found[1]}:{found[2] or 27017}"


class Mongo(Sealed):
    """One server, or a replica set by several of its members; the section `mongo` says which databases there are."""

    url: Annotated[str, AfterValidator(open_address(address))] | None = None
    auth_source: Line = "admin"


def check(data: Any) -> Iterator[Finding]:
    """MongoDB targets that nothing uses or without an address, databases without a name, fields that are none."""
    yield from database_config.check(data, "mongo", address_is=ADDRESS_IS, more=", database: shop")
    for name, database in databases(data, "mongo"):
        yield from _readable(name, mapping(database, "readable"))


def _readable(name: str, readable: Mapping[str, Any]) -> Iterator[Finding]:
    """Fields are paths such as `plan.name`; what begins with $ is no field."""
    for collection, listed in readable.items():
        for field in listed if isinstance(listed, list) else ():
            parts = str(field).split(".")
            if "" in parts or any(part.startswith("$") for part in parts) or "\0" in str(field):
                path = ("mongo", name, "readable", str(collection))
                yield Finding(path, "should list fields, as in [user, plan.name]")


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that should hold an address and does not."""
    return database_config.misplaced(data, environ, "mongo", address)
