"""What the section of a Redis may hold: its address, who the bot is there, and which certificate it trusts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, model_validator

from bot.config_faults import Finding, each_text, mapping
from bot.config_values import Line, Variable
from bot.targets.config_model import Reached, unused

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


def _url(value: str) -> str:
    if address(value).password is not None:
        raise ValueError(
            "holds a password, which has no place in this file; write `password_env`, or `url_env`"
        )
    return value


class Redis(Reached):
    """One server. Databases of the section `redis` may name another number, or an address of their own."""

    url: Annotated[str, AfterValidator(_url)] | None = None
    url_env: Variable | None = None
    username: Line | None = None
    password_env: Variable | None = None
    ca_file: Line | None = None
    replica: bool = False

    @model_validator(mode="after")
    def _one_address(self) -> Redis:
        if self.url is not None and self.url_env is not None:
            raise ValueError("say where it is once: `url` or `url_env`")
        return self


def check(data: Any) -> Iterator[Finding]:
    """Redis targets that nothing uses, and databases without an address."""
    targets = mapping(data, "targets")
    own = _own(data)
    for name in unused(data, "redis", own):
        yield Finding(
            ("targets", name),
            f"nothing uses it; write under `redis:` what is there, as in {name}: {{target: {name}}}",
        )
    for name, fields in mapping(data, "redis").items():
        database = mapping(fields)
        target = str(database.get("target"))
        if target not in own:
            continue
        section = mapping(targets, target)
        if not {"url", "url_env"} & set(section) and "url_env" not in database:
            yield Finding(("targets", target), f"say where it is: `url`, {ADDRESS_IS}, or `url_env`")
        if {"url_env", "db"} <= set(database):
            yield Finding(("redis", name, "db"), "the address in `url_env` says the number of the database")
    yield from _idle(data, own)


def _idle(data: Any, own: set[str]) -> Iterator[Finding]:
    """Authorities that nothing looks at: whoever wrote one counts on TLS."""
    elsewhere = {
        str(mapping(d).get("target")) for d in mapping(data, "redis").values() if "url_env" in mapping(d)
    }
    for name in sorted(own - elsewhere):
        section = mapping(data, "targets", name)
        if "ca_file" in section and str(section.get("url", "")).startswith("redis://"):
            yield Finding(
                ("targets", name, "ca_file"),
                "is of no use without TLS; write rediss:// in `url`, or take it out",
            )


def misplaced(data: Any, environ: Mapping[str, str]) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that should hold an address and does not."""
    own = _own(data)
    for pattern in ("targets.*.url_env", "redis.*.url_env"):
        for path, name in each_text(data, pattern):
            fields = mapping(data, *map(str, path[:2]))
            real = fields.get("driver") == "redis" or str(fields.get("target")) in own
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
    return {str(name) for name, fields in found if mapping(fields).get("driver") == "redis"}
