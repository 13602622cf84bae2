"""A kubeconfig that is none, and the plugin that it names: one sentence, in time, and nothing of what they hold."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.clock import VirtualClock
from bot.redact import Redactor
from bot.targets import build
from bot.targets.kubernetes_kubeconfig import client
from bot.targets.kubernetes_link import Link
from bot.targets.kubernetes_rights import role
from bot.targets.kubernetes_wire import Way
from commands.actions import TargetError
from tests.contracts.kubernetes_rig import TOKEN, furnish, on_kubernetes
from tests.contracts.target_rigs import START
from tests.servers.kubernetes_server import KubernetesServer, shared
from tests.targets.kubernetes_stage import SERVICE, target_of

HELD = "the-Secret-that-it-holds-4711"
V1 = "client.authentication.k8s.io/v1"


def config(**user: Any) -> dict[str, Any]:
    """A kubeconfig with one context, that of this user."""
    place = {"server": "https://127.0.0.1:1"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": place}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }


def plugin(script: str) -> dict[str, Any]:
    """A user whose credential a program gives."""
    return {"exec": {"apiVersion": V1, "command": "sh", "args": ["-c", script], "env": None}}


ILL: dict[str, tuple[str, str]] = {
    "a flow that does not end": (
        f"users:\n- name: u\n  user: {{token: {HELD}: x\n y",
        "is no YAML in line 3",
    ),
    "a tab": (f"a: b\n\ttoken: {HELD}", "is no YAML in line 2"),
    "no text": ("a: \x00", "is no YAML"),
    "nothing": ("", "has not the form of one"),
    "a word": (HELD, "has not the form of one"),
    "a list": (f"[{HELD}]", "has not the form of one"),
    "a number for contexts": (f"contexts: 3\nusers: {HELD}", "has not the form of one"),
    "numbers for users": (yaml.safe_dump(config() | {"users": [1, 2]}), "has not the form of one"),
    "a user without a name": (
        yaml.safe_dump(config() | {"users": [{"token": HELD}] * 2}),
        "Expected .* name",
    ),
    "a user that is none": (
        yaml.safe_dump(config() | {"users": [{"name": "u", "token": HELD}]}),
        "key user in",
    ),
    "an authority that is none": (
        yaml.safe_dump(
            config()
            | {
                "clusters": [
                    {"name": "k", "cluster": {"server": "https://x", "certificate-authority-data": "x"}}
                ]
            }
        ),
        "has not the form of one",
    ),
    "another context": (yaml.safe_dump(config() | {"current-context": "d"}), "object with name d"),
    "a plugin without a command": (
        yaml.safe_dump(config(exec={"apiVersion": V1})),
        "has not the form of one",
    ),
    "a plugin that is a word": (yaml.safe_dump(config(exec=HELD)), "has not the form of one"),
    "a plugin that there is not": (
        yaml.safe_dump(config(exec={"apiVersion": V1, "command": "no-such-plugin", "args": [HELD]})),
        'plugin "no-such-plugin" cannot be run: No such file',
    ),
    "a plugin that fails": (
        yaml.safe_dump(config(**plugin(f"echo {HELD}; echo {HELD} >&2; exit 3"))),
        'plugin "sh" ended with code 3',
    ),
    "a plugin that says something else": (
        yaml.safe_dump(config(**plugin(f"echo {HELD}"))),
        "gave something else than a credential",
    ),
    "a plugin without a credential": (
        yaml.safe_dump(config(**plugin("""echo '{"status": {"clientKeyData": 3}}'"""))),
        "gave something else than a credential",
    ),
}


@pytest.mark.parametrize("case", ILL)
async def test_a_kubeconfig_that_is_none_is_one_sentence(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is wrong, and nothing of what it holds: not in the sentence, not in a log."""
    path = tmp_path / "config"
    text, told = ILL[case]
    path.write_text(text, "utf-8")
    link = Link("main", Way(kubeconfig=str(path)), timeout=20, redact=Redactor().redact)
    with pytest.raises(TargetError, match=told) as caught:
        await link.get("/api/v1/namespaces/x/pods/y")
    said = str(caught.value)
    assert said.startswith("Kubernetes main is not reached: ")
    assert "\n" not in said
    written = capfd.readouterr()
    assert HELD not in said + caplog.text + written.out + written.err
    assert caplog.text == ""


@pytest.fixture
def server() -> Iterator[KubernetesServer]:
    """A cluster as untouched as a new one."""
    found = shared()
    furnish(found)
    yield found
    found.call("faults")


NONE: dict[str, Any] = {"host": None, "token_env": None, "ca_file": None}


async def test_check_says_it_in_one_line(server: KubernetesServer, tmp_path: Path) -> None:
    """As of any other target that is not reached."""
    path = tmp_path / "config"
    path.write_text("a: b\n\tc", "utf-8")
    settings = on_kubernetes(server, kubeconfig=str(path), **NONE)
    [(name, line)] = [each async for each in build.check(settings, VirtualClock(START)) if each[0] == "main"]
    assert (name, line.right) == ("main", False)
    assert line.text == f"Kubernetes main is not reached: its kubeconfig {path} is no YAML in line 2."


async def test_a_plugin_gives_the_token(server: KubernetesServer, tmp_path: Path) -> None:
    """With its arguments and its environment; what it says beside is nobody's business."""
    path = server.kubeconfig(tmp_path / "config", token="not this one")
    found = yaml.safe_load(path.read_text("utf-8"))
    credential = {"apiVersion": V1, "kind": "ExecCredential", "status": {"token": "MINE"}}
    script = f"echo chatter >&2; echo '{json.dumps(credential)}' | sed \"s/MINE/$MINE/\""
    found["users"][0]["user"] |= plugin(script)
    found["users"][0]["user"]["exec"]["env"] = [{"name": "MINE", "value": TOKEN}]
    path.write_text(yaml.safe_dump(found), "utf-8")
    target = target_of(server, tmp_path, VirtualClock(START), kubeconfig=str(path), **NONE)
    assert "3 of 3 ready" in (await target.read("pods", **SERVICE)).headline
    await target.stop()


async def test_a_token_that_has_run_out_is_asked_for_anew(server: KubernetesServer, tmp_path: Path) -> None:
    """As those of clouds do within the hour; one that was never let in is refused, and asked for anew the next time."""
    path, token = server.kubeconfig(tmp_path / "config", token="none"), tmp_path / "token"
    found = yaml.safe_load(path.read_text("utf-8"))
    credential = {"apiVersion": V1, "kind": "ExecCredential", "status": {"token": "MINE"}}
    script = f"echo '{json.dumps(credential)}' | sed \"s/MINE/$(cat {token})/\""
    found["users"][0]["user"] |= plugin(script)
    path.write_text(yaml.safe_dump(found), "utf-8")
    target = target_of(server, tmp_path, VirtualClock(START), kubeconfig=str(path), **NONE)
    token.write_text("wrong")
    with pytest.raises(TargetError, match="refuses the token"):
        await target.read("pods", **SERVICE)
    token.write_text(TOKEN)
    assert "3 of 3 ready" in (await target.read("pods", **SERVICE)).headline
    server.call("token", token="the next", roles=[role()])
    server.call("revoke", token=TOKEN)
    token.write_text("the next")
    found = await asyncio.gather(*(target.read("pods", **SERVICE) for _ in range(8)))
    assert all("3 of 3 ready" in answer.headline for answer in found)
    plan = await target.plan("scale", service="realtime", replicas=5)
    assert plan.summary == "scale realtime 3 → 5"
    server.call("revoke", token="the next")
    with pytest.raises(TargetError, match="refuses the token"):
        await target.read("pods", **SERVICE)
    await target.stop()


async def test_safety_33_a_plugin_is_waited_for_as_long_as_for_an_answer(tmp_path: Path) -> None:
    """Looks that came meanwhile do not wait one after another."""
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config(**plugin("exec sleep 600"))), "utf-8")
    link = Link("main", Way(kubeconfig=str(path)), timeout=1)
    looks = [link.get("/api/v1/namespaces/x/pods/y") for _ in range(40)]
    async with asyncio.timeout(20):
        for failed in await asyncio.gather(*looks, return_exceptions=True):
            assert str(failed) == "Kubernetes main is not reached: its credentials did not come within 1 s."


async def test_a_plugin_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    """With the programs that it began: all of them hold the pipe, and it ends when the last of them has."""
    path, pipe = tmp_path / "config", tmp_path / "pipe"
    os.mkfifo(pipe)
    path.write_text(
        yaml.safe_dump(config(**plugin(f"exec 3>{pipe}; sleep 600 & echo begun >&3; wait"))), "utf-8"
    )
    waiting = asyncio.ensure_future(client(str(path), None))
    with await asyncio.to_thread(pipe.open) as held:
        assert await asyncio.to_thread(held.readline) == "begun\n"
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert await asyncio.to_thread(held.read) == ""
