"""What the inward half of the Slack adapter needs of the outward one, and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from slack_sdk.web.async_client import AsyncWebClient

from bot.chat import Content


class Accounts(Protocol):
    """Who is who in the workspace."""

    user_id: str  # the bot's own account
    bot_id: str  # what the bot's messages carry

    async def know(self, *users: str) -> None:
        """Make `barred` certain of these accounts; raises where Slack gives no answer."""
        ...

    def barred(self, user: str) -> str:
        """Why an account may do nothing ("a guest", "a bot"); empty for one that may."""
        ...

    def update(self, account: Mapping[str, Any]) -> None:
        """Take in a user object, as user_change and team_join bring it."""
        ...


class Calls(Protocol):
    """The Web API."""

    @property
    def web(self) -> AsyncWebClient:
        """The library's client, with the address that calls go to."""
        ...

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Call a method by its name (views.open) and return its answer."""
        ...


class Workspace(Protocol):
    """The Slack class as its inward half sees it."""

    @property
    def app_token(self) -> str | None: ...

    @property
    def signing_secret(self) -> str | None: ...

    @property
    def base_url(self) -> str: ...

    @property
    def people(self) -> Mapping[str, str]:
        """Slack user id → name of the configuration."""
        ...

    @property
    def prefix(self) -> str: ...

    @property
    def wall(self) -> Callable[[], float]:
        """The clock (UTC, seconds) that the `ts` of messages are compared with."""
        ...

    @property
    def api(self) -> Calls: ...

    @property
    def directory(self) -> Accounts: ...

    async def direct(self, user: str) -> str: ...

    async def whisper(
        self, channel: str, user: str, content: Content, *, thread: str | None = None
    ) -> None: ...
