"""What every act of a person takes: an account, a channel that it can see, an app that may hear of it."""

from __future__ import annotations

from typing import Any

from tests.servers.slack.api_channels import joined
from tests.servers.slack.messages import title
from tests.servers.slack.state import Ack, Channel, Json, Message, User, Workspace


class NotPossibleError(Exception):
    """Slack's clients do not offer that; the text says why."""


def told(ack: Ack, **more: Any) -> Json:
    """How an act ended, and what else there is to say of it."""
    said = {"acknowledged": ack.acknowledged, "status": ack.status, "error": ack.error, "body": ack.body}
    return said | more


class Acting:
    """The common part of acts; each act waits for the app's acknowledgement unless `wait` is False."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def _account(self, user: str) -> User:
        found = self.workspace.users[user]
        if found.deleted:
            raise NotPossibleError(f"the account {user} is deactivated")
        return found

    def _channel(self, channel: str) -> Channel:
        found = self.workspace.channels[channel]
        if found.archived:
            raise NotPossibleError(f"#{found.name} is archived")
        return found

    def _entered(self, user: str, channel: str) -> Channel:
        """The channel with that person in it: whoever writes in a public one joins it."""
        found = self._channel(channel)
        if user in found.members:
            return found
        if found.is_private or found.is_im:
            raise NotPossibleError(f"{user} cannot see {title(self.workspace, channel)}")
        joined(self.workspace, found, user)
        return found

    def _message_at(self, channel: str, ts: str, *, reader: str = "") -> Message:
        found = self.workspace.messages[channel].get(ts)
        if found is None or found.only_for not in ("", reader):
            raise NotPossibleError(f"there is no message {ts} in {channel}")
        return found

    async def _event(self, event: Json, where: Channel | None, scope: str, *, wait: bool) -> Ack:
        """Deliver an event where the app may hear it: it has the scope and is in the channel."""
        if scope and scope not in self.workspace.app.scopes:
            return Ack(False, error="missing_scope")
        if where is not None and self.workspace.app.bot_user not in where.members:
            return Ack(False, error="not_in_channel")
        if wait:
            return await self.workspace.deliver.event(event)
        self.workspace.deliver.spawn_event(event)
        return Ack(True)
