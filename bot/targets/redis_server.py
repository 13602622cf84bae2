"""What a Redis server says of itself, and its keys, counted with SCAN."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from bot.targets.redis_link import cluster
from bot.targets.redis_words import fits
from commands.actions import TargetError

SCAN = 1000  # keys that the server looks at in a step: about a millisecond in which it serves nobody else
COUNTING = 45.0  # seconds that counting keys may take
_DECODER = codecs.getincrementaldecoder("utf-8")
_EXACT = 100_000  # so many keys are told apart; SCAN may name one twice while the server rehashes


class Asks(Protocol):
    """A link, or one connection of it."""

    async def look(self, *words: str | bytes | int) -> object:
        """The answer; TargetError where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """A server's INFO, and the number of the database that is meant."""

    fields: Mapping[str, str]
    db: int

    @property
    def identity(self) -> str:
        """Which process, in which role, which database: another run, or a failover, is another one."""
        return f"{self.fields.get('run_id', '')} {self.role} db{self.db}"

    @property
    def role(self) -> str:
        """`primary` or `replica`."""
        return "replica" if self.fields.get("role") == "slave" else "primary"

    @property
    def primary(self) -> str:
        """Where a replica's primary is, or nothing."""
        host, port = self.fields.get("master_host"), self.fields.get("master_port")
        return f"{host}:{port}" if host else ""

    @property
    def maxmemory(self) -> int:
        """Bytes that may be used; 0 is no limit."""
        return self.number("maxmemory")

    @property
    def policy(self) -> str:
        """What is evicted when memory is full."""
        return self.fields.get("maxmemory_policy", "unknown")

    @property
    def used(self) -> int:
        """Bytes in use."""
        return self.number("used_memory")

    def number(self, field: str) -> int:
        """A field as a whole number; 0 where there is none."""
        text = self.fields.get(field, "")
        return int(text) if text.isascii() and text.isdigit() else 0


async def server(asks: Asks, title: str, db: int) -> Server:
    """What the server says of itself; TargetError where it is part of a cluster."""
    found = Server(parsed(await asks.look("INFO")), db)
    if found.fields.get("cluster_enabled") == "1":
        raise cluster(title)
    if not found.fields.get("run_id"):
        raise TargetError(f"{title} does not say who it is: its INFO has no run_id.")
    return found


def parsed(reply: object) -> dict[str, str]:
    """The fields of INFO, whose lines are `name:value` (redis.io/commands/info)."""
    lines = _plain(reply).splitlines()
    pairs = (line.partition(":") for line in lines if not line.startswith("#"))
    return {name: text(value) for name, sign, value in pairs if sign}


def text(value: object) -> str:
    """What Redis sent as text; bytes that are no UTF-8, and control characters, as escapes."""
    plain = _plain(value)
    odd = {c for c in set(plain) if not c.isprintable() and c not in "\r\n\t"}
    return plain.translate({ord(c): repr(c)[1:-1] for c in odd}) if odd else plain


def beginning(value: bytes) -> str:
    """The text of bytes after which there were more; of a letter that was cut in two nothing is left."""
    return text(_DECODER("backslashreplace").decode(value))


def _plain(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


# -- keys -----------------------------------------------------------------------------------------


async def scanned(
    asks: Asks, pattern: str, title: str, *, within: float = COUNTING
) -> AsyncIterator[list[bytes]]:
    """The keys that fit a pattern, as the server finds them; TargetError where that takes longer than `within`."""
    end = asyncio.get_running_loop().time() + within
    cursor = b"0"
    while True:
        reply = await asks.look("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN)
        match reply:
            case [bytes() as cursor, list() as keys]:
                yield keys
            case _:
                raise TargetError(f"{title} sent an answer to SCAN that is none.")
        if cursor == b"0":
            return
        if asyncio.get_running_loop().time() > end:
            raise TargetError(
                f"{title} has more keys than can be looked through in {within:.0f} seconds; nothing was changed."
            )


@dataclass(frozen=True, slots=True)
class Counted:
    """How many keys fit a pattern, how many of them are refused (sessions), and which, where they are few."""

    total: int
    refused: int
    keys: tuple[bytes, ...]


async def counted(
    asks: Asks, pattern: str, refused: tuple[str, ...], title: str, *, few: int = 100
) -> Counted:
    """Count with SCAN; `keys` are there where they are at most `few`."""
    seen: set[bytes] = set()
    total = sessions = 0
    async for keys in scanned(asks, pattern, title):
        for key in keys:
            if key in seen:
                continue
            if len(seen) < _EXACT:
                seen.add(key)
            total += 1
            sessions += fits(text(key), refused)
    return Counted(total, sessions, tuple(sorted(seen)) if total <= few else ())
