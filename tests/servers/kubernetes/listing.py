"""Lists: selectors, pages of one snapshot, versions (kubernetes.io/docs/reference/using-api/api-concepts)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from tests.servers.kubernetes import selectors
from tests.servers.kubernetes.call import Answer, Call
from tests.servers.kubernetes.status import bad_request, expired, version_too_large

Json = dict[str, Any]
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of "
    "the results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, modified, or deleted between the time the first chunk was returned and now may show up in the "
    "list."
)
INCONSISTENT = -1  # the version in a token that goes on with what there is now


def fits(call: Call) -> Callable[[Json], bool]:
    """Whether an object is among those that the selectors of a call ask for."""
    by_label = selectors.labels(call.query.get("labelSelector", ""))
    by_field = selectors.fields(call.query.get("fieldSelector", ""), call.resource)
    return lambda found: by_label(found) and by_field(found)


def listed(call: Call) -> Answer:
    """A list object, or one page of it."""
    store = call.cluster.store
    version, start = _position(call)
    newest = version in (None, INCONSISTENT)
    at = store.version if newest or version is None else version
    objects = (
        store.all(call.resource, call.namespace) if newest else store.at(at, call.resource, call.namespace)
    )
    test = fits(call)
    found = [each for each in objects if test(each) and _place(each) > start]
    limit = call.number("limit") or 0
    meta: Json = {"resourceVersion": str(at)}
    if limit and len(found) > limit:
        meta["continue"] = _token(at, _place(found[limit - 1]))
        if not call.query.get("labelSelector") and not call.query.get("fieldSelector"):
            meta["remainingItemCount"] = len(found) - limit
        found = found[:limit]
    return Answer(list_of(call, found, meta))


def list_of(call: Call, found: list[Json], meta: Json) -> Json:
    """The list object; its items carry no kind of their own."""
    bare = [{k: v for k, v in each.items() if k not in ("kind", "apiVersion")} for each in found]
    kind = f"{call.resource.kind}List"
    return {"kind": kind, "apiVersion": call.resource.api_version, "metadata": meta, "items": bare}


def _place(found: Json) -> str:
    meta = found["metadata"]
    return f"{meta.get('namespace', '')}/{meta['name']}"


def _position(call: Call) -> tuple[int | None, str]:
    """The version to list (None: the newest) and the place after which it goes on; raises ApiError (410)."""
    store = call.cluster.store
    if token := call.query.get("continue"):
        version, start = _untoken(token)
        if version != INCONSISTENT and version < store.compacted:
            refusal = expired(TOO_OLD)
            refusal.body["metadata"] = {"continue": _token(INCONSISTENT, start)}
            raise refusal
        return version, start
    asked = call.number("resourceVersion") or 0
    if asked > store.version:
        raise version_too_large(asked, store.version)
    if asked and call.query.get("resourceVersionMatch") == "Exact":
        if asked < store.compacted:
            raise expired(f"The resourceVersion for the provided list is too old: {asked}")
        return asked, ""
    return None, ""


def _token(version: int, start: str) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": f"{start}\0"}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _untoken(token: str) -> tuple[int, str]:
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(found["rv"]), str(found["start"]).rstrip("\0")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise bad_request("continue key is not valid: invalid continue token") from error


def delete_all(call: Call) -> Answer:
    """Delete what the selectors fit; the list of it."""
    test = fits(call)
    options = call.body() if call.content.strip() else {}
    found = [each for each in call.cluster.store.all(call.resource, call.namespace) if test(each)]
    if not call.dry("DeleteOptions", options.get("dryRun")):
        for each in found:
            grace = options.get("gracePeriodSeconds", call.number("gracePeriodSeconds"))
            call.cluster.delete(call.resource, each, grace=grace)
    return Answer(list_of(call, found, {"resourceVersion": str(call.cluster.store.version)}))
