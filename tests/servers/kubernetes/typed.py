"""Whether a document has the types of its kind, by the models of the kubernetes package.

The sentences are those of Go's decoder, as the API server passes them on.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any

from kubernetes.aio.client import models

Json = dict[str, Any]
CONTAINER = re.compile(r"(?:List|list)\[(.+)\]|(?:Dict|dict)[\[(]str, (.+)[\])]")
GO = {
    "str": "string",
    "bool": "bool",
    "int": "int32",
    "float": "float64",
    "bytes": "[]uint8",
    "datetime": "Time",
}
JSON = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
QUANTITIES = ("limits", "requests", "capacity", "allocatable", "hard", "used")


class TypeMismatchError(Exception):
    """A member of the document has a type that its kind does not have there; the text is the decoder's."""


class Reader:
    """Reads one document into its kind; `unknown` collects the members that the kind does not have."""

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def read(self, model: str, document: Any) -> Json:
        """A copy without nulls and unknown members; raises TypeMismatchError."""
        result = self._object(model, document, "", "")
        assert isinstance(result, dict)
        return result

    def _object(self, model: str, value: Any, path: str, struct: str) -> Any:
        if not isinstance(value, dict):
            raise _mismatch(value, path, struct, _go(model))
        kind = getattr(models, model)
        types = {kind.attribute_map[name]: of for name, of in kind.openapi_types.items()}
        result: Json = {}
        for key, member in value.items():
            where = f"{path}.{key}" if path else key
            if key not in types:
                self.unknown.append(where)
            elif member is not None:
                result[key] = self._value(types[key], member, where, _go(model))
        return result

    def _value(self, of: str, value: Any, path: str, struct: str) -> Any:
        if (found := CONTAINER.fullmatch(of)) is not None:
            if found[1] is not None:
                return self._list(found[1], value, path, struct)
            return self._map(found[2], value, path, struct)
        if of == "object":
            return value
        if hasattr(models, of):
            return self._object(of, value, path, struct)
        return _plain(of, value, path, struct)

    def _list(self, of: str, value: Any, path: str, struct: str) -> list[Any]:
        if not isinstance(value, list):
            raise _mismatch(value, path, struct, f"[]{_go(of)}")
        return [self._value(of, item, f"{path}[{n}]", struct) for n, item in enumerate(value)]

    def _map(self, of: str, value: Any, path: str, struct: str) -> Json:
        if not isinstance(value, dict):
            raise _mismatch(value, path, struct, f"map[string]{_go(of)}")
        if path.rpartition(".")[2] in QUANTITIES:  # a quantity may be written as a number
            value = {k: str(v) if isinstance(v, int | float) else v for k, v in value.items()}
        return {key: self._value(of, item, path, struct) for key, item in value.items()}


def _go(model: str) -> str:
    return GO.get(model) or re.sub(r"^(Core)?V\d((alpha|beta)\d)?", "", model)


def _mismatch(value: Any, path: str, struct: str, wanted: str) -> TypeMismatchError:
    told = JSON.get(type(value), "null")
    bare = re.sub(r"\[\d+]", "", path)
    where = f"Go struct field {struct}.{bare}" if struct else "Go value"
    return TypeMismatchError(f"json: cannot unmarshal {told} into {where} of type {wanted}")


def _plain(of: str, value: Any, path: str, struct: str) -> Any:
    """A value without members; ints are no bools, and bools no ints."""
    fits = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "datetime": isinstance(value, str),
        "bytes": isinstance(value, str),
    }
    if not fits.get(of, True):
        raise _mismatch(value, path, struct, GO[of])
    if of == "datetime":
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            text = f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse "{value}"'
            raise TypeMismatchError(text) from error
    if of == "bytes":
        try:
            base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise TypeMismatchError("illegal base64 data at input byte 0") from error
    return value
