"""What a target has that is only looked at: it plans nothing, so nothing of it ever runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from commands.actions import Outcome, Plan, Progress
from incidents.ports import RefusedError


class LookedAt:
    """The part of the Target port that is about changes."""

    title = ""

    async def plan(self, verb: str, **args: Any) -> Plan:
        """RefusedError, always."""
        raise self._refused()

    async def observe(self, plan: Plan) -> tuple[str, Mapping[str, Any]]:
        """As `plan`."""
        raise self._refused()

    async def run(self, plan: Plan, *, key: str, progress: Progress) -> Outcome:
        """As `plan`."""
        raise self._refused()

    async def follow(self, plan: Plan, *, key: str, progress: Progress) -> Outcome | None:
        """Nothing that could be followed was ever begun."""
        return None

    async def cancel(self, plan: Plan, *, key: str) -> bool:
        """Nothing runs."""
        return False

    def _refused(self) -> RefusedError:
        return RefusedError(f"{self.title} is only looked at; nothing of it is changed.")
