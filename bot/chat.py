"""The Platform port: what comes in from a chat, what goes out to it, and the one protocol between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from aiohttp.web import RouteDef

# `channel` and `user` are the platform's own ids here; elsewhere a channel is its address,
# "platform:id" (see `address`), and a person is a name of the configuration.


def address(platform: str, channel: str) -> str:
    """A channel as the log and the outbox name it."""
    return f"{platform}:{channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """Something a person did. `event_id` is unique per platform; `age` is in seconds, by the platform.

    `barred` says why this account may do nothing here, as in "a guest", "a bot"; empty for one that may.
    `assured` is False for what a server in between could have made up: it approves nothing dangerous that was
    asked for in a channel that guards against that (`Platform.guards`).
    """

    platform: str
    event_id: str
    channel: str
    user: str
    age: float = 0.0
    barred: str = ""
    assured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Incoming):
    """A message; a command where it begins with `/`, `!` or the bot's name.

    `message_id` is None where the platform shows no message for it (Slack's slash commands): then the bot says
    who ran what. `files` are names, `file_ids` what `Platform.fetch` takes, in the same order.
    """

    text: str
    message_id: str | None = None
    thread: str | None = None
    direct: bool = False
    files: tuple[str, ...] = ()
    file_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Press(Incoming):
    """A button: `value` is what the button carried."""

    message_id: str
    value: str
    thread: str | None = None  # where the message stands in one


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction(Incoming):
    """A reaction added or taken back; `emoji` as a Unicode string."""

    message_id: str
    emoji: str
    added: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit(Incoming):
    message_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion(Incoming):
    message_id: str


@dataclass(frozen=True, slots=True)
class Button:
    """A button and what it sends back; `style` is primary, danger or empty."""

    label: str
    value: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What is shown: text in the platform's own markup, plain text, buttons, and who is mentioned.

    `card` is the kind of card that this is (approval, incident, reminder, runbook), or None. `mentions` are
    names of the configuration really mentioned in the text, not merely displayed. `answers` is the message that
    this answers: where that one is erased, this goes with it.
    """

    text: str
    plain: str
    buttons: tuple[Button, ...] = ()
    mentions: tuple[str, ...] = ()
    card: str | None = None
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    name: str
    data: bytes
    mime: str = "text/plain"


class Marks(Protocol):
    """How a platform writes what templates ask for."""

    def escape(self, text: str) -> str:
        """Text from outside, neutral: no markup, no mention, no link."""
        ...

    def mention(self, person: str) -> str:
        """A real mention of a person of the configuration."""
        ...

    def time(self, at: datetime, form: str) -> str:
        """A moment in the reader's zone; form is `clock` (02:45 CET) or `date` (3 Jan 02:45 CET)."""
        ...

    def code(self, text: str) -> str:
        """A block of fixed width (the text is already neutral)."""
        ...

    def bold(self, text: str) -> str:
        """Emphasis (the text is already neutral)."""
        ...

    def link(self, url: str) -> str:
        """An address of the configuration, to be followed (already neutral)."""
        ...


class House(Protocol):
    """What a chat may ask of the bot, beside handing over what people did."""

    def refusal(self, line: str) -> str | None:
        """Why a command line cannot be read, in one sentence; None for one that can. For forms."""
        ...

    def severities(self) -> Sequence[str]:
        """The severities that a form offers, the worst first."""
        ...

    def services(self) -> Sequence[str]:
        """The services that a form offers."""
        ...

    async def recall(self, name: str) -> str | None:
        """What the chat asked to be kept under a name, such as how far it has read; None where nothing is."""
        ...

    async def keep(self, name: str, value: str) -> None:
        """Keep a word beside the log, for the next start."""
        ...

    async def home(self, user: str) -> Sequence[Content]:
        """What concerns an account now: its incidents, what waits for it, who is on call; in sections."""
        ...


Receive = Callable[[Incoming], Awaitable[None]]


class DeliveryError(Exception):
    """A delivery failed for good; its text says why. Anything else that is raised is tried again."""


class RetryLaterError(Exception):
    """The platform asked to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"asked to wait {seconds} s")
        self.seconds = seconds


class Platform(Protocol):
    """One chat. It translates and decides nothing; every method raises DeliveryError or RetryLaterError."""

    name: str
    marks: Marks
    keeps: bool  # whether `start` hands over what came in while nobody listened; else `history` is read
    remembers: bool  # whether people can still read what a message said before an edit

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Connect, hand over what came in meanwhile (with its age), and go on handing over."""
        ...

    async def stop(self) -> None: ...

    def routes(self) -> Sequence[RouteDef]:
        """What the web server answers for this chat; nothing for one that is only called."""
        ...

    async def post(self, channel: str, content: Content, *, key: str, thread: str | None = None) -> str:
        """Post a new message and return its id; `key` is unique, so that `find` finds it after a crash."""
        ...

    async def find(self, channel: str, key: str, *, thread: str | None = None) -> str | None:
        """The id of the message posted with `key` there, if it was."""
        ...

    async def history(self, channel: str, seconds: float) -> Sequence[Incoming]:
        """What people wrote and changed there in the last so many seconds, oldest first, threads included.

        Each under the event id that it has when it is handed over live; nothing where the platform itself
        keeps what the bot missed.
        """
        ...

    async def fetch(self, file_id: str) -> bytes:
        """A file that somebody posted."""
        ...

    async def group(self, name: str) -> frozenset[str]:
        """The user ids in a group of the platform's; empty where it has no such group."""
        ...

    async def edit(self, channel: str, message_id: str, content: Content) -> None: ...

    async def erase(self, channel: str, message_id: str, *, earlier: bool = False) -> bool:
        """Take a message away, anybody's, with what it said before its edits and what answers it privately.

        `earlier`: only what it said before its last edit. False where the bot may not; one that is gone is erased.
        """
        ...

    async def react(self, channel: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's; adding it twice is no error."""
        ...

    async def whisper(self, channel: str, user: str, content: Content, *, thread: str | None = None) -> None:
        """Show something to one person only."""
        ...

    async def upload(
        self, channel: str, upload: Upload, content: Content, *, key: str, thread: str | None = None
    ) -> str: ...

    async def channel_id(self, name: str) -> str | None:
        """The id of the channel that is called so (with or without #) now, or None."""
        ...

    async def title(self, channel: str) -> str:
        """What a channel is called now, without #."""
        ...

    async def direct(self, user: str) -> str:
        """The channel of direct messages with a person."""
        ...

    async def open_channel(self, name: str, *, private: bool, key: str) -> tuple[str, str]:
        """Create a channel and return its id and the name it got; the same key gives the same channel."""
        ...

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
        """Set the topic, invite people, pin a message, archive (True) or bring back (False): what is given.

        `links` are titles and addresses that people find at the head of the channel.
        """
        ...

    async def reactions(self, channel: str, message_id: str) -> Mapping[str, tuple[str, ...]]:
        """Who reacted with what, read now; user ids by emoji."""
        ...

    async def members(self, channel: str) -> frozenset[str] | None:
        """The members of a private channel; None for one that is open to everybody."""
        ...

    async def guards(self, channel: str) -> bool:
        """Whether messages there prove who wrote them, and reactions do not (an encrypted room)."""
        ...

    async def active(self, user: str) -> bool:
        """Whether the account may act: not deactivated, no guest, no bot."""
        ...


@dataclass(frozen=True, slots=True)
class Say:
    """A thing to be said or done in a chat, as the outbox keeps it; rendered when it is delivered.

    `channel` is an address ("console:C3") or symbolic: "incident:42" (its channel, once there is one), "ops",
    "team:realtime" (the service's team channel), "person:alice" (direct messages), "person:alice:sms" (a contact
    method). Symbolic ones but the last mean every chat, "incident:42@slack" one (see bot/ways.py). `op` is one of

    - say: a new message from `template` and `data`;
    - card: edit the card `ref` to what it is now (made anew at delivery);
    - open: create the incident's channel; data: name, private, invite (people), topic, asked_in (an address),
      here (that channel becomes the incident's), since (what was written there from then on is imported);
    - arrange: data: topic, invite (people), archive (False brings a channel back);
    - archive: archive the channel, once everything else has been said and edited there;
    - direct, contact: a page of one person; data also has incident, key, rung, person, for when it fails;
    - react: the bot's reaction; data: message_id, emoji;
    - edit: the copy `ref` of what somebody wrote in another chat is edited to `template` and `data`;
    - amend: what was posted with the key `ref`, or the card `ref`, shows what its row or state says now, and
      nothing of before (after a scrub);
    - erase: take a message away; data: message_id, person (who is told where that is not allowed).

    `lane` 0 is pages and what they need, 1 messages, 2 cosmetics; `card` is the kind of card and `ref` what it
    is of ("incident:42", "action:7"), so that edits, reactions and presses find it.
    """

    channel: str
    op: str = "say"
    template: str = ""
    data: Mapping[str, object] = field(default_factory=dict)
    lane: int = 1
    card: str | None = None
    ref: str | None = None
    thread: str | None = None
    buttons: tuple[Button, ...] = ()
    seeds: tuple[str, ...] = ()  # reactions that the bot puts under it
    home: str = ""  # with several chats: the address of the channel that `thread` is in
    others: bool = False  # said in the other chats than that of `home` only
