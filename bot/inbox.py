"""What came in from the chats: once, in order, acknowledged before anything slow, answered or refused."""

from __future__ import annotations

import re
import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import select

from bot import store
from bot.chat import (
    Button,
    Content,
    Deletion,
    Edit,
    Incoming,
    Platform,
    Press,
    Reaction,
    Request,
    Say,
    Upload,
    address,
)
from bot.deliver import Deliverer
from bot.logbook import Desk, Logbook
from bot.places import Places
from bot.reader import LogReader
from bot.render import Renderer
from bot.votes import react
from bot.work import Work
from commands.actions import Answer, Ops, Plan, TargetError, Undo
from commands.case import Ask, Case, File, Reply
from commands.dispatch import Place, authorise, take_changes
from commands.grammar import Names, Parsed, is_command, parse, without_sign
from commands.registry import Registry
from incidents import events as e
from incidents.incident import Incident
from incidents.ports import Clock, ConflictError, NotRecordedError, RefusedError

log = structlog.get_logger()

LATE = 60.0  # seconds; older requests are shown, not run
SLOW = 3.0  # seconds; then whoever asked is told that it takes longer
LATE_OFFERS = ("ack", "resolve")
PUBLIC_PLACES = ("incident", "operations")
BOT_ACCOUNT = "a bot"
PRESSED = ("pressed",)  # in the place of files: the request was a button
WINDOW = timedelta(minutes=1)
_HALF = re.compile("[\ud800-\udfff]")
_NUMBERED = re.compile(r"(?:incident\s{0,9}=\s{0,9}|inc-)#?(\d{1,9})", re.IGNORECASE | re.ASCII)
MOST_NUMBERS = 20  # of incidents in one line that are looked at
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


def _message_id(request: Request) -> str | None:
    """The message of a request; one of its own where the platform shows none, and none for a button."""
    if request.message_id is not None or request.files == PRESSED:
        return request.message_id
    return f"ran-{request.event_id}"


def _shown(unit: store.Unit, parsed: Parsed, request: Request, place: Place) -> Place:
    """Where a command's line may be repeated.

    Nowhere, if nobody saw it being typed and it is about a private incident: other people read that place.
    """
    number = parsed.values.get("incident")
    other = unit.state(f"incident-{number}") if number is not None and number != place.number else None
    private = parsed.values.get("private") or (isinstance(other, Incident) and other.private)
    return Place("elsewhere", place.channel) if private and request.message_id is None else place


def _unread(unit: store.Unit, request: Request, place: Place) -> Place:
    """The same for a line that was refused or came late, so that its values may not be known."""
    if request.message_id is not None or request.files == PRESSED:
        return place
    numbers = {int(found) for found in _NUMBERED.findall(request.text)[:MOST_NUMBERS]} - {place.number}
    others = [unit.state(f"incident-{number}") for number in numbers]
    private = any(isinstance(other, Incident) and other.private for other in others)
    told = not private and "private" not in request.text.casefold()
    return place if told else Place("elsewhere", place.channel)


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something; `name` is None for an account that nobody configured."""

    name: str | None
    account: str

    @property
    def actor(self) -> str:
        """How the log names them."""
        return self.name or self.account


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
        self._ops = ops
        self._platforms = platforms
        self._deliverer = deliverer
        self._renderer = renderer
        self._clock = clock
        self._work = work
        self._places = places
        self._propose = propose
        self._export = export
        self._runbooks = runbooks
        self._limits = Limits()
        self._resumed: set[str] = set()  # events whose command was taken in before a crash
        self.unlimited = False  # for measurements, where the flood is the point
        self._numbers: dict[str, int] = {}
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
            await self._answer_error(incoming, person, error)

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
            )
        if isinstance(incoming, Request):
            await self._request(incoming, person)
        elif isinstance(incoming, Reaction):
            await self._reaction(incoming, person)
        elif isinstance(incoming, Edit | Deletion):
            await self._changed(incoming, person)

    # -- places and limits ------------------------------------------------------------------------

    async def _place(self, incoming: Incoming, thread: str | None = None, direct: bool = False) -> Place:
        where = address(incoming.platform, incoming.channel)
        if direct:
            return Place("direct", where, None, thread)
        for key in (f"{where}#{thread}", where) if thread else (where,):
            number = self._numbers.get(key) or await self._bound(key)
            if number is not None:
                self._numbers[key] = number
                return Place("incident", where, number, thread)
        kind = self._places.kind(incoming.platform, incoming.channel)
        return Place(kind, where, None, thread)

    async def _stands(self, incoming: Reaction | Edit | Deletion) -> Place:
        """Where the message stands that this is about: an incident can live in a thread."""
        t = store.messages
        query = select(t.c.thread).where(
            t.c.platform == incoming.platform,
            t.c.channel == incoming.channel,
            t.c.message_id == incoming.message_id,
        )
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return await self._place(incoming, row.thread if row is not None else None)

    async def _bound(self, key: str) -> int | None:
        t = store.bindings
        query = select(t.c.value).where(t.c.name == f"channel:{key}")
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return int(row.value) if row is not None else None

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
        place = await self._place(request, request.thread, request.direct)
        if request.barred:
            await self._barred(request, person, place)
            return
        if not is_command(request.text) and not request.direct:
            if place.number is not None:
                await self._store.run(lambda unit: self._heard(unit, request, person, place))
                self._hint(request, person, place)
            return
        if (flood := self._flooding(person, place)) is not None:
            await self._store.run(
                lambda unit: self._heard(unit, request, person, _unread(unit, request, place))
            )
            raise RefusedError(flood)
        if request.age > LATE:
            await self._late(request, person, place)
            return
        try:
            parsed = parse(request.text, self._registry, self._names)
            roles = self._desk.settings.roles(person.name) if person.name else frozenset()
            ops = self._desk.settings.channels.ops
            authorise(parsed.command, person=person.name, roles=roles, place=place, operations=ops)
            self._limit_pages(parsed, person)
        except RefusedError as error:
            why = str(error)
            await self._store.run(lambda unit: self._refused(unit, request, person, place, why))
            raise
        if parsed.command.effect == "incident":
            await self._decide(parsed, request, person, place)
        else:
            await self._begin(parsed, request, person, place)

    async def _barred(self, request: Request, person: Person, place: Place) -> None:
        """An account that may do nothing is heard only; people are told why, bots are not answered."""
        await self._store.run(lambda unit: self._heard(unit, request, person, _unread(unit, request, place)))
        if is_command(request.text) and request.barred != BOT_ACCOUNT:
            raise RefusedError(
                f"You are {request.barred} here, so commands and votes of yours do not count; ask a responder."
            )

    def _hint(self, request: Request, person: Person, place: Place) -> None:
        """Somebody woken up types `ack`: no command, but they must not believe that it was one."""
        line = without_sign(request.text, self._registry, self._names) if person.name is not None else ""
        if line and self._flooding(person, place) is None:
            raise RefusedError(f"I have done nothing: a command begins with a / or !, as in `/{line}`.")

    def _refused(self, unit: store.Unit, request: Request, person: Person, place: Place, why: str) -> None:
        """What was said, and for the audit that a command was refused before it was even proposed."""
        book = self._heard(unit, request, person, _unread(unit, request, place))
        line = request.text[:200]
        refused = e.CommandRefused(
            at=book.now, actor=person.actor, command=line, channel=place.channel, why=why
        )
        book.hear("audit-main", refused)

    def _limit_pages(self, parsed: Parsed, person: Person) -> None:
        if parsed.command.name in ("page", "escalate"):
            limits = self._desk.settings.limits
            key, hour = f"pages:{person.actor}", timedelta(hours=1)
            if not self._limits.take(key, limits.person_pages_per_hour, self._clock.now(), hour):
                raise RefusedError(
                    f"You have paged people {limits.person_pages_per_hour} times within an hour; "
                    "somebody else has to do it now."
                )

    def _heard(
        self,
        unit: store.Unit,
        request: Request,
        person: Person,
        place: Place,
        *,
        state: str = "done",
        payload: str | None = None,
    ) -> Logbook:
        """The inbox row, and the message for the transcript of an incident's channel."""
        now = self._clock.now()
        unit.once(f"{request.platform}:{request.event_id}", at=now, state=state, payload=payload)
        book = Logbook(unit, self._desk, now)
        if place.number is not None and (message_id := _message_id(request)) is not None:
            posted = e.MessagePosted(
                at=now - timedelta(seconds=request.age),
                actor=person.actor,
                channel=place.channel,
                message_id=message_id,
                text=request.text,
                thread=request.thread,
                files=request.files,
                file_ids=request.file_ids,
                late=request.age > LATE,
            )
            position = book.hear(f"chat-{place.number}", posted)
            unit.insert(
                store.messages,
                platform=request.platform,
                channel=request.channel,
                message_id=message_id,
                thread=request.thread,
                author=person.actor,
                position=position,
            )
        return book

    def _echo(self, book: Logbook, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        """Where a command leaves no message in the chat, everybody is told who ran what."""
        if request.message_id is None and request.files != PRESSED and place.kind in PUBLIC_PLACES:
            where = f"incident:{place.number}" if place.number is not None else place.channel
            # What is to be erased is not repeated for that.
            line = "/scrub" if parsed.command.name == "scrub" else request.text
            data = {"person": person.actor, "line": line}
            book.echo(Say(where, template="who_ran", data=data, thread=place.thread))

    async def _decide(self, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        """An incident command: everything in one commit, before the acknowledgement."""
        assert person.name is not None

        def unit(u: store.Unit) -> Reply | None:
            shown = _shown(u, parsed, request, place)
            book = self._heard(u, request, person, shown)
            self._echo(book, parsed, request, person, shown)
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
                message_id=_message_id(request),
                means="button" if request.files == PRESSED and request.message_id is None else "command",
                place=place.kind,
            )
            reply: Reply | None = parsed.command.run(**parsed.values, case=case)
            if reply is not None and not reply.private:
                book.say(self._said(reply, place))
            book.finish()
            return reply if reply is not None and reply.private else None

        try:
            reply = await self._store.run(unit)
        except RefusedError:  # nothing was done, but it was said
            await self._store.run(
                lambda u: self._heard(u, request, person, _shown(u, parsed, request, place))
            )
            raise
        if reply is not None:
            await self._whisper(request, reply)

    def _said(self, reply: Reply, place: Place) -> Say:
        buttons = tuple(Button(c.label, c.line, c.style) for c in reply.choices)
        where = f"incident:{place.number}" if place.number is not None else place.channel
        return Say(
            where,
            template=reply.template,
            data=reply.data,
            card=reply.card,
            buttons=buttons,
            thread=place.thread,
        )

    # -- reads and changes ------------------------------------------------------------------------

    async def _begin(self, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        """A command that needs a target or the history: recorded first, then done beside everything else."""
        payload = orjson.dumps({"request": asdict(request), "place": asdict(place)}).decode()

        def unit(u: store.Unit) -> None:
            book = self._heard(u, request, person, place, state="taken", payload=payload)
            self._echo(book, parsed, request, person, place)
            book.finish()

        await self._store.run(unit)
        self._work.spawn(self._carry_out(parsed, request, person, place), f"command {parsed.command.name}")

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
                await self._answered(request, [self._late_say(request, person, place)])
                continue
            try:
                parsed = parse(request.text, self._registry, self._names)
            except RefusedError as error:
                await self._answered(request, [])
                log.warning("a command taken in before cannot be read now", error=str(error))
                continue
            self._resumed.add(request.event_id)
            self._work.spawn(
                self._carry_out(parsed, request, person, place), f"command {parsed.command.name}"
            )

    async def _carry_out(self, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        try:
            note = self._work.spawn(self._working(parsed, request), "a note that it takes long")
            try:
                result, shown = await self._run(parsed, person, place)
            finally:
                note.cancel()
            await self._hand_out(parsed, result, request, person, shown)
        except Exception as error:  # noqa: BLE001 - the edge, as in `receive`: this runs in a task of its own
            await self._answer_error(request, person, error)
            await self._answered(request, [])

    async def _working(self, parsed: Parsed, request: Request) -> None:
        """Somebody who waits sees that it is in hand."""
        await self._clock.sleep(SLOW)
        text = f"Still working on {parsed.line or parsed.command.name}; the answer comes here."
        await self._whisper(request, Reply("sentence", {"text": text}))

    async def _run(self, parsed: Parsed, person: Person, place: Place) -> tuple[Any, Place]:
        """What came of it, and where it may be told: what is private of other incidents, to the person alone."""
        injected: dict[str, Any] = {}
        reader = LogReader(self._store, self._desk, person.name, place.number)
        if "ask" in parsed.command.injected:
            injected["ask"] = self._ask(reader, person, place)
        if "ops" in parsed.command.injected:
            injected["ops"] = self._ops
        result = await parsed.command.run(**parsed.values, **injected)
        if reader.met and isinstance(result, Answer | File) and place.kind != "direct":
            return result, Place("elsewhere", place.channel)
        return result, place

    def _ask(self, reader: LogReader, person: Person, place: Place) -> Ask:
        settings = self._desk.settings
        return Ask(
            by=person.name or "",
            now=self._clock.now(),
            channel=place.channel,
            number=place.number,
            reader=reader,
            people=settings,
            rules=settings,
            registry=self._registry,
            runbooks=self._runbooks,
            zone=settings.zone,
            export=self._export,
        )

    async def _hand_out(
        self, parsed: Parsed, result: Any, request: Request, person: Person, place: Place
    ) -> None:
        if isinstance(result, Plan | Undo):
            await self._change(parsed, result, request, person, place)
            return
        if isinstance(result, Reply):
            if result.private:
                await self._whisper(request, result)
                await self._answered(request, [])
            else:
                await self._answered(request, [self._said(result, place)])
            return
        if isinstance(result, File):
            await self._upload(request, result, place)
            await self._answered(request, [])
            return
        if isinstance(result, Answer):
            await self._show(request, result, place)
        await self._answered(request, [])

    async def _change(
        self, parsed: Parsed, result: Plan | Undo, request: Request, person: Person, place: Place
    ) -> None:
        plan = result.plan if isinstance(result, Undo) else result
        # A read can turn out to need an approval: the value of a key, say.
        take_changes(parsed.command, place, self._desk.settings.channels.ops)
        if parsed.dry_run:
            await self._answered(request, [])
            await self._whisper(request, Reply("dry_run", {"plan": plan.to_data()}))
            return
        assert person.name is not None
        reply = await self._propose(
            result,
            by=person.name,
            place=place,
            revert_after=parsed.for_seconds,
            inbox_id=f"{request.platform}:{request.event_id}",
        )
        if reply is not None:
            await self._whisper(request, reply)

    async def _answered(self, request: Request, says: list[Say]) -> None:
        """Mark the inbox row done, together with what is said."""
        now = self._clock.now()

        def unit(u: store.Unit) -> None:
            t = store.inbox
            ident = f"{request.platform}:{request.event_id}"
            u.execute(t.update().where(t.c.event_id == ident).values(state="done", payload=None))
            book = Logbook(u, self._desk, now)
            for say in says:
                book.say(say)
            book.finish()

        await self._store.run(unit)

    async def _show(self, request: Request, answer: Answer, place: Place) -> None:
        """An answer, in the channel where it was asked for; redacted, long text as a file.

        In a channel that nobody configured it is for the person asking alone, and the bot does not join for it.
        """
        platform = self._platforms[request.platform]
        answer = self._desk.redactor.redact_data(answer)
        text, upload = self._renderer.answer(answer, platform.marks)
        content = Content(text, text)
        key = f"wb-answer-{_message_id(request) or request.event_id}"
        if answer.private or (place.kind == "elsewhere" and upload is None):
            await platform.whisper(request.channel, request.user, content, thread=request.thread)
        elif await self._answered_before(request, key):
            return
        elif upload is not None:
            channel, thread = await self._room(request, place)
            await platform.upload(channel, upload, content, key=key, thread=thread)
        else:
            await platform.post(request.channel, content, key=key, thread=request.thread)

    async def _answered_before(self, request: Request, key: str) -> bool:
        """Whether the answer to a command that is taken up after a crash is there already."""
        if request.event_id not in self._resumed:
            return False
        self._resumed.discard(request.event_id)
        found = await self._platforms[request.platform].find(request.channel, key, thread=request.thread)
        return found is not None

    async def _room(self, request: Request, place: Place) -> tuple[str, str | None]:
        """Channel and thread for a file; elsewhere the person's direct messages."""
        if place.kind == "elsewhere":
            return await self._platforms[request.platform].direct(request.user), None
        return request.channel, request.thread

    async def _upload(self, request: Request, file: File, place: Place) -> None:
        platform = self._platforms[request.platform]
        content = self._deliverer.content("sentence", {"text": file.text}, platform)
        upload = Upload(file.name, file.data, file.mime)
        key = f"wb-answer-{_message_id(request) or request.event_id}"
        if await self._answered_before(request, key):
            return
        channel, thread = await self._room(request, place)
        await platform.upload(channel, upload, content, key=key, thread=thread)

    # -- reactions, edits, deletions --------------------------------------------------------------

    async def _reaction(self, reaction: Reaction, person: Person) -> None:
        place = await self._stands(reaction)
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
        place = await self._stands(incoming)
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
            book.record(stream, event)
            book.finish()

        await self._store.run(unit)

    # -- answers ----------------------------------------------------------------------------------

    async def _late(self, request: Request, person: Person, place: Place) -> None:
        """Shown, not run; a late acknowledge or resolve is offered as a button."""

        say = self._late_say(request, person, place)

        def unit(u: store.Unit) -> bool:
            shown = _unread(u, request, place)
            book = self._heard(u, request, person, shown)
            if told := shown is place:
                book.say(say)
            book.finish()
            return told

        if not await self._store.run(unit):
            await self._whisper(request, Reply(say.template, say.data))

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

    async def _answer_error(self, incoming: Incoming, person: Person, error: Exception) -> None:
        if isinstance(error, RefusedError | TargetError | ConflictError):
            reply = Reply("refused", {"text": str(error)})
        else:
            reference = secrets.token_hex(2).upper()
            log.error("not done", reference=reference, exc_info=error)
            if isinstance(error, NotRecordedError):
                text = (
                    f"I can't write to my log ({error}), so I run nothing. Watchbell reference {reference}."
                )
                reply = Reply("refused", {"text": text})
            else:
                reply = Reply("error", {"reference": reference})
        await self._whisper(incoming, reply)

    async def _whisper(self, incoming: Incoming, reply: Reply) -> None:
        """To the person alone, at most once: a chat that is away loses it, and the log says so."""
        platform = self._platforms[incoming.platform]
        buttons = tuple(Button(c.label, c.line, c.style) for c in reply.choices)
        content = self._deliverer.content(reply.template, reply.data, platform, buttons, reply.card)
        thread = incoming.thread if isinstance(incoming, Request) else None
        try:
            await platform.whisper(incoming.channel, incoming.user, content, thread=thread)
        except Exception as error:  # noqa: BLE001 - a chat that is away must not undo what was done
            log.warning("a private answer was lost", channel=incoming.channel, error=str(error))
