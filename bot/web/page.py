"""Pages out of templates: one Jinja2 environment, autoescaped, and the files that pages load."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from bot.web.context import Pace, WebSettings

KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SEVERE = ("rank-0", "rank-1", "rank-2", "rank-3")


class Pages:
    """Renders the templates of templates/web; times are told in the configured zone, by the bot's clock."""

    def __init__(self, settings: WebSettings, clock: Pace) -> None:
        self._settings = settings
        self._clock = clock
        self.files = {
            path.name: path.read_bytes() for path in settings.templates.iterdir() if path.suffix in KINDS
        }
        env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(settings.templates),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        env.filters |= {
            "hour": lambda at: f"{self._local(at):%H:%M}",
            "stamp": self.stamp,
            "day": self.day,
            "iso": lambda at: at.isoformat(),
            "until": lambda at: until(at, clock.now()),
            "size": size,
            "rank": lambda rank: SEVERE[min(max(rank, 0), 3)],
        }
        env.globals |= {"asset": self.asset, "settings": settings, "clock": clock}
        self._env = env

    def response(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """The template as a page."""
        return web.Response(text=self.html(template, **values), status=status, content_type="text/html")

    def html(self, template: str, **values: Any) -> str:
        """The template as text."""
        return self._env.get_template(template).render(values)

    def macro(self, template: str, name: str, *args: Any) -> str:
        """What one macro of a template gives."""
        return str(getattr(self._env.get_template(template).module, name)(*args))

    def asset(self, name: str) -> str:
        """The path of a file that pages load; it changes with the file, so that it can be kept."""
        return f"/static/{name}?{hashlib.sha256(self.files[name]).hexdigest()[:10]}"

    def stamp(self, at: datetime) -> str:
        """3 Jan 02:45 CET."""
        local = self._local(at)
        return f"{local.day} {local:%b %H:%M} {local.tzname()}"

    def day(self, at: datetime) -> str:
        """Saturday 3 January."""
        local = self._local(at)
        return f"{local:%A} {local.day} {local:%B}"

    def routes(self) -> list[web.RouteDef]:
        """The files that pages load."""

        async def static(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            if name not in self.files:
                raise web.HTTPNotFound(text="There is no such file.\n")
            headers = {"Cache-Control": "max-age=31536000, immutable" if request.query_string else "no-cache"}
            kind = KINDS[Path(name).suffix]
            return web.Response(body=self.files[name], content_type=kind, charset="utf-8", headers=headers)

        async def icon(_: web.Request) -> web.Response:  # what browsers ask for beside a page without one
            return web.Response(body=self.files["bell.svg"], content_type="image/svg+xml")

        return [web.get("/static/{name}", static), web.get("/favicon.ico", icon)]

    def _local(self, at: datetime) -> datetime:
        return at.astimezone(self._settings.zone)


def until(at: datetime, now: datetime) -> str:
    """ "in 14 min", "3 min ago": the words that board.js goes on counting."""
    seconds = round((at - now).total_seconds())
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago" if seconds < 0 else "now"


def span(seconds: int) -> str:
    """40 s, 14 min, 2 h 5 min, 3 d 4 h: cut off, never rounded up."""
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def size(count: int) -> str:
    """Bytes as people read them: 812 B, 14 kB, 2.1 MB."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
