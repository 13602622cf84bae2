"""The incident board, the page of one incident, its exports, and the public status page."""

from __future__ import annotations

import structlog
from aiohttp import web

from bot.views import IncidentView
from bot.web.context import WebContext
from bot.web.download import download
from bot.web.page import Pages

FORMS = ("md", "html", "json", "csv", "zip")
# An exported page stands alone: its own styles and drawings, no script, no network.
EXPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
)

_log = structlog.get_logger()


class Board:
    """The pages about incidents."""

    def __init__(self, context: WebContext, pages: Pages) -> None:
        self._context = context
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """/board, /incidents/N, /incidents/N/export.FORM, /status."""
        number = "{number:[0-9]{1,9}}"
        return [
            web.get("/board", self.page),
            web.get(f"/incidents/{number}", self.incident),
            web.get(f"/incidents/{number}/export.{{form:[a-z]{{2,5}}}}", self.export),
            web.get("/status", self.status),
        ]

    async def html(self, me: str = "") -> str:
        """The board's rows; `me` keeps the person in the links of the sandbox."""
        try:
            rows = in_order(await self._context.board())
        except Exception:  # noqa: BLE001 - an edge: without its log the bot can still be talked to
            _log.exception("the board cannot be read")
            return self._pages.macro("_parts.html", "no_board")
        return self._pages.macro("_parts.html", "board", rows, me)

    async def page(self, request: web.Request) -> web.Response:
        """The board alone."""
        return self._pages.response("board.html", board=await self.html(), me="")

    async def incident(self, request: web.Request) -> web.Response:
        """One incident: where it stands, what waits, its timeline and its reports."""
        number = int(request.match_info["number"])
        found = await self._context.incident(number)
        if found is None:
            raise web.HTTPNotFound(text=f"There is no incident {number} here.\n")
        return self._pages.response("incident.html", page=found, me=request.query.get("as", ""))

    async def export(self, request: web.Request) -> web.Response:
        """A report: HTML is shown (with `download`, saved), the other forms are saved."""
        form = request.match_info["form"]
        if form not in FORMS:
            raise web.HTTPNotFound(text=f"The forms of a report are {', '.join(FORMS)}.\n")
        try:
            name, data, mime = await self._context.export(int(request.match_info["number"]), form)
        except LookupError:
            raise web.HTTPNotFound(text="There is no such incident here.\n") from None
        if form != "html" or "download" in request.query:
            return download(name, data, mime)
        headers = {"Content-Type": mime, "Content-Security-Policy": EXPORT_POLICY}
        return web.Response(body=data, headers=headers)

    async def status(self, request: web.Request) -> web.Response:
        """What customers may know."""
        return self._pages.response("status.html", view=await self._context.status())


def in_order(rows: list[IncidentView]) -> list[IncidentView]:
    """Open ones first, the worst of them first, then the newest."""
    return sorted(rows, key=lambda r: (r.resolved_at is not None, r.rank, -r.opened_at.timestamp()))
