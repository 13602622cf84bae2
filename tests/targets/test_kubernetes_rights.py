"""Each command works with exactly the role that is printed for it, and not without one of its rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bot.cli import app
from bot.clock import VirtualClock
from bot.targets.kubernetes_link import Link
from bot.targets.kubernetes_rights import COMMANDS, Right, needed, role, written
from bot.targets.kubernetes_wire import CHANGES, LOOKS, Way, path
from commands.actions import TargetError
from tests.bot.test_config_faults import BASE
from tests.contracts.kubernetes_rig import SPACE, TOKEN, furnish, move, patch, pod_names
from tests.contracts.target_rigs import START, Change
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.targets.kubernetes_stage import DEPLOYMENT, SERVICE, ran, target_of

READS: dict[str, tuple[dict[str, Any], ...]] = {
    "describe": (SERVICE, {"pod": "POD"}),
    "top": (SERVICE, {"nodes": True}),
    "pv": ({},),
    "node": ({"node": "node-1"},),
    "probe": ({**SERVICE, "what": "ps"}, {"pod": "POD", "what": "ps"}),
}
PLANS: dict[str, tuple[str, dict[str, Any]]] = {
    "scale": ("scale", {"replicas": 4}),
    "maintenance": ("maintenance", {"state": "on"}),
    "toggle": ("toggle", {"key": "BACKPRESSURE_THRESHOLD", "new": "0.9"}),
    "hpa change": ("hpa", {"low": 3, "high": 9}),
    "pod delete": ("evict", {"pod": "POD"}),
    "cordon": ("cordon", {"node": "node-1"}),
    "uncordon": ("uncordon", {"node": "node-1"}),
    "restart": ("restart", {}),
    "rollback": ("rollback", {}),
    "pause": ("pause", {}),
    "resume": ("resume", {}),
}
ON_DEMAND = {Right("", "pods", "list")}  # of changes: asked only where a rollout does not move


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster as untouched as a new one."""
    found = shared()
    furnish(found)
    yield found
    found.call("faults")


async def use(server: KubernetesServer, folder: Path, command: str) -> None:
    """Do what a command does, a change to its end."""
    clock = VirtualClock(START)
    target = target_of(server, folder, clock, probe={})
    try:
        pod = pod_names(server)[0]
        if command not in PLANS:
            for args in READS.get(command, (SERVICE,)):
                await target.read(command, **{k: pod if v == "POD" else v for k, v in args.items()})
            return
        verb, args = PLANS[command]
        if not {"pod", "node"} & set(args):
            args = {**SERVICE, **args}
        plan = await target.plan(verb, **{k: pod if v == "POD" else v for k, v in args.items()})
        outcome = await ran(server, target, clock, plan)
        assert outcome.kind == "done", outcome
    finally:
        await target.stop()


def ready_for(server: KubernetesServer, command: str) -> None:
    """What has to be so before a command makes sense."""
    if command == "uncordon":
        patch(server, "/api/v1/nodes/node-1", {"spec": {"unschedulable": True}})
    if command == "rollout":
        move(server, Change("restart", SERVICE))  # it asks after pods while they change
    if command == "probe":
        server.call("command", argv=["ps", "aux"], stdout="1")
    if command == "resume":
        patch(server, DEPLOYMENT, {"spec": {"paused": True}})


def without(document: dict[str, Any], right: Right) -> dict[str, Any]:
    """A role that lacks one right."""
    rules = []
    for rule in document["rules"]:
        for resource in rule["resources"]:
            gone = (rule["apiGroups"], resource) == ([right.group], right.resource)
            verbs = [verb for verb in rule["verbs"] if not (gone and verb == right.verb)]
            if verbs:
                rules.append({"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": verbs})
    return {**document, "rules": rules}


@pytest.mark.parametrize("command", sorted(COMMANDS))
async def test_safety_34_a_command_works_with_its_role_alone(
    server: KubernetesServer, tmp_path: Path, command: str
) -> None:
    """Exactly the rules that are printed for it."""
    ready_for(server, command)
    server.call("token", token=TOKEN, roles=[role([command])])
    await use(server, tmp_path, command)


@pytest.mark.parametrize("command", sorted(COMMANDS))
async def test_safety_34_a_command_fails_without_any_of_its_rules(
    server: KubernetesServer, tmp_path: Path, command: str
) -> None:
    """With a sentence that says what is missing; nothing in the role is there for nothing."""
    ready_for(server, command)
    for right in needed([command]):
        if command in PLANS and right in ON_DEMAND:
            continue
        server.call("token", token=TOKEN, roles=[without(role([command]), right)])
        with pytest.raises(TargetError, match="does not allow me to"):
            await use(server, tmp_path, command)
    assert not [
        r
        for r in server.requests(verbs=("patch", "create"))
        if r["status"] in (200, 201) and r["query"].get("fieldManager", "").startswith("watchbell-")
    ]


def test_safety_34_the_printed_role_is_the_document_alone() -> None:
    """No wildcard, nothing of Secrets, no line besides."""
    result = CliRunner().invoke(app, ["manifest", "rbac"])
    assert result.exit_code == 0
    document = yaml.safe_load(result.stdout)
    assert document == role()
    assert set(document) == {"apiVersion", "kind", "metadata", "rules"}
    assert "*" not in result.stdout
    assert "secret" not in result.stdout.casefold()
    assert yaml.safe_load(written(["pods"]))["rules"] != document["rules"]


def test_a_configuration_that_names_no_cluster_is_told_so(tmp_path: Path) -> None:
    """Beside the document; without a file there is nothing to say."""
    path = tmp_path / "watchbell.yaml"
    sandbox = "targets: {sandbox: {driver: sandbox}"
    for more, told in (
        ("}", "there is no target with the driver kubernetes"),
        (", a: {driver: kubernetes, in_cluster: true}}", ""),
        (
            ", a: {driver: kubernetes, in_cluster: true}, b: {driver: kubernetes, in_cluster: true}}",
            "several clusters (a, b); --cluster says which",
        ),
    ):
        path.write_text(BASE.replace(f"{sandbox}}}", f"{sandbox}{more}"), "utf-8")
        result = CliRunner().invoke(app, ["manifest", "rbac", "--config", str(path)])
        assert yaml.safe_load(result.stdout) == role()
        assert (told in result.stderr) if told else result.stderr == ""
    assert CliRunner().invoke(app, ["manifest", "rbac"]).stderr == ""


def test_the_role_of_some_commands_is_smaller() -> None:
    """A cluster that is only looked at needs no verb that changes something."""
    verbs = {verb for rule in role(["pods", "logs", "rollout"])["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list"}


@pytest.mark.parametrize(
    "where", ["secrets", "serviceaccounts", "pods/exec", "clusterroles", "deployments/status"]
)
async def test_safety_20_secrets_are_never_asked_for(where: str) -> None:
    """The driver cannot send it, whatever calls it."""
    link = Link("main", Way(host="https://127.0.0.1:1", token="x"), timeout=1)
    resource, _, sub = where.partition("/")
    place = path("v1", SPACE, resource, "name", sub)
    for call in (link.get(place), link.items(place), link.change("PATCH", place, {}, mark="x")):
        with pytest.raises(ValueError, match="never asked for"):
            await call
    assert "secrets" not in LOOKS | CHANGES


async def test_check_names_what_is_missing(server: KubernetesServer, tmp_path: Path) -> None:
    """Every command that lacks a right, and where; all is well with the whole role."""
    target = target_of(server, tmp_path, VirtualClock(START))
    lines = [line async for line in target.guarded.check()]
    assert all(line.right for line in lines)
    assert any("23 commands" in line.text for line in lines)
    gone = Right("apps", "deployments/scale", "patch")
    server.call("token", token=TOKEN, roles=[without(role(), gone)])
    wrong = [line.text async for line in target.guarded.check() if not line.right]
    assert wrong == ["scale: I may not patch deployments/scale.apps in production"]
    await target.stop()
