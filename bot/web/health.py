"""Whether the process lives, and whether it is ready to work."""

from __future__ import annotations

from aiohttp import web

from bot.web.context import WebContext


def routes(context: WebContext) -> list[web.RouteDef]:
    """/healthz and /readyz."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        health = await context.health()
        body = {"ready": health.ready, "parts": dict(health.parts)}
        return web.json_response(body, status=200 if health.ready else 503)

    return [web.get("/healthz", healthz), web.get("/readyz", readyz)]
