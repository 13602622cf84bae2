"""Read receipts: people see that the bot has heard what they wrote ("Receipts").

Nobody waits for them, none is repeated, and a room is told at most every second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from bot.chat import DeliveryError, RetryLaterError
from bot.platforms.matrix_client import V3, MatrixClient, UnavailableError
from bot.platforms.matrix_errand import Errand

_log = structlog.get_logger()

PAUSE = 1.0  # seconds that more is waited for, so that what comes in a row costs one receipt


class Receipts(Errand):
    """The newest event taken in of each room that `concerns` the bot; in others it overhears only."""

    def __init__(
        self,
        api: MatrixClient,
        concerns: Callable[[str], Awaitable[bool]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__()
        self._api = api
        self._concerns = concerns
        self._sleep = sleep
        self._newest: dict[str, str] = {}  # room → event

    def put(self, room: str, message_id: str) -> None:
        """Have it said soon that everything up to this event was taken in."""
        self._newest[room] = message_id
        self._begin()

    async def stop(self) -> None:
        """Leave the rest."""
        self._newest.clear()
        await super().stop()

    async def _work(self) -> None:
        while self._newest:
            await self._sleep(PAUSE)
            waiting, self._newest = self._newest, {}
            for room, message_id in waiting.items():
                try:
                    if await self._concerns(room):
                        await self._api.call("POST", V3, "rooms", room, "receipt", "m.read", message_id)
                except RetryLaterError as wait:
                    await self._sleep(wait.seconds)
                except (DeliveryError, UnavailableError) as error:
                    _log.debug("a read receipt was not taken", room=room, error=str(error))
