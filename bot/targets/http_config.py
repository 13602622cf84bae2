"""What the sections of targets reached by HTTP may hold: an address, who the bot is there, and named calls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bot.config_faults import Finding, KeyPath, mapping, unknown
from bot.config_values import Line, Name, Text, Url, Variable, Word
from bot.targets.config_model import Reached

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)
_PATH = re.compile(r"/(?:[A-Za-z0-9._~/-]|\{[a-z][a-z0-9_]*\})*", re.ASCII)
_TYPES = ("string", "integer", "number", "boolean", "array")
# The formats of JSON schema that are held, without further libraries, and what they are.
FORMATS = {
    "date": "a date, as in 2026-11-21",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "uuid": "a UUID",
}


def _base(value: str) -> str:
    if any(mark in value for mark in "?#@"):
        raise ValueError("should be an address without user, question mark and fragment")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value) or "//" in value or "/../" in f"{value}/":
        raise ValueError(
            "should be a path such as /instances/scale, with arguments as in /providers/{provider}/health"
        )
    return value


BaseUrl = Annotated[Url, AfterValidator(_base)]
Path = Annotated[str, AfterValidator(_path)]
ArgumentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class Web(Reached):
    """A server that is asked by HTTP: with a token, or with a name and a password, or openly."""

    url: BaseUrl
    token_env: Variable | None = None
    username: Line | None = None
    password_env: Variable | None = None
    ca_file: Line | None = None

    @model_validator(mode="after")
    def _one_proof(self) -> Web:
        if self.token_env is not None and self.username is not None:
            raise ValueError("say once who the bot is there: `token_env`, or `username` with `password_env`")
        if self.ca_file is not None and self.url.startswith("http://"):
            raise ValueError("`ca_file` is of no use with http://; write https://, or take it out")
        return self


class Prometheus(Web):
    """A Prometheus, or what speaks its query API."""


class Alertmanager(Web):
    """An Alertmanager."""

    environment: Word = "production"


class Health(Reached):
    """Asks the addresses under `health` and `metrics` of the services."""

    ca_file: Line | None = None


class Strict(BaseModel):
    """Strict, frozen, nothing extra."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Before(Strict):
    """Where the value stands that a call changes: in the answer of another call, `at` its keys with points between.

    `becomes` names the argument that the value will be.
    """

    call: Name
    at: Line
    becomes: ArgumentName


class Call(Strict):
    """One call; `args` are JSON schemas of the arguments by name, `fixed` what is sent besides."""

    path: Path
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    about: Text = ""
    effect: Literal["read", "change", "danger"] | None = None
    args: dict[ArgumentName, dict[str, Any]] = {}
    optional: list[ArgumentName] = []
    fixed: dict[ArgumentName, Any] = {}
    before: Before | None = None
    undo: Name | None = None
    service: str | None = None
    environment: Word = "production"

    @model_validator(mode="after")
    def _fits(self) -> Call:
        if self.method == "GET" and self.effect not in (None, "read"):
            raise ValueError("a GET changes nothing; take `effect` out, or write another method")
        if self.method != "GET" and self.effect == "read":
            raise ValueError(f"only a GET is a read; a {self.method} is a change or a danger")
        for name in PLACEHOLDER.findall(self.path):
            if name not in self.args or name in self.optional:
                raise ValueError(f"`path` names {{{name}}}, which has to be one of `args` and not optional")
        for name in self.optional:
            if name not in self.args:
                raise ValueError(f"`optional` names {name}, which is none of `args`")
        if self.method == "GET" and (self.before or self.undo or self.fixed):
            raise ValueError("`before`, `undo` and `fixed` are for calls that change something")
        if self.before is not None and self.before.becomes not in self.args:
            raise ValueError(f"`before` becomes {self.before.becomes}, which is none of `args`")
        for name, schema in self.args.items():
            if "enum" not in schema and schema.get("type") not in _TYPES:
                raise ValueError(f"`args.{name}` needs an `enum`, or a `type`: {', '.join(_TYPES)}")
            for form in _formats(schema):
                if form not in FORMATS:
                    raise ValueError(
                        f"`args.{name}` has the format {form}, which is not checked here; "
                        f"take one of {', '.join(FORMATS)}, or write a `pattern`"
                    )
        return self


def _formats(schema: Any) -> Iterator[str]:
    """Every `format` in a schema, however deep."""
    if isinstance(schema, dict):
        if isinstance(schema.get("format"), str):
            yield schema["format"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _formats(part)


class Http(Web):
    """A server with calls that people may make by name."""

    calls: dict[Name, Call] = Field(min_length=1)


def check(data: Any) -> Iterator[Finding]:
    """Faults that show only across calls: names that lead nowhere, that stand twice, and ways back without one."""
    taken: dict[str, str] = {}
    services = mapping(data, "services")
    for target, fields in mapping(data, "targets").items():
        if mapping(fields).get("driver") != "http":
            continue
        calls = mapping(fields, "calls")
        for name, raw in calls.items():
            path: KeyPath = ("targets", target, "calls", name)
            if (first := taken.setdefault(str(name), str(target))) != target:
                yield Finding(path, f"{first} has a call of this name already; people type the name alone")
            yield from _call(path, mapping(raw), calls)
            service = mapping(raw).get("service")
            if isinstance(service, str) and service not in services:
                yield Finding((*path, "service"), unknown("service", service, services))


def _call(path: KeyPath, raw: Mapping[str, Any], calls: Mapping[str, Any]) -> Iterator[Finding]:
    read = mapping(raw, "before").get("call")
    if isinstance(read, str) and read not in calls:
        yield Finding((*path, "before", "call"), unknown("call", read, calls))
    elif isinstance(read, str) and mapping(calls, read).get("method", "GET") != "GET":
        yield Finding((*path, "before", "call"), "what was before is read by a GET")
    elif isinstance(read, str):
        yield from _lacks((*path, "before", "call"), mapping(calls, read), mapping(raw, "args"))
    back = raw.get("undo")
    if isinstance(back, str) and back not in calls:
        yield Finding((*path, "undo"), unknown("call", back, calls))
    elif isinstance(back, str) and mapping(calls, back).get("method", "GET") == "GET":
        yield Finding((*path, "undo"), "a GET takes nothing back")
    elif isinstance(back, str):
        yield from _lacks((*path, "undo"), mapping(calls, back), mapping(raw, "args"))
    known = mapping(raw, "args")
    for name in PLACEHOLDER.findall(str(mapping(raw, "before").get("at", ""))):
        if name not in known:
            yield Finding((*path, "before", "at"), unknown("argument", name, known))


def _lacks(path: KeyPath, other: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Finding]:
    """Arguments of the same name are handed on; what the other call needs besides nobody would give it."""
    optional = other.get("optional")
    for name in mapping(other, "args"):
        if name not in known and name not in (optional if isinstance(optional, list) else []):
            yield Finding(path, f"that call needs {name}, which is none of the `args` here")
