"""Work that nobody waits for: begun when there is some, one piece after the other, left undone at the end."""

from __future__ import annotations

import asyncio


class Errand:
    """What `_work` does, in a task of its own for as long as something waits."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def done(self) -> None:
        """Return once nothing waits any more."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def stop(self) -> None:
        """Leave the rest."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    # -- for its kinds ----------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        raise NotImplementedError
