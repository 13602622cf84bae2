"""Lines of a log as they come in: printable, without secrets, of those that are wanted the newest only."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable

from bot.beside import BEGIN, END, PIECE, beside, left_open
from bot.redact import REDACTED, Redactor

MORE = 100  # lines before those that are shown that are read as well: a private key may begin there
LONGEST = 16_384  # characters of a line; the engine of containers ends a line there, too
# Colours and other orders to a terminal (ECMA-48, 5.4 and 5.6): they may stand within the name of a secret.
_ORDERS = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_STAMP = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]{1,20}(?:Z|[+-]\d\d:\d\d) "
)  # as the systems put it before each line


class Lines:
    """The lines in the first `most` bytes of what comes; no more is read, and the one that the limit cuts is left out.

    Nothing but the line that has not ended yet is held. `cut` says afterwards whether there was more.
    """

    def __init__(self, chunks: AsyncIterator[bytes], most: int) -> None:
        self._chunks, self._most = chunks, most
        self.cut = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Line by line, without their ends."""
        rest, left = b"", self._most
        async for chunk in self._chunks:
            *whole, rest = (rest + chunk[:left]).split(b"\n")
            for line in whole:
                yield line
            if len(chunk) > left:
                self.cut = True
                return
            left -= len(chunk)
        if rest:
            yield rest


class Telling:
    """Takes lines out of secrets' reach, and keeps the last `count` of those that are wanted.

    A private key goes as a whole, however many lines it has: without an end up to the end of the log, and with an
    end alone from the beginning of what was read, for what stands before may be the key.
    """

    def __init__(self, redactor: Redactor, count: int, wanted: Callable[[str], bool]) -> None:
        self._redactor, self._wanted = redactor, wanted
        self.found = deque[str](maxlen=count)
        self._within = False

    def take(self, lines: Iterable[bytes]) -> None:
        """The next lines of the log."""
        for line in lines:
            told = self._told(line)
            if told is not None and self._wanted(told):
                self.found.append(told)

    def _told(self, line: bytes) -> str | None:
        """The line as it may be told, judged by what came before; None where nothing of it may."""
        text = printable(line)
        end, begin = END.search(text), BEGIN.search(text)
        if end is not None and (self._within or begin is None or end.start() < begin.start()):
            if not (text := self._ended(text, end)):
                self._within = False
                return None
        elif self._within:
            return None
        self._within = left_open(text)
        if len(text) > LONGEST:
            return f"{self._redactor.beginning(text[:LONGEST])}…"
        return self._redactor.redact(text)

    def _ended(self, text: str, end: re.Match[str]) -> str:
        """What stands after the end of a key; before one that began nowhere nothing can be told."""
        stamp, rest = _STAMP.match(text), text[end.end() :]
        time = stamp[0] if stamp is not None else ""
        if self._within:
            return f"{time}{rest}" if rest.strip() else ""
        self.found.clear()
        return f"{time}{REDACTED}{rest}"


def printable(line: bytes) -> str:
    """Without colours; bytes that are no UTF-8 as escapes, other control characters as signs of their own."""
    plain = _ORDERS.sub("", line.decode("utf-8", "backslashreplace").replace("\r", ""))
    return (
        plain if plain.isprintable() else "".join(c if c.isprintable() or c == "\t" else "�" for c in plain)
    )


async def newest(
    lines: AsyncIterable[bytes], redactor: Redactor, count: int, wanted: Callable[[str], bool]
) -> list[str]:
    """The last `count` lines that are wanted, judged by what may be told of them; the event loop goes on."""
    telling = Telling(redactor, count, wanted)
    async for some in _together(lines):
        await beside(telling.take, some)
    return list(telling.found)


async def _together(lines: AsyncIterable[bytes]) -> AsyncIterator[list[bytes]]:
    """As many lines at a time as are worth a turn."""
    some, size = list[bytes](), 0
    async for line in lines:
        some.append(line)
        size += len(line)
        if size >= PIECE:
            yield some
            some, size = [], 0
    yield some


def having(grep: str | None) -> Callable[[str], bool]:
    """Whether a line is asked for, its time apart."""
    if not grep:
        return lambda line: True
    word = grep.casefold()
    return lambda line: word in line.partition(" ")[2].casefold()
