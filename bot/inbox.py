"""What came in from the chats: once, in order, acknowledged before anything slow, answered or refused."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import select

from bot import relay, store
from bot.carry import Carrier
from bot.chat import Button, Deletion, Edit, Incoming, Platform, Press, Reaction, Request, Say
from bot.deliver import Deliverer
from bot.desk import Desk
from bot.heard import BOT_ACCOUNT, LATE, PRESSED, Heard, Person, message_id, shown, unread
from bot.logbook import Logbook
from bot.places import Places
from bot.render import Renderer
from bot.votes import react
from bot.whereabouts import Whereabouts
from bot.whispers import Whispers
from bot.work import Work
from commands.actions import Ops
from commands.case import Case, Reply
from commands.dispatch import Place, authorise
from commands.grammar import Names, Parsed, is_command, parse, without_sign
from commands.registry import Registry
from incidents import events as e
from incidents.ports import Clock, RefusedError

log = structlog.get_logger()

WINDOW = timedelta(minutes=1)
_HALF = re.compile("[\ud800-\udfff]")
_FIELDS: dict[type[Incoming], tuple[str, ...]] = {
    kind: tuple(f.name for f in fields(kind)) for kind in (Request, Press, Reaction, Edit, Deletion)
}


@dataclass(slots=True)
class Limits:
    """How often each person (or channel) did something in the last minute; kept in memory only."""

    seen: dict[str, deque[datetime]] = field(default_factory=lambda: defaultdict(deque))

    def take(self, key: str, most: int, now: datetime, window: timedelta = WINDOW) -> bool:
        """Whether one more is allowed now; counts it if so."""
        times = self.seen[key]
        while times and times[0] <= now - window:
            times.popleft()
        if len(times) >= most:
            return False
        times.append(now)
        return True


def storable(incoming: Incoming) -> Incoming:
    """Without half surrogate pairs, which JSON can hold and no log can."""
    halves: dict[str, Any] = {
        name: whole
        for name in _FIELDS[type(incoming)]
        if (whole := _whole(value := getattr(incoming, name))) is not value
    }
    return replace(incoming, **halves) if halves else incoming


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not value.isascii() and _HALF.search(value):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, tuple) and any(_whole(part) is not part for part in value):  # names of files
        return tuple(map(_whole, value))
    return value


class Inbox:
    """Everything that comes in passes here."""

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        registry: Registry,
        ops: Ops,
        platforms: Mapping[str, Platform],
        deliverer: Deliverer,
        renderer: Renderer,
        clock: Clock,
        work: Work,
        *,
        places: Places,
        propose: Callable[..., Any],
        export: Callable[..., Any],
        runbooks: Mapping[str, str],
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._registry = registry
        self._clock = clock
        self._where = Whereabouts(log_store, places)
        self._heard = Heard(desk, clock)
        self._whispers = Whispers(platforms, deliverer.content, desk.redactor.redact)
        self._carrier = Carrier(
            log_store,
            desk,
            registry,
            ops,
            platforms,
            renderer,
            clock,
            work,
            self._heard,
            self._whispers,
            deliverer.content,
            propose=propose,
            export=export,
            runbooks=runbooks,
        )
        self._limits = Limits()
        self.unlimited = False  # for measurements, where the flood is the point
        settings = desk.settings
        self._names = Names(settings.catalogue, {name: p.display for name, p in settings.people.items()})
        self._accounts = {
            (platform, ident): name
            for name, p in settings.people.items()
            for platform, ident in p.ids.items()
        }

    async def receive(self, incoming: Incoming) -> None:
        """Take something in; returns once it is recorded, refused, or known from before."""
        incoming = storable(incoming)
        person = Person(
            self._accounts.get((incoming.platform, incoming.user)),
            f"{incoming.platform}:{incoming.user}",
        )
        try:
            await self._take(incoming, person)
        except store.DuplicateError:
            return
        except Exception as error:  # noqa: BLE001 - the edge: whatever goes wrong is answered with a reference
            await self._whispers.error(incoming, error)

    async def _take(self, incoming: Incoming, person: Person) -> None:
        if isinstance(incoming, Press):
            incoming = Request(
                platform=incoming.platform,
                event_id=incoming.event_id,
                channel=incoming.channel,
                user=incoming.user,
                age=incoming.age,
                text=incoming.value,
                thread=incoming.thread,
                files=PRESSED,
                barred=incoming.barred,
                assured=incoming.assured,
            )
        if isinstance(incoming, Request):
            await self._request(incoming, person)
        elif isinstance(incoming, Reaction):
            await self._reaction(incoming, person)
        elif isinstance(incoming, Edit | Deletion):
            await self._changed(incoming, person)

    # -- limits -----------------------------------------------------------------------------------

    def _flooding(self, person: Person, place: Place) -> str | None:
        if self.unlimited:
            return None
        limits, now = self._desk.settings.limits, self._clock.now()
        if not self._limits.take(f"person:{person.actor}", limits.person_per_minute, now):
            return f"That is more than {limits.person_per_minute} requests a minute; wait a little, then ask again."
        if not self._limits.take(f"channel:{place.channel}", limits.channel_per_minute, now):
            return f"More than {limits.channel_per_minute} requests a minute come from this channel; wait a little."
        return None

    # -- messages and commands --------------------------------------------------------------------

    async def _request(self, request: Request, person: Person) -> None:
        # Before anything else sees it: what is recorded, said or kept for later is redacted.
        if (text := self._desk.redactor.redact(request.text)) != request.text:
            request = replace(request, text=text)
        place = await self._where.place(request, request.thread, request.direct)
        if request.barred:
            await self._barred(request, person, place)
            return
        if not is_command(request.text) and not request.direct:
            if place.number is not None:
                await self._store.run(lambda unit: self._heard.overheard(unit, request, person, place))
                self._hint(request, person, place)
            return
        if (flood := self._flooding(person, place)) is not None:
            await self._store.run(
                lambda unit: self._heard.heard(unit, request, person, unread(unit, request, place))
            )
            raise RefusedError(flood)
        if request.age > LATE:
            await self._late(request, person, place)
            return
        try:
            parsed = self._parsed(request, person, place)
            self._limit_pages(parsed, person)
        except RefusedError as error:
            why = str(error)
            await self._store.run(lambda unit: self._heard.refused(unit, request, person, place, why))
            raise
        if parsed.command.effect == "incident":
            await self._decide(parsed, request, person, place)
        else:
            await self._carrier.begin(parsed, request, person, place)

    def _parsed(self, request: Request, person: Person, place: Place) -> Parsed:
        """The command; RefusedError where it is none, or not for this person there."""
        parsed = parse(request.text, self._registry, self._names)
        roles = self._desk.settings.roles(person.name) if person.name else frozenset()
        ops = self._desk.settings.channels.ops
        authorise(parsed.command, person=person.name, roles=roles, place=place, operations=ops)
        return parsed

    async def _barred(self, request: Request, person: Person, place: Place) -> None:
        """An account that may do nothing is heard only; people are told why, bots are not answered."""
        await self._store.run(
            lambda unit: self._heard.overheard(unit, request, person, unread(unit, request, place))
        )
        if is_command(request.text) and request.barred != BOT_ACCOUNT:
            raise RefusedError(
                f"You are {request.barred} here, so commands and votes of yours do not count; ask a responder."
            )

    def _hint(self, request: Request, person: Person, place: Place) -> None:
        """Somebody woken up types `ack`: no command, but they must not believe that it was one."""
        line = without_sign(request.text, self._registry, self._names) if person.name is not None else ""
        if line and self._flooding(person, place) is None:
            raise RefusedError(f"I have done nothing: a command begins with a / or !, as in `/{line}`.")

    def _limit_pages(self, parsed: Parsed, person: Person) -> None:
        if parsed.command.name in ("page", "escalate"):
            limits = self._desk.settings.limits
            key, hour = f"pages:{person.actor}", timedelta(hours=1)
            if not self._limits.take(key, limits.person_pages_per_hour, self._clock.now(), hour):
                raise RefusedError(
                    f"You have paged people {limits.person_pages_per_hour} times within an hour; "
                    "somebody else has to do it now."
                )

    async def _decide(self, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        """An incident command: everything in one commit, before the acknowledgement."""
        assert person.name is not None

        def unit(u: store.Unit) -> Reply | None:
            told_in = shown(u, parsed, request, place)
            book = self._heard.heard(u, request, person, told_in)
            self._heard.echo(book, parsed, request, person, told_in)
            if place.number is not None:
                book.fall_due(f"incident-{place.number}")
            case = Case(
                by=person.name or "",
                now=book.now,
                channel=place.channel,
                log=book,
                people=self._desk.settings,
                rules=self._desk.settings,
                number=place.number,
                message_id=message_id(request),
                means="button" if request.files == PRESSED and request.message_id is None else "command",
                place=place.kind,
                assured=request.assured,
            )
            reply: Reply | None = parsed.command.run(**parsed.values, case=case)
            if reply is not None and not reply.private:
                book.say(self._heard.said(reply, place))
            book.finish()
            return reply if reply is not None and reply.private else None

        try:
            reply = await self._store.run(unit)
        except RefusedError:  # nothing was done, but it was said
            await self._store.run(
                lambda u: self._heard.heard(u, request, person, shown(u, parsed, request, place))
            )
            raise
        if reply is not None:
            await self._whispers.tell(request, reply)

    async def resume(self) -> None:
        """After a crash: what was taken in but not answered is done now, if it is not too old."""
        t = store.inbox
        query = select(t.c.payload, t.c.at).where(t.c.state == "taken").order_by(t.c.at)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        for row in rows:
            raw = orjson.loads(row.payload)
            for name in ("files", "file_ids"):
                raw["request"][name] = tuple(raw["request"].get(name, ()))
            request, place = Request(**raw["request"]), Place(**raw["place"])
            age = (self._clock.now() - store.moment(row.at)).total_seconds()
            request = replace(request, age=request.age + age)
            person = Person(
                self._accounts.get((request.platform, request.user)), f"{request.platform}:{request.user}"
            )
            if request.age > LATE:
                await self._carrier.answered(request, [self._late_say(request, person, place)])
                continue
            try:
                parsed = self._parsed(request, person, place)  # by the configuration of now
            except RefusedError as error:
                await self._carrier.answered(request, [])
                await self._whispers.error(request, error)
                continue
            self._carrier.spawn(parsed, request, person, place, resumed=True)

    # -- reactions, edits, deletions --------------------------------------------------------------

    async def _reaction(self, reaction: Reaction, person: Person) -> None:
        place = await self._where.stands(reaction)
        if reaction.barred:
            return
        if person.name is None or (flood := self._flooding(person, place)) is not None:
            if person.name is not None:
                raise RefusedError(flood or "")
            return
        now = self._clock.now()

        def unit(u: store.Unit) -> None:
            u.once(f"{reaction.platform}:{reaction.event_id}", at=now)
            book = Logbook(u, self._desk, now)
            react(book, reaction, person.name or "", place)
            book.finish()

        await self._store.run(unit)

    async def _changed(self, incoming: Edit | Deletion, person: Person) -> None:
        place = await self._where.stands(incoming)
        if place.number is None:
            return
        now = self._clock.now()
        stream = f"chat-{place.number}"
        event: e.Event
        if isinstance(incoming, Edit):
            text = self._desk.redactor.redact(incoming.text)
            event = e.MessageEdited(
                at=now, actor=person.actor, channel=place.channel, message_id=incoming.message_id, text=text
            )
        else:
            event = e.MessageDeleted(
                at=now, actor=person.actor, channel=place.channel, message_id=incoming.message_id
            )

        def unit(u: store.Unit) -> None:
            u.once(f"{incoming.platform}:{incoming.event_id}", at=now)
            book = Logbook(u, self._desk, now)
            known = book.message(place.channel, incoming.message_id) if self._heard.bridged(place) else None
            book.record(stream, event)
            if known is not None:
                text = event.text if isinstance(event, e.MessageEdited) else ""
                author = known[1].removeprefix(f"{incoming.platform}:")
                book.say(relay.changed(incoming, author, text, place))
            book.finish()

        await self._store.run(unit)

    # -- answers ----------------------------------------------------------------------------------

    async def _late(self, request: Request, person: Person, place: Place) -> None:
        """Shown, not run; a late acknowledge or resolve is offered as a button."""

        say = self._late_say(request, person, place)

        def unit(u: store.Unit) -> bool:
            told_in = unread(u, request, place)
            book = self._heard.heard(u, request, person, told_in)
            if told := told_in is place:
                book.say(say)
            book.finish()
            return told

        if not await self._store.run(unit):
            await self._whispers.tell(request, Reply(say.template, say.data))

    def _late_say(self, request: Request, person: Person, place: Place) -> Say:
        try:
            word = parse(request.text, self._registry, self._names).command.name
        except RefusedError:
            word = ""
        offers = {"ack": Button("Acknowledge", "/ack"), "resolve": Button("Resolve", "/resolve")}
        where = f"incident:{place.number}" if place.number is not None else place.channel
        data = {"person": person.actor, "line": request.text[:200], "age": int(request.age)}
        return Say(
            where, template="late_command", data=data, buttons=(offers[word],) if word in offers else ()
        )
