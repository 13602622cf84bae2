"""A kubeconfig read with the library, its faults as sentences, and the plugin that it names run within a limit."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from bot.targets.config_files import kubeconfig
from commands.values import shown

Json = dict[str, Any]
# What the library raises where something else stands in the file than it expects.
_ILL = (TypeError, AttributeError, LookupError, RecursionError, UnicodeDecodeError, binascii.Error)
# What a plugin may give (kubernetes.io/docs/reference/access-authn-authz/authentication, ExecCredential).
_GIVEN = {
    "clientCertificateData": "client-certificate-data",
    "clientKeyData": "client-key-data",
}


async def client(paths: str, context: str | None) -> ApiClient:
    """A client as these files say, several with `:` between; ConfigException where they cannot be used.

    Whoever waits no longer cancels it: its plugin is ended then.
    """
    if missing := kubeconfig(paths):  # the library logs it, and raises something else
        raise ConfigException(f"its kubeconfig {paths}: {missing}")
    try:
        return await _client(paths, context)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise ConfigException(f"its kubeconfig {paths} is no YAML{where}") from error
    except _ILL as error:
        raise ConfigException(f"its kubeconfig {paths} has not the form of one") from error
    except ConfigException as error:  # it may repeat a whole user of the file
        raise ConfigException(str(error).partition("{")[0].rstrip("/")) from error


async def _client(paths: str, context: str | None) -> ApiClient:
    merged = KubeConfigMerger(paths).config  # type: ignore[no-untyped-call]
    loader = KubeConfigLoader(merged, active_context=context, config_base_path=None)  # type: ignore[no-untyped-call]
    chosen = loader.current_context["context"].get("user")
    for each in merged.value["users"]:
        if each.value.get("name") == chosen and "exec" in (each.value.get("user") or {}):
            user = each.value["user"]
            user |= await _credential(user.pop("exec"))  # the library would log what the plugin says
    settings = Configuration()
    await loader.load_and_set(settings)  # type: ignore[no-untyped-call]
    return ApiClient(configuration=settings)


async def _credential(plugin: Mapping[str, Any]) -> Json:
    """The fields of a user that a plugin gives in its place."""
    command = str(plugin["command"])
    added = {str(each["name"]): str(each["value"]) for each in plugin.get("env") or []}
    asked = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
    environ = {**os.environ, **added, "KUBERNETES_EXEC_INFO": json.dumps(asked)}
    try:
        code, said = await _ran([command, *map(str, plugin.get("args") or [])], environ)
    except OSError as error:
        raise ConfigException(f"its plugin {shown(command)} cannot be run: {error.strerror}") from error
    if code:
        raise ConfigException(f"its plugin {shown(command)} ended with code {code}; run by hand, it says why")
    try:
        status = json.loads(said)["status"]
        given = {
            to: base64.b64encode(status[key].encode()).decode() for key, to in _GIVEN.items() if key in status
        }
        return given or {"token": str(status["token"])}
    except (ValueError, RecursionError, *_ILL) as error:
        raise ConfigException(f"its plugin {shown(command)} gave something else than a credential") from error


async def _ran(argv: list[str], environ: Mapping[str, str]) -> tuple[int, bytes]:
    """The code with which a program ended and what it wrote; whoever is cancelled takes it along, with its children.

    A thread waits for it: asyncio's own never comes to an end where it is cancelled while it begins one.
    """
    process = _begun(argv, environ)
    ended = asyncio.get_running_loop().run_in_executor(None, process.communicate)
    try:
        said, _ = await asyncio.shield(ended)
        return process.returncode, said
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _begun(argv: list[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what it says there may hold the credential
        start_new_session=True,
    )
