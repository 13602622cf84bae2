"""JSON patch (RFC 6902) and merge patch (RFC 7386)."""

from __future__ import annotations

import copy
from typing import Any

from tests.servers.kubernetes.status import bad_request, unprocessable

Json = dict[str, Any]


class _PathError(Exception):
    """A path of the patch leads nowhere."""


def merge(target: Any, patch: Any) -> Any:
    """The target with a merge patch applied: null takes a member away, lists are replaced."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(target: Json, operations: Any) -> Any:
    """The target with a JSON patch applied; raises ApiError, 422 where it does not apply."""
    if not isinstance(operations, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    result = copy.deepcopy(target)
    for operation in operations:
        try:
            result = _apply(result, operation)
        except (_PathError, KeyError, TypeError, AttributeError) as failure:
            raise unprocessable() from failure
    return result


def _apply(document: Any, operation: Json) -> Any:
    name, path = operation["op"], _parts(operation["path"])
    if name == "test":
        if _get(document, path) != operation.get("value"):
            raise _PathError
        return document
    if name in ("move", "copy"):
        source = _parts(operation["from"])
        value = copy.deepcopy(_get(document, source))
        document = _remove(document, source) if name == "move" else document
        return _add(document, path, value)
    if name == "remove":
        return _remove(document, path)
    value = copy.deepcopy(operation["value"])
    if name == "replace":
        _get(document, path)
        return _set(document, path, value)
    if name == "add":
        return _add(document, path, value)
    raise _PathError


def _parts(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise _PathError
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _index(part: str, length: int) -> int:
    if not part.isdecimal() or int(part) >= length:
        raise _PathError
    return int(part)


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_index(part, len(document))] if isinstance(document, list) else document[part]
    return document


def _set(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        parent[_index(path[-1], len(parent))] = value
    else:
        parent[path[-1]] = value
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if path and isinstance(parent := _get(document, path[:-1]), list):
        parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent) + 1), value)
        return document
    return _set(document, path, value)


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        raise _PathError
    parent = _get(document, path[:-1])
    if isinstance(parent, list):
        del parent[_index(path[-1], len(parent))]
    else:
        del parent[path[-1]]
    return document
