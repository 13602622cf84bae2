"""From a parsed command to what may happen: who may ask for it, where, and what a change is frozen into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from commands.actions import Plan
from commands.registry import Command
from incidents import events as e
from incidents.ports import RefusedError


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was typed: an incident's channel, an operations channel, another configured one (`known`),
    direct messages, or elsewhere."""

    kind: Literal["incident", "operations", "known", "direct", "elsewhere"]
    channel: str
    number: int | None = None
    thread: str | None = None


def authorise(
    command: Command,
    *,
    person: str | None,
    roles: frozenset[str],
    place: Place,
    operations: Sequence[str] = (),
) -> None:
    """Refuse what this person may not ask for, or not here; roles build on one another but `approver`.

    `operations` are the channels that are named as the way on.
    """
    if person is None:
        raise RefusedError("I do not know you: somebody has to add you under `people:` in my configuration.")
    held = set(roles)
    if "responder" in held:
        held.add("reporter")
    if "approver" in held:
        held.add("reporter")
    if command.who != "anyone" and command.who not in held:
        raise RefusedError(_not_allowed(command, held))
    if command.effect in ("change", "danger"):
        take_changes(command, place, operations)
    if command.family == "operations" and place.kind == "elsewhere":
        where = " or ".join(operations) or "an operations channel"
        raise RefusedError(
            f"I tell nothing about systems in channels that I was not given: type `/{command.name}` in an "
            f"incident's channel, in {where}, or to me directly."
        )


def take_changes(command: Command, place: Place, operations: Sequence[str] = ()) -> None:
    """Refuse a change where none may be asked for."""
    if place.kind not in ("incident", "operations"):
        where = " or ".join(operations) or "an operations channel"
        raise RefusedError(
            f"Changes are asked for in an incident's channel or in {where}, not here: "
            f"type `/{command.name}` there."
        )


def _not_allowed(command: Command, held: set[str]) -> str:
    if not held:
        return f"You have no role here, so `/{command.name}` is not for you; ask a responder."
    what = {"responder": "responders", "approver": "approvers", "reporter": "people with a role"}[command.who]
    return f"`/{command.name}` is for {what}; ask one of them, or have the role added to you."


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan and the terms on which it is asked for."""

    plan: Plan
    by: str
    place: Place
    quorum: int
    eligible: Sequence[str]
    first: Sequence[str]  # those among them who are asked at once: on call now
    expires: timedelta
    widen: timedelta
    undo_window: timedelta
    revert_after: int | None = None
    undo_of: int | None = None
    revert_of: int | None = None
    again_of: int | None = None
    guarded: bool = False
    evidence: Mapping[str, Any] = field(default_factory=dict)


def freeze(asked: Asked, *, number: int, now: datetime) -> e.ActionProposed:
    """The event that puts exactly this plan to the vote; `eligible` lists those asked first in front."""
    eligible = tuple(dict.fromkeys([*asked.first, *asked.eligible]))
    others = [person for person in eligible if person not in asked.first]
    plan = asked.plan
    return e.ActionProposed(
        at=now,
        actor=asked.by,
        number=number,
        incident=asked.place.number,
        channel=asked.place.channel,
        plan=plan.to_data(),
        plan_hash=plan.hash,
        quorum=asked.quorum,
        eligible=eligible,
        expires_at=now + asked.expires,
        widen_at=now + asked.widen if others and asked.first else None,
        undo_of=asked.undo_of,
        revert_of=asked.revert_of,
        again_of=asked.again_of,
        revert_after=asked.revert_after,
        undo_within=int(asked.undo_window.total_seconds()),
        guarded=asked.guarded,
        evidence=dict(asked.evidence),
    )


def drift(plan: Plan, identity: str, state: Mapping[str, object]) -> list[str]:
    """What is no longer as it was when the plan was made: "replicas is 5 now, it was 3"; empty where nothing moved."""
    moved = [] if identity == plan.identity else ["it is another one now than when this was asked"]
    for key, was in plan.before.items():
        if (now := state.get(key)) != was:
            moved.append(
                f"{key} is {now} now, it was {was}" if now is not None else f"{key} is gone, it was {was}"
            )
    return moved
