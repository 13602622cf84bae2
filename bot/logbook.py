"""One transaction of the log: what is recorded in it, and what follows from that in the same commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from typing import Any

import orjson
from sqlalchemy import func, select

from bot import store
from bot.amend import ERASED
from bot.announce import announce
from bot.chat import Button, Say
from bot.config import Settings
from bot.facts import Contacted
from bot.redact import Redactor
from bot.relay import answer_ref
from bot.scrub import Erased, scrub
from bot.ways import incident_of, scoped, spread
from commands.incident.runbook import Page, matching, section
from incidents import approvals, due, oncall
from incidents import events as e
from incidents.approvals import Action
from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import Policy, digest, from_data, to_data

OPEN_STATES = ("open", "acknowledged", "investigating", "identified", "resolving")
LIVE = ("pending", "approved", "running")
RAN = "ran-"  # ids of ours for commands of which the chat shows no message begin so


@dataclass(slots=True)
class Happened:
    """An event with the state before and after it."""

    stream: str
    event: e.Event
    before: Any
    after: Any
    position: int
    said: bool = False  # while the log was away


@dataclass(slots=True)
class Desk:
    """What every transaction shares: the configuration, the policies seen so far, whom to wake after a commit.

    The dictionaries only remember what the log says; forgetting them costs a look, nothing else.
    """

    settings: Settings
    redactor: Redactor
    runbooks: Sequence[Page] = ()
    policies: dict[str, Policy] = field(default_factory=dict)
    dues: dict[str, tuple[Any, datetime | None]] = field(default_factory=dict)
    said: Callable[[], object] = lambda: None
    acted: Callable[[int, str], object] = lambda number, kind: None
    observed: Callable[[str, e.Event, int | None], object] | None = None
    followed: Callable[[str, Any], object] = lambda stream, state: None
    reading: bool = False  # what came in while the bot was away is read before anything falls due
    kept: list[Happened] | None = None  # at start: everything that happens, for the report about the absence
    chats: tuple[str, ...] = ()  # their names, where there are several

    def only(self, channel: str, chat: str) -> str:
        """A symbolic channel on one chat alone, given by its name or an address there."""
        return scoped(channel, chat.partition(":")[0]) if self.chats else channel


class Logbook:
    """Reads states and records events; `finish` adds what follows. Implements commands.case.Log."""

    def __init__(self, unit: store.Unit, desk: Desk, now: datetime) -> None:
        self.unit = unit
        self.desk = desk
        self.now = now
        self._happened: list[Happened] = []
        self._says: list[tuple[Say, int | None]] = []
        self._echoes: list[tuple[Say, int | None]] = []
        self._rows: list[dict[str, Any]] = []
        self._roster: Roster | None = None

    # -- reading ----------------------------------------------------------------------------------

    def incident(self, number: int) -> Incident | None:
        """The incident now, or None."""
        found = self.unit.state(f"incident-{number}")
        return found if isinstance(found, Incident) else None

    def action(self, number: int) -> Action | None:
        """The action now, or None."""
        found = self.unit.state(f"action-{number}")
        return found if isinstance(found, Action) else None

    @property
    def roster(self) -> Roster:
        """The roster with the overrides of the log."""
        if self._roster is None:
            overrides: oncall.Overrides | None = self.unit.state("oncall-main")
            self._roster = self.desk.settings.roster.with_overrides(overrides)
        return self._roster

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

    def scrub(self, channel: str, message_id: str, by: str) -> tuple[int, ...]:
        """Erase what a message said; the positions that were erased. The caller records MessageScrubbed.

        It is taken away in the chat, too; `by` is told where that cannot be done.
        """
        number = self._number_at(channel, message_id)
        erased = scrub(self.unit, number, message_id) if number is not None else Erased()
        if number is not None and not message_id.startswith(RAN):
            data = {"message_id": message_id, "person": by, "files": erased.files}
            self.say(Say(channel, op="erase", data=data, lane=2))
        # One that said the same as another is erased with that one, and still has an answer of its own.
        if number is not None and (erased.command or not erased.positions):
            self.say(Say(f"incident:{number}", op="amend", ref=f"wb-answer-{message_id}", lane=2))
            self._erase_answer(message_id)
        if erased.positions:
            where = f"incident:{number}"
            for row in erased.sent:  # what the bot has said of it is changed where it stands
                self.say(Say(row.channel, op="amend", ref=f"wb-{row.id}", lane=2))
            actions = [a.number for a in self.actions(number, channel)]
            for ref in (where, *(f"action:{action}" for action in actions)):
                self.say(Say(where, op="amend", ref=ref, lane=2))
        return erased.positions

    def _erase_answer(self, message_id: str) -> None:
        """The copies of an answer in other chats lose their words, too."""
        t = store.outbox
        copies = t.c.card == answer_ref(message_id)
        for row in self.unit.rows(select(t.c.id, t.c.channel).where(copies)) if self.desk.chats else ():
            erased = outbox_row(Say(row.channel, template="sentence", data={"text": ERASED}), self.now, None)
            self.unit.execute(t.update().where(t.c.id == row.id).values(payload=erased["payload"]))
            self.say(Say(row.channel, op="amend", ref=f"wb-{row.id}", lane=2))

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

    def _number_at(self, channel: str, message_id: str) -> int | None:
        """Whose transcript holds the message: a channel's, or that of a thread in the operations channel."""
        platform, _, ident = channel.partition(":")
        m, ev = store.messages, store.events
        rows = self.unit.rows(
            select(ev.c.stream)
            .join(m, ev.c.position == m.c.position)
            .where(m.c.platform == platform, m.c.channel == ident, m.c.message_id == message_id)
        )
        return int(rows[0].stream.removeprefix("chat-")) if rows else None

    # -- writing ----------------------------------------------------------------------------------

    def record(self, stream: str, *events: e.Event) -> None:
        """Append events; what follows from them is written by `finish`, in the same commit."""
        for event in events:
            before = self.unit.state(stream)
            [position] = self.unit.append(stream, event)
            after = self.unit.state(stream)
            self._happened.append(Happened(stream, event, before, after, position))
            self._also(stream, event, after)

    def record_said(self, stream: str, event: e.Event, left: Sequence[Say] = ()) -> None:
        """Append an event that was said while the log was away; only what is `left` of that is said now."""
        self.record(stream, event)
        self._happened[-1].said = True
        self._says += [(say, self._happened[-1].position) for say in left]

    def hear(self, stream: str, event: e.Event) -> int:
        """Append what somebody wrote: nothing follows from it. Its position."""
        [position] = self.unit.append(stream, event)
        if self.desk.observed is not None or self.desk.kept is not None:
            heard = (Happened(stream, event, None, None, position),)
            self.unit.after_commit(lambda: self._committed(heard))
        return position

    def _also(self, stream: str, event: e.Event, after: Any) -> None:
        """Rows that stand beside an event of one kind."""
        if isinstance(event, e.OverrideSet):
            self._roster = None
        elif isinstance(event, e.RevertDue) and isinstance(after, Action):
            # Kept until the way back has been asked for, so that a crash between the two loses nothing.
            self.unit.upsert(store.locks, {"name": f"revert:{after.number}"}, {"holder": stream})

    def adopt(self, policy: Policy) -> None:
        """Keep a snapshot of the policy, once."""
        name = digest(policy)
        if name not in self.desk.policies:
            if not self.unit.version(f"policy-{name}"):
                self.record(
                    f"policy-{name}", e.PolicyAdopted(at=self.now, actor=e.BOT, policy=to_data(policy))
                )
            self.unit.after_commit(lambda: self.desk.policies.setdefault(name, policy))

    def echo(self, say: Say) -> None:
        """Put what somebody asked for into the outbox, before everything that follows from it."""
        self._echoes.append((say, None))

    def say(self, say: Say, position: int | None = None) -> None:
        """Put something into the outbox."""
        self._says.append((say, position))

    def fall_due(self, stream: str, at: datetime | None = None) -> None:
        """Record everything of the stream that is due at `at` (now): it comes before anything else at that time."""
        if self.desk.reading:
            return
        state, moment = self.unit.state(stream), at or self.now
        when = self._next_due(stream, state)
        if when is None or when > moment:
            return
        if isinstance(state, Incident):
            self.record(stream, *due.due(state, self.policy(state), self.roster, moment))
        elif isinstance(state, Action):
            self.record(stream, *approvals.due(state, moment))

    def set_deadline(self, stream: str) -> None:
        """Write the stream's row among the deadlines anew."""
        self._deadline(stream, self._next_due(stream, self.unit.state(stream)), fresh=False)

    def _next_due(self, stream: str, state: Any) -> datetime | None:
        known = self.desk.dues.get(stream)
        if known is not None and known[0] is state:
            return known[1]
        when = None
        if isinstance(state, Incident):
            when = due.next_due(state, self.policy(state))
        elif isinstance(state, Action):
            when = approvals.next_due(state)
        if len(self.desk.dues) > 20_000:
            self.desk.dues.clear()
        self.desk.dues[stream] = (state, when)
        return when

    def finish(self) -> None:
        """What follows from the events: what fell due by them, deadlines, index rows, things to say."""
        for stream in dict.fromkeys(h.stream for h in self._happened):
            self.fall_due(stream)
        touched: dict[str, Any] = {}
        for happened in self._happened:
            touched.setdefault(happened.stream, happened.before)
        for stream, before in touched.items():
            after = self.unit.state(stream)
            if after is not before:
                self._index(stream, before, after)
        self._announce()
        self._runbooks()
        self._outbox()
        if self._happened:
            committed = tuple(self._happened)
            self.unit.after_commit(lambda: self._committed(committed))

    def _index(self, stream: str, before: Any, after: Any) -> None:
        when = self._next_due(stream, after)
        if before is None or self._next_due_of(stream, before) != when:
            self._deadline(stream, when, fresh=before is None)
        if isinstance(after, Incident):
            values = _incident_row(after)
            if before is None or {**_incident_row(before), "updated_at": 0} != {**values, "updated_at": 0}:
                values["updated_at"] = self.now
                self.unit.upsert(store.incidents, {"number": after.number}, values)
        elif isinstance(after, Action):
            values = {**_action_row(after), "updated_at": self.now}
            self.unit.upsert(store.actions, {"number": after.number}, values)

    def _next_due_of(self, stream: str, before: Any) -> datetime | None:
        if isinstance(before, Incident):
            return due.next_due(before, self.policy(before))
        return approvals.next_due(before) if isinstance(before, Action) else None

    def _deadline(self, stream: str, when: datetime | None, *, fresh: bool) -> None:
        table = store.deadlines
        if when is not None:
            kind = stream.partition("-")[0]
            self.unit.upsert(table, {"stream": stream}, {"due_at": store.micros(when), "kind": kind})
        elif not fresh:
            self.unit.execute(table.delete().where(table.c.stream == stream))

    def _announce(self) -> None:
        batches: dict[str, list[e.Event]] = {}
        for happened in self._happened:
            batches.setdefault(happened.stream, []).append(happened.event)
        says: list[tuple[Say, int | None]] = []
        for h in self._happened:
            facts = LogFacts(self, h)
            made = announce(h.event, h.before, h.after, batch=batches[h.stream], facts=facts)
            says += [(say, h.position) for say in made if say.op == "card" or not h.said]
            if isinstance(h.after, Action) and h.after.incident is not None and h.before is not h.after:
                number = h.after.incident
                says.append(
                    (Say(channel=f"incident:{number}", op="card", ref=f"incident:{number}", lane=2), None)
                )
        self._says = self._echoes + says + self._says

    def _runbooks(self) -> None:
        """Under a new incident: which runbook fits, and when it says to escalate."""
        opened = [h.event.number for h in self._happened if isinstance(h.event, e.IncidentOpened)]
        for incident in [found for number in opened if (found := self.incident(number))]:
            names = [alert.name for alert in incident.alerts.values()]
            catalogue = self.desk.settings.catalogue
            page = matching(self.desk.runbooks, names, incident.services, catalogue)
            if page is not None:
                data = {"title": page.title, "criteria": section(page, "Escalate when")}
                buttons = (Button("Runbook", "/runbook"), Button("Escalate", "/escalate"))
                where = f"incident:{incident.number}"
                self.say(Say(where, template="runbook", data=data, card="runbook", buttons=buttons))

    def _outbox(self) -> None:
        seen: set[str] = set()
        for say, position in reversed(self._says):  # one edit a card: the last one
            if say.op == "card":
                assert say.ref is not None
                if say.ref in seen:
                    continue
                seen.add(say.ref)
            self._rows += [outbox_row(one, self.now, position) for one in self._spread(say)]
        for row in reversed(self._rows):
            self.unit.insert(store.outbox, **row)
        if self._says:
            self.unit.after_commit(self.desk.said)

    def _spread(self, say: Say) -> Sequence[Say]:
        """The same for each chat, where there are several: a chat that is away must hold up no other one."""
        if not self.desk.chats:
            return (say,)
        number = incident_of(say.channel)
        incident = self.incident(number) if number is not None else None
        return spread(say, self.desk.settings, self.desk.chats, incident)

    def _committed(self, happened: Sequence[Happened]) -> None:
        if self.desk.kept is not None:
            self.desk.kept.extend(happened)
        for h in happened:
            self.desk.followed(h.stream, h.after)
            if self.desk.observed is not None:
                self.desk.observed(h.stream, h.event, self._number_of(h))
            if isinstance(h.after, Action) and isinstance(
                h.event, e.ActionApproved | e.CancelAsked | e.RevertDue
            ):
                self.desk.acted(h.after.number, type(h.event).__name__)

    def _number_of(self, h: Happened) -> int | None:
        if isinstance(h.after, Incident):
            return h.after.number
        if isinstance(h.after, Action):
            return h.after.incident
        kind, _, number = h.stream.partition("-")
        return int(number) if kind == "chat" and number.isdigit() else None


@dataclass(frozen=True, slots=True)
class LogFacts:
    """bot.facts.Facts, looked up only when asked for: most events need none of it."""

    log: Logbook
    happened: Happened

    @property
    def now(self) -> datetime:
        """When the transaction decides."""
        return self.log.now

    @property
    def roster(self) -> Roster:
        """Who is on which rung."""
        return self.log.roster

    @property
    def incident(self) -> Incident | None:
        """The incident of the event."""
        state = self.happened.after if self.happened.after is not None else self.happened.before
        if isinstance(state, Action):
            return self.log.incident(state.incident) if state.incident is not None else None
        return state if isinstance(state, Incident) else None

    @property
    def policy(self) -> Policy | None:
        """The incident's policy snapshot."""
        incident = self.incident
        return self.log.policy(incident) if incident is not None else None

    @property
    def people(self) -> Mapping[str, Contacted]:
        """Everybody of the configuration."""
        return self.log.desk.settings.people

    @property
    def zone(self) -> str:
        """The team's zone."""
        return self.log.desk.settings.zone


def policy_of(unit: store.Unit, desk: Desk, name: str) -> Policy:
    """The snapshot of that name, from memory or the log; LookupError where the log has none."""
    if name not in desk.policies:
        events = store.events
        row = unit.rows(
            select(events.c.body).where(events.c.stream == f"policy-{name}", events.c.version == 1)
        )
        if not row:
            raise LookupError(f"the log has no policy {name}")
        desk.policies[name] = from_data(orjson.loads(row[0].body)["policy"])
    return desk.policies[name]


def outbox_row(say: Say, now: datetime, position: int | None) -> dict[str, Any]:
    """The row that keeps something to be said until it is delivered."""
    payload = {
        "template": say.template,
        "data": say.data,
        "card": say.card,
        "thread": say.thread,
        "buttons": [(b.label, b.value, b.style) for b in say.buttons],
        "seeds": say.seeds,
    }
    if say.home:
        payload["home"] = say.home
    ref = say.ref
    if say.op in ("direct", "contact"):  # all methods of one page to one person belong together
        ref = f"page:{say.data.get('incident')}:{say.data.get('person')}:{position}"
    return {
        "at": now,
        "channel": say.channel,
        "lane": say.lane,
        "op": say.op,
        "card": ref,
        "payload": orjson.dumps(payload).decode(),
        "event_position": position,
    }


def _alike(title: str, service: str | None, other: str, other_service: str | None) -> bool:
    if service is not None and service == other_service:
        return True
    return SequenceMatcher(None, title.casefold(), other.casefold()).ratio() > 0.75


def _incident_row(i: Incident) -> dict[str, Any]:
    channel = f"{i.channels[0].platform}:{i.channels[0].id}" if i.channels else None
    return {
        "state": i.state,
        "severity": i.severity,
        "rank": i.rank,
        "service": i.service,
        "title": i.title,
        "channel": channel,
        "opened_at": store.micros(i.opened_at),
        "private": int(i.private),
        "owner": i.owner,
        "group_key": i.group_key,
    }


def _action_row(a: Action) -> dict[str, Any]:
    return {
        "incident": a.incident,
        "channel": a.channel,
        "state": a.state,
        "requester": a.requester,
        "target": str(a.plan.get("subject", "")),
        "fingerprint": fingerprint(a.plan, a.incident, a.channel),
        "boot": a.boot,
    }


def fingerprint(plan: Mapping[str, Any], incident: int | None, channel: str) -> str:
    """Names a request by what it does and where it was asked, so that identical ones collapse."""
    where = f"incident:{incident}" if incident is not None else channel
    return "|".join((where, str(plan.get("target")), str(plan.get("line"))))
