"""What the section of a PostgreSQL may hold: its address, who the bot is there, and which certificate it trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator

from bot.config_faults import Finding
from bot.targets import database_config
from bot.targets.database_config import Sealed, databases, open_address

ADDRESS_IS = "an address such as postgresql://watchbell@db.example.com:5432/shop"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is: the parts of its URL. What the URL leaves out is None."""

    host: str
    port: int
    database: str | None = None
    username: str | None = None
    password: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def address(text: str) -> Address:
    """The parts of a connection URI of libpq for one host, without options; ValueError, which does not repeat it.

    https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
    """
    try:
        parts = urlsplit(text)
        port, path = parts.port or 5432, unquote(parts.path.removeprefix("/"))
        whole = parts.scheme in ("postgresql", "postgres") and bool(parts.hostname) and parts.port != 0
        plain = not (parts.query or parts.fragment) and text.isprintable() and " " not in text
        if not whole or not plain or "/" in path or "," in parts.netloc or not path.isprintable():
            raise ValueError
    except ValueError:
        raise ValueError(f"should be {ADDRESS_IS}, without options") from None
    return Address(
        host=parts.hostname or "",
        port=port,
        database=path or None,
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


class Postgres(Sealed):
    """One server. Databases of the section `postgres` may name another database, or an address of their own."""

    url: Annotated[str, AfterValidator(open_address(address))] | None = None


def check(data: Any) -> Iterator[Finding]:
    """PostgreSQL targets that nothing uses, and databases without an address, or with two names."""
    yield from database_config.check(data, "postgres", address_is=ADDRESS_IS)
    for name, database in databases(data, "postgres"):
        if {"url_env", "database"} <= set(database):
            yield Finding(("postgres", name, "database"), "the address in `url_env` names the database")


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that should hold an address and does not."""
    return database_config.misplaced(data, environ, "postgres", address)
