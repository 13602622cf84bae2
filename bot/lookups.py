"""What the log says now: states by number, and the few questions that its indexes answer."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

import orjson
from sqlalchemy import func, or_, select

from bot import store
from bot.desk import Desk, policy_of
from bot.facts import Tally
from incidents.action import Action
from incidents.change_sentences import undoes
from incidents.incident import Incident
from incidents.metrics import taken_back
from incidents.policy import Policy

OPEN_STATES = ("open", "acknowledged", "investigating", "identified", "resolving")
LIVE = ("pending", "approved", "running")


class Lookups:
    """The questions; each sees what its own transaction has recorded already."""

    def __init__(self, unit: store.Unit, desk: Desk) -> None:
        self.unit = unit
        self.desk = desk

    def incident(self, number: int) -> Incident | None:
        """The incident now, or None."""
        found = self.unit.state(f"incident-{number}")
        return found if isinstance(found, Incident) else None

    def action(self, number: int) -> Action | None:
        """The action now, or None."""
        found = self.unit.state(f"action-{number}")
        return found if isinstance(found, Action) else None

    def policy(self, incident: Incident) -> Policy:
        """The snapshot that the incident points at."""
        return policy_of(self.unit, self.desk, incident.policy)

    def next_number(self, of: str) -> int:
        """One more than the highest number given."""
        table = store.incidents if of == "incident" else store.actions
        highest = self.unit.rows(select(func.max(table.c.number)))[0][0] or 0
        while self.unit.version(f"{of}-{highest + 1}"):
            highest += 1
        return int(highest) + 1

    def similar(self, title: str, service: str | None) -> list[Incident]:
        """Open incidents of the same service, or with nearly the same title; the newest 50 are looked at."""
        table = store.incidents
        rows = self.unit.rows(
            select(table.c.number, table.c.title, table.c.service)
            .where(table.c.state.in_(OPEN_STATES), table.c.private == 0)
            .order_by(table.c.number.desc())
            .limit(50)
        )
        numbers = [row.number for row in rows if _alike(title, service, row.title, row.service)]
        return [found for number in numbers if (found := self.incident(number))]

    def open_of_group(self, group_key: str) -> Incident | None:
        """The open incident that alerts of this group belong to, or None."""
        return self._newest(group_key, OPEN_STATES)

    def latest_of_group(self, group_key: str) -> Incident | None:
        """The newest incident of this group, whatever its state."""
        return self._newest(group_key, None)

    def _newest(self, group_key: str, states: Sequence[str] | None) -> Incident | None:
        table = store.incidents
        query = select(table.c.number).where(table.c.group_key == group_key)
        if states is not None:
            query = query.where(table.c.state.in_(states))
        rows = self.unit.rows(query.order_by(table.c.number.desc()).limit(1))
        return self.incident(rows[0].number) if rows else None

    def pending(self, incident: int | None, channel: str) -> list[Action]:
        """Requests that wait for votes or run, oldest first."""
        return [a for a in reversed(self._actions(incident, channel, LIVE)) if a.state in LIVE]

    def actions(self, incident: int | None, channel: str) -> list[Action]:
        """The newest 50 actions, newest first."""
        return self._actions(incident, channel, None)

    def _actions(self, incident: int | None, channel: str, states: Sequence[str] | None) -> list[Action]:
        table = store.actions
        place = table.c.incident == incident if incident is not None else table.c.channel == channel
        query = select(table.c.number).where(place).order_by(table.c.number.desc()).limit(50)
        if states is not None:
            query = query.where(table.c.state.in_(states))
        return [found for row in self.unit.rows(query) if (found := self.action(row.number))]

    def tally(self, incident: Incident) -> Tally:
        """What was done in an incident, and how many of the configuration's people took part."""
        a, ev = store.actions, store.events
        numbers = [
            row.number for row in self.unit.rows(select(a.c.number).where(a.c.incident == incident.number))
        ]
        actions = {n: found for n in numbers if (found := self.action(n)) is not None}
        streams = [
            f"incident-{incident.number}",
            f"chat-{incident.number}",
            *(f"action-{n}" for n in numbers),
        ]
        actors = self.unit.rows(select(ev.c.actor).where(ev.c.stream.in_(streams)).distinct())
        people = {row.actor for row in actors} & set(self.desk.settings.people) | set(incident.people)
        done = {n for n, found in actions.items() if found.state == "done" and undoes(found) is None}
        return Tally(changes=len(done), undone=len(taken_back(actions) & done), people=len(people))

    def taken_back_by(self, action: Action) -> int | None:
        """The number of the finished undo or way back of a change, or None."""
        if not action.reversible:
            return None
        table, subject = store.actions, str(action.plan.get("subject", ""))
        near = table.c.target == subject
        if action.incident is not None:
            near = or_(near, table.c.incident == action.incident)
        query = select(table.c.number).where(near, table.c.number > action.number, table.c.state == "done")
        later = (self.action(row.number) for row in self.unit.rows(query.order_by(table.c.number)))
        return next((a.number for a in later if a is not None and undoes(a) == action.number), None)

    def identical(self, fingerprint: str) -> Action | None:
        """A request for the same change that still waits, or None."""
        table = store.actions
        query = select(table.c.number).where(table.c.fingerprint == fingerprint, table.c.state == "pending")
        rows = self.unit.rows(query.limit(1))
        return self.action(rows[0].number) if rows else None

    def message(self, channel: str, message_id: str) -> tuple[int, str, str] | None:
        """Position, author and text of a recorded message, as it reads now, or None."""
        platform, _, ident = channel.partition(":")
        m, ev = store.messages, store.events
        rows = self.unit.rows(
            select(m.c.position, m.c.author, ev.c.body)
            .join(ev, ev.c.position == m.c.position)
            .where(m.c.platform == platform, m.c.channel == ident, m.c.message_id == message_id)
        )
        if not rows:
            return None
        return rows[0].position, rows[0].author, str(orjson.loads(rows[0].body).get("text", ""))

    def find_messages(self, channel: str, words: str) -> list[str]:
        """Ids of the people's messages in an incident's channel that hold `words`, the newest first."""
        platform, _, ident = channel.partition(":")
        m, ev = store.messages, store.events
        rows = self.unit.rows(
            select(m.c.message_id, ev.c.body)
            .join(ev, ev.c.position == m.c.position)
            .where(m.c.platform == platform, m.c.channel == ident)
            .order_by(m.c.id.desc())
        )
        wanted = words.casefold()
        return [r.message_id for r in rows if wanted in str(orjson.loads(r.body).get("text", "")).casefold()]

    def number_at(self, channel: str, message_id: str) -> int | None:
        """Whose transcript holds the message: a channel's, or that of a thread in the operations channel; or None."""
        platform, _, ident = channel.partition(":")
        m, ev = store.messages, store.events
        rows = self.unit.rows(
            select(ev.c.stream)
            .join(m, ev.c.position == m.c.position)
            .where(m.c.platform == platform, m.c.channel == ident, m.c.message_id == message_id)
        )
        return int(rows[0].stream.removeprefix("chat-")) if rows else None


def _alike(title: str, service: str | None, other: str, other_service: str | None) -> bool:
    if service is not None and service == other_service:
        return True
    return SequenceMatcher(None, title.casefold(), other.casefold()).ratio() > 0.75
