"""Files that browsers save and never show."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web


def download(name: str, data: bytes, mime: str = "application/octet-stream") -> web.Response:
    """An answer that is saved under `name` (RFC 6266, RFC 8187)."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in name) or "file"
    coded = quote(name, safe="", errors="replace")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{coded}"
    return web.Response(body=data, headers={"Content-Type": mime, "Content-Disposition": disposition})
