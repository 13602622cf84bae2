"""Matrix as the bot sees it: the Platform port over the client-server API; what comes in is in matrix_inbound.py."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from aiohttp.web import RouteDef

from bot.chat import Content, DeliveryError, House, Incoming, Marks, Receive, RetryLaterError, Upload
from bot.config import Settings
from bot.platforms.matrix_client import MatrixClient, UnavailableError
from bot.platforms.matrix_content import ABOUT, WHOLE, Shown, related, replacing, shown, taps_of
from bot.platforms.matrix_crypto import Crypto
from bot.platforms.matrix_decode import redacted
from bot.platforms.matrix_directory import Directory
from bot.platforms.matrix_doors import Doors
from bot.platforms.matrix_erase import REST, Eraser
from bot.platforms.matrix_events import (
    MESSAGE,
    PLAIN,
    REACTION,
    Event,
    Events,
    current,
    key_of,
    relation_of,
    root_of,
    transaction,
)
from bot.platforms.matrix_files import Files
from bot.platforms.matrix_furniture import Furniture
from bot.platforms.matrix_inbound import Inbound
from bot.platforms.matrix_lock import KeyLock
from bot.platforms.matrix_reading import Reader
from bot.platforms.matrix_receipts import Receipts
from bot.platforms.matrix_rooms import Rooms
from bot.platforms.matrix_seeds import Seeds
from bot.platforms.matrix_space import Space
from bot.platforms.matrix_text import MatrixMarks, told_plainly
from bot.platforms.matrix_trust import Trust
from bot.recent import Recent

_log = structlog.get_logger()
STORE = "matrix"  # the folder of the keys in the data directory


def build(section: Mapping[str, Any], settings: Settings, data: Path) -> Matrix:
    """The adapter that `platforms.matrix` of the configuration asks for; its keys are in `data`, under matrix."""
    return Matrix(**options(section, settings, data))


def options(section: Mapping[str, Any], settings: Settings, data: Path) -> dict[str, Any]:
    """What the adapter is made with, by the names of its parameters."""
    accounts = {name: p.ids[Matrix.name] for name, p in settings.people.items() if Matrix.name in p.ids}
    same = ("homeserver", "user", "servers", "encrypted", "trust", "danger_by_reaction", "space")
    return {
        **{name: section[name] for name in same},
        "access_token": section["access_token"].get_secret_value(),
        "device_id": section["device_id"] or "",
        "store": data / STORE if section["encryption"] else None,
        "people": {account: name for name, account in accounts.items()},
        "zone": ZoneInfo(settings.zone),
        "devices": {accounts[name]: found for name, found in section["devices"].items()},
    }


class Matrix:
    """One account on a homeserver. User ids are whole (@alice:example.com), channels room ids, messages event ids.

    `people` is user id → name of the configuration, `servers` are other homeservers whose accounts may act, `store`
    is the folder of the keys (None: no encryption), with `encrypted` new rooms are encrypted. `trust` is how devices
    become verified (first_use, cross_signed, listed), `devices` user id → those that are, by id or fingerprint;
    `danger_by_reaction`: whether reactions in encrypted rooms may approve what is dangerous; `space` is where the
    rooms of incidents are put. `wall` is the clock (UTC, seconds) that events without an age are compared with.
    """

    name = "matrix"
    keeps = True  # the homeserver has what came in meanwhile, and the position is kept
    remembers = True  # an edit is an event of its own beside what it replaces

    def __init__(
        self,
        *,
        homeserver: str,
        user: str,
        access_token: str,
        device_id: str = "",
        store: Path | None = None,
        people: Mapping[str, str],
        zone: tzinfo,
        servers: Collection[str] = (),
        encrypted: bool = False,
        trust: str = "first_use",
        devices: Mapping[str, Collection[str]] | None = None,
        danger_by_reaction: bool = False,
        space: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if encrypted and store is None:
            raise ValueError("rooms can be encrypted only with a folder for the keys")
        self.people, self.wall = people, wall
        self.danger_by_reaction = danger_by_reaction
        self._marks = MatrixMarks(zone, people)
        self.marks: Marks = self._marks
        self.api = MatrixClient(homeserver, user, access_token, device_id, store)
        self._store = store
        self._lock = KeyLock(store)
        keys = Trust(trust, devices or {}, people, lambda user: self.directory.barred(user))
        self.crypto = Crypto(self.api, keys, store)
        self.events = Events(self.api, self.crypto)
        self.directory = Directory(self.api, self.events, servers, self._haunts)
        self.rooms = Rooms(self.api, self.events, encrypted=encrypted, servers=servers)
        self._furniture = Furniture(self.api, self.events, self.rooms)
        self.space = Space(self.api, self.events, self.rooms, space)
        self.receipts = Receipts(self.api, self.rooms.concerns)
        self.seeds = Seeds(self.events, user)
        self._files = Files(self.api, self.events, self.crypto)
        self._eraser = Eraser(self.events, self.rooms)
        self._roots: Recent[tuple[str, str]] = Recent()  # (room, event) → the root of its thread
        self._reader = Reader(self, user, self.events, self.rooms, self.directory, self.crypto)
        doors = Doors(people, self.api, self.events, self.rooms, self.directory)
        self.inbound = Inbound(
            self.api, self.events, self._reader, self._furniture, doors, self.crypto, self.receipts
        )

    def routes(self) -> Sequence[RouteDef]:
        """None: the homeserver is asked, and calls nobody."""
        return ()

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Make sure of the account, hand over what came in since the last time, and go on handing over."""
        try:
            await self.api.open()
            self._lock.take()
            await self.crypto.start()
            await self.rooms.start()
            await self.directory.start()
            await self.inbound.start(receive, house)
            self.space.start()
        except BaseException:
            self._lock.release()
            await self.api.close()
            raise

    async def stop(self) -> None:
        """Take in no more, and give the connections up."""
        try:
            await self.inbound.stop()
            await self.seeds.stop()
            await self.space.stop()
            await self.receipts.stop()
        finally:
            self._lock.release()
            await self.api.close()

    # -- messages ---------------------------------------------------------------------------------

    async def post(self, channel: str, content: Content, *, key: str, thread: str | None = None) -> str:
        """Post a new message and return its event id; the same key there again returns the id of then.

        What is too long for an event is posted as its beginning, with the whole as a file in its thread.
        """
        what = shown(content, key=key, mentioned=self._mentioned(content), loud=self._is_direct(channel))
        return await self._say(channel, what, key, await self._root(channel, thread))

    async def find(self, channel: str, key: str, *, thread: str | None = None) -> str | None:
        """The id of the bot's message with that key, looked for among its newest 500 there."""
        found = await self.events.find(channel, key)
        if found is None:
            return None
        ident = str(found["event_id"])
        self.seeds.put(
            channel, ident, taps_of(current(found)).seeds
        )  # a crash may have come before they were there
        return ident

    async def edit(self, channel: str, message_id: str, content: Content) -> None:
        """Replace what a message of the bot's shows; of what is too long only the beginning is shown."""
        event = await self._own(channel, message_id)
        old = current(event)
        before = taps_of(old)
        what = shown(
            content,
            key=key_of(event),
            mentioned=self._mentioned(content),
            before=before,
            loud=self._is_direct(channel),
        )
        kept = {name: old[name] for name in (ABOUT,) if name in old}
        new = {**what.content, **kept}
        if new == {name: value for name, value in old.items() if name != "m.relates_to"}:
            return
        await self.events.send(channel, MESSAGE, replacing(message_id, new))
        self.seeds.put(
            channel, message_id, [e for e in before.seeds if e not in what.taps.seeds], there=False
        )
        self.seeds.put(channel, message_id, [e for e in what.taps.seeds if e not in before.seeds])

    async def erase(self, channel: str, message_id: str, *, earlier: bool = False) -> bool:
        """Redact a message, its edits and what answers it privately; False where the power level is too low."""
        return await self._eraser.erase(channel, message_id, earlier=earlier)

    async def whisper(self, channel: str, user: str, content: Content, *, thread: str | None = None) -> None:
        """Show something to one person only: directly, for Matrix has no other way, naming the room it is about."""
        label = ("whisper", channel, user, secrets.token_hex(8))
        work = partial(self._whisper, channel, user, content, thread, key=":".join(label))
        await self.seeds.soon(label, work, first=True)

    async def upload(
        self, channel: str, upload: Upload, content: Content, *, key: str, thread: str | None = None
    ) -> str:
        """Post a message with a file and return its event id; the same key there again returns the id of then."""
        what = shown(content, key=key, mentioned=self._mentioned(content), loud=self._is_direct(channel))
        await self._furniture.writable(channel)
        root = await self._root(channel, thread)
        file = await self._files.event(channel, upload, what.content)
        ident = await self.events.send(channel, MESSAGE, related(file, root), transaction(key))
        await self._follow(channel, ident, what, key, root)
        return ident

    async def react(self, channel: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's; that it is there already is fine. Where the bot has to wait, it comes later."""
        await self.seeds.react(channel, message_id, emoji)

    async def reactions(self, channel: str, message_id: str) -> Mapping[str, tuple[str, ...]]:
        """Who reacted with what, read now; user ids by emoji, just as they were sent. Nobody to what was redacted."""
        message = await self.events.get(channel, message_id)
        if message is None or redacted(message):
            return {}
        found: dict[str, dict[str, None]] = {}
        for event in await self.events.related(channel, message_id, "m.annotation", REACTION):
            emoji = relation_of(event).get("key")
            if isinstance(emoji, str) and not redacted(event):
                found.setdefault(emoji, {})[str(event["sender"])] = None
        return {emoji: tuple(people) for emoji, people in found.items()}

    async def history(self, channel: str, seconds: float) -> Sequence[Incoming]:
        """What people wrote, edited and marked there in the last so many seconds, oldest first."""
        return await self._reader.happened(channel, seconds)

    async def fetch(self, file_id: str) -> bytes:
        """A file that somebody posted, of at most 25 MB."""
        return await self._files.fetch(file_id)

    # -- rooms and people -------------------------------------------------------------------------

    async def channel_id(self, name: str) -> str | None:
        """The id of the room that is called so (with or without #) now, or None where there is none to go into."""
        await self.api.open()  # before anything is done with it, whose token it is
        return await self.rooms.by_name(name)

    async def title(self, channel: str) -> str:
        """What a room is called now, without #."""
        return await self.rooms.title(channel)

    async def direct(self, user: str) -> str:
        """The room of direct messages with a person."""
        return await self.rooms.direct(user)

    async def open_channel(self, name: str, *, private: bool, key: str) -> tuple[str, str]:
        """Create a room and return its id and the name it got; the same key gives the same room."""
        room, called = await self.rooms.open(name, private=private, key=key)
        if not private:
            self.space.put(room)
        return room, called

    async def arrange(
        self,
        channel: str,
        *,
        topic: str | None = None,
        invite: tuple[str, ...] = (),
        pin: str | None = None,
        archive: bool | None = None,
        links: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """People, topic, links, pin, closed for writing or open again: what is given, the most urgent first."""
        if archive is False:
            await self._furniture.shut(channel, closed=False)
        if invite:
            await self._furniture.invite(channel, invite)
        if topic is not None or links:
            await self._furniture.head(channel, topic, links)
        if pin is not None:
            await self.seeds.soon((channel, pin, "pin"), partial(self._furniture.pin, channel, pin))
        if archive:
            await self._furniture.shut(channel, closed=True)
        if archive is not None:
            self.space.put(channel, closed=archive)

    async def members(self, channel: str) -> frozenset[str] | None:
        """The members of a room that one has to be invited to; None for one that is open to everybody."""
        return await self.rooms.members(channel)

    async def guards(self, channel: str) -> bool:
        """Whether a room is encrypted: reactions never are, so the homeserver could make them up."""
        return not self.danger_by_reaction and await self.crypto.encrypted(channel)

    async def active(self, user: str) -> bool:
        """Whether the account may act, asked of the homeserver now; raises where it gives no answer."""
        return await self.directory.active(user)

    async def group(self, name: str) -> frozenset[str]:
        """There are no groups of accounts."""
        return frozenset()

    # -- inside -----------------------------------------------------------------------------------

    async def _whisper(
        self, channel: str, user: str, content: Content, thread: str | None, *, key: str
    ) -> None:
        mentioned = self._mentioned(content)
        if channel in self.rooms.directs.get(user, ()):
            what = shown(content, mentioned=mentioned, loud=True)
            await self._say(channel, what, key, await self._root(channel, thread), PLAIN)
            return
        direct = await self.rooms.direct(user)
        title = await self.rooms.title(channel)
        head = f"About #{told_plainly(self._marks.escape(title))}:" if title != channel else ""
        what = shown(content, mentioned=mentioned, head=head, loud=True)
        what.content[ABOUT] = {"room": channel, "thread": thread, "message": content.answers}
        await self._say(direct, what, key, None, PLAIN)

    async def _say(
        self, channel: str, what: Shown, key: str, root: str | None, urgency: int | None = None
    ) -> str:
        await self._furniture.writable(channel)
        content = related(what.content, root)
        again = transaction(key) if key else ""
        ident = await self.events.send(channel, MESSAGE, content, again, urgency=urgency)
        await self._follow(channel, ident, what, key, root)
        return ident

    async def _follow(self, channel: str, ident: str, what: Shown, key: str, root: str | None) -> None:
        """What goes under a message: its buttons, and the whole of what was too long for it."""
        if root is not None:
            self._roots.put((channel, ident), root)
        self.seeds.put(channel, ident, what.taps.seeds)
        if what.whole is None:
            return
        rest = shown(Content("", ""))
        rest.content[REST] = ident
        try:
            file = await self._files.event(channel, Upload(WHOLE, what.whole), rest.content)
            again = transaction(f"{key}:whole") if key else ""
            await self.events.send(channel, MESSAGE, related(file, root or ident), again)
        except RetryLaterError as error:  # which would say that nothing was posted
            raise UnavailableError("Matrix took the message, and not yet the rest of it") from error

    async def _own(self, channel: str, message_id: str) -> Event:
        event = await self.events.get(channel, message_id)
        if event is None or redacted(event) or event.get("sender") != self.api.user:
            raise DeliveryError(f"there is no message {message_id} of mine there any more")
        return event

    async def _root(self, channel: str, thread: str | None) -> str | None:
        """The root of the thread that a message stands in: a thread hangs on nothing else ("Threading")."""
        if thread is None:
            return None
        known = self._roots.get((channel, thread))
        if known is None:
            event = await self.events.get(channel, thread)
            known = (root_of(event) if event is not None else None) or thread
            self._roots.put((channel, thread), known)
        return known

    def _mentioned(self, content: Content) -> list[str]:
        found = (self._marks.user_of(person) for person in content.mentions)
        return [user for user in found if user is not None]

    def _is_direct(self, channel: str) -> bool:
        return channel in self.rooms.direct_rooms

    def _haunts(self, user: str) -> Iterator[str]:
        """Where to look first for somebody: where they did something last, their direct messages, known rooms."""
        if seen := self.inbound.seen.get(user):
            yield seen
        yield from self.rooms.directs.get(user, ())
        yield from sorted(self.rooms.named)
