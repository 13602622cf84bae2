"""Values in a real Redis: whose may be shown, and the beginning of each, without its secrets."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from bot.redact import REDACTED, Redactor
from bot.targets.redis_link import Link
from bot.targets.redis_server import beginning, text
from bot.targets.redis_words import fits, masked
from commands.actions import Answer, TargetError
from commands.values import shown
from incidents.ports import RefusedError

_ENTRIES = 50  # parts of a value
_LONGEST = 4000  # bytes of one part
_ROOM = 4 * _LONGEST  # characters of all of them
_STEPS = 500  # of SCAN, which may give nothing in a step
_LAST = 2**64 - 1  # the highest count within a millisecond of a stream

Entries = AsyncGenerator[list[tuple[bytes, bytes]], None]


@dataclass(frozen=True, slots=True)
class Keys:
    """Whose values may be read at once, and whose by nobody; what takes secrets out of values."""

    readable: tuple[str, ...]
    refused: tuple[str, ...]
    redactor: Redactor

    def refuse(self, key: str) -> None:
        """RefusedError for a key whose value is never shown."""
        if fits(key, self.refused):
            raise RefusedError(f"Values of keys like {shown(masked(key, self.refused))} are never shown.")


def title(link: Link) -> str:
    """What a Redis is called in a headline: `redis`, or `redis cache`."""
    return link.title[:1].lower() + link.title[1:]


async def value(link: Link, keys: Keys, key: str) -> Answer:
    """A key's value, the beginning of it where it is long; secrets in it are taken out."""
    kind = text(await link.look("TYPE", key))
    if kind == "none":
        raise RefusedError(f"{link.name} has no key {shown(key)}.")
    reader = _VALUES.get(kind)
    if reader is None:
        raise RefusedError(f"{shown(key)} is a {kind}, which I cannot show.")
    counting, entries = reader
    count = whole(await link.look(counting, key), link)
    if kind == "string":
        found = await link.look("GETRANGE", key, 0, _LONGEST - 1)
        body = _safe(keys.redactor, key.replace(":", "_"), found, cut=count > _LONGEST)
        rest = f" · the first {_LONGEST} of {count} bytes" if count > _LONGEST else ""
    else:
        number, lines = await _lines(keys.redactor, key, entries(link, key))
        body = "\n".join(sorted(lines) if kind == "set" else lines)[:_ROOM]
        rest = f" · {kind} of {count}" + (f", {number} of them" if count > number else "")
    return Answer(f"{title(link)} · {key}{rest}", text=body, file_name="value.txt")


async def _lines(redactor: Redactor, key: str, entries: Entries) -> tuple[int, list[str]]:
    """As many entries as there is room for, and their lines; no more is asked for than that."""
    number, size, lines = 0, 0, []
    async with aclosing(entries):
        async for entry in entries:
            number += 1
            for name, part in entry:
                long = len(name) > _LONGEST
                called = redactor.beginning(beginning(name[:_LONGEST])) if long else text(name)
                told = _safe(redactor, called or key, part[:_LONGEST], cut=len(part) > _LONGEST)
                lines.append(f"{called}: {told}")
                size += len(lines[-1])
                if size > _ROOM:
                    return number, lines
            if number == _ENTRIES:
                break
    return number, lines


def _safe(redactor: Redactor, name: str, found: bytes, *, cut: bool) -> str:
    """A value without its secrets; one whose name says that it is a secret goes as a whole."""
    told = beginning(found) if cut else text(found)
    cleaned = str(next(iter(redactor.redact_data({name: told}).values())))
    return redactor.beginning(told) if cut and cleaned != REDACTED else cleaned


# -- entry by entry, for each may be large and Redis cuts none ------------------------------------


def _hash(link: Link, key: str) -> Entries:
    return _scan(link, "HSCAN", key)


def _set(link: Link, key: str) -> Entries:
    return _scan(link, "SSCAN", key)


async def _scan(link: Link, command: str, key: str) -> Entries:
    cursor = b"0"
    for _ in range(_STEPS):
        cursor, found = await link.look(command, key, cursor, "COUNT", 1)
        names, parts = (found[::2], found[1::2]) if command == "HSCAN" else ([b"-"] * len(found), found)
        for pair in zip(names, parts, strict=False):
            yield [pair]
        if cursor == b"0":
            return


async def _list(link: Link, key: str) -> Entries:
    number = 0
    while found := await link.look("LRANGE", key, number, number):
        yield [(str(number).encode(), found[0])]
        number += 1


async def _sorted(link: Link, key: str) -> Entries:
    number = 0
    while found := await link.look("ZRANGE", key, number, number, "WITHSCORES"):
        yield [(found[0], found[1])]
        number += 1


async def _stream(link: Link, key: str) -> Entries:
    """The newest first. An entry is called `milliseconds-count`; the name below ends the next question.

    redis.io/commands/xrevrange; its `(` for that is not known to Redis 6.0.
    """
    last = "+"
    while found := await link.look("XREVRANGE", key, last, "-", "COUNT", 1):
        [[entry, fields]] = found
        pairs = zip(fields[::2], fields[1::2], strict=False) if fields else ()
        yield [(entry + b" " + name, part) for name, part in pairs]
        time, _, count = text(entry).partition("-")
        last = f"{time}-{int(count) - 1}" if int(count) else f"{int(time) - 1}-{_LAST}"


# What is counted with which command, and what gives the entries.
_VALUES: Mapping[str, tuple[str, Callable[[Link, str], Entries]]] = {
    "string": ("STRLEN", _list),
    "hash": ("HLEN", _hash),
    "list": ("LLEN", _list),
    "set": ("SCARD", _set),
    "zset": ("ZCARD", _sorted),
    "stream": ("XLEN", _stream),
}


def whole(reply: object, link: Link) -> int:
    """A count that Redis sent; TargetError for anything else."""
    if not isinstance(reply, int):
        raise TargetError(f"{link.title} sent something else than a count.")
    return reply
