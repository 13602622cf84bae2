"""The Kubernetes stand-in's watches, read line by line and with the kubernetes package's own Watch."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes.aio import client, watch
from kubernetes.aio.client.exceptions import ApiException

from tests.servers.kubernetes import scene
from tests.servers.kubernetes_calls import APPS, CORE, MERGE, Json, api_of, asked
from tests.servers.kubernetes_server import ADMIN, KubernetesServer

MAPS = f"{CORE}/configmaps"


@pytest.fixture(scope="module")
def process() -> Iterator[KubernetesServer]:
    with KubernetesServer(tls=False) as server:
        yield server


@pytest.fixture
def cluster(process: KubernetesServer) -> KubernetesServer:
    process.reset()
    process.apply(scene.config_map("a", "default", {"n": "1"}))
    return process


class Events:
    """One watch; `next` is its next event."""

    def __init__(self, cluster: KubernetesServer, path: str, query: str) -> None:
        where = urlsplit(cluster.url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        self._connection.request(
            "GET", f"{path}?watch=true&{query}", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200

    def next(self) -> tuple[str, Json]:
        """Its type and its object; ("", {}) at the end."""
        line = self._answer.readline()
        if not line:
            return "", {}
        found = json.loads(line)
        return found["type"], found["object"]

    def close(self) -> None:
        """Stop watching."""
        self._connection.close()


@contextlib.contextmanager
def watching(cluster: KubernetesServer, path: str, query: str = "") -> Iterator[Events]:
    """A watch, closed at the end."""
    events = Events(cluster, path, query)
    try:
        yield events
    finally:
        events.close()


def version(cluster: KubernetesServer, path: str = MAPS) -> str:
    """The version of the newest list."""
    found: str = asked(cluster, "GET", path)["metadata"]["resourceVersion"]
    return found


def test_a_watch_goes_on_from_a_list(cluster: KubernetesServer) -> None:
    """Added, modified, deleted, each with the version of the change, and nothing of before."""
    with watching(cluster, MAPS, f"resourceVersion={version(cluster)}") as events:
        cluster.apply(scene.config_map("b", "default", {}))
        kind, found = events.next()
        assert (kind, found["kind"], found["metadata"]["name"]) == ("ADDED", "ConfigMap", "b")
        patched = asked(cluster, "PATCH", f"{MAPS}/b", {"data": {"x": "y"}}, **MERGE)
        assert events.next() == ("MODIFIED", patched)
        asked(cluster, "DELETE", f"{MAPS}/b")
        kind, found = events.next()
        assert kind == "DELETED"
        assert int(found["metadata"]["resourceVersion"]) > int(patched["metadata"]["resourceVersion"])


def test_a_watch_without_a_version_begins_with_what_is_there(cluster: KubernetesServer) -> None:
    """As with resourceVersion=0."""
    for query in ("", "resourceVersion=0"):
        with watching(cluster, MAPS, query) as events:
            assert events.next()[1]["metadata"]["name"] == "a"


def test_selectors_turn_changes_into_additions_and_deletions(cluster: KubernetesServer) -> None:
    """What begins to fit is added; what fits no more is deleted for this watch."""
    query = f"labelSelector=on=yes&resourceVersion={version(cluster)}"
    with watching(cluster, MAPS, query) as events:
        asked(cluster, "PATCH", f"{MAPS}/a", {"data": {"n": "2"}}, **MERGE)
        asked(cluster, "PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}}, **MERGE)
        kind, found = events.next()
        assert (kind, found["data"]) == ("ADDED", {"n": "2"})
        asked(cluster, "PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}}, **MERGE)
        assert events.next()[0] == "DELETED"


def test_a_version_that_is_compacted_away_is_an_error_event(cluster: KubernetesServer) -> None:
    """200, then ERROR with a Status 410, then the end."""
    old = version(cluster)
    cluster.apply(scene.config_map("b", "default", {}))
    cluster.call("compact")
    with watching(cluster, MAPS, f"resourceVersion={old}") as events:
        kind, found = events.next()
        assert (kind, found["kind"], found["code"], found["reason"]) == ("ERROR", "Status", 410, "Expired")
        assert found["message"].startswith(f"too old resource version: {old} (")
        assert events.next() == ("", {})


def test_a_watch_can_expire_while_it_runs(cluster: KubernetesServer) -> None:
    """The same event in the middle of a stream."""
    with watching(cluster, MAPS, f"resourceVersion={version(cluster)}") as events:
        cluster.call("signal", to="expire")
        assert (events.next()[0], events.next()[0]) == ("ERROR", "")


def test_bookmarks_come_to_those_who_allow_them(cluster: KubernetesServer) -> None:
    """They carry a version and nothing else; with timeoutSeconds the last one comes before the end."""
    query = f"allowWatchBookmarks=true&resourceVersion={version(cluster)}"
    with watching(cluster, MAPS, query) as events:
        cluster.deploy("web")
        cluster.call("signal", to="bookmark")
        kind, found = events.next()
        assert (kind, found["kind"]) == ("BOOKMARK", "ConfigMap")
        assert set(found["metadata"]) == {"resourceVersion"}
    with watching(cluster, MAPS, f"{query}&timeoutSeconds=1") as events:
        assert events.next()[0] == "BOOKMARK"
        assert events.next() == ("", {})
    query = f"timeoutSeconds=1&resourceVersion={version(cluster)}"
    with watching(cluster, MAPS, query) as events:
        cluster.call("signal", to="bookmark")
        assert events.next() == ("", {})


def test_initial_events_end_with_a_bookmark(cluster: KubernetesServer) -> None:
    """sendInitialEvents, as newer clients ask for it; without resourceVersionMatch it is refused."""
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with watching(cluster, MAPS, query) as events:
        assert events.next()[0] == "ADDED"
        kind, found = events.next()
        assert kind == "BOOKMARK"
        assert found["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    for query in ("sendInitialEvents=true", "resourceVersionMatch=NotOlderThan"):
        found = asked(cluster, "GET", f"{MAPS}?watch=true&{query}", status=422)
        assert found["message"].startswith(
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden'
        )


def test_a_rollout_is_watched_to_its_end(cluster: KubernetesServer) -> None:
    """Every state of the Deployment comes, in the order of its versions, while the cluster moves."""
    cluster.deploy("web")
    start = version(cluster, f"{APPS}/deployments")
    query = f"fieldSelector=metadata.name=web&resourceVersion={start}"
    with watching(cluster, f"{APPS}/deployments", query) as events:
        cluster.deploy("other")
        cluster.apply(scene.deployment("web", "default", image="web:2"))
        cluster.settle()
        cluster.call("signal", to="end")
        seen = []
        while (found := events.next()[1]) != {}:
            seen.append(found)
    assert {found["metadata"]["name"] for found in seen} == {"web"}
    versions = [int(found["metadata"]["resourceVersion"]) for found in seen]
    assert versions == sorted(set(versions))
    assert seen[0]["status"]["observedGeneration"] < seen[0]["metadata"]["generation"]
    assert seen[-1]["status"]["updatedReplicas"] == 3


async def test_the_packages_own_watch_reads_it(cluster: KubernetesServer) -> None:
    """kubernetes.aio.watch: typed objects, its version moves with bookmarks, and 410 is an ApiException."""
    async with api_of(cluster) as api:
        core = client.CoreV1Api(api)
        listed = await core.list_namespaced_config_map("default")
        stream = watch.Watch().stream(
            core.list_namespaced_config_map,
            "default",
            resource_version=listed.metadata.resource_version,
            allow_watch_bookmarks=True,
            timeout_seconds=10,
        )
        events: asyncio.Queue[Any] = asyncio.Queue()

        async def read() -> None:
            async for event in stream:
                await events.put(event)

        reading = asyncio.create_task(read())
        patch = {"data": {"n": "2"}}
        await core.patch_namespaced_config_map("a", "default", patch)
        event = await asyncio.wait_for(events.get(), 5)
        assert (event["type"], event["object"].data) == ("MODIFIED", {"n": "2"})
        await cluster.act("signal", to="bookmark")
        assert (await asyncio.wait_for(events.get(), 5))["type"] == "BOOKMARK"
        await cluster.act("signal", to="expire")
        with pytest.raises(ApiException) as caught:
            await asyncio.wait_for(reading, 5)
        assert caught.value.status == 410
