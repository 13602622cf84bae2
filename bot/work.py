"""The tasks that a boot runs in the background: counted, logged when they fail, cancelled at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from bot.chat import DeliveryError
from incidents.ports import Clock

log = structlog.get_logger()

T = TypeVar("T")


class LateError(Exception):
    """Something took longer than it was given."""


class Work:
    """Background tasks; `active` counts those that have not ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def active(self) -> int:
        """How many tasks have not ended."""
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run it beside everything else; what it raises is logged."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def within(self, clock: Clock, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns; LateError where that takes longer by this clock, and it is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        bell = self.spawn(clock.sleep(seconds), "a limit")
        try:
            await asyncio.wait((task, bell), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise LateError
            return task.result()
        finally:
            task.cancel()
            bell.cancel()
            await asyncio.gather(task, bell, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            refused = isinstance(error, DeliveryError)  # said in a sentence; where it was raised helps nobody
            known: dict[str, Any] = {"error": str(error)} if refused else {"exc_info": error}
            log.error("a background task failed", task=task.get_name(), **known)

    async def stop(self) -> None:
        """Cancel what still runs, and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
