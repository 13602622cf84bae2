"""The built-in chat as one person sees it: what the templates lay out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from markupsafe import Markup

from bot.platforms.console import Console
from bot.platforms.console_store import Channel, Message, Page
from bot.web.text import markup, tone

QUICK = ("✅", "❌", "📌")
TOGETHER = timedelta(minutes=5)  # messages of one author within this stand under one name
SHOWN = 300  # messages of a channel on a page


@dataclass(frozen=True, slots=True)
class ReactionView:
    """One emoji under a message."""

    emoji: str
    people: tuple[str, ...]
    mine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageView:
    """A message for one reader; `day` is set where a new day begins above it."""

    message: Message
    html: Markup
    author: str
    tone: str
    hue: int
    mine: bool
    follows: bool
    day: datetime | None
    for_me: bool
    editing: bool
    in_thread: bool
    replies: int
    last_reply: datetime | None
    reactions: tuple[ReactionView, ...]
    quick: tuple[str, ...] = QUICK

    @property
    def boxed(self) -> bool:
        """Whether it is laid out as a card."""
        m = self.message
        return m.by_bot and not m.deleted and bool(m.card or m.buttons or self.tone)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelView:
    """A channel in the list; `last` and `last_mention` are numbers of messages that others wrote."""

    channel: Channel
    title: str
    last: int
    last_mention: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonView:
    """Somebody to be in the sandbox."""

    name: str
    display: str
    about: str


@dataclass(slots=True)
class Reader:
    """One person looking at the chat."""

    console: Console
    me: str
    zone: tzinfo
    about: Mapping[str, str] = field(default_factory=dict)

    def channels(self) -> dict[str, list[ChannelView]]:
        """The channels that this person sees, in groups: channels, incidents, direct, archived."""
        groups: dict[str, list[ChannelView]] = {"Channels": [], "Incidents": [], "Direct": [], "Archived": []}
        for channel in self.console.store.channels.values():
            if channel.open_to(self.me):
                groups[_group(channel)].append(self._channel(channel))
        groups["Incidents"].reverse()
        return {name: found for name, found in groups.items() if found}

    def people(self) -> list[PersonView]:
        """Everybody whom one can be."""
        everybody = self.console.people.items()
        return [PersonView(name=n, display=d, about=self.about.get(n, "")) for n, d in everybody]

    def channel(self, wanted: str | None) -> Channel:
        """The channel of that id where this person sees it, else the first one."""
        found = self.console.store.channels.get(wanted or "")
        if found is not None and found.open_to(self.me):
            return found
        return next(c for c in self.console.store.channels.values() if c.open_to(self.me))

    def messages(self, channel: str, *, editing: str | None = None) -> list[MessageView]:
        """The channel's newest messages, answers in threads left out."""
        return self._views(self._visible(channel, None)[-SHOWN:], editing=editing)

    def thread(self, root: str | None, *, editing: str | None = None) -> list[MessageView]:
        """A thread, its first message included; empty where this person sees none."""
        first = self.console.store.messages.get(root or "")
        if first is None or first.thread is not None or not self._sees(first):
            return []
        return self._views([first, *self._visible(first.channel, first.id)], editing=editing, in_thread=True)

    def one(self, message: Message) -> MessageView | None:
        """One message, as it stands among the others; None where this person does not see it."""
        if not self._sees(message):
            return None
        others = self._visible(message.channel, message.thread)
        at = next(i for i in range(len(others) - 1, -1, -1) if others[i] is message)
        before = others[at - 1] if at else self.console.store.messages.get(message.thread or "")
        return self._view(message, before, in_thread=message.thread is not None)

    def pages(self) -> list[Page]:
        """Who was contacted outside the chat, newest first."""
        return list(reversed(self.console.store.pages.values()))[:20]

    def sees(self, channel: str) -> bool:
        """Whether this person sees the channel."""
        return self.console.store.channels[channel].open_to(self.me)

    # -- inside -----------------------------------------------------------------------------------

    def _sees(self, message: Message) -> bool:
        return self.sees(message.channel) and message.seen_by(self.me)

    def _visible(self, channel: str, thread: str | None) -> list[Message]:
        store = self.console.store
        found = store.by_channel.get(channel, []) if thread is None else store.by_thread.get(thread, [])
        return [m for m in found if m.thread == thread and m.seen_by(self.me)]

    def _channel(self, channel: Channel) -> ChannelView:
        last = mention = 0
        for m in reversed(self.console.store.by_channel.get(channel.id, [])):
            if m.author == self.me or not m.seen_by(self.me) or m.deleted:
                continue
            last = last or m.number
            if self.me in m.mentions or m.reader == self.me:
                mention = m.number
                break
            if last - m.number > SHOWN:
                break
        title = channel.title if channel.kind != "direct" else "watchbell"
        return ChannelView(channel=channel, title=title, last=last, last_mention=mention)

    def _views(
        self, messages: Iterable[Message], *, editing: str | None = None, in_thread: bool = False
    ) -> list[MessageView]:
        views: list[MessageView] = []
        before: Message | None = None
        for message in messages:
            views.append(self._view(message, before, editing=editing, in_thread=in_thread))
            before = message
        return views

    def _view(
        self, m: Message, before: Message | None, *, editing: str | None = None, in_thread: bool = False
    ) -> MessageView:
        replies = self._visible(m.channel, m.id) if m.id in self.console.store.by_thread else []
        replies = [r for r in replies if not r.deleted]
        accent = tone(m.plain) if m.by_bot else ""
        mentionable = m.mentions if m.by_bot else self.console.people.keys()
        lead = m.by_bot and bool(m.card or m.buttons or accent)
        new_day = before is None or self._date(before) != self._date(m)
        return MessageView(
            message=m,
            html=markup(m.text, mentionable, self.me, lead=lead),
            author="Watchbell" if m.by_bot else self.console.people.get(m.author, m.author),
            tone=accent,
            hue=sum(map(ord, m.author)) % 8,
            mine=m.author == self.me and not m.by_bot,
            follows=not new_day and before is not None and _follows(m, before),
            day=m.at if new_day and not in_thread else None,
            for_me=self.me in m.mentions or (not m.by_bot and f"@{self.me}" in m.text),
            editing=editing == m.id and m.author == self.me and not m.deleted,
            in_thread=in_thread,
            replies=len(replies),
            last_reply=replies[-1].at if replies else None,
            reactions=tuple(
                ReactionView(emoji, tuple(people), self.me in people) for emoji, people in m.reactions.items()
            ),
        )

    def _date(self, message: Message) -> object:
        return message.at.astimezone(self.zone).date()


def _group(channel: Channel) -> str:
    if channel.archived:
        return "Archived"
    if channel.kind == "direct":
        return "Direct"
    return "Channels" if (channel.key or "").startswith("config:") or channel.key is None else "Incidents"


def _follows(message: Message, before: Message) -> bool:
    same = message.author == before.author and message.reader == before.reader and not before.deleted
    return same and message.at - before.at < TOGETHER and not (message.card or before.card)
