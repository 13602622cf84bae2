"""The HTTP server: who asks, whether they may, which handler answers, and how the answer is written."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from aiohttp import web

from tests.servers.kubernetes import discovery, listing, objects, rbac, reviews, subresources, tables, usage
from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.call import Answer, Call
from tests.servers.kubernetes.cluster import Cluster
from tests.servers.kubernetes.control import Control
from tests.servers.kubernetes.controllers import Pulse
from tests.servers.kubernetes.faults import Faults
from tests.servers.kubernetes.podexec import PodExec
from tests.servers.kubernetes.podlogs import PodLog
from tests.servers.kubernetes.status import (
    ApiError,
    forbidden,
    method_not_allowed,
    no_such_resource,
    not_acceptable,
    too_large,
    unauthorized,
)
from tests.servers.kubernetes.target import Target, target_of
from tests.servers.kubernetes.watching import Watch

Json = dict[str, Any]
KEPT = 2000  # requests that are remembered
BODY = 3 * 1024 * 1024  # bytes of a request, as the API server takes them
LARGEST = 32 * 1024 * 1024  # bytes that control takes, or that are read before they are refused
JSON_TYPES = ("application/json", "application/yaml")
VERBS = {
    "get": objects.get,
    "list": listing.listed,
    "create": objects.create,
    "update": objects.update,
    "patch": objects.patch,
    "delete": objects.delete,
    "deletecollection": listing.delete_all,
}
SUBRESOURCES = {
    "scale": (subresources.scale, ("get", "update", "patch")),
    "status": (subresources.status, ("get", "update", "patch")),
    "eviction": (subresources.evict, ("create",)),
}


class Server:
    """Answers every path; `requests` are those that came, newest last."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        self.faults = Faults()
        self.pulse = Pulse(self.cluster)
        self.requests: deque[Json] = deque(maxlen=KEPT)
        self._control = Control(self.cluster, self.faults, self.pulse, self.requests)

    def application(self) -> web.Application:
        """The application of aiohttp."""
        app = web.Application(client_max_size=LARGEST)
        app.router.add_post("/_control/{name}", self._control.handle)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        target = target_of(request.method, request.path, request.query)
        record = self._record(request, target, content)
        dry = "dryRun" in request.query or b'"dryRun"' in content
        kind = self.faults.draw(target.verb, target.full, dry=dry)
        try:
            answer = await self.faults.before(kind, request)
            if answer is None:
                answer = await self._answer(request, target, content, record)
                answer = await self.faults.after(kind, request, answer)
        except ApiError as error:
            answer = _written(Answer(error.body, error.code, _retry(error)))
        record["status"] = answer.status
        return answer

    def _record(self, request: web.Request, target: Target, content: bytes) -> Json:
        record = {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "verb": target.verb,
            "resource": target.full,
            "content_type": request.content_type,
            "body": content.decode("utf-8", "replace"),
            "user": None,
            "status": None,
        }
        self.requests.append(record)
        return record

    async def _answer(
        self, request: web.Request, target: Target, content: bytes, record: Json
    ) -> web.StreamResponse:
        if len(content) > BODY:
            raise too_large(BODY)
        account = self._account(request)
        record["user"] = account.user
        if target.plural == "":
            return self._path(request, account)
        resource, attempt = self._permitted(request, account, target)
        call = Call(
            self.cluster,
            account,
            target.verb,
            resource,
            target.namespace if resource.namespaced else "",
            target.name,
            target.subresource,
            request.query,
            content,
            request.content_type if "Content-Type" in request.headers else "",
            request.headers.get("User-Agent", ""),
        )
        if call.subresource == "exec" and resource is kinds.PODS and call.verb == "get":
            return await PodExec(call, attempt).serve(request)
        return await self._resource(request, call)

    @staticmethod
    def _permitted(
        request: web.Request, account: rbac.Account, target: Target
    ) -> tuple[kinds.Resource, rbac.Attempt]:
        """What is asked for; raises ApiError (403, 404). Who may not is not told whether it is there."""
        resource = kinds.find(target.group, target.version, target.plural)
        name = target.selected(request.query)
        place = (target.group, target.plural, target.subresource, target.namespace, name)
        attempt = rbac.Attempt(target.verb, resource, *place)
        if rbac.allowed(account, attempt) is None:
            about = resource or kinds.Resource(target.group, target.version, target.plural, "")
            raise forbidden(about, name, rbac.refusal(account, attempt))
        if resource is None:
            raise no_such_resource()
        return resource, attempt

    def _account(self, request: web.Request) -> rbac.Account:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            return rbac.Account(rbac.ANONYMOUS, ["system:unauthenticated"])
        if token not in self.cluster.accounts:
            raise unauthorized()
        return self.cluster.accounts[token]

    def _path(self, request: web.Request, account: rbac.Account) -> web.Response:
        attempt = rbac.Attempt(request.method.lower(), path=request.path)
        if rbac.allowed(account, attempt) is None:
            raise forbidden(None, "", rbac.refusal(account, attempt))
        if request.path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        found = discovery.document(request.path, request.host)
        if found is None:
            return web.Response(status=404, text="404 page not found\n")
        return _written(Answer(found))

    async def _resource(self, request: web.Request, call: Call) -> web.StreamResponse:
        if call.subresource == "log" and call.resource is kinds.PODS and call.verb == "get":
            return await PodLog(call).serve(request)
        accept = request.headers.get("Accept", "*/*")
        if call.verb == "watch":
            return await Watch(call).serve(request)
        answer = self._handler(call)(call)
        if tables.wanted(accept):
            answer.body = tables.table(call, answer.body)
        elif not any(each in accept for each in (*JSON_TYPES, "*/*", "application/*")):
            raise not_acceptable(list(JSON_TYPES))
        if call.warnings:
            answer.headers["Warning"] = ", ".join(f'299 - "{_quoted(each)}"' for each in call.warnings)
        return _written(answer)

    def _handler(self, call: Call) -> Any:
        """The function that answers a call; raises ApiError (404, 405) where there is none."""
        if call.subresource:
            handler, verbs = SUBRESOURCES.get(call.subresource, (None, ()))
            there = {
                "scale": call.resource.scale,
                "status": call.resource.status,
                "eviction": call.resource is kinds.PODS,
            }
            if handler is None or not there[call.subresource]:
                raise no_such_resource()
            if call.verb not in verbs:
                raise method_not_allowed(call.resource, call.verb)
            return handler
        if call.verb not in call.resource.verbs:
            raise method_not_allowed(call.resource, call.verb)
        if call.resource in kinds.REVIEWS:
            return reviews.review
        if call.resource in (kinds.POD_METRICS, kinds.NODE_METRICS):
            return usage.metrics
        return VERBS[call.verb]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _retry(error: ApiError) -> dict[str, str]:
    return {"Retry-After": str(error.retry_after)} if error.retry_after else {}


def _written(answer: Answer) -> web.Response:
    text = json.dumps(answer.body, separators=(",", ":"), ensure_ascii=False)
    headers = {**answer.headers, "Cache-Control": "no-cache, private"}
    return web.Response(
        body=(text + "\n").encode(), status=answer.status, content_type="application/json", headers=headers
    )
