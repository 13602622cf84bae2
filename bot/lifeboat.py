"""Pages that are due while the log is away: sent from memory, and recorded when it is back."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import select

from bot import store
from bot.announce import announce
from bot.chat import Content, DeliveryError, Platform, RetryLaterError, Say
from bot.desk import Desk
from bot.facts import PlainFacts
from bot.logbook import Logbook
from bot.pager import Pager
from incidents import due
from incidents import events as e
from incidents.incident import Incident, fold
from incidents.oncall import Overrides, Roster
from incidents.policy import Policy
from incidents.ports import Clock, NotRecordedError

log = structlog.get_logger()

EVERY = timedelta(seconds=15)  # between two looks at the log, at most
AHEAD = timedelta(minutes=30)  # what falls due later than this is not kept
MOST = 500  # incidents
SLOWEST = 60.0  # seconds between two tries, at most
PATIENCE = 15.0  # seconds of the wall's clock for a chat; the pager has a limit of its own
NAME = re.compile(r"[^A-Za-z0-9]+")

Make = Callable[..., Content]  # bot.deliver.Deliverer.content
Aboard = tuple[Incident, Policy]


@dataclass(slots=True)
class Letter:
    """One message to one place: a channel, a person's direct messages, or a contact method."""

    say: Say
    key: str
    platform: str = ""  # empty: a contact method
    channel: str = ""  # empty: direct messages, whose channel the chat names
    thread: str | None = None
    invite: tuple[str, ...] = ()
    tries: int = 0
    not_before: datetime | None = None
    failed: bool = False  # for good
    sent: bool = False
    message_id: str = ""


@dataclass(slots=True)
class Sent:
    """An event that the log does not have yet, and the messages of it."""

    event: e.Event
    letters: list[Letter] = field(default_factory=list)

    @property
    def left(self) -> list[Say]:
        """What has reached nobody by any chat."""
        reached = {id(letter.say) for letter in self.letters if letter.sent}
        says = {id(letter.say): letter.say for letter in self.letters}
        return [say for key, say in says.items() if key not in reached]


class Lifeboat:
    """Keeps what is soon due in memory, and pages from there while nothing can be recorded.

    Only pages go out, with the late clock or the unanswered reminders that they tell of; everything else
    waits for the log. Memory ends with the process: after a restart while the log is away, what was sent
    but not recorded is forgotten, and is paged once more when the log is back; never anything else.
    """

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        platforms: Mapping[str, Platform],
        pager: Pager,
        content: Make,
        plain: Callable[[str, Mapping[str, Any]], str],
        clock: Clock,
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._platforms = platforms
        self._pager = pager
        self._content = content
        self._plain = plain
        self._clock = clock
        self._aboard: dict[str, Aboard] = {}
        self._roster = desk.settings.roster
        self._remembered: datetime | None = None
        self._away: datetime | None = None
        self._sent: dict[str, list[Sent]] = {}
        self._pages = 0

    # -- while the log is there -------------------------------------------------------------------

    async def remember(self) -> None:
        """After a tick that could be recorded: look what is soon due, unless that was done a moment ago."""
        self._away = None
        now = self._clock.now()
        if self._remembered is None or now - self._remembered >= EVERY:
            self._remembered = now
            await self._store.run(lambda unit: self._look(unit, now))

    def _look(self, unit: store.Unit, now: datetime) -> None:
        t, book = store.deadlines, Logbook(unit, self._desk, now)
        soon = select(t.c.stream).where(t.c.kind == "incident", t.c.due_at <= store.micros(now + AHEAD))
        found: dict[str, Aboard] = {}
        for row in unit.rows(soon.order_by(t.c.due_at).limit(MOST)):
            try:
                state = unit.state(row.stream)
                if isinstance(state, Incident):
                    found[row.stream] = (state, book.policy(state))
            except Exception:  # one incident must not keep the others off
                log.exception("cannot keep in memory", stream=row.stream)
        roster = book.roster
        # In the order of the commits, so that `follow` never loses what comes right after.
        unit.after_commit(lambda: self._keep(found, roster))

    def _keep(self, found: dict[str, Aboard], roster: Roster) -> None:
        self._aboard, self._roster = found, roster

    def follow(self, stream: str, state: Any) -> None:
        """Take the state of a stream right after a commit, so that nobody is paged who has acknowledged."""
        if isinstance(state, Incident):
            policy = self._desk.policies.get(state.policy)
            if policy is not None:
                self._aboard[stream] = (state, policy)
        elif isinstance(state, Overrides):
            self._roster = self._desk.settings.roster.with_overrides(state)

    # -- while it is away -------------------------------------------------------------------------

    async def send(self, now: datetime) -> None:
        """Page whom a tick that could not be recorded would have paged, and try again what failed."""
        self._away = self._away or now
        for stream, (incident, policy) in list(self._aboard.items()):
            try:
                self._fall_due(stream, incident, policy, now)
            except Exception:  # the edge: one incident must not keep the others from being paged
                log.exception("cannot page from memory", stream=stream)
        letters = [letter for sent in self._outstanding() for letter in sent.letters]
        ready = [x for x in letters if not (x.sent or x.failed) and (x.not_before or now) <= now]
        await asyncio.gather(*(self._deliver(letter, now) for letter in ready))

    def _outstanding(self) -> Iterator[Sent]:
        for sent in self._sent.values():
            yield from sent

    def _fall_due(self, stream: str, incident: Incident, policy: Policy, now: datetime) -> None:
        """Decide on the log's last state with what was sent since."""
        for sent in self._sent.get(stream, ()):
            incident = _fold(incident, sent.event)
        batch = paging(due.due(incident, policy, self._roster, now))
        made: list[Sent] = []
        for event in batch:
            before, incident = incident, _fold(incident, event)
            settings = self._desk.settings
            facts = PlainFacts(now, self._roster, incident, policy, settings.people, settings.zone)
            says = announce(event, before, incident, batch=batch, facts=facts)
            made.append(Sent(event, [x for say in says for x in self._letters(incident, event, say)]))
        if made:
            self._sent.setdefault(stream, []).extend(made)
            self._pages += sum(_pages(event) for event in batch)

    def _letters(self, incident: Incident, event: e.Event, say: Say) -> Iterator[Letter]:
        """One for each place; what is no page waits for the log."""
        key = f"lifeboat-{incident.number}-{_key(event)}"
        if say.op == "contact":
            yield Letter(say, key)
        elif say.op == "direct":
            person = str(say.data["person"])
            yield from (Letter(say, f"{key}-{person}", name) for name, _ in self._accounts(person))
        elif say.op == "say" and say.lane == 0:
            people = tuple(getattr(event, "people", ()))
            for c in incident.channels:
                if c.platform in self._platforms:
                    yield Letter(say, key, c.platform, c.id, c.thread, people)

    def _accounts(self, person: str) -> Iterator[tuple[str, str]]:
        """A person's accounts on the chats that there are."""
        found = self._desk.settings.people.get(person)
        if found is not None:
            yield from ((name, found.ids[name]) for name in self._platforms if name in found.ids)

    # -- one message ------------------------------------------------------------------------------

    async def _deliver(self, letter: Letter, now: datetime) -> None:
        try:
            if letter.platform:
                async with asyncio.timeout(PATIENCE):
                    await self._post(letter)
            else:
                await self._page(letter)
        except Exception as error:  # noqa: BLE001 - the edge to chats and pagers: logged and tried again
            letter.tries += 1
            letter.failed = isinstance(error, DeliveryError)
            wait = error.seconds if isinstance(error, RetryLaterError) else 2.0 ** min(letter.tries, 6) / 2
            letter.not_before = now + timedelta(seconds=min(SLOWEST, wait))
            log.warning("page not delivered", key=letter.key, to=letter.say.channel, error=repr(error))
        else:
            letter.sent = True

    async def _post(self, letter: Letter) -> None:
        platform, say = self._platforms[letter.platform], letter.say
        if not letter.channel:
            accounts = dict(self._accounts(str(say.data["person"])))
            letter.channel = await platform.direct(accounts[platform.name])
        if letter.tries and (known := await platform.find(letter.channel, letter.key)):
            letter.message_id = known
            return
        await self._invite(letter, platform)
        page = self._content(say.template, say.data, platform, say.buttons, say.card)
        note = self._content("log_away", {}, platform)
        content = replace(page, text=f"{page.text}\n{note.text}", plain=f"{page.plain}\n{note.plain}")
        letter.message_id = await platform.post(letter.channel, content, key=letter.key, thread=letter.thread)

    async def _invite(self, letter: Letter, platform: Platform) -> None:
        """Let the people in who are paged; where that fails, they are still called by other means."""
        users = [user for p in letter.invite for name, user in self._accounts(p) if name == platform.name]
        if users and letter.thread is None:
            try:
                await platform.arrange(letter.channel, invite=tuple(users))
            except Exception as error:  # noqa: BLE001 - as in `_deliver`
                log.warning("not invited", channel=letter.channel, error=repr(error))

    async def _page(self, letter: Letter) -> None:
        _, person, kind = letter.say.channel.split(":", 2)
        found = self._desk.settings.people.get(person)
        address = next((a for k, a in found.contacts if k == kind), None) if found else None
        if address is None:
            raise DeliveryError(f"{person} has no {kind}")
        data = {"now": self._clock.now(), **letter.say.data}
        text = f"{self._plain(letter.say.template, data)} {self._plain('log_away', data)}"
        await self._pager.send(person, kind, address, text)

    # -- when it is back --------------------------------------------------------------------------

    async def record(self) -> None:
        """Before anything else falls due: record what was sent, each incident in one unit, and say so once.

        What could not be delivered goes through the outbox now. NotRecordedError where the log is still away.
        """
        for stream in list(self._sent):
            try:
                await self._store.run(partial(self._append, stream=stream))
            except NotRecordedError:
                raise
            except Exception:  # rather paged twice than nobody any more
                log.exception("pages cannot be recorded", stream=stream)
            del self._sent[stream]
        if self._pages and self._away is not None:
            start, end, count = self._away, self._clock.now(), self._pages
            await self._store.run(lambda unit: self._report(unit, start, end, count))
        self._pages = 0

    def _append(self, unit: store.Unit, stream: str) -> None:
        book = Logbook(unit, self._desk, self._clock.now())
        for sent in self._sent[stream]:
            state = unit.state(stream)
            if isinstance(state, Incident) and _lacks(state, sent.event):
                book.record_said(stream, sent.event, sent.left)
                for x in sent.letters:
                    if x.message_id:
                        key = {"platform": x.platform, "channel": x.channel, "message_id": x.message_id}
                        unit.upsert(store.messages, key, {"author": e.BOT, "thread": x.thread})
        book.finish()

    def _report(self, unit: store.Unit, start: datetime, end: datetime, count: int) -> None:
        book = Logbook(unit, self._desk, end)
        book.say(Say("ops", template="log_back", data={"start": start, "end": end, "count": count}))
        book.finish()


def paging(events: Sequence[e.Event]) -> list[e.Event]:
    """Of what falls due: the pages, the late clocks that they tell of, and the reminders that they stand for."""
    pages = [event for event in events if _pages(event)]
    steps = [event for event in pages if isinstance(event, e.EscalationDue)]
    late = {step.late for step in steps}
    unanswered = any(step.why == "unanswered" for step in steps)
    return [
        event
        for event in events
        if event in pages
        or (isinstance(event, e.ResponseLate) and event.clock in late)
        or (isinstance(event, e.ReminderDue) and unanswered)
    ]


def _pages(event: e.Event) -> int:
    """How many people an event pages."""
    if isinstance(event, e.PageRepeated) or (isinstance(event, e.EscalationDue) and event.do == "page"):
        return len(event.people)
    return 0


def _key(event: e.Event) -> str:
    """Names the page among those of its incident, in any round."""
    at = getattr(event, "due", event.at)
    what = event.key if isinstance(event, e.EscalationDue) else f"repeat {getattr(event, 'count', '')}"
    return f"{NAME.sub('-', what)}-{at:%Y%m%dT%H%M%S}"


def _fold(incident: Incident, event: e.Event) -> Incident:
    return (fold(incident, event) or incident) if _lacks(incident, event) else incident


def _lacks(incident: Incident, event: e.Event) -> bool:
    """Whether the incident's log misses the event, and is still in the round that it belongs to."""
    if event.at < incident.round_at:
        return False
    if isinstance(event, e.EscalationDue):
        return event.key not in incident.fired
    if isinstance(event, e.ResponseLate):
        return event.clock not in incident.missed
    if isinstance(event, e.ReminderDue):
        return incident.reminded_at is None or incident.reminded_at < event.due
    if isinstance(event, e.PageRepeated):
        again = [page.repeats for page in incident.pages if page.person in event.people]
        return not again or min(again) < event.count
    return True
