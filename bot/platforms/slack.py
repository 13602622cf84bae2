"""Slack as the bot sees it: the Platform port over the Web API; what comes in is in slack_inbound.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import structlog
from aiohttp import web

from bot.chat import Content, DeliveryError, House, Incoming, Marks, Receive, RetryLaterError, Upload
from bot.config import Settings
from bot.platforms.slack_blocks import WHOLE, Shown, shown
from bot.platforms.slack_channels import Channels
from bot.platforms.slack_client import RefusedCallError, SlackClient, UnavailableError
from bot.platforms.slack_config import API
from bot.platforms.slack_directory import Directory
from bot.platforms.slack_files import Files
from bot.platforms.slack_history import History
from bot.platforms.slack_inbound import Inbound
from bot.platforms.slack_pace import Pacer
from bot.platforms.slack_text import SlackMarks, emoji_in, emoji_out
from bot.recent import Recent

_log = structlog.get_logger()
_REST = "The whole text:"
_TOO_LONG = frozenset({"msg_blocks_too_long", "msg_too_long"})
_ELSEWHERE = frozenset({"user_not_in_channel", "channel_not_found", "not_in_channel"})
_Sent = TypeVar("_Sent")


def build(section: Mapping[str, Any], settings: Settings, data: Path) -> Slack:
    """The adapter that `platforms.slack` of the configuration asks for; it keeps nothing in `data`."""
    people = {p.ids[Slack.name]: name for name, p in settings.people.items() if Slack.name in p.ids}
    return Slack(
        bot_token=section["bot_token"].get_secret_value(),
        app_token=_secret(section, "app_token"),
        signing_secret=_secret(section, "signing_secret"),
        people=people,
        zone=ZoneInfo(settings.zone),
        prefix=section.get("prefix") or "",
        guests=section.get("guests") or (),
        base_url=section.get("api") or API,
    )


def _secret(section: Mapping[str, Any], name: str) -> str | None:
    found = section.get(name)
    return found.get_secret_value() if found is not None else None


class Slack:
    """One Slack workspace. User ids, channel ids and message ids (`ts`) are Slack's own.

    With `app_token` things come in by Socket Mode, else with `signing_secret` by HTTP (`routes`). `people` is
    Slack user id → name of the configuration, `guests` are user ids of guests who may act, `wall` the clock (UTC,
    seconds) that `ts` are compared with, `pace` seconds between two messages into one channel (0: no pacing).
    What waits for Slack waits by `monotonic` and `sleep`.
    """

    name = "slack"
    keeps = False  # Slack sends what was missed for some minutes only
    remembers = False

    def __init__(
        self,
        *,
        bot_token: str,
        app_token: str | None = None,
        signing_secret: str | None = None,
        people: Mapping[str, str],
        zone: tzinfo,
        prefix: str = "",
        guests: Collection[str] = (),
        base_url: str = "https://slack.com/api/",
        wall: Callable[[], float] = time.time,
        pace: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.app_token, self.signing_secret = app_token, signing_secret
        self.people, self.prefix, self.base_url, self.wall = people, prefix, base_url, wall
        self.marks: Marks = SlackMarks(zone, people)
        self.api = SlackClient(bot_token, base_url, monotonic=monotonic, sleep=sleep)
        self.directory = Directory(self.api, guests)
        self.channels = Channels(self.api, self.directory)
        self._files = Files(self.api)
        self._history = History(self.api, self.directory, wall, monotonic)
        self._pacer = Pacer(pace, monotonic)
        self._posted: Recent[tuple[str, str]] = Recent()  # (channel, key) → ts
        self._keys: Recent[tuple[str, str]] = Recent()  # (channel, ts) → key
        self._roots: Recent[tuple[str, str]] = Recent()  # (channel, ts) → ts of the thread's root
        self.inbound = Inbound(self)

    def routes(self) -> list[web.RouteDef]:
        """Where Slack delivers to in HTTP mode: POST /slack/events; nothing in Socket Mode."""
        return self.inbound.routes() if self.signing_secret else []

    async def start(self, receive: Receive, house: House | None = None) -> None:
        """Learn who is who, then take in what people do; Slack itself sends what it kept meanwhile."""
        await self.api.open()
        try:
            await self.directory.start()
            await self.inbound.start(receive, house)
        except BaseException:
            await self.api.close()
            raise

    async def stop(self) -> None:
        """Take in no more, and give the connections up."""
        try:
            await self.inbound.stop()
        finally:
            await self.api.close()

    # -- messages ---------------------------------------------------------------------------------

    async def post(self, channel: str, content: Content, *, key: str, thread: str | None = None) -> str:
        """Post a new message and return its ts; a key that this process has posted returns the ts of then.

        What is too long for a message is posted as its beginning, with the whole as a file: in the same message,
        or in its thread where it has buttons, for which Slack documents no place beside a file.
        """
        if known := self._posted.get((channel, key)):
            return known
        root = await self._root(channel, thread)
        with self._unanswered(channel):
            ts = await self._fitting(content, key, lambda what: self._post(channel, what, content, key, root))
        self._remember(channel, key, ts, root)
        return ts

    async def find(self, channel: str, key: str, *, thread: str | None = None) -> str | None:
        """The ts of the bot's message with that key, looked for among the newest 1,000 there."""
        if known := self._posted.get((channel, key)):
            return known
        root = await self._root(channel, thread)
        found = await self._history.find(channel, key, root)
        if found is not None:
            self._remember(channel, key, found, None)
        return found

    async def edit(self, channel: str, message_id: str, content: Content) -> None:
        """Replace what a message of the bot's shows; of what is too long only the beginning is shown."""
        key = self._keys.get((channel, message_id))

        async def update(what: Shown) -> None:
            await self.api.call(
                "chat.update",
                channel=channel,
                ts=message_id,
                text=what.text,
                blocks=what.blocks,
                metadata=_metadata(key, content.card) if key else None,  # left out, it stays what it was
            )

        await self._fitting(content, key or "", update)

    async def erase(self, channel: str, message_id: str, *, earlier: bool = False) -> bool:
        """Delete a message of the bot's; Slack lets no bot delete what others wrote (chat.delete)."""
        if earlier:
            return True  # an edit replaces what was there
        try:
            await self.api.call("chat.delete", channel=channel, ts=message_id)
        except RefusedCallError as refusal:
            return refusal.code == "message_not_found"
        return True

    async def whisper(self, channel: str, user: str, content: Content, *, thread: str | None = None) -> None:
        """Show something to one person only: in the channel, or directly where they are not in it."""
        what = shown(content)
        if channel.startswith("D"):
            await self._say(channel, what, thread)
        elif not await self._ephemeral(channel, user, what, thread):
            channel, thread = await self.direct(user), None
            await self._say(channel, what, None)
        if what.whole is not None:
            rest = shown(Content(_REST, _REST))
            await self._share(await self.direct(user), [_whole(what)], rest, None)

    async def upload(
        self, channel: str, upload: Upload, content: Content, *, key: str, thread: str | None = None
    ) -> str:
        """Post a message with a file and return its ts; a key that this process has posted, the ts of then."""
        if known := self._posted.get((channel, key)):
            return known
        what, root = shown(content, key), await self._root(channel, thread)
        uploads = [upload] if what.whole is None else [upload, _whole(what)]
        with self._unanswered(channel):
            ts = await self._share(channel, uploads, what, root)
        self._remember(channel, key, ts, root)
        return ts

    async def react(self, channel: str, message_id: str, emoji: str) -> None:
        """Add a reaction of the bot's; that it is there already is fine."""
        name = emoji_out(emoji)
        try:
            await self.api.call("reactions.add", channel=channel, timestamp=message_id, name=name)
        except RefusedCallError as refusal:
            if refusal.code != "already_reacted":
                raise

    async def reactions(self, channel: str, message_id: str) -> Mapping[str, tuple[str, ...]]:
        """Who reacted with what, read now; user ids by emoji, all skin tones together."""
        answer = await self.api.call("reactions.get", channel=channel, timestamp=message_id, full=True)
        found: dict[str, dict[str, None]] = {}
        for reaction in (answer.get("message") or {}).get("reactions") or ():
            people = found.setdefault(emoji_in(str(reaction["name"])), {})
            people.update(dict.fromkeys(reaction.get("users") or ()))
        return {emoji: tuple(people) for emoji, people in found.items()}

    async def history(self, channel: str, seconds: float) -> Sequence[Incoming]:
        """What people wrote, edited and marked with 📌 there in the last so many seconds, oldest first."""
        return await self._history.happened(channel, seconds, self.inbound)

    async def fetch(self, file_id: str) -> bytes:
        """A file that somebody posted, of at most 25 MB."""
        return await self._files.fetch(file_id)

    # -- channels and people ----------------------------------------------------------------------

    async def channel_id(self, name: str) -> str | None:
        """The id of the channel that is called so (with or without #) now, or None."""
        return await self.channels.named(name)

    async def title(self, channel: str) -> str:
        """What a channel is called now, without #."""
        return str((await self.api.call("conversations.info", channel=channel))["channel"]["name"])

    async def direct(self, user: str) -> str:
        """The channel of direct messages with a person."""
        return str((await self.api.call("conversations.open", users=user))["channel"]["id"])

    async def open_channel(self, name: str, *, private: bool, key: str) -> tuple[str, str]:
        """Create a channel and return its id and the name it got; the same key gives the same channel."""
        return await self.channels.open(name, private=private, key=key)

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
        """Topic, people, pin, links at the head, archive or bring back: what is given, in an order that works."""
        if archive is False:
            await self.channels.bring_back(channel)
        if topic is not None:
            await self.channels.topic(channel, topic)
        if pin is not None:
            await self.channels.pin(channel, pin)
        if links:
            await self.channels.link(channel, links)
        if invite:
            await self.channels.invite(channel, invite)
        if archive:
            await self.channels.archive(channel)

    async def members(self, channel: str) -> frozenset[str] | None:
        """The members of a private channel; None for one that is open to everybody."""
        return await self.channels.members(channel)

    async def guards(self, channel: str) -> bool:
        """Slack itself vouches for who reacted."""
        return False

    async def active(self, user: str) -> bool:
        """Whether the account may act, asked of Slack now; raises where Slack gives no answer."""
        return await self.directory.active(user)

    async def group(self, name: str) -> frozenset[str]:
        """The user ids in a user group: its id (S…), its @handle or its name; empty where there is none.

        DeliveryError where several are called so: people who may make groups could call theirs like another one.
        """
        wanted = name.removeprefix("@").casefold()
        groups = (await self.api.call("usergroups.list")).get("usergroups") or ()
        for fields in (("id",), ("handle",)) if name.startswith("@") else (("id",), ("handle", "name")):
            found = [g for g in groups if wanted in (str(g.get(field) or "").casefold() for field in fields)]
            if len(found) > 1:
                raise DeliveryError(f"{len(found)} user groups are called {name}: give the id of one (S…)")
            if found:
                users = await self.api.call("usergroups.users.list", usergroup=found[0]["id"])
                return frozenset(str(user) for user in users.get("users") or ())
        return frozenset()

    # -- inside -----------------------------------------------------------------------------------

    async def _fitting(self, content: Content, key: str, send: Callable[[Shown], Awaitable[_Sent]]) -> _Sent:
        """Send it whole, or its beginning where Slack finds it too long: it does not say how it measures."""
        try:
            return await send(shown(content, key))
        except RefusedCallError as refusal:
            if refusal.code not in _TOO_LONG:
                raise
        return await send(shown(content, key, short=True))

    async def _post(self, channel: str, what: Shown, content: Content, key: str, root: str | None) -> str:
        if what.whole is not None and not content.buttons:
            return await self._share(channel, [_whole(what)], what, root)
        ts = await self._say(channel, what, root, metadata=_metadata(key, content.card))
        if what.whole is not None:
            self._remember(channel, key, ts, root)  # should the file fail, what is said is not said again
            rest = shown(Content(_REST, _REST), f"{key}:whole")
            try:
                await self._share(channel, [_whole(what)], rest, root or ts)
            except RetryLaterError as error:  # which would say that nothing was posted
                raise UnavailableError("Slack took the message, and not yet the rest of it") from error
        return ts

    async def _say(
        self, channel: str, what: Shown, thread: str | None, metadata: Mapping[str, object] | None = None
    ) -> str:
        self._pacer.take(channel)
        answer = await self.api.call(
            "chat.postMessage",
            channel=channel,
            text=what.text,
            blocks=what.blocks,
            thread_ts=thread,
            metadata=metadata,
            unfurl_links=False,
            unfurl_media=False,
        )
        return str(answer["ts"])

    async def _ephemeral(self, channel: str, user: str, what: Shown, thread: str | None) -> bool:
        """Show it in the channel; False where the person, or the bot, is not in it."""
        told = {"text": what.text, "blocks": what.blocks, "thread_ts": thread}
        try:
            await self.api.call("chat.postEphemeral", channel=channel, user=user, **told)
        except RefusedCallError as refusal:
            if refusal.code not in _ELSEWHERE:
                raise
            return False
        return True

    async def _share(self, channel: str, uploads: Sequence[Upload], what: Shown, thread: str | None) -> str:
        return await self._files.share(channel, uploads, what.blocks, thread)

    async def _root(self, channel: str, thread: str | None) -> str | None:
        """The root of the thread that a message stands in: Slack wants no other ts ("chat.postMessage", thread_ts)."""
        if thread is None or (known := self._roots.get((channel, thread))):
            return thread if thread is None else known
        try:
            answer = await self.api.call("conversations.replies", channel=channel, ts=thread, limit=1)
        except (DeliveryError, RetryLaterError, UnavailableError) as error:
            _log.info("a thread could not be looked up; its message is taken for its root", error=str(error))
            return thread
        messages = answer.get("messages") or [{}]
        root = str(messages[0].get("thread_ts") or thread)
        self._roots.put((channel, thread), root)
        return root

    @contextmanager
    def _unanswered(self, channel: str) -> Iterator[None]:
        """Where there is no answer, the message may be there, and is looked for anew."""
        try:
            yield
        except (DeliveryError, RetryLaterError):
            raise
        except BaseException:
            self._history.forget(channel)
            raise

    def _remember(self, channel: str, key: str, ts: str, root: str | None) -> None:
        self._posted.put((channel, key), ts)
        self._keys.put((channel, ts), key)
        if root is not None:
            self._roots.put((channel, ts), root)


def _metadata(key: str, card: str | None) -> dict[str, object]:
    """What nobody sees of a message ("Message metadata")."""
    return {"event_type": "watchbell", "event_payload": {"key": key, "card": card or ""}}


def _whole(what: Shown) -> Upload:
    return Upload(WHOLE, what.whole or b"")
