"""What goes over the wire to a cluster: paths that may be asked for, errors, the connection, bounded answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from bot.targets import kubernetes_kubeconfig as kubeconfig
from bot.targets.guard import UnreachableError
from commands.actions import TargetError
from commands.values import shown
from incidents.ports import RefusedError

Json = dict[str, Any]
MOST_BYTES = 8 * 1024**2  # of one answer
PAGE, MOST_ITEMS = 250, 5000  # objects of a list at a time, and in all
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
# All that is ever asked for, and all that is ever changed (subresources with their parents). No Secrets.
LOOKS = frozenset(
    [
        "namespaces",
        "deployments",
        "replicasets",
        "pods",
        "pods/log",
        "events",
        "configmaps",
        "services",
        "endpoints",
        "ingresses",
        "networkpolicies",
        "nodes",
        "persistentvolumes",
        "horizontalpodautoscalers",
        "poddisruptionbudgets",
        "selfsubjectaccessreviews",
    ]
)
CHANGES = frozenset(
    ["deployments", "deployments/scale", "configmaps", "horizontalpodautoscalers", "nodes", "pods/eviction"]
)
RUNS = frozenset(["pods/exec"])  # commands inside pods; see kubernetes_probe.py
# kubernetes.io/docs/concepts/overview/working-with-objects/names: DNS subdomain names
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
CANNOT = re.compile(
    r'cannot (\w+) resource "([^"]+)"(?: in API group "[^"]*")?(?: in the namespace "([^"]+)")?'
)


class MissingError(TargetError):
    """There is no such object."""


class ConflictError(TargetError):
    """The object has been changed since it was read; nothing was done."""


class PreviewError(TargetError):
    """The cluster cannot say beforehand what a change would do. Its text is why."""


class UnavailableError(UnreachableError):
    """The server, or a part of its API that another serves, cannot answer now (503)."""


class BrokenError(Exception):
    """No answer, or an uncertain one, came to a change that was sent. Its text is a part of a sentence."""


class TooLongError(Exception):
    """A server sends more than is taken."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a cluster is reached: one of a kubeconfig, the pod's own account, or a host with a token."""

    kubeconfig: str | None = None
    context: str | None = None
    in_cluster: bool = False
    host: str | None = None
    token: str | None = None
    ca_file: str | None = None


def path(group: str, namespace: str, resource: str, name: str = "", sub: str = "") -> str:
    """The path of an object or a list; `group` with its version, as in apps/v1, or v1.

    RefusedError for a name that is none: no part of it can lead elsewhere.
    """
    for each in (namespace, name):
        if each and not _NAME.fullmatch(each):
            raise RefusedError(f"{shown(each)} is no name in Kubernetes: small letters, digits, - and . are.")
    root = f"/apis/{group}" if "/" in group else f"/api/{group}"
    parts = [*(("namespaces", namespace) if namespace else ()), resource, *([name] if name else []), sub]
    return "/".join([root, *(quote(part, safe="") for part in parts if part)])


class ExpiredError(TargetError):
    """A list is too old to be continued (410)."""


BROKEN = (aiohttp.ClientError, OSError, TooLongError)  # TimeoutError is an OSError


async def connected(way: Way) -> ApiClient:
    """A client that goes this way; what is wrong with it is a ConfigException, an OSError or a ValueError."""
    if way.kubeconfig is not None:
        return await kubeconfig.client(way.kubeconfig, way.context)
    settings = Configuration(host=way.host, ssl_ca_cert=way.ca_file)
    if way.in_cluster:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    else:
        settings.api_key = {"BearerToken": f"Bearer {way.token or ''}"}
    return ApiClient(configuration=settings)


async def read(response: aiohttp.ClientResponse, most: int, *, cut: bool) -> bytes:
    """The body as far as `most` bytes; TooLongError where it goes on and is not to be cut."""
    found = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        found += chunk
        if len(found) > most:
            if cut:
                return bytes(found[:most])
            response.close()
            raise TooLongError
    return bytes(found)


def message(body: bytes) -> str:
    """What a Status says (kubernetes.io/docs/reference/kubernetes-api/common-definitions/status), without its stop."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return str(found.get("message") or "") if isinstance(found, dict) else ""


def budget(body: bytes) -> str:
    """What a disruption budget says, which stands in the causes of a Status."""
    try:
        causes = (json.loads(body).get("details") or {}).get("causes") or []
        return "; ".join(str(cause["message"]) for cause in causes)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""


def clean(text: str) -> str:
    """A text of outside as the end of a sentence can hold it: short, on one line, without a stop."""
    return "".join(c if c.isprintable() else " " for c in text)[:300].strip().rstrip(".")


def allow(allowed: frozenset[str], where: str) -> None:
    """ValueError for what nobody here may ask for: Secrets above all."""
    parts = where.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    parts = parts[2:] if parts[:1] == ["namespaces"] and len(parts) > 2 else parts
    resource = "/".join([*parts[:1], *parts[2:3]])
    if resource not in allowed:
        raise ValueError(f"{resource} is never asked for")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what led to it."""
    while error is not None:
        yield error
        error = getattr(error, "certificate_error", None) or error.__cause__ or error.__context__
