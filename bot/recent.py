"""What is remembered of late, and no more of it than fits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

REMEMBERED = 1_000

_Key = TypeVar("_Key", bound=Hashable)


class Recent(Generic[_Key]):
    """The newest 1,000 (`most`) of what was put in, by key."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._values: OrderedDict[_Key, str] = OrderedDict()

    def get(self, key: _Key) -> str | None:
        """What was put in for the key, if it is still known; it counts as new again."""
        if key not in self._values:
            return None
        self._values.move_to_end(key)
        return self._values[key]

    def put(self, key: _Key, value: str) -> None:
        """Remember, and forget the oldest."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)
