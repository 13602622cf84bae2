"""Work on large texts in threads of their own, a piece at a time, so that the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

from bot.redact import Redactor
from commands.actions import Answer

P = ParamSpec("P")
T = TypeVar("T")

PIECE = 16_384  # characters: a regular expression lets nobody else run until it is through with its text
_SEAM = (
    512  # characters before a border that are looked at again with what follows: a name there, its value here
)
BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.IGNORECASE)
END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.IGNORECASE)
# Before a line that begins at its margin: what is indented, or closes a list, belongs to what stands above.
_BORDER = re.compile(r"\n(?![\s\])}])")


class Turns:
    """A few threads, of which everybody who has work for them has one at a time.

    With a single thread one large answer would hold up whatever else is asked, and several of one server hold it up
    for the sum of them. So each owner's work is done in its order, and what comes next stands behind everybody
    else's: at most one answer of each, and `threads` in all, are worked on, and kept in memory twice, at once.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="texts")
        self._lock = Lock()
        self._waiting: dict[
            int, deque[Callable[[], None]]
        ] = {}  # of the owners that have a turn, or wait for one

    def submit(self, owner: object, work: Callable[[], T]) -> Future[T]:
        """What `work` will return. One that is cancelled before its turn is left out."""
        future: Future[T] = Future()
        name = id(owner)
        job = partial(self._do, name, future, work)
        with self._lock:
            if name in self._waiting:
                self._waiting[name].append(job)
            else:
                self._waiting[name] = deque()
                self._threads.submit(job)
        return future

    def _do(self, name: int, future: Future[T], work: Callable[[], T]) -> None:
        try:
            if future.set_running_or_notify_cancel():
                future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it goes to who waits for the result
            future.set_exception(error)
        finally:
            with self._lock:
                if self._waiting[name]:
                    self._threads.submit(self._waiting[name].popleft())
                else:
                    del self._waiting[name]


# Not many: a thread at work keeps the loop waiting for up to five milliseconds, and several of them do so in turn
# (https://docs.python.org/3/library/sys.html#sys.setswitchinterval).
_TURNS = Turns(3)


async def beside(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns, done in one of those threads; it shares nothing that changes.

    Its owner is whose method it is; a function owns itself.
    """
    owner = getattr(work, "__self__", work)
    return await asyncio.wrap_future(_TURNS.submit(owner, partial(work, *args, **kwargs)))


async def redacted(redact: Callable[[str], str], text: str) -> str:
    """The same as `redact(text)`, with turns for everybody else in between where it is long."""
    if len(text) <= PIECE:
        return redact(text)
    piece = partial(next, in_pieces(redact, text), None)
    found = list[str]()
    while (part := await beside(piece)) is not None:
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
