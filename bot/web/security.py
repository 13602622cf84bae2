"""Who may talk to the pages: Host and Origin are checked, headers forbid the rest, errors tell little."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import secrets
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bot.web.context import WebSettings

_log = structlog.get_logger()

# Called by machines, under whatever name or address; alerts bring a token, Slack's requests a signature.
MACHINES = ("/healthz", "/readyz", "/metrics", "/alerts/", "/slack/events")
PUBLIC = ("/status", "/static/", "/favicon.ico")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it, browsers send `Origin: null` with our own forms (Fetch standard, 3.2).
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def guard(settings: WebSettings) -> Middleware:
    """The middleware in front of every page."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if sentence := _refusal(request, settings):
            return web.Response(status=403, text=sentence + "\n")
        if not _let_in(request, settings):
            return web.Response(
                status=401,
                text="This page asks for a password.\n",
                headers={"WWW-Authenticate": 'Basic realm="Watchbell", charset="UTF-8"'},
            )
        return await _answer(request, handler)

    return middleware


async def put_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Signal: every answer gets the headers, those that are streamed too."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except ConnectionResetError:  # the reader went away
        raise
    except Exception:  # noqa: BLE001 - an edge: logged once with a reference, and that is told
        reference = secrets.token_hex(3).upper()
        _log.exception("a page failed", path=request.path, reference=reference)
        return web.Response(status=500, text=f"Something went wrong here. Watchbell reference {reference}.\n")


def _refusal(request: web.Request, settings: WebSettings) -> str:
    machine = request.path.startswith(MACHINES)
    if (settings.demo or not machine) and not _known_host(request.host, settings):
        return "These pages are not served under this name; the setting web.hosts lists the names."
    if request.method not in ("GET", "HEAD") and not _own_origin(request):
        return "This came from another site."
    if settings.password is None and not _open(request, settings) and not _is_loopback(request.remote):
        return "Without the setting web.password, these pages are shown to this machine only."
    return ""


def _own_origin(request: web.Request) -> bool:
    """Browsers name the origin of a POST; what names none is no browser (Alertmanager, curl)."""
    origin = request.headers.get("Origin")
    if origin is None:
        return request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
    try:
        return urlsplit(origin).netloc == request.host
    except ValueError:  # no address at all
        return False


def _open(request: web.Request, settings: WebSettings) -> bool:
    return settings.demo or request.path.startswith((*MACHINES, *PUBLIC))


def _known_host(host: str, settings: WebSettings) -> bool:
    if "*" in settings.hosts:
        return True
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name in LOOPBACK or name in settings.hosts


def _let_in(request: web.Request, settings: WebSettings) -> bool:
    if settings.password is None or _open(request, settings):
        return True
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.casefold() != "basic":
        return False
    try:
        _, _, password = base64.b64decode(given, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    return hmac.compare_digest(password.encode(), settings.password.encode())


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
