"""A gateway in front of an engine's socket, whose patience ends when the engine has done what it was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import aiohttp
from aiohttp import web


class Gateway:
    """Listens on `socket` and passes everything on to the engine at `to`.

    A request whose method and path end with one of `late` is carried out, and answered with 504.
    """

    def __init__(self, to: Path, socket: Path) -> None:
        self.to, self.socket = to, socket
        self.late: tuple[str, ...] = ()
        self.sent: list[str] = []

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.to)))
        app = web.Application(client_max_size=32 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._passed)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _passed(self, request: web.Request) -> web.Response:
        asked = f"{request.method} {request.path}"
        headers = {"Content-Type": request.content_type} if request.can_read_body else {}
        body = await request.read()
        async with self._client.request(
            request.method, f"http://engine{request.path_qs}", data=body or None, headers=headers
        ) as answer:
            content = await answer.read()
        if request.method != "GET":
            self.sent.append(asked)
        if self.late and asked.endswith(self.late):
            return web.Response(status=504, text="<html>504 Gateway Time-out</html>")
        return web.Response(status=answer.status, body=content, content_type=answer.content_type)
