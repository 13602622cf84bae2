"""An incident's channels: made, bound and furnished, and what is done where none can be made or kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row, select

from bot import store
from bot.chat import DeliveryError, Platform, Request, RetryLaterError, Say, address
from bot.logbook import Logbook
from bot.outward import Outward
from bot.spots import Spots
from bot.ways import Spot, incident_of, scope, scoped
from incidents import events as e
from incidents.incident import Incident

log = structlog.get_logger()

FURTHEST, MOST = 7 * 86_400.0, 1000  # seconds and messages that are imported into a transcript at most
OPEN_TRIES = 3


class NotPostedError(RetryLaterError):
    """The platform asked to wait before it took a message or made a channel: there is nothing to look for."""


@dataclass(frozen=True, slots=True)
class Openings:
    """Opens channels and arranges them."""

    _out: Outward
    _spots: Spots

    async def arrange_or_move(self, row: Row[Any], spot: Spot, data: Mapping[str, Any]) -> None:
        """A channel that cannot be brought back is left: the incident goes on in a thread.

        Invitations for which the chat asks to wait come later: it may be for minutes, and a page must not wait for it.
        """
        try:
            await self._arrange(spot, data)
        except RetryLaterError as wait:
            if row.lane == 2 or set(data) != {"invite"}:
                raise
            await self._later(row.channel, data, wait)
        except DeliveryError as error:
            number = incident_of(row.channel)
            if number is None or data.get("archive") is not False:
                raise
            await self._fall_back(number, self._out.platforms[spot.platform], str(error))

    async def _arrange(self, spot: Spot, data: Mapping[str, Any]) -> None:
        if spot.thread is not None:
            return  # a thread of the operations channel has no topic and is never archived
        if spot.borrowed:
            data = {name: value for name, value in data.items() if name not in ("topic", "archive")}
        platform = self._out.platforms[spot.platform]
        users = tuple(user for person in data.get("invite", ()) if (user := self._out.user(person, platform)))
        topic = platform.marks.escape(data["topic"]) if data.get("topic") is not None else None
        links = tuple((str(title), str(url)) for title, url in data.get("links", ()))
        await platform.arrange(
            spot.channel, topic=topic, invite=users, archive=data.get("archive"), links=links
        )

    async def open(self, row: Row[Any], data: Mapping[str, Any]) -> None:
        """Make the incident's channels, bind and furnish them; NotPostedError where a chat asks to wait."""
        number, chat = int(scope(row.channel)[0].partition(":")[2]), scope(row.channel)[1]
        if chat is not None and not self._lives_in(await self._out.incident(number), chat, data):
            return
        for platform in self._out.platforms.values():
            if chat not in (None, platform.name):
                continue
            origin = str(data.get("asked_in") or "").partition(f"{platform.name}:")[2]
            incident = await self._out.incident(number)
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

    def _lives_in(self, incident: Incident, chat: str, data: Mapping[str, Any]) -> bool:
        """Whether an incident has a channel on a chat: on each, or only where it was opened or first can be."""
        if self._out.desk.settings.channels.bridge:
            return True
        if incident.channels:
            return chat in {c.platform for c in incident.channels}
        asked_in = str(data.get("asked_in") or "").partition(":")[0]
        return chat == (asked_in if asked_in in self._out.platforms else self._first())

    def _first(self) -> str:
        """The first chat that has the operations channel; ConnectionError while that is not known."""
        for name in self._out.platforms:
            self._out.places.sure([name])
            if name in {chat for chat, _ in self._out.places.operations()}:
                return name
        return next(iter(self._out.platforms))

    async def _furnish(self, number: int, platform: Platform, origin: str, data: Mapping[str, Any]) -> None:
        """What a new channel begins with; also where a crash came between the channel and this.

        What cannot be arranged now is arranged later: no page waits for it.
        """
        incident = await self._out.incident(number)
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
            where = self._out.desk.only(f"incident:{number}", platform.name)
            await self._later(where, wanted, error)

    async def _later(self, where: str, data: Mapping[str, Any], error: Exception) -> None:
        """Arrange it by a row of its own, for which nothing else waits."""
        log.warning("a channel is arranged later", channel=where, error=str(error))
        now, later = self._out.clock.now(), Say(where, op="arrange", data=data, lane=2)

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._out.desk, now)
            book.say(later)
            book.finish()

        await self._out.store.run(unit)

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
        found = self._out.desk.settings.catalogue.service(incident.service) if incident.service else None
        return list(found.links.items()) if found is not None else []

    async def _import(self, number: int, platform: Platform, channel: str, since: str) -> None:
        """What people wrote where the incident was asked for, since its impact began: into the transcript, once."""
        now = self._out.clock.now()
        seconds = (now - datetime.fromisoformat(since)).total_seconds()
        written = await platform.history(channel, min(seconds, FURTHEST))
        messages = [m for m in written if isinstance(m, Request) and m.message_id is not None][-MOST:]
        found = [self._imported(platform.name, m, now) for m in messages]

        t, done = store.bindings, f"imported:{platform.name}:{number}"

        def unit(u: store.Unit) -> None:
            if u.rows(select(t.c.name).where(t.c.name == done)):
                return
            u.upsert(t, {"name": done}, {"value": now.isoformat()})
            book = Logbook(u, self._out.desk, now)
            for posted in found:
                book.hear(f"chat-{number}", posted)
            book.finish()

        await self._out.store.run(unit)

    def _imported(self, platform: str, message: Request, now: datetime) -> e.MessagePosted:
        person = self._out.desk.settings.person_of(platform, message.user)
        return e.MessagePosted(
            at=now - timedelta(seconds=message.age),
            actor=person.name if person is not None else f"{platform}:{message.user}",
            channel=address(platform, message.channel),
            message_id=str(message.message_id),
            text=self._out.desk.redactor.redact(message.text),
            thread=message.thread,
            files=message.files,
            file_ids=message.file_ids,
        )

    async def _fall_back(self, number: int, platform: Platform, why: str) -> None:
        """No channel could be made or kept: the incident lives in a thread of the operations channel."""
        if (incident := await self._out.incident(number)).private:
            await self._private_again(incident, platform, why)
            return
        spot = next(iter(await self._spots.of(scoped("ops", platform.name))), None)
        if spot is None:
            raise DeliveryError(f"no channel for INC-{number}, and no operations channel on {platform.name}")
        content = self._out.content("no_channel", {"number": number, "why": why}, platform)
        thread = await platform.post(spot.channel, content, key=f"wb-thread-{number}")
        await self._bind(number, platform.name, spot.channel, "", thread)

    async def _private_again(self, incident: Incident, platform: Platform, why: str) -> None:
        """A private incident goes on in another private channel, with whoever was in the first; never in public."""
        number = incident.number
        old = next((c for c in incident.channels if c.platform == platform.name), None)
        if old is None:
            text = f"INC-{number} is private, so it has no place: {why}"
            if (user := self._out.user(incident.opened_by, platform)) is not None:
                told = self._out.content("sentence", {"text": text}, platform)
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
        now = self._out.clock.now()

        def unit(u: store.Unit) -> None:
            book = Logbook(u, self._out.desk, now)
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

        await self._out.store.run(unit)
