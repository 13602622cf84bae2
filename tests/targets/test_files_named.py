"""Files that the configuration of targets names: those that are not there are faults, each with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.config import ConfigError, load
from bot.targets import build
from bot.targets.kubernetes_wire import Way, connected
from tests.servers.redis_server import certificate
from tests.targets.test_build import SANDBOX, TOKENS, faults, written

SANDBOXED = "redis: {target: sandbox}"
NOWHERE = "there is no such file"
CASES = [
    ("main: {driver: redis, url: 'rediss://x', %s}", "redis: {target: main}"),
    (
        "main: {driver: postgres, url: 'postgresql://x/y', %s}",
        f"{SANDBOXED}}}\npostgres: {{pg: {{target: main}}",
    ),
    (
        "main: {driver: mongo, url: 'mongodb://x', %s}",
        f"{SANDBOXED}}}\nmongo: {{m: {{target: main, database: shop}}",
    ),
    ("main: {driver: prometheus, url: 'https://x', %s}", SANDBOXED),
    ("main: {driver: alertmanager, url: 'https://x', %s}", SANDBOXED),
    ("main: {driver: http, url: 'https://x', calls: {up: {path: /up}}, %s}", SANDBOXED),
    ("main: {driver: health, %s}", SANDBOXED),
    ("main: {driver: kubernetes, host: 'https://x', token_env: AM_TOKEN, %s}", SANDBOXED),
    ("main: {driver: compose, project: x, url: 'https://x', %s}", SANDBOXED),
]


@pytest.mark.parametrize(("target", "databases"), CASES)
def test_an_authority_that_is_not_there(tmp_path: Path, target: str, databases: str) -> None:
    """Every driver that takes one; with the file there is no fault, and none where nothing real is touched."""
    certificate(tmp_path)
    wrong = target % f"ca_file: {tmp_path / 'nope.pem'}"
    assert faults(tmp_path, wrong, databases) == [f"46: targets.main.ca_file: {NOWHERE}"]
    assert faults(tmp_path, target % f"ca_file: {tmp_path / 'server.crt'}", databases) == []
    assert load(written(tmp_path, wrong, databases), {}, tokens=False).targets["main"]


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    """A key is no authority, and a folder is no file."""
    certificate(tmp_path)
    target = "main: {driver: health, ca_file: %s}"
    assert "holds no certificate" in faults(tmp_path, target % (tmp_path / "server.key"), SANDBOXED)[0]
    assert "this is no file" in faults(tmp_path, target % tmp_path, SANDBOXED)[0]


def test_the_key_of_a_compose_stack(tmp_path: Path) -> None:
    """Both files are named."""
    given = "certificate: /nowhere/a.pem, key: /nowhere/b.pem"
    found = faults(tmp_path, f"s: {{driver: compose, project: x, url: 'https://x', {given}}}", SANDBOXED)
    assert found == [f"46: targets.s.certificate: {NOWHERE}", f"46: targets.s.key: {NOWHERE}"]


def test_a_kubeconfig_that_is_not_there(tmp_path: Path) -> None:
    """One fault; of several files those that are there count, as with kubectl."""
    (tmp_path / "there").write_text("{}", "utf-8")
    target = "main: {driver: kubernetes, kubeconfig: '%s'}"
    assert faults(tmp_path, target % "/nowhere/config", SANDBOXED) == [
        f"46: targets.main.kubeconfig: {NOWHERE}"
    ]
    assert faults(tmp_path, target % f"/nowhere/config:{tmp_path / 'there'}", SANDBOXED) == []


async def test_a_kubeconfig_that_went_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One sentence with its name, and nothing in the log of the library's own."""
    kept = tmp_path / "config"
    kept.write_text("{}", "utf-8")
    settings = load(written(tmp_path, f"main: {{driver: kubernetes, kubeconfig: {kept}}}", SANDBOXED), TOKENS)
    kept.unlink()
    [(name, line)] = [found async for found in build.check(settings, SystemClock())]
    assert (name, line.right) == ("main", False)
    assert f"its kubeconfig {kept}: {NOWHERE}" in line.text
    assert "Config not found" not in caplog.text
    with pytest.raises(Exception, match=NOWHERE):
        await connected(Way(kubeconfig=str(kept)))


def test_two_files_are_two_faults(tmp_path: Path) -> None:
    """Each with the line that it stands in."""
    text = written(tmp_path, "a: {driver: health, ca_file: /nowhere/a}", SANDBOXED).read_text("utf-8")
    assert SANDBOX not in text
    path = tmp_path / "two.yaml"
    path.write_text(
        text.replace("/nowhere/a}", "/nowhere/a},\n  b: {driver: health, ca_file: /nowhere/b}"), "utf-8"
    )
    with pytest.raises(ConfigError) as caught:
        load(path, TOKENS)
    assert [(fault.line, fault.key) for fault in caught.value.faults] == [
        (46, "targets.a.ca_file"),
        (47, "targets.b.ca_file"),
    ]
