"""What a chat may ask of the bot: whether a form's line can be read, what a form offers, and a person's home."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from bot import store
from bot.chat import Button, Content, Platform
from bot.config import Settings
from bot.desk import Desk
from bot.reader import LogReader
from bot.render import Renderer
from commands.actions import Plan
from commands.case import Row
from commands.grammar import Names, parse
from commands.registry import Registry
from incidents.action import Action
from incidents.incident import Incident
from incidents.ports import Clock, RefusedError

MOST = 10  # so many incidents, and so many requests, are shown in a home


@dataclass(frozen=True, slots=True)
class BotHouse:
    """The bot as one chat sees it; implements bot.chat.House."""

    store: store.Store
    desk: Desk
    registry: Registry
    renderer: Renderer
    clock: Clock
    platform: Platform

    @property
    def _settings(self) -> Settings:
        return self.desk.settings

    def refusal(self, line: str) -> str | None:
        """Why a command line cannot be read, in one sentence; None for one that can."""
        people = {name: person.display for name, person in self._settings.people.items()}
        try:
            parse(line, self.registry, Names(self._settings.catalogue, people))
        except RefusedError as error:
            return str(error)
        return None

    def severities(self) -> Sequence[str]:
        """The severities of every policy, the default policy's first, the worst first."""
        policies = self._settings.policies
        first = policies[self._settings.default_policy]
        return list(dict.fromkeys(s.name for p in (first, *policies.values()) for s in p.severities))

    def services(self) -> Sequence[str]:
        """Every service of the configuration."""
        return list(self._settings.catalogue.services)

    async def recall(self, name: str) -> str | None:
        """What this chat asked to be kept under a name; None where nothing is."""
        t = store.bindings
        query = select(t.c.value).where(t.c.name == self._kept(name))
        row = await self.store.read(lambda connection: connection.execute(query).first())
        return str(row.value) if row is not None else None

    async def keep(self, name: str, value: str) -> None:
        """Keep a word beside the log, for the next start."""
        kept = {"name": self._kept(name)}
        await self.store.run(lambda unit: unit.upsert(store.bindings, kept, {"value": value}))

    def _kept(self, name: str) -> str:
        return f"chat:{self.platform.name}:{name}"

    async def home(self, user: str) -> Sequence[Content]:
        """An account's open incidents, the requests that it may answer, and who is on call: a section each."""
        person = self._settings.person_of(self.platform.name, user)
        if person is None:
            text = "I do not know you: somebody has to add you under `people:` in my configuration."
            return [self._content("sentence", {"text": text})]
        if not self._settings.can(person.name, "reporter"):
            text = "You have no role here, so there is nothing to show; ask a responder."
            return [self._content("sentence", {"text": text})]
        reader, now = LogReader(self.store, self.desk, person.name), self.clock.now()
        rows = await reader.rows(limit=MOST)
        waiting = [action for action in await reader.pending(None) if self._asked(action, person.name)]
        return [
            self._content("home_incidents", {"rows": [await self._row(reader, row, now) for row in rows]}),
            *([] if waiting else [self._content("home_quiet", {})]),
            *(self._request(action) for action in waiting[:MOST]),
            self._content("home_on_call", {"rotas": await self._on_call(reader, now), "person": person.name}),
        ]

    def _content(self, template: str, data: Mapping[str, Any], buttons: tuple[Button, ...] = ()) -> Content:
        filled = {"now": self.clock.now(), **data}
        rendered = self.renderer.render(template, filled, self.platform.marks)
        return Content(rendered.text, self.renderer.plain(template, filled), buttons)

    async def _row(self, reader: LogReader, row: Row, now: datetime) -> dict[str, Any]:
        found = await reader.incident(row.number)
        channel = _channel(found, self.platform.name)
        since = (now - row.opened_at).total_seconds()
        return {
            "number": row.number,
            "title": row.title,
            "severity": row.severity,
            "state": row.state,
            "owner": row.owner,
            "channel": channel,
            "since": since,
        }

    def _asked(self, action: Action, person: str) -> bool:
        return action.state == "pending" and person != action.requester and person in action.eligible

    def _request(self, action: Action) -> Content:
        plan = Plan.from_data(action.plan)
        data = {
            "number": action.number,
            "by": action.requester,
            "what": plan.summary,
            "incident": action.incident,
            "runs_at": action.break_glass_at,
            "broken_by": action.break_glass_by,
        }
        n = action.number
        details = Button("Details", f"/why {n}")
        if action.unvoted:
            return self._content("home_request", data, (Button("Stop", f"/deny {n}", "danger"), details))
        buttons = (Button("Approve", f"/approve {n}", "primary"), Button("Deny", f"/deny {n}", "danger"))
        return self._content("home_request", data, (*buttons, details))

    async def _on_call(self, reader: LogReader, now: datetime) -> list[dict[str, Any]]:
        roster = await reader.roster()
        return [
            {"rota": name, "person": roster.on_call(name, now), "until": rota.next_handover(now)}
            for name, rota in roster.rotas.items()
        ]


def _channel(incident: Incident | None, platform: str) -> str | None:
    """The name of an incident's channel on a chat."""
    channels = incident.channels if incident is not None else ()
    return next((c.name for c in channels if c.platform == platform and c.name), None)
