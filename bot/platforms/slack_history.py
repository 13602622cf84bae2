"""What stands in a Slack channel: what people did there lately, and the bot's own message with a key."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bot.chat import Edit, Incoming, Reaction, Request
from bot.platforms.slack_blocks import BLOCK_ID
from bot.platforms.slack_client import RefusedCallError, SlackClient
from bot.platforms.slack_decode import edit_id
from bot.platforms.slack_directory import Directory

ROOTS = 86_400.0  # seconds before the time asked for in which a thread may have begun
PAGE, FIND_PAGES, HISTORY_PAGES = 200, 5, 100
_RECENT = (
    3_600.0  # seconds: what a crash left unfinished is no older, and threads are read from their beginning
)
# Seconds that a look is good for: nobody else has the rows of the outbox that are looked for (their lease is longer).
GOOD = 30.0
_PIN, _PIN_NAME = "📌", "pushpin"

Message = dict[str, Any]
_At = tuple[int, int, int]


class Decoder(Protocol):
    """Reads a message as it is read when it comes in live."""

    def incoming_of_message(self, event: dict[str, Any], channel: str) -> Incoming | None: ...


@dataclass(slots=True)
class _Look:
    """The ts of the bot's messages that a look has met, by key; `whole` once it met all there are."""

    until: float
    met: dict[str, str] = field(default_factory=dict)
    whole: bool = False


class History:
    """Reads channels (conversations.history) and threads (conversations.replies)."""

    def __init__(
        self,
        api: SlackClient,
        directory: Directory,
        wall: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._directory = directory
        self._wall = wall
        self._monotonic = monotonic
        self._looks: dict[tuple[str, str | None], _Look] = {}

    async def find(self, channel: str, key: str, thread: str | None) -> str | None:
        """The ts of the bot's message with that key: in the thread, if one is given, then in the channel.

        After a crash all that was under way is looked for, and Slack allows 50 looks a minute ("Rate limits"): one
        look answers for all of a channel until `forget`.
        """
        look, short = self._look(channel, thread), key[:BLOCK_ID]
        if short in look.met or look.whole:
            return look.met.get(short)
        await self._directory.ready()
        places: list[tuple[str, dict[str, Any]]] = [("conversations.history", {})]
        if thread is not None:
            recent = _stamp(self._wall() - _RECENT)
            places = [
                ("conversations.replies", {"ts": thread, "oldest": recent}),
                ("conversations.replies", {"ts": thread}),
                *places,
            ]
        for method, place in places:
            await self._meet_own(method, channel, place, look, short)
            if short in look.met:
                return look.met[short]
        look.whole = True
        return None

    def forget(self, channel: str) -> None:
        """A message may have come that no look has met: one was posted, and there was no answer."""
        self._looks = {place: look for place, look in self._looks.items() if place[0] != channel}

    async def happened(self, channel: str, seconds: float, decoder: Decoder) -> list[Incoming]:
        """What people wrote, edited and marked with 📌 in the last so many seconds, oldest first.

        Whoever marked a message is known, but not when: all the marks count of messages that are a day older.
        """
        now = self._wall()
        since = now - seconds
        await self._directory.ready()
        found: dict[str, Message] = {}
        for message in await self._messages("conversations.history", channel, oldest=_stamp(since - ROOTS)):
            found[message["ts"]] = message
            if message.get("reply_count") and float(message.get("latest_reply") or 0) >= since:
                replies = await self._replies(channel, message["ts"], since)
                found.update({reply["ts"]: reply for reply in replies})
        await self._meet(found.values())
        told: list[tuple[_At, Incoming]] = []
        for message in found.values():
            told += self._acts(message, channel, since, now, decoder)
        return [act for _, act in sorted(told, key=lambda entry: entry[0])]

    # -- inside -----------------------------------------------------------------------------------

    def _look(self, channel: str, thread: str | None) -> _Look:
        now = self._monotonic()
        self._looks = {place: look for place, look in self._looks.items() if look.until > now}
        return self._looks.setdefault((channel, thread), _Look(now + GOOD))

    async def _meet_own(
        self, method: str, channel: str, place: Mapping[str, Any], look: _Look, key: str
    ) -> None:
        """Look for the bot's messages, the newest first, until the one with that key was met."""
        messages = self._api.items(
            method,
            "messages",
            pages=FIND_PAGES,
            channel=channel,
            limit=PAGE,
            include_all_metadata=True,
            **place,
        )
        try:
            async with aclosing(messages) as found:
                async for message in found:
                    if not self._ours(message):
                        continue
                    for known in _keys(message):
                        look.met.setdefault(known, str(message["ts"]))
                    if key in look.met:
                        return
        except RefusedCallError as refusal:
            if refusal.code != "thread_not_found":
                raise

    async def _messages(self, method: str, channel: str, **arguments: Any) -> list[Message]:
        found = self._api.items(
            method, "messages", pages=HISTORY_PAGES, channel=channel, limit=PAGE, **arguments
        )
        async with aclosing(found) as messages:
            return [message async for message in messages]

    async def _replies(self, channel: str, root: str, since: float) -> list[Message]:
        try:
            found = await self._messages("conversations.replies", channel, ts=root, oldest=_stamp(since))
        except RefusedCallError as refusal:
            if refusal.code != "thread_not_found":  # deleted between the two calls
                raise
            return []
        return [message for message in found if message["ts"] != root]

    async def _meet(self, messages: Iterable[Message]) -> None:
        """Make certain who everybody is, before what they did is read."""
        users = {message.get("user") for message in messages}
        users |= {user for message in messages for user in _pinned_by(message)}
        await self._directory.know(*sorted(user for user in users if user))

    def _ours(self, message: Message) -> bool:
        bot_id = message.get("bot_id")
        return message.get("user") == self._directory.user_id or bool(
            bot_id and bot_id == self._directory.bot_id
        )

    def _acts(
        self, message: Message, channel: str, since: float, now: float, decoder: Decoder
    ) -> list[tuple[_At, Incoming]]:
        ts = str(message["ts"])
        act = decoder.incoming_of_message(message, channel)
        told: list[tuple[_At, Incoming]] = []
        if isinstance(act, Request):
            if float(ts) >= since:
                told.append((_at(ts, 0), act))
            edited = str((message.get("edited") or {}).get("ts") or "")
            if edited and float(edited) >= since:
                # Slack counts edits in whole seconds: one in the message's own second still comes after it.
                told.append((max(_at(edited, 1), _at(ts, 1)), _edit(act, ts, edited, now)))
        age = max(0.0, min(now - float(ts), now - since))
        marks = [self._mark(channel, ts, user, age) for user in _pinned_by(message)]
        return told + [(_at(ts, 2), mark) for mark in marks if mark.user != self._directory.user_id]

    def _mark(self, channel: str, ts: str, user: str, age: float) -> Reaction:
        return Reaction(
            platform="slack",
            event_id=f"{channel}:{ts}:{user}:{_PIN_NAME}:+:seen",
            channel=channel,
            user=user,
            age=age,
            barred=self._directory.barred(user),
            message_id=ts,
            emoji=_PIN,
            added=True,
        )


def _edit(request: Request, ts: str, edited: str, now: float) -> Edit:
    common = replace(
        request,
        event_id=edit_id(request.channel, ts, edited, request.text),
        age=max(0.0, now - float(edited)),
    )
    return Edit(
        platform=common.platform,
        event_id=common.event_id,
        channel=common.channel,
        user=common.user,
        age=common.age,
        barred=common.barred,
        message_id=ts,
        text=common.text,
    )


def _keys(message: Message) -> Iterator[str]:
    """What a message may have been posted with; what came with a file has its key as the id of a block."""
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    yield str(payload.get("key") or "")[:BLOCK_ID]
    yield from (str(block.get("block_id") or "") for block in message.get("blocks") or ())


def _pinned_by(message: Message) -> list[str]:
    found = (r for r in message.get("reactions") or () if r.get("name") == _PIN_NAME)
    return [str(user) for reaction in found for user in reaction.get("users") or ()]


def _at(ts: str, order: int) -> _At:
    """A place in time, exactly: a ts has more digits than a float keeps apart."""
    seconds, _, micros = ts.partition(".")
    return int(seconds), int(micros or 0), order


def _stamp(moment: float) -> str:
    return f"{max(0.0, moment):.6f}"
