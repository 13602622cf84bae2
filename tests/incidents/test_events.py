"""Every event survives its way into a row and back."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_type_hints

import orjson
import pytest

from incidents import events as e

NOW = datetime(2026, 1, 3, 2, 30, tzinfo=UTC)


def sample(hint: str) -> Any:
    """A value of a field's type."""
    if hint.startswith("dict[str, datetime"):
        return {"acknowledged": NOW}
    if "datetime" in hint:
        return NOW
    if hint.startswith("tuple[int"):
        return (1, 2)
    if hint.startswith("tuple"):
        return ("a", "b")
    if hint.startswith("dict"):
        return {"key": "value"}
    return {"int": 3, "bool": True, "float": 1.5}.get(
        hint.split("|")[0].replace("<class '", "").strip("'> "), "text"
    )


@pytest.mark.parametrize("kind", list(e.kinds()), ids=lambda kind: kind.__name__)
def test_an_event_comes_back_as_it_went(kind: type[e.Event]) -> None:
    """Encoded, written as JSON, read and decoded, it is equal."""
    hints = get_type_hints(kind)
    values = {f.name: sample(str(hints[f.name])) for f in fields(kind) if f.name not in ("at", "actor")}
    event = kind(at=NOW, actor="alice", **values)
    name, at, actor, body = e.encode(event)
    assert e.decode(name, at, actor, orjson.loads(orjson.dumps(body))) == event
