"""Which target runs a service, and what is said where that is another one than was asked."""

from __future__ import annotations

from commands.actions import Ops, Target
from commands.catalogue import Service
from incidents.ports import RefusedError

_WHERE = {"kubernetes": "in Kubernetes", "compose": "under docker compose"}
_NOT = {"kubernetes": "not in Kubernetes", "compose": "not under docker compose"}
# A command for Kubernetes → the one for docker compose that does the same.
_ALIKE = {
    "logs": "compose logs",
    "pods": "compose ps",
    "restart": "compose restart",
    "scale": "compose scale",
    "top": "compose stats",
}
_OTHER = {"compose": _ALIKE, "kubernetes": {there: here for here, there in _ALIKE.items()}}


def run_by(runtime: str, service: Service, ops: Ops, command: str, *words: object) -> Target:
    """The target `runtime` where it runs the service; RefusedError naming the command that is for it instead.

    `command` is the one that was typed, and `words` what belongs behind the service's name.
    """
    if service.runtime == runtime:
        return ops.target(runtime)
    if service.runtime not in _WHERE:
        raise RefusedError(
            f"{service.name} can only be watched, not operated: the configuration names no runtime for it "
            "(runtime: kubernetes or compose)."
        )
    other = _OTHER[service.runtime].get(command)
    typed = " ".join(["", *map(str, (other, service.name, *words))]).strip()
    way = f": use `/{typed}`." if other else "."
    raise RefusedError(f"{service.name} runs {_WHERE[service.runtime]}, {_NOT[runtime]}{way}")


def some_service(runtime: str, ops: Ops) -> str:
    """The name of a service of that runtime, for examples; `SERVICE` where there is none."""
    there = ops.catalogue.services.values()
    return next((service.name for service in there if service.runtime == runtime), "SERVICE")
