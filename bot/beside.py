"""Work on large texts in a thread of its own, a piece at a time, so that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import ParamSpec, TypeVar

from bot.redact import Redactor
from commands.actions import Answer

P = ParamSpec("P")
T = TypeVar("T")

PIECE = 16_384  # characters: a regular expression lets nobody else run until it is through with its text
# One thread: with several the loop would have to wait for each of them in turn. Pieces of different texts alternate.
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="texts")
_SEAM = (
    512  # characters before a border that are looked at again with what follows: a name there, its value here
)
BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.IGNORECASE)
END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.IGNORECASE)
# Before a line that begins at its margin: what is indented, or closes a list, belongs to what stands above.
_BORDER = re.compile(r"\n(?![\s\])}])")


async def beside(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done in that thread; it shares nothing that changes."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, partial(work, *args, **kwargs))


async def redacted(redact: Callable[[str], str], text: str) -> str:
    """The same as `redact(text)`, with turns for everybody else in between where it is long."""
    if len(text) <= PIECE:
        return redact(text)
    told, found = in_pieces(redact, text), list[str]()
    while (part := await beside(next, told, None)) is not None:
        found.append(part)
    return "".join(found)


async def without_secrets(redactor: Redactor, answer: Answer) -> Answer:
    """An answer as it may be shown."""
    if not large(answer):
        told: Answer = redactor.redact_data(answer)
        return told
    told = await beside(redactor.redact_data, replace(answer, text=""))
    return replace(told, text=await redacted(redactor.redact, answer.text))


def large(answer: Answer) -> bool:
    """Whether it is too much to be worked on at once."""
    rows = answer.table.rows if answer.table is not None else ()
    size = sum(map(len, answer.lines)) + sum(len(str(cell)) for row in rows for cell in row)
    return len(answer.text) + size > PIECE


def in_pieces(redact: Callable[[str], str], text: str) -> Iterator[str]:
    """The parts of `redact(text)`, each made of whole lines; a private key goes as a whole across them."""
    within, held = False, ""
    for piece in _pieces(text):
        rest = piece
        if within:
            if (end := END.search(piece)) is None:
                continue
            rest = piece[end.end() :]
        within = left_open(rest)
        told = redact(held + rest)
        border = max(0, len(told) - _SEAM)
        held = told[border:]
        yield told[:border]
    yield held


def left_open(text: str) -> bool:
    """Whether a private key begins in it that does not end in it."""
    ends = [found.end() for found in BEGIN.finditer(text)]
    return bool(ends) and END.search(text, ends[-1]) is None


def _pieces(text: str) -> Iterator[str]:
    """Cut where no value goes on; a text that is indented throughout is one piece."""
    at = 0
    while (border := _BORDER.search(text, at + PIECE)) is not None:
        yield text[at : border.end()]
        at = border.end()
    yield text[at:]
