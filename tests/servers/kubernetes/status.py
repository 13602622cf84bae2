"""Refusals: `Status` objects with the reasons, codes and sentences of apimachinery's pkg/api/errors."""

from __future__ import annotations

from typing import Any

from tests.servers.kubernetes.resources import Resource

Json = dict[str, Any]
Cause = tuple[str, str, str]  # reason, message, field


class ApiError(Exception):
    """A request that the API server refuses; `body` is what it answers."""

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, *, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.retry_after = code, reason, retry_after
        self.body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.body["message"] = message
        if reason:
            self.body["reason"] = reason
        if details is not None:
            self.body["details"] = details
        self.body["code"] = code


def success(resource: Resource, name: str, uid: str) -> Json:
    """The Status of a deletion that is done."""
    details = {"name": name, **_group(resource.group), "kind": resource.plural, "uid": uid}
    return {**_success(), "details": details}


def created() -> Json:
    """The Status of an eviction that was accepted."""
    return {**_success(), "code": 201}


def _success() -> Json:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _group(group: str) -> Json:
    return {"group": group} if group else {}


def _details(resource: Resource, name: str) -> Json:
    return {**({"name": name} if name else {}), **_group(resource.group), "kind": resource.plural}


def unauthorized() -> ApiError:
    """401: the token is nobody's."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def not_found(resource: Resource, name: str) -> ApiError:
    """404: no object of that name."""
    return ApiError(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def no_such_resource() -> ApiError:
    """404: no resource of that name in the API version."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: Resource, name: str) -> ApiError:
    """409: there is an object of that name."""
    message = f'{resource.qualified} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(resource, name))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> ApiError:
    """409: the resourceVersion or a precondition does not hold any more."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(resource, name))


def forbidden(resource: Resource | None, name: str, why: str) -> ApiError:
    """403 for a resource, or with None for a path."""
    if resource is None:
        return ApiError(403, "Forbidden", f"forbidden: {why}", {})
    named = f' "{name}"' if name else ""
    message = f"{resource.qualified}{named} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, _details(resource, name))


def bad_request(message: str) -> ApiError:
    """400 with such a sentence."""
    return ApiError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> ApiError:
    """422 with the causes, as NewInvalid writes them."""
    lines = [f"{field}: {message}" for _, message, field in causes]
    told = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details: Json = {**({"name": name} if name else {}), **_group(group), **({"kind": kind} if kind else {})}
    details["causes"] = [{"reason": r, "message": m, "field": f} for r, m, f in causes]
    of = f"{kind}.{group}" if group else kind
    return ApiError(422, "Invalid", f'{of} "{name}" is invalid: {told}', details)


def unprocessable() -> ApiError:
    """422 for a JSON patch that does not apply; the server does not say why."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request", {})


def unsupported_media_type(accepted: list[str]) -> ApiError:
    """415: the body is of a kind that is not taken here."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return ApiError(415, "UnsupportedMediaType", message + ", ".join(accepted))


def too_large(limit: int) -> ApiError:
    """413: a body of more bytes than are taken."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {})


def not_acceptable(accepted: list[str]) -> ApiError:
    """406: the answer cannot be had in the form asked for."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return ApiError(406, "NotAcceptable", message)


def method_not_allowed(resource: Resource, verb: str) -> ApiError:
    """405: the resource does not take the verb."""
    message = f"{verb} is not supported on resources of kind {resource.qualified!r}".replace("'", '"')
    return ApiError(405, "MethodNotAllowed", message, {**_group(resource.group), "kind": resource.plural})


def expired(message: str) -> ApiError:
    """410: the version asked for is compacted away."""
    return ApiError(410, "Expired", message)


def version_too_large(asked: int, newest: int) -> ApiError:
    """504: a resourceVersion from the future."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {newest}",
        {"causes": causes, "retryAfterSeconds": 1},
        retry_after=1,
    )


def internal(message: str) -> ApiError:
    """500 with such a sentence."""
    causes = [{"message": message}]
    return ApiError(500, "InternalError", f"Internal error occurred: {message}", {"causes": causes})
