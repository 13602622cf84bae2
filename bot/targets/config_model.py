"""What every driver's section of the configuration has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
