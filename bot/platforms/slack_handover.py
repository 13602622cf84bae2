"""Handing over what people did, in tasks that outlast Slack's patience, and telling who did it what failed.

Slack waits three seconds for an answer (api.slack.com, "Events API", "Slash commands", "Interactivity").
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from bot.chat import Content, DeliveryError, Incoming, Receive, Request, RetryLaterError
from bot.platforms.slack_client import UnavailableError
from bot.platforms.slack_ports import Workspace

_log = structlog.get_logger()

PATIENCE = 2.0  # seconds; then Slack is answered, and the work goes on
STOP = 5.0  # seconds that the work is given to come to an end
SORRY = "I could not take that in; please send it again."
UNSENT = (DeliveryError, RetryLaterError, UnavailableError)

Wait = Callable[..., Awaitable[object]]
Work = Coroutine[Any, Any, None]


class FormError(Exception):
    """Slack opened no form; the text says what to type instead."""


class Handover:
    """`receive` is where everything goes; None while the bot starts or stops. `wait` is asyncio.wait."""

    def __init__(self, slack: Workspace, wait: Wait) -> None:
        self.receive: Receive | None = None
        self._slack = slack
        self._wait = wait
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """Take no more; what was begun has a few seconds to come to its end."""
        self.receive = None
        if self._tasks:
            _, left = await asyncio.wait(set(self._tasks), timeout=STOP)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def hand_over(self, made: Incoming) -> None:
        """Pass on what somebody did, with what bars the account; without a channel it goes to their own."""
        receive = self.receive
        if receive is None:
            raise ConnectionError("Watchbell is starting or stopping")
        if made.user and not made.barred and (barred := await self.barred(made.user)):
            made = replace(made, barred=barred)
        if not made.channel:
            made = replace(made, channel=await self._slack.direct(made.user))
        await receive(made)

    async def barred(self, user: str) -> str:
        """Why an account may do nothing; empty for one that may."""
        await self._slack.directory.know(user)
        return self._slack.directory.barred(user)

    async def within(self, work: Work, told: Incoming | None = None) -> None:
        """Do the work; returns when it is done, or after two seconds. Raises what it raised by then.

        What it raises later is logged, and said to whoever did `told`.
        """
        task = self._begin(work)
        await self._wait({task}, timeout=PATIENCE)
        if task.done():
            task.result()
        else:
            task.add_done_callback(partial(self._late, told))

    def failed(self, what: str, error: BaseException, told: Incoming | None = None) -> None:
        """Log an error with a reference, and say so to whoever did `told`, without waiting for that."""
        _log.error(what, reference=secrets.token_hex(3).upper(), exc_info=error)
        if told is not None:
            self._begin(self._tell(told, sentence(error)))

    def _begin(self, work: Work) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _late(self, told: Incoming | None, task: asyncio.Task[None]) -> None:
        """Slack was answered, so it does not send this again."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed("what was acknowledged to Slack could not be taken in", error, told)

    async def _tell(self, made: Incoming, said: str) -> None:
        thread = made.thread if isinstance(made, Request) else None
        try:
            channel = made.channel or await self._slack.direct(made.user)
            await self._slack.whisper(channel, made.user, Content(said, said), thread=thread)
        except UNSENT as error:
            _log.warning("nobody could be told", sentence=said, error=str(error))


def sentence(error: BaseException) -> str:
    """What the person is told."""
    return str(error) if isinstance(error, FormError) else SORRY
