"""What an account sees of a Matrix server: rooms, messages as they read now, reactions; by its own /sync."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from nio.crypto.attachments import decrypt_attachment

from bot.chat import Button
from tests.servers.matrix_device import ENCRYPTED, Device
from tests.servers.synapse import Account, MatrixError, Synapse

Event = Mapping[str, Any]

# Everything of a room, as a client gets it that never leaves; members in full.
FILTER = json.dumps(
    {
        "presence": {"types": []},
        "account_data": {"types": []},
        "room": {"timeline": {"limit": 5000}, "ephemeral": {"types": []}, "account_data": {"types": []}},
    }
)
MARK, BUTTONS = "org.watchbell", "org.watchbell.buttons"  # what the bot keeps in its messages
RETIRED = "org.watchbell.retired"  # the buttons that a message had
ABOUT = "org.watchbell.about"  # of a direct message: the room that it is about
_FILES = ("m.file", "m.image", "m.video", "m.audio")


def path(*parts: str) -> str:
    """Parts of a path, each quoted."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)


@dataclass
class Post:
    """A message; `content` is what it shows now, and empty once it was redacted."""

    id: str
    room: str
    sender: str
    at: int  # milliseconds since the epoch, by the server
    content: dict[str, Any]
    thread: str | None
    edited: bool = False
    deleted: bool = False
    reactions: dict[str, tuple[str, str]] = field(default_factory=dict)  # reaction's event id → emoji, user

    @property
    def body(self) -> str:
        """The plain body."""
        return str(self.content.get("body", ""))

    @property
    def text(self) -> str:
        """What it says, without the line that names the buttons."""
        if self.content.get("msgtype") in _FILES and self.body == self.content.get("filename", self.body):
            return ""
        return without_buttons(self.body, [b.label for b in self.buttons])

    @property
    def about(self) -> str | None:
        """The room that a direct message of the bot's is about."""
        found = self.content.get(ABOUT)
        return str(found.get("room")) if isinstance(found, dict) else None

    @property
    def without_head(self) -> str:
        """What a direct message says, without the line that tells which room it is about."""
        head, _, rest = self.text.partition("\n")
        return rest if self.about is not None and head.startswith("About #") else self.text

    @property
    def buttons(self) -> tuple[Button, ...]:
        """The taps that it offers, in their order."""
        return tuple(
            Button(str(b["label"]), str(b["value"]), str(b.get("style", "")))
            for b in self.content.get(BUTTONS, ())
        )

    def tap(self, label: str) -> str | None:
        """The reaction that stands for a button: empty for one that is typed, None where there is no such one."""
        found = (b for b in self.content.get(BUTTONS, ()) if str(b["label"]).casefold() == label.casefold())
        return next((str(b.get("emoji", "")) for b in found), None)

    def offers(self, emoji: str) -> bool:
        """Whether a reaction is that of a button, of today's or of one that it had."""
        known = (b.get("emoji") for name in (BUTTONS, RETIRED) for b in self.content.get(name, ()))
        return folded(emoji) in {folded(str(tap)) for tap in known if tap}

    @property
    def mark(self) -> Mapping[str, Any]:
        """What the bot keeps in it for itself: key, card."""
        found = self.content.get(MARK)
        return found if isinstance(found, dict) else {}

    @property
    def file(self) -> tuple[str, str] | None:
        """Name and mxc:// address of the file in it."""
        if self.content.get("msgtype") not in _FILES:
            return None
        address = self.content.get("url") or self.content["file"]["url"]
        return str(self.content.get("filename", self.body)), str(address)

    def opened(self, data: bytes) -> bytes:
        """The bytes of its file, of what stands at its address."""
        sealed = self.content.get("file")
        if sealed is None:
            return data
        return decrypt_attachment(data, sealed["key"]["k"], sealed["hashes"]["sha256"], sealed["iv"])


@dataclass
class Room:
    """A room that the account is in."""

    id: str
    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # the events that were read
    direct: bool = False  # an invitation said that this is for direct messages

    def of(self, kind: str, key: str = "") -> dict[str, Any]:
        """The content of a state event; empty where there is none."""
        return self.state.get((kind, key), {})

    @property
    def joined(self) -> frozenset[str]:
        return frozenset(
            user
            for (kind, user), content in self.state.items()
            if kind == "m.room.member" and content.get("membership") == "join"
        )

    @property
    def people(self) -> frozenset[str]:
        """Who is in it or invited."""
        members = ((user, content) for (kind, user), content in self.state.items() if kind == "m.room.member")
        return frozenset(user for user, content in members if content.get("membership") in ("join", "invite"))

    @property
    def name(self) -> str:
        """What people call it, without #."""
        alias = str(self.of("m.room.canonical_alias").get("alias") or "")
        return str(self.of("m.room.name").get("name") or alias.partition(":")[0]).removeprefix("#")

    @property
    def archived(self) -> bool:
        """Whether people can write no more."""
        levels = self.of("m.room.power_levels")
        return int(levels.get("events_default", 0)) > int(levels.get("users_default", 0))

    @property
    def encrypted(self) -> bool:
        """Whether what is said in it has to be encrypted."""
        return ("m.room.encryption", "") in self.state

    @property
    def private(self) -> bool:
        """Whether one has to be invited."""
        return self.of("m.room.join_rules").get("join_rule") != "public"

    def take(self, event: Event) -> Event | None:
        """Take an event in; None for one that was known."""
        if event["event_id"] in self.seen:
            return None
        self.seen.add(event["event_id"])
        if "state_key" in event:
            self.state[event["type"], event["state_key"]] = event["content"]
            self.direct = self.direct or bool(event["content"].get("is_direct"))
        elif event["type"] == "m.room.message":
            self._message(event)
        elif event["type"] == "m.reaction":
            self._reaction(event)
        elif event["type"] == "m.room.redaction":
            self._redaction(event)
        return event

    def _message(self, event: Event) -> None:
        content, relation = dict(event["content"]), event["content"].get("m.relates_to") or {}
        if relation.get("rel_type") == "m.replace":
            post = self.posts.get(relation.get("event_id", ""))
            if post is not None and post.sender == event["sender"] and not post.deleted:
                post.content, post.edited = dict(content.get("m.new_content") or {}), True
            return
        thread = relation.get("event_id") if relation.get("rel_type") == "m.thread" else None
        self.posts[event["event_id"]] = Post(
            id=event["event_id"],
            room=self.id,
            sender=event["sender"],
            at=event["origin_server_ts"],
            content=content,
            thread=thread,
            deleted="redacted_because" in event.get("unsigned", {}),
        )

    def _reaction(self, event: Event) -> None:
        relation = event["content"].get("m.relates_to") or {}
        if (post := self.posts.get(relation.get("event_id", ""))) is not None:
            post.reactions[event["event_id"]] = (relation.get("key", ""), event["sender"])

    def _redaction(self, event: Event) -> None:
        target = event["content"].get("redacts") or event.get("redacts") or ""
        if (post := self.posts.get(target)) is not None:
            post.content, post.deleted = {}, True
        for post in self.posts.values():
            post.reactions.pop(target, None)


class View:
    """An account's rooms; invitations are accepted as soon as they are seen. It blocks: no loop serves it.

    With the keys of its `device` it opens what is encrypted.
    """

    def __init__(self, server: Synapse, account: Account, device: Device | None = None) -> None:
        self.account = account
        self.rooms: dict[str, Room] = {}
        self.events: list[tuple[Room, Event]] = []  # every event that was read, in the order of the readings
        self.unreadable: list[Event] = []  # what it has no key to
        self.bare: list[Event] = []  # messages in the clear where they have to be encrypted
        self._server = server
        self._device = device
        self._since: str | None = None
        self._position = -1

    def refresh(self) -> None:
        """Read what is new."""
        if (position := self._server.position) == self._position:
            return
        self._position = position
        found: list[tuple[Room, Event]] = []
        while True:
            params = {"since": self._since} if self._since else {}
            said = self._server.call("GET", "/sync", self.account, timeout=0, filter=FILTER, **params)
            self._since = said["next_batch"]
            for event in said.get("to_device", {}).get("events", ()) if self._device else ():
                self._device.takes(event)
            rooms = said.get("rooms", {})
            for ident, joined in rooms.get("join", {}).items():
                found += self._joined(ident, joined)
            for ident in rooms.get("leave", {}):
                self.rooms.pop(ident, None)
            if not [self._accept(ident) for ident in rooms.get("invite", {})]:
                break
        self.events += sorted(found, key=lambda pair: pair[1]["origin_server_ts"])

    def join(self, room: str) -> None:
        """Go into a room that is open, and see what is there."""
        self._server.call("POST", f"/join{path(room)}", self.account)
        self.refresh()

    def posts(self, room: str | None = None) -> list[Post]:
        """The messages, of one room or of all, in the order in which they happened."""
        rooms = self.rooms.values() if room is None else filter(None, [self.rooms.get(room)])
        return sorted((post for found in rooms for post in found.posts.values()), key=lambda p: p.at)

    def post(self, ident: str) -> Post | None:
        """A message by its event id."""
        return next((r.posts[ident] for r in self.rooms.values() if ident in r.posts), None)

    def _joined(self, ident: str, joined: Mapping[str, Any]) -> Iterator[tuple[Room, Event]]:
        room = self.rooms.setdefault(ident, Room(ident))
        timeline = joined.get("timeline", {}).get("events", [])
        for event in (*joined.get("state", {}).get("events", []), *timeline):
            if (new := room.take(self._opened(room, event))) is not None:
                yield room, new

    def _opened(self, room: Room, event: Event) -> Event:
        if event["event_id"] in room.seen or not event["content"]:  # known, or redacted
            return event
        if event["type"] == "m.room.message" and room.encrypted:
            self.bare.append(event)
        if event["type"] != ENCRYPTED:
            return event
        opened = self._device.opens(room.id, event) if self._device is not None else None
        if opened is None:
            self.unreadable.append(event)
        return opened or event

    def _accept(self, room: str) -> bool:
        try:
            self._server.call("POST", f"/join{path(room)}", self.account)
        except MatrixError as error:
            if error.status not in (403, 404):  # taken back meanwhile
                raise
        return True


def folded(emoji: str) -> str:
    """A reaction without the character that asks for its coloured form."""
    return emoji.replace("\ufe0f", "")


def without_buttons(text: str, labels: list[str]) -> str:
    """`text` without the line at its end that names what can be tapped."""
    head, _, last = text.rpartition("\n")
    named = bool(labels) and last.count(" · ") == len(labels) - 1 and all(f"{x} (" in last for x in labels)
    return head if named else text
