"""Databases that are told apart by name, as in `redis cache info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from commands.values import nearest, shown
from incidents.ports import RefusedError

Thing = TypeVar("Thing")


def named(there: Mapping[str, Thing], name: str, kind: str) -> Thing:
    """The one of that name; RefusedError where there is none."""
    if name not in there:
        hint = nearest(name, there) or f" There are: {', '.join(there)}."
        raise RefusedError(f"There is no {kind} called {shown(name)}.{hint}")
    return there[name]


def chosen(there: Mapping[str, Thing], args: Mapping[str, Any], kind: str) -> tuple[Thing, dict[str, Any]]:
    """The one that `name` of the arguments means, else the first; and the other arguments that were given."""
    given = {key: value for key, value in args.items() if value is not None}
    name = str(given.pop("name", None) or next(iter(there)))
    return named(there, name, kind), given
