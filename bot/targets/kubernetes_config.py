"""What the section of a Kubernetes cluster may hold: the way there, and which commands it serves."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from bot.config_faults import meant, quoted
from bot.config_values import Line, Url, Variable
from bot.targets.config_model import Reached
from bot.targets.kubernetes_probe_config import Probe
from bot.targets.kubernetes_rights import COMMANDS

_WAYS = "`kubeconfig`, `in_cluster: true`, or `host` with `token_env`"


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise ValueError("should begin with https://, for the token would be read on the way")
    return value.rstrip("/")


def _known(value: str) -> str:
    if value not in COMMANDS:
        raise ValueError(f"there is no Kubernetes command {quoted(value)}{meant(value, COMMANDS)}")
    return value


class Kubernetes(Reached):
    """One cluster. Services name it as their `cluster`; without `commands` it serves all of them.

    Probes only where there is a `probe` that says what may be looked at.
    """

    kubeconfig: Line | None = None
    context: Line | None = None
    in_cluster: bool = False
    host: Annotated[Url, AfterValidator(_https)] | None = None
    token_env: Variable | None = None
    ca_file: Line | None = None
    commands: list[Annotated[str, AfterValidator(_known)]] = Field(default=[])
    probe: Probe | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Kubernetes:
        if sum((self.kubeconfig is not None, self.in_cluster, self.host is not None)) != 1:
            raise ValueError(f"say how it is reached, in one way: {_WAYS}")
        if self.context is not None and self.kubeconfig is None:
            raise ValueError("`context` names a part of a `kubeconfig`, and there is none")
        if (self.token_env is None) != (self.host is None):
            raise ValueError("`host` and `token_env` go together")
        if self.ca_file is not None and self.host is None:
            raise ValueError("`ca_file` goes with `host`; elsewhere the certificate stands in what it names")
        if "probe" in self.commands and self.probe is None:
            raise ValueError("`commands` has probe; say under `probe` what may be looked at inside pods")
        if self.commands and self.probe is not None and "probe" not in self.commands:
            raise ValueError("`commands` lacks probe, so what stands under `probe` has no effect")
        return self
