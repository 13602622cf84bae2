"""Alerts in: from a webhook's body to incidents that open, reopen, are joined by more alerts, and are cleared."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import select

from bot import sources, store
from bot.logbook import Desk, Logbook
from bot.views import AlertReply
from incidents import events as e
from incidents import life
from incidents.alerts import Alert, Notification, fingerprint, group_key, kept, unclear
from incidents.incident import Incident
from incidents.policy import Policy, Severity
from incidents.ports import Clock, ConflictError, NotRecordedError
from incidents.wording import listed

log = structlog.get_logger()

_AT_ONCE = 500  # values in one query; databases have a limit


class Alerting:
    """Takes what the configured sources send. Each call's alerts are one commit, or none."""

    def __init__(self, log_store: store.Store, desk: Desk, clock: Clock) -> None:
        self._store = log_store
        self._desk = desk
        self._clock = clock
        configured = desk.settings.alerts.sources
        self._parse = {name: sources.source(found.kind) for name, found in configured.items()}

    async def receive(self, source: str, body: bytes, token: str | None) -> AlertReply:
        """Check who sends, then take it in; a wrong token is logged and has no effect (SAFETY 25)."""
        configured = self._desk.settings.alerts.sources.get(source)
        if configured is None:
            log.warning("alert refused", source=source, why="unknown source")
            return AlertReply(404, f"There is no alert source called {source}.")
        secret = configured.token.get_secret_value() if configured.token else ""
        if not secret or not hmac.compare_digest(_bytes(token or ""), _bytes(secret)):
            why = "wrong token" if secret and token else "no token given" if secret else "no token configured"
            log.warning("alert refused", source=source, why=why)
            return AlertReply(401, "Send the source's token: `Authorization: Bearer TOKEN`.")
        return await self.accept(source, body)

    async def accept(self, source: str, body: bytes) -> AlertReply:
        """Take in what comes from a sender who is known already; the source has to be configured."""
        limit = self._desk.settings.alerts.max_bytes
        if len(body) > limit:
            log.warning("alert refused", source=source, why="too large", bytes=len(body))
            return AlertReply(413, f"This is larger than {limit:,} bytes; nothing was read.")
        try:
            notification = replace(self._parse[source](body, now=self._clock.now()), source=source)
        except sources.UnreadableError as error:
            log.warning("alert refused", source=source, why=str(error))
            return AlertReply(400, str(error))
        try:
            taken = await self._store.run(lambda unit: self._unit(unit, notification))
        except (NotRecordedError, ConflictError) as error:
            log.error("alert not recorded", source=source, error=str(error))
            return AlertReply(503, "The log cannot be written, so nothing was done; send it again.")
        log.info("alerts taken", source=source, alerts=len(notification.alerts), did=str(taken))
        return AlertReply(200, str(taken))

    def _unit(self, unit: store.Unit, notification: Notification) -> Taken:
        book = Logbook(unit, self._desk, self._clock.now())
        taken = self.take(book, notification, book.now)
        book.finish()
        return taken

    def take(self, book: Logbook, notification: Notification, now: datetime) -> Taken:
        """Record what a notification changes, in the book's transaction; `finish` of the book is the caller's."""
        intake = _Intake(book, notification, now)
        taken = Taken()
        fresh = intake.fresh()
        if fresh:
            intake.attach(fresh, taken)
        intake.clear(taken)
        return taken


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@dataclass(slots=True)
class Taken:
    """What became of a notification; as a text, what its sender is answered."""

    number: int | None = None
    how: str = ""  # opened, reopened, or "" where the incident was open
    attached: int = 0
    cleared: dict[int, int] = field(default_factory=dict)  # incident → how many of its alerts

    def __str__(self) -> str:
        said = []
        if self.number is not None:
            alerts = _counted(self.attached)
            said.append(
                f"INC-{self.number} {self.how} by {alerts}."
                if self.how
                else f"{alerts} joined INC-{self.number}."
            )
        said += [f"{_counted(count)} of INC-{number} resolved." for number, count in self.cleared.items()]
        return " ".join(said) or "Nothing new."


def _counted(count: int) -> str:
    return "1 alert" if count == 1 else f"{count} alerts"


@dataclass(slots=True)
class _Episode:
    firing: bool
    incident: int = 0


@dataclass(frozen=True, slots=True)
class _Judged:
    """A new episode, with what it would open at if it came alone."""

    alert: Alert
    starts_at: datetime
    policy: Policy
    severity: Severity
    service: str | None
    doubts: tuple[str, ...]


class _Intake:
    """One notification on its way into the log: first what fires, so that nothing is called clear too early."""

    def __init__(self, book: Logbook, notification: Notification, now: datetime) -> None:
        self._book = book
        self._now = now
        self._source = notification.source
        self._settings = book.desk.settings
        redactor = book.desk.redactor
        self._from = replace(
            notification,
            alerts=tuple(
                kept(replace(alert, labels=redactor.redact_data(dict(alert.labels))), redactor.redact)
                for alert in notification.alerts
            ),
            unclear=tuple(redactor.redact(word) for word in notification.unclear),
        )
        self._episodes = self._known({alert.fingerprint for alert in self._from.alerts})

    def _known(self, fingerprints: set[str]) -> dict[str, dict[int, _Episode]]:
        """The recorded episodes of these alerts: fingerprint → begin → state."""
        table, names = store.alerts, sorted(fingerprints)
        found: dict[str, dict[int, _Episode]] = {name: {} for name in names}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            where = (table.c.source == self._source, table.c.fingerprint.in_(some))
            for row in self._book.unit.rows(select(table).where(*where)):
                found[row.fingerprint][row.starts_at] = _Episode(row.status == "firing", row.incident)
        return found

    # -- what fires -------------------------------------------------------------------------------

    def fresh(self) -> list[_Judged]:
        """The firing alerts whose episode is not recorded, each once: a late `firing` changes nothing."""
        found = []
        for alert in self._from.alerts:
            starts_at = self._begin(alert) if alert.firing else None
            if starts_at is not None:
                self._episodes[alert.fingerprint][store.micros(starts_at)] = _Episode(firing=True)
                found.append(self._judge(alert, starts_at))
        return found

    def _begin(self, alert: Alert) -> datetime | None:
        """When a new episode begins; None for one that is known."""
        episodes = self._episodes[alert.fingerprint]
        if alert.starts_at is not None:
            return None if store.micros(alert.starts_at) in episodes else alert.starts_at
        if any(episode.firing for episode in episodes.values()):
            return None
        return store.moment(max([store.micros(self._now), *(at + 1 for at in episodes)]))

    def _judge(self, alert: Alert, starts_at: datetime) -> _Judged:
        """Severity, service and policy as configured, and what of the sender's words is not."""
        service = self._settings.catalogue.service(alert.service) if alert.service else None
        policy = self._settings.policy_for(service.name if service else None, alert.labels)
        severity = policy.severity(alert.severity) if alert.severity else None
        doubts = []
        if severity is None:
            told = f"the severity “{alert.severity}”" if alert.severity else "no severity"
            doubts.append(f"{told}, taken as {policy.default.name}")
        if alert.service and service is None:
            doubts.append(f"the service “{alert.service}”")
        name = service.name if service else None
        return _Judged(alert, starts_at, policy, severity or policy.default, name, tuple(doubts))

    def attach(self, fresh: Sequence[_Judged], taken: Taken) -> None:
        """Record all of them in one incident: the open one of their group, one just resolved, or a new one."""
        keys = self._keys(fresh)
        bound = self._bound(keys)
        group = self._survivors([bound[key] for key in keys if key in bound])
        found = next((i for i in group if i.open), None) or self._just_resolved(group)
        if found is None:
            taken.number, taken.how = self._open(fresh, group), "opened"
        else:
            taken.number, taken.how = found.number, "" if found.open else "reopened"
            self._join(found, fresh)
        taken.attached = len(fresh)
        for one in fresh:
            self._remember(one, taken.number)
        for key in keys:
            if bound.get(key) != taken.number:
                self._book.unit.upsert(store.bindings, {"name": key}, {"value": str(taken.number)})
        self._declare_major(taken.number, frozenset(found.services if found else ()))

    def _keys(self, fresh: Sequence[_Judged]) -> list[str]:
        """By what an incident of theirs is found: the sender's own grouping first, then the configured labels."""
        group_by = self._settings.alerts.group_by
        own = [fingerprint("group", self._source, self._from.group_key)] if self._from.group_key else []
        labels = [fingerprint(group_key(self._source, one.alert, group_by)) for one in fresh]
        return [f"alerts:{key}" for key in dict.fromkeys([*own, *labels])]

    def _bound(self, keys: Sequence[str]) -> dict[str, int]:
        """The newest incident of each key."""
        table, found = store.bindings, dict[str, int]()
        for start in range(0, len(keys), _AT_ONCE):
            query = select(table).where(table.c.name.in_(keys[start : start + _AT_ONCE]))
            found |= {row.name: int(row.value) for row in self._book.unit.rows(query)}
        return found

    def _survivors(self, numbers: Sequence[int]) -> list[Incident]:
        """The incidents, or those that they were merged into, each once."""
        found = [self._survivor(number) for number in dict.fromkeys(numbers)]
        return list({i.number: i for i in found if i is not None}.values())

    def _survivor(self, number: int) -> Incident | None:
        found = self._book.incident(number)
        while found is not None and found.merged_into is not None:
            found = self._book.incident(found.merged_into)
        return found

    def _just_resolved(self, group: Sequence[Incident]) -> Incident | None:
        """The one resolved last, if it is not closed and was resolved lately enough to be reopened."""
        found = None
        for i in group:
            if i.resolved_at is None or i.closed_at is not None:
                continue
            window = timedelta(seconds=self._book.policy(i).reopen_within)
            if self._now - i.resolved_at < window and (found is None or i.resolved_at > found[0]):
                found = i.resolved_at, i
        return found[1] if found else None

    def _open(self, fresh: Sequence[_Judged], group: Sequence[Incident]) -> int:
        """Open an incident at the worst severity among them; returns its number."""
        lead = min(fresh, key=lambda one: one.severity.rank)
        services = tuple(dict.fromkeys(one.service for one in fresh if one.service))
        number = self._book.next_number("incident")
        self._book.adopt(lead.policy)
        opened = life.open_incident(
            number=number,
            title=lead.alert.title,
            severity=lead.severity,
            policy=lead.policy,
            by=self._source,
            now=self._now,
            service=lead.service or next(iter(services), None),
            services=services,
            group_key=group_key(self._source, lead.alert, self._settings.alerts.group_by),
            linked=max((i.number for i in group), default=None),
            unclear=self._doubts(fresh),
        )
        self._book.record(_stream(number), *opened, *self._attached(fresh))
        return number

    def _join(self, i: Incident, fresh: Sequence[_Judged]) -> None:
        """Attach them to an incident, which is reopened if it was resolved, and raised if they are worse."""
        self._book.fall_due(_stream(i.number))
        i = self._book.incident(i.number) or i
        policy = self._book.policy(i)
        reopened: list[e.Event] = []
        if not i.open:
            why = f"{min(fresh, key=lambda one: one.severity.rank).alert.name} fires again"
            reopened = life.reopen(i, by=self._source, now=self._now, policy=policy, why=why)
        noted = self._noted(i, fresh)
        worse = self._worse(i, policy, fresh)
        self._book.record(_stream(i.number), *reopened, *self._attached(fresh), *noted)
        if worse is not None:
            severity, why = worse
            now_open = self._book.incident(i.number) or i
            raised = life.change_severity(
                now_open, by=self._source, now=self._now, severity=severity, policy=policy, why=why
            )
            self._book.record(_stream(i.number), *raised)

    def _attached(self, fresh: Sequence[_Judged]) -> list[e.Event]:
        return [
            e.AlertAttached(
                at=self._now,
                actor=self._source,
                source=self._source,
                fingerprint=one.alert.fingerprint,
                starts_at=one.starts_at,
                name=one.alert.name,
                summary=one.alert.summary,
                severity=one.alert.severity,
                service=one.service,
                labels=dict(one.alert.labels),
                url=one.alert.url,
            )
            for one in fresh
        ]

    def _doubts(self, fresh: Sequence[_Judged]) -> tuple[str, ...]:
        """Everything that was not understood, the most important first."""
        cut = self._from.truncated
        more = (
            [f"{cut} more {'alert' if cut == 1 else 'alerts'}, which {self._source} cut off"] if cut else []
        )
        judged = [doubt for one in fresh for doubt in one.doubts]
        read = [doubt for one in fresh for doubt in one.alert.unclear]
        return unclear([*more, *judged, *self._from.unclear, *read])

    def _noted(self, i: Incident, fresh: Sequence[_Judged]) -> list[e.Event]:
        """What was not understood of alerts that join, where this incident has not said it before."""
        doubts = [doubt for doubt in self._doubts(fresh) if doubt not in i.unclear]
        if not doubts:
            return []
        said = [body.get("text", "") for body in self._bodies(i, e.NoteAdded)]
        new = [doubt for doubt in doubts if not any(doubt in text for text in said)]
        text = f"Not understood: {listed(new)}"
        return life.note(i, by=self._source, now=self._now, text=text) if new else []

    def _worse(self, i: Incident, policy: Policy, fresh: Sequence[_Judged]) -> tuple[Severity, str] | None:
        """The severity to raise to: where one of them is worse than the incident and all its alerts before.

        So a severity that somebody lowered stays lowered while the same things go on.
        """
        ranked = [(policy.severity(one.alert.severity) or policy.default, one) for one in fresh]
        severity, one = min(ranked, key=lambda pair: pair[0].rank)
        if severity.rank >= i.rank:
            return None
        words = [body.get("severity", "") for body in self._bodies(i, e.AlertAttached)]
        before = [(policy.severity(word) or policy.default).rank for word in words]
        if severity.rank >= min(before, default=severity.rank + 1):
            return None
        return severity, f"{one.alert.name} is {severity.name}"

    def _bodies(self, i: Incident, kind: type[e.Event]) -> list[dict[str, Any]]:
        """What this source recorded in the incident, of one kind."""
        table = store.events
        where = (
            table.c.stream == _stream(i.number),
            table.c.kind == kind.__name__,
            table.c.actor == self._source,
        )
        return [orjson.loads(row.body) for row in self._book.unit.rows(select(table.c.body).where(*where))]

    def _remember(self, one: _Judged, number: int) -> None:
        begin = store.micros(one.starts_at)
        self._episodes[one.alert.fingerprint][begin].incident = number
        self._book.unit.insert(
            store.alerts,
            source=self._source,
            fingerprint=one.alert.fingerprint,
            starts_at=begin,
            status="firing",
            incident=number,
        )

    def _declare_major(self, number: int, before: frozenset[str]) -> None:
        """Where the policy says so, and these alerts brought one more of several affected services."""
        i = self._book.incident(number)
        assert i is not None
        policy = self._book.policy(i)
        if not policy.auto_major or i.major or len(i.services) < 2 or before.issuperset(i.services):
            return
        why = f"several services are affected: {listed(i.services)}"
        declared = life.declare_major(
            i, by=self._source, now=self._now, on=True, why=why, policy=policy, roster=self._book.roster
        )
        self._book.record(_stream(number), *declared)

    # -- what is over -----------------------------------------------------------------------------

    def clear(self, taken: Taken) -> None:
        """Record the end of every episode that is known and over; one that is not known changes nothing."""
        over: dict[int, dict[str, tuple[int, Alert]]] = {}
        for alert in self._from.alerts:
            if alert.firing:
                continue
            for begin, episode in self._ended(alert):
                survivor = self._survivor(episode.incident)
                if survivor is not None:
                    ended = over.setdefault(survivor.number, {})
                    latest = max(begin, ended.get(alert.fingerprint, (begin, alert))[0])
                    ended[alert.fingerprint] = latest, alert
        for number, ended in over.items():
            count = self._cleared(number, ended)
            if count:
                taken.cleared[number] = count

    def _ended(self, alert: Alert) -> list[tuple[int, _Episode]]:
        """The episodes that this resolves: with the one it names also earlier ones, whose end was not heard of."""
        last = store.micros(alert.starts_at) if alert.starts_at is not None else None
        found = []
        for begin, episode in self._episodes[alert.fingerprint].items():
            if episode.firing and (last is None or begin <= last):
                episode.firing = False
                key = {"source": self._source, "fingerprint": alert.fingerprint, "starts_at": begin}
                values = {"status": "resolved", "incident": episode.incident}
                self._book.unit.upsert(store.alerts, key, values)
                found.append((begin, episode))
        return found

    def _cleared(self, number: int, ended: dict[str, tuple[int, Alert]]) -> int:
        """Record what ended in one incident; returns how many alerts that were."""
        self._book.fall_due(_stream(number))
        i = self._book.incident(number)
        assert i is not None
        gone = {
            name: (begin, alert)
            for name, (begin, alert) in ended.items()
            if not self._fires_anew(i, name, begin)
        }
        firing = [
            name
            for (source, name), a in i.alerts.items()
            if a.firing and (source != self._source or name not in gone)
        ]
        clear = not firing and not self._from.truncated and not self._fires_where_merged(number)
        events = [
            e.AlertCleared(
                at=self._now,
                actor=self._source,
                source=self._source,
                fingerprint=name,
                starts_at=store.moment(begin),
                name=alert.name,
                all_clear=clear and position == len(gone),
            )
            for position, (name, (begin, alert)) in enumerate(gone.items(), 1)
        ]
        self._book.record(_stream(number), *events)
        if clear and gone and i.open and self._settings.alerts.auto_resolve:
            self._resolve(number)
        return len(gone)

    def _fires_anew(self, i: Incident, name: str, begin: int) -> bool:
        """Whether a later episode of the same alert fires already: then the end of this one comes late."""
        known = i.alerts.get((self._source, name))
        return known is not None and known.firing and store.micros(known.starts_at) > begin

    def _fires_where_merged(self, number: int) -> bool:
        """Whether an alert fires that belongs to an incident merged into this one."""
        merged = select(store.incidents.c.number).where(store.incidents.c.state == "merged")
        table = store.alerts
        query = select(table.c.incident).where(table.c.status == "firing", table.c.incident.in_(merged))
        found = [self._survivor(row.incident) for row in self._book.unit.rows(query.distinct())]
        return any(i is not None and i.number == number for i in found)

    def _resolve(self, number: int) -> None:
        """Resolve by itself; that is no acknowledgement, because nobody has looked."""
        i = self._book.incident(number)
        assert i is not None
        events = life.resolve(i, by=self._source, now=self._now, text="all alerts are resolved")
        self._book.record(_stream(number), *(event for event in events if isinstance(event, e.Resolved)))


def _stream(number: int) -> str:
    return f"incident-{number}"
