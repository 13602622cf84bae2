"""How fast the bot posts into a channel of Slack, and what it remembers of what it posted."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from bot.chat import RetryLaterError

BURST = 4  # messages that may go at once
REMEMBERED = 1_000

_Key = TypeVar("_Key", bound=Hashable)


class Pacer:
    """One message every `pace` seconds and channel, a few at once ("Rate limits": one a second and channel).

    The clock is monotonic, so that a clock that is set holds nothing up; a pace of 0 holds nothing up at all.
    """

    def __init__(self, pace: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._due: dict[str, float] = {}  # when a channel would be even, at one message every `pace` seconds

    def take(self, channel: str) -> None:
        """Count a message that goes now; RetryLaterError with the seconds left where it is too early."""
        now = self._clock()
        due = max(self._due.get(channel, now), now)
        if (left := due - now - (BURST - 1) * self._pace) > 1e-6:
            raise RetryLaterError(left)
        if len(self._due) >= REMEMBERED:
            self._due = {name: at for name, at in self._due.items() if at > now}
        self._due[channel] = due + self._pace


class Recent(Generic[_Key]):
    """The newest 1,000 of what was put in, by key."""

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
