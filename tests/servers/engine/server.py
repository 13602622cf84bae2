"""The HTTP of the stand-in: which paths and parameters there are, what they answer, and its control."""

from __future__ import annotations

import asyncio
import json
import re
import struct
from datetime import datetime
from typing import Any

from aiohttp import web

from tests.servers.engine.containers import HOST, ApiError, Container, Engine

Json = dict[str, Any]
NEWEST, OLDEST = (1, 43), (1, 24)
# Method and path → the parameters that the reference has for it.
PATHS: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/_ping"): frozenset(),
    ("GET", "/version"): frozenset(),
    ("GET", "/info"): frozenset(),
    ("GET", "/containers/json"): frozenset({"all", "limit", "size", "filters"}),
    ("POST", "/containers/create"): frozenset({"name", "platform"}),
    ("GET", "/containers/{id}/json"): frozenset({"size"}),
    ("POST", "/containers/{id}/start"): frozenset({"detachKeys"}),
    ("POST", "/containers/{id}/stop"): frozenset({"signal", "t"}),
    ("POST", "/containers/{id}/restart"): frozenset({"signal", "t"}),
    ("POST", "/containers/{id}/update"): frozenset(),
    ("DELETE", "/containers/{id}"): frozenset({"v", "force", "link"}),
    ("GET", "/containers/{id}/logs"): frozenset(
        {"follow", "stdout", "stderr", "since", "until", "timestamps", "tail"}
    ),
    ("GET", "/containers/{id}/stats"): frozenset({"stream", "one-shot"}),
    ("GET", "/images/{id}/json"): frozenset(),
    ("POST", "/networks/{id}/connect"): frozenset(),
}
UPDATES = frozenset({"Memory", "MemorySwap", "MemoryReservation", "CpuShares", "NanoCpus", "RestartPolicy"})
_VERSION = re.compile(r"/v(\d+)\.(\d+)(/.*)")


class Server:
    """Answers every path; `requests` are those that came, newest last."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.requests: list[Json] = []
        self.failing: list[Json] = []
        self.newest, self.oldest = NEWEST, OLDEST

    def application(self) -> web.Application:
        """The application of aiohttp."""
        app = web.Application(client_max_size=32 * 1024**2)
        app.router.add_post("/_control/{name}", self._control)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    # -- control --------------------------------------------------------------------------------------

    async def _control(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name, engine = request.match_info["name"], self.engine
        found: Any = None
        if name == "reset":
            engine.reset()
            self.requests, self.failing = [], []
            self.newest, self.oldest = NEWEST, OLDEST
        elif name == "set":  # of a container: any of its fields
            for key, value in asked["fields"].items():
                setattr(engine.find(asked["container"]), key, value)
        elif name == "log":
            pairs = [(each[0], each[1], bytes.fromhex(each[2])) for each in asked["lines"]]
            engine.find(asked["container"]).lines.extend(pairs)
        elif name == "engine":  # images, dies, health_after
            engine.images |= asked.get("images", {})
            engine.dies = set(asked.get("dies", engine.dies))
            engine.health_after = asked.get("health_after", engine.health_after)
        elif name == "speaks":
            self.newest, self.oldest = tuple(asked["newest"]), tuple(asked["oldest"])
        elif (
            name == "fail"
        ):  # the next requests of that method and path: status, message; `done`: after it was done; `plain`: no JSON
            self.failing.append(asked)
        elif name == "requests":
            found = self.requests
        else:
            raise web.HTTPNotFound(text=name)
        return web.json_response(found)

    # -- the API --------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        record = {"method": request.method, "path": request.path, "query": dict(request.query), "status": 0}
        self.requests.append(record)
        try:
            answer = self._failed(request, done=False) or self._answer(request, content)
            answer = self._failed(request, done=True) or answer
        except ApiError as error:
            answer = _message(error.status, error.message)
        record["status"] = answer.status
        await asyncio.sleep(0)
        return answer

    def _failed(self, request: web.Request, *, done: bool) -> web.Response | None:
        for each in self.failing:
            if bool(each.get("done")) == done and re.search(each["path"], f"{request.method} {request.path}"):
                each["count"] = each.get("count", 1) - 1
                if each["count"] <= 0:
                    self.failing.remove(each)
                if each.get("plain"):
                    return web.Response(status=each["status"], text=each["message"])
                return _message(each["status"], each["message"])
        return None

    def _answer(self, request: web.Request, content: bytes) -> web.Response:
        path = self._path(request.path)
        template, ident = _template(request.method, path)
        unknown = set(request.query) - PATHS[request.method, template]
        if unknown:
            raise ApiError(400, f"the stand-in knows no parameter {', '.join(sorted(unknown))} of {template}")
        body = _body(request, content)
        handler = getattr(self, "_" + re.sub(r"\W+", "_", f"{request.method} {template}").strip("_").lower())
        found: web.Response = handler(ident, request.query, body)
        return found

    def _path(self, whole: str) -> str:
        found = _VERSION.fullmatch(whole)
        if found is None:
            return whole
        version = (int(found[1]), int(found[2]))
        if version > self.newest:
            newest = _dotted(self.newest)
            raise ApiError(
                400,
                f"client version {_dotted(version)} is too new. Maximum supported API version is {newest}",
            )
        if version < self.oldest:
            oldest = _dotted(self.oldest)
            raise ApiError(
                400,
                f"client version {_dotted(version)} is too old. Minimum supported API version is {oldest}",
            )
        return found[3]

    def _get_ping(self, _id: str, _query: Any, _body: Json) -> web.Response:
        return web.Response(text="OK", headers={"Api-Version": _dotted(self.newest)})

    def _get_version(self, _id: str, _query: Any, _body: Json) -> web.Response:
        parts = [{"Name": "Engine", "Version": "24.0.7", "Details": {}}]
        found = {
            "Version": "24.0.7",
            "ApiVersion": _dotted(self.newest),
            "MinAPIVersion": _dotted(self.oldest),
        }
        return web.json_response({**found, "Components": parts})

    def _get_info(self, _id: str, _query: Any, _body: Json) -> web.Response:
        return web.json_response({"MemTotal": HOST, "NCPU": 4, "Name": "stand-in"})

    def _get_containers_json(self, _id: str, query: Any, _body: Json) -> web.Response:
        filters = json.loads(query.get("filters", "{}"))
        if set(filters) - {"label"} or not all(isinstance(each, list) for each in filters.values()):
            raise ApiError(400, "invalid filter")
        return web.json_response(self.engine.listed(filters.get("label", []), every=_true(query.get("all"))))

    def _post_containers_create(self, _id: str, query: Any, body: Json) -> web.Response:
        return web.json_response(self.engine.create(query["name"], body), status=201)

    def _get_containers_id_json(self, ident: str, _query: Any, _body: Json) -> web.Response:
        return web.json_response(self.engine.find(ident).inspect())

    def _post_containers_id_start(self, ident: str, _query: Any, _body: Json) -> web.Response:
        return web.Response(status=self.engine.start(self.engine.find(ident)))

    def _post_containers_id_stop(self, ident: str, _query: Any, _body: Json) -> web.Response:
        return web.Response(status=self.engine.stop(self.engine.find(ident)))

    def _post_containers_id_restart(self, ident: str, _query: Any, _body: Json) -> web.Response:
        found = self.engine.find(ident)
        self.engine.stop(found)
        self.engine.start(found)
        return web.Response(status=204)

    def _post_containers_id_update(self, ident: str, _query: Any, body: Json) -> web.Response:
        if set(body) - UPDATES:
            raise ApiError(400, f"the stand-in knows no {', '.join(sorted(set(body) - UPDATES))}")
        return web.json_response(self.engine.update(self.engine.find(ident), body))

    def _delete_containers_id(self, ident: str, query: Any, _body: Json) -> web.Response:
        self.engine.remove(self.engine.find(ident), force=_true(query.get("force")))
        return web.Response(status=204)

    def _get_containers_id_logs(self, ident: str, query: Any, _body: Json) -> web.Response:
        if not (_true(query.get("stdout")) or _true(query.get("stderr"))):
            raise ApiError(400, "Bad parameters: you must choose at least one stream")
        found = self.engine.find(ident)
        if (found.host.get("LogConfig") or {}).get("Type") == "none":
            raise ApiError(501, "configured logging driver does not support reading")
        tail = query.get("tail", "all")
        since = float(query.get("since", 0))
        lines = [each for each in found.lines if datetime.fromisoformat(each[1]).timestamp() >= since]
        lines = lines if tail == "all" else lines[-int(tail) :] if int(tail) else []
        return _log(found, lines, stamped=_true(query.get("timestamps")))

    def _get_containers_id_stats(self, ident: str, query: Any, _body: Json) -> web.Response:
        if _true(query.get("stream", "1")):
            raise ApiError(400, "the stand-in streams no statistics")
        return web.json_response(
            self.engine.stats(self.engine.find(ident), once=_true(query.get("one-shot")))
        )

    def _get_images_id_json(self, ident: str, _query: Any, _body: Json) -> web.Response:
        found = self.engine.images.get(ident)
        if found is None:
            raise ApiError(404, f"No such image: {ident}")
        return web.json_response({"Id": found, "RepoTags": [ident]})

    def _post_networks_id_connect(self, ident: str, _query: Any, body: Json) -> web.Response:
        self.engine.connect(ident, body["Container"], body.get("EndpointConfig") or {})
        return web.Response(status=200)


def _template(method: str, path: str) -> tuple[str, str]:
    """The path of the reference that was asked for, and the id in it; 404."""
    if (method, path) in PATHS:
        return path, ""
    for known, template in PATHS:
        ident = "(.+)" if template.startswith("/images/") else "([^/]+)"
        found = re.fullmatch(template.replace("{id}", ident), path)
        if known == method and found is not None and found.groups():
            return template, found[1]
    raise ApiError(404, "page not found")


def _body(request: web.Request, content: bytes) -> Json:
    if not content:
        return {}
    if request.content_type != "application/json":
        raise ApiError(400, "Content-Type specified must be 'application/json'")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ApiError(400, "the body is no object")
    return found


def _log(found: Container, lines: list[tuple[int, str, bytes]], *, stamped: bool) -> web.Response:
    terminal = bool(found.config.get("Tty"))
    parts = []
    for stream, at, text in lines:
        line = (f"{at} ".encode() if stamped else b"") + text + (b"\r\n" if terminal else b"\n")
        parts.append(line if terminal else struct.pack(">BxxxL", stream, len(line)) + line)
    kind = "application/vnd.docker.raw-stream" if terminal else "application/vnd.docker.multiplexed-stream"
    return web.Response(body=b"".join(parts), content_type=kind)


def _message(status: int, text: str) -> web.Response:
    return web.json_response({"message": text}, status=status)


def _true(word: str | None) -> bool:
    return word is not None and word.lower() in ("1", "true")


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
