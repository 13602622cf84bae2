"""One transaction of the log: what is recorded in it, and what follows from that in the same commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from bot import store
from bot.amend import ERASED
from bot.announce import UNSHOWN, announce
from bot.answered_pages import answered
from bot.chat import Button, Say
from bot.desk import Desk, Happened
from bot.facts import Contacted, Tally
from bot.log_rows import action_row, incident_row, outbox_row
from bot.lookups import Lookups
from bot.relay import answer_ref
from bot.scrub import Erased, scrub
from bot.taken_back import overtake
from bot.watch_rows import beside
from bot.ways import incident_of, spread
from commands.incident.runbook import matching, section
from incidents import approvals, due, oncall
from incidents import events as e
from incidents.action import Action
from incidents.incident import Incident
from incidents.oncall import Roster
from incidents.policy import Policy, digest, to_data

RAN = "ran-"  # ids of ours for commands of which the chat shows no message begin so


class Logbook(Lookups):
    """Reads states and records events; `finish` adds what follows. Implements commands.case.Log."""

    def __init__(self, unit: store.Unit, desk: Desk, now: datetime) -> None:
        super().__init__(unit, desk)
        self.now = now
        self._happened: list[Happened] = []
        self._says: list[tuple[Say, int | None]] = []
        self._echoes: list[tuple[Say, int | None]] = []
        self._rows: list[dict[str, Any]] = []
        self._roster: Roster | None = None

    @property
    def roster(self) -> Roster:
        """The roster with the overrides of the log."""
        if self._roster is None:
            overrides: oncall.Overrides | None = self.unit.state("oncall-main")
            self._roster = self.desk.settings.roster.with_overrides(overrides)
        return self._roster

    def scrub(self, channel: str, message_id: str, by: str) -> tuple[int, ...]:
        """Erase what a message said; the positions that were erased. The caller records MessageScrubbed.

        It is taken away in the chat, too; `by` is told where that cannot be done.
        """
        number = self.number_at(channel, message_id)
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
        else:
            beside(self, event, after)
            overtake(self, event, after)

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
                answered(self, before, after)
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
            values = incident_row(after)
            if before is None or {**incident_row(before), "updated_at": 0} != {**values, "updated_at": 0}:
                values["updated_at"] = self.now
                self.unit.upsert(store.incidents, {"number": after.number}, values)
        elif isinstance(after, Action):
            values = {**action_row(after), "updated_at": self.now}
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
            shown = type(h.event) not in UNSHOWN
            if (
                shown
                and isinstance(h.after, Action)
                and h.after.incident is not None
                and h.before is not h.after
            ):
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
                h.event, e.ActionApproved | e.CancelAsked | e.RevertDue | e.WatchDue
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

    @property
    def tally(self) -> Tally:
        """Changes and people of the incident; asked for at its end only, for it reads who said all that was said."""
        incident = self.incident
        return self.log.tally(incident) if incident is not None else Tally()
