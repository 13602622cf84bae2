"""Handovers of the rotas: each rota has one row among the deadlines, for its next one."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot import store
from bot.chat import Say
from bot.config import Settings
from bot.logbook import Logbook
from incidents import events as e


class Handovers:
    """Says who is on call from now on, when a rota hands over."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def plan(self, unit: store.Unit, now: datetime) -> None:
        """At start: every rota's next handover, also where the configuration changed it."""
        unit.execute(store.deadlines.delete().where(store.deadlines.c.kind == "rota"))
        for name in self._settings.roster.rotas:
            self._next(unit, name, now)

    def _next(self, unit: store.Unit, name: str, after: datetime) -> None:
        rota = self._settings.roster.rotas.get(name)
        when = rota.next_handover(after) if rota is not None else None
        if when is not None:
            values = {"due_at": store.micros(when), "kind": "rota"}
            unit.upsert(store.deadlines, {"stream": f"rota-{name}"}, values)
        else:
            unit.execute(store.deadlines.delete().where(store.deadlines.c.stream == f"rota-{name}"))

    def fire(self, book: Logbook, name: str) -> None:
        """Record the handover that is due, and say it in the operations channel."""
        rota = self._settings.roster.rotas.get(name)
        if rota is not None:
            before = book.roster.on_call(name, book.now - timedelta(minutes=1))
            person = book.roster.on_call(name, book.now)
            book.record(
                f"rota-{name}",
                e.HandoverDue(
                    at=book.now, actor=e.BOT, rota=name, due=book.now, before=before, person=person
                ),
            )
            data = {"rota": name, "person": person}
            book.say(Say("ops", template="handover_due", data=data))
        self._next(book.unit, name, book.now)
