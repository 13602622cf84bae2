"""One request to the API as its handlers see it: what it is about, its options, its body, its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.servers.kubernetes import protobuf
from tests.servers.kubernetes.cluster import Cluster
from tests.servers.kubernetes.rbac import Account
from tests.servers.kubernetes.resources import REVIEWS, Resource
from tests.servers.kubernetes.status import bad_request, invalid, unsupported_media_type
from tests.servers.kubernetes.typed import Reader, TypeMismatchError

Json = dict[str, Any]
BODIES = ["application/json", "application/yaml"]


@dataclass
class Answer:
    """What a request gets."""

    body: Json
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """A request for a resource, once it is known who asks and that it may be."""

    cluster: Cluster
    account: Account
    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    content: bytes = b""
    content_type: str = ""
    agent: str = ""
    warnings: list[str] = field(default_factory=list)

    def flag(self, name: str) -> bool:
        """A parameter that is true or false."""
        return self.query.get(name, "") in ("true", "1", "True")

    def number(self, name: str) -> int | None:
        """A parameter that is a number; raises ApiError (400) for something else."""
        text = self.query.get(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error

    def body(self) -> Json:
        """The document that was sent; raises ApiError (400, 415)."""
        if self.content_type == protobuf.MEDIA_TYPE and self.resource in REVIEWS:
            return self._message()
        if self.content_type not in ("", *BODIES):
            raise unsupported_media_type(BODIES)
        try:
            found = yaml.safe_load(self.content) if "yaml" in self.content_type else json.loads(self.content)
        except (ValueError, yaml.YAMLError) as error:
            raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
        if not isinstance(found, dict):
            raise bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal")
        return found

    def _message(self) -> Json:
        try:
            return protobuf.read(self.content)
        except protobuf.UnreadableError as error:
            raise bad_request(str(error)) from error

    def dry(self, kind: str, also: list[str] | None = None) -> bool:
        """Whether nothing is to be stored; raises ApiError (422) for a dryRun that does not exist."""
        values = [v for v in (self.query.get("dryRun"), *(also or ())) if v]
        for value in values:
            if value != "All":
                told = f'Unsupported value: "{value}": supported values: "All"'
                cause = ("FieldValueNotSupported", told, "dryRun")
                raise invalid("meta.k8s.io", kind, "", [cause])
        return bool(values)

    @property
    def manager(self) -> str:
        """Who manages the fields that are written: fieldManager, or the first word of the user agent."""
        return self.query.get("fieldManager") or self.agent.partition("/")[0] or "unknown"

    def typed(self, document: Json, *, patched: bool = False) -> Json:
        """The document as its kind reads it; raises ApiError, 400 for a body and 422 for a patched object."""
        reader = Reader()
        kind = self.resource.kind
        prefix = f'{kind} in version "{self.resource.version}" cannot be handled as a {kind}: '
        try:
            found = reader.read(self.resource.model, document)
        except TypeMismatchError as error:
            if patched:
                text = json.dumps(document, separators=(",", ":"))
                cause = ("FieldValueInvalid", f'Invalid value: "{text}": {prefix}{error}', "patch")
                raise invalid("", "", "", [cause]) from error
            raise bad_request(f"{prefix}{error}") from error
        if reader.unknown and self.query.get("fieldValidation") == "Strict":
            told = ", ".join(f'unknown field "{each}"' for each in reader.unknown)
            raise bad_request(f"{prefix}strict decoding error: {told}")
        if self.query.get("fieldValidation") != "Ignore":
            self.warnings += [f'unknown field "{each}"' for each in reader.unknown]
        return found
