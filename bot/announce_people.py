"""What is said about who does what: roles, owners, action items, and who stands in on a rota."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.announce_parts import invite, owner_or_on_call, room, say
from bot.chat import Say
from bot.facts import Facts
from incidents import events as e
from incidents.incident import Incident

Batch = Sequence[e.Event]


def role(ev: e.RoleTaken, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Who has a role now; somebody who was given one is mentioned."""
    return [invite(i, [ev.person]), say(i, "role", actor=ev.actor, person=ev.person, role=ev.role)]


def joined(ev: e.Joined, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """The chat shows who joins."""
    return [invite(i, [ev.person])]


def left(ev: e.Left, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Said only where a role is free now."""
    free = [name for name, person in before.roles.items() if person == ev.person]
    return [say(i, "left", person=ev.person, roles=free)] if free else []


def handed_over(ev: e.HandedOver, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """The new owner is mentioned."""
    giver = ev.before if ev.before and ev.before == ev.actor else ev.actor
    taken = ev.person == ev.actor
    data = {"giver": giver, "person": ev.person, "taken": taken, "status": i.state, "text": i.update_text}
    return [invite(i, [ev.person]), say(i, "handed_over", **data)]


def item_added(ev: e.ActionItemAdded, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    """Whose it is, and by when."""
    data = {"item": ev.item, "text": ev.text, "owner": ev.owner, "due": ev.due, "mine": ev.owner == ev.actor}
    return [say(i, "item_added", **data)]


def item_done(ev: e.ActionItemDone, before: Incident, i: Incident, batch: Batch, facts: Facts) -> list[Say]:
    left = sum(not item.done for item in i.items)
    return [say(i, "item_done", actor=ev.actor, item=ev.item, text=_item_text(i, ev.item), left=left)]


def item_chased(
    ev: e.ActionItemChased, before: Incident, i: Incident, batch: Batch, facts: Facts
) -> list[Say]:
    """The owner is asked; where the channel is archived, in direct messages."""
    item = next((item for item in i.items if item.number == ev.item), None)
    people = [item.owner] if item is not None and item.owner else owner_or_on_call(i, facts)
    first = item.due if item is not None and item.due is not None else ev.due
    data = {
        "number": i.number,
        "item": ev.item,
        "text": _item_text(i, ev.item),
        "people": people,
        "due": first,
    }
    where = [room(i)] if i.closed_at is None else [f"person:{person}" for person in people]
    return [Say(place, template="item_chased", data=data) for place in where]


def _item_text(i: Incident, number: int) -> str:
    return next((item.text for item in i.items if item.number == number), "")


def override(ev: e.OverrideSet, before: Any, after: Any, batch: Sequence[e.Event], facts: Facts) -> list[Say]:
    """Who stands in, and until when; somebody who was asked to is mentioned."""
    data = {"rota": ev.rota, "person": ev.person, "actor": ev.actor, "start": ev.start, "end": ev.end}
    data["from_now"] = ev.start <= ev.at
    return [Say("ops", template="override", data=data)]


Rule = Callable[[Any, Any, Any, Batch, Facts], list[Say]]

RULES: Mapping[type[e.Event], Rule] = {
    e.RoleTaken: role,
    e.Joined: joined,
    e.Left: left,
    e.HandedOver: handed_over,
    e.ActionItemAdded: item_added,
    e.ActionItemDone: item_done,
    e.ActionItemChased: item_chased,
    e.OverrideSet: override,
}
