"""What somebody said, as it is recorded and repeated: the inbox, the transcript, who ran what, the other chats."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta

from bot import relay, store
from bot.chat import Button, Request, Say
from bot.desk import Desk
from bot.logbook import RAN, Logbook
from commands.case import Reply
from commands.dispatch import Place
from commands.grammar import Parsed, is_command
from incidents import events as e
from incidents.incident import Incident
from incidents.ports import Clock

LATE = 60.0  # seconds; older requests are shown, not run
PUBLIC_PLACES = ("incident", "operations")
BOT_ACCOUNT = "a bot"
PRESSED = ("pressed",)  # in the place of files: the request was a button
_NUMBERED = re.compile(r"(?:incident\s{0,9}=\s{0,9}|inc-)#?(\d{1,9})", re.IGNORECASE | re.ASCII)
MOST_NUMBERS = 20  # of incidents in one line that are looked at


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something; `name` is None for an account that nobody configured."""

    name: str | None
    account: str

    @property
    def actor(self) -> str:
        """How the log names them."""
        return self.name or self.account


def message_id(request: Request) -> str | None:
    """The message of a request; one of its own where the platform shows none, and none for a button."""
    if request.message_id is not None or request.files == PRESSED:
        return request.message_id
    return f"{RAN}{request.event_id}"


def shown(unit: store.Unit, parsed: Parsed, request: Request, place: Place) -> Place:
    """Where a command's line may be repeated.

    Nowhere, if nobody saw it being typed and it is about a private incident: other people read that place.
    """
    number = parsed.values.get("incident")
    other = unit.state(f"incident-{number}") if number is not None and number != place.number else None
    private = parsed.values.get("private") or (isinstance(other, Incident) and other.private)
    return Place("elsewhere", place.channel) if private and request.message_id is None else place


def unread(unit: store.Unit, request: Request, place: Place) -> Place:
    """The same for a line that was refused or came late, so that its values may not be known."""
    if request.message_id is not None or request.files == PRESSED:
        return place
    numbers = {int(found) for found in _NUMBERED.findall(request.text)[:MOST_NUMBERS]} - {place.number}
    others = [unit.state(f"incident-{number}") for number in numbers]
    private = any(isinstance(other, Incident) and other.private for other in others)
    told = not private and "private" not in request.text.casefold()
    return place if told else Place("elsewhere", place.channel)


@dataclass(frozen=True, slots=True)
class Heard:
    """Records what is heard, within a transaction."""

    desk: Desk
    clock: Clock

    def heard(
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
        now = self.clock.now()
        unit.once(f"{request.platform}:{request.event_id}", at=now, state=state, payload=payload)
        book = Logbook(unit, self.desk, now)
        if place.number is not None and (ident := message_id(request)) is not None:
            posted = e.MessagePosted(
                at=now - timedelta(seconds=request.age),
                actor=person.actor,
                channel=place.channel,
                message_id=ident,
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
                message_id=ident,
                thread=request.thread,
                author=person.actor,
                position=position,
            )
        return book

    def overheard(self, unit: store.Unit, request: Request, person: Person, place: Place) -> None:
        """What is no command of anybody's who may give one; said in the other chats, but for what bots say.

        What a bot says may be what it heard here: two that repeat each other never come to an end.
        """
        book = self.heard(unit, request, person, place)
        if self.bridged(place) and request.barred != BOT_ACCOUNT and not is_command(request.text):
            late = book.now - timedelta(seconds=request.age) if request.age > LATE else None
            book.say(relay.said(request, person.name or request.user, place, late=late))
            book.finish()

    def refused(self, unit: store.Unit, request: Request, person: Person, place: Place, why: str) -> None:
        """What was said, and for the audit that a command was refused before it was even proposed."""
        book = self.heard(unit, request, person, unread(unit, request, place))
        line = request.text[:200]
        refused = e.CommandRefused(
            at=book.now, actor=person.actor, command=line, channel=place.channel, why=why
        )
        book.hear("audit-main", refused)

    def bridged(self, place: Place) -> bool:
        """Whether what happens there is to be seen in other chats, too."""
        return bool(self.desk.chats) and place.number is not None

    def echo(self, book: Logbook, parsed: Parsed, request: Request, person: Person, place: Place) -> None:
        """Where a command leaves no message in a chat, everybody is told who ran what."""
        typed, unseen = request.message_id is not None, request.files == PRESSED
        if unseen or place.kind not in PUBLIC_PLACES or (typed and not self.bridged(place)):
            return
        where = f"incident:{place.number}" if place.number is not None else place.channel
        # What is to be erased is not repeated for that.
        line = "/scrub" if parsed.command.name == "scrub" else request.text
        data = {"person": person.actor, "line": line}
        say = Say(where, template="who_ran", data=data, thread=place.thread, home=self.home(place))
        if not typed:
            book.echo(say)
        elif shown(book.unit, parsed, replace(request, message_id=None), place) is place:
            book.echo(relay.copied(say, request, place))

    def home(self, place: Place) -> str:
        """Where the place's thread is, for what is said in other chats, too."""
        return place.channel if self.desk.chats else ""

    def said(self, reply: Reply, place: Place) -> Say:
        """An answer that everybody there may read."""
        buttons = tuple(Button(c.label, c.line, c.style) for c in reply.choices)
        where = f"incident:{place.number}" if place.number is not None else place.channel
        return Say(
            where,
            template=reply.template,
            data=reply.data,
            card=reply.card,
            buttons=buttons,
            thread=place.thread,
            home=self.home(place),
        )
