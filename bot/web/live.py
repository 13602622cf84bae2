"""Live updates: one stream of server-sent events a reader, resumable at the revision it has seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from aiohttp import web

from bot.platforms.console import Console
from bot.platforms.console_store import Channel, Message, Page, Thing
from bot.web.board import Board
from bot.web.chat_view import Reader
from bot.web.context import WebContext
from bot.web.page import Pages

# Wall-clock seconds, not the bot's: this is about browsers and sockets.
LOOK = 0.5  # the board is looked at again at least so often while somebody watches
FRESH = 0.2  # and at most so often, however many watch and however much is said
PULSE = 5.0  # and the clock is told so often, which also finds readers who went away


class Live:
    """Wakes the streams when the chat changes, and looks at the board while somebody watches."""

    def __init__(self, context: WebContext, console: Console, pages: Pages, board: Board) -> None:
        self._context = context
        self._pages = pages
        self._board = board
        self._streams: set[asyncio.Event] = set()
        self._looked: dict[str, tuple[float, str]] = {}  # by reader: when, and what it was
        self._closing = False
        console.watch(self.wake)

    def wake(self) -> None:
        """Let every stream look what is new."""
        for stream in self._streams:
            stream.set()

    def close(self) -> None:
        """End all streams."""
        self._closing = True
        self.wake()

    async def stream(self, request: web.Request, reader: Reader, since: int) -> web.StreamResponse:
        """Answer with the stream of what `reader` may see after revision `since`."""
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        response.headers["Cache-Control"] = "no-store"
        await response.prepare(request)
        wake = asyncio.Event()
        self._streams.add(wake)
        try:
            async for event in self._events(reader, since, wake):
                await response.write(event)
        except ConnectionResetError:
            pass  # the reader went away
        finally:
            self._streams.discard(wake)
        return response

    async def _events(self, reader: Reader, since: int, wake: asyncio.Event) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        board, speed, told = "", 0.0, float("-inf")
        while not self._closing:
            wake.clear()
            changed = reader.console.store.changes(since)
            if changed is None:
                yield event("reload", {})
                return
            for thing in changed:
                since = thing.rev
                if (data := self._thing(thing, reader)) is not None:
                    yield event(type(thing).__name__.lower(), data, since)
            if any(isinstance(thing, Channel) for thing in changed):
                yield event("channels", {"html": self._pages.macro("_parts.html", "channels", reader, "")})
            if (now := await self._rows(reader.me)) != board:
                board = now
                yield event("board", {"html": board})
            if self._context.clock.speed != speed or loop.time() - told > PULSE:
                speed, told = self._context.clock.speed, loop.time()
                yield event("clock", {"now": self._context.clock.now().isoformat(), "speed": speed}, since)
            try:
                await asyncio.wait_for(wake.wait(), LOOK)
            except TimeoutError:
                continue

    async def _rows(self, me: str) -> str:
        now = asyncio.get_running_loop().time()
        at, html = self._looked.get(me, (float("-inf"), ""))
        if now - at > FRESH:
            html = await self._board.html(me)
            self._looked[me] = (now, html)
        return html

    def _thing(self, thing: Thing, reader: Reader) -> dict[str, Any] | None:
        if isinstance(thing, Page):
            html = self._pages.macro("_parts.html", "contacted", reader)
            mine = thing.person == reader.me
            return {"html": html, "mine": mine, "method": thing.method, "text": thing.text, "id": thing.id}
        if isinstance(thing, Message) and (view := reader.one(thing)) is not None:
            return {
                "id": thing.id,
                "number": thing.number,
                "channel": thing.channel,
                "thread": thing.thread,
                "mine": view.mine,
                "mention": view.for_me or thing.reader is not None,
                "html": self._pages.macro("_parts.html", "message", view, reader.me),
            }
        return None


def event(name: str, data: dict[str, Any], rev: int | None = None) -> bytes:
    """One event of the stream, as the HTML standard writes it."""
    head = f"id: {rev}\n" if rev is not None else ""
    return f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n"
