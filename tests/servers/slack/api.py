"""The stand-in's HTTP server: the Web API, uploads and downloads, response_urls, control and deliveries."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from aiohttp import web

from tests.servers.slack import (
    api_channels,
    api_chat,
    api_conversations,
    api_files,
    api_items,
    api_users,
    api_views,
    control,
    delivery,
    response_urls,
)
from tests.servers.slack.api_method import INVALID, ApiError, Call, LimitedError, Method, arguments
from tests.servers.slack.faults import Faults, ratelimited
from tests.servers.slack.limits import RateLimits
from tests.servers.slack.state import Json, Workspace

BODY = 32 * 1024 * 1024  # bytes of a request; uploads of tests are smaller
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def methods_of(*modules: ModuleType) -> dict[str, Method]:
    """The methods that these modules define, by name."""
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Method)]
    return {method.name: method for method in found}


class Api:
    """Answers `/api/METHOD`: token, arguments, scope, rate limit, then the method (api.slack.com/web)."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.faults = Faults()
        self.rates = RateLimits(workspace.now)
        self._methods = methods_of(
            api_channels, api_chat, api_conversations, api_files, api_items, api_users, api_views
        )

    def faulty(self, name: str, handler: Handler) -> Handler:
        """A handler that faults on command befall under such a name."""

        async def handle(request: web.Request) -> web.StreamResponse:
            kind = self.faults.draw(request.match_info.get("method", name))
            if (instead := self.faults.instead(kind, request)) is not None:
                return instead
            return await self.faults.afterwards(kind, request, await handler(request))

        return handle

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call: 200 with `ok`, or 429."""
        name = request.match_info["method"]
        try:
            given = await self._given(request)
            answer: Json = {"ok": True, **await self._call(name, given, request)}
        except LimitedError as error:
            return ratelimited(error.seconds)
        except ApiError as error:
            answer = self._error(name, error)
        headers = {"x-oauth-scopes": ",".join(sorted(self.workspace.app.scopes))}
        if (method := self._methods.get(name)) is not None and method.scope:
            headers["x-accepted-oauth-scopes"] = method.scope
        return web.json_response(answer, headers=headers)

    async def _call(self, name: str, given: Json, request: web.Request) -> Json:
        token = _token(request, given)
        method = self._methods.get(name)
        if method is None:
            raise ApiError("unknown_method", req_method=name)
        self._authorised(method, token)
        if wait := self.rates.call(name, method.tier):
            raise LimitedError(wait)
        call = Call(self.workspace, self.rates, name, arguments(method.takes, given))
        if method.scope:
            call.need(method.scope)
        return await method.run(call)

    def _authorised(self, method: Method, token: str) -> None:
        """The token is there, known, and of the kind that the method takes."""
        app = self.workspace.app
        kinds = {app.bot_token: "bot", app.app_token: "app"}
        if not token:
            raise ApiError("not_authed")
        if token not in kinds:
            raise ApiError("invalid_auth")
        if kinds[token] != method.token:
            raise ApiError("not_allowed_token_type")

    def _error(self, name: str, error: ApiError) -> Json:
        if INVALID.fullmatch(error.error):
            self.workspace.violation(name, error.error, "; ".join(error.messages) or str(error.extra or ""))
        answer: Json = {"ok": False, "error": error.error, **error.extra}
        return answer | ({"response_metadata": {"messages": error.messages}} if error.messages else {})

    async def _given(self, request: web.Request) -> Json:
        """The arguments of the query, the form or the JSON body."""
        given: dict[str, Any] = dict(request.query)
        if request.method == "GET" or not request.can_read_body:
            return given
        if request.content_type in FORMS:
            return given | dict(await request.post())
        if request.content_type != "application/json":
            raise ApiError("invalid_post_type")
        try:
            body = await request.json()
        except json.JSONDecodeError as error:
            raise ApiError("invalid_json") from error
        if not isinstance(body, dict):
            raise ApiError("json_not_object")
        return given | body


def _token(request: web.Request, given: Json) -> str:
    """The token of the header, else of the arguments."""
    inside = str(given.pop("token", "") or "")
    bearer = request.headers.get("Authorization", "")
    return bearer.removeprefix("Bearer ").strip() if bearer.startswith("Bearer ") else inside


def application(workspace: Workspace) -> web.Application:
    """Everything that the stand-in serves, on one port."""
    api = Api(workspace)

    async def upload(request: web.Request) -> web.StreamResponse:
        return await api_files.upload(workspace, request)

    async def download(request: web.Request) -> web.StreamResponse:
        return await api_files.download(workspace, request)

    async def respond(request: web.Request) -> web.StreamResponse:
        return await response_urls.respond(workspace, request)

    app = web.Application(client_max_size=BODY)
    app.add_routes(delivery.routes(workspace))  # before the control's own, which end with a catch-all
    app.add_routes(
        [
            web.route("*", "/api/{method}", api.faulty("", api.handle)),
            web.post("/upload/v1/{file}", api.faulty("upload", upload)),
            web.get("/files-pri/{file}/{name:.*}", api.faulty("download", download)),
            web.post("/response/{team}/{key}", api.faulty("response_url", respond)),
            *control.routes(workspace, api.faults, api.rates),
        ]
    )
    return app
