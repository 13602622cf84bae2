"""Variants of the example configuration for the scenarios that need another one, by the scenario's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = Path(__file__).parents[2] / "watchbell.example.yaml"

Data = dict[str, Any]


def _ladder(data: Data) -> list[str]:
    return data["policies"][data["default_policy"]]["ladder"]


def _nobody_on_call(data: Data) -> None:
    """The first rung is empty."""
    data["rungs"][_ladder(data)[0]] = {"people": []}


def _nobody_at_all(data: Data) -> None:
    """Every rung is empty; the manager is the fallback."""
    for rung in data["rungs"]:
        data["rungs"][rung] = {"people": []}
    data["fallback"] = "dave"


def _fallback_is_dave(data: Data) -> None:
    """The fallback is somebody who can be reached."""
    data["fallback"] = "dave"


def _alice_twice(data: Data) -> None:
    """The same person is primary and secondary."""
    data["rungs"][_ladder(data)[1]] = {"people": ["alice"]}


def _auto_major(data: Data) -> None:
    """Several affected services make a major outage without asking."""
    data["policies"][data["default_policy"]]["auto_major"] = True


VARIANTS: dict[str, Callable[[Data], None]] = {
    "nobody_there": _nobody_on_call,
    "nobody_at_all": _nobody_at_all,
    "everybody_unreachable": _fallback_is_dave,
    "several_rungs": _alice_twice,
    "auto_major": _auto_major,
}


def config_for(scenario: str, folder: Path) -> Path | None:
    """The configuration file of a scenario, written to `folder`; None: the example itself."""
    change = VARIANTS.get(scenario)
    if change is None:
        return None
    data = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    change(data)
    path = folder / f"{scenario}.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path
