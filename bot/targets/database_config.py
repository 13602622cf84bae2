"""What the sections of Redis, PostgreSQL and MongoDB have in common: one address, said once and without a password."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

from pydantic import Field, model_validator

from bot.config_faults import Finding, each_text, mapping
from bot.config_values import Line, Variable
from bot.targets.config_model import Reached, unused


class Address(Protocol):
    """What an address may hold beside where the database is."""

    @property
    def password(self) -> str | None:
        """None where the address has none."""
        ...


Parse = Callable[[str], Address]  # ValueError, which does not repeat the text, where it is none


class Database(Reached):
    """One server; databases of the section that is called like the driver say what is there."""

    url: str | None = None
    url_env: Variable | None = None
    username: Line | None = None
    password_env: Variable | None = None
    ca_file: Line | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.url is not None and self.url_env is not None:
            raise ValueError("say where it is once: `url` or `url_env`")
        return self


class Sealed(Database):
    """Speaks TLS unless told otherwise; a Redis says that by the scheme of its address."""

    tls: bool = True
    at_once: int = Field(default=4, ge=1, le=20)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if not self.tls and self.ca_file is not None:
            raise ValueError("`ca_file` is of no use without TLS; take it out, or `tls: false`")
        return self


def open_address(address: Parse) -> Callable[[str], str]:
    """Takes an address of a file, where a password has no place."""

    def checked(value: str) -> str:
        if address(value).password is not None:
            raise ValueError(
                "holds a password, which has no place in this file; write `password_env`, or `url_env`"
            )
        return value

    return checked


def own(data: Any, driver: str) -> set[str]:
    """The targets with this driver."""
    found = mapping(data, "targets").items()
    return {str(name) for name, fields in found if mapping(fields).get("driver") == driver}


def databases(data: Any, driver: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What the section says is there, by its name; only what a target with this driver reaches."""
    mine = own(data, driver)
    for name, fields in mapping(data, driver).items():
        database = mapping(fields)
        if str(database.get("target")) in mine:
            yield str(name), database


def check(data: Any, driver: str, *, address_is: str, more: str = "") -> Iterator[Finding]:
    """Targets that nothing uses, with `more` of what an entry holds, and databases without an address."""
    for name in unused(data, driver, own(data, driver)):
        entry = f"{name}: {{target: {name}{more}}}"
        yield Finding(
            ("targets", name), f"nothing uses it; write under `{driver}:` what is there, as in {entry}"
        )
    for _, database in databases(data, driver):
        target = str(database["target"])
        if not {"url", "url_env"} & set(mapping(data, "targets", target)) and "url_env" not in database:
            yield Finding(("targets", target), f"say where it is: `url`, {address_is}, or `url_env`")


def misplaced(data: Any, environ: Mapping[str, str], driver: str, address: Parse) -> Iterator[Finding]:
    """A fault, which does not repeat it, for every variable that should hold an address and does not."""
    mine = own(data, driver)
    for pattern in ("targets.*.url_env", f"{driver}.*.url_env"):
        for path, name in each_text(data, pattern):
            fields = mapping(data, *map(str, path[:2]))
            real = fields.get("driver") == driver or str(fields.get("target")) in mine
            value = environ.get(name, "").strip()
            if not real or not value:
                continue
            try:
                address(value)
            except ValueError as error:
                yield Finding(path, f"the environment variable {name} holds something else; it {error}")
