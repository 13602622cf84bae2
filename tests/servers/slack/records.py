"""The records of the workspace: accounts, channels, messages, files, views, the app."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

TEAM = "T0WATCH"
BOT_USER = "U0WATCHBELL"
BOT_ID = "B0WATCHBELL"
SLACKBOT = "USLACKBOT"
APP_ID = "A0WATCHBELL"

# What the app may do unless `reset` says otherwise: the scopes of its manifest (api.slack.com/scopes).
SCOPES = frozenset(
    {
        "app_mentions:read",
        "bookmarks:read",
        "bookmarks:write",
        "channels:history",
        "channels:join",
        "channels:manage",
        "channels:read",
        "chat:write",
        "commands",
        "files:read",
        "files:write",
        "groups:history",
        "groups:read",
        "groups:write",
        "im:history",
        "im:read",
        "im:write",
        "metadata.message:read",
        "pins:read",
        "pins:write",
        "reactions:read",
        "reactions:write",
        "usergroups:read",
        "users:read",
    }
)


@dataclass(slots=True, kw_only=True)
class User:
    """An account (api.slack.com/types/user)."""

    id: str
    name: str
    real_name: str = ""
    team_id: str = TEAM
    is_bot: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False
    deleted: bool = False
    bot_id: str = ""
    updated: int = 0


@dataclass(slots=True, kw_only=True)
class Channel:
    """A conversation (api.slack.com/types/conversation); `user` is the other side of a direct message."""

    id: str
    name: str
    creator: str
    created: int
    is_private: bool = False
    is_im: bool = False
    user: str = ""
    members: list[str] = field(default_factory=list)
    topic: str = ""
    purpose: str = ""
    archived: bool = False
    pins: list[str] = field(default_factory=list)  # ts, newest last
    bookmarks: list[Json] = field(default_factory=list)
    previous_names: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The `channel_type` of its message events."""
        if self.is_im:
            return "im"
        return "group" if self.is_private else "channel"


@dataclass(slots=True, kw_only=True)
class Message:
    """A message; `only_for` is the one reader of an ephemeral one, `bot_id` whose app posted it."""

    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    thread_ts: str | None = None
    broadcast: bool = False
    subtype: str = ""
    bot_id: str = ""
    app_id: str = ""
    metadata: Json | None = None
    files: list[str] = field(default_factory=list)
    edited: Json | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    only_for: str = ""
    client_msg_id: str = ""
    attachments: list[Json] = field(default_factory=list)  # what Slack unfurled

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread without being its root."""
        return self.thread_ts is not None and self.thread_ts != self.ts


@dataclass(slots=True, kw_only=True)
class File:
    """A file; `shares` are the (channel, ts) where it was posted."""

    id: str
    name: str
    title: str
    user: str
    created: int
    length: int
    data: bytes | None = None
    mimetype: str = "text/plain"
    complete: bool = False
    shares: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class View:
    """A modal that is open, or a published home; `view` is as the app gave it."""

    id: str
    hash: str
    user: str
    view: Json
    root_view_id: str
    previous_view_id: str | None = None
    external_id: str = ""

    @property
    def type(self) -> str:
        """`modal` or `home`."""
        return str(self.view["type"])


@dataclass(slots=True, kw_only=True)
class Group:
    """A user group (api.slack.com/types/usergroup)."""

    id: str
    handle: str
    name: str
    users: list[str]
    created: int = 0
    disabled: bool = False


@dataclass(slots=True, kw_only=True)
class App:
    """The app under test. `events_url` is where HTTP mode delivers; None means Socket Mode."""

    id: str = APP_ID
    bot_user: str = BOT_USER
    bot_id: str = BOT_ID
    bot_token: str = "xoxb-test"
    app_token: str = "xapp-test"
    signing_secret: str = "shh"
    verification_token: str = "verification"
    scopes: frozenset[str] = SCOPES
    events_url: str | None = None


@dataclass(slots=True, kw_only=True)
class Trigger:
    """A trigger_id: good for one modal within three seconds."""

    id: str
    user: str
    until: float
    used: bool = False


@dataclass(slots=True, kw_only=True)
class ResponseUrl:
    """What a response_url answers to: five times within thirty minutes."""

    key: str
    user: str
    channel: str
    message_ts: str | None
    until: float
    left: int = 5


@dataclass(frozen=True, slots=True)
class Ack:
    """How a delivery ended. `body` is what the app acknowledged with; `error` why it counts as failed."""

    acknowledged: bool
    status: int | None = None
    body: Json | None = None
    error: str = ""
