"""The built-in chat as the bot sees it: the Platform port over the chat's own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from aiohttp.web import RouteDef

from bot.chat import Content, DeliveryError, House, Incoming, Marks, Receive, Request, Upload
from bot.platforms.console_people import ConsolePeople
from bot.platforms.console_store import Attachment, Channel, Message, Page
from bot.platforms.console_text import ConsoleMarks, channel_name, storable
from incidents.events import BOT
from incidents.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One thing that the bot did in the chat: `do` is say, edit, react, upload or page.

    `channel` is the name as people read it, `to` the people really mentioned or paged, `text` plain.
    """

    at: datetime
    do: str
    channel: str | None
    text: str
    thread: str | None = None
    card: str | None = None
    to: tuple[str, ...] = ()
    buttons: tuple[str, ...] = ()
    message_id: str | None = None


class Console(ConsolePeople):
    """The built-in chat; user ids are names of the configuration, the bot's is `watchbell`."""

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        people: Mapping[str, str],
        channels: list[str],
        zone: tzinfo,
    ) -> None:
        super().__init__(path, clock=clock, people=people, channels=channels, zone=zone)
        self.marks: Marks = ConsoleMarks(zone)
        self._observers: list[Callable[[Output], None]] = []

    def observe(self, callback: Callable[[Output], None]) -> None:
        """Call back with everything that the bot does from now on."""
        self._observers.append(callback)

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Hand over what people did meanwhile, oldest first, then go on handing over."""
        await self._catch_up(receive)
        self._receive = receive

    async def stop(self) -> None:
        """Hand over no more; what people do from now on is kept."""
        self._receive = None

    def routes(self) -> Sequence[RouteDef]:
        """None: the pages of the chat are the demo's."""
        return ()

    async def post(self, channel: str, content: Content, *, key: str, thread: str | None = None) -> str:
        """Post a new message and return its id; a key that was seen returns the id of then."""
        if key in self.store.by_key:
            return self.store.by_key[key]
        message = self._bot_message(channel, content, key=key, thread=thread)
        self._say("say", message)
        return message.id

    async def find(self, channel: str, key: str, *, thread: str | None = None) -> str | None:
        """The id of the message posted with `key`, if it was."""
        found = self.store.by_key.get(key)
        return found if found is not None and self.store.messages[found].channel == channel else None

    async def history(self, channel: str, seconds: float) -> Sequence[Incoming]:
        """What people wrote there in the last so many seconds, oldest first."""
        since = self._clock.now() - timedelta(seconds=seconds)
        written = [m for m in self.messages(self._known(channel).id) if m.at >= since]
        return [self._written(m) for m in written if not (m.by_bot or m.deleted)]

    async def fetch(self, file_id: str) -> bytes:
        """People post no files here."""
        raise DeliveryError("files cannot be posted in this chat")

    async def group(self, name: str) -> frozenset[str]:
        """There are no groups here."""
        return frozenset()

    async def edit(self, channel: str, message_id: str, content: Content) -> None:
        """Replace what a message of the bot's shows; the same content again changes nothing."""
        message = self._posted(channel, message_id)
        before = replace(message)
        _fill(message, content)
        if message == before:
            return
        message.edited_at = self._clock.now()
        self._say("edit", message, new=False)
        if message.card is None:  # no card that is edited all the time: something was taken out
            self.store.erase_traces()

    async def erase(self, channel: str, message_id: str, *, earlier: bool = False) -> bool:
        """Take a message away, as its author could; of what was edited nothing is left anyway."""
        found = self.store.messages.get(message_id)
        if not earlier and found is not None and found.channel == channel and not found.deleted:
            found.deleted = True
            found.text = found.plain = ""
            for kept in (found.reactions, found.buttons, found.mentions, found.files):
                kept.clear()
            self._changed(found)
        self.store.erase_traces()
        return True

    async def react(self, channel: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's; adding it twice is no error."""
        message = self._posted(channel, message_id, by_bot=False)
        people = message.reactions.setdefault(emoji, [])
        if BOT in people:
            return
        people.append(BOT)
        self._changed(message)
        self._tell("react", message, text=emoji)

    async def whisper(self, channel: str, user: str, content: Content, *, thread: str | None = None) -> None:
        """Show something to one person only."""
        if user not in self.people:
            raise DeliveryError(f"nobody here is called {user}")
        if not self._known(channel).open_to(user):
            raise DeliveryError(f"{user} is not in that channel")
        self._say("say", self._bot_message(channel, content, key=None, thread=thread, reader=user))

    async def upload(
        self, channel: str, upload: Upload, content: Content, *, key: str, thread: str | None = None
    ) -> str:
        """Post a message with a file under it."""
        if key in self.store.by_key:
            return self.store.by_key[key]
        message = self._bot_message(channel, content, key=key, thread=thread)
        with self.store.writing():
            number = self.store.keep_file(upload.data)
            file = Attachment(id=number, name=storable(upload.name), mime=upload.mime, size=len(upload.data))
            message.files.append(file)
            self.store.save(message, *self._roots(message.thread))
        self._notify()
        named = "" if file.name in content.plain else f"\n[{file.name}]"
        self._tell("upload", message, text=(content.plain + named).strip())
        return message.id

    async def channel_id(self, name: str) -> str | None:
        """The id of the channel that is called so now, or None."""
        return self.channel_named(name)

    async def title(self, channel: str) -> str:
        """What a channel is called now."""
        return self._known(channel).name

    async def direct(self, user: str) -> str:
        """The channel of direct messages with a person."""
        if user not in self.people:
            raise DeliveryError(f"nobody here is called {user}")
        found = self.channel_named(f"@{user}")
        return found or self._new_channel(f"@{user}", kind="direct", members=[user]).id

    async def open_channel(self, name: str, *, private: bool, key: str) -> tuple[str, str]:
        """Create a channel; its id and its name without `#`. The same key gives the same channel."""
        found = next((c for c in self.store.channels.values() if c.key == key), None)
        if found is None:
            kind = "private" if private else "public"
            found = self._new_channel(channel_name(name), kind=kind, key=key)
        return found.id, found.name

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
        """Set the topic, let people in, pin a message, archive or bring back: what is asked for, together."""
        found = self._known(channel)
        if unknown := [user for user in invite if user not in self.people]:
            raise DeliveryError(f"nobody here is called {', '.join(unknown)}")
        pinned = self._posted(channel, pin, by_bot=False) if pin is not None else None
        found.topic = found.topic if topic is None else storable(topic)
        found.links = [list(link) for link in links] or found.links
        found.members += [user for user in dict.fromkeys(invite) if user not in found.members]
        found.archived = found.archived if archive is None else archive
        if pinned is not None:
            pinned.pinned = True
        self._changed(found, *([pinned] if pinned is not None else []))

    async def reactions(self, channel: str, message_id: str) -> Mapping[str, tuple[str, ...]]:
        """Who reacted with what, read now; user ids by emoji, the bot's own included."""
        message = self._posted(channel, message_id, by_bot=False)
        return {emoji: tuple(people) for emoji, people in message.reactions.items()}

    async def members(self, channel: str) -> frozenset[str] | None:
        """The members of a private channel; None for one that is open to everybody."""
        found = self._known(channel)
        return None if found.kind == "public" else frozenset(found.members)

    async def guards(self, channel: str) -> bool:
        """Nobody stands between people and this chat."""
        return False

    async def active(self, user: str) -> bool:
        """Whether the account is known and was not deactivated."""
        return user in self.people and user not in self.store.gone

    def page(self, person: str, method: str, text: str) -> None:
        """Reach somebody outside the chat: here it is only shown that this would have happened."""
        at = self._clock.now()
        self._changed(
            Page(id=self.store.next_id("P"), person=person, method=method, text=storable(text), at=at)
        )
        for callback in self._observers:
            callback(Output(at=at, do="page", channel=None, text=text, to=(person,)))

    # -- inside -----------------------------------------------------------------------------------

    def _written(self, message: Message) -> Request:
        return Request(
            platform=self.name,
            event_id=message.id,
            channel=message.channel,
            user=message.author,
            age=max(0.0, (self._clock.now() - message.at).total_seconds()),
            text=message.text,
            message_id=message.id,
            thread=message.thread,
        )

    def _known(self, channel: str) -> Channel:
        found = self.store.channels.get(channel)
        if found is None:
            raise DeliveryError(f"there is no channel {channel}")
        return found

    def _posted(self, channel: str, message_id: str, *, by_bot: bool = True) -> Message:
        found = self.store.messages.get(message_id)
        if found is None or found.channel != channel or found.deleted or (by_bot and not found.by_bot):
            raise DeliveryError(f"there is no message {message_id} in {channel}")
        return found

    def _bot_message(
        self, channel: str, content: Content, *, key: str | None, thread: str | None, reader: str = ""
    ) -> Message:
        where = self._known(channel)
        if where.archived:
            raise DeliveryError(f"{where.title} is archived")
        root = self._root(thread)
        message = self._new_message(where.id, author=BOT, text="", thread=root)
        message.by_bot, message.key, message.reader = True, key, reader or None
        _fill(message, content)
        return message

    def _say(self, do: str, message: Message, *, new: bool = True) -> None:
        self._changed(message, *(self._roots(message.thread) if new else ()))
        self._tell(do, message)

    def _tell(self, do: str, message: Message, *, text: str | None = None) -> None:
        if not self._observers:
            return
        output = Output(
            at=self._clock.now(),
            do=do,
            channel=self.store.channels[message.channel].title,
            text=message.plain if text is None else text,
            thread=message.thread,
            card=message.card,
            to=tuple(message.mentions) if do != "react" else (),
            buttons=tuple(b.label for b in message.buttons) if do != "react" else (),
            message_id=message.id,
        )
        for callback in self._observers:
            callback(output)


def _fill(message: Message, content: Content) -> None:
    message.text, message.plain = storable(content.text), storable(content.plain)
    message.buttons = list(content.buttons)
    message.mentions = list(content.mentions)
    message.card = content.card
