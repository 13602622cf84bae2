"""The outbox out: in order per channel, pages first, at least once, and looked for before it is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import Row, select

from bot import store
from bot.cards import Card, action_card, incident_card
from bot.chat import Button, Content, DeliveryError, Platform, Request, RetryLaterError, Say, address
from bot.claims import claim
from bot.facts import PlainFacts
from bot.logbook import Desk, Logbook
from bot.pager import NO_SERVICE, Pager
from bot.places import Places
from bot.render import Renderer
from incidents import due
from incidents import events as e
from incidents.approvals import Action
from incidents.incident import Incident
from incidents.ports import Clock, NotRecordedError

log = structlog.get_logger()

FURTHEST, MOST = 7 * 86_400.0, 1000  # seconds and messages that are imported into a transcript at most
SLOWEST = 60.0  # seconds between two tries, at most
MARKED = 0.05  # seconds within which what went out is marked together; pages at once, lest they be sent again
CONTACT_TRIES, OPEN_TRIES, TRIES = 4, 3, 60
AFTERWARDS = frozenset({"card", "archive", "amend"})  # ops that go when all that is new has been said
ERASED = "This answer was erased with the message that asked for it."
FROZEN = frozenset({"incident", "approval"})  # cards made from the state when they are delivered

Progress = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Spot:
    """A real place in a chat."""

    platform: str
    channel: str
    thread: str | None = None
    borrowed: bool = False  # people had it before the incident


Sent = tuple[Row[Any], list[tuple[Spot, str]]]


class NotYetError(Exception):
    """The incident has no channel yet."""


class NotPostedError(RetryLaterError):
    """The platform asked to wait before it took a message or made a channel: there is nothing to look for."""


class Deliverer:
    """Takes rows of the outbox under a lease, delivers them, and marks them sent."""

    def __init__(
        self,
        log_store: store.Store,
        desk: Desk,
        platforms: Mapping[str, Platform],
        places: Places,
        pager: Pager,
        renderer: Renderer,
        clock: Clock,
        boot: str,
    ) -> None:
        self._store = log_store
        self._desk = desk
        self._platforms = platforms
        self._places = places
        self._pager = pager
        self._renderer = renderer
        self._clock = clock
        self._boot = boot
        self._stale: dict[str, None] = {}
        self._unmarked: list[Sent] = []
        self._unmarked_since = 0.0
        self._turn = asyncio.Lock()
        self.progress: dict[int, Progress] = {}
        self.wake = asyncio.Event()
        self.found: Callable[[str], object] = lambda ref: None  # told of cards that an earlier try had posted

    # -- the loop ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver whatever comes, for ever; a log that is away is tried again every second."""
        while True:
            self.wake.clear()
            try:
                await self.drain()
            except NotRecordedError as error:
                log.warning("the outbox cannot be read", error=str(error))
            try:
                async with asyncio.timeout(1.0):
                    await self.wake.wait()
            except TimeoutError:
                continue

    async def release_dead(self, alive: Callable[[str], bool]) -> None:
        """Void the claims of boots that are gone, so that what they had in hand goes out at once."""
        t = store.outbox
        waiting = (t.c.sent_at.is_(None), t.c.failed.is_(None), t.c.claimed_until.is_not(None))
        query = select(t.c.claimed_by).where(*waiting).distinct()
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        dead = [row.claimed_by for row in rows if row.claimed_by and not alive(row.claimed_by)]
        if dead:
            void = t.update().where(*waiting, t.c.claimed_by.in_(dead)).values(claimed_until=None)
            await self._store.run(lambda unit: unit.execute(void).rowcount)

    def touch(self, ref: str) -> None:
        """Have the card `ref` edited soon, without a row: progress is not worth one."""
        self._stale[ref] = None
        self.wake.set()

    async def drain(self) -> int:
        """Deliver everything that may go now; returns how many rows and stale cards that were."""
        delivered = 0
        async with self._turn:
            await self._mark()  # what a pass before could not mark must not go out again
            while rows := await self._store.run(self._claim):
                groups: dict[str, list[Row[Any]]] = {}
                for row in rows:
                    groups.setdefault(row.channel, []).append(row)
                plain = [[row for row in group if row.op not in AFTERWARDS] for group in groups.values()]
                await _all(self._in_order(group) for group in plain if group)
                await self._mark()
                await self._edits([row for row in rows if row.op == "card"])
                await self._in_order([row for row in rows if row.op in ("archive", "amend")])
                await self._mark()
                delivered += len(rows)
            for ref in list(self._stale):
                self._stale.pop(ref, None)
                await self._show_progress(ref)
                delivered += 1
        return delivered

    async def _show_progress(self, ref: str) -> None:
        """Progress that a chat does not take is not shown: the end has a row of its own."""
        try:
            await self._refresh(ref)
        except Exception as error:  # noqa: BLE001 - chats: nothing here is worth a second try
            log.info("progress was not shown", card=ref, error=str(error))

    async def next_retry(self) -> datetime | None:
        """When a row that waits may be tried again, or None; those behind it in its channel have no such time."""
        now, t = store.micros(self._clock.now()), store.outbox
        waiting = (t.c.sent_at.is_(None), t.c.failed.is_(None), t.c.not_before > now)
        query = select(t.c.not_before).where(*waiting).order_by(t.c.not_before).limit(1)
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return store.moment(row.not_before) if row is not None else None

    def _claim(self, unit: store.Unit) -> list[Row[Any]]:
        """The next rows, pages first; a channel whose first row waits for another try is left alone."""
        return claim(unit, self._boot, store.micros(self._clock.now()))

    async def _in_order(self, rows: list[Row[Any]]) -> None:
        for index, row in enumerate(rows):
            try:
                sent = await self._deliver(row)
            except Exception as error:  # noqa: BLE001 - chats and pagers: any failure is recorded
                waits = await self._failed(row, error)
                if waits:
                    await self._release(rows[index + 1 :])
                    return
            else:
                await self._sent([row], sent)

    # -- one row ----------------------------------------------------------------------------------

    async def _deliver(self, row: Row[Any]) -> list[tuple[Spot, str]]:
        payload = orjson.loads(row.payload)
        data = payload["data"]
        if row.op == "open":
            return await self._open(row, data)
        if row.op == "contact":
            await self._contact(row, payload)
            return []
        if row.op == "whisper":
            await self._whisper(row, payload)
            return []
        spots = await self._spots(row.channel)
        if row.op in ("arrange", "archive"):
            for spot in spots:
                await self._arrange_or_move(row, spot, data if row.op == "arrange" else {"archive": True})
            return []
        if row.op == "amend":
            for spot in spots:
                await self._amend(str(row.card), spot)
            return []
        if row.op == "react":
            for spot in spots:
                await self._platforms[spot.platform].react(spot.channel, data["message_id"], data["emoji"])
            return []
        return [(spot, await self._post(row, payload, spot)) for spot in spots]

    async def _post(self, row: Row[Any], payload: Mapping[str, Any], spot: Spot) -> str:
        platform, key = self._platforms[spot.platform], f"wb-{row.id}"
        thread = payload["thread"] or spot.thread
        known = await platform.find(spot.channel, key, thread=thread) if row.attempts > 0 else None
        message_id = known or await self._posted_now(row, payload, spot)
        if row.card:
            await self._store.run(lambda unit: _remember(unit, row, [(spot, message_id)]))
            if known is not None:
                self.found(str(row.card))
        # Also under what was found: what came in between may have come before these, and twice does no harm.
        for emoji in payload["seeds"]:
            await platform.react(spot.channel, message_id, emoji)
        if payload["data"].get("pin"):
            await platform.arrange(spot.channel, pin=message_id)
        return message_id

    async def _posted_now(self, row: Row[Any], payload: Mapping[str, Any], spot: Spot) -> str:
        platform = self._platforms[spot.platform]
        template, data = payload["template"], payload["data"]
        buttons = tuple(Button(*b) for b in payload["buttons"])
        if payload["card"] in FROZEN and row.card:
            card = await self._card(row.card)
            if card is not None:
                template, data, buttons = card.template, {**data, **card.data}, card.buttons
        content = self.content(template, data, platform, buttons, payload["card"])
        thread = payload["thread"] or spot.thread
        try:
            return await platform.post(spot.channel, content, key=f"wb-{row.id}", thread=thread)
        except RetryLaterError as error:
            raise NotPostedError(error.seconds) from error

    async def _amend(self, key: str, spot: Spot) -> None:
        """Change what was said once to what its row says now; an answer, which has no row, goes."""
        platform, ident = self._platforms[spot.platform], key.removeprefix("wb-")
        payload: dict[str, Any] = {
            "template": "sentence",
            "data": {"text": ERASED},
            "buttons": [],
            "card": None,
            "thread": await self._thread(spot, ident.removeprefix("answer-")),
        }
        if ident.isdigit():
            query = select(store.outbox.c.payload).where(store.outbox.c.id == int(ident))
            row = await self._store.read(lambda connection: connection.execute(query).first())
            payload = orjson.loads(row.payload) if row is not None else payload
        message_id = await platform.find(spot.channel, key, thread=payload["thread"] or spot.thread)
        if message_id is None:
            return
        buttons = tuple(Button(*b) for b in payload["buttons"])
        content = self.content(payload["template"], payload["data"], platform, buttons, payload["card"])
        await platform.edit(spot.channel, message_id, content)

    async def _thread(self, spot: Spot, message_id: str) -> str | None:
        """The thread that a message stands in: its answer stands there, too."""
        t = store.messages
        query = select(t.c.thread).where(
            t.c.platform == spot.platform, t.c.channel == spot.channel, t.c.message_id == message_id
        )
        row = await self._store.read(lambda connection: connection.execute(query).first())
        return row.thread if row is not None else None

    def content(
        self,
        template: str,
        data: Mapping[str, Any],
        platform: Platform,
        buttons: tuple[Button, ...] = (),
        card: str | None = None,
    ) -> Content:
        """What a platform shows for a template and its data."""
        filled = {"now": self._clock.now(), **data}
        rendered = self._renderer.render(template, filled, platform.marks)
        plain = self._renderer.plain(template, filled)
        return Content(rendered.text, plain, buttons, rendered.mentions, card)

    async def _contact(self, row: Row[Any], payload: Mapping[str, Any]) -> None:
        _, person, kind = row.channel.split(":", 2)
        settings = self._desk.settings.people.get(person)
        found = next((a for k, a in settings.contacts if k == kind), None) if settings else None
        if found is None:
            raise DeliveryError(f"{person} has no {kind}")
        text = self._renderer.plain(payload["template"], {"now": self._clock.now(), **payload["data"]})
        await self._pager.send(person, kind, found, text)

    async def _whisper(self, row: Row[Any], payload: Mapping[str, Any]) -> None:
        person = str(payload["data"]["person"])
        for spot in await self._spots(row.channel):
            platform = self._platforms[spot.platform]
            user = self._user(person, platform)
            if user is not None:
                buttons = tuple(Button(*b) for b in payload["buttons"])
                content = self.content(payload["template"], payload["data"], platform, buttons)
                await platform.whisper(spot.channel, user, content, thread=payload["thread"] or spot.thread)

    async def _arrange_or_move(self, row: Row[Any], spot: Spot, data: Mapping[str, Any]) -> None:
        """A channel that cannot be brought back is left: the incident goes on in a thread."""
        try:
            await self._arrange(spot, data)
        except DeliveryError as error:
            kind, _, number = row.channel.partition(":")
            if kind != "incident" or data.get("archive") is not False:
                raise
            await self._fall_back(int(number), self._platforms[spot.platform], str(error))

    async def _arrange(self, spot: Spot, data: Mapping[str, Any]) -> None:
        if spot.thread is not None:
            return  # a thread of the operations channel has no topic and is never archived
        if spot.borrowed:
            data = {name: value for name, value in data.items() if name not in ("topic", "archive")}
        platform = self._platforms[spot.platform]
        users = tuple(user for person in data.get("invite", ()) if (user := self._user(person, platform)))
        topic = platform.marks.escape(data["topic"]) if data.get("topic") is not None else None
        links = tuple((str(title), str(url)) for title, url in data.get("links", ()))
        await platform.arrange(
            spot.channel, topic=topic, invite=users, archive=data.get("archive"), links=links
        )

    def _user(self, person: str, platform: Platform) -> str | None:
        settings = self._desk.settings.people.get(person)
        return settings.ids.get(platform.name) if settings else None

    # -- places -----------------------------------------------------------------------------------

    async def _spots(self, channel: str) -> list[Spot]:
        kind, _, rest = channel.partition(":")
        if kind == "incident":
            incident = await self._incident(int(rest))
            if not incident.channels:
                raise NotYetError(f"INC-{rest} has no channel yet")
            return [
                Spot(c.platform, c.id, c.thread, c.borrowed)
                for c in incident.channels
                if c.platform in self._platforms
            ]
        if kind == "person":
            return [
                Spot(platform.name, await platform.direct(user))
                for platform in self._platforms.values()
                if (user := self._user(rest, platform))
            ]
        if kind in ("ops", "team"):
            found = self._places.team(rest) if kind == "team" else self._places.operations()
            return [Spot(platform, ident) for platform, ident in found]
        return [Spot(kind, rest)]

    async def _incident(self, number: int) -> Incident:
        found = await self._store.run(lambda unit: unit.state(f"incident-{number}"))
        if not isinstance(found, Incident):
            raise DeliveryError(f"there is no INC-{number}")
        return found

    async def _open(self, row: Row[Any], data: Mapping[str, Any]) -> list[tuple[Spot, str]]:
        number = int(row.channel.partition(":")[2])
        for platform in self._platforms.values():
            origin = str(data.get("asked_in") or "").partition(f"{platform.name}:")[2]
            incident = await self._incident(number)
            if platform.name not in {c.platform for c in incident.channels}:
                borrowed = bool(origin and data.get("here"))
                try:
                    ident, name = await self._own_channel(number, platform, origin if borrowed else "", data)
                except RetryLaterError as error:
                    raise NotPostedError(error.seconds) from error
                except Exception as error:
                    if not isinstance(error, DeliveryError) and row.attempts + 1 < OPEN_TRIES:
                        raise
                    await self._fall_back(number, platform, f"its own channel could not be made ({error})")
                    continue
                await self._bind(number, platform.name, ident, name, None, borrowed=borrowed)
            await self._furnish(number, platform, origin, data)
        return []

    async def _furnish(self, number: int, platform: Platform, origin: str, data: Mapping[str, Any]) -> None:
        """What a new channel begins with; also where a crash came between the channel and this.

        What cannot be arranged now is arranged later: no page waits for it.
        """
        incident = await self._incident(number)
        spots = [Spot(c.platform, c.id, c.thread, c.borrowed) for c in incident.channels]
        spot = next(s for s in spots if s.platform == platform.name)
        if spot.thread is None and origin and data.get("since"):
            await self._import(number, platform, origin, str(data["since"]))
        wanted = {**data, "links": self._links(incident)}
        try:
            await self._arrange(spot, wanted)
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge to a chat: tried again by a row of its own
            log.warning("a channel is arranged later", incident=number, error=str(error))
            now, later = self._clock.now(), Say(f"incident:{number}", op="arrange", data=wanted, lane=2)

            def unit(u: store.Unit) -> None:
                book = Logbook(u, self._desk, now)
                book.say(later)
                book.finish()

            await self._store.run(unit)

    async def _own_channel(
        self, number: int, platform: Platform, origin: str, data: Mapping[str, Any]
    ) -> tuple[str, str]:
        """Id and name of the incident's channel: where it was asked for, or a new one."""
        if origin:
            return origin, await platform.title(origin)
        private = bool(data.get("private"))
        return await platform.open_channel(data["name"], private=private, key=f"wb-open-{number}")

    def _links(self, incident: Incident) -> list[tuple[str, str]]:
        """What people find at the head of the channel: the dashboards of the service."""
        found = self._desk.settings.catalogue.service(incident.service) if incident.service else None
        return list(found.links.items()) if found is not None else []

    async def _import(self, number: int, platform: Platform, channel: str, since: str) -> None:
        """What people wrote where the incident was asked for, since its impact began: into the transcript, once."""
        now = self._clock.now()
        seconds = (now - datetime.fromisoformat(since)).total_seconds()
        written = await platform.history(channel, min(seconds, FURTHEST))
        messages = [m for m in written if isinstance(m, Request) and m.message_id is not None][-MOST:]
        found = [self._imported(platform.name, m, now) for m in messages]

        t, done = store.bindings, f"imported:{platform.name}:{number}"

        def unit(u: store.Unit) -> None:
            if u.rows(select(t.c.name).where(t.c.name == done)):
                return
            u.upsert(t, {"name": done}, {"value": now.isoformat()})
            book = Logbook(u, self._desk, now)
            for posted in found:
                book.hear(f"chat-{number}", posted)
            book.finish()

        await self._store.run(unit)

    def _imported(self, platform: str, message: Request, now: datetime) -> e.MessagePosted:
        person = self._desk.settings.person_of(platform, message.user)
        return e.MessagePosted(
            at=now - timedelta(seconds=message.age),
            actor=person.name if person is not None else f"{platform}:{message.user}",
            channel=address(platform, message.channel),
            message_id=str(message.message_id),
            text=self._desk.redactor.redact(message.text),
            thread=message.thread,
            files=message.files,
            file_ids=message.file_ids,
        )

    async def _fall_back(self, number: int, platform: Platform, why: str) -> None:
        """No channel could be made or kept: the incident lives in a thread of the operations channel."""
        if (incident := await self._incident(number)).private:
            await self._private_again(incident, platform, why)
            return
        spot = next((s for s in await self._spots("ops") if s.platform == platform.name), None)
        if spot is None:
            raise DeliveryError(f"no channel for INC-{number}, and no operations channel on {platform.name}")
        content = self.content("no_channel", {"number": number, "why": why}, platform)
        thread = await platform.post(spot.channel, content, key=f"wb-thread-{number}")
        await self._bind(number, platform.name, spot.channel, "", thread)

    async def _private_again(self, incident: Incident, platform: Platform, why: str) -> None:
        """A private incident goes on in another private channel, with whoever was in the first; never in public."""
        number = incident.number
        old = next((c for c in incident.channels if c.platform == platform.name), None)
        if old is None:
            text = f"INC-{number} is private, so it has no place: {why}"
            if (user := self._user(incident.opened_by, platform)) is not None:
                told = self.content("sentence", {"text": text}, platform)
                await platform.post(await platform.direct(user), told, key=f"wb-nowhere-{number}")
            raise DeliveryError(text)
        users = await platform.members(old.id) or frozenset()
        key = f"wb-open-{number}-{old.id}"
        ident, name = await platform.open_channel(old.name or f"inc-{number}", private=True, key=key)
        await self._bind(number, platform.name, ident, name, None)
        await platform.arrange(ident, invite=tuple(sorted(users)))

    async def _bind(
        self,
        number: int,
        platform: str,
        ident: str,
        name: str,
        thread: str | None,
        *,
        borrowed: bool = False,
    ) -> None:
        now = self._clock.now()

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._desk, now)
            bound = e.ChannelBound(
                at=now,
                actor=e.BOT,
                platform=platform,
                channel=ident,
                name=name,
                thread=thread,
                borrowed=borrowed,
            )
            book.record(f"incident-{number}", bound)
            where = address(platform, ident) + (f"#{thread}" if thread else "")
            u.upsert(store.bindings, {"name": f"channel:{where}"}, {"value": str(number)})
            book.finish()

        await self._store.run(unit)

    # -- cards ------------------------------------------------------------------------------------

    async def _card(self, ref: str) -> Card | None:
        """The card as the state is now; None where there is no such thing."""
        kind, _, number = ref.partition(":")
        now = self._clock.now()

        def unit(u: store.Unit) -> Card | None:
            book = Logbook(u, self._desk, now)
            state = book.incident(int(number)) if kind == "incident" else book.action(int(number))
            incident = state if isinstance(state, Incident) else None
            if isinstance(state, Action) and state.incident is not None:
                incident = book.incident(state.incident)
            settings = self._desk.settings
            policy = book.policy(incident) if incident else None
            facts = PlainFacts(now, book.roster, incident, policy, settings.people, settings.zone)
            if isinstance(state, Incident):
                waiting = sum(a.state == "pending" for a in book.pending(state.number, ""))
                return incident_card(state, facts=facts, waiting=waiting)
            if isinstance(state, Action):
                return action_card(state, facts=facts, progress=self.progress.get(state.number))
            return None

        return await self._store.run(unit)

    async def _edits(self, rows: list[Row[Any]]) -> None:
        """One edit a card, however many rows asked for it."""
        for ref in dict.fromkeys(str(row.card) for row in rows):
            mine = [row for row in rows if row.card == ref]
            try:
                await self._refresh(ref)
            except Exception as error:  # noqa: BLE001 - as in `_in_order`
                # The first, which knows of the tries before, asks for the same.
                await self._sent(mine[1:], [])
                await self._failed(mine[0], error)
            else:
                await self._sent(mine, [])

    async def _refresh(self, ref: str) -> None:
        spots = await self._posted(ref)
        card = await self._card(ref) if spots else None
        if card is None:
            return
        kind = "incident" if ref.startswith("incident:") else "approval"
        for spot, message_id in spots:
            platform = self._platforms.get(spot.platform)
            if platform is not None:
                content = self.content(card.template, card.data, platform, card.buttons, kind)
                await platform.edit(spot.channel, message_id, content)

    async def _posted(self, ref: str) -> list[tuple[Spot, str]]:
        t = store.messages
        query = select(t.c.platform, t.c.channel, t.c.message_id).where(t.c.card == ref)
        rows = await self._store.read(lambda connection: connection.execute(query).all())
        return [(Spot(row.platform, row.channel), row.message_id) for row in rows]

    # -- marks ------------------------------------------------------------------------------------

    async def _sent(self, rows: list[Row[Any]], spots: list[tuple[Spot, str]]) -> None:
        """Note what went out; marked together, and soon: what a crash forgets has to be looked for."""
        now = asyncio.get_running_loop().time()
        if not self._unmarked:
            self._unmarked_since = now
        self._unmarked += [(row, spots) for row in rows]
        if now - self._unmarked_since > MARKED or any(row.lane == 0 for row in rows):
            await self._mark()

    async def _mark(self) -> None:
        done, self._unmarked = self._unmarked, []
        if done:
            now = self._clock.now()
            try:
                await self._store.run(lambda unit: _mark_sent(unit, done, now))
            except NotRecordedError:
                self._unmarked = done + self._unmarked
                raise

    async def _release(self, rows: list[Row[Any]]) -> None:
        if rows:
            t = store.outbox
            back = t.update().where(t.c.id.in_([row.id for row in rows]))
            changed = back.values(claimed_until=None, attempts=t.c.attempts - 1)
            await self._store.run(lambda u: u.execute(changed).rowcount)

    async def _failed(self, row: Row[Any], error: Exception) -> bool:
        """Note a failure; True where the row is tried again, and its channel waits for that."""
        tries = row.attempts + 1
        limit = CONTACT_TRIES if row.op in ("contact", "direct") else TRIES
        # Being asked to wait is no failure, however often; but a page that waits too long goes to somebody else.
        unposted = isinstance(error, NotPostedError) and row.op in ("say", "open")
        final = isinstance(error, DeliveryError) or (tries >= limit and not unposted)
        delay = (
            error.seconds if isinstance(error, RetryLaterError) else min(SLOWEST, 2.0 ** min(tries, 6) / 2)
        )
        if isinstance(error, NotYetError):
            delay = 1.0
        told = log.info if isinstance(error, RetryLaterError) else log.warning
        told("not delivered", row=row.id, op=row.op, channel=row.channel, final=final, error=str(error))
        now = self._clock.now()

        def unit(u: store.Unit) -> None:
            t = store.outbox
            values: dict[str, Any] = {"claimed_until": None}
            if unposted:
                values["attempts"] = row.attempts
            if final:
                values["failed"] = str(error)[:500] or type(error).__name__
            else:
                values["not_before"] = store.micros(now + timedelta(seconds=delay))
            u.execute(t.update().where(t.c.id == row.id).values(**values))
            if final and row.op in ("contact", "direct"):
                self._page_failed(u, row, now, str(error))

        await self._store.run(unit)
        return not final

    def _page_failed(self, u: store.Unit, row: Row[Any], now: datetime, detail: str) -> None:
        """Once every method of one page to a person has failed, the page goes to the next rung.

        A kind that no service is configured for is none; where nothing else is left, direct messages count.
        """
        t = store.outbox
        same = u.rows(select(t.c.op, t.c.failed).where(t.c.card == row.card))
        contacts = [r for r in same if r.op == "contact" and not (r.failed or "").startswith(NO_SERVICE)]
        methods = contacts or [r for r in same if r.op == "direct"] or list(same)
        if not all(r.failed for r in methods):
            return
        data = orjson.loads(row.payload)["data"]
        book = Logbook(u, self._desk, now)
        incident = book.incident(int(data["incident"]))
        if incident is None:
            return
        failed = e.PageFailed(
            at=now, actor=e.BOT, person=data["person"], key=str(data["key"]), detail=detail[:200]
        )
        found = due.unreachable(
            incident,
            book.policy(incident),
            book.roster,
            failed=failed,
            rung=str(data.get("rung") or ""),
            now=now,
        )
        book.record(f"incident-{incident.number}", *found)
        book.finish()


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it beside each other, and raise what one raised only once all have ended: nothing goes out twice."""
    for failed in await asyncio.gather(*works, return_exceptions=True):
        if failed is not None:
            raise failed


def _mark_sent(unit: store.Unit, done: list[Sent], now: datetime) -> None:
    """Set the rows sent, and remember their messages."""
    t = store.outbox
    ids = [row.id for row, _ in done]
    unit.execute(t.update().where(t.c.id.in_(ids)).values(sent_at=store.micros(now)))
    for row, spots in done:
        _remember(unit, row, spots)


def _remember(unit: store.Unit, row: Row[Any], spots: list[tuple[Spot, str]]) -> None:
    """Which message is which card, so that votes on it and edits of it find the other."""
    for spot, message_id in spots:
        key = {"platform": spot.platform, "channel": spot.channel, "message_id": message_id}
        unit.upsert(store.messages, key, {"author": e.BOT, "card": row.card, "thread": spot.thread})
