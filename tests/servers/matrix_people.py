"""The people of a Matrix server, as rehearsals have them act: by name, each with an account and a client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any

from bot.chat import Button
from bot.platforms.console import Output
from bot.platforms.console_people import NotPossibleError
from tests.servers.matrix_device import ENCRYPTED, MEGOLM
from tests.servers.matrix_keyring import Keyring, device_of
from tests.servers.matrix_view import Post, View, folded, path
from tests.servers.synapse import NAME, Account, MatrixError, Synapse

BOT = "watchbell"
BESIDE = "BESIDE"  # the device of the tests' own that the bot's account has

# Told after each act that the bot can see: the room, and the event. It returns when the bot has taken that in.
Taken = Callable[[str, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as somebody sees it; the id is the event's."""

    id: str
    text: str
    buttons: tuple[Button, ...] = ()


class MatrixPeople:
    """People, and what they see. They type what begins with / as a message that begins so (Element's `//`).

    Whoever is invited goes in; whoever does something in an open room goes in first. What Matrix does not
    allow raises NotPossibleError.
    """

    def __init__(self, server: Synapse, now: Callable[[], datetime], *, encrypted: bool = False) -> None:
        server.generation += 1
        self.server = server
        self.taken: Taken | None = None
        self.stopped = (
            False  # whether the server's clock stands, and is moved to the time that it is now by each act
        )
        self._number = server.generation
        self._now = now
        self._views: dict[str, View] = {}
        self._transactions = count(1)
        self._observers: list[Callable[[Output], None]] = []
        self._keys = Keyring(server, self._transactions) if encrypted else None
        devices = [(device_of(BOT), None), (BESIDE, self._published(BOT, BESIDE))]
        ((self.bot, other),) = server.people([(self._localpart(BOT), "Watchbell", devices)], fresh=True)
        # What the bot's account sees, on a device of the tests' own: every room with the bot in it.
        self.beside = self._view(other)

    def _localpart(self, name: str) -> str:
        return f"{name}-{self._number}"

    def _published(self, name: str, ident: str) -> dict[str, Any] | None:
        """The keys of a new device; None where nothing is encrypted."""
        return self._keys.new(self.user(name), ident) if self._keys is not None else None

    def _view(self, account: Account) -> View:
        return View(self.server, account, self._keys.of(account) if self._keys is not None else None)

    def user(self, name: str) -> str:
        """The full user id of a person of the configuration."""
        return f"@{self._localpart(name)}:{NAME}"

    def joins(self, people: Iterable[tuple[str, str]]) -> None:
        """Accounts for people of the configuration: names and what is displayed."""
        known = dict(people)
        asked: list[tuple[str, str, Sequence[tuple[str, Any]]]] = [
            (self._localpart(name), display, [(device_of(name), self._published(name, device_of(name)))])
            for name, display in known.items()
        ]
        for name, (account,) in zip(known, self.server.people(asked), strict=True):
            self._views[name] = self._view(account)

    def view(self, name: str) -> View:
        """What a person sees; not yet read anew."""
        if name not in self._views:
            raise NotPossibleError(f"nobody here is called {name}")
        return self._views[name]

    # -- rooms ----------------------------------------------------------------------------------------

    def creates(self, name: str, *, members: Iterable[str] = (), private: bool = False) -> str:
        """A room with the bot and these people in it, made by the administrator, who leaves a private one again."""
        steward, there = self.server.steward, [self.bot, *(self.view(member).account for member in members)]
        # Enough to pin messages, to set a topic, and to take reactions away. From version 12 on whoever makes
        # a room stands above all levels and must not be named.
        levels = {self.bot.user: 50, **({} if int(self.server.room_version) > 11 else {steward.user: 100})}
        body: dict[str, Any] = {
            "name": name,
            "preset": "private_chat" if private else "public_chat",
            "power_level_content_override": {"users": levels},
            # The id of a room is made of its creation, and a stopped clock tells one from another no better.
            "creation_content": {"org.watchbell.workspace": self._number},
            **({"invite": [account.user for account in there]} if private else {"room_alias_name": name}),
        }
        if self._keys is not None:
            sealed = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": MEGOLM}}
            body["initial_state"] = [sealed]
        room = str(self.server.call("POST", "/createRoom", steward, body)["room_id"])
        self.server.join(room, [account.user for account in there])
        if private:
            self.server.call("POST", f"/rooms{path(room)}/leave", steward)
        return room

    # -- acts -----------------------------------------------------------------------------------------

    async def says(self, user: str, channel: str, text: str, thread: str | None = None) -> str:
        """Send a message, and return its event id."""
        content: dict[str, Any] = {"msgtype": "m.text", "body": text}
        account = self._enter(user, channel)
        if thread is not None:
            answered = self.beside.post(thread)
            root = answered.thread or thread if answered is not None else thread
            content["m.relates_to"] = {
                "rel_type": "m.thread",
                "event_id": root,
                "is_falling_back": True,
                "m.in_reply_to": {"event_id": thread},
            }
        return await self._send(account, channel, "m.room.message", content)

    async def reacts(self, user: str, message_id: str, emoji: str, added: bool = True) -> None:
        """Add a reaction, or take it back."""
        account, post = self._message(user, message_id)
        plain = emoji.strip()
        mine = self._reaction_of(account, post, plain)
        if added and mine is None:
            await self._react(account, post, plain)
        elif not added and mine is not None:
            await self._redact(account, post.room, mine)

    async def presses(self, user: str, message_id: str, label: str) -> None:
        """Tap the reaction that stands for a button, anew where it was tapped before; type what has none."""
        account, post = self._message(user, message_id)
        emoji = post.tap(label)
        if emoji is None:
            raise NotPossibleError(f"that message has no button “{label}” any more")
        if not emoji:
            value = next(b.value for b in post.buttons if b.label.casefold() == label.casefold())
            await self.says(user, post.room, value, post.thread)
            return
        if (before := self._reaction_of(account, post, emoji)) is not None:
            await self._redact(account, post.room, before, seen=False)
        await self._react(account, post, emoji)

    async def edits(self, user: str, message_id: str, text: str) -> None:
        """Change a message of one's own."""
        account, post = self._own(user, message_id)
        content = {
            "msgtype": "m.text",
            "body": f"* {text}",
            "m.new_content": {"msgtype": "m.text", "body": text},
            "m.relates_to": {"rel_type": "m.replace", "event_id": post.id},
        }
        await self._send(account, post.room, "m.room.message", content)

    async def deletes(self, user: str, message_id: str) -> None:
        """Delete a message of one's own."""
        account, post = self._own(user, message_id)
        await self._redact(account, post.room, post.id)

    # -- looking --------------------------------------------------------------------------------------

    def channel_named(self, name: str) -> str | None:
        """The id of the room called so, with or without `#`; `@alice`: her messages with the bot."""
        wanted = name.removeprefix("#")
        self.beside.refresh()
        rooms = self.beside.rooms.values()
        if wanted.startswith("@"):
            user = self.user(wanted[1:])
            return next((r.id for r in rooms if r.direct and user in r.people), None)
        found = [r for r in rooms if r.name == wanted and not r.direct]
        return min(found, key=lambda r: r.archived).id if found else None

    def newest(
        self,
        *,
        card: str | None = None,
        containing: str | None = None,
        channel: str | None = None,
        button: str | None = None,
        author: str | None = None,
        seen_by: str | None = None,
    ) -> Shown | None:
        """The newest message that fits everything asked; direct messages only with `seen_by` their reader."""
        reader = self.user(seen_by) if seen_by is not None else None
        self.beside.refresh()
        for post in reversed(self.beside.posts()):
            if (
                post.deleted
                or not self._open(post, reader, channel)
                or not _fits(post, card, channel, button)
            ):
                continue
            if author is not None and post.sender != self.user(author):
                continue
            if containing is None or containing.casefold() in post.text.casefold():
                return Shown(post.id, post.text, post.buttons)
        return None

    def _open(self, post: Post, reader: str | None, channel: str | None) -> bool:
        """Whether somebody (None: everybody who is there) can see a message of a room that the bot is in."""
        room = self.beside.rooms[post.room]
        if reader is None:
            return not room.direct or room.id == channel
        return not room.private or reader in room.people

    # -- the telephone --------------------------------------------------------------------------------

    def observe(self, callback: Callable[[Output], None]) -> None:
        """Call back with every page from now on."""
        self._observers.append(callback)

    def page(self, person: str, method: str, text: str) -> None:
        """Somebody's telephone rings; it is only shown that it does."""
        for callback in self._observers:
            callback(Output(at=self._now(), do="page", channel=None, text=text, to=(person,)))

    # -- inside ---------------------------------------------------------------------------------------

    def _enter(self, user: str, room: str) -> Account:
        """A person's account, with them in that room and wherever else they are invited."""
        account = self.view(user).account
        self.beside.refresh()
        for known in list(self.beside.rooms.values()):
            membership = known.of("m.room.member", account.user).get("membership")
            if membership == "invite" or (known.id == room and membership != "join"):
                self._join(account, known.id)
        if room not in self.beside.rooms:
            self._join(account, room)
        return account

    def _join(self, account: Account, room: str) -> None:
        try:
            self.server.call("POST", f"/join{path(room)}", account)
        except MatrixError as error:
            raise NotPossibleError(f"Matrix lets {account.user} not in: {error}") from error
        self.beside.refresh()

    def _message(self, user: str, message_id: str) -> tuple[Account, Post]:
        self.beside.refresh()
        found = self.beside.post(message_id)
        if found is None or found.deleted:
            raise NotPossibleError("that message is not there any more")
        return self._enter(user, found.room), found

    def _own(self, user: str, message_id: str) -> tuple[Account, Post]:
        account, post = self._message(user, message_id)
        if post.sender != account.user:
            raise NotPossibleError("only whoever wrote a message can change it")
        return account, post

    def _reaction_of(self, account: Account, post: Post, emoji: str) -> str | None:
        """The event of a person's own reaction with this emoji."""
        wanted = (folded(emoji), account.user)
        return next((e for e, (key, user) in post.reactions.items() if (folded(key), user) == wanted), None)

    async def _react(self, account: Account, post: Post, emoji: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": post.id, "key": emoji}
        return await self._send(account, post.room, "m.reaction", {"m.relates_to": relation})

    async def _send(self, account: Account, room: str, kind: str, content: Any) -> str:
        known = self.beside.rooms.get(room)
        if kind == "m.room.message" and self._keys is not None and known is not None and known.encrypted:
            content = await asyncio.to_thread(self._keys.sealed, account, known, kind, content, bot=self.bot)
            kind = ENCRYPTED
        where = f"/rooms{path(room)}/send/{kind}/people-{next(self._transactions)}"
        return await self._act(account, room, where, content)

    async def _redact(self, account: Account, room: str, event: str, *, seen: bool = True) -> str:
        where = f"/rooms{path(room)}/redact{path(event)}/people-{next(self._transactions)}"
        return await self._act(account, room, where, {}, seen=seen)

    async def _act(self, account: Account, room: str, where: str, content: Any, *, seen: bool = True) -> str:
        if self.stopped:
            self.server.set_clock(self._now().timestamp())
        try:
            said = await self.server.act("PUT", where, account, content)
        except MatrixError as error:
            raise NotPossibleError(f"Matrix says: {error}") from error
        event = str(said["event_id"])
        known = self.beside.rooms.get(room)
        if seen and self.taken is not None and known is not None and self.bot.user in known.joined:
            await self.taken(room, event)
        return event


def _fits(post: Post, card: str | None, channel: str | None, button: str | None) -> bool:
    if channel is not None and channel not in (post.room, post.about):
        return False
    if card is not None and post.mark.get("card") != card:
        return False
    return button is None or post.tap(button) is not None
