"""Executives are paged by hand only after a confirmation."""

from __future__ import annotations

from collections.abc import Iterable

from commands.case import Case, Choice, Reply, sentence
from incidents import events as e
from incidents.wording import listed


def confirmation(case: Case, found: Iterable[e.Event], line: str, *, what: str = "This") -> Reply | None:
    """The question to ask where `found` pages executives, or None; `line` is the command to repeat."""
    paged = [person for event in found if isinstance(event, e.Paged) for person in event.people]
    titles = _executives(case)
    named = [f"{person} ({titles[person]})" for person in dict.fromkeys(paged) if person in titles]
    if not named:
        return None
    text = f"{what} pages {listed(named)} at once. Press Confirm to do it, or leave it at that."
    return sentence(text, Choice("Confirm", f"{line} confirm=yes", "danger"))


def _executives(case: Case) -> dict[str, str]:
    """Everybody on an executive rung now, and what that rung is called."""
    policy, roster = case.policy, case.log.roster
    return {
        person: policy.label(rung)
        for rung in reversed(policy.executives)
        for person in roster.people(rung, case.now)
    }
