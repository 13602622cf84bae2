"""A stand-in for the admin endpoints of router, load balancer and instance manager, as a process of its own.

`python -m tests.servers.admin_http` prints its address. Under /test/ tests look at it and move it.
"""

from __future__ import annotations

import asyncio
import atexit
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import httpx
from aiohttp import web

FRESH: Mapping[str, Any] = {
    "config": {
        "max_concurrent_requests": 100,
        "admin_password": "hunter22-planted",
        "strategy": "least_loaded",
    },
    "instances": {"openai": {"desired": 3}, "anthropic": {"desired": 2}, "zai": {"desired": 1}},
    "failover": {"openai": []},
    "models": {"ready": True, "loaded": 2},
}
OPEN = ("/health", "/metrics", "/slow", "/away", "/binary", "/huge", "/health/liveness", "/health/readiness")
OPEN += ("/-/healthy", "/api/health", "/upstream/health", "/deep")  # without a token
TOKEN = "admin-token-0123456789abcdef"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Admin:
    """What the three services would keep, and the changes that were asked for: (path, body, key)."""

    def __init__(self) -> None:
        self.state = deepcopy(dict(FRESH))
        self.changes: list[dict[str, Any]] = []
        self.broken = 0  # the status of every answer, where it is not 0

    def app(self) -> web.Application:
        """Everything that can be asked."""
        app = web.Application(middlewares=[self._door], client_max_size=100_000)
        for path, handler in {
            "/health": self._health,
            "/health/liveness": self._health,
            "/health/readiness": self._health,
            "/-/healthy": self._health,
            "/api/health": self._health,
            "/upstream/health": self._health,
            "/routing/config": self._config,
            "/config": self._config,
            "/strategy/performance": self._config,
            "/ml/models/status": self._models,
            "/instances": self._instances,
            "/providers/{provider}/health": self._provider,
            "/metrics": self._metrics,
            "/slow": self._slow,
            "/away": self._away,
            "/binary": self._binary,
            "/huge": self._huge,
            "/deep": self._deep,
        }.items():
            app.router.add_get(path, handler)
        for path in (
            "/instances/scale",
            "/config/update",
            "/circuit/reset",
            "/cache/clear",
            "/strategy/update",
        ):
            app.router.add_post(path, self._change)
        for path in (
            "/failover/configure",
            "/ml/models/reload",
            "/route",
            "/config/gc/optimize",
            "/config/manual",
            "/rate-limit/configure",
            "/routing/cost-optimized",
        ):
            app.router.add_post(path, self._change)
        for path in ("/moved", "/fails", "/refuses"):
            app.router.add_post(path, self._change)
        app.router.add_post("/test/reset", self._reset)
        app.router.add_post("/test/set", self._set)
        app.router.add_get("/test/changes", self._changes)
        return app

    @web.middleware
    async def _door(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/test/"):
            return await handler(request)
        if self.broken:
            return web.Response(
                status=self.broken, text="the stand-in was told to fail, password: plantedsecret99"
            )
        wanted = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not wanted and request.path not in OPEN:
            return web.json_response({"error": "who are you"}, status=401)
        return await handler(request)

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _config(self, request: web.Request) -> web.Response:
        return web.json_response(self.state["config"])

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response(self.state["models"])

    async def _instances(self, request: web.Request) -> web.Response:
        return web.json_response(self.state["instances"])

    async def _provider(self, request: web.Request) -> web.Response:
        name = request.match_info["provider"]
        return web.json_response({"provider": name, "query": dict(request.query), "healthy": name != "zai"})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(
            text="# HELP x y\n# TYPE x gauge\nwebsocket_connections_active 42\nother_total 7\n"
        )

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def _away(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/latest/meta-data")

    async def _binary(self, request: web.Request) -> web.Response:
        return web.Response(body=b"\xff\xfe\x00 <!channel> token=plantedsecret99")

    async def _huge(self, request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 10 * 1024**2)

    async def _deep(self, request: web.Request) -> web.Response:
        return web.Response(body=b"[" * 900 + b"]" * 900, content_type="application/json")

    async def _change(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        if request.path == "/refuses":
            return web.json_response({"error": "not <b>today</b>, token=plantedsecret99"}, status=409)
        key = request.headers.get("Idempotency-Key", "")
        self.changes.append({"path": request.path, "body": body, "key": key})
        if request.path == "/moved":
            raise web.HTTPFound("/health")
        if request.path == "/fails":
            return web.Response(status=500, text="half of it was done")
        match request.path:
            case "/instances/scale":
                self.state["instances"][body["provider_type"]]["desired"] = body["desired_instances"]
            case "/config/update" | "/strategy/update":
                self.state["config"].update(body)
        return web.json_response({"ok": True})

    async def _reset(self, request: web.Request) -> web.Response:
        self.state, self.changes, self.broken = deepcopy(dict(FRESH)), [], 0
        return web.json_response({})

    async def _set(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.broken = body.get("broken", self.broken)
        self.state["config"].update(body.get("config", {}))
        for name, desired in body.get("instances", {}).items():
            self.state["instances"][name]["desired"] = desired
        return web.json_response({})

    async def _changes(self, request: web.Request) -> web.Response:
        return web.json_response({"changes": self.changes, "state": self.state})


class AdminServer:
    """The process; its address, and what tests do with it."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.servers.admin_http"]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """As untouched as a new one."""
        self._ask("/test/reset", {})

    def set(self, **what: Any) -> None:
        """Move it from outside: `config`, `instances` (provider → wanted), `broken` (a status for all answers)."""
        self._ask("/test/set", what)

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Every change that arrived: path, body, key."""
        found: list[dict[str, Any]] = self._ask("/test/changes")["changes"]
        return found

    @property
    def state(self) -> dict[str, Any]:
        """What it keeps."""
        found: dict[str, Any] = self._ask("/test/changes")["state"]
        return found

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _ask(self, path: str, body: Any = None) -> Any:
        reply = httpx.request("GET" if body is None else "POST", f"{self.url}{path}", json=body, timeout=30)
        return reply.json()


@cache
def shared() -> AdminServer:
    """One for the whole test run; it ends with the process."""
    server = AdminServer()
    atexit.register(server.stop)
    return server


async def main() -> None:
    """Serve until killed."""
    runner = web.AppRunner(Admin().app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)  # noqa: T201 - that is what it is started for
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
