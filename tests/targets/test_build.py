"""From the configuration to the targets: what is refused, what is built, and what `watchbell check` says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from bot.cli import app
from bot.clock import SystemClock, VirtualClock
from bot.config import ConfigError, load
from bot.serve import demo, production, warn_of_targets
from bot.targets import build
from bot.targets.sandbox_world import World
from commands.actions import TargetError
from incidents.ports import RefusedError
from tests.bot.test_config import BASE, TOKENS
from tests.contracts.target_rigs import START
from tests.servers.redis_server import RedisServer, secret

SANDBOX = "targets: {sandbox: {driver: sandbox}}\nredis:\n  redis: {target: sandbox}\n"


def written(folder: Path, targets: str, databases: str = "redis: {target: main}") -> Path:
    """The small configuration of the tests with these targets, beside the sandbox."""
    assert BASE.count(SANDBOX) == 1
    text = f"targets: {{sandbox: {{driver: sandbox}}, {targets}}}\nredis: {{{databases}}}\n"
    path = folder / "watchbell.yaml"
    path.write_text(BASE.replace(SANDBOX, text), "utf-8")
    return path


def faults(folder: Path, targets: str, databases: str = "redis: {target: main}", **environ: str) -> list[str]:
    """What is wrong, without the file's name."""
    try:
        load(written(folder, targets, databases), {**TOKENS, **environ})
    except ConfigError as error:
        return [str(fault).partition("watchbell.yaml:")[2] for fault in error.faults]
    return []


URL = "url: 'redis://cache.example.com/0'"


@pytest.mark.parametrize(
    ("targets", "databases", "fault"),
    [
        (
            "main: {driver: redis}",
            "redis: {target: main}",
            "46: targets.main: say where it is: `url`, an address",
        ),
        (
            "main: {driver: redis, url: 'http://x'}",
            "redis: {target: main}",
            "46: targets.main.url: should be an address such as redis://",
        ),
        (
            "main: {driver: redis, url: 'redis://x:99999/0'}",
            "redis: {target: main}",
            "46: targets.main.url: should be an address",
        ),
        (
            "main: {driver: redis, url: 'redis://x/zero'}",
            "redis: {target: main}",
            "46: targets.main.url: should be an address",
        ),
        (
            "main: {driver: redis, url: 'redis://u:hunter22@x'}",
            "redis: {target: main}",
            "46: targets.main.url: looks like a secret",
        ),
        (
            f"main: {{driver: redis, {URL}, url_env: AM_TOKEN}}",
            "redis: {target: main}",
            "46: targets.main: say where it is once",
        ),
        (
            f"main: {{driver: redis, {URL}, password: hunter22}}",
            "redis: {target: main}",
            "46: targets.main.password: is a secret, which has no place in this file",
        ),
        (
            f"main: {{driver: redis, {URL}, pasword_env: AM_TOKEN}}",
            "redis: {target: main}",
            "46: targets.main.pasword_env: there is no such setting; did you mean password_env?",
        ),
        (
            f"main: {{driver: redis, {URL}, timeout: 5}}",
            "redis: {target: main}",
            "46: targets.main.timeout: should be a duration",
        ),
        (
            f"main: {{driver: redis, {URL}, timeout: 5m}}",
            "redis: {target: main}",
            "46: targets.main.timeout: should be at most 2m",
        ),
        (
            f"main: {{driver: redis, {URL}, at_once: 0}}",
            "redis: {target: main}",
            "46: targets.main.at_once: should be at least 1",
        ),
        (
            f"main: {{driver: redis, {URL}, replica: 'no'}}",
            "redis: {target: main}",
            "46: targets.main.replica: should be true or false",
        ),
        (
            f"main: {{driver: redis, {URL}}}",
            "redis: {target: mian}",
            '47: redis.redis.target: there is no target "mian"; did you mean main?',
        ),
        (
            f"main: {{drvier: redis, {URL}}}",
            "redis: {target: main}",
            "46: targets.main.drvier: there is no such setting; did you mean driver?",
        ),
        (
            f"main: {{{URL}}}",
            "redis: {target: main}",
            "46: targets.main.driver: is missing",
        ),
        (
            f"main: {{driver: redis, {URL}, ca_file: pyproject.toml}}",
            "redis: {target: main}",
            "46: targets.main.ca_file: is of no use without TLS; write rediss:// in `url`",
        ),
        (
            f"main: {{driver: redis, {URL}}}",
            "redis: {target: sandbox}",
            "46: targets.main: nothing uses it; write under `redis:`",
        ),
        (
            f"main: {{driver: redis, {URL}}}",
            "redis: {target: main, url_env: AM_TOKEN, db: 1}",
            "47: redis.redis.db: the address in `url_env` says the number",
        ),
        (
            f"main: {{driver: redis, {URL}}}",
            "redis: {target: main, db: -1}",
            "47: redis.redis.db: should be at least 0",
        ),
        (
            f"main: {{driver: redis, {URL}}}",
            "redis: {target: main}}\npostgres: {pg: {target: main}",
            "48: postgres.pg.target: a PostgreSQL is not reached by a target with the driver redis",
        ),
        (
            "main: {driver: redys}",
            "redis: {target: main}",
            '46: targets.main.driver: there is no driver "redys"; did you mean redis?',
        ),
    ],
)
def test_faults_of_a_redis(tmp_path: Path, targets: str, databases: str, fault: str) -> None:
    """One sentence each, with its line."""
    found = faults(tmp_path, targets, databases)
    assert any(each.startswith(fault) for each in found), found
    assert not any("hunter22" in each for each in found)


def test_what_a_variable_holds_is_looked_at_too(tmp_path: Path) -> None:
    """An address with its password; something else is a fault that does not repeat it."""
    targets = "main: {driver: redis, url_env: CACHE_URL}"
    assert faults(tmp_path, targets, CACHE_URL="rediss://u:hunter22@cache.example.com/1") == []
    [fault] = faults(tmp_path, targets, CACHE_URL="hunter22")
    assert fault.startswith(
        "46: targets.main.url_env: the environment variable CACHE_URL holds something else; it should be an address"
    )
    assert "hunter22" not in fault
    assert faults(tmp_path, targets) == [
        "46: targets.main.url_env: the environment variable CACHE_URL is not set"
    ]


def test_safety_20_a_password_in_an_address_is_known_by_itself(tmp_path: Path) -> None:
    """Where a server repeats the password without the address around it, it is taken out all the same."""
    path = written(tmp_path, "main: {driver: redis, url_env: CACHE_URL}")
    url = "redis://u:p%40ss-word@cache.example.com/1"
    settings = load(path, {**TOKENS, "CACHE_URL": url})
    assert {url, "p%40ss-word", "p@ss-word"} <= set(settings.redaction.values)
    assert "p@ss-word" not in repr(settings)


def targets(path: Path, **environ: str) -> Mapping[str, Any]:
    clock = VirtualClock(START)
    return build.targets_of(load(path, {**TOKENS, **environ}), World(path.parent / "w.json", clock), clock)


async def test_real_and_simulated_side_by_side(tmp_path: Path) -> None:
    """Each database goes to its own; rehearsals touch nothing real."""
    with RedisServer() as server:
        server.admin.set("real", 1)
        databases = "cache: {target: main}, redis: {target: sandbox}"
        path = written(tmp_path, f"main: {{driver: redis, url: '{server.url()}'}}", databases)
        found = targets(path)
        try:
            assert set(found) == {"kubernetes", "redis", "prometheus", "health"}
            assert (await found["redis"].read("dbsize")).headline == "redis cache · 1 key"
            simulated = (await found["redis"].read("dbsize", name="redis")).headline
            assert simulated.startswith("redis · ")
            assert simulated != "redis · 1 key"
        finally:
            await build.stop(found.values())
        clock = VirtualClock(START)
        rehearsed = build.simulated(load(path, TOKENS), World(tmp_path / "x.json", clock), clock)
        assert (await rehearsed["redis"].read("dbsize", name="cache")).headline != "redis cache · 1 key"
        assert server.admin.client_list(_type="normal")[0]["name"] != "watchbell"


def test_a_library_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says which extra brings it."""
    path = written(tmp_path, f"main: {{driver: redis, {URL}}}")
    for name in [
        n for n in sys.modules if n.startswith("bot.targets.redis") and n != "bot.targets.redis_config"
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in [n for n in sys.modules if n == "redis" or n.startswith("redis.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(RefusedError, match=r"install watchbell with its extra: watchbell\[redis\]"):
        targets(path)


async def test_run_uses_what_is_real_and_demo_never_does(tmp_path: Path) -> None:
    """The same file; and whoever ends lets go of every connection."""
    with RedisServer() as server:
        path = written(tmp_path, f"main: {{driver: redis, url: '{server.url()}'}}")
        settings = load(path, {**TOKENS, "WATCHBELL_WEB_PORT": "0"})
        settings = replace(settings, web=replace(settings.web, port=0))
        server.admin.mset({str(n): n for n in range(11)})

        async with demo(settings, tmp_path / "demo", host="127.0.0.1", port=0) as (bot, _):
            headline = (await bot.ops.target("redis").read("dbsize")).headline
            assert headline != "redis · 11 keys"
            assert names(server) == {""}
        async with production(settings, tmp_path / "run") as (bot, _):
            assert (await bot.ops.target("redis").read("dbsize")).headline == "redis · 11 keys"
            assert names(server) == {"", "watchbell"}
            with pytest.raises(TargetError, match="No compose target is configured"):
                bot.ops.target("compose")
        assert names(server) == {""}


async def test_run_warns_of_what_is_not_in_order(tmp_path: Path) -> None:
    """Each target that does not answer as it should, by its name; of those that do nothing is said."""
    with RedisServer() as server:
        good = f"main: {{driver: redis, url: '{server.url()}'}}"
        with capture_logs() as quiet:
            await warn_of_targets(load(written(tmp_path, good), TOKENS), SystemClock())
        bad = f"main: {{driver: redis, url: '{server.url()}', username: nobody, password_env: PW}}"
        with capture_logs() as told:
            await warn_of_targets(load(written(tmp_path, bad), {**TOKENS, "PW": secret()}), SystemClock())
    assert quiet == []
    assert [(each["log_level"], each["target"]) for each in told] == [("warning", "main")]
    assert "refuses the user or the password" in told[0]["said"]


def names(server: RedisServer) -> set[str]:
    """Who is connected."""
    return {client["name"] for client in server.admin.client_list()}


def asked(path: Path, **environ: str) -> Any:
    """`watchbell check` on a file."""
    return CliRunner().invoke(app, ["check", "--config", str(path)], env={**TOKENS, **environ})


def test_check_asks_the_server(tmp_path: Path) -> None:
    """Version, role, TLS, and whether the user may do what the commands need."""
    password = secret()
    with RedisServer() as server:
        admin = server.admin
        admin.execute_command(
            "ACL", "SETUSER", "wb", "on", f">{password}", "~*", "+@all", "-config", "-unlink"
        )
        url, extra = server.url(), "username: wb, password_env: PW"
        path = written(tmp_path, f"main: {{driver: redis, url: '{url}', {extra}, replica: true}}")
        found = asked(path, PW=password)
        assert found.exit_code == 1, found.output
        assert (
            f"ok    redis: Redis {admin.info()['redis_version']} at 127.0.0.1:{server.port}, primary"
            in found.output
        )
        assert "wrong redis: the server is a primary; take `replica: true` out" in found.output
        assert "wrong redis: the user wb may not config set, unlink" in found.output
        admin.execute_command("ACL", "SETUSER", "wb", "+@all")
        path = written(tmp_path, f"main: {{driver: redis, url: '{url}', {extra}}}")
        found = asked(path, PW=password)
        assert found.exit_code == 0, found.output
        assert "ok    redis: the user wb may do what the commands need" in found.output
        found = asked(path, PW="not the password")
        assert found.exit_code == 1
        assert "refuses the user or the password" in found.output
        assert "not the password" not in found.output
    found = asked(path, PW=password)
    assert found.exit_code == 1
    assert "refused" in found.output
    assert asked(path, PW=password).output.count("Traceback") == 0
