"""The bot's own metrics, for Prometheus."""

from __future__ import annotations

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from bot.web.context import WebContext


def routes(context: WebContext) -> list[web.RouteDef]:
    """/metrics, in the format that the caller understands."""

    async def metrics(request: web.Request) -> web.Response:
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(context.metrics), headers={"Content-Type": kind})

    return [web.get("/metrics", metrics)]
