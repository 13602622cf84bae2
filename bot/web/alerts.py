"""Alert webhooks: read what comes up to the allowed size, and pass it on."""

from __future__ import annotations

import asyncio

from aiohttp import web

from bot.web.context import WebContext


def routes(context: WebContext) -> list[web.RouteDef]:
    """POST /alerts/SOURCE, with `Authorization: Bearer TOKEN`."""

    async def receive(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(context.settings.body_seconds):
                body = await read_up_to(request, context.settings.alert_limit)
        except web.RequestPayloadError:
            return web.Response(
                status=400, text="This is not encoded as its header says; nothing was read.\n"
            )
        except TimeoutError:
            return web.Response(status=408, text="This did not come to an end in time; send it again.\n")
        if body is None:
            limit = f"{context.settings.alert_limit:,} bytes"
            return web.Response(status=413, text=f"This is larger than {limit}; nothing was read.\n")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip() if scheme.casefold() == "bearer" and token.strip() else None
        reply = await context.receive_alert(request.match_info["source"], body, given)
        return web.Response(status=reply.status, text=reply.text.rstrip("\n") + "\n")

    return [web.post("/alerts/{source:[a-z0-9_-]{1,64}}", receive)]


async def read_up_to(request: web.Request, limit: int) -> bytes | None:
    """The body, or None where it is longer than `limit` bytes, announced or not."""
    if (request.content_length or 0) > limit:
        return None
    body = bytearray()
    async for chunk in request.content.iter_chunked(65_536):
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)
