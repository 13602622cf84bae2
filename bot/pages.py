"""The bot as the web pages see it: board, incidents, status and health, filled from the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry
from sqlalchemy import func, select

from bot import store
from bot.app import Bot
from bot.desk import policy_of
from bot.logbook import Logbook
from bot.platforms.console import Console
from bot.reader import LogReader
from bot.views import (
    AlertReply,
    ApprovalView,
    HealthView,
    IncidentPage,
    IncidentView,
    PublicIncident,
    ServiceView,
    StatusView,
    TimelineRow,
)
from bot.web.context import Pace, WebSettings
from commands.registry import Registry
from incidents import due
from incidents.action import Action
from incidents.entries import Entry
from incidents.incident import Incident
from incidents.policy import CLOCK_LABELS, Policy
from incidents.ports import NotRecordedError, RefusedError
from incidents.timeline import rows as timeline_rows

BOARD = 100  # rows, at most
RECENT = timedelta(days=2)


@dataclass(slots=True)
class BotPages:
    """Implements bot.web.context.WebContext."""

    bot: Bot
    settings: WebSettings
    clock: Pace
    metrics: CollectorRegistry
    console: Console | None = None
    extra_health: Callable[[], dict[str, str]] = dict

    @property
    def registry(self) -> Registry:
        """Every command, for completion."""
        return self.bot.registry

    async def board(self) -> list[IncidentView]:
        """Open incidents, and those resolved but not closed; private ones left out."""
        t = store.incidents
        query = select(t.c.number).where(t.c.state.not_in(("closed", "merged")), t.c.private == 0)
        query = query.order_by(t.c.rank, t.c.number.desc()).limit(BOARD)
        numbers = await self.bot.store.read(lambda c: [row.number for row in c.execute(query)])
        return await self.bot.store.run(lambda unit: [self._view(unit, number) for number in numbers])

    def _view(self, unit: store.Unit, number: int) -> IncidentView:
        book = Logbook(unit, self.bot.desk, self.bot.clock.now())
        incident = book.incident(number)
        assert incident is not None
        policy = book.policy(incident)
        return view_of(incident, policy, book.pending(number, ""))

    async def incident(self, number: int) -> IncidentPage | None:
        """Everything about one incident."""
        reader = LogReader(self.bot.store, self.bot.desk)
        found = await reader.incident(number)
        if found is None or (found.private and not self.settings.demo):
            return None
        entries = await reader.entries(number)
        pending = [a for a in await reader.pending(number) if a.state == "pending"]
        row = await self.bot.store.run(lambda unit: self._view(unit, number))
        return IncidentPage(
            row=row,
            timeline=self._timeline(entries),
            approvals=tuple(_approval(action) for action in pending),
            facts=_facts(found),
        )

    def _timeline(self, entries: list[Entry]) -> tuple[TimelineRow, ...]:
        people = {name: person.display for name, person in self.bot.settings.people.items()}
        made = timeline_rows(entries, people=people, zone=self.settings.zone)
        return tuple(TimelineRow(at=r.at, actor=r.actor, text=r.text, category=r.category) for r in made)

    async def export(self, number: int, form: str) -> tuple[str, bytes, str]:
        """An incident's report; LookupError where there is none."""
        try:
            return await self.bot.export(number, form)
        except RefusedError as error:
            raise LookupError(str(error)) from error

    async def receive_alert(self, source: str, body: bytes, token: str | None) -> AlertReply:
        """Pass an alert on."""
        return await self.bot.alerting.receive(source, body, token)

    async def status(self) -> StatusView:
        """What customers may read: services, open incidents, the latest resolved.

        Left out are private ones, drills, and those that their severity keeps off the status page.
        """
        since = store.micros(self.bot.clock.now() - RECENT)
        t = store.incidents
        query = select(t.c.number).where(t.c.private == 0, t.c.state != "merged", t.c.updated_at >= since)
        numbers = await self.bot.store.read(
            lambda c: [r.number for r in c.execute(query.order_by(t.c.number.desc()).limit(BOARD))]
        )
        found = await self.bot.store.run(lambda unit: self._for_customers(unit, numbers))
        live = [i for i in found if i.open]
        services = tuple(
            ServiceView(name=s.name, state=_state_of(s.name, live), description=s.description)
            for s in self.bot.settings.catalogue.services.values()
        )
        recent = tuple(_public(i) for i in found if i.resolved_at is not None)
        return StatusView(services=services, incidents=tuple(_public(i) for i in live), recent=recent)

    async def _state(self, number: int) -> Incident | None:
        found = await self.bot.store.run(lambda unit: unit.state(f"incident-{number}"))
        return found if isinstance(found, Incident) else None

    def _for_customers(self, unit: store.Unit, numbers: Sequence[int]) -> list[Incident]:
        """Those of these incidents that are for the status page."""
        states = (unit.state(f"incident-{number}") for number in numbers)
        known = [i for i in states if isinstance(i, Incident) and not i.drill]
        severities = [policy_of(unit, self.bot.desk, i.policy).severity(i.severity) for i in known]
        return [
            i
            for i, severity in zip(known, severities, strict=True)
            if severity and severity.status_page != "no"
        ]

    async def health(self) -> HealthView:
        """Whether the log can be written and the clocks are kept."""
        parts = dict(self.extra_health())
        try:
            await self.bot.store.run(
                lambda unit: unit.rows(select(func.count()).select_from(store.deadlines))
            )
            parts["log"] = "ok"
        except NotRecordedError as error:
            parts["log"] = str(error)
        late = await self._lateness() if parts["log"] == "ok" else None
        parts["clocks"] = "ok" if late is None or late < 30 else f"{late:.0f} s behind"
        return HealthView(ready=all(part == "ok" for part in parts.values()), parts=parts)

    async def _lateness(self) -> float | None:
        following = await self.bot.watch.next()
        return (self.bot.clock.now() - following).total_seconds() if following is not None else None


def view_of(i: Incident, policy: Policy, requests: Sequence[Action]) -> IncidentView:
    """A row of the board; `requests` are its changes that wait for votes or run."""
    # What somebody is waited for comes before what the bot repeats by itself.
    waiting_for = sorted(due.timers(i, policy), key=lambda timer: (timer.kind == "repeat", timer))
    following = waiting_for[0] if waiting_for else None
    missed = [clock for clock in i.clocks if clock in i.missed and not i.met(clock)]
    return IncidentView(
        number=i.number,
        title=i.title,
        severity=i.severity,
        rank=i.rank,
        status=i.state,
        opened_at=i.opened_at,
        service=i.service,
        owner=i.owner,
        commander=i.roles.get("commander"),
        resolved_at=i.resolved_at,
        next_at=following.due if following else None,
        next_text=describe(following, policy) if following else "",
        late=bool(missed),
        late_text=f"{CLOCK_LABELS.get(missed[0], missed[0])} is late" if missed else "",
        eta=i.eta,
        alerts_firing=i.firing,
        requests_waiting=sum(a.waits for a in requests),
        break_glass=tuple((a.number, a.break_glass_at) for a in requests if a.unvoted and a.break_glass_at),
        channel=next((c.id for c in i.channels if c.platform == "console"), None),
        channel_name=i.channels[0].name if i.channels else "",
        private=i.private,
        drill=i.drill,
        major=i.major,
    )


def describe(timer: due.Timer, policy: Policy) -> str:
    """What falls due, without the time: "first response due", "team lead is paged"."""
    if timer.kind == "clock":
        return f"{CLOCK_LABELS.get(timer.key, timer.key)} due"
    if timer.kind == "step":
        do, rung = timer.key.partition("#")[0].split(":")[2:4]
        verb = {"page": "is paged", "notify": "is notified"}.get(do, "hears of it")
        return f"{policy.label(rung)} {verb}"
    return {"repeat": "paged again", "reminder": "reminder", "eta": "ETA", "item": "action item due"}[
        timer.kind
    ]


def _approval(action: Action) -> ApprovalView:
    return ApprovalView(
        number=action.number,
        text=str(action.plan["summary"]),
        asked_by=action.requester,
        expires_at=action.expires_at,
        needed=action.quorum,
        have=len(action.approvals),
        runs_at=action.break_glass_at,
    )


def _facts(i: Incident) -> dict[str, str]:
    facts: dict[str, str] = {}
    if i.acknowledged_at is not None:
        minutes = int((i.acknowledged_at - i.round_at).total_seconds() // 60)
        facts["acknowledged"] = f"by {i.acknowledged_by} after {minutes} min"
    if i.services:
        facts["services"] = ", ".join(i.services)
    return facts


def _state_of(service: str, live: list[Incident]) -> str:
    ranks = [i.rank for i in live if service in i.services]
    if not ranks:
        return "up"
    return "down" if min(ranks) == 0 else "degraded"


def _public(i: Incident) -> PublicIncident:
    at: datetime | None = i.updated_at or i.status_at
    return PublicIncident(
        title=i.title,
        severity=i.severity,
        rank=i.rank,
        status=i.state,
        since=i.since or i.opened_at,
        services=i.services,
        update=i.update_text,
        updated_at=at,
        resolved_at=i.resolved_at,
    )
