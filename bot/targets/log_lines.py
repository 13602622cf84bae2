"""Lines of a log as they come in: printable, without secrets, of those that are wanted the newest only."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable

_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


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
    """Takes lines out of secrets' reach, one by one: a private key goes as a whole, however many lines it has.

    Without an end it goes up to the end of the log.
    """

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._within = False

    def told(self, line: bytes) -> str | None:
        """The line as it may be told; None where nothing of it may."""
        text = printable(line)
        if self._within:
            if (end := _END.search(text)) is None:
                return None
            self._within, text = False, text[end.end() :]
            if not text.strip():
                return None
        found = self._redact(text)
        begins = list(_BEGIN.finditer(text))
        self._within = bool(begins) and _END.search(text, begins[-1].end()) is None
        return found


def printable(line: bytes) -> str:
    """Bytes that are no UTF-8 as escapes, control characters and colours as signs of their own or not at all."""
    plain = line.decode("utf-8", "backslashreplace").replace("\r", "")
    return "".join(c if c.isprintable() or c == "\t" else "�" for c in plain)


async def newest(
    lines: Lines, redact: Callable[[str], str], count: int, wanted: Callable[[str], bool]
) -> list[str]:
    """The last `count` lines that are wanted, judged by what may be told of them."""
    telling, found = Telling(redact), deque[str](maxlen=count)
    async for line in lines:
        told = telling.told(line)
        if told is not None and wanted(told):
            found.append(told)
    return list(found)
