"""The HTTP server: one aiohttp application out of the parts that this configuration has."""

from __future__ import annotations

from aiohttp import web

from bot.web import alerts, health, metrics
from bot.web.board import Board
from bot.web.chat import Chat
from bot.web.context import Pace, WebContext, WebSettings
from bot.web.page import Pages
from bot.web.security import guard, put_headers

__all__ = ["Pace", "WebContext", "WebSettings", "build"]


def build(context: WebContext) -> web.Application:
    """The application: alerts, health, metrics and board always, the browser chat in a demo."""
    app = web.Application(middlewares=[guard(context.settings)])
    app.on_response_prepare.append(put_headers)
    pages = Pages(context.settings, context.clock)
    board = Board(context, pages)
    for part in (health, metrics, alerts):
        app.add_routes(part.routes(context))
    app.add_routes(pages.routes())
    app.add_routes(board.routes())
    if context.settings.demo and context.console is not None:
        chat = Chat(context, context.console, pages, board)
        app.add_routes(chat.routes())
        app.on_shutdown.append(chat.close)
    else:
        app.add_routes([web.get("/", board.page)])
    return app
