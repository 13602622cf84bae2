"""What the domain needs from outside, and the errors that everybody shares."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class RefusedError(Exception):
    """A decision said no; its text is one sentence that the person asking can act on."""


class ConflictError(Exception):
    """Somebody else appended to the stream first, time after time; asking again may help."""


class NotRecordedError(Exception):
    """The log could not be written, so nothing was done."""


class Clock(Protocol):
    """The only source of time; product code waits through it and nowhere else."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock's time."""
        ...
