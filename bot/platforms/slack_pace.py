"""How fast the bot posts into a channel of Slack."""

from __future__ import annotations

import time
from collections.abc import Callable

from bot.chat import RetryLaterError
from bot.recent import REMEMBERED

BURST = 4  # messages that may go at once


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
