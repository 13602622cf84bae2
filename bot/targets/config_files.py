"""The files that targets name: faults of those that are not there, or hold something else."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bot.config_faults import Finding
from bot.targets.config_model import Driver

_FILES = ("ca_file", "certificate", "key", "kubeconfig")


def check(name: str, model: type[Driver], fields: Mapping[str, Any]) -> Iterator[Finding]:
    """A fault for every file of the target's section that cannot be used; `model` says which settings it has."""
    for key in _FILES:
        value = fields.get(key)
        if key not in model.model_fields or not isinstance(value, str) or not value.strip():
            continue
        told = kubeconfig(value.strip()) if key == "kubeconfig" else _ill(Path(value.strip()))
        if not told and key == "ca_file":
            told = _no_authority(value.strip())
        if told:
            yield Finding(("targets", name, key), told)


def kubeconfig(paths: str) -> str:
    """Why no kubeconfig can be read there, or nothing; several files stand with `:` between, as in KUBECONFIG.

    Those that are not there are passed over, as kubectl does:
    https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
    """
    told = [_ill(Path(path).expanduser()) for path in paths.split(os.pathsep) if path]
    return "" if "" in told else next(iter(told), "there is no such file")


def _ill(path: Path) -> str:
    """What is wrong with a file, or nothing."""
    try:
        if not path.exists():
            return "there is no such file"
        if not path.is_file():
            return "this is no file"
        return "" if os.access(path, os.R_OK) else "I may not read this file"
    except (OSError, ValueError) as error:
        return f"this file cannot be read: {getattr(error, 'strerror', None) or error}"


def _no_authority(path: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return "this file holds no certificate (in PEM, it begins with -----BEGIN CERTIFICATE-----)"
    return ""
