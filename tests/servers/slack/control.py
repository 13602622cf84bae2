"""The control API: POST /_control/NAME sets the workspace up, has people act, and shows what is there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from tests.servers.slack.acting import NotPossibleError
from tests.servers.slack.acts import Acts
from tests.servers.slack.acts_interactive import Interactions
from tests.servers.slack.acts_workspace import Administration
from tests.servers.slack.api_channels import joined
from tests.servers.slack.blocks import buttons
from tests.servers.slack.faults import Faults
from tests.servers.slack.limits import RateLimits
from tests.servers.slack.messages import card_of, title
from tests.servers.slack.readable import message_text, readable
from tests.servers.slack.shapes import view_shape
from tests.servers.slack.state import SLACKBOT, Channel, Group, Json, Message, User, Workspace

OWN = frozenset({"channel_topic", "channel_purpose", "tombstone"})  # what the channel says itself


class Setup:
    """What is in the workspace, and how it behaves."""

    def __init__(self, workspace: Workspace, faults: Faults, rates: RateLimits) -> None:
        self.workspace = workspace
        self._faults, self._rates = faults, rates

    async def reset(
        self, *, rate_limits: bool = False, clock_offset: float = 0.0, scopes: list[str] | None = None
    ) -> Json:
        """A fresh workspace; with rate limits only where asked for, and all scopes unless some are given."""
        self._faults.set({})
        await self.workspace.deliver.reset()
        self.workspace.reset(clock_offset=clock_offset, scopes=None if scopes is None else frozenset(scopes))
        self._rates.reset(on=rate_limits)
        return {}

    async def add_user(self, *, id: str, name: str, **facts: Any) -> Json:
        """An account; of one that is there already it is what it looks like from now on."""
        if facts.get("is_bot"):
            facts.setdefault("bot_id", self.workspace.new_id("B"))
        self.workspace.add_user(User(id=id, name=name, **facts))
        return {"id": id}

    async def add_channel(
        self,
        *,
        name: str,
        is_private: bool = False,
        members: list[str] | None = None,
        id: str | None = None,
        bot: bool = True,
        purpose: str = "",
    ) -> Json:
        """A channel with these members and, unless bot is false, the bot."""
        if self.workspace.channel_named(name) is not None:
            raise NotPossibleError(f"there is a channel #{name} already")
        if unknown := sorted(set(members or ()) - set(self.workspace.users)):
            raise NotPossibleError(f"there is no account {', '.join(unknown)}")
        people = [*dict.fromkeys(members or ()), *([self.workspace.app.bot_user] if bot else ())]
        channel = Channel(
            id=id or self.workspace.new_id("C"),
            name=name,
            creator=people[0] if members else SLACKBOT,
            created=int(self.workspace.now()),
            is_private=is_private,
            members=people,
            purpose=purpose,
        )
        return {"id": self.workspace.add_channel(channel).id}

    async def group(
        self, *, id: str, handle: str, name: str, users: list[str], disabled: bool = False
    ) -> Json:
        """A user group, new or changed."""
        now = int(self.workspace.now())
        self.workspace.groups[id] = Group(
            id=id, handle=handle, name=name, users=users, created=now, disabled=disabled
        )
        return {"id": id}

    async def app(self, *, events_url: str | None = None) -> Json:
        """How the app takes deliveries: at an address, or (without one) in Socket Mode."""
        self.workspace.app.events_url = events_url
        ack = await self.workspace.deliver.configured()
        return {"acknowledged": ack.acknowledged, "status": ack.status, "error": ack.error}

    async def faults(self, **asked: Any) -> Json:
        """Faults from now on, see faults.py; returns how many of each kind there were before."""
        done = dict(self._faults.done)
        return {"now": self._faults.set(asked), "done": done}

    async def forward(self, *, seconds: float) -> Json:
        """Move the stand-in's clock, and deliver what has become due by that."""
        self.workspace.forward(seconds)
        await self.workspace.deliver.clock_moved()
        return {"now": self.workspace.now()}

    async def bot_joins(self, *, channel: str) -> Json:
        """The bot is in a channel from now on, as after /invite."""
        found = self.workspace.channels[channel]
        if self.workspace.app.bot_user not in found.members:
            joined(self.workspace, found, self.workspace.app.bot_user)
        return {}


class Looks:
    """What people see, and what the bot did."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    async def history(self, *, channel: str, reader: str, own: bool = False) -> Json:
        """Every message of a channel as one reader sees it, oldest first, answers in threads included.

        With `own` also what the channel says itself: that its topic was set, that a root was deleted.
        """
        found = self.workspace.messages[channel].values()
        seen = [m for m in found if m.only_for in ("", reader) and (own or m.subtype not in OWN)]
        return {"messages": [self._seen(m) for m in seen]}

    async def newest(
        self,
        *,
        card: str | None = None,
        containing: str | None = None,
        headed: str | None = None,
        channel: str | None = None,
        button: str | None = None,
        author: str | None = None,
        seen_by: str | None = None,
    ) -> Json:
        """The newest message that fits everything asked; what one person sees only with `seen_by`.

        `containing` is looked for anywhere in its text, `headed` in the first line.
        """
        wanted = containing.casefold() if containing is not None else None
        for message in self._newest_first(channel):
            if message.only_for not in ("", seen_by) or message.subtype in OWN:
                continue
            if card not in (None, card_of(message)) or author not in (None, message.user):
                continue
            labels = [b["text"]["text"].casefold() for _, b in buttons(message.blocks)]
            if button is not None and button.casefold() not in labels:
                continue
            text = message_text(message, self.workspace)
            if headed is not None and headed not in text.partition("\n")[0]:
                continue
            if wanted is None or wanted in text.casefold():
                return {"message": self._seen(message)}
        return {"message": None}

    async def channels(self) -> Json:
        """Every conversation."""
        return {
            "channels": [
                {
                    "id": c.id,
                    "name": title(self.workspace, c.id),
                    "is_private": c.is_private,
                    "is_im": c.is_im,
                    "is_archived": c.archived,
                    "user": c.user,
                    "members": c.members,
                    "topic": readable(c.topic, self.workspace, mrkdwn=False),
                    "purpose": readable(c.purpose, self.workspace, mrkdwn=False),
                    "pins": c.pins,
                    "bookmarks": [{"title": b["title"], "link": b["link"]} for b in c.bookmarks],
                }
                for c in self.workspace.channels.values()
            ]
        }

    async def views(self, *, user: str) -> Json:
        """The modal on top and the published home of somebody; None where there is none."""
        stack, home = self.workspace.modals.get(user, []), self.workspace.homes.get(user)
        return {
            "modal": view_shape(self.workspace, stack[-1]) if stack else None,
            "home": view_shape(self.workspace, home) if home is not None else None,
        }

    async def journal(self, *, since: int = 0) -> Json:
        """What the bot did after entry `since`, in order."""
        return {"journal": self.workspace.journal[since:]}

    async def violations(self) -> Json:
        """Every invalid request that the app made."""
        return {"violations": self.workspace.violations}

    def _newest_first(self, channel: str | None) -> list[Message]:
        stores = self.workspace.messages
        chosen = stores.values() if channel is None else [stores.get(channel, {})]
        return sorted((m for store in chosen for m in store.values()), key=lambda m: m.ts, reverse=True)

    def _seen(self, message: Message) -> Json:
        files = [self.workspace.files[f] for f in message.files]
        shown = [
            {"label": b["text"]["text"], "value": b.get("value", ""), "style": b.get("style", "")}
            for _, b in buttons(message.blocks)
        ]
        return {
            "channel": message.channel,
            "ts": message.ts,
            "user": message.user,
            "subtype": message.subtype,
            "text": message_text(message, self.workspace),
            "thread_ts": message.thread_ts if message.is_reply else None,
            "buttons": shown,
            "metadata": message.metadata,
            "card": card_of(message),
            "files": {f.name: base64.b64encode(f.data or b"").decode() for f in files},
            "edited": message.edited,
            "ephemeral": bool(message.only_for),
            "pinned": message.ts in self.workspace.channels[message.channel].pins,
            "reactions": {name: users for name, users in message.reactions.items() if users},
        }


def routes(workspace: Workspace, faults: Faults, rates: RateLimits) -> list[web.RouteDef]:
    """POST /_control/NAME: 200 with what was asked for, 400 with a sentence where it cannot be."""
    handlers: dict[str, Callable[..., Any]] = {}
    people = [Acts(workspace), Interactions(workspace), Administration(workspace)]
    for room in (Setup(workspace, faults, rates), *people, Looks(workspace)):
        handlers |= {name: getattr(room, name) for name in vars(type(room)) if not name.startswith("_")}

    async def control(request: web.Request) -> web.Response:
        try:
            asked = await request.json() if request.can_read_body else {}
            said = await _asked(handlers, request.match_info["name"], asked)
        except (NotPossibleError, json.JSONDecodeError) as error:
            return web.json_response({"ok": False, "error": str(error)}, status=400)
        return web.json_response({"ok": True, **said})

    return [web.post("/_control/{name}", control)]


async def _asked(handlers: Mapping[str, Callable[..., Any]], name: str, asked: Json) -> Json:
    """Call the handler of that name; wrong arguments and unknown ids are told to whoever asked."""
    if name not in handlers:
        raise NotPossibleError(f"there is no control called {name}")
    try:
        return dict(await handlers[name](**asked))
    except TypeError as error:
        raise NotPossibleError(f"{name}: {error}") from error
    except KeyError as error:
        raise NotPossibleError(f"{name}: there is no {error}") from error
