"""Targets reached by HTTP in the configuration file: what the manual shows works, and faults have a line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bot.clock import SystemClock
from bot.config import load
from bot.targets import build
from bot.targets.sandbox_world import World
from commands.catalogue import Service, Sli
from tests.bot.test_config_faults import BASE, faults
from tests.contracts.http_rig import on_web
from tests.servers import admin_http, prometheus_server
from tests.servers.alertmanager import alertmanager
from tests.targets.web_targets import router

ROOT = Path(__file__).parents[2]
HEAD = "targets:\n  sandbox: {driver: sandbox}\n"


def with_target(text: str) -> str:
    """The configuration of the other faults' tests, with one more target."""
    return BASE.replace("targets: {sandbox: {driver: sandbox}}\n", HEAD + text)


async def test_the_calls_of_the_manual(tmp_path: Path) -> None:
    """Every call of the documents' admin endpoints; each of them is found by its name."""
    manual = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (block,) = (b for b in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL) if "driver: http" in b)
    example = (ROOT / "watchbell.example.yaml").read_text(encoding="utf-8")
    targets = block.removeprefix("targets:\n")
    path = tmp_path / "watchbell.yaml"
    path.write_text(
        example.replace("\n  sandbox: {driver: sandbox}\n", f"\n  sandbox: {{driver: sandbox}}\n{targets}")
    )
    tokens = {"WATCHBELL_ROUTER_TOKEN": "a token of the test", "WATCHBELL_ALERTMANAGER_TOKEN": "another one"}
    settings = load(path, {**tokens, **dict.fromkeys(("DATABASE_URL", "MONGODB_URI", "REDIS_URL"), "x")})
    clock = SystemClock()
    made = build.targets_of(settings, World(tmp_path / "world.json", clock), clock)
    try:
        for target in yaml.safe_load(block)["targets"].values():
            for name in target["calls"]:
                assert (await made["http"].read("effect", call=name)).headline in ("read", "change", "danger")
        plan = await made["http"].plan(
            "call", call="lb-failover", arguments="unhealthy_provider=openai failover_to=zai"
        )
        assert plan.service == "load-balancer"
    finally:
        await build.stop(made.values())


CALL = "  router:\n    driver: http\n    url: http://router:9091\n    calls:\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("  p: {driver: prometheus}\n", "targets.p.url: is missing"),
        ("  p: {driver: prometheus, url: ftp://x}\n", "targets.p.url: should be a URL"),
        ("  p: {driver: prometheus, url: 'http://x/?a=b'}\n", "without user, question mark"),
        ("  p: {driver: prometheus, url: 'http://x', calls: {}}\n", "there is no such setting"),
        ("  p: {driver: prometheus, url: 'http://x', password: abc}\n", "is a secret"),
        (CALL + "      a: {path: no}\n", "should be a path"),
        (CALL + "      a: {path: /../x}\n", "should be a path"),
        (CALL + "      a: {path: /x, effect: change}\n", "a GET changes nothing"),
        (CALL + "      a: {path: /x, method: POST, effect: read}\n", "only a GET is a read"),
        (CALL + "      a: {path: '/x/{y}'}\n", "has to be one of `args`"),
        (CALL + "      a: {path: /x, args: {y: {minimum: 1}}}\n", "needs an `enum`, or a `type`"),
        (
            CALL + "      a: {path: /x, args: {y: {type: string, format: date-time}}}\n",
            "has the format date-time, which is not checked here",
        ),
        (
            CALL + "      a: {path: /x, args: {y: {type: array, items: {type: string, format: email}}}}\n",
            "take one of date, ipv4, ipv6, uuid, or write a `pattern`",
        ),
        (CALL + "      a: {path: /x, optional: [y]}\n", "`optional` names y"),
        (CALL + "      a: {path: /x, method: POST, undo: b}\n", "there is no call"),
        (
            CALL + "      a: {path: /x, method: POST, undo: b}\n      b: {path: /y}\n",
            "a GET takes nothing back",
        ),
        (CALL + "      a: {path: /x, method: POST, service: webb}\n", 'no service "webb"; did you mean web?'),
        (
            CALL
            + "      a: {path: /x, method: POST, undo: b}\n"
            + "      b: {path: /y, method: POST, args: {z: {type: integer}}}\n",
            "that call needs z",
        ),
        (
            CALL + "      a: {path: /x}\n" + CALL.replace("router", "other", 1) + "      a: {path: /x}\n",
            "has a call of this name already",
        ),
    ],
)
def test_a_fault_is_one_sentence_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """Nothing else is wrong."""
    found = faults(tmp_path, with_target(text))
    assert len(found) == 1, found
    assert told in found[0]
    assert re.match(r"\d+: targets\.", found[0])


async def test_what_check_asks(tmp_path: Path) -> None:
    """Each target says what answers; a call that fails is wrong, a service that is ill is to be looked at."""
    server = admin_http.shared()
    server.reset()
    async with alertmanager(tmp_path, webhook="http://127.0.0.1:1/", token="a token") as alarms:
        settings = on_web(
            metrics={"driver": "prometheus", "url": prometheus_server.shared().url},
            alarms={"driver": "alertmanager", "url": alarms},
            router={**router(server.url), "calls": {"up": {"path": "/health"}, "gone": {"path": "/nothing"}}},
            checks={"driver": "health"},
        )
        well = Service("well", health={"liveness": f"{server.url}/health", "gone": f"{server.url}/nothing"})
        settings = replace(
            settings, catalogue=replace(settings.catalogue, services={"well": well}, queries={})
        )
        lines = [f"{name} {line}" async for name, line in build.check(settings, SystemClock())]
    assert [line.partition(" at ")[0] for line in lines[:2]] == [
        f"metrics ok    Prometheus {lines[0].split()[3]}",
        f"alarms ok    Alertmanager {lines[1].split()[3]}",
    ]
    assert lines[2].endswith("/health answers 200 OK")
    assert lines[3].startswith("router wrong gone: GET ")
    assert lines[4].startswith("checks ok    well, liveness: 200 in ")
    assert lines[5].startswith("checks warn  well, gone: 4")


async def test_check_asks_queries_and_slis(tmp_path: Path) -> None:
    """What is no PromQL is wrong, in Prometheus's own words; what has no series, or too many, is to be looked at."""
    url = prometheus_server.shared().url
    settings = on_web(
        metrics={"driver": "prometheus", "url": url}, other={"driver": "prometheus", "url": url}
    )
    slis = {
        "web": Sli("p95", "sum(up)", "s", "lower", ""),
        "api": Sli("p95", "nothing_of_that_name", "s", "lower", "other"),
        "db": Sli("p95", "prometheus_http_requests_total", "s", "lower", "metrics"),
        "cache": Sli("p95", "sum(rate(x[5m])", "s", "lower", "other"),
    }
    catalogue = replace(
        settings.catalogue,
        services={name: Service(name, sli=sli) for name, sli in slis.items()},
        queries={"good": "up", "none": "nothing_of_that_name", "bad": "sum by (x"},
    )
    found = build.check(replace(settings, catalogue=catalogue), SystemClock())
    lines = [f"{name} {line}" async for name, line in found]
    assert [line for line in lines if line.startswith("metrics")][1::3] == [
        "metrics warn  query none: there are no series for it now",
        "metrics ok    2 of 5 queries and SLIs have a value",
    ]
    bad = [line for line in lines if " wrong " in line]
    assert [line.partition(" Prom")[0] for line in bad] == [
        "metrics wrong query bad:",
        "other wrong SLI of cache:",
    ]
    assert all("parse error" in line for line in bad)
    assert re.search(
        r"^metrics warn  SLI of db: it has \d+ series, and an SLI is one$", "\n".join(lines), re.M
    )
    assert "other warn  SLI of api: there are no series for it now" in lines
    assert len(lines) == 8


async def test_check_does_not_count_doubts_as_faults(tmp_path: Path) -> None:
    """An endpoint that is away is a warning: nobody answers there."""
    settings = on_web(checks={"driver": "health"})
    gone = Service("gone", health={"liveness": "http://127.0.0.1:9/health"})
    settings = replace(settings, catalogue=replace(settings.catalogue, services={"gone": gone}))
    [(_name, line)] = [found async for found in build.check(settings, SystemClock())]
    assert str(line).startswith("warn  gone, liveness: does not answer")
    assert line.right
