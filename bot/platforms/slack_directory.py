"""Who is who in the Slack workspace: the bot itself, and what bars an account from acting."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import aclosing
from typing import Any

import structlog

from bot.chat import RetryLaterError
from bot.platforms.slack_client import RefusedCallError, SlackClient, UnavailableError

_log = structlog.get_logger()

A_BOT, A_GUEST, DEACTIVATED = "a bot", "a guest", "deactivated"
A_STRANGER = "an account of another workspace"

_PAGE, _PAGES = 200, 25  # accounts in a page of users.list, and how many pages are read at start
_UNKNOWN = frozenset({"user_not_found", "user_not_visible", "users_not_found"})


class Directory:
    """The accounts, as Slack last told of them; `guests` are the user ids of guests who may act.

    `user_id` is the bot's own account (U…), `bot_id` what its messages carry (B…), `team_id` the workspace;
    all three are empty until `start` or `ready` was awaited.
    """

    def __init__(self, api: SlackClient, guests: Collection[str] = ()) -> None:
        self._api = api
        self._guests = frozenset(guests)
        self._barred: dict[str, str] = {}
        self.user_id = ""
        self.bot_id = ""
        self.team_id = ""

    async def start(self) -> None:
        """Ask who the bot is (auth.test), and read the accounts (users.list); more are asked for when met."""
        self.user_id = ""
        await self.ready()
        accounts = self._api.items("users.list", "members", pages=_PAGES, limit=_PAGE)
        try:
            async with aclosing(accounts) as found:
                async for account in found:
                    self.update(account)
        except (RetryLaterError, UnavailableError) as error:
            _log.warning(
                "Slack's list of accounts was cut short; the rest is asked for one by one", error=str(error)
            )

    async def ready(self) -> None:
        """Ask who the bot is, unless that is known."""
        if self.user_id:
            return
        me = await self._api.call("auth.test")
        self.bot_id, self.team_id = str(me.get("bot_id") or ""), str(me.get("team_id") or "")
        self.user_id = str(me["user_id"])

    async def know(self, *users: str) -> None:
        """Make `barred` certain of these accounts; asks Slack (users.info) for those that were not met before."""
        for user in users:
            if user and user not in self._barred:
                await self._ask(user)

    def barred(self, user: str) -> str:
        """Why an account may do nothing here; empty for one that may. Whoever is unknown is a stranger."""
        return self._barred.get(user, A_STRANGER)

    def update(self, account: Mapping[str, Any]) -> None:
        """Take in a user object, as in users.list and in the events user_change and team_join."""
        self._barred[str(account["id"])] = self._why_barred(account)

    async def active(self, user: str) -> bool:
        """Whether an account may act, asked of Slack now; False for one that Slack does not know."""
        await self.ready()
        return not await self._ask(user)

    # -- inside -----------------------------------------------------------------------------------

    async def _ask(self, user: str) -> str:
        try:
            found = await self._api.call("users.info", user=user)
        except RefusedCallError as refusal:
            if refusal.code not in _UNKNOWN:
                raise
            self._barred[user] = A_STRANGER
        else:
            self.update(found["user"])
        return self.barred(user)

    def _why_barred(self, account: Mapping[str, Any]) -> str:
        """See the "User object" page: guests are restricted, members of connected workspaces strangers."""
        user = str(account["id"])
        if account.get("deleted"):
            return DEACTIVATED
        if account.get("is_bot") or user == "USLACKBOT" or user == self.user_id:
            return A_BOT
        if account.get("is_stranger") or not self._ours(account):
            return A_STRANGER
        guest = account.get("is_restricted") or account.get("is_ultra_restricted")
        return A_GUEST if guest and user not in self._guests else ""

    def _ours(self, account: Mapping[str, Any]) -> bool:
        """Of this workspace; in an Enterprise organisation an account lists every workspace that it is in."""
        teams = {account.get("team_id"), *(account.get("enterprise_user") or {}).get("teams", ())}
        return self.team_id in teams
