"""The event loop that the bot lives in: uvloop where it is there, which is everywhere but on Windows."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Between two looks of the garbage collector, by generation: with Python's own (700, 10, 10) it looks every few
# dozen commands, and an oldest generation of long lives is looked at for nothing.
THRESHOLDS = (20_000, 20, 20)


def run(main: Coroutine[Any, Any, T]) -> T:
    """What `main` returns; as asyncio.run, at two thirds of its price for a command."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def settle_memory() -> None:
    """Have the garbage collector leave alone what is there by now: modules and settings outlive everything.

    Else it looks at all of it every few seconds, and nobody is answered for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
