"""What is told to one person alone: private answers, refusals, and errors with a reference."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from bot.chat import Button, Content, Incoming, Platform, Request
from commands.actions import TargetError
from commands.case import Reply
from incidents.ports import ConflictError, NotRecordedError, RefusedError

log = structlog.get_logger()


class Whispers:
    """`content` makes what a platform shows for a template and its data; `redact` takes out what is secret."""

    def __init__(
        self, platforms: Mapping[str, Platform], content: Callable[..., Content], redact: Callable[[str], str]
    ) -> None:
        self._platforms = platforms
        self._content = content
        self._redact = redact

    async def error(self, incoming: Incoming, error: Exception) -> None:
        """Why something was not done; what nobody foresaw gets a reference, and the log its traceback."""
        if isinstance(error, RefusedError | TargetError | ConflictError):
            reply = Reply("refused", {"text": self._redact(str(error))})  # it may quote a system
        else:
            reference = secrets.token_hex(2).upper()
            log.error("not done", reference=reference, exc_info=error)
            if isinstance(error, NotRecordedError):
                text = (
                    f"I can't write to my log ({error}), so I run nothing. Watchbell reference {reference}."
                )
                reply = Reply("refused", {"text": text})
            else:
                reply = Reply("error", {"reference": reference})
        await self.tell(incoming, reply)

    async def tell(self, incoming: Incoming, reply: Reply) -> None:
        """To the person alone, at most once: a chat that is away loses it, and the log says so."""
        platform = self._platforms[incoming.platform]
        buttons = tuple(Button(c.label, c.line, c.style) for c in reply.choices)
        content = self._content(reply.template, reply.data, platform, buttons, reply.card)
        if isinstance(incoming, Request):
            content = replace(content, answers=incoming.message_id)
        thread = incoming.thread if isinstance(incoming, Request) else None
        try:
            await platform.whisper(incoming.channel, incoming.user, content, thread=thread)
        except Exception as error:  # noqa: BLE001 - a chat that is away must not undo what was done
            log.warning("a private answer was lost", channel=incoming.channel, error=str(error))
