"""Every system that the runbooks operate works from chat: one bot with all of them behind it, row by row.

MongoDB and docker compose have their own files. Behind the bot are a real Redis, PostgreSQL and Prometheus, the
stand-in of the Kubernetes API, and one of the admin endpoints; health endpoints have the paths of the example.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from structlog.testing import capture_logs

from bot.config import Settings
from bot.targets.kubernetes_rights import USUAL, role
from tests.contracts.http_rig import on_web
from tests.contracts.kubernetes_rig import TOKEN, furnish, on_kubernetes, pod_names
from tests.contracts.redis_rig import on_redis
from tests.safety.rig import example
from tests.servers import admin_http, kubernetes_server, redis_server
from tests.servers.exposed import Exposed
from tests.servers.kubernetes_server import KubernetesServer as Cluster
from tests.servers.prometheus_server import PrometheusServer
from tests.servers.redis_server import RedisServer
from tests.targets import postgres_world
from tests.targets.kubernetes_stage import ClusterChat
from tests.targets.postgres_world import Shop
from tests.targets.redis_stage import RealStage

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
PROBE = {
    "connect": ["redis:6379"],
    "http": ["8080/metrics"],
    "files": {"rules": "/app/validation_rules.json"},
}


def documented() -> dict[str, dict[str, Any]]:
    """The targets of the YAML in docs/operations.md, "HTTP calls", as it stands there."""
    section = PAGE.read_text("utf-8").split("\n## HTTP calls\n")[1]
    found = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert found is not None
    targets: dict[str, dict[str, Any]] = yaml.safe_load(found[1])["targets"]
    return targets


@pytest.fixture(scope="module")
def figures() -> Iterator[PrometheusServer]:
    """A Prometheus that scrapes the services' figures, and has rates of them."""
    with Exposed() as page:
        server = PrometheusServer(page.port)
        try:
            server.until("sum(rate(websocket_backpressure_drops[5m])) > 0")
            yield server
        finally:
            server.stop()


def everything(figures: PrometheusServer) -> Settings:
    """The example configuration with each system in place of the sandbox."""
    admin, shop, redis = admin_http.shared(), postgres_world.shared(), redis_server.shared()
    settings = on_kubernetes(kubernetes_server.shared(), settings=example(), probe=PROBE)
    cluster = settings.targets["main"]
    settings = on_redis({"url": redis.url()}, {"redis": {}}, settings=settings)
    settings = replace(
        settings, targets={**settings.targets, "main": cluster, "cache": settings.targets["main"]}
    )
    known = {name: {**each, "target": "cache"} for name, each in settings.catalogue.redis.items()}
    settings = replace(settings, catalogue=replace(settings.catalogue, redis=known))
    fields = postgres_world.fields(shop.server.port)
    settings = postgres_world.on_postgres(fields, {"ish-chat": {}}, settings=settings)
    settings = replace(
        settings,
        targets={**settings.targets, "main": cluster, "shop": settings.targets["main"]},
        postgres={name: {**each, "target": "shop"} for name, each in settings.postgres.items()},
    )
    calls = {
        name: {**each, "url": admin.url, "token": admin_http.TOKEN} for name, each in documented().items()
    }
    web = {"metrics": {"driver": "prometheus", "url": figures.url}, "checks": {"driver": "health"}, **calls}
    services = {
        name: replace(
            each,
            health={what: admin.url + urlsplit(url).path for what, url in each.health.items()},
            metrics=admin.url + urlsplit(each.metrics).path if each.metrics else "",
            cluster="main" if name == "realtime" else "elsewhere",
        )
        for name, each in settings.catalogue.services.items()
        if name != "intelligent-router"  # its health is a path that wants a token
    }
    router = replace(settings.catalogue.services["intelligent-router"], health={}, cluster="elsewhere")
    services["intelligent-router"] = router
    settings = replace(settings, catalogue=replace(settings.catalogue, services=services))
    made = on_web(settings=settings, **web)
    return replace(made, targets={n: t for n, t in made.targets.items() if n != "sandbox"})


@pytest.fixture
async def chat(tmp_path: Path, figures: PrometheusServer) -> AsyncIterator[ClusterChat]:
    """A running bot with an incident that alice opened."""
    admin_http.shared().reset()
    with capture_logs():
        stage = RealStage(everything(figures), tmp_path)
        try:
            await stage.start()
            made = ClusterChat(stage, kubernetes_server.shared())
            await made.settle()
            await made.opens()
            yield made
        finally:
            await stage.close()


@pytest.fixture
def cluster() -> Cluster:
    """A cluster as untouched as a new one, whose bot may look into pods."""
    server = kubernetes_server.shared()
    furnish(server)
    server.call("token", token=TOKEN, roles=[role((*USUAL, "probe"))])
    return server


@pytest.fixture
def shop() -> Iterator[Shop]:
    """The database `shop` as untouched as a new one."""
    found = postgres_world.shared()
    found.fresh()
    yield found
    found.close()


async def shows(chat: ClusterChat, line: str, *expected: str) -> None:
    """alice looks at something; everybody, or she alone, is told."""
    chat.mark()
    await chat.alice.says(line)
    files = [f.id for m in chat.messages() for f in m.files]
    whole = "".join(chat.console.store.file(each).decode("utf-8", "replace") for each in files[-1:])
    said = f"{chat.bot_said()}\n{chat.bot_said_to('alice')}\n{whole}"
    for words in expected:
        assert words in said, (line, said)


async def does(chat: ClusterChat, line: str, expected: str) -> None:
    """alice asks for a change, as many as it takes approve it, and it ends well."""
    await chat.asks(line)
    number = await chat.actions()
    for person in ("bob", "carol")[: (await chat.action(number)).quorum]:
        await getattr(chat, person).reacts(chat.card(number), "✅")
    await chat.rolled()
    assert (await chat.action(number)).state == "done", (line, chat.card(number).plain)
    assert expected in chat.card(number).plain, (line, chat.card(number).plain)


# -- Kubernetes -------------------------------------------------------------------------------------


async def test_kubernetes_is_looked_at(cluster: Cluster, chat: ClusterChat) -> None:
    """get, logs, describe, events, top, hpa, endpoints, ingress, policies, volumes, nodes."""
    pod = pod_names(chat.server)[0]
    chat.server.call(
        "log", pod=pod, namespace="production", lines=["active connections 7", "ERROR backpressure"]
    )
    for line, expected in (
        ("/pods realtime", "3 of 3 ready"),
        ("/pods namespace=production", pod[-11:]),
        ("/logs realtime tail=200", "ERROR backpressure"),
        ("/logs realtime grep=connections", "active connections 7"),
        ("/describe realtime", "Revision:    2"),
        (f"/describe {pod}", "Service:   realtime"),
        ("/events realtime", "realtime · production"),
        ("/events namespace=production", "namespace production"),
        ("/top realtime", "CPU"),
        ("/top nodes", "node-1"),
        ("/rollout realtime", "1.1.0"),
        ("/hpa realtime", "1 autoscaler"),
        ("/endpoints realtime", "realtime"),
        ("/ingress realtime", "no routes"),
        ("/netpol realtime", "no policies"),
        ("/pv", "no volumes"),
        ("/node node-1", "node node-1 · ready"),
    ):
        await shows(chat, line, expected)


async def test_kubernetes_pods_are_looked_into(cluster: Cluster, chat: ClusterChat) -> None:
    """ps, free, df, nc, curl on :8080, a rules file."""
    commands = {
        "ps": ["ps", "aux"],
        "memory": ["free", "-m"],
        "disk": ["df", "-h"],
        "connect redis:6379": ["nc", "-z", "-v", "-w", "5", "redis", "6379"],
        "file rules": ["head", "-c", "262145", "/app/validation_rules.json"],
    }
    for words, argv in commands.items():
        await chat.server.act("command", argv=argv, stdout=f"the answer of {argv[0]}")
        await shows(chat, f"/probe realtime {words}", f"the answer of {argv[0]}")
    await shows(chat, "/probe realtime http /metrics", "the image does not have it")


async def test_kubernetes_is_changed(cluster: Cluster, chat: ClusterChat) -> None:
    """rollout restart, scale to 10 and 5, rollback, the circuit breaker, a toggle; the map and the pods follow."""
    for line, expected in (
        ("/scale realtime 10", "realtime runs 10 replicas"),
        ("/scale realtime 5", "realtime runs 5 replicas"),
        ("/restart realtime", "realtime was restarted, 5 of 5 ready"),
        ("/maintenance realtime on", "maintenance mode is on"),
        ("/toggle realtime BACKPRESSURE_THRESHOLD 0.9", "realtime has BACKPRESSURE_THRESHOLD=0.9"),
        ("/rollback realtime 1", "realtime runs 1.0.0 again"),
    ):
        await does(chat, line, expected)
    data = chat.server.named("configmaps", "realtime-config", "production")["data"]
    assert (data["MAINTENANCE_MODE"], data["BACKPRESSURE_THRESHOLD"]) == ("true", "0.9")
    assert chat.replicas == 5


# -- Redis, PostgreSQL ------------------------------------------------------------------------------


async def test_redis(server: RedisServer, chat: ClusterChat) -> None:
    """ping, info, the hit rate, dbsize, keys by pattern, get, delete by pattern, limit and policy, flush."""
    admin = server.admin
    admin.mset({"session:0123456789": "x", "user-rate-limit:7": "3", "cache:1": "y"})
    for line, expected in (
        ("/redis ping", "PONG"),
        ("/redis info memory", "maxmemory"),
        ("/redis info stats", "keyspace_hits"),
        ("/redis dbsize", "3 keys"),
        ("/redis keys session:*", "session:0123…"),
        ("/redis keys *rate-limit*", "user-rate-limit:7"),
        ("/redis get user-rate-limit:7", "3"),
        ("/redis hitrate", "% hits"),
    ):
        await shows(chat, line, expected)
    await does(chat, "/redis del *rate-limit*", "")
    assert admin.dbsize() == 2
    await does(chat, "/redis maxmemory 1gb", "redis may use 1gb")
    await does(chat, "/redis policy volatile-lru", "volatile-lru")
    await does(chat, "/redis flush redis", "")
    assert admin.dbsize() == 0


async def test_postgresql(shop: Shop, chat: ClusterChat) -> None:
    """SELECT 1, max_connections, the count of activity, sizes, statistics, slow queries, locks, ANALYZE, REINDEX."""
    for line, expected in (
        ("/pg ready", "ready in"),
        ("/pg connections", "of 40 connections"),
        ("/pg activity", "at work"),
        ("/pg size", "orders"),
        ("/pg stats", "orders"),
        ("/pg slow", "PostgreSQL"),
        ("/pg locks", "lock"),
    ):
        await shows(chat, line, expected)
    await does(chat, "/pg analyze orders", "public.orders is analysed")
    await does(chat, "/pg reindex orders_name", "orders_name")


# -- Prometheus, links ------------------------------------------------------------------------------


async def test_every_named_query_of_the_documents_has_its_figures(chat: ClusterChat) -> None:
    """p95 overall and by provider, errors, load, health, breakers, cost, tokens, and those of the services."""
    queries = chat.stage.settings.catalogue.queries
    assert len(queries) == 14
    for name in queries:
        chat.mark()
        await chat.alice.says(f"/query {name}")
        said = chat.bot_said()
        assert said.startswith(name), (name, said, chat.bot_said_to("alice"))
        assert "no series" not in said, said
        assert any(sign.isdigit() for sign in said), said
        await chat.waits(5)
    for name in ("errors-by-provider", "cost-by-provider", "p95-by-provider"):
        await shows(chat, f"/query {name}", "openai", "anthropic", "zai")


async def test_links(chat: ClusterChat) -> None:
    """Grafana, Prometheus and the log store of a service."""
    chat.mark()
    await chat.alice.says("/links realtime")
    texts = " ".join(m.text for m in chat.messages())
    for host in ("grafana.company.com", "prometheus.company.com", "logs.company.com"):
        assert host in texts


# -- HTTP admin -------------------------------------------------------------------------------------

# Call → what is typed after it, in the words of the runbooks: for every call of the document.
CALLS = {
    "manager-health": "",
    "router-config": "",
    "router-instances": "",
    "router-models-status": "",
    "router-models-reload": "",
    "provider-health": "provider=anthropic",
    "router-route": "provider_type=openai model_name=large",
    "router-scale-instances": "provider_type=openai desired_instances=5",
    "router-limits": "max_concurrent_requests=50",
    "router-gc-optimize": "",
    "router-circuit-reset": "",
    "router-cache-clear": "",
    "router-rate-limit": "provider_type=openai requests_per_minute=100",
    "lb-config": "",
    "lb-upstream-health": "",
    "lb-strategy-performance": "",
    "lb-manual": "instances=one,two",
    "lb-strategy": "strategy=performance_based",
    "lb-failover": "unhealthy_provider=openai failover_to=anthropic,zai",
    "lb-cost-routing": "max_cost_per_request=0.01",
}


@pytest.mark.parametrize("target", sorted(documented()))
async def test_every_call_of_the_document(chat: ClusterChat, target: str) -> None:
    """Reads at once; a change after its approvals, once, at its path with its body, and back by undo."""
    calls, admin = documented()[target]["calls"], admin_http.shared()
    for name, call in calls.items():
        line = f"/http {name} {CALLS[name]}".strip()
        if call.get("method", "GET") == "GET":
            await shows(chat, line, "200 OK")
            continue
        before = len(admin.changes)
        await does(chat, line, "")
        [sent] = admin.changes[before:]
        assert sent["path"] == call["path"]
        given = dict(word.split("=") for word in CALLS[name].split())
        assert set(sent["body"]) == {*given, *call.get("fixed", {})}
        if "undo" in call:
            await chat.alice.says(f"/undo {await chat.actions()}")
            assert len(admin.changes) == before + 2
            assert admin.changes[-1]["path"] == call["path"]
    assert set(calls) <= set(CALLS)


def test_every_call_of_the_runbooks_is_one_of_the_document() -> None:
    """What the pages have people type is what the document declares, with the same arguments."""
    calls = {name: call for target in documented().values() for name, call in target["calls"].items()}
    typed = [
        line
        for page in sorted((PAGE.parents[1] / "runbooks").glob("*.md"))
        for line in re.findall(r"`/http ([^`]+)`", page.read_text("utf-8"))
    ]
    assert len(typed) > 15
    for name, *given in map(str.split, typed):
        assert name in calls
        assert {word.partition("=")[0] for word in given} == set(calls[name].get("args", {})), name


async def test_instances_go_to_ten_and_to_two(chat: ClusterChat) -> None:
    """As the runbook says it for openai; eleven is more than is declared."""
    for count in (10, 2):
        await does(
            chat, f"/http router-scale-instances provider_type=openai desired_instances={count}", f"→ {count}"
        )
        assert admin_http.shared().state["instances"]["openai"] == {"desired": count}
    cards = chat.cards()
    await chat.alice.says("/http router-scale-instances provider_type=openai desired_instances=11")
    assert chat.cards() == cards


# -- health -----------------------------------------------------------------------------------------


async def test_health(cluster: Cluster, shop: Shop, chat: ClusterChat) -> None:
    """All endpoints of the example, each by its own path; one service alone; its checklist and its metrics."""
    services = [s for s in chat.stage.settings.catalogue.services.values() if s.health]
    paths = {urlsplit(url).path for s in services for url in s.health.values()}
    assert paths == {
        "/health",
        "/health/liveness",
        "/health/readiness",
        "/upstream/health",
        "/-/healthy",
        "/api/health",
    }
    await shows(chat, "/health all", f"{len(services)} of {len(services)} services well")
    await shows(chat, "/health auth-service", "2 of 2 well", "✓ liveness: 200", "✓ readiness: 200")
    await shows(
        chat,
        "/checklist realtime",
        "✓ Health endpoint: 200",
        "✓ Redis: PONG",
        "✓ Database: ",
        "✓ Recent deployments: ",
        "✓ Resources: ",
    )
    await shows(chat, "/metrics realtime websocket", "websocket_connections_active 42")
