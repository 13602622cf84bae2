"""What people do in the built-in chat: each act is kept first, then handed to the bot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Any

import structlog

from bot.chat import Deletion, Edit, Incoming, Press, Reaction, Receive, Request
from bot.platforms.console_store import Channel, ConsoleStore, Message, Pending, Thing
from bot.platforms.console_text import channel_name, storable
from incidents.ports import Clock

_log = structlog.get_logger()


class NotPossibleError(Exception):
    """A person tried what the chat does not let them do; the text is a sentence for them."""


class ConsolePeople:
    """The people's side of the chat. Names of people are those of the configuration.

    An act whose hand-over fails, or that comes while the bot is not running, is kept and handed over
    later under the same event id, with its age.
    """

    name = "console"
    keeps = True
    remembers = False

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        people: Mapping[str, str],
        channels: list[str],
        zone: tzinfo,
    ) -> None:
        self.store = ConsoleStore(path)
        self.people = people
        self.zone = zone
        self._clock = clock
        self._receive: Receive | None = None
        self._behind = False  # some act could not be handed over
        self._in_hand: set[int] = set()
        self._watchers: list[Callable[[], None]] = []
        known = {c.key for c in self.store.channels.values()}
        for channel in channels:
            if (key := f"config:{channel_name(channel)}") not in known:
                self._new_channel(channel_name(channel), key=key)

    def close(self) -> None:
        """Close the chat's file."""
        self.store.close()

    # -- acts -------------------------------------------------------------------------------------

    async def says(self, user: str, channel: str, text: str, thread: str | None = None) -> str:
        """Post a message or a command, and return its id once the bot took it."""
        where = self._writable(user, channel)
        root = self._root(thread)
        text = storable(text)
        message = self._new_message(where.id, author=user, text=text, thread=root)
        act = Request(
            **self._common(user, where.id),
            text=text,
            message_id=message.id,
            thread=root,
            direct=where.kind == "direct",
        )
        await self._do(act, message, *self._roots(root))
        return message.id

    async def reacts(self, user: str, message_id: str, emoji: str, added: bool = True) -> None:
        """Add a reaction, or take it back."""
        message = self._message(user, message_id)
        emoji = storable(emoji).strip()
        if not emoji or len(emoji) > 32:
            raise NotPossibleError("a reaction is one emoji")
        if message.reader is not None:
            raise NotPossibleError("nobody else sees this message, so it takes no reactions")
        people = message.reactions.get(emoji, [])
        if (user in people) == added:
            return
        message.reactions[emoji] = [*people, user] if added else [p for p in people if p != user]
        if not message.reactions[emoji]:
            del message.reactions[emoji]
        act = Reaction(**self._common(user, message.channel), message_id=message.id, emoji=emoji, added=added)
        await self._do(act, message)

    async def presses(self, user: str, message_id: str, label: str) -> None:
        """Press the button that is labelled so."""
        message = self._message(user, message_id)
        button = next((b for b in message.buttons if b.label.casefold() == label.casefold()), None)
        if button is None:
            raise NotPossibleError(f"that message has no button “{label}” any more")
        common = self._common(user, message.channel)
        press = Press(**common, message_id=message.id, value=button.value, thread=message.thread)
        await self._do(press)

    async def edits(self, user: str, message_id: str, text: str) -> None:
        """Change a message of one's own."""
        message = self._own(user, message_id)
        if message.text == (text := storable(text)):
            return
        message.text = message.plain = text
        message.edited_at = self._clock.now()
        try:
            await self._do(
                Edit(**self._common(user, message.channel), message_id=message.id, text=text), message
            )
        finally:
            self.store.erase_traces()

    async def deletes(self, user: str, message_id: str) -> None:
        """Delete a message of one's own; its place stays visible."""
        message = self._own(user, message_id)
        message.deleted = True
        message.text = message.plain = ""
        message.reactions.clear()
        try:
            await self._do(Deletion(**self._common(user, message.channel), message_id=message.id), message)
        finally:
            self.store.erase_traces()

    # -- channels and accounts --------------------------------------------------------------------

    def creates(self, name: str, *, members: list[str] | None = None) -> str:
        """A channel that people make: public, or private with `members`; returns its id."""
        channel = self._new_channel(channel_name(name), kind="public" if members is None else "private")
        channel.members = list(members or ())
        self._changed(channel)
        return channel.id

    def renames(self, channel: str, name: str) -> None:
        """Rename a channel; its id stays."""
        found = self._channel(channel)
        found.name = channel_name(name)
        self._changed(found)

    def archives(self, channel: str, archived: bool = True) -> None:
        """Archive a channel, or bring it back."""
        found = self._channel(channel)
        found.archived = archived
        self._changed(found)

    def leaves(self, user: str, channel: str) -> None:
        """Somebody leaves a channel, or is removed from it."""
        found = self._channel(channel)
        found.members = [m for m in found.members if m != user]
        self._changed(found)

    def deactivate(self, user: str) -> None:
        """Close somebody's account."""
        self.store.leave(user)

    # -- looking ----------------------------------------------------------------------------------

    def channel_named(self, name: str) -> str | None:
        """The id of the channel called so, with or without `#` (`@alice`: her direct messages)."""
        wanted = name.removeprefix("#")
        found = [c for c in self.store.channels.values() if c.name == wanted]
        return min(found, key=lambda c: (c.archived, -int(c.id[1:]))).id if found else None

    def messages(self, channel: str, *, seen_by: str | None = None) -> list[Message]:
        """Every message of a channel in order, threads included; without `seen_by`, whispers too."""
        found = self.store.by_channel.get(channel, [])
        return [m for m in found if seen_by is None or m.seen_by(seen_by)]

    def newest(
        self,
        *,
        card: str | None = None,
        containing: str | None = None,
        channel: str | None = None,
        button: str | None = None,
        author: str | None = None,
        seen_by: str | None = None,
    ) -> Message | None:
        """The newest message that fits everything asked; whispers only with `seen_by` their reader."""
        wanted = containing.casefold() if containing is not None else None
        for m in self._newest_first(channel):
            if m.deleted or not (m.reader is None or m.reader == seen_by):
                continue
            if card not in (None, m.card) or author not in (None, m.author):
                continue
            if button is not None and button.casefold() not in (b.label.casefold() for b in m.buttons):
                continue
            if wanted is None or wanted in m.plain.casefold():
                return m
        return None

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after every change of the chat; returns what ends it."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    # -- handing over -----------------------------------------------------------------------------

    async def _catch_up(self, receive: Receive) -> None:
        """Hand over what was not taken yet, in order; what fails again stays for the next time."""
        last = 0
        while waiting := [p for p in self.store.untaken() if p.number > last]:
            oldest = waiting[0]
            last = oldest.number
            if last in self._in_hand:
                continue
            try:
                await self._hand_over(oldest, receive)
            except Exception:  # noqa: BLE001 - an edge: it is logged, kept, and handed over again
                self._behind = True
                _log.exception("the bot did not take what somebody did", event_id=oldest.act.event_id)

    async def _do(self, act: Incoming, *changed: Thing) -> None:
        with self.store.writing():
            if changed:
                self.store.save(*changed)
            pending = self.store.keep_act(act, self._clock.now())
        self._notify()
        receive = self._receive
        if receive is None:
            return
        if self._behind:
            self._behind = False
            self._in_hand.add(pending.number)
            await self._catch_up(receive)
        try:
            await self._hand_over(pending, receive)
        except Exception:
            self._behind = True
            raise

    async def _hand_over(self, pending: Pending, receive: Receive) -> None:
        self._in_hand.add(pending.number)
        try:
            age = max(0.0, (self._clock.now() - pending.at).total_seconds())
            await receive(replace(pending.act, age=age))
            self.store.taken(pending.number)
        finally:
            self._in_hand.discard(pending.number)

    # -- inside -----------------------------------------------------------------------------------

    def _common(self, user: str, channel: str) -> dict[str, Any]:
        return {"platform": self.name, "event_id": "", "channel": channel, "user": user}

    def _changed(self, *things: Thing) -> None:
        self.store.save(*things)
        self._notify()

    def _notify(self) -> None:
        for callback in list(self._watchers):
            callback()

    def _channel(self, channel: str) -> Channel:
        found = self.store.channels.get(channel)
        if found is None:
            raise NotPossibleError(f"there is no channel {channel}")
        return found

    def _writable(self, user: str, channel: str) -> Channel:
        found = self._channel(channel)
        if user not in self.people:
            raise NotPossibleError(f"nobody here is called {user}")
        if not found.open_to(user):
            raise NotPossibleError(f"{user} is not in {found.title}")
        if found.archived:
            raise NotPossibleError(f"{found.title} is archived; nobody writes there any more")
        return found

    def _message(self, user: str, message_id: str) -> Message:
        found = self.store.messages.get(message_id)
        if found is None or found.deleted or not found.seen_by(user):
            raise NotPossibleError("that message is not there any more")
        self._writable(user, found.channel)
        return found

    def _own(self, user: str, message_id: str) -> Message:
        found = self._message(user, message_id)
        if found.by_bot or found.author != user:
            raise NotPossibleError("only whoever wrote a message can change it")
        return found

    def _root(self, thread: str | None) -> str | None:
        found = self.store.messages.get(thread) if thread is not None else None
        return found.thread or found.id if found is not None else None

    def _roots(self, thread: str | None) -> tuple[Message, ...]:
        """The thread's first message: it shows how many answers there are, so it changes with each."""
        return (self.store.messages[thread],) if thread is not None else ()

    def _new_channel(self, name: str, **values: object) -> Channel:
        taken = {c.name for c in self.store.channels.values()}
        count, free = 1, name
        while free in taken:
            count += 1
            free = f"{name[: 79 - len(str(count))]}-{count}"
        channel = Channel(id=self.store.next_id("C"), name=free, **values)  # type: ignore[arg-type]
        self._changed(channel)
        return channel

    def _new_message(self, channel: str, *, author: str, text: str, thread: str | None) -> Message:
        id_, at = self.store.next_id("M"), self._clock.now()
        return Message(id=id_, channel=channel, author=author, at=at, text=text, plain=text, thread=thread)

    def _newest_first(self, channel: str | None) -> Iterator[Message]:
        if channel is not None:
            return reversed(self.store.by_channel.get(channel, []))
        return reversed(self.store.messages.values())
