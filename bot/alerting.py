"""Alerts in: from a webhook's body to incidents that open, reopen, are joined by more, and are cleared."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson
import structlog
from sqlalchemy import select

from bot import sources, store
from bot.desk import Desk
from bot.logbook import Logbook
from bot.views import AlertReply
from incidents import alerts
from incidents import events as e
from incidents.alerts import Alert, Earlier, Episode, Notification, fingerprint, group_key, kept
from incidents.incident import Incident
from incidents.ports import Clock, ConflictError, NotRecordedError

log = structlog.get_logger()

AT_ONCE = 500  # values in one query; databases have a limit


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
            return AlertReply(status=404, text=f"There is no alert source called {source}.")
        secret = configured.token.get_secret_value() if configured.token else ""
        if not secret or not hmac.compare_digest(_bytes(token or ""), _bytes(secret)):
            why = "wrong token" if secret and token else "no token given" if secret else "no token configured"
            log.warning("alert refused", source=source, why=why)
            return AlertReply(status=401, text="Send the source's token: `Authorization: Bearer TOKEN`.")
        return await self.accept(source, body)

    async def accept(self, source: str, body: bytes) -> AlertReply:
        """Take in what comes from a sender who is known already; the source has to be configured."""
        limit = self._desk.settings.alerts.max_bytes
        if len(body) > limit:
            log.warning("alert refused", source=source, why="too large", bytes=len(body))
            return AlertReply(status=413, text=f"This is larger than {limit:,} bytes; nothing was read.")
        try:
            notification = replace(self._parse[source](body, now=self._clock.now()), source=source)
        except sources.UnreadableError as error:
            log.warning("alert refused", source=source, why=str(error))
            return AlertReply(status=400, text=str(error))
        try:
            taken = await self._store.run(lambda unit: self._unit(unit, notification))
        except (NotRecordedError, ConflictError) as error:
            log.error("alert not recorded", source=source, error=str(error))
            return AlertReply(
                status=503, text="The log cannot be written, so nothing was done; send it again."
            )
        log.info("alerts taken", source=source, alerts=len(notification.alerts), did=str(taken))
        return AlertReply(status=200, text=str(taken))

    def _unit(self, unit: store.Unit, notification: Notification) -> Taken:
        book = Logbook(unit, self._desk, self._clock.now())
        taken = self.take(book, notification, book.now)
        book.finish()
        return taken

    def take(self, book: Logbook, notification: Notification, now: datetime) -> Taken:
        """Record what a notification changes; `finish` of the book is the caller's."""
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
class _Row:
    """An episode as the table of alerts has it."""

    firing: bool
    incident: int = 0


class _Intake:
    """One notification on its way into the log: what fires comes first, so nothing is clear too early."""

    def __init__(self, book: Logbook, notification: Notification, now: datetime) -> None:
        self._book = book
        self._now = now
        self._source = notification.source
        self._settings = book.desk.settings
        redactor = book.desk.redactor
        redacted = [replace(a, labels=redactor.redact_data(dict(a.labels))) for a in notification.alerts]
        self._from = replace(
            notification,
            alerts=tuple(kept(alert, redactor.redact) for alert in redacted),
            unclear=tuple(redactor.redact(word) for word in notification.unclear),
        )
        self._rows = self._known({alert.fingerprint for alert in self._from.alerts})

    def _known(self, fingerprints: set[str]) -> dict[str, dict[int, _Row]]:
        """The recorded episodes of these alerts: fingerprint → begin → row."""
        table, names = store.alerts, sorted(fingerprints)
        found: dict[str, dict[int, _Row]] = {name: {} for name in names}
        for some in _batches(names):
            where = (table.c.source == self._source, table.c.fingerprint.in_(some))
            for row in self._book.unit.rows(select(table).where(*where)):
                found[row.fingerprint][row.starts_at] = _Row(row.status == "firing", row.incident)
        return found

    # -- what fires -------------------------------------------------------------------------------

    def fresh(self) -> list[Episode]:
        """The episodes that are not recorded, each once: a late `firing` changes nothing."""
        found = []
        for alert in self._from.alerts:
            starts_at = self._begin(alert) if alert.firing else None
            if starts_at is None:
                continue
            self._rows[alert.fingerprint][store.micros(starts_at)] = _Row(firing=True)
            known = self._settings.catalogue.service(alert.service) if alert.service else None
            service = known.name if known else None
            policy = self._settings.policy_for(service, alert.labels)
            found.append(alerts.judge(alert, starts_at, policy=policy, service=service))
        return found

    def _begin(self, alert: Alert) -> datetime | None:
        """When a new episode begins; None for one that is known."""
        rows = self._rows[alert.fingerprint]
        if alert.starts_at is not None:
            return None if store.micros(alert.starts_at) in rows else alert.starts_at
        if any(row.firing for row in rows.values()):
            return None
        return store.moment(max([store.micros(self._now), *(begin + 1 for begin in rows)]))

    def attach(self, fresh: Sequence[Episode], taken: Taken) -> None:
        """Record all in one incident: the open one of their group, one just resolved, or a new one."""
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
        for episode in fresh:
            self._remember(episode, taken.number)
        for key in keys:
            if bound.get(key) != taken.number:
                self._book.unit.upsert(store.bindings, {"name": key}, {"value": str(taken.number)})
        self._declare_major(taken.number, found.services if found else ())

    def _keys(self, fresh: Sequence[Episode]) -> list[str]:
        """What their incident is found by: the sender's own grouping first, then the configured labels."""
        group_by = self._settings.alerts.group_by
        own = [fingerprint("group", self._source, self._from.group_key)] if self._from.group_key else []
        labels = [fingerprint(group_key(self._source, episode.alert, group_by)) for episode in fresh]
        return [f"alerts:{key}" for key in dict.fromkeys([*own, *labels])]

    def _bound(self, keys: Sequence[str]) -> dict[str, int]:
        """The newest incident of each key."""
        table, found = store.bindings, dict[str, int]()
        for some in _batches(keys):
            rows = self._book.unit.rows(select(table).where(table.c.name.in_(some)))
            found |= {row.name: int(row.value) for row in rows}
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
        """The one that was resolved last, if that is not too long ago."""
        lately = [i for i in group if alerts.may_reopen(i, self._book.policy(i), self._now)]
        return max(lately, key=lambda i: i.resolved_at or i.opened_at, default=None)

    def _open(self, fresh: Sequence[Episode], group: Sequence[Incident]) -> int:
        lead = alerts.worst(fresh)
        number = self._book.next_number("incident")
        self._book.adopt(lead.policy)
        opened = alerts.open_for(
            fresh,
            self._from,
            number=number,
            now=self._now,
            group=group_key(self._source, lead.alert, self._settings.alerts.group_by),
            linked=max((i.number for i in group), default=None),
        )
        self._book.record(_stream(number), *opened)
        return number

    def _join(self, i: Incident, fresh: Sequence[Episode]) -> None:
        i = self._now_due(i.number)
        earlier = Earlier(
            notes=lambda: self._earlier(i, e.NoteAdded, "text"),
            severities=lambda: self._earlier(i, e.AlertAttached, "severity"),
        )
        policy = self._book.policy(i)
        joined = alerts.join(i, fresh, self._from, now=self._now, policy=policy, earlier=earlier)
        self._book.record(_stream(i.number), *joined)

    def _earlier(self, i: Incident, kind: type[e.Event], name: str) -> list[str]:
        """One field of all events of a kind that this source recorded in an incident."""
        table = store.events
        where = (
            table.c.stream == _stream(i.number),
            table.c.kind == kind.__name__,
            table.c.actor == self._source,
        )
        rows = self._book.unit.rows(select(table.c.body).where(*where))
        return [str(orjson.loads(row.body).get(name, "")) for row in rows]

    def _remember(self, episode: Episode, number: int) -> None:
        name, begin = episode.alert.fingerprint, store.micros(episode.starts_at)
        self._rows[name][begin].incident = number
        row = {"source": self._source, "fingerprint": name, "starts_at": begin}
        self._book.unit.insert(store.alerts, **row, status="firing", incident=number)

    def _declare_major(self, number: int, known: Sequence[str]) -> None:
        i = self._incident(number)
        policy, roster = self._book.policy(i), self._book.roster
        declared = alerts.declare_major_for(
            i, known, by=self._source, now=self._now, policy=policy, roster=roster
        )
        self._book.record(_stream(number), *declared)

    # -- what is over -----------------------------------------------------------------------------

    def clear(self, taken: Taken) -> None:
        """Record the end of every episode that is known and over; one that is not known changes nothing."""
        over: dict[int, dict[str, tuple[str, datetime]]] = {}
        for alert in self._from.alerts:
            for begin, row in self._ended(alert) if not alert.firing else ():
                survivor = self._survivor(row.incident)
                if survivor is not None:
                    ended = over.setdefault(survivor.number, {})
                    latest = max(begin, ended.get(alert.fingerprint, (alert.name, begin))[1])
                    ended[alert.fingerprint] = alert.name, latest
        for number, ended in over.items():
            i = self._now_due(number)
            certain = not self._from.truncated and not self._fires_where_merged(number)
            events = alerts.clear(i, ended, by=self._source, now=self._now, certain=certain)
            self._book.record(_stream(number), *events)
            if events:
                taken.cleared[number] = len(events)
                self._resolve(number)

    def _ended(self, alert: Alert) -> list[tuple[datetime, _Row]]:
        """The episode that this resolves, and earlier ones of the same alert whose end was not heard of."""
        last = store.micros(alert.starts_at) if alert.starts_at is not None else None
        found = []
        for begin, row in self._rows[alert.fingerprint].items():
            if row.firing and (last is None or begin <= last):
                row.firing = False
                key = {"source": self._source, "fingerprint": alert.fingerprint, "starts_at": begin}
                self._book.unit.upsert(store.alerts, key, {"status": "resolved", "incident": row.incident})
                found.append((store.moment(begin), row))
        return found

    def _fires_where_merged(self, number: int) -> bool:
        """Whether an alert fires that belongs to an incident merged into this one."""
        merged = select(store.incidents.c.number).where(store.incidents.c.state == "merged")
        table = store.alerts
        query = select(table.c.incident).where(table.c.status == "firing", table.c.incident.in_(merged))
        found = [row.incident for row in self._book.unit.rows(query.distinct())]
        return any(i.number == number for i in self._survivors(found))

    def _resolve(self, number: int) -> None:
        """Where it is configured, all alerts resolved resolve the incident."""
        i = self._incident(number)
        if self._settings.alerts.auto_resolve and i.held and i.open:
            self._book.record(_stream(number), *alerts.resolve_for(i, by=self._source, now=self._now))

    def _now_due(self, number: int) -> Incident:
        """The incident after everything that is due at this time, which comes before anything else."""
        self._book.fall_due(_stream(number))
        return self._incident(number)

    def _incident(self, number: int) -> Incident:
        found = self._book.incident(number)
        assert found is not None
        return found


def _stream(number: int) -> str:
    return f"incident-{number}"


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(names), AT_ONCE):
        yield names[start : start + AT_ONCE]
