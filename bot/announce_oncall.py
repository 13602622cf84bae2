"""What is said about who is on call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.chat import Say
from bot.facts import Facts
from incidents import events as e


def override(ev: e.OverrideSet, before: Any, after: Any, batch: Sequence[e.Event], facts: Facts) -> list[Say]:
    """Who stands in, and until when; somebody who was asked to is mentioned."""
    data = {"rota": ev.rota, "person": ev.person, "actor": ev.actor, "start": ev.start, "end": ev.end}
    data["from_now"] = ev.start <= ev.at
    return [Say("ops", template="override", data=data)]


Rule = Callable[[Any, Any, Any, Sequence[e.Event], Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {e.OverrideSet: override}
