"""The verbs on one object: get, create, update, patch, delete."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.servers.kubernetes import defaults, validation
from tests.servers.kubernetes import resources as kinds
from tests.servers.kubernetes.call import Answer, Call
from tests.servers.kubernetes.fields import managed
from tests.servers.kubernetes.patches import json_patch, merge
from tests.servers.kubernetes.status import (
    already_exists,
    bad_request,
    conflict,
    invalid,
    not_found,
    success,
    unsupported_media_type,
)
from tests.servers.kubernetes.strategic import strategic

Json = dict[str, Any]
PATCHES = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge,
    "application/strategic-merge-patch+json": strategic,
}
KEPT = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp")
KEPT_TOO = ("deletionGracePeriodSeconds", "generateName", "managedFields", "resourceVersion")


def current(call: Call) -> Json:
    """The object that a call is about; raises ApiError (404)."""
    found = call.cluster.store.get(call.resource, call.namespace, call.name)
    if found is None:
        raise not_found(call.resource, call.name)
    return found


def get(call: Call) -> Answer:
    """The object."""
    return Answer(current(call))


def create(call: Call) -> Answer:
    """A new object; 201."""
    document = call.typed(_of_kind(call, call.body()))
    meta = document.setdefault("metadata", {})
    for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "managedFields"):
        meta.pop(field, None)
    if meta.pop("resourceVersion", ""):
        raise bad_request("resourceVersion should not be set on objects to be created")
    _place(call, meta)
    found = call.cluster.prepared(call.resource, document)
    name = found["metadata"]["name"]
    if call.cluster.store.get(call.resource, call.namespace, name) is not None:
        raise already_exists(call.resource, name)
    validation.check(call.resource, found, None)
    found["metadata"]["managedFields"] = managed(None, found, call.manager, call.cluster.stamp())
    if call.dry("CreateOptions"):
        return Answer(found, 201)
    return Answer(call.cluster.store.put(call.resource, found), 201)


def _place(call: Call, meta: Json) -> None:
    """Put the object where the path says; raises ApiError where it says something else."""
    if not call.resource.namespaced:
        meta.pop("namespace", None)
    else:
        if meta.setdefault("namespace", call.namespace) != call.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if call.cluster.store.get(kinds.NAMESPACES, "", call.namespace) is None:
            raise not_found(kinds.NAMESPACES, call.namespace)
    if not meta.get("name") and not meta.get("generateName"):
        cause = ("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
        raise invalid(call.resource.group, call.resource.kind, "", [cause])
    if not meta.get("name"):
        meta.pop("name", None)


def _of_kind(call: Call, document: Json) -> Json:
    told = document.get("apiVersion", call.resource.api_version), document.get("kind", call.resource.kind)
    if told != (call.resource.api_version, call.resource.kind):
        raise bad_request(
            f"the API version in the data ({told[0]}, {told[1]}) does not match the expected API version "
            f"({call.resource.api_version}, {call.resource.kind})"
        )
    return document


def update(call: Call) -> Answer:
    """The object replaced."""
    document = call.typed(_of_kind(call, call.body()))
    name = document.get("metadata", {}).get("name")
    if name != call.name:
        told = f"the name of the object ({name}) does not match the name on the URL ({call.name})"
        raise bad_request(told)
    return Answer(write(call, current(call), document, dry=call.dry("UpdateOptions")))


def patched(call: Call, before: Json) -> Json:
    """The document with the patch that was sent; raises ApiError (400, 415, 422)."""
    if call.content_type not in PATCHES:
        raise unsupported_media_type(list(PATCHES))
    try:
        patch = json.loads(call.content)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from error
    if not isinstance(patch, dict) and call.content_type != "application/json-patch+json":
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]"
        )
    result = PATCHES[call.content_type](copy.deepcopy(before), patch)
    if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
        raise bad_request("error decoding patch: the patched object has no metadata")
    return result


def patch(call: Call) -> Answer:
    """The object with a patch."""
    before = current(call)
    document = call.typed(_of_kind(call, patched(call, before)), patched=True)
    if document["metadata"].get("name") != call.name:
        cause = validation.bad("metadata.name", document["metadata"].get("name"), "field is immutable")
        raise invalid(call.resource.group, call.resource.kind, call.name, [cause])
    return Answer(write(call, before, document, dry=call.dry("PatchOptions")))


def write(call: Call, before: Json, document: Json, *, dry: bool) -> Json:
    """Store a changed object, or with `dry` only say what it would be; raises ApiError (409, 422).

    What the server keeps (uid, times, generation) stays; status is written only through /status.
    """
    meta, kept = document["metadata"], before["metadata"]
    check_version(call, meta, kept)
    for field in (*KEPT, *KEPT_TOO):
        meta.pop(field, None)
        if field in kept:
            meta[field] = copy.deepcopy(kept[field])
    if call.subresource == "status":
        document = {**copy.deepcopy(before), "status": document.get("status", {})}
    elif call.resource.status:
        document.pop("status", None)
        document |= {"status": copy.deepcopy(before["status"])} if "status" in before else {}
    document = {"apiVersion": before["apiVersion"], "kind": before["kind"], **document}
    defaults.fill(call.resource.id, document)
    validation.check(call.resource, document, before)
    stamp = call.cluster.stamp()
    entries = managed(before, document, call.manager, stamp, call.subresource)
    if entries:
        document["metadata"]["managedFields"] = entries
    document = call.cluster.counted(call.resource, document)
    if dry:
        return document
    return _stored(call, document)


def _stored(call: Call, document: Json) -> Json:
    """Store it; what only waited for its finalizers is gone with the last of them."""
    meta = document["metadata"]
    if "deletionTimestamp" in meta and not meta.get("finalizers") and call.resource is not kinds.PODS:
        return call.cluster.store.remove(call.resource, call.namespace, call.name)
    return call.cluster.store.put(call.resource, document)


def check_version(call: Call, meta: Json, kept: Json) -> None:
    """Raise ApiError (409) where the write names another version or another object than there is."""
    if meta.get("uid") and meta["uid"] != kept["uid"]:
        why = f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {kept['uid']}"
        raise conflict(call.resource, call.name, why)
    if meta.get("resourceVersion") not in (None, "", "0", kept["resourceVersion"]):
        raise conflict(call.resource, call.name)


def delete(call: Call) -> Answer:
    """Delete the object: a Status, or the object where it stays for a while."""
    found = current(call)
    options = call.body() if call.content.strip() else {}
    _preconditions(call, options.get("preconditions") or {}, found["metadata"])
    grace = call.number("gracePeriodSeconds")
    grace = options.get("gracePeriodSeconds") if grace is None else grace
    propagation = call.query.get("propagationPolicy") or options.get("propagationPolicy") or "Background"
    if options.get("orphanDependents") or call.flag("orphanDependents"):
        propagation = "Orphan"
    meta = found["metadata"]
    if call.dry("DeleteOptions", options.get("dryRun")):
        return Answer(
            found if call.resource is kinds.PODS else success(call.resource, call.name, meta["uid"])
        )
    left = call.cluster.delete(call.resource, found, grace=grace, propagation=propagation)
    if left is not None or call.resource is kinds.PODS:
        return Answer(left or found)
    return Answer(success(call.resource, call.name, meta["uid"]))


def _preconditions(call: Call, wanted: Json, meta: Json) -> None:
    for key, title in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(key) and wanted[key] != meta[key]:
            why = (
                f"the {title} in the precondition ({wanted[key]}) does not match the {title} in record "
                f"({meta[key]}). The object might have been deleted and then recreated"
            )
            raise conflict(call.resource, call.name, why)
