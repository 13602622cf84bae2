"""Slack's channels: found by name, opened once a key, arranged, and who is in them."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any

from bot.chat import DeliveryError
from bot.platforms.console_text import channel_name
from bot.platforms.slack_blocks import first
from bot.platforms.slack_client import RefusedCallError, SlackClient
from bot.platforms.slack_directory import Directory

_LONGEST_NAME, _LONGEST_TOPIC = 80, 250  # characters: conversations.create, conversations.setTopic
_LONGEST_TITLE = 75  # of a bookmark: what fits the bar of a channel
_PAGE, _PAGES = 200, 100  # channels in a page of conversations.list, and how many pages are read
_SUFFIXES = 50  # how many names are tried: inc-1, inc-1-2, inc-1-3 …
_INVITED = frozenset({"already_in_channel", "cant_invite_self"})
_KINDS = "public_channel,private_channel"


class Channels:
    """The channels as the bot may see and change them."""

    def __init__(self, api: SlackClient, directory: Directory) -> None:
        self._api = api
        self._directory = directory
        self._ids: dict[str, str] = {}  # by name, as last listed; asked again before it is believed
        self._opening = asyncio.Lock()  # so that nobody takes a channel that has no purpose yet

    async def named(self, name: str) -> str | None:
        """The id of the channel that is called so now (with or without #); archived ones do not count."""
        wanted = name.removeprefix("#")
        if (known := self._ids.get(wanted)) and await self._still(known, wanted):
            return known
        self._ids = {}
        async with aclosing(self._listed(archived=False)) as found:
            async for channel in found:
                self._ids[str(channel["name"])] = str(channel["id"])
        return self._ids.get(wanted)

    async def open(self, wanted: str, *, private: bool, key: str) -> tuple[str, str]:
        """Create a channel; its id and the name that it got. The key stands in its purpose from then on.

        A name that is taken gets -2, -3 and so on, unless it is taken by what a crash left of this very key.
        """
        async with self._opening:
            await self._directory.ready()
            folded = channel_name(wanted)
            try:
                return await self._first_free(folded, private, key)
            except RefusedCallError as refusal:
                plain = re.sub(r"[^a-z0-9_-]+", "-", folded).strip("-_") or "channel"
                if not refusal.code.startswith("invalid_name") or plain == folded:
                    raise
                return await self._first_free(plain, private, key)

    async def members(self, channel: str) -> frozenset[str] | None:
        """The members of a private channel or of direct messages; None for a public channel."""
        found = (await self._api.call("conversations.info", channel=channel))["channel"]
        if not (found.get("is_private") or found.get("is_im") or found.get("is_mpim")):
            return None
        users = self._api.items(
            "conversations.members", "members", pages=_PAGES, channel=channel, limit=_PAGE
        )
        async with aclosing(users) as members:
            return frozenset([str(user) async for user in members])

    async def topic(self, channel: str, topic: str) -> None:
        """Set the topic (already neutral), cut where Slack would refuse it."""
        cut = topic if len(topic) <= _LONGEST_TOPIC else f"{first(topic, _LONGEST_TOPIC - 1)}…"
        await self._api.call("conversations.setTopic", channel=channel, topic=cut)

    async def invite(self, channel: str, users: tuple[str, ...]) -> None:
        """Let people in, one by one: Slack refuses all of them together where one is in already.

        Raises the first refusal, after the others have been let in.
        """
        failed: RefusedCallError | None = None
        for user in dict.fromkeys(users):
            try:
                await self._gently("conversations.invite", _INVITED, channel=channel, users=user)
            except RefusedCallError as refusal:
                failed = failed or refusal
        if failed is not None:
            raise failed

    async def pin(self, channel: str, message_id: str) -> None:
        """Pin a message, unless it is."""
        await self._gently("pins.add", frozenset({"already_pinned"}), channel=channel, timestamp=message_id)

    async def archive(self, channel: str) -> None:
        """Archive the channel, unless it is."""
        await self._gently("conversations.archive", frozenset({"already_archived"}), channel=channel)

    async def bring_back(self, channel: str) -> None:
        """Unarchive, which Slack lets no bot do (conversations.unarchive answers `not_in_channel`)."""
        try:
            await self._gently("conversations.unarchive", frozenset({"not_archived"}), channel=channel)
        except RefusedCallError as refusal:
            if refusal.code not in ("not_in_channel", "not_allowed_token_type"):
                raise
            name = (await self._api.call("conversations.info", channel=channel))["channel"].get("name")
            raise DeliveryError(
                f"Slack lets no bot bring #{name or channel} back: somebody has to unarchive it in Slack"
            ) from refusal

    async def link(self, channel: str, links: tuple[tuple[str, str], ...]) -> None:
        """Put addresses at the head of the channel (bookmarks), each once."""
        listed = await self._api.call("bookmarks.list", channel_id=channel)
        known = {bookmark.get("link") for bookmark in listed.get("bookmarks") or ()}
        for title, address in links:
            if address in known:
                continue
            known.add(address)
            short = first(title, _LONGEST_TITLE)
            await self._api.call("bookmarks.add", channel_id=channel, title=short, type="link", link=address)

    # -- inside -----------------------------------------------------------------------------------

    def _listed(self, *, archived: bool) -> Any:
        return self._api.items(
            "conversations.list",
            "channels",
            pages=_PAGES,
            limit=_PAGE,
            types=_KINDS,
            exclude_archived=not archived,
        )

    async def _still(self, channel: str, name: str) -> bool:
        try:
            found = (await self._api.call("conversations.info", channel=channel))["channel"]
        except RefusedCallError:
            return False  # deleted, or the bot was put out of it: the list will tell
        return found.get("name") == name and not found.get("is_archived")

    async def _first_free(self, folded: str, private: bool, key: str) -> tuple[str, str]:
        for number in range(1, _SUFFIXES + 1):
            suffix = "" if number == 1 else f"-{number}"
            name = folded[: _LONGEST_NAME - len(suffix)].rstrip("-_") + suffix
            found = await self._create(name, private, key) or await self._left_behind(name, key, private)
            if found is not None:
                if f"({key})" not in str((found.get("purpose") or {}).get("value")):
                    purpose = f"Kept by Watchbell ({key})"
                    await self._api.call("conversations.setPurpose", channel=found["id"], purpose=purpose)
                return str(found["id"]), str(found["name"])
        raise DeliveryError(f"#{folded} and {_SUFFIXES - 1} names like it are taken")

    async def _create(self, name: str, private: bool, key: str) -> dict[str, Any] | None:
        try:
            answer = await self._api.call("conversations.create", name=name, is_private=private)
        except RefusedCallError as refusal:
            if refusal.code != "name_taken":
                raise
            return None
        return dict(answer["channel"])

    async def _left_behind(self, name: str, key: str, private: bool) -> dict[str, Any] | None:
        """The channel of that name where it was made for this key, or for one that a crash kept from it.

        People may change names and purposes, but not make a public channel of what was asked for in private.
        """
        async with aclosing(self._listed(archived=True)) as found:
            async for channel in found:
                if channel["name"] != name or channel.get("creator") != self._directory.user_id:
                    continue
                if bool(channel.get("is_private")) != private:
                    return None
                purpose = str((channel.get("purpose") or {}).get("value") or "")
                unfinished = not purpose and not channel.get("is_archived")
                return dict(channel) if f"({key})" in purpose or unfinished else None
        return None

    async def _gently(self, method: str, fine: frozenset[str], **arguments: Any) -> None:
        """Call a method; that what it does was done before is fine."""
        try:
            await self._api.call(method, **arguments)
        except RefusedCallError as refusal:
            if refusal.code not in fine:
                raise
