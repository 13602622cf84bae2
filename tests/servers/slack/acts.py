"""What people do with messages in Slack's own clients."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from tests.servers.slack.acting import Acting, NotPossibleError, told
from tests.servers.slack.api_files import new_file
from tests.servers.slack.api_items import pin_event, reaction_event
from tests.servers.slack.messages import changed_event, posted_event, removed
from tests.servers.slack.readable import typed
from tests.servers.slack.shapes import message_shape
from tests.servers.slack.state import Ack, Channel, Json, Message

HISTORY = {"channel": "channels:history", "group": "groups:history", "im": "im:history"}


class Acts(Acting):
    """Messages, reactions, pins."""

    async def says(
        self,
        *,
        user: str,
        channel: str,
        text: str,
        thread_ts: str | None = None,
        files: Sequence[Json] = (),
        broadcast: bool = False,
        raw: bool = False,
        subtype: str = "",
        wait: bool = True,
    ) -> Json:
        """Post a message; the text is what is typed or, with `raw`, what goes over the wire."""
        author, where = self._account(user), self._entered(user, channel)
        root = self._root(where, thread_ts)
        message = Message(
            ts=self.workspace.new_ts(),
            channel=channel,
            user="" if subtype == "bot_message" else user,
            text=text if raw else typed(text, self.workspace),
            thread_ts=root,
            broadcast=broadcast and root is not None,
            bot_id=author.bot_id,
            app_id="A0OTHER" if author.is_bot else "",
            subtype=subtype,
            files=[self._file(user, each) for each in files],
            client_msg_id="" if author.is_bot else self.workspace.new_id(""),
        )
        self.workspace.add_message(message)
        for file in message.files:
            self.workspace.files[file].shares.append((channel, message.ts))
        ack = await self._message(posted_event(self.workspace, message), where, wait=wait)
        return told(ack, ts=message.ts)

    async def edits(self, *, user: str, channel: str, ts: str, text: str, wait: bool = True) -> Json:
        """Change a message of one's own; the same text again changes nothing."""
        message = self._own(user, channel, ts)
        if (new := typed(text, self.workspace)) == message.text:
            return told(Ack(True))
        before = message_shape(self.workspace, message)
        message.text = new
        message.edited = {"user": user, "ts": f"{int(self.workspace.now())}.000000"}
        event = changed_event(self.workspace, message, before)
        return told(await self._message(event, self.workspace.channels[channel], wait=wait))

    async def deletes(self, *, user: str, channel: str, ts: str, wait: bool = True) -> Json:
        """Delete a message of one's own."""
        message = self._own(user, channel, ts)
        event = removed(self.workspace, message)
        return told(await self._message(event, self.workspace.channels[channel], wait=wait))

    async def unfurls(self, *, channel: str, ts: str, wait: bool = True) -> Json:
        """Slack shows what a link leads to: a change of the message with the same text."""
        message = self._message_at(channel, ts)
        before = message_shape(self.workspace, message)
        message.attachments = [{"id": 1, "title": "A page", "title_link": "https://example.com/"}]
        event = changed_event(self.workspace, message, before)
        return told(await self._message(event, self.workspace.channels[channel], wait=wait))

    async def reacts(
        self, *, user: str, channel: str, ts: str, name: str, added: bool = True, wait: bool = True
    ) -> Json:
        """Add a reaction, or take it back."""
        self._account(user)
        message, where = self._message_at(channel, ts), self._entered(user, channel)
        people = message.reactions.setdefault(name, [])
        if (user in people) == added:
            raise NotPossibleError(f"{user} has {'' if added else 'not '}reacted with :{name}: already")
        people.append(user) if added else people.remove(user)
        event = reaction_event(self.workspace, message, user, name, added=added)
        return told(await self._event(event, where, "reactions:read", wait=wait))

    async def pins(self, *, user: str, channel: str, ts: str, wait: bool = True) -> Json:
        """Pin a message."""
        self._account(user)
        message, where = self._message_at(channel, ts), self._entered(user, channel)
        if ts in where.pins:
            raise NotPossibleError("it is pinned already")
        where.pins.append(ts)
        return told(
            await self._event(pin_event(self.workspace, message, user), where, "pins:read", wait=wait)
        )

    def _root(self, where: Channel, thread_ts: str | None) -> str | None:
        if thread_ts is None:
            return None
        root = self._message_at(where.id, thread_ts)
        ts = root.thread_ts or root.ts
        self.workspace.messages[where.id][ts].thread_ts = ts
        return ts

    def _own(self, user: str, channel: str, ts: str) -> Message:
        self._account(user)
        self._channel(channel)
        message = self._message_at(channel, ts)
        if message.user != user:
            raise NotPossibleError(f"the message {ts} is not {user}'s")
        return message

    def _file(self, user: str, given: Json) -> str:
        data = base64.b64decode(given["data_base64"])
        file = new_file(self.workspace, user, given["name"], len(data))
        file.data, file.complete = data, True
        return file.id

    async def _message(self, event: Json, where: Channel, *, wait: bool) -> Ack:
        """Deliver a message event and, where a new message mentions the app, app_mention after it."""
        ack = await self._event(event, where, HISTORY[where.kind], wait=wait)
        bot = self.workspace.app.bot_user
        if f"<@{bot}>" in event.get("text", "") and not where.is_im and event["ts"] == event["event_ts"]:
            names = ("user", "bot_id", "text", "ts", "team", "blocks", "thread_ts", "client_msg_id", "files")
            mention = {"type": "app_mention", **{n: event[n] for n in names if n in event}}
            mention |= {"channel": where.id, "event_ts": event["event_ts"]}
            second = await self._event(mention, where, "app_mentions:read", wait=wait)
            return ack if HISTORY[where.kind] in self.workspace.app.scopes else second
        return ack
