"""What the section of a PostgreSQL may hold: its address, who the bot is there, and which certificate it trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from bot.config_faults import Finding, each_text, mapping
from bot.config_values import Line, Variable
from bot.targets.config_model import Reached, unused

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


def _url(value: str) -> str:
    if address(value).password is not None:
        raise ValueError(
            "holds a password, which has no place in this file; write `password_env`, or `url_env`"
        )
    return value


class Postgres(Reached):
    """One server. Databases of the section `postgres` may name another database, or an address of their own."""

    url: Annotated[str, AfterValidator(_url)] | None = None
    url_env: Variable | None = None
    username: Line | None = None
    password_env: Variable | None = None
    tls: bool = True
    ca_file: Line | None = None
    at_once: int = Field(default=4, ge=1, le=20)

    @model_validator(mode="after")
    def _one_address(self) -> Postgres:
        if self.url is not None and self.url_env is not None:
            raise ValueError("say where it is once: `url` or `url_env`")
        if not self.tls and self.ca_file is not None:
            raise ValueError("`ca_file` is of no use without TLS; take it out, or `tls: false`")
        return self


def check(data: Any) -> Iterator[Finding]:
    """PostgreSQL targets that nothing uses, and databases without an address."""
    targets, own = mapping(data, "targets"), _own(data)
    for name in unused(data, "postgres", own):
        yield Finding(
            ("targets", name),
            f"nothing uses it; write under `postgres:` what is there, as in {name}: {{target: {name}}}",
        )
    for name, fields in mapping(data, "postgres").items():
        database = mapping(fields)
        target = str(database.get("target"))
        if target not in own:
            continue
        if not {"url", "url_env"} & set(mapping(targets, target)) and "url_env" not in database:
            yield Finding(("targets", target), f"say where it is: `url`, {ADDRESS_IS}, or `url_env`")
        if {"url_env", "database"} <= set(database):
            yield Finding(("postgres", name, "database"), "the address in `url_env` names the database")


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that should hold an address and does not."""
    own = _own(data)
    for pattern in ("targets.*.url_env", "postgres.*.url_env"):
        for path, name in each_text(data, pattern):
            fields = mapping(data, *map(str, path[:2]))
            real = fields.get("driver") == "postgres" or str(fields.get("target")) in own
            value = environ.get(name, "").strip()
            if not real or not value:
                continue
            try:
                address(value)
            except ValueError as error:
                yield Finding(path, f"the environment variable {name} holds something else; it {error}")


def _own(data: Any) -> set[str]:
    """The targets with this driver."""
    found = mapping(data, "targets").items()
    return {str(name) for name, fields in found if mapping(fields).get("driver") == "postgres"}
