"""The stand-in of the engine's API says the same as a real engine, and refuses what the reference does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers import engine_server, podman
from tests.servers.engine_api import PROJECT, SHELL, EngineApi, Wanted

BODY = {"Image": "local/stack:1", "Cmd": ["/bin/sh", "-c", SHELL], "StopTimeout": 1}


@pytest.fixture(params=["stand-in", "podman"])
def engine(request: pytest.FixtureRequest) -> EngineApi:
    """Each of the two, empty."""
    if request.param == "podman":
        real = podman.shared()
        real.furnish({})
        return real
    server = engine_server.shared()
    server.call("reset")
    return server


@pytest.fixture
def raw(engine: EngineApi) -> Iterator[httpx.Client]:
    """Requests as they stand."""
    transport = httpx.HTTPTransport(uds=str(engine.socket))
    with httpx.Client(transport=transport, base_url="http://engine/v1.41", timeout=30) as client:
        yield client


def told(answer: httpx.Response) -> tuple[int, bool]:
    """The status, and whether the body has a message."""
    return answer.status_code, bool(answer.content) and bool(answer.json().get("message"))


def test_the_life_of_a_container(engine: EngineApi, raw: httpx.Client) -> None:
    """Made, started, stopped, restarted, removed; twice is 304 or refused, what is gone is 404."""
    ident = engine.make("web", 1, Wanted())
    seen: dict[str, Any] = engine.inspect(ident)
    assert (seen["Name"], seen["State"]["Status"]) == (f"/{PROJECT}-web-1", "running")
    assert (seen["State"]["Running"], seen["RestartCount"], seen["HostConfig"]["Memory"]) == (True, 0, 0)
    assert seen["Config"]["Hostname"] == ident[:12]
    assert raw.post(f"/containers/{ident}/start").status_code == 304
    assert told(raw.post("/containers/create", params={"name": f"{PROJECT}-web-1"}, json=BODY))[0] in (
        409,
        500,
    )
    assert raw.post(f"/containers/{ident}/restart").status_code == 204
    assert engine.inspect(ident)["State"]["StartedAt"] > seen["State"]["StartedAt"]
    assert engine.inspect(ident)["Created"] == seen["Created"]
    assert told(raw.delete(f"/containers/{ident}")) in ((409, True), (500, True))
    assert raw.post(f"/containers/{ident}/stop").status_code == 204
    assert raw.post(f"/containers/{ident}/stop").status_code == 304
    assert engine.inspect(ident)["State"]["Status"] == "exited"
    assert raw.delete(f"/containers/{ident}").status_code == 204
    for method, path in (("GET", "json"), ("POST", "restart"), ("POST", "stop")):
        assert told(raw.request(method, f"/containers/{ident}/{path}")) == (404, True)


def test_lists_images_and_figures(engine: EngineApi, raw: httpx.Client) -> None:
    """What a filter lets through, what an image is, what is measured."""
    first = engine.make("web", 1, Wanted())
    engine.make("web", 1, Wanted(), project="other")
    assert [each["Id"] for each in engine.containers()] == [first]
    word = engine.inspect(first)["Config"]["Image"]
    assert engine.ask("GET", f"/images/{word}/json")["Id"] == engine.inspect(first)["Image"]
    assert told(raw.get("/images/local/nothing:1/json")) == (404, True)
    figures = engine.ask("GET", f"/containers/{first}/stats", **{"stream": "0", "one-shot": "1"})
    assert figures["memory_stats"]["usage"] > 0
    assert figures["cpu_stats"]["cpu_usage"]["total_usage"] > 0
    assert engine.ask("GET", "/info")["MemTotal"] > 0
    version = engine.ask("GET", "/version")
    assert version["ApiVersion"] >= "1.41" > version["MinAPIVersion"]
    engine.furnish({}, project="other")


def test_the_stand_in_is_strict() -> None:
    """Paths, parameters and versions that the reference does not have."""
    server = engine_server.shared()
    server.call("reset")
    transport = httpx.HTTPTransport(uds=str(server.socket))
    with httpx.Client(transport=transport, base_url="http://engine", timeout=30) as raw:
        for path, status in (
            ("/v1.43/containers/json?alls=1", 400),
            ("/v1.43/containers/json?filters={%22colour%22:[]}", 400),
            ("/v1.44/containers/json", 400),
            ("/v1.20/containers/json", 400),
            ("/v1.43/swarm", 404),
            ("/v1.43/containers/x/exec", 404),
        ):
            assert told(raw.get(path)) == (status, True), path
        made = raw.post(
            "/v1.43/containers/create", params={"name": "x"}, json={**BODY, "HostConfig": {"Memory": 1}}
        )
        assert told(made) == (400, True)
        ident = server.make("web", 1, Wanted(host={"Memory": 16 * 1024**2}))
        for body, status in (({"Memory": 64 * 1024**2}, 409), ({"Colour": 1}, 400), ({"Memory": 1}, 400)):
            assert told(raw.post(f"/v1.43/containers/{ident}/update", json=body)) == (status, True)
