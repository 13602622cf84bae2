"""What the section of a Redis may hold: its address, who the bot is there, and which certificate it trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator

from bot.config_faults import Finding, mapping
from bot.targets import database_config
from bot.targets.database_config import Database, databases, open_address, own

ADDRESS_IS = "an address such as redis://cache.example.com:6379/0, or rediss:// with TLS"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Redis is: the parts of its URL. `username` and `password` are None where the URL has none."""

    host: str
    port: int
    db: int
    tls: bool
    username: str | None = None
    password: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address(text: str) -> Address:
    """The parts of a URL; ValueError, which does not repeat it, where it is none.

    The form is that of the provisional IANA registration of the scheme "redis": the path is the number of the
    database, 6379 the port where none is given.
    """
    try:
        parts = urlsplit(text)
        port, path = parts.port or 6379, parts.path.strip("/")
        whole = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        plain = not (parts.query or parts.fragment) and text.isprintable() and " " not in text
        if not whole or not plain or (path and not (path.isascii() and path.isdigit() and len(path) < 6)):
            raise ValueError
    except ValueError:
        raise ValueError(f"should be {ADDRESS_IS}") from None
    return Address(
        host=parts.hostname or "",
        port=port,
        db=int(path or 0),
        tls=parts.scheme == "rediss",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


class Redis(Database):
    """One server. Databases of the section `redis` may name another number, or an address of their own."""

    url: Annotated[str, AfterValidator(open_address(address))] | None = None
    replica: bool = False


def check(data: Any) -> Iterator[Finding]:
    """Redis targets that nothing uses, databases without an address or with two numbers, authorities of no use."""
    yield from database_config.check(data, "redis", address_is=ADDRESS_IS)
    for name, database in databases(data, "redis"):
        if {"url_env", "db"} <= set(database):
            yield Finding(("redis", name, "db"), "the address in `url_env` says the number of the database")
    yield from _idle(data, own(data, "redis"))


def _idle(data: Any, mine: set[str]) -> Iterator[Finding]:
    """Authorities that nothing looks at: whoever wrote one counts on TLS."""
    elsewhere = {
        str(mapping(d).get("target")) for d in mapping(data, "redis").values() if "url_env" in mapping(d)
    }
    for name in sorted(mine - elsewhere):
        section = mapping(data, "targets", name)
        if "ca_file" in section and str(section.get("url", "")).startswith("redis://"):
            yield Finding(
                ("targets", name, "ca_file"),
                "is of no use without TLS; write rediss:// in `url`, or take it out",
            )


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that should hold an address and does not."""
    return database_config.misplaced(data, environ, "redis", address)
