"""What a request's card shows beside the plan: the service's figure now, and what came of the last runs like it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import or_, select

from bot import store
from bot.logbook import Logbook
from bot.sli import Indicators
from commands.actions import Plan
from commands.catalogue import Catalogue
from incidents import watching
from incidents.action import Action

RUNS = 3
WITHIN = 2.0  # seconds that a card may wait for its figure


async def figure(indicators: Indicators, catalogue: Catalogue, plan: Plan) -> str:
    """What the service's own indicator shows now, in words; empty where it has none."""
    service = catalogue.service(plan.service) if plan.service else None
    if service is None or service.sli is None:
        return ""
    return await indicators.told(service.sli, within=WITHIN)


def evidence(book: Logbook, plan: Plan, incident: int | None, sli: str) -> dict[str, Any]:
    """What is kept with the request, as plain data; only what there is."""
    runs = last_runs(book, plan, incident)
    return {**({"sli": sli} if sli else {}), **({"runs": runs} if runs else {})}


def last_runs(book: Logbook, plan: Plan, incident: int | None) -> list[dict[str, Any]]:
    """The last runs of the same command on the same thing, the newest first; none of a private incident elsewhere.

    They are found by an index that holds what has run and nothing else, so a long history costs nothing.
    """
    t, i = store.actions, store.incidents
    seen = or_(t.c.incident.is_(None), t.c.incident == incident, i.c.private == 0)
    query = (
        select(t.c.number)
        .outerjoin(i, i.c.number == t.c.incident)
        .where(t.c.target == plan.subject, t.c.command == plan.command, store.HAS_RUN, seen)
        .order_by(t.c.number.desc())
        .limit(RUNS)
    )
    found = (book.action(row.number) for row in book.unit.rows(query))
    return [_run(action) for action in found if action is not None and action.ended_at is not None]


def _run(a: Action) -> dict[str, Any]:
    assert a.ended_at is not None
    return {"number": a.number, "at": a.ended_at.isoformat(), "by": a.requester, "outcome": _outcome(a)}


def _outcome(a: Action) -> str:
    words = {"unknown": "outcome unknown"}.get(a.state, a.state)
    if a.watch is not None and a.watch.verdict == watching.WORSE:
        words = f"{words}, worse after"
    undone = a.undo_of if a.undo_of is not None else a.revert_of
    return words if undone is None else f"{words}, back from #{undone}"
