"""The values of a small deletion, kept so that it can be taken back: in memory only, few, small, and not for long.

They are nowhere else: not in the log, not in a file. What is refused to everybody (sessions) is never among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from incidents.ports import Clock

MOST_KEYS = 100  # of one deletion
MOST_BYTES = 1024**2  # of one deletion, as Redis counts the memory of its keys
_MOST_DELETIONS = 8  # of one server, the newest
_GRACE = timedelta(minutes=1)  # for what falls due at the last moment


@dataclass(frozen=True, slots=True)
class Value:
    """What DUMP gave for a key, and when the key expires by itself, if it does."""

    dump: bytes
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Removed:
    """One deletion: which server it was, when, and what is brought back."""

    identity: str
    at: datetime
    values: Mapping[bytes, Value]


class Dumps:
    """The deletions of late, by database and pattern."""

    def __init__(self, clock: Clock, keep: timedelta) -> None:
        self._clock, self._keep = clock, keep
        self._removed: dict[tuple[str, str], Removed] = {}

    @property
    def minutes(self) -> int:
        """For how long they are kept."""
        return max(1, round(self._keep.total_seconds() / 60))

    def put(self, database: str, pattern: str, identity: str, values: Mapping[bytes, Value]) -> None:
        """Keep what was deleted just now; the oldest deletion gives way."""
        self._removed.pop((database, pattern), None)
        self._removed[database, pattern] = Removed(identity, self._clock.now(), values)
        while len(self._removed) > _MOST_DELETIONS:
            del self._removed[next(iter(self._removed))]

    def get(self, database: str, pattern: str, identity: str) -> Removed | None:
        """What can be brought back to this very server; None where there is nothing, or nothing any more."""
        self.forget()
        found = self._removed.get((database, pattern))
        return found if found is not None and found.identity == identity else None

    def drop(self, database: str, pattern: str) -> None:
        """It was brought back."""
        self._removed.pop((database, pattern), None)

    def forget(self) -> None:
        """Let go of what is too old; called whenever something is asked for."""
        end = self._clock.now() - self._keep - _GRACE
        for key in [key for key, removed in self._removed.items() if removed.at < end]:
            del self._removed[key]
