"""Filters as people type them: strict JSON, a short list of operators, and nothing that runs code."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from commands.values import shown
from incidents.ports import RefusedError

LONGEST, DEEPEST = 2000, 8  # characters, and levels
# All that may be asked for. No $where, $function, $accumulator, $expr, which run code, and no $regex, which may
# take for ever (https://www.mongodb.com/docs/manual/reference/mql/query-predicates/).
_COMPARE = frozenset(
    ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$all", "$size", "$type"]
)
_NESTED = frozenset(["$and", "$or", "$nor", "$not", "$elemMatch"])
_ALLOWED = _COMPARE | _NESTED
_TYPED_BY_PHONES = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_OID = re.compile(r"[0-9a-fA-F]{24}", re.ASCII)


def parsed(text: str) -> dict[str, Any]:
    """The filter; RefusedError with a sentence where it is none, or none that may be used."""
    made = _made(_json(text), 0)
    if not isinstance(made, dict):
        raise RefusedError('A filter names fields, as in {"status": "active"}.')
    return made


def written(text: str) -> str:
    """The filter in one line and one form, however it was typed; RefusedError as for `parsed`."""
    parsed(text)
    plain = json.dumps(_json(text), ensure_ascii=False)
    return plain if plain.isprintable() else json.dumps(_json(text))


def fields(found: Any) -> Iterator[str]:
    """Every field that a filter names, however deep, as a path; one within $elemMatch stands by itself."""
    if isinstance(found, dict):
        for key, value in found.items():
            if not key.startswith("$"):
                yield key
            yield from fields(value)
    elif isinstance(found, list):
        for each in found:
            yield from fields(each)


def _json(text: str) -> dict[str, Any]:
    if len(text) > LONGEST:
        raise RefusedError(f"A filter has at most {LONGEST} characters; that has {len(text)}.")
    try:
        found = json.loads(
            text.translate(_TYPED_BY_PHONES), object_pairs_hook=_pairs, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise RefusedError(f"A filter has at most {DEEPEST} levels.") from error
    except ValueError as error:
        raise RefusedError(
            f'A filter is strict JSON, as in {{"status": "active"}}; {shown(text)} is none.'
        ) from error
    if not isinstance(found, dict):
        raise RefusedError('A filter is an object, as in {"status": "active"}.')
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _made(value: Any, level: int) -> Any:
    """The value with ids and times as MongoDB has them ({"$oid": …}, {"$date": …})."""
    if level > DEEPEST:
        raise RefusedError(f"A filter has at most {DEEPEST} levels.")
    if isinstance(value, list):
        return [_made(each, level + 1) for each in value]
    if not isinstance(value, dict):
        return _plain(value)
    if set(value) == {"$oid"} and isinstance(value["$oid"], str) and _OID.fullmatch(value["$oid"]):
        return ObjectId(value["$oid"])
    if set(value) == {"$date"} and isinstance(value["$date"], str):
        return _time(value["$date"])
    for key in value:
        if "\0" in _plain(key) or (key.startswith("$") and key not in _ALLOWED):
            raise RefusedError(
                f"{shown(key)} may not stand in a filter; there are {', '.join(sorted(_ALLOWED))}."
            )
    return {key: _made(each, level + 1) for key, each in value.items()}


def _plain(value: Any) -> Any:
    """The same, where BSON can hold it: 64 bits, a number that is one, text in UTF-8."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise RefusedError("A number in a filter has at most 64 bits.")
    if isinstance(value, float) and not math.isfinite(value):
        raise RefusedError("A number in a filter has at most 64 bits.")
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        raise RefusedError("That filter holds a character that is no text (half of a surrogate pair).")
    return value


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RefusedError(
            f"$date takes a time with its zone, as in 2026-01-03T02:30:00Z; {shown(text)} is none."
        ) from error
