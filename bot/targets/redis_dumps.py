"""The values of a small deletion, kept so that it can be taken back: in memory only, few, small, and not for long.

They are nowhere else: not in the log, not in a file. What is refused to everybody (sessions) is never among them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.targets.redis_server import Asks
from incidents.ports import Clock

MOST_KEYS = 100  # of one deletion
MOST_BYTES = 1024**2  # of one deletion, as Redis counts the memory of its keys
_MOST_DELETIONS = 32  # of one server, the newest
_GRACE = timedelta(minutes=1)  # for what falls due at the last moment


async def small(asks: Asks, keys: Collection[bytes]) -> bool:
    """Whether the values of these keys together are small enough to be kept.

    Redis looks at five parts of a value and reckons (redis.io/commands/memory-usage). Where that is little, so are
    the parts, and it can look at every one of them; what is many by that is not looked through.
    """
    for samples in (5, 0):
        total = 0
        for key in keys:
            size = await asks.look("MEMORY", "USAGE", key, "SAMPLES", samples)
            total += size if isinstance(size, int) else 0
            if total > MOST_BYTES:
                return False
    return True


@dataclass(frozen=True, slots=True)
class Value:
    """What DUMP gave for a key, and when the key expires by itself, if it does."""

    dump: bytes
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Removed:
    """One deletion: of which database, by which pattern, on which server, when, and what is brought back."""

    database: str
    pattern: str
    identity: str
    at: datetime
    values: Mapping[bytes, Value]


class Dumps:
    """The deletions of late, each under a name of its own."""

    def __init__(self, clock: Clock, keep: timedelta) -> None:
        self._clock, self._keep = clock, keep
        self._removed: dict[str, Removed] = {}
        self._secret, self._count = secrets.token_bytes(16), 0

    @property
    def minutes(self) -> int:
        """For how long they are kept."""
        return max(1, round(self._keep.total_seconds() / 60))

    def name(self, database: str, pattern: str, keys: Iterable[bytes]) -> str:
        """What the next deletion of these keys is kept under: the same until there is one, then never again.

        It stands in the log, where nobody can tell from it which keys they are; no other process gives the same.
        """
        named = hashlib.blake2b(key=self._secret, digest_size=8)
        for part in (str(self._count).encode(), database.encode(), pattern.encode(), *keys):
            named.update(len(part).to_bytes(8, "big") + part)
        return named.hexdigest()

    def holds(self, deletion: str) -> bool:
        """Whether something is kept under this name already."""
        return deletion in self._removed

    def put(self, deletion: str, removed: Removed) -> None:
        """Keep what is deleted now; the oldest deletion gives way."""
        self._count += 1
        self._removed[deletion] = removed
        while len(self._removed) > _MOST_DELETIONS:
            del self._removed[next(iter(self._removed))]

    def newest(self, database: str, pattern: str) -> str | None:
        """The last deletion by this pattern; None where there is none, or none any more."""
        self.forget()
        found = (
            d for d, r in reversed(self._removed.items()) if (r.database, r.pattern) == (database, pattern)
        )
        return next(found, None)

    def get(self, deletion: str, identity: str) -> Removed | None:
        """What can be brought back to this very server; None where there is nothing, or nothing any more."""
        self.forget()
        found = self._removed.get(deletion)
        return found if found is not None and found.identity == identity else None

    def drop(self, deletion: str) -> None:
        """It was brought back, or not deleted."""
        self._removed.pop(deletion, None)

    def forget(self) -> None:
        """Let go of what is too old; called whenever something is asked for."""
        end = self._clock.now() - self._keep - _GRACE
        for deletion in [deletion for deletion, removed in self._removed.items() if removed.at < end]:
            del self._removed[deletion]
