"""What people do with channels and accounts."""

from __future__ import annotations

from typing import Any

from tests.servers.slack.acting import Acting, NotPossibleError, told
from tests.servers.slack.messages import title
from tests.servers.slack.shapes import user_shape
from tests.servers.slack.state import SLACKBOT, Ack, Json, User


class Administration(Acting):
    """Members, names, archives, accounts."""

    async def joins(self, *, user: str, channel: str, wait: bool = True) -> Json:
        """Join a channel."""
        where = self._channel(channel)
        if user in where.members:
            raise NotPossibleError(f"{user} is in {title(self.workspace, channel)} already")
        where.members.append(user)
        event = {"type": "member_joined_channel", "user": user, "channel": channel, "channel_type": "C"}
        event |= {"team": self.workspace.team, "event_ts": self.workspace.new_ts()}
        return told(await self._event(event, where, "channels:read", wait=wait))

    async def leaves(self, *, user: str, channel: str, wait: bool = True) -> Json:
        """Leave a channel; with the bot's id, somebody removes it."""
        where = self._channel(channel)
        heard = self.workspace.app.bot_user in where.members
        where.members.remove(user)
        if not heard:
            return told(Ack(True))
        event = {"type": "member_left_channel", "user": user, "channel": channel, "channel_type": "C"}
        event |= {"team": self.workspace.team, "event_ts": self.workspace.new_ts()}
        return told(await self._event(event, None, "", wait=wait))

    async def renames(self, *, channel: str, name: str, user: str = SLACKBOT, wait: bool = True) -> Json:
        """Give a channel another name."""
        where = self._channel(channel)
        if self.workspace.channel_named(name) is not None:
            raise NotPossibleError(f"there is a channel #{name} already")
        where.previous_names.append(where.name)
        where.name = name
        renamed = {"id": channel, "name": name, "created": where.created}
        event = {"type": "channel_rename", "channel": renamed, "event_ts": self.workspace.new_ts()}
        return told(await self._event(event, where, "channels:read", wait=wait))

    async def archives(
        self, *, channel: str, user: str = SLACKBOT, archived: bool = True, wait: bool = True
    ) -> Json:
        """Archive a channel, or bring it back."""
        where = self.workspace.channels[channel]
        where.archived = archived
        kind = "channel_archive" if archived else "channel_unarchive"
        event = {"type": kind, "channel": channel, "user": user, "event_ts": self.workspace.new_ts()}
        return told(await self._event(event, where, "channels:read", wait=wait))

    async def deactivate(self, *, user: str, deleted: bool = True, wait: bool = True) -> Json:
        """Deactivate an account, or bring it back."""
        return await self.changes(user=user, deleted=deleted, wait=wait)

    async def changes(self, *, user: str, wait: bool = True, **facts: Any) -> Json:
        """Change an account: name, is_restricted, deleted and so on (events/user_change)."""
        found = self.workspace.users[user]
        for name, value in facts.items():
            if name not in User.__slots__:
                raise NotPossibleError(f"an account has no {name}")
            setattr(found, name, value)
        found.updated = int(self.workspace.now())
        event = {"type": "user_change", "user": user_shape(self.workspace, found), "cache_ts": found.updated}
        event["event_ts"] = self.workspace.new_ts()
        return told(await self._event(event, None, "users:read", wait=wait))

    async def arrives(self, *, user: str, wait: bool = True) -> Json:
        """An account that was added is told of as a new one (events/team_join)."""
        event = {"type": "team_join", "user": user_shape(self.workspace, self.workspace.users[user])}
        event["event_ts"] = self.workspace.new_ts()
        return told(await self._event(event, None, "users:read", wait=wait))
