"""Bodies in protobuf, which kubectl sends for reviews of its own rights: read into what JSON would say.

The envelope and the field numbers are those of k8s.io/apimachinery/pkg/runtime/generated.proto and
k8s.io/api/authorization/v1/generated.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
Schema = dict[int, "tuple[str, Schema | None]"]
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
ENVELOPE: Schema = {1: ("typeMeta", {1: ("apiVersion", None), 2: ("kind", None)})}
RAW = 2  # the number of the document in the envelope
RESOURCE: Schema = {
    number: (name, None)
    for number, name in enumerate(
        ("namespace", "verb", "group", "version", "resource", "subresource", "name"), start=1
    )
}
PATH: Schema = {1: ("path", None), 2: ("verb", None)}
SCHEMAS: dict[str, Schema] = {
    "SelfSubjectAccessReview": {
        2: ("spec", {1: ("resourceAttributes", RESOURCE), 2: ("nonResourceAttributes", PATH)})
    },
    "SelfSubjectRulesReview": {2: ("spec", {1: ("namespace", None)})},
    "SelfSubjectReview": {},
}


class UnreadableError(ValueError):
    """No message of a kind that is read here."""


def read(content: bytes) -> Json:
    """The document of a body; UnreadableError for another kind, or for what is no message."""
    if not content.startswith(MAGIC):
        raise UnreadableError("provided data does not appear to be a protobuf message")
    message = content[len(MAGIC) :]
    about = dict(_members(message, ENVELOPE)).get("typeMeta", {})
    if about.get("kind") not in SCHEMAS:
        raise UnreadableError(f"no protobuf is read for the kind {about.get('kind')}")
    raw = next((v for n, v in _fields(message) if n == RAW and isinstance(v, bytes)), b"")
    return {**about, **dict(_members(raw, SCHEMAS[about["kind"]]))}


def _members(message: bytes, schema: Schema) -> Iterator[tuple[str, Any]]:
    for number, value in _fields(message):
        if number in schema and isinstance(value, bytes):
            name, inner = schema[number]
            if inner is not None:
                yield name, dict(_members(value, inner))
            elif value:
                yield name, value.decode()


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: varints as numbers, what has a length as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            size, at = _varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        else:
            raise UnreadableError(f"wire type {kind}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise UnreadableError("unexpected EOF")
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
