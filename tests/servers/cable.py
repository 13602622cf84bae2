"""A cable between the bot and a server that can be cut, held, or made to say nonsense, at a chosen request."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

Fault = Literal["silent", "half", "cut", "hold", "huge", "garbage", "refuse"]
HUGE = 10 * 1024**2  # bytes


@dataclass
class Cable:
    """Listens on `port`, passes everything on to `to`; of a unix socket `to` it listens on `socket`, beside it.

    `fault(how, when)` strikes with the first request that holds `when`, and on its connection from then on:
    silent: nothing is passed on; half: half of the answer comes; cut: the request arrives, then the connection is
    reset; hold: the answer waits for `release`; huge: an answer of 10 MB; garbage: bytes that mean nothing.
    `refuse` closes the door.
    """

    to: int | Path
    port: int = 0
    requests: bytearray = field(default_factory=bytearray)
    _fault: tuple[Fault, bytes, int] | None = None
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    _struck: asyncio.Event = field(default_factory=asyncio.Event)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        """Listen, on the same port or socket again after `refuse`."""
        if isinstance(self.to, Path):
            self.socket.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._served, self.socket)
            return
        self._server = await asyncio.start_server(self._served, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def socket(self) -> Path:
        """Where it listens for a server that has a unix socket."""
        return Path(f"{self.to}.cable")

    def fault(self, how: Fault, when: bytes = b"", times: int = 1) -> None:
        """The next fault, on so many connections; one kind at a time."""
        self._struck.clear()
        self.heard.clear()
        self._open.clear()
        self._fault = (how, when, times)

    def heal(self) -> None:
        """Whatever was ordered: new connections are as they should be, held answers come."""
        self._fault = None
        self._open.set()

    async def struck(self) -> None:
        """Return when the request of the fault has come."""
        async with asyncio.timeout(20):
            await self._struck.wait()

    async def answered(self) -> None:
        """Return when the server has answered that request: it was carried out, whoever hears of it."""
        async with asyncio.timeout(20):
            await self.heard.wait()

    async def refuse(self) -> None:
        """Close the door and every connection."""
        await self.stop()

    async def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        with suppress(OSError, asyncio.CancelledError):
            there, back = (
                await asyncio.open_unix_connection(self.to)
                if isinstance(self.to, Path)
                else await asyncio.open_connection("127.0.0.1", self.to)
            )
            self._writers.add(back)
            try:
                await _Passage(self, reader, writer, there, back).run()
            finally:
                for each in (writer, back):
                    self._writers.discard(each)
                    each.transport.abort()

    def strikes(self, request: bytes) -> Fault | None:
        """The fault, where this request brings it on."""
        self.requests += request
        if self._fault is None or self._fault[1] not in request:
            return None
        how, when, times = self._fault
        self._fault = (how, when, times - 1) if times > 1 else None
        self._struck.set()
        return how

    async def opened(self) -> None:
        """Return when held answers may go on."""
        await self._open.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()


@dataclass
class _Passage:
    """One connection."""

    cable: Cable
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    there: asyncio.StreamReader
    back: asyncio.StreamWriter
    fault: Fault | None = None

    async def run(self) -> None:
        """Pass both ways until one end is closed."""
        ways = [asyncio.ensure_future(way) for way in (self._requests(), self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while data := await self.reader.read(65_536):
            self.fault = self.fault or self.cable.strikes(data)
            if self.fault == "silent":
                continue
            if self.fault in ("huge", "garbage"):
                await self._nonsense()
                continue
            self.back.write(data)
            await self.back.drain()

    async def _nonsense(self) -> None:
        body = (
            b"$%d\r\n" % HUGE + b"x" * HUGE
            if self.fault == "huge"
            else b"\xff\xfe\x00HTTP/1.1 400 no\r\n\r\n"
        )
        self.writer.write(body + b"\r\n")
        await self.writer.drain()

    async def _answers(self) -> None:
        while data := await self.there.read(65_536):
            if self.fault is not None:
                self.cable.heard.set()
            if self.fault == "hold":
                await self.cable.opened()
            elif self.fault == "cut":
                self.writer.transport.abort()
                return
            elif self.fault == "half":
                self.writer.write(data[: max(1, len(data) // 2)])
                await asyncio.Event().wait()
            self.writer.write(data)
            await self.writer.drain()
