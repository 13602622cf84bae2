"""Values in a real Redis: whose may be shown, and the beginning of each, without its secrets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.redact import REDACTED, Redactor
from bot.targets.redis_link import Link
from bot.targets.redis_server import text
from bot.targets.redis_words import fits, masked
from commands.actions import Answer, TargetError
from commands.values import shown
from incidents.ports import RefusedError

_ENTRIES = 50  # parts of a value
_LONGEST = 4000  # bytes of one part


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
    count, pairs = await reader(link, key)
    if kind == "string":
        body = _safe(keys.redactor, key.replace(":", "_"), pairs[0][1], cut=count > _LONGEST)
        rest = f" · the first {_LONGEST} of {count} bytes" if count > _LONGEST else ""
    else:
        body = "\n".join(_parts(keys.redactor, key, pairs[:_ENTRIES]))[: 4 * _LONGEST]
        rest = f" · {kind} of {count}" + (f", {_ENTRIES} of them" if count > _ENTRIES else "")
    return Answer(f"{title(link)} · {key}{rest}", text=body, file_name="value.txt")


def _parts(redactor: Redactor, key: str, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Line by line, as many as there is room for."""
    size = 0
    for name, part in pairs:
        if size > 4 * _LONGEST:
            return
        beginning = part[:_LONGEST]
        line = f"{name}: {_safe(redactor, name or key, beginning, cut=len(part) > _LONGEST)}"
        size += len(line)
        yield line


def _safe(redactor: Redactor, name: str, found: str, *, cut: bool = False) -> str:
    """A value without its secrets; one whose name says that it is a secret goes as a whole."""
    cleaned = str(next(iter(redactor.redact_data({name: found}).values())))
    return redactor.beginning(found) if cut and cleaned != REDACTED else cleaned


async def _string(link: Link, key: str) -> tuple[int, list[tuple[str, str]]]:
    count = whole(await link.look("STRLEN", key), link)
    return count, [("", text(await link.look("GETRANGE", key, 0, _LONGEST - 1)))]


async def _hash(link: Link, key: str) -> tuple[int, list[tuple[str, str]]]:
    count = whole(await link.look("HLEN", key), link)
    return count, _pairs((await link.look("HSCAN", key, 0, "COUNT", _ENTRIES))[1])


async def _list(link: Link, key: str) -> tuple[int, list[tuple[str, str]]]:
    count = whole(await link.look("LLEN", key), link)
    found = await link.look("LRANGE", key, 0, _ENTRIES - 1)
    return count, [(str(number), text(part)) for number, part in enumerate(found)]


async def _set(link: Link, key: str) -> tuple[int, list[tuple[str, str]]]:
    count = whole(await link.look("SCARD", key), link)
    found = (await link.look("SSCAN", key, 0, "COUNT", _ENTRIES))[1]
    return count, [("-", part) for part in sorted(text(part) for part in found)]


async def _sorted(link: Link, key: str) -> tuple[int, list[tuple[str, str]]]:
    count = whole(await link.look("ZCARD", key), link)
    return count, _pairs(await link.look("ZRANGE", key, 0, _ENTRIES - 1, "WITHSCORES"))


async def _stream(link: Link, key: str) -> tuple[int, list[tuple[str, str]]]:
    count = whole(await link.look("XLEN", key), link)
    found = await link.look("XREVRANGE", key, "+", "-", "COUNT", _ENTRIES)
    return count, [
        (f"{text(entry)} {name}", part) for entry, fields in found for name, part in _pairs(fields or [])
    ]


def _pairs(flat: Sequence[object]) -> list[tuple[str, str]]:
    return [(text(name), text(part)) for name, part in zip(flat[::2], flat[1::2], strict=False)]


_VALUES: Mapping[str, Callable[[Link, str], Awaitable[tuple[int, list[tuple[str, str]]]]]] = {
    "string": _string,
    "hash": _hash,
    "list": _list,
    "set": _set,
    "zset": _sorted,
    "stream": _stream,
}


def whole(reply: object, link: Link) -> int:
    """A count that Redis sent; TargetError for anything else."""
    if not isinstance(reply, int):
        raise TargetError(f"{link.title} sent something else than a count.")
    return reply
