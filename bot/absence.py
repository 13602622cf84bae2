"""How long the bot was away: noted while it lives, said when it comes back after more than two minutes."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select

from bot import store
from bot.chat import Say
from bot.desk import Desk, Happened
from bot.logbook import Logbook
from bot.lookups import OPEN_STATES
from incidents import events as e
from incidents.policy import CLOCK_LABELS

BEAT = timedelta(minutes=1)
SHORTEST = timedelta(minutes=2)
LATE = timedelta(seconds=60)
NAME = "alive"


class Absence:
    """The heartbeat, and the report about the time without one."""

    def __init__(self, log_store: store.Store, desk: Desk) -> None:
        self._store = log_store
        self._desk = desk
        self._beaten: datetime | None = None

    async def beat(self, now: datetime) -> None:
        """Note that the bot lives, at most once a minute."""
        if self._beaten is not None and now - self._beaten < BEAT:
            return
        self._beaten = now
        values = {"value": now.isoformat()}
        await self._store.run(lambda unit: unit.upsert(store.bindings, {"name": NAME}, values))

    async def last(self) -> datetime | None:
        """When the bot was last known to live, to the minute; None where it never did."""
        t = store.bindings
        query = select(t.c.value).where(t.c.name == NAME)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return datetime.fromisoformat(row.value) if row is not None else None

    async def since(self, now: datetime) -> datetime | None:
        """When the bot was last alive, if that is long enough ago to be worth a word."""
        last = await self.last()
        return last if last is not None and now - last >= SHORTEST else None

    async def report(self, start: datetime, end: datetime, happened: list[Happened]) -> None:
        """Say it in the operations channel, where there is an open incident or something was read."""
        read, late = _read(happened), _late(happened)

        def unit(u: store.Unit) -> None:
            t = store.incidents
            count = u.rows(select(func.count()).select_from(t).where(t.c.state.in_(OPEN_STATES)))[0][0]
            if not (count or read or late):
                return
            book = Logbook(u, self._desk, end)
            data = {"start": start, "end": end, "read": read, "late": late}
            book.say(Say("ops", template="away", data=data))
            book.finish()

        await self._store.run(unit)


def _read(happened: list[Happened]) -> list[str]:
    """What came in meanwhile, counted: "2 messages", "1 acknowledgement"."""
    kinds = {"message": e.MessagePosted, "acknowledgement": e.Acknowledged, "resolve": e.Resolved}
    counts = {word: sum(isinstance(h.event, kind) for h in happened) for word, kind in kinds.items()}
    return [f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts.items() if count]


def _late(happened: list[Happened]) -> list[str]:
    """What fell due meanwhile and was done only now."""
    found = []
    for h in happened:
        due = getattr(h.event, "due", None)
        if isinstance(due, datetime) and h.event.at - due > LATE and h.stream.startswith("incident-"):
            number = h.stream.removeprefix("incident-")
            found.append(f"INC-{number} {_word(h.event)} (due {due:%H:%M} UTC)")
    return found


def _word(event: e.Event) -> str:
    if isinstance(event, e.ResponseLate):
        return CLOCK_LABELS.get(event.clock, event.clock)
    if isinstance(event, e.EscalationDue):
        return f"page of {' and '.join(event.people) or event.rung}"
    return {"ReminderDue": "update", "PageRepeated": "repeated page"}.get(type(event).__name__, "action item")
