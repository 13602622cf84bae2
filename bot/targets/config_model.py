"""What every driver's section of the configuration has in common."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.config_faults import mapping
from bot.config_values import duration


def _patience(value: object) -> int:
    found = duration(value)
    if found > 120:
        raise ValueError("should be at most 2m")
    return found


Patience = Annotated[int, BeforeValidator(_patience)]


class Driver(BaseModel):
    """Strict, frozen, nothing extra."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    driver: str


class Reached(Driver):
    """A driver that asks somebody: how long one request may take (seconds), and how many looks go at once."""

    timeout: Patience = 5
    at_once: int = Field(default=8, ge=1, le=100)


def unused(data: Any, section: str, own: Collection[str]) -> list[str]:
    """The targets among `own` that no database of the section names.

    None where a database names a target that there is not, which is said: it may mean any of them.
    """
    named = {str(mapping(fields).get("target")) for fields in mapping(data, section).values()}
    return [] if named - set(mapping(data, "targets")) else sorted(set(own) - named)
