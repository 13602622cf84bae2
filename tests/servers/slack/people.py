"""The people of the stand-in's workspace, as rehearsals have them act: by name, each by a Slack user's means."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.chat import Button
from bot.platforms.console import Output
from bot.platforms.console_people import NotPossibleError
from bot.platforms.slack_manifest import command_names
from tests.servers.slack_server import SlackServer, StandInError

ANYTHING = "/wb"  # the command that takes every other one behind it
_NAMED = re.compile(r"/([a-z][\w-]*)\s*(.*)", re.DOTALL | re.IGNORECASE)

# The names under which Slack's picker offers what scripts react with (api.slack.com/methods/reactions.add).
EMOJI = {
    "✅": "white_check_mark",
    "❌": "x",
    "📌": "pushpin",
    "👍": "+1",
    "✔": "heavy_check_mark",
    "☑": "ballot_box_with_check",
    "👀": "eyes",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as somebody sees it; the id is channel and ts."""

    id: str
    text: str
    buttons: tuple[Button, ...] = ()


def slack_id(name: str) -> str:
    """The member id that a person of the configuration has in the stand-in, as in U0ALICE00."""
    return f"U0{name.upper():0<7}"


class SlackPeople:
    """Acts through the stand-in; what Slack or the stand-in does not allow raises NotPossibleError.

    Who types `/name …` uses the slash command; what has to stay a message (in a thread, or because somebody
    edits or deletes it later: it holds one of `kept`) is typed as `!name …`, and looks like `/name …` here.
    """

    def __init__(self, server: SlackServer, now: Callable[[], datetime], kept: Collection[str] = ()) -> None:
        self._server = server
        self._now = now
        self._kept = [text.casefold() for text in kept]
        self._commands = {f"/{name.removeprefix('/')}" for name in command_names()}
        self._signed: set[str] = set()  # messages typed with ! in place of /
        self._observers: list[Callable[[Output], None]] = []

    def joins(self, people: Iterable[tuple[str, str]]) -> None:
        """Accounts for people of the configuration: names and what is displayed."""
        for name, display in people:
            self._server.call("add_user", id=slack_id(name), name=name, real_name=display)

    # -- acts -----------------------------------------------------------------------------------------

    async def says(self, user: str, channel: str, text: str, thread: str | None = None) -> str:
        """Type a line; the id of its message, or nothing for a slash command, which leaves none."""
        if text.startswith("/") and thread is None and not self._stays(text):
            command, rest = self._slash(text)
            await self._act("command", user=slack_id(user), channel=channel, command=command, text=rest)
            await self._fill_in(slack_id(user))
            return ""
        typed = f"!{text[1:]}" if text.startswith("/") else text
        asked = {"user": slack_id(user), "channel": channel, "text": typed}
        if thread is not None:
            asked["thread_ts"] = _ts(thread)
        ident = f"{channel}:{(await self._act('says', **asked))['ts']}"
        if typed != text:
            self._signed.add(ident)
        return ident

    async def reacts(self, user: str, message_id: str, emoji: str, added: bool = True) -> None:
        """Add a reaction, or take it back."""
        plain = emoji.strip().replace("\ufe0f", "")
        if plain not in EMOJI:
            raise NotPossibleError(f"the picker of this workspace offers no {emoji}")
        await self._act("reacts", user=slack_id(user), **_place(message_id), name=EMOJI[plain], added=added)

    async def presses(self, user: str, message_id: str, label: str) -> None:
        """Press the button that is labelled so."""
        await self._act("presses", user=slack_id(user), **_place(message_id), label=label)

    async def edits(self, user: str, message_id: str, text: str) -> None:
        """Change a message of one's own."""
        if message_id in self._signed and text.startswith("/"):
            text = f"!{text[1:]}"
        await self._act("edits", user=slack_id(user), **_place(message_id), text=text)

    async def deletes(self, user: str, message_id: str) -> None:
        """Delete a message of one's own."""
        await self._act("deletes", user=slack_id(user), **_place(message_id))

    # -- looking --------------------------------------------------------------------------------------

    def channel_named(self, name: str) -> str | None:
        """The id of the channel called so, with or without `#`; `@alice`: her messages with the bot."""
        wanted = name.removeprefix("#")
        channels = self._server.call("channels")["channels"]
        if wanted.startswith("@"):
            user = slack_id(wanted[1:])
            return next((c["id"] for c in channels if c.get("is_im") and c.get("user") == user), None)
        found = [c for c in channels if c["name"] == wanted and not c.get("is_im")]
        return min(found, key=lambda c: bool(c.get("is_archived")))["id"] if found else None

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
        """The newest message that fits everything asked; whispers only with `seen_by` their reader."""
        asked: dict[str, Any] = {"card": card, "containing": containing, "channel": channel, "button": button}
        asked["author"] = slack_id(author) if author is not None else None
        asked["seen_by"] = slack_id(seen_by) if seen_by is not None else None
        if author is not None and containing is not None and containing.startswith("/"):
            asked["containing"] = f"!{containing[1:]}"
        given = {name: value for name, value in asked.items() if value is not None}
        message = self._server.call("newest", **given)["message"]
        if message is None:
            return None
        ident = f"{message['channel']}:{message['ts']}"
        text = f"/{message['text'][1:]}" if ident in self._signed else message["text"]
        buttons = tuple(Button(b["label"], b.get("value", "")) for b in message["buttons"])
        return Shown(ident, text, buttons)

    # -- the telephone --------------------------------------------------------------------------------

    def observe(self, callback: Callable[[Output], None]) -> None:
        """Call back with every page from now on."""
        self._observers.append(callback)

    def page(self, person: str, method: str, text: str) -> None:
        """Somebody's telephone rings; it is only shown that it does."""
        for callback in self._observers:
            callback(Output(at=self._now(), do="page", channel=None, text=text, to=(person,)))

    # -- inside ---------------------------------------------------------------------------------------

    def _stays(self, text: str) -> bool:
        return any(kept in text.casefold() for kept in self._kept)

    def _slash(self, text: str) -> tuple[str, str]:
        """The slash command and what stands behind it."""
        found = _NAMED.fullmatch(text)
        if found is None:
            raise NotPossibleError(f"Slack knows no command in {text}")
        name, rest = f"/{found[1].lower()}", found[2]
        return (name, rest) if name in self._commands else (ANYTHING, f"{found[1]} {rest}".rstrip())

    async def _fill_in(self, user: str) -> None:
        """A command without its text may open a form; it is sent as it stands, which says no more either."""
        modal = self._server.call("views", user=user)["modal"]
        if modal is not None:
            said = await self._act("submits", user=user, view_id=modal["id"], values={})
            if said["errors"]:
                raise NotPossibleError(f"the form says {said['errors']}")

    async def _act(self, act: str, /, **asked: Any) -> Any:
        await self._server.set_clock(self._now().timestamp())
        try:
            said = await self._server.act(act, **asked)
        except StandInError as error:
            raise NotPossibleError(str(error)) from error
        if not said.get("acknowledged", True) and act in ("command", "presses"):
            raise NotPossibleError(
                f"Slack says that {asked.get('command', 'it')} failed: {said.get('error')}"
            )
        return said


def _ts(message_id: str) -> str:
    return message_id.rpartition(":")[2]


def _place(message_id: str) -> dict[str, str]:
    channel, _, ts = message_id.rpartition(":")
    return {"channel": channel, "ts": ts}
